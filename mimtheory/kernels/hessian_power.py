"""The Hessian-power update V -> (1/n) X^T diag(T) X V in one pass over X.

Rows are split into `LEAVES` equal parts, a constant of the code and not of the machine. Each leaf sums into its own
accumulator and the accumulators are added in order: one thread and many give the same bits. The inner product
of a row keeps eight partial sums, which a compiler may hold in one vector register without reordering anything.
"""

import numba
import numpy as np
from numba import config, njit, prange
from numpy.typing import NDArray

__all__ = ["LEAVES", "hessian_power", "roundings"]

Floats = NDArray[np.float64]

LEAVES = 16


def roundings(n: int, d: int) -> int:
    """Number of roundings on the longest path from an input to an entry of `hessian_power`.

    d/8 + 8 additions in the inner product, the product with T, the product with x, ceil(n/LEAVES) additions in a
    leaf, LEAVES additions of leaves, the division by n: the error of an entry is at most gamma(this) times the sum
    of the absolute values of its terms.
    """
    return -(-d // 8) + 8 + -(-n // LEAVES) + LEAVES + 4


@njit(cache=True, nogil=True, error_model="numpy")
def _leaf(X: Floats, T: Floats, V: Floats, start: int, stop: int, out: Floats) -> None:
    """Add sum_{start <= i < stop} T_i <x_i, v> x_i to every row v of V, into `out`."""
    k, d = V.shape
    body = d - d % 8
    for i in range(start, stop):
        x = X[i]
        for q in range(k):
            v = V[q]
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
            for j in range(0, body, 8):
                s0 += x[j] * v[j]
                s1 += x[j + 1] * v[j + 1]
                s2 += x[j + 2] * v[j + 2]
                s3 += x[j + 3] * v[j + 3]
                s4 += x[j + 4] * v[j + 4]
                s5 += x[j + 5] * v[j + 5]
                s6 += x[j + 6] * v[j + 6]
                s7 += x[j + 7] * v[j + 7]
            rest = 0.0
            for j in range(body, d):
                rest += x[j] * v[j]
            s = T[i] * (((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)) + rest)
            row = out[q]
            for j in range(d):
                row[j] += s * x[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(partial: Floats, n: int) -> Floats:
    total = partial[0].copy()
    for leaf in range(1, partial.shape[0]):
        total += partial[leaf]
    total /= n
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _serial(X: Floats, T: Floats, V: Floats, leaves: int) -> Floats:
    n = X.shape[0]
    partial = np.zeros((leaves, V.shape[0], V.shape[1]))
    for leaf in range(leaves):
        _leaf(X, T, V, leaf * n // leaves, (leaf + 1) * n // leaves, partial[leaf])
    return _combine(partial, n)


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _parallel(X: Floats, T: Floats, V: Floats, leaves: int) -> Floats:
    n = X.shape[0]
    partial = np.zeros((leaves, V.shape[0], V.shape[1]))
    for leaf in prange(leaves):
        _leaf(X, T, V, leaf * n // leaves, (leaf + 1) * n // leaves, partial[leaf])
    return _combine(partial, n)


def hessian_power(X: Floats, T: Floats, V: Floats, *, threads: int = 1) -> Floats:
    """Apply S_hat = (1/n) X^T diag(T) X to the rows of V.

    Parameters
    ----------
    X : (n, d) C-contiguous float64
    T : (n,) float64
    V : (k, d) float64
    threads : int
        At most the number of cores. Any number gives the same bits. With one thread no thread pool is touched, so
        that callers may run in threads of their own.

    Returns
    -------
    (k, d) float64
        Row q is S_hat applied to V[q]. Allocates 16 k d doubles.

    Raises
    ------
    ValueError
        If the shapes do not fit or threads < 1.
    """
    n, d = X.shape
    if T.shape != (n,) or V.ndim != 2 or V.shape[1] != d or n < 1:
        raise ValueError(f"shapes X {X.shape}, T {T.shape}, V {V.shape} do not fit; allowed: (n, d), (n,), (k, d)")
    if threads < 1:
        raise ValueError(f"threads = {threads}; allowed: at least 1")
    X, T, V = (np.ascontiguousarray(a, dtype=np.float64) for a in (X, T, V))
    threads = min(threads, int(getattr(config, "NUMBA_NUM_THREADS", 1)))
    if threads == 1:
        return _serial(X, T, V, LEAVES)
    numba.set_num_threads(threads)
    return _parallel(X, T, V, LEAVES)
