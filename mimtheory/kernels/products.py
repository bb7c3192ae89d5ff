"""The two products of one pass over X, made of tiles, for a block of rows.

Z = X_b W^T with W packed for it, and G += S_b^T X_b. A block is named by an array that holds it, the offset of its
first entry and the distance of its rows; the columns that do not fill a vector stand, padded with zeros, in `edge`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels import tiles
from mimtheory.kernels.compiling import inlined, kernel, part
from mimtheory.kernels.partition import DEPTH, GROUP, ROWS
from mimtheory.kernels.tiles import (
    INNER_ROWS,
    PANELS,
    copy_8,
    edge_1,
    edge_2,
    edge_4,
    edge_8,
    inner_1,
    inner_2,
    inner_4,
    low_products,
    products_1,
    products_2,
    rank_1,
    rank_2,
    rank_4,
    rank_8,
)
from mimtheory.kernels.vector_code import lanes

__all__ = [
    "FEW",
    "NEAR",
    "PIECE",
    "accumulate",
    "add",
    "asks_twice",
    "carry",
    "copy_edge",
    "few_products",
    "in_rows",
    "many_products",
    "pack",
]

Floats = NDArray[Any]

FEW = 32  # bytes of so many neurons' numbers up to which the lanes of a register run along d and not along the neurons
_LONG = 4 * DEPTH  # terms that a tile of `products` takes at once: its rows of them and of W fill the first cache
NEAR = 2**19  # bytes that stay in the second cache, whatever the machine
_CROWDED = 2048  # rows at a distance of so many bytes or a multiple of it share few places of the first cache
_OFTEN = 32  # neurons from which it is worth while to copy a piece of such rows to a place of its own
_V8, _V4, _V2, _V1 = (tiles.RANK_SHAPES[j] for j in (8, 4, 2, 1))
_ROWS1, _ROWS2 = (tiles.PRODUCT_ROWS[count] for count in (1, 2))
# room for a piece of a block of X: a tile's rows of the first product or a tile's columns of the second
PIECE = (_ROWS1, max(_LONG, ROWS * _V8 * lanes(4) // _ROWS1))


@part
def copy_edge(X: Floats, row: int, rows: int, start: int, d: int, edge: Floats) -> None:
    """Columns start ... d - 1 of the block, which do not fill a vector; what follows them stays 0."""
    for i in range(rows):
        for k in range(start, d):
            edge[i, k - start] = X[row + i, k]


@part
def pack(W: Floats, few: Floats, panels: Floats) -> None:
    """W in rows of whole vectors, or in panels with the neurons side by side; 0 beyond."""
    m, size = W.shape[0], panels.shape[2]
    for j in range(few.shape[0]):
        for k in range(W.shape[1]):
            few[j, k] = W[j, k]
    for j in range(m if panels.shape[0] else 0):
        for k in range(W.shape[1]):
            panels[j // size, k, j % size] = W[j, k]


# The first product


@part
def _inner(
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    V: Floats,
    v: int,
    vectors: int,
    Z: Floats,
    z: int,
    fresh: bool,
    ahead: int,
) -> None:
    """Z (+)= X V^T for few neurons, over some vectors along d; the first ask for what is `ahead`."""
    m, long, wide = V.shape[0], V.shape[1], Z.shape[1]
    q = 0
    while q + 4 <= m:
        inner_4(X, x, stride, rows, V, v + q * long, long, vectors, Z, z + q, wide, fresh, ahead)
        q, ahead = q + 4, 0
    if m & 2:
        inner_2(X, x, stride, rows, V, v + q * long, long, vectors, Z, z + q, wide, fresh, ahead)
        q, ahead = q + 2, 0
    if m & 1:
        inner_1(X, x, stride, rows, V, v + q * long, long, vectors, Z, z + q, wide, fresh, ahead)


@part
def asks_twice(m: int, d: int, itemsize: int) -> bool:
    """Whether both products ask for all of the next block: a processor drops requests when many are on their way.

    Not if all that the two products of many neurons go through (two blocks, W and the sums twice) is too much for the
    second cache: it would drive out what was asked for before its turn.
    """
    return m * itemsize <= FEW or (2 * ROWS + 3 * m) * d * itemsize <= NEAR


@part
def few_products(
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    whole: int,
    edge: Floats,
    V: Floats,
    Z: Floats,
    ahead: int,
) -> None:
    """Z = X V^T for few neurons; `whole` vectors of a row are in X, one more in `edge` if V is wider."""
    size, wide = edge.shape[1], Z.shape[1]
    for r in range(0, rows, INNER_ROWS):
        some = min(INNER_ROWS, rows - r)
        for k in range(0, whole, DEPTH):
            count = min(DEPTH, whole - k)
            _inner(X, x + r * stride + k * size, stride, some, V, k * size, count, Z, r * wide, k == 0, ahead)
        if whole * size < V.shape[1]:
            _inner(edge, r * size, size, some, V, whole * size, 1, Z, r * wide, whole == 0, 0)


@part
def many_products(
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    panels: Floats,
    Z: Floats,
    ahead: int,
    twice: bool,
    alone: bool,
    piece: Floats,
) -> None:
    """Z = X W^T, W packed in panels (k, d, lanes): a piece of a panel stays in the first cache for all rows.

    The first panels ask for the next block if the second product does too (`twice`) or if there is none (`alone`), or
    else for the next piece of each row, and at the end of the rows for the first piece of the next block. Where a block
    ends within a tile, the rows that follow it in X are multiplied too, of Gaussians those of an earlier block, and
    nothing is made of that; `piece` has room for the last rows of X, which none follow.
    """
    (count, d, size), wide = panels.shape, Z.shape[1]
    crowded, every = stride * X.itemsize % _CROWDED == 0, not twice
    most = _LONG if count == 1 else _LONG // PANELS
    for k in range(0, d, most):
        depth = min(most, d - k)
        distance = ahead if twice or alone else depth if k + depth < d else ahead - k if ahead else 0
        for p in range(0, count, PANELS):
            w, far = (p * d + k) * size, distance if p == 0 else 0
            both = p + 2 <= count and PANELS == 2
            tall, r = _ROWS2 if both else _ROWS1, 0
            while r < rows:
                low = not both and (crowded or rows - r <= tiles.LOW_ROWS)
                height = tiles.LOW_ROWS if low else tall
                source, at, step, z = X, x + r * stride + k, stride, r * wide + p * size
                if x // stride + r + height > X.shape[0]:
                    _copy_rows(X, at, stride, rows - r, depth, piece)
                    source, at, step = piece, 0, depth
                if both:
                    products_2(source, at, step, panels, w, d * size, depth, Z, z, wide, k == 0, far, every)
                elif low:
                    low_products(source, at, step, panels, w, d * size, depth, Z, z, wide, k == 0, far, every)
                else:
                    products_1(source, at, step, panels, w, d * size, depth, Z, z, wide, k == 0, far, every)
                r += height


@part
def _copy_rows(X: Floats, x: int, stride: int, rows: int, depth: int, piece: Floats) -> None:
    """`depth` numbers of each row, side by side."""
    data, target = X.reshape(-1), piece.reshape(-1)
    for r in range(rows):
        source, place = data[x + r * stride :], target[r * depth :]
        for k in range(depth):
            place[k] = source[k]


# The second product. Its sums stand in the order of the tiles, the numbers of each side by side: as rows they would be
# in as many pages of memory as there are neurons, and the processor would not fetch by itself what comes next.


@inlined
def _tile(
    neurons: int,
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    S: Floats,
    s: int,
    G: Floats,
    g: int,
    columns: int,
    fresh: bool,
    ahead: int,
) -> None:
    """The widest tile of so many neurons."""
    s_stride = S.shape[1]
    if neurons == 8:
        rank_8(X, x, stride, rows, S, s, s_stride, G, g, columns, fresh, ahead)
    elif neurons == 4:
        rank_4(X, x, stride, rows, S, s, s_stride, G, g, columns, fresh, ahead)
    elif neurons == 2:
        rank_2(X, x, stride, rows, S, s, s_stride, G, g, columns, fresh, ahead)
    else:
        rank_1(X, x, stride, rows, S, s, s_stride, G, g, columns, fresh, ahead)


@inlined
def _edge_tile(
    neurons: int,
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    S: Floats,
    s: int,
    G: Floats,
    g: int,
    size: int,
    fresh: bool,
    ahead: int,
) -> None:
    """The tile of so many neurons and one vector.

    Apart from `_tile`: of both in one function every call makes both, and the first compile takes a fifth longer.
    """
    s_stride = S.shape[1]
    if neurons == 8:
        edge_8(X, x, stride, rows, S, s, s_stride, G, g, size, fresh, ahead)
    elif neurons == 4:
        edge_4(X, x, stride, rows, S, s, s_stride, G, g, size, fresh, ahead)
    elif neurons == 2:
        edge_2(X, x, stride, rows, S, s, s_stride, G, g, size, fresh, ahead)
    else:
        edge_1(X, x, stride, rows, S, s, s_stride, G, g, size, fresh, ahead)


@part
def _vectors(neurons: int) -> int:
    return _V8 if neurons == 8 else _V4 if neurons == 4 else _V2 if neurons == 2 else _V1


@part
def _rank(
    neurons: int,
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    whole: int,
    edge: Floats,
    S: Floats,
    s: int,
    first: int,
    end: int,
    G: Floats,
    fresh: bool,
    ahead: int,
    piece: Floats,
) -> None:
    """Neurons first ... end - 1 in tiles of `neurons` rows.

    Each piece of the block is read for all of them while it is near; the first of them asks for that of the next block.
    `piece` has room for one.
    """
    size, wide, vectors = edge.shape[1], G.shape[1], _vectors(neurons)
    g = first * wide
    crowded = neurons == 8 and end - first >= _OFTEN and stride * X.itemsize % _CROWDED == 0
    for c in range(0, whole - vectors + 1, vectors):
        if crowded:
            copy_8(X, x + c * size, stride, rows, piece, ahead)
            for j in range(first, end, neurons):
                rank_8(piece, 0, vectors * size, rows, S, s + j, S.shape[1], G, g, vectors * size, fresh, 0)
                g += neurons * vectors * size
            continue
        far = ahead
        for j in range(first, end, neurons):
            _tile(neurons, X, x + c * size, stride, rows, S, s + j, G, g, vectors * size, fresh, far)
            g, far = g + neurons * vectors * size, 0
    for c in range(whole - whole % vectors, whole):
        for j in range(first, end, neurons):
            _edge_tile(neurons, X, x + c * size, stride, rows, S, s + j, G, g, size, fresh, ahead if j == first else 0)
            g += neurons * size
    if whole * size < wide:
        for j in range(first, end, neurons):
            _edge_tile(neurons, edge, 0, size, rows, S, s + j, G, g, size, fresh, 0)
            g += neurons * size


@part
def accumulate(
    X: Floats,
    x: int,
    stride: int,
    rows: int,
    whole: int,
    edge: Floats,
    S: Floats,
    s: int,
    m: int,
    G: Floats,
    fresh: bool,
    ahead: int,
    piece: Floats,
) -> None:
    """G (+)= S^T X, in the order of the tiles: neurons by eights, then what is left of them.

    From one place: LLVM would make a copy of `_rank` for every number that it is called with, which takes 8 s longer.
    """
    j, neurons = 0, 8
    while neurons:
        end = m - m % neurons
        if j < end:
            _rank(neurons, X, x, stride, rows, whole, edge, S, s, j, end, G, fresh, ahead, piece)
            j, ahead = end, 0
        neurons //= 2


@kernel
def in_rows(sums: Floats, whole: int, size: int, divisor: "float | np.floating[Any]", rows: Floats) -> None:
    """What `accumulate` has summed, in the order of the tiles, over the divisor and as rows without what pads them."""
    m, width = rows.shape
    packed, g, first, neurons = sums.reshape(-1), 0, 0, 8
    while neurons:
        end, c = m - m % neurons, 0
        while first < end and c < width:
            columns = _vectors(neurons) * size
            if c + columns > whole * size:
                columns = size
            for j in range(first, end):
                for k in range(min(columns, width - c)):
                    rows[j, c + k] = packed[g + k] / divisor
                g += columns
            c += columns
        first, neurons = max(first, end), neurons // 2


@part
def add(target: Floats, source: Floats, fresh: bool) -> None:
    for j in range(target.shape[0]):
        if fresh:
            for k in range(target.shape[1]):
                target[j, k] = source[j, k]
        else:
            for k in range(target.shape[1]):
                target[j, k] += source[j, k]


@part
def carry(levels: Floats, block: int, blocks: int) -> None:
    """After a block: a full group goes into its section, a full section into the leaf."""
    last = block == blocks - 1
    if blocks > GROUP and (block % GROUP == GROUP - 1 or last):
        group = block // GROUP
        add(levels[1], levels[0], group % GROUP == 0)
        if blocks > GROUP * GROUP and (group % GROUP == GROUP - 1 or last):
            add(levels[2], levels[1], group < GROUP)
