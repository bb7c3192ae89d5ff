"""One pass over X: blocks of rows that stay in cache, two products with each, sums over a fixed partition.

A block X_b of 32 rows is multiplied by W (`tiles.products_*` or `inner_*`), something pointwise makes factors S_b of
the products, and G += S_b^T X_b (`rank_*`), which reads the block from cache. Both ask for the next block, or where
that would be too much the first for what it reads next. What is pointwise depends on the mode. This is the only
compiled function with loops over the data.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels.compiling import maker, part
from mimtheory.kernels.one_vector import BOTH_ROWS, one_vector
from mimtheory.kernels.partition import GROUP, LEAVES, ROWS
from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.pointwise import activate, defects, loss_slope, slope_change
from mimtheory.kernels.products import (
    FEW,
    PIECE,
    accumulate,
    add,
    asks_twice,
    carry,
    copy_edge,
    few_products,
    many_products,
    pack,
)
from mimtheory.kernels.vector_code import lanes

__all__ = ["FEATURES", "GIVEN", "GRADIENT", "LINE", "POWER", "PRODUCTS", "at_a_line", "padded", "sweep"]

Floats = NDArray[Any]

LINE = 64  # bytes of a line of the caches, and of the widest vectors

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


# Between the products, in double precision: u, value and slope stand like the block of products, row after row with
# what pads it, and so do the biases and the outer weights, the same in each row; loops over all of it are vector code
# for any number of neurons.


@part
def _repeated(v: Floats, wide: int, out: Floats) -> None:
    rows = out.reshape(-1, wide)
    for i in range(rows.shape[0]):
        for j in range(v.shape[0]):
            rows[i, j] = v[j]


@part
def _biased(count: int, products: Floats, biases: Floats, u: Floats) -> None:
    for k in range(count):
        u[k] = products[k] + biases[k]


@part
def _slopes(
    rows: int,
    m: int,
    values: Floats,
    slopes: Floats,
    y: Floats,
    at: int,
    weights: Floats,
    centre: float,
    loss: int,
    parameter: float,
    value: Floats,
    S: Floats,
    f: Floats,
) -> None:
    """f_i, and S_ij = a_j l'(c + f_i, y_i) sigma'(u_ij). `value` is all of `values`, one row after the other.

    Neurons j and m-1-j are added first: where they cancel, as they do at a symmetric start, f is exactly 0.
    """
    wide, half = S.shape[1], m // 2
    for k in range(rows * wide):
        value[k] *= weights[k]
    # an index that is no sum is known not to be negative, and costs nothing
    outputs, targets = f[at : at + rows], y[at : at + rows]
    mirrored = values[:, m - half : m][:, ::-1]
    for i in range(rows):
        total = 0.0
        for j in range(half):
            total += values[i, j] + mirrored[i, j]
        outputs[i] = total + values[i, half] if m & 1 else total
    # the values have done their work: the first of them give their place to l'
    for i in range(rows):
        value[i] = loss_slope(loss, centre + outputs[i] - targets[i], parameter)
    for i in range(rows):
        factor = value[i]
        for j in range(wide):
            S[i, j] = slopes[i, j] * (weights[j] * factor)


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
    arguments: Floats,
    minus_1: Floats,
    y: Floats,
    at: int,
    f: Floats,
    centre: float,
    loss: int,
    parameter: float,
    peaks: Floats,
) -> None:
    """Raise max |u_ij| and max |q_ij| of each neuron, q_ij = l'(c + f_i, y_i) s(u_ij) - T_i as the sum of
    l'(c + f_i, y_i) (s(u_ij) - 1) and what f_i changes in l'."""
    for i in range(rows):
        factor = loss_slope(loss, centre + f[at + i] - y[at + i], parameter)
        change = slope_change(loss, centre - y[at + i], f[at + i], parameter)
        for j in range(m):
            _raise(peaks, 0, j, abs(arguments[i, j]))
            _raise(peaks, 1, j, abs(factor * minus_1[i, j] + change))


@part
def _features(rows: int, m: int, values: Floats, y: Floats, at: int, block: Floats, Z: Floats) -> None:
    """Phi in place of the products, with y as one more column, and a copy of Phi in Z."""
    for i in range(rows):
        for j in range(m):
            block[i, j] = values[i, j]
        block[i, m] = y[at + i]
        if Z.shape[0]:
            for j in range(m):
                Z[at + i, j] = values[i, j]


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
def _pass(
    mode: int,
    X: Floats,
    n: int,
    d: int,
    first: int,
    low: int,
    high: int,
    problem: tuple[Any, ...],
    made: bool,
    key: tuple[Any, Any],
    size: int,
    room: tuple[Floats, ...],
) -> None:
    """What `sweep` does with its other arguments, the problem, in the room that it makes."""
    W, y, a, b, centre, (loss, activation), parameter, S, series, near, out, f, Z, peaks = problem
    few, panels, block, edge, u, value, slope, biases, weights, levels, piece = room
    m, long, wide, whole = out.shape[1], X.shape[1], block.shape[1], d // size
    products, arguments = block.reshape(-1), u.reshape(-1, wide)
    values, slopes = value.reshape(-1, wide), slope.reshape(-1, wide)
    # every leaf of `one_vector` has the rows of a step
    single = mode == POWER and m == 1 and n >= LEAVES * BOTH_ROWS
    twice = mode in (GRADIENT, POWER) and asks_twice(m, d, X.itemsize)
    pack(W, few, panels)
    _repeated(b, wide, biases)
    _repeated(a, wide, weights)
    for leaf in range(low, high):
        start, stop = leaf * n // LEAVES, (leaf + 1) * n // LEAVES
        blocks = (stop - start + ROWS - 1) // ROWS
        if single and blocks:
            one_vector(X, d, first, start, stop, size, few, y, levels, made, key, piece[0], piece[1])
        for number in range(0 if single else blocks):
            row = start + number * ROWS
            rows, x = min(ROWS, stop - row), 0 if made else (row - first) * long
            # what follows is read next, in this leaf or the one after it
            ahead = 0 if made or row + rows - first >= X.shape[0] else rows * long
            if made:
                fill_rows(X[:rows], row, key[0], key[1])
            if panels.shape[0]:
                many_products(X, x, long, rows, panels, block, ahead, twice, mode in (PRODUCTS, FEATURES), piece)
            # after these products, which have waited for the columns to come from memory
            if whole * size < d:
                copy_edge(X, 0 if made else row - first, rows, whole * size, d, edge)
            if few.shape[0]:
                few_products(X, x, long, rows, whole, edge, few, block, ahead)
            if mode in (GRADIENT, FEATURES):
                _biased(rows * wide, products, biases, u)
                activate(activation, rows * wide, u, value, slope)
            if mode == GRADIENT:
                _slopes(rows, m, values, slopes, y, row, weights, centre, loss, parameter, value, block, f)
                if peaks.shape[0]:
                    defects(rows * wide, u, slope, series, near, value)
                    _peaks(rows, m, arguments, values, y, row, f, centre, loss, parameter, peaks[leaf])
            elif mode == FEATURES:
                _features(rows, m, values, y, row, block, Z)
            elif mode == POWER:
                _scaled(rows, m, y, row, block)
            elif mode == PRODUCTS:
                _copied(rows, m, block, row, Z)
                continue
            left, x_left, stride, vectors, factors, at = X, x, long, whole, block, 0
            if mode == GIVEN:
                factors, at = S, row * m
            elif mode == FEATURES:
                left, x_left, stride, vectors = block, 0, wide, wide // size
            fresh, ahead = number % GROUP == 0, ahead if twice or mode == GIVEN else 0
            accumulate(left, x_left, stride, rows, vectors, edge, factors, at, m, levels[0], fresh, ahead, piece)
            carry(levels, number, blocks)
        if blocks and mode != PRODUCTS:
            top = 0 if blocks <= GROUP else (1 if blocks <= GROUP * GROUP else 2)
            add(out[leaf % out.shape[0]], levels[top], False)


@maker
def at_a_line(numbers: Floats) -> Floats:
    """All but LINE numbers, from the start of a cache line on: else vectors as long as a line may each lie in two."""
    start = -numbers.ctypes.data % LINE // numbers.itemsize
    return numbers[start : start + numbers.size - LINE]


@maker
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
    (m, whole vectors). `codes` are those of the loss and of the activation; below `near`, s(u) - 1 is `series`.

    The room is 4 m d numbers and what a block needs: W packed for few neurons and for many, one of them empty; a block
    of products and factors, and the last columns of a block of X; u, value, slope, biases and weights as long as such a
    block, in double precision; the sums of a group, a section, a leaf and, for one vector, of a block; a piece of a
    block of X, or for one vector the products and factors of a step.
    """
    m, long = out.shape[1], (d + size - 1) // size * size
    packed, few = mode != GIVEN, m * X.itemsize <= FEW
    wide = m if few and mode != FEATURES else (m + (mode == FEATURES) + size - 1) // size * size
    rows, packs, count = m if packed and few else 0, (m + size - 1) // size if packed and not few else 0, ROWS * wide
    room = (
        at_a_line(np.zeros(rows * long + LINE, X.dtype)).reshape(rows, long),
        at_a_line(np.zeros(packs * d * size + LINE, X.dtype)).reshape(packs, d, size),
        at_a_line(np.zeros(count + LINE, X.dtype)).reshape(ROWS, wide),
        at_a_line(np.zeros(ROWS * size + LINE, X.dtype)).reshape(ROWS, size),
        at_a_line(np.zeros(count + LINE)),
        at_a_line(np.zeros(count + LINE)),
        at_a_line(np.zeros(count + LINE)),
        at_a_line(np.zeros(count + LINE)),
        at_a_line(np.zeros(count + LINE)),
        at_a_line(np.empty(4 * m * out.shape[2] + LINE, X.dtype)).reshape(4, m, out.shape[2]),
        at_a_line(np.empty(PIECE[0] * PIECE[1] + LINE, X.dtype)).reshape(PIECE),
    )
    problem = (W, y, a, b, centre, codes, parameter, S, series, near, out, f, Z, peaks)
    _pass(mode, X, n, d, first, low, high, problem, made, key, size, room)
