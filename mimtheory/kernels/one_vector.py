"""X^T (T * (X v)) for one vector, where memory is the limit: both products in one loop, of different rows.

The second product of four rows runs in the same loop over d as the first product of the next four, so that there is
always something to compute while the rows after these are on their way from memory; the loop asks for them line after
line. The order of summation is that of `sweep`, with blocks of ROWS rows.
"""

from typing import Any

from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from mimtheory.kernels.compiling import DISABLED, part
from mimtheory.kernels.partition import DEPTH, GROUP, ROWS
from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.products import add, carry
from mimtheory.kernels.tiles import Tile
from mimtheory.kernels.vector_code import Code, lanes, signature_of

__all__ = ["BOTH_ROWS", "both_tile", "one_vector", "plain_both"]

Floats = NDArray[Any]

BOTH_ROWS = 4
_STEPS = ROWS // BOTH_ROWS  # of a block
_AHEAD = 4096  # numbers between the new rows and what is asked for, at least: a nearer line would come too late


def plain_both(
    X: Floats,
    new: int,
    rows: int,
    old: int,
    rows_old: int,
    stride: int,
    vectors: int,
    V: Floats,
    S: Floats,
    G: Floats,
    Z: Floats,
    ahead: int,
) -> None:
    """Z[r] = <X_new[r], V> and G += S[r] X_old[r], r = 0, 1, 2, 3 in turn, over `vectors` whole vectors.

    Where there are fewer than four rows the last stands for those that lack. Lines from X[ahead] on are asked for.
    """
    size = vectors * lanes(X.itemsize)
    data, out = X.reshape(-1), G.reshape(-1)
    for r in range(BOTH_ROWS):
        x, x_old = new + min(r, rows - 1) * stride, old + min(r, rows_old - 1) * stride
        Z[r] = data[x : x + size] @ V.reshape(-1)[:size]
        out[:size] += S[r] * data[x_old : x_old + size]


@intrinsic  # without annotations, as all intrinsics: see `tiles`
def _vector_both(typing, X, new, rows, old, rows_old, stride, vectors, V, S, G, Z, ahead):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _, new, rows, old, rows_old, stride, vectors, _, _, _, _, ahead = arguments
        code = Code(context, builder, signature, arguments)
        data, V, S, G, Z = (code.array(k) for k in (0, 7, 8, 9, 10))
        news = code.row_pointers(code.at(data, new), stride, rows, BOTH_ROWS)
        olds = code.row_pointers(code.at(data, old), stride, rows_old, BOTH_ROWS)
        factors = [code.splat(code.at(S, code.integer(r))) for r in range(BOTH_ROWS)]
        totals, lines = code.sums(BOTH_ROWS), code.at(data, ahead)
        with code.pieces(vectors, DEPTH) as (start, count):
            sums = code.sums(BOTH_ROWS)
            with cgutils.for_range(builder, count) as loop:
                k = code.times(builder.add(start, loop.index), code.size)
                other, total = code.load(code.at(V, k)), code.load(code.at(G, k))
                for r in range(BOTH_ROWS):
                    code.prefetch(code.at(lines, code.times(k, BOTH_ROWS), code.integer(r * code.size)))
                    code.add_product(sums[r], code.load(code.at(news[r], k)), other)
                    total = code.product_and_sum(factors[r], code.load(code.at(olds[r], k)), total)
                code.store(total, code.at(G, k))
            for slot, piece in zip(totals, sums, strict=True):
                builder.store(builder.fadd(builder.load(slot), builder.load(piece)), slot)
        for r, slot in enumerate(totals):
            code.store(code.total(builder.load(slot)), code.at(Z, code.integer(r)))
        return context.get_dummy_value()

    return signature_of((X, new, rows, old, rows_old, stride, vectors, V, S, G, Z, ahead)), generate


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

    `size` is the number of lanes. A step multiplies four rows by V and adds up the four before them; levels[3] is the
    sum of a block, Z and S have room for the products and factors of a step.
    """
    stride, whole = X.shape[1], d // size
    steps, blocks = (stop - start + BOTH_ROWS - 1) // BOTH_ROWS, (stop - start + ROWS - 1) // ROWS
    x, rows = 0 if made else (start - first) * stride, BOTH_ROWS
    S[:BOTH_ROWS] = 0.0
    for step in range(steps):
        row, x_old, rows_old = start + step * BOTH_ROWS, x, rows
        rows, x = min(BOTH_ROWS, stop - row), step % 2 * BOTH_ROWS * stride if made else (row - first) * stride
        if made:
            fill_rows(X[x // stride : x // stride + rows], row, key[0], key[1])
        ahead = x if made else x + max(BOTH_ROWS * stride, _AHEAD)
        both_tile(X, x, rows, x_old, rows_old if step else rows, stride, whole, V, S, levels[3], Z, ahead)
        _add_rows(X, x_old // stride, BOTH_ROWS if step else 0, whole * size, d, S, levels[3])
        if step % _STEPS == 0:
            if step:
                _close(step // _STEPS - 1, blocks, levels)
            levels[3, 0, :] = 0.0  # in the first step it holds nothing but 0 times these rows, or what 0 times inf is
        for r in range(rows):
            for k in range(whole * size, d):
                Z[r] += X[x // stride + r, k] * V[0, k]
            S[r] = y[row + r] * Z[r]
    _add_rows(X, x // stride, rows, 0, d, S, levels[3])
    _close(blocks - 1, blocks, levels)
