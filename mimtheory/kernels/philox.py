"""Standard Gaussians by row number: Philox4x32-10 and the method of Box and Muller, as vector code.

The entry in row i and column k is a function of the seed, i and k alone, so that any part of a matrix of Gaussians can
be made anywhere, at any time and on any thread.

Source of the generator: J. Salmon, M. Moraes, R. Dror, D. Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011;
the tests hold it against the known answers published with it (Random123, kat_vectors).
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from mimtheory.kernels.compiling import inlined, maker, part
from mimtheory.kernels.elementary import (
    bits_of_single,
    cosine_near_0,
    float_of,
    fma,
    logarithm,
    opaque,
    polynomial,
    sine_near_0,
    single_of,
)

__all__ = ["fill_rows", "key_after", "multipliers", "rounds"]

Floats = NDArray[Any]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_1, _ONE = np.uint64(1), np.uint64(0x3FF0000000000000)
_TWELVE, _BIT_62, _BIT_63 = np.uint64(12), np.uint64(1 << 62), np.uint64(1 << 63)
_FRACTION = np.uint64((1 << 52) - 1)
# calls whose words are kept, and a multiple of the 64-bit lanes of any vector register
_PIECE, _LANES = 256, 8
# the ten rounds, in two loops over them
_FIRST, _LAST = 6, 4
# the last counter word keeps the two precisions apart
_DOUBLE, _SINGLE = np.uint64(0), np.uint64(1)

# single precision: 1, 3/2, 2^-31 ..., the bits of 1 and of sqrt(1/2), and series shorter than those of `elementary`
_F0, _F1, _F3_2, _2_31, _2_32 = (np.float32(v) for v in (0, 1, 1.5, 2.0**-31, 2.0**-32))
_LOG2, _HALF_PI = np.float32(math.log(2)), np.float32(math.pi / 2)
_BIT_30, _BIT_31, _FRACTION_23, _ONE_SINGLE = (np.uint64(v) for v in (1 << 30, 1 << 31, (1 << 23) - 1, 0x3F800000))
_SQRT_HALF, _23 = np.int32(0x3F3504F3), np.int32(23)
_L = tuple(np.float32(2 / (2 * k + 1)) for k in range(1, 5))
_S = tuple(np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in range(1, 5))
_C = tuple(np.float32((-1) ** k / math.factorial(2 * k)) for k in range(1, 5))


@inlined
def multipliers() -> tuple[Any, Any]:
    """The two of each round. If LLVM knew them, it would merge one with the shift of its product; the whole product of
    64 bits that this takes costs three multiplications of 32 bits."""
    return opaque(_M0) & _LOW, opaque(_M1) & _LOW


@inlined
def rounds(
    count: int, c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any, m0: Any, m1: Any
) -> tuple[Any, Any, Any, Any]:
    """The next rounds, of ten, on a counter of four and a key of two words of 32 bits, with the `multipliers`.

    Each word stands in the low half of 64 bits; what the high half holds does not matter, and is not cleared.
    """
    for _ in range(count):
        p0, p1 = m0 * (c0 & _LOW), m1 * (c2 & _LOW)
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1, (p0 >> _HALF) ^ c3 ^ k1, p0
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inlined
def key_after(count: int, k0: Any, k1: Any) -> tuple[Any, Any]:
    """The key of the round that follows `count` rounds."""
    for _ in range(count):
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return k0, k1


@inlined
def _square(word: Any) -> float:
    """The square of a radius, -2 log u, from 64 uniform bits, of which u in (0, 1] takes 52."""
    return -2 * logarithm(2.0 - float_of(np.int64((word >> _TWELVE) | _ONE)))


@inlined
def _pair(square: Any, second: Any) -> tuple[float, float]:
    """Two Gaussians from the square of their radius and 64 uniform bits.

    52 of these make an angle between -pi/4 and pi/4, and 2 say which quarter: whether the coordinates change places and
    whether they change sign.
    """
    radius = math.sqrt(square)
    angle = (float_of(np.int64((second & _FRACTION) | _ONE)) - 1.5) * (math.pi / 2)
    radius = -radius if second & _BIT_63 else radius
    x, y = radius * cosine_near_0(angle), radius * sine_near_0(angle)
    return (y if second & _BIT_62 else x), (x if second & _BIT_62 else y)


@inlined
def _single_square(word: Any) -> Any:
    """-2 log u in single precision from 32 bits, of which u takes 31.

    The error of the radius is a few units of 2^-24, but for a radius R below 1 up to 2^-24/R, at most 2^-12: u is
    rounded by 2^-25.
    """
    u = np.float32(np.int32(word >> _1)) * _2_31 + _2_32
    bits = bits_of_single(u)
    e = (bits - _SQRT_HALF) >> _23
    x = single_of(bits - (e << _23))
    s = (x - _F1) / (x + _F1)
    v = s * s
    log = fma(np.float32(e), _LOG2, fma(s * v, polynomial(v, _L), s + s))
    return max(_F0, -(log + log))


@inlined
def _single_pair(square: Any, second: Any) -> tuple[Any, Any]:
    """Two Gaussians in single precision from the square of their radius and 32 bits."""
    radius = math.sqrt(square)
    radius = -radius if second & _BIT_31 else radius
    r = (single_of(np.int32((second & _FRACTION_23) | _ONE_SINGLE)) - _F3_2) * _HALF_PI
    v = r * r
    sine = fma(r * v, polynomial(v, _S), r)
    cosine = fma(v, polynomial(v, _C), _F1)
    return radius * (sine if second & _BIT_30 else cosine), radius * (cosine if second & _BIT_30 else sine)


# Rows are made piece by piece, by loops whose results the first cache keeps: a part of the rounds, the rest of them,
# the squares of the radii, the Gaussians. A processor works on as many turns of a loop at once as its window of some
# hundred instructions holds, and needs several to keep its units busy while each waits for the one before: the chain
# from a counter to a Gaussian is too long for one loop.


@part
def _first_rounds(words: Any, at: int, call: int, count: int, kind: Any, row: Any, k0: Any, k1: Any) -> None:
    """The state of calls call ... call + count - 1 after `_FIRST` rounds, a word in each row of `words`."""
    i0, i1, start, to = row & _LOW, row >> _HALF, np.uint64(call), np.uint64(at)
    m0, m1 = multipliers()
    for k in range(count):
        p = np.uint64(k)  # an index without a sign needs no check for one, which would undo vector code
        w0, w1, w2, w3 = rounds(_FIRST, start + p, kind, i0, i1, k0, k1, m0, m1)
        words[0, to + p], words[1, to + p], words[2, to + p], words[3, to + p] = w0, w1, w2, w3


@part
def _last_rounds(words: Any, at: int, count: int, k0: Any, k1: Any) -> None:
    """The words of `count` calls from their state: two of 32 bits for radii in words[0], two for angles in words[1]."""
    to = np.uint64(at)
    k0, k1 = key_after(_FIRST, k0, k1)
    m0, m1 = multipliers()
    for k in range(count):
        p = to + np.uint64(k)
        w0, w1, w2, w3 = rounds(_LAST, words[0, p], words[1, p], words[2, p], words[3, p], k0, k1, m0, m1)
        words[0, p], words[1, p] = (w0 & _LOW) | (w1 << _HALF), (w2 & _LOW) | (w3 << _HALF)


@part
def _doubles(words: Any, count: int, flat: Floats, at: int) -> None:
    """The Gaussians of `count` calls, from place `at` on."""
    squares, to = words[0].view(np.float64), np.uint64(at)
    for k in range(count):
        p = np.uint64(k)
        squares[p] = _square(words[0, p])
    for k in range(count):
        p = np.uint64(k)
        q = to + (p << _1)
        flat[q], flat[q + _1] = _pair(squares[p], words[1, p])


@part
def _singles(words: Any, count: int, flat: Floats, at: int) -> None:
    halves, squares, to = words.view(np.uint32), words[0].view(np.float32), np.uint64(at)
    for k in range(2 * count):
        p = np.uint64(k)
        squares[p] = _single_square(halves[0, p])
    for k in range(2 * count):
        p = np.uint64(k)
        q = to + (p << _1)
        flat[q], flat[q + _1] = _single_pair(squares[p], halves[1, p])


def _gaussians_of(words: Any, count: int, flat: Floats, at: int) -> None:
    (_doubles if flat.itemsize == 8 else _singles)(words, count, flat, at)


@overload(_gaussians_of)  # typed by Numba, hence without annotations
def _typed_gaussians_of(words, count, flat, at):  # type: ignore[no-untyped-def]
    make = _doubles if flat.dtype == types.float64 else _singles
    return lambda words, count, flat, at: make(words, count, flat, at)


@maker
def fill_rows(out: Floats, first: int, k0: Any, k1: Any) -> None:
    """The rows from `first` on, in the precision of `out`, which is C-contiguous.

    Call p for a row gives columns 2 p and 2 p + 1 in double precision, 4 p to 4 p + 3 in single precision; the number
    of columns is a multiple of that.
    """
    columns = 16 // out.itemsize
    calls, flat = out.shape[1] // columns, out.reshape(-1)
    kind = _DOUBLE if out.itemsize == 8 else _SINGLE
    # rows a quarter of a page of memory apart: a load waits for stores before it to the same place in any page
    words = np.empty((4, 2 * _PIECE + 17 * _LANES), np.uint64)
    count = at = 0
    for i in range(out.shape[0]):
        for call in range(0, calls, _PIECE):
            some = min(_PIECE, calls - call)
            # whole vectors: the next words take the place of those that are not asked for
            whole = -(-some // _LANES) * _LANES
            _first_rounds(words, count, call, whole, kind, np.uint64(first + i), k0, k1)
            _last_rounds(words, count, whole, k0, k1)
            count += some
            if count >= _PIECE or (i == out.shape[0] - 1 and call + some == calls):
                _gaussians_of(words, count, flat, at)
                at += columns * count
                count = 0
