"""One pass over X: blocks of rows that stay in cache, two products with each, sums over a fixed partition.

A block X_b of 32 rows is multiplied by W (`tiles.products_*` or `inner_*`), something pointwise makes factors S_b of
the products, and G += S_b^T X_b (`rank_*`), which reads the block from cache and asks for the next one. What
is pointwise depends on the mode. This is the only compiled function with loops over the data.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels.compiling import kernel, part
from mimtheory.kernels.one_vector import one_vector
from mimtheory.kernels.partition import GROUP, LEAVES, ROWS, SHORT
from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.pointwise import activate, defects, loss_slope
from mimtheory.kernels.products import (
    FEW,
    accumulate,
    add,
    asked_later,
    carry,
    copy_edge,
    few_products,
    many_products,
    pack,
)
from mimtheory.kernels.tiles import RANK_SHAPES
from mimtheory.kernels.vector_code import lanes

__all__ = ["FEATURES", "GIVEN", "GRADIENT", "POWER", "PRODUCTS", "padded", "sweep"]

Floats = NDArray[Any]

_PIECE = RANK_SHAPES[8]

# What is made of the products u_ij = w_j.x_i + b_j of a block:
GRADIENT = 0  # f_i, and S_ij = a_j l'(c + f_i, y_i) sigma'(u_ij)
POWER = 1  # S_ij = y_i u_ij
GIVEN = 2  # nothing: S is an argument
PRODUCTS = 3  # u itself, without a sum
FEATURES = 4  # Phi_ij = sigma(u_ij), and the sum is Phi^T [Phi, y]


def padded(count: int, itemsize: int) -> int:
    """The smallest multiple of a vector register's numbers that is at least `count`."""
    size = lanes(itemsize)
    return -(-count // size) * size


# Between the products, in double precision: entry j rows + i of u, value and slope is that of row i and neuron j, so
# that loops over the rows are vector code.


@part
def _slopes(
    rows: int,
    m: int,
    value: Floats,
    slope: Floats,
    y: Floats,
    at: int,
    a: Floats,
    centre: float,
    loss: int,
    parameter: float,
    S: Floats,
    f: Floats,
) -> None:
    """f_i, and S_ij = a_j l'(c + f_i, y_i) sigma'(u_ij).

    Neurons j and m-1-j are added first: where they cancel, as they do at a symmetric start, f is exactly 0.
    """
    for i in range(rows):
        f[at + i] = 0.0
    for j in range(m // 2):
        mirror = m - 1 - j
        one, other = a[j], a[mirror]
        for i in range(rows):
            f[at + i] += one * value[j * rows + i] + other * value[mirror * rows + i]
    if m & 1:
        for i in range(rows):
            f[at + i] += a[m // 2] * value[m // 2 * rows + i]
    # the values have done their work: the first of them give their place to l'
    for i in range(rows):
        value[i] = loss_slope(loss, centre + f[at + i] - y[at + i], parameter)
    for j in range(m):
        one = a[j]
        for i in range(rows):
            S[i, j] = slope[j * rows + i] * (one * value[i])


@part
def _biased(rows: int, m: int, Z: Floats, b: Floats, u: Floats) -> None:
    """u = Z + b in double precision."""
    for j in range(m):
        for i in range(rows):
            u[j * rows + i] = Z[i, j] + b[j]


@part
def _raise(peaks: Floats, kind: int, j: int, size: float) -> None:
    """The larger of the two; what is not a number stays."""
    old = peaks[kind, j]
    if old == old and not size <= old:
        peaks[kind, j] = size


@part
def _peaks(
    rows: int,
    m: int,
    u: Floats,
    minus_1: Floats,
    y: Floats,
    at: int,
    f: Floats,
    centre: float,
    loss: int,
    parameter: float,
    peaks: Floats,
) -> None:
    """Raise max |u_ij| and max |q_ij| of each neuron, q_ij = l'(c + f_i, y_i) s(u_ij) - T_i without cancellation, where
    s(u_ij) - 1 is known."""
    for i in range(rows):
        T = loss_slope(loss, centre - y[at + i], parameter)
        factor = loss_slope(loss, centre + f[at + i] - y[at + i], parameter)
        for j in range(m):
            _raise(peaks, 0, j, abs(u[j * rows + i]))
            _raise(peaks, 1, j, abs(factor * minus_1[j * rows + i] + (factor - T)))


@part
def _features(rows: int, m: int, value: Floats, y: Floats, at: int, block: Floats, Z: Floats) -> None:
    """Phi in place of the products, with y as one more column, and a copy of Phi in Z."""
    for i in range(rows):
        for j in range(m):
            block[i, j] = value[j * rows + i]
        block[i, m] = y[at + i]
        if Z.shape[0]:
            for j in range(m):
                Z[at + i, j] = value[j * rows + i]


@part
def _scaled(rows: int, m: int, y: Floats, at: int, block: Floats) -> None:
    for i in range(rows):
        for j in range(m):
            block[i, j] *= y[at + i]


@part
def _copied(rows: int, m: int, block: Floats, at: int, Z: Floats) -> None:
    for i in range(rows):
        for j in range(m):
            Z[at + i, j] = block[i, j]


# The pass


@part
def _workspace(mode: int, X: Floats, m: int, d: int, width: int, size: int) -> tuple[Floats, ...]:
    """Room to work in, 4 m d numbers and what a block needs.

    Returns
    -------
    few, panels : W packed, one of them empty
    block, edge : a block of products and factors, and the last columns of a block of X
    u, value, slope : the same block in double precision
    levels : (4, m, width), sums of a group, a section, a leaf and, for one vector, of a block
    piece : a piece of a block of X
    """
    packed, few = mode != GIVEN, m <= FEW
    wide = m if few and mode != FEATURES else (m + (mode == FEATURES) + size - 1) // size * size
    return (
        np.zeros((m if packed and few else 0, (d + size - 1) // size * size), X.dtype),
        np.zeros(((m + size - 1) // size if packed and not few else 0, d, size), X.dtype),
        np.zeros((ROWS, wide), X.dtype),
        np.zeros((ROWS, size), X.dtype),
        np.zeros(ROWS * wide),
        np.zeros(ROWS * wide),
        np.zeros(ROWS * wide),
        np.empty((4, m, width), X.dtype),
        np.empty((ROWS, _PIECE * size), X.dtype),
    )


@kernel
def sweep(
    mode: int,
    X: Floats,
    n: int,
    d: int,
    first: int,
    low: int,
    high: int,
    W: Floats,
    y: Floats,
    a: Floats,
    b: Floats,
    centre: float,
    codes: tuple[int, int],
    parameter: float,
    S: Floats,
    series: Floats,
    near: float,
    out: Floats,
    f: Floats,
    Z: Floats,
    peaks: Floats,
    made: bool,
    key: tuple[Any, Any],
    size: int,
) -> None:
    """Leaves low ... high - 1 of n rows of d numbers, of which X holds those from `first` on; if `made`, X is the place
    for a block of Gaussians of this key, with room for whole vectors.

    The sum of leaf k, with its numbers in the order of the tiles (`in_rows`), is added to out[k % out.shape[0]],
    (m, whole vectors).
    """
    m, long = out.shape[1], X.shape[1]
    few, panels, block, edge, u, value, slope, levels, piece = _workspace(mode, X, m, d, out.shape[2], size)
    wide = block.shape[1]
    whole = d // size
    single = mode == POWER and m == 1
    tall = SHORT if m <= FEW and not single else ROWS
    # one product alone asks for everything
    asked = asked_later(m, whole, size, X.itemsize)
    if mode in (GIVEN, PRODUCTS, FEATURES):
        asked = whole if mode == GIVEN else 0
    pack(W, few, panels)
    for leaf in range(low, high):
        start, stop = leaf * n // LEAVES, (leaf + 1) * n // LEAVES
        blocks = (stop - start + tall - 1) // tall
        if single and blocks:
            one_vector(X, d, first, start, stop, size, few, y, levels, made, key)
        for number in range(0 if single else blocks):
            row = start + number * tall
            rows, x = min(tall, stop - row), 0 if made else (row - first) * long
            ahead = 0 if made or row + tall >= stop else tall * long
            if made:
                fill_rows(X[:rows], row, key[0], key[1])
            if panels.shape[0]:
                many_products(X, x, long, rows, panels, block, ahead, asked)
            # after these products, which have waited for the columns to come from memory
            if whole * size < d:
                copy_edge(X, 0 if made else row - first, rows, whole * size, d, edge)
            if few.shape[0]:
                few_products(X, x, long, rows, whole, edge, few, block, ahead, asked)
            if mode in (GRADIENT, FEATURES):
                _biased(rows, m, block, b, u)
                activate(codes[1], rows * m, u, value, slope)
            if mode == GRADIENT:
                _slopes(rows, m, value, slope, y, row, a, centre, codes[0], parameter, block, f)
                if peaks.shape[0]:
                    defects(rows * m, u, slope, series, near, value)
                    _peaks(rows, m, u, value, y, row, f, centre, codes[0], parameter, peaks[leaf])
            elif mode == FEATURES:
                _features(rows, m, value, y, row, block, Z)
            elif mode == POWER:
                _scaled(rows, m, y, row, block)
            elif mode == PRODUCTS:
                _copied(rows, m, block, row, Z)
                continue
            left, x_left, stride, vectors, factors, at = X, x, long, whole, block, 0
            if mode == GIVEN:
                factors, at = S, row * m
            elif mode == FEATURES:
                left, x_left, stride, vectors, ahead = block, 0, wide, wide // size, 0
            fresh = number % GROUP == 0
            accumulate(left, x_left, stride, rows, vectors, edge, factors, at, m, levels[0], fresh, ahead, asked, piece)
            carry(levels, number, blocks)
        if blocks and mode != PRODUCTS:
            top = 0 if blocks <= GROUP else (1 if blocks <= GROUP * GROUP else 2)
            add(out[leaf % out.shape[0]], levels[top], False)
