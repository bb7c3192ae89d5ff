"""X^T (T * (X v)) for one vector, where memory is the limit: both products in one loop, of different rows.

The second product of four rows runs in the same loop over d as the first product of the next four, so that there is
always something to compute while the rows after these are on their way from memory. The loop asks for them twice: a
processor drops requests when many are on their way. The order of summation is that of `sweep`.
"""

from typing import Any

from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from mimtheory.kernels.compiling import DISABLED, part
from mimtheory.kernels.partition import DEPTH, GROUP, ROWS
from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.products import NEAR, add, carry
from mimtheory.kernels.tiles import Tile
from mimtheory.kernels.vector_code import Code, lanes, signature_of

__all__ = ["BOTH_ROWS", "both_tile", "one_vector", "plain_both"]

Floats = NDArray[Any]

BOTH_ROWS = 4
_STEPS = ROWS // BOTH_ROWS  # of a block
_AHEAD = 4096  # numbers between the new rows and what is asked for, at least: a nearer line would come too late
_AGAIN = 512  # numbers between the two requests for a line where rows are long, a step where they are not
_KEPT = 2**22  # bytes of a sample that a processor brings near by itself; to ask for them would only take time


def plain_both(
    X: Floats,
    new: int,
    old: int,
    stride: int,
    vectors: int,
    V: Floats,
    S: Floats,
    G: Floats,
    Z: Floats,
    ahead: int,
    again: int,
) -> None:
    """Z[r] = <X_new[r], V> and G += S[r] X_old[r], r = 0, 1, 2, 3 in turn, over `vectors` whole vectors.

    What stands `ahead` numbers behind the new rows is asked for, unless that is 0, and so is what stands `again` behind
    that.
    """
    size = vectors * lanes(X.itemsize)
    data, out = X.reshape(-1), G.reshape(-1)
    for r in range(BOTH_ROWS):
        x, x_old = new + r * stride, old + r * stride
        Z[r] = data[x : x + size] @ V.reshape(-1)[:size]
        out[:size] += S[r] * data[x_old : x_old + size]


@intrinsic  # without annotations, as all intrinsics: see `tiles`
def _vector_both(typing, X, new, old, stride, vectors, V, S, G, Z, ahead, again):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _, new, old, stride, vectors, _, _, _, _, ahead, again = arguments
        code = Code(context, builder, signature, arguments)
        data, V, S, G, Z = (code.array(k) for k in (0, 5, 6, 7, 8))
        rows = code.row_offsets(stride, BOTH_ROWS)
        factors = [code.splat(code.at(S, code.integer(r))) for r in range(BOTH_ROWS)]
        totals = code.sums(BOTH_ROWS)
        with code.pieces(vectors, DEPTH) as (start, count):
            sums = code.sums(BOTH_ROWS)
            with cgutils.for_range(builder, count) as loop:
                k = code.times(builder.add(start, loop.index), code.size)
                here, there = code.opaque(code.at(data, new, k)), code.opaque(code.at(data, old, k))
                other, total = code.load(code.at(V, k)), code.load(code.at(G, k))
                with builder.if_then(builder.icmp_signed("!=", ahead, code.integer(0))):
                    far = code.opaque(code.at(here, ahead))
                    farther = code.opaque(code.at(far, again))
                    for offset in rows:
                        code.prefetch(code.by_bytes(far, offset))
                        code.prefetch(code.by_bytes(farther, offset))
                for r, offset in enumerate(rows):
                    code.add_product(sums[r], code.load(code.by_bytes(here, offset)), other)
                    total = code.product_and_sum(factors[r], code.load(code.by_bytes(there, offset)), total)
                code.store(total, code.at(G, k))
            for slot, piece in zip(totals, sums, strict=True):
                builder.store(builder.fadd(builder.load(slot), builder.load(piece)), slot)
        # a row may end in a line in which no vector starts
        end = code.at(data, new, code.times(vectors, code.size), ahead)
        for r, slot in enumerate(totals):
            code.prefetch(code.by_bytes(end, rows[r]))
            code.store(code.total(builder.load(slot)), code.at(Z, code.integer(r)))
        return context.get_dummy_value()

    return signature_of((X, new, old, stride, vectors, V, S, G, Z, ahead, again)), generate


both_tile: Tile = plain_both if DISABLED else _vector_both


@part
def _add_rows(X: Floats, first: int, rows: int, start: int, d: int, S: Floats, G: Floats) -> None:
    """G += S[r] X[first + r] in columns start ... d - 1, for as many rows."""
    for r in range(rows):
        for k in range(start, d):
            G[0, k] += S[r] * X[first + r, k]


@part
def _close(block: int, blocks: int, levels: Floats) -> None:
    """A block that is summed up goes into its group."""
    add(levels[0], levels[3], block % GROUP == 0)
    carry(levels, block, blocks)


@part
def one_vector(
    X: Floats,
    d: int,
    first: int,
    start: int,
    stop: int,
    size: int,
    V: Floats,
    y: Floats,
    levels: Floats,
    made: bool,
    key: tuple[Any, Any],
    Z: Floats,
    S: Floats,
) -> None:
    """The sum over a leaf, rows start ... stop - 1, of which X holds those from `first` on; `carry` says at what level.

    `size` is the number of lanes. A step multiplies four rows by V and adds up the four before them; a leaf has that
    many. levels[3] is the sum of a block, Z and S have room for the products and factors of a step.
    """
    stride, whole = X.shape[1], d // size
    steps, blocks = (stop - start + BOTH_ROWS - 1) // BOTH_ROWS, (stop - start + ROWS - 1) // ROWS
    distance = BOTH_ROWS * stride
    ahead = 0 if made or X.size * X.itemsize <= _KEPT else (_AHEAD + distance - 1) // distance * distance
    # the new rows and both of what is asked for have to stay in the second cache
    again = ahead if 3 * ahead * X.itemsize <= NEAR else _AGAIN
    x = 0 if made else (start - first) * stride
    for step in range(steps):
        row, x_old = start + step * BOTH_ROWS, x
        rows, x = min(BOTH_ROWS, stop - row), step % 2 * distance if made else (row - first) * stride
        if made:
            fill_rows(X[x // stride : x // stride + rows], row, key[0], key[1])
        # where rows lack, others take part, and nothing is made of their products: rows before these, which there are,
        # or in a place for Gaussians what is left in it
        before = 0 if made else BOTH_ROWS - rows
        new = x - before * stride
        both_tile(X, new, x_old, stride, whole, V, S, levels[3], Z, ahead, again)
        _add_rows(X, x_old // stride, BOTH_ROWS if step else 0, whole * size, d, S, levels[3])
        if step % _STEPS == 0:
            if step:
                _close(step // _STEPS - 1, blocks, levels)
            levels[3, 0, :] = 0.0  # in the first step too, which has added up rows with factors that there were not yet
        for r in range(rows):
            z = Z[before + r]
            for k in range(whole * size, d):
                z += X[x // stride + r, k] * V[0, k]
            S[r] = y[row + r] * z
    _add_rows(X, x // stride, rows, 0, d, S, levels[3])
    _close(blocks - 1, blocks, levels)
