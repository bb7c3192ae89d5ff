"""Sine, cosine, exponential, logarithm, tanh and the tail of a Gaussian without branches: loops become vector code.

The polynomials of sine, cosine and logarithm are those of least relative error on the reduced interval, which is below
2^-57 of the result; that of the exponential is its Taylor series cut where the next term is below 2^-54, that of the
tail of a Gaussian within 2^-54. Tests prove the first in rationals and the last in balls, and hold the functions, good
to a few units in the last place, against many digits.
"""

import math
import struct
import sys
from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mimtheory.kernels.compiling import DISABLED, inlined

__all__ = [
    "SIN_COS_LIMIT",
    "bell",
    "bits_of",
    "bits_of_single",
    "cosine_near_0",
    "exponential",
    "falling",
    "float_of",
    "fma",
    "log1p",
    "logarithm",
    "opaque",
    "polynomial",
    "sin_cos",
    "sine_near_0",
    "single_of",
    "tail_ratio",
    "tanh",
    "tanh_from",
]

# up to here the reduction by multiples of pi/2 is good to the last place
SIN_COS_LIMIT = 2.0**30


_LARGEST = Fraction(sys.float_info.max)


# Numba calls what makes LLVM code with objects of its own that have no public types: such functions are not annotated.


def _plain_fma(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    # a zero keeps its sign, and what is beyond the doubles overflows
    return float(exact) if exact and abs(exact) < _LARGEST else a * b + c


@intrinsic
def _vector_fma(typing, a, b, c):  # type: ignore[no-untyped-def]
    kind = types.float32 if all(v == types.float32 for v in (a, b, c)) else types.float64

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        real = context.get_value_type(kind)
        name = f"llvm.fma.f{kind.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(real, [real] * 3), name)
        return builder.call(function, arguments)

    return kind(kind, kind, kind), generate


def _vector_cast(source: Any, target: Any) -> Any:
    """The same bits as another type."""

    @intrinsic
    def cast(typing, x):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return cast


@intrinsic
def _vector_opaque(typing, word):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(types.uint64)
        nothing = ir.InlineAsm(ir.FunctionType(kind, [kind]), "", "=r,0", side_effect=True)
        return builder.call(nothing, arguments)

    return types.uint64(types.uint64), generate


def _plain_opaque(word: Any) -> Any:
    return word


def _plain_cast(source: str, target: str) -> Any:
    return lambda x: struct.unpack(target, struct.pack(source, x))[0]


# the same word of 64 bits, of which LLVM knows nothing any more; not for a loop that is to become vector code
opaque: Any = _plain_opaque if DISABLED else _vector_opaque
# a b + c with one rounding; the bits of a number as an integer, and back
fma: Any = _plain_fma if DISABLED else _vector_fma
bits_of: Any = _plain_cast("<d", "<q") if DISABLED else _vector_cast(types.float64, types.int64)
float_of: Any = _plain_cast("<q", "<d") if DISABLED else _vector_cast(types.int64, types.float64)
bits_of_single: Any = _plain_cast("<f", "<i") if DISABLED else _vector_cast(types.float32, types.int32)
single_of: Any = _plain_cast("<i", "<f") if DISABLED else _vector_cast(types.int32, types.float32)

# pi/2 and log 2 in parts: each the nearest double to what the earlier ones leave, from 120 bits of pi/2 and log 2
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
_LOG2 = (0.6931471805599453, 2.3190468138462996e-17)
_TWO_OVER_PI = 2 / math.pi
# adding and subtracting it rounds to an integer, which stands in the low bits in between
_ROUNDER = 1.5 * 2.0**52

# By the exchange algorithm of Remez, one coefficient after the other rounded and the rest fitted again.
# Of v^k in (sin r - r)/r^3 and (cos r - 1)/r^2, v = r^2
_S = (
    -0.1666666666666663,
    0.00833333333332184,
    -0.00019841269829358528,
    2.7557313538514717e-06,
    -2.5050734389467667e-08,
    1.5895433311770857e-10,
)
_C = (
    -0.5,
    0.041666666666666595,
    -0.0013888888888873342,
    2.4801587289002083e-05,
    -2.7557314217041253e-07,
    2.0875705396584803e-09,
    -1.1358749282321112e-11,
)
# of r^k in (exp r - 1 - r)/r^2
_E = tuple(1 / math.factorial(k) for k in range(2, 15))
# of v^k in 2 (artanh s - s)/s^3, v = s^2
_L = (
    0.6666666666666734,
    0.3999999999941705,
    0.2857142874189053,
    0.22222198621901795,
    0.18183561889043096,
    0.15314110869096964,
    0.14795363831050176,
)
# of t^k in (x + 5) exp(x^2/2) Phi(-x), t = (x - 5)/(x + 5): from 23 terms of its Chebyshev series for x from 0 to 38
_T = (
    0.769193049750063,
    -0.6653825028900567,
    0.4953056159699763,
    -0.3135331566713033,
    0.1650203661703924,
    -0.06911863870634333,
    0.020795066799711034,
    -0.002993376770120187,
    -0.0007978693964982552,
    0.000544899062588463,
    -5.937574089071754e-05,
    -4.976280920627537e-05,
    1.6681264589765155e-05,
    3.980907058917049e-06,
    -2.7693889345920015e-06,
    -3.3667190166101654e-07,
    4.3331011944482117e-07,
    4.240865584890857e-08,
    -6.605686708975929e-08,
    -9.455090325677566e-09,
    7.674498716098594e-09,
    1.8112441232578678e-09,
    -1.4063440415934303e-10,
)


@inlined
def polynomial(x: Any, coefficients: Any) -> Any:
    """By Horner's rule in the precision of the arguments; the coefficient of 1 first.

    The tuple of coefficients is known when a kernel is compiled: LLVM makes vector code of the loop around.
    """
    value = coefficients[len(coefficients) - 1]
    for k in range(len(coefficients) - 2, -1, -1):
        value = fma(x, value, coefficients[k])
    return value


@inlined
def sine_near_0(r: float) -> float:
    """sin r for |r| <= pi/4."""
    v = r * r
    return fma(r * v, polynomial(v, _S), r)


@inlined
def cosine_near_0(r: float) -> float:
    """cos r for |r| <= pi/4."""
    v = r * r
    return fma(v, polynomial(v, _C), 1.0)


@inlined
def sin_cos(x: float) -> tuple[float, float]:
    """(sin x, cos x) for |x| <= SIN_COS_LIMIT; exactly odd and even."""
    shifted = fma(x, _TWO_OVER_PI, _ROUNDER)
    k = shifted - _ROUNDER
    r = fma(-k, _HALF_PI[2], fma(-k, _HALF_PI[1], fma(-k, _HALF_PI[0], x)))
    sine, cosine = sine_near_0(r), cosine_near_0(r)
    quadrant = bits_of(shifted) & 3
    first = cosine if quadrant & 1 else sine
    second = sine if quadrant & 1 else cosine
    return (-first if quadrant & 2 else first), (-second if (quadrant + 1) & 2 else second)


@inlined
def _parts_of_exponential(x: float) -> tuple[float, float]:
    """p and 2^k with exp x = 2^k (1 + p) and |log(1 + p)| <= log(2)/2, for -700 <= x <= 700."""
    shifted = fma(x, 1 / _LOG2[0], _ROUNDER)
    k = shifted - _ROUNDER
    r = fma(-k, _LOG2[1], fma(-k, _LOG2[0], x))
    # the integer k stands in the low bits of the sum
    power = float_of((((bits_of(shifted) & 0xFFF) ^ 0x800) - 0x800 + 0x3FF) << 52)
    return fma(r * r, polynomial(r, _E), r), power


@inlined
def exponential(x: float) -> float:
    """exp x for -700 <= x <= 700; beyond, the value at the end."""
    p, power = _parts_of_exponential(min(max(x, -700.0), 700.0))
    return fma(power, p, power) if x == x else x


@inlined
def logarithm(x: float) -> float:
    """log x for positive finite normal x, as 2 artanh((m - 1)/(m + 1)) + e log 2 with m from sqrt(1/2) to sqrt 2."""
    bits = bits_of(x)
    # the exponent after division by sqrt(1/2), whose bits are subtracted
    e = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = float_of(bits - (e << 52))
    s = (m - 1) / (m + 1)
    v = s * s
    # the leading term is m - 1, which is exact; 2 s = (m - 1) - s (m - 1) holds the rest
    near = fma(-s, fma(-v, polynomial(v, _L), m - 1), m - 1)
    k = float(e)
    return fma(k, _LOG2[0], fma(k, _LOG2[1], near))


@inlined
def log1p(x: float) -> float:
    """log(1 + x) for 0 <= x <= 1, to a few roundings also near 0."""
    y = 1 + x
    # c = (y - 1) - x, at most 2^-53, stands for c/(1 + x): c x/(1 + x) is at most 2^-53 log(1 + x)
    return logarithm(y) - ((y - 1) - x)


@inlined
def falling(size: float) -> tuple[float, float]:
    """(exp(-2x) - 1, exp(-2x)) for x >= 0; from 350 on, the values there."""
    p, power = _parts_of_exponential(max(-2 * size, -700.0))
    return fma(power, p, power - 1), fma(power, p, power)


@inlined
def tanh_from(e: float, x: float) -> float:
    """tanh x = -e/(2 + e) for e = exp(-2|x|) - 1; exactly odd."""
    t = -e / (2 + e)
    return math.copysign(t, x) if x == x else x


@inlined
def tanh(x: float) -> float:
    e, _ = falling(abs(x))
    return tanh_from(e, x)


@inlined
def bell(x: float) -> float:
    """exp(-x^2/2); 0 from |x| = 37 on, where it is below 1e-297."""
    square = x * x
    power = exponential(-0.5 * square)
    # what rounding took from the square, times the exponential
    power = fma(-0.5 * fma(x, x, -square), power, power)
    return 0.0 if abs(x) >= 37 else power


@inlined
def tail_ratio(x: float) -> float:
    """exp(x^2/2) Phi(-x) for 0 <= x <= 38; beyond, the value at the end."""
    inside = 38.0 if x > 38 else x
    shifted = inside + 5
    inverse = 1 / shifted
    # what the two roundings took, relative to the inverse: near 0 a unit of it would be four units of the result
    rest = fma(-shifted, inverse, 1.0) + ((shifted - 5) - inside) * inverse
    t = fma(-10 * inverse, rest, fma(-10.0, inverse, 1.0))
    # two chains of half the length
    return fma(inverse, rest, inverse) * fma(t, polynomial(t * t, _T[1::2]), polynomial(t * t, _T[::2]))
