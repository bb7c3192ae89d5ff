"""Register-tiled micro-kernels as LLVM vector code, and their plain twins.

Both products of one pass over X keep their sums in vector registers while they run. A tile of shape (R, C) does R C
fused multiply-adds for each R + C loads, so with R, C of a few the arithmetic units and not the loads are the limit;
but R C sums must fit into the registers with room for operands: 32 registers on AVX-512 and ARM, 16 before.

==========  =========================  ===================================================  ============================
tile        result                     registers hold                                       shape (32/16)
==========  =========================  ===================================================  ============================
`products`  z_ij = w_j.x_i             rows x vectors of neurons; x broadcast, W packed     8 x 2, 16 x 1, 8 x 1 / 8 x 1
`inner`     the same for few neurons   4 rows x 1, 2 or 4 along d, added across at the end  4 x 4 / 2 x 4
`rank`      G_j += sum_i s_ij x_i      J neurons x V vectors along d; s broadcast           J V = 24 / 8
==========  =========================  ===================================================  ============================

All operands are C-contiguous arrays of any dimension with an offset and a stride in elements. Nothing is masked:
callers pad to whole vectors, and give `products` all its rows. A sum starts at 0, takes its terms in order with one
rounding each (where the machine fuses; two else), and is then added to what is there, or stored if `fresh`; `products`
does so once in DEPTH terms. `ahead` is the distance of the data that the processor is asked to fetch meanwhile into the
second cache, by `inner` and `rank` with the vector behind them, as a row may end in a line in which no vector starts; a
wide `rank` may ask, into the first, for what the next tile works on. The width follows the machine that Numba compiles
for, and with it the bits of `inner` alone.

`NUMBA_DISABLE_JIT=1` puts the plain twins in place of the tiles.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from mimtheory.kernels.compiling import DISABLED
from mimtheory.kernels.partition import DEPTH
from mimtheory.kernels.vector_code import REGISTERS, WIDTH, Code, lanes, signature_of

__all__ = [
    "INNER_COUNTS",
    "INNER_ROWS",
    "LOW_ROWS",
    "PANELS",
    "PRODUCT_ROWS",
    "RANK_SHAPES",
    "Tile",
    "copy_8",
    "edge_1",
    "edge_2",
    "edge_4",
    "edge_8",
    "inner_1",
    "inner_2",
    "inner_4",
    "low_products",
    "plain_copy",
    "plain_inner",
    "plain_products",
    "plain_rank",
    "products_1",
    "products_2",
    "rank_1",
    "rank_2",
    "rank_4",
    "rank_8",
    "steady_8",
]

Floats = NDArray[Any]
Tile = Callable[..., None]

_MANY = REGISTERS == 32
_LINES = WIDTH == 512  # a vector is a line of the cache; requests for shorter ones cost more than they save
# vectors of neurons of a tile -> rows: sums enough that none waits for its last addition
PRODUCT_ROWS = {1: 16, 2: 8} if _MANY else {1: 8, 2: 8}
LOW_ROWS = 8  # of a tile of one vector of neurons where more rows are not left or share few places of the first cache
PANELS = 2 if _MANY else 1  # vectors of neurons that share the loads of x
INNER_ROWS = 4 if _MANY else 2
INNER_COUNTS = (1, 2, 4)
# neurons of a tile -> vectors along d
RANK_SHAPES = {8: 3, 4: 6, 2: 8, 1: 8} if _MANY else {8: 1, 4: 2, 2: 4, 1: 4}


# Plain twins


def plain_products(
    X: Floats,
    x: int,
    x_stride: int,
    W: Floats,
    w: int,
    w_stride: int,
    depth: int,
    Z: Floats,
    z: int,
    z_stride: int,
    fresh: bool,
    ahead: int,
    every: bool,
    height: int,
    count: int,
) -> None:
    """Z[r, l] (+)= sum_{k < depth} X[r, k] W[k, l] for `height` rows and `count` vectors of columns l, in pieces of
    DEPTH terms; W has a panel for each vector.
    """
    size = lanes(X.itemsize)
    data, weights, out = X.reshape(-1), W.reshape(-1), Z.reshape(-1)
    rows = np.arange(height)
    starts = x + rows * x_stride
    for p in range(count):
        first = w + p * w_stride
        panel = weights[first : first + depth * size].reshape(depth, size)
        places = (z + rows * z_stride + p * size)[:, None] + np.arange(size)
        for k in range(0, depth, DEPTH):
            terms = slice(k, min(k + DEPTH, depth))
            columns = data[starts + np.arange(depth)[terms, None]]
            total = _in_order(columns[:, :, None] * panel[terms, None])
            out[places] = total if fresh and k == 0 else out[places] + total


def _in_order(terms: Floats) -> Floats:
    """Their sum along the first axis, one after the other, as NumPy adds along any axis but the last; the order in
    which its products add depends on the processor and on how many terms there are.
    """
    total: Floats = np.add.reduce(terms, axis=0)
    return total


def plain_inner(
    X: Floats,
    x: int,
    x_stride: int,
    rows: int,
    V: Floats,
    v: int,
    v_stride: int,
    vectors: int,
    Z: Floats,
    z: int,
    z_stride: int,
    fresh: bool,
    ahead: int,
    count: int,
) -> None:
    """Z[r, q] (+)= <X[r], V[q]> over `vectors` whole vectors, for `rows` <= INNER_ROWS rows and q < count."""
    size = vectors * lanes(X.itemsize)
    data, other, out = X.reshape(-1), V.reshape(-1), Z.reshape(-1)
    for r in range(INNER_ROWS):
        start = x + min(r, rows - 1) * x_stride
        for q in range(count):
            total = data[start : start + size] @ other[v + q * v_stride : v + q * v_stride + size]
            at = z + r * z_stride + q
            out[at] = total if fresh else out[at] + total


def plain_rank(
    X: Floats,
    x: int,
    x_stride: int,
    rows: int,
    S: Floats,
    s: int,
    s_stride: int,
    G: Floats,
    g: int,
    g_stride: int,
    fresh: bool,
    ahead: int,
    neurons: int,
    vectors: int,
) -> None:
    """G[j] (+)= sum_{i < rows} S[i, j] X[i] for `neurons` rows of G and `vectors` whole vectors along d."""
    size = vectors * lanes(X.itemsize)
    data, factors, out = X.reshape(-1), S.reshape(-1), G.reshape(-1)
    columns = data[(x + np.arange(rows) * x_stride)[:, None] + np.arange(size)]
    weights = factors[(s + np.arange(rows) * s_stride)[:, None] + np.arange(neurons)]
    places = (g + np.arange(neurons) * g_stride)[:, None] + np.arange(size)
    total = _in_order(weights[:, :, None] * columns[:, None])
    out[places] = total if fresh else out[places] + total


def plain_copy(X: Floats, x: int, x_stride: int, rows: int, target: Floats, ahead: int, vectors: int) -> None:
    """`vectors` whole vectors of each row, side by side."""
    size = vectors * lanes(X.itemsize)
    data, out = X.reshape(-1), target.reshape(-1)
    for i in range(rows):
        out[i * size : (i + 1) * size] = data[x + i * x_stride : x + i * x_stride + size]


# Vector code. Numba calls what makes it with objects of its own that have no public types, by argument name; so these
# functions bear no annotations.


def _vector_products(height: int, count: int) -> Tile:
    @intrinsic
    def tile(typing, X, x, x_stride, W, w, w_stride, depth, Z, z, z_stride, fresh, ahead, every):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            _, x, x_stride, _, w, w_stride, depth, _, z, z_stride, fresh, ahead, every = arguments
            code = Code(context, builder, signature, arguments)
            data, panel, out = code.at(code.array(0), x), code.at(code.array(3), w), code.at(code.array(7), z)
            rows = code.row_offsets(x_stride, height)
            panels = [code.at(panel, code.times(w_stride, p)) for p in range(count)]
            places = [
                code.at(out, code.times(z_stride, r), code.integer(p * code.size))
                for r in range(height)
                for p in range(count)
            ]
            totals = code.sums(height * count)
            with builder.if_then(builder.not_(fresh)):
                for total, place in zip(totals, places, strict=True):
                    builder.store(code.load(place), total)
            with code.pieces(depth, DEPTH) as (start, length):
                sums = code.sums(height * count)

                def term(k):  # type: ignore[no-untyped-def]
                    weights = [code.load(code.at(pointer, code.times(k, code.size))) for pointer in panels]
                    here = code.opaque(code.at(data, k))
                    for r, offset in enumerate(rows):
                        one = code.splat(code.by_bytes(here, offset))
                        for p in range(count):
                            code.add_product(sums[r * count + p], one, weights[p])

                # four at once, with requests for the next eight numbers of four rows: little else is left to do. Of
                # sixteen rows every second is asked for, unless `every`: more requests at a time make the loads wait.
                four, apart = code.integer(4), height // 8
                with cgutils.for_range(builder, builder.udiv(length, four)) as loop:
                    first = builder.add(start, builder.mul(loop.index, four))
                    within = builder.and_(first, four)
                    row = code.times(within, apart)
                    next_eight = builder.add(builder.sub(first, within), code.integer(8))
                    far = code.opaque(code.at(data, builder.mul(row, x_stride), next_eight, ahead))
                    for k in range(4):
                        term(builder.add(first, code.integer(k)))
                        code.prefetch(code.by_bytes(far, rows[k * apart]))
                    if apart == 2:
                        with builder.if_then(every):
                            for k in range(4):
                                code.prefetch(code.by_bytes(far, rows[k * apart + 1]))
                rest = builder.urem(length, four)
                with cgutils.for_range(builder, rest) as loop:
                    term(builder.add(builder.sub(builder.add(start, length), rest), loop.index))
                for total, slot in zip(totals, sums, strict=True):
                    builder.store(builder.fadd(builder.load(total), builder.load(slot)), total)
            for total, place in zip(totals, places, strict=True):
                code.store(builder.load(total), place)
            return context.get_dummy_value()

        return signature_of((X, x, x_stride, W, w, w_stride, depth, Z, z, z_stride, fresh, ahead, every)), generate

    return tile


def _vector_inner(count: int) -> Tile:
    @intrinsic
    def tile(typing, X, x, x_stride, rows, V, v, v_stride, vectors, Z, z, z_stride, fresh, ahead):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            _, x, x_stride, rows, _, v, v_stride, vectors, _, z, z_stride, fresh, ahead = arguments
            code = Code(context, builder, signature, arguments)
            pointers = code.row_pointers(code.at(code.array(0), x), x_stride, rows, INNER_ROWS)
            others = [code.at(code.array(4), v, code.times(v_stride, q)) for q in range(count)]
            sums = code.sums(INNER_ROWS * count)
            with cgutils.for_range(builder, vectors) as loop:
                k = code.times(loop.index, code.size)
                right = [code.load(code.at(pointer, k)) for pointer in others]
                for r, pointer in enumerate(pointers):
                    left = code.load(code.at(pointer, k))
                    code.prefetch(code.at(pointer, k, ahead))
                    for q in range(count):
                        code.add_product(sums[r * count + q], left, right[q])
            for pointer in pointers:
                code.prefetch(code.at(pointer, code.times(vectors, code.size), ahead))
            out = code.at(code.array(8), z)
            values = [
                (code.total(builder.load(sums[r * count + q])), code.at(out, code.times(z_stride, r), code.integer(q)))
                for r in range(INNER_ROWS)
                for q in range(count)
            ]
            code.put(values, fresh)
            return context.get_dummy_value()

        return signature_of((X, x, x_stride, rows, V, v, v_stride, vectors, Z, z, z_stride, fresh, ahead)), generate

    return tile


def _vector_rank(neurons: int, vectors: int, near: bool) -> Tile:
    """If `near`, each row also asks, into the first cache, for the columns to its right, which the next tile reads, and
    for a vector of the sums behind its own: runs too short for the processor to see by itself."""

    @intrinsic
    def tile(typing, X, x, x_stride, rows, S, s, s_stride, G, g, g_stride, fresh, ahead):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            _, x, x_stride, rows, _, s, s_stride, _, g, g_stride, fresh, ahead = arguments
            code = Code(context, builder, signature, arguments)
            data, factors, out = code.at(code.array(0), x), code.at(code.array(4), s), code.at(code.array(7), g)
            sums = code.sums(neurons * vectors)
            with cgutils.for_range(builder, rows) as loop:
                row = code.at(data, builder.mul(loop.index, x_stride))
                columns = [code.load(code.at(row, code.integer(v * code.size))) for v in range(vectors)]
                for v in range(vectors + 1):
                    code.prefetch(code.at(row, ahead, code.integer(v * code.size)))
                if near:
                    for v in range(vectors, 2 * vectors):
                        code.prefetch(code.at(row, code.integer(v * code.size)), 1)
                    line = code.times(builder.add(loop.index, code.integer(neurons * vectors)), code.size)
                    code.prefetch(code.at(out, line), 1)
                factor = code.at(factors, builder.mul(loop.index, s_stride))
                for j in range(neurons):
                    one = code.splat(code.at(factor, code.integer(j)))
                    for v in range(vectors):
                        code.add_product(sums[j * vectors + v], one, columns[v])
            values = [
                (
                    builder.load(sums[j * vectors + v]),
                    code.at(out, code.times(g_stride, j), code.integer(v * code.size)),
                )
                for j in range(neurons)
                for v in range(vectors)
            ]
            code.put(values, fresh)
            return context.get_dummy_value()

        return signature_of((X, x, x_stride, rows, S, s, s_stride, G, g, g_stride, fresh, ahead)), generate

    return tile


def _vector_copy(vectors: int) -> Tile:
    @intrinsic
    def tile(typing, X, x, x_stride, rows, target, ahead):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            _, x, x_stride, rows, _, ahead = arguments
            code = Code(context, builder, signature, arguments)
            data, out = code.at(code.array(0), x), code.array(4)
            with cgutils.for_range(builder, rows) as loop:
                row, place = (
                    code.at(data, builder.mul(loop.index, x_stride)),
                    code.times(loop.index, vectors * code.size),
                )
                for v in range(vectors):
                    shift = code.integer(v * code.size)
                    code.store(code.load(code.at(row, shift)), code.at(out, place, shift))
                    code.prefetch(code.at(row, ahead, shift))
            return context.get_dummy_value()

        return signature_of((X, x, x_stride, rows, target, ahead)), generate

    return tile


# The tiles in use


def _plain(function: Tile, *shape: int) -> Tile:
    def tile(*arguments: Any) -> None:
        function(*arguments, *shape)

    return tile


products_1, products_2, low_products = (
    _plain(plain_products, *shape) if DISABLED else _vector_products(*shape)
    for shape in ((PRODUCT_ROWS[1], 1), (PRODUCT_ROWS[2], 2), (LOW_ROWS, 1))
)
inner_1, inner_2, inner_4 = (_plain(plain_inner, count) if DISABLED else _vector_inner(count) for count in INNER_COUNTS)
rank_8, rank_4, rank_2, rank_1 = (
    _plain(plain_rank, *shape) if DISABLED else _vector_rank(*shape, _LINES) for shape in RANK_SHAPES.items()
)
# one vector along d, for what is left of a row
edge_8, edge_4, edge_2, edge_1 = (
    _plain(plain_rank, count, 1) if DISABLED else _vector_rank(count, 1, False) for count in RANK_SHAPES
)
# the largest, asking for nothing near: the yardstick of what a core can do
steady_8 = _plain(plain_rank, 8, RANK_SHAPES[8]) if DISABLED else _vector_rank(8, RANK_SHAPES[8], False)
copy_8 = _plain(plain_copy, RANK_SHAPES[8]) if DISABLED else _vector_copy(RANK_SHAPES[8])
