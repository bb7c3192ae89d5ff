"""The gradient of the first layer in one pass over X.

Four rows at a time stay in registers and cache: their products with every neuron, the pointwise part, and their share
of the gradient. Rows are split into `LEAVES` equal parts, a constant of the code; each has its own accumulator and
these are added in order, so that one thread and many give the same bits.
"""

import numba
import numpy as np
from numba import config, njit, prange
from numpy.typing import NDArray

from mimtheory.kernels.hessian_power import LEAVES
from mimtheory.kernels.pointwise import activation_and_slope, loss_slope

__all__ = ["first_layer_gradient"]

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def _inner(x: Floats, w: Floats) -> float:
    """<x, w> with eight partial sums, one vector register without reordering anything."""
    d = x.shape[0]
    body = d - d % 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for k in range(0, body, 8):
        s0 += x[k] * w[k]
        s1 += x[k + 1] * w[k + 1]
        s2 += x[k + 2] * w[k + 2]
        s3 += x[k + 3] * w[k + 3]
        s4 += x[k + 4] * w[k + 4]
        s5 += x[k + 5] * w[k + 5]
        s6 += x[k + 6] * w[k + 6]
        s7 += x[k + 7] * w[k + 7]
    rest = 0.0
    for k in range(body, d):
        rest += x[k] * w[k]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)) + rest


@njit(cache=True, nogil=True, error_model="numpy")
def _row(
    x: Floats, y: float, W: Floats, a: Floats, centre: float, codes: tuple[int, int], parameter: float, s: Floats
) -> float:
    """s_j = a_j l'(c + f, y) sigma'(w_j.x) for one sample; returns f.

    Neurons j and m-1-j are added first: where they cancel, as they do at a symmetric start, f is exactly 0.
    """
    m = W.shape[0]
    f = 0.0
    for j in range(m // 2):
        value, s[j] = activation_and_slope(codes[1], _inner(x, W[j]))
        mirrored, s[m - 1 - j] = activation_and_slope(codes[1], _inner(x, W[m - 1 - j]))
        f += a[j] * value + a[m - 1 - j] * mirrored
    slope = loss_slope(codes[0], centre + f - y, parameter)
    for j in range(m):
        s[j] *= a[j] * slope
    return f


@njit(cache=True, nogil=True, error_model="numpy")
def _leaf(
    X: Floats,
    y: Floats,
    W: Floats,
    a: Floats,
    centre: float,
    codes: tuple[int, int],
    parameter: float,
    start: int,
    stop: int,
    G: Floats,
    f: Floats,
) -> None:
    """Add sum_{start <= i < stop} s_ij x_i to row j of G, four samples at a time."""
    m, d = W.shape
    s = np.empty((4, m))
    body = stop - (stop - start) % 4
    for i in range(start, body, 4):
        for q in range(4):
            f[i + q] = _row(X[i + q], y[i + q], W, a, centre, codes, parameter, s[q])
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        for j in range(m):
            row, s0, s1, s2, s3 = G[j], s[0, j], s[1, j], s[2, j], s[3, j]
            for k in range(d):
                row[k] += (s0 * x0[k] + s1 * x1[k]) + (s2 * x2[k] + s3 * x3[k])
    for i in range(body, stop):
        f[i] = _row(X[i], y[i], W, a, centre, codes, parameter, s[0])
        for j in range(m):
            row, s0 = G[j], s[0, j]
            for k in range(d):
                row[k] += s0 * X[i, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _serial(
    X: Floats, y: Floats, W: Floats, a: Floats, centre: float, codes: tuple[int, int], parameter: float, leaves: int
) -> tuple[Floats, Floats]:
    n, f = X.shape[0], np.empty(X.shape[0])
    partial = np.zeros((leaves, W.shape[0], W.shape[1]))
    for leaf in range(leaves):
        _leaf(X, y, W, a, centre, codes, parameter, leaf * n // leaves, (leaf + 1) * n // leaves, partial[leaf], f)
    return _combine(partial, n), f


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _parallel(
    X: Floats, y: Floats, W: Floats, a: Floats, centre: float, codes: tuple[int, int], parameter: float, leaves: int
) -> tuple[Floats, Floats]:
    n, f = X.shape[0], np.empty(X.shape[0])
    partial = np.zeros((leaves, W.shape[0], W.shape[1]))
    for leaf in prange(leaves):
        _leaf(X, y, W, a, centre, codes, parameter, leaf * n // leaves, (leaf + 1) * n // leaves, partial[leaf], f)
    return _combine(partial, n), f


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(partial: Floats, n: int) -> Floats:
    total = partial[0].copy()
    for leaf in range(1, partial.shape[0]):
        total += partial[leaf]
    total /= n
    return total


def first_layer_gradient(
    X: Floats,
    y: Floats,
    W: Floats,
    a: Floats,
    *,
    centre: float,
    loss_code: int,
    loss_parameter: float,
    activation_code: int,
    threads: int = 1,
) -> tuple[Floats, Floats]:
    """Gradient of (1/n) sum_i l(c + f(x_i), y_i) in the rows of W, f(x) = sum_j a_j sigma(w_j.x).

    Parameters
    ----------
    X : (n, d) C-contiguous float64
    y : (n,) float64
    W : (m, d) float64, m even
    a : (m,) float64
    centre : float
    loss_code, loss_parameter, activation_code
        As in `Loss.code` and `Activation.code`, which are at least 0 for the functions compiled here.
    threads : int
        Any number gives the same bits.

    Returns
    -------
    G : (m, d)
        Allocates 16 m d doubles.
    f : (n,)
        The network on the samples; exactly 0 where neurons j and m-1-j cancel.

    Raises
    ------
    ValueError
        If the shapes do not fit, a code is negative or threads < 1.
    """
    n, d = X.shape
    m = W.shape[0]
    if y.shape != (n,) or W.shape != (m, d) or a.shape != (m,) or m % 2 or n < 1:
        raise ValueError(
            f"shapes X {X.shape}, y {y.shape}, W {W.shape}, a {a.shape} do not fit; "
            "allowed: (n, d), (n,), (m, d), (m,) with m even"
        )
    if loss_code < 0 or activation_code < 0:
        raise ValueError(f"codes = ({loss_code}, {activation_code}); allowed: those of built-in functions, from 0")
    if threads < 1:
        raise ValueError(f"threads = {threads}; allowed: at least 1")
    X, y, W, a = (np.ascontiguousarray(v, dtype=np.float64) for v in (X, y, W, a))
    arguments = (X, y, W, a, float(centre), (loss_code, activation_code), float(loss_parameter), LEAVES)
    threads = min(threads, int(getattr(config, "NUMBA_NUM_THREADS", 1)))
    if threads == 1:
        return _serial(*arguments)
    numba.set_num_threads(threads)
    return _parallel(*arguments)
