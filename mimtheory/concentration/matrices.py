"""Norms and extreme eigenvalues of Gaussian matrices, after Chevet and Gordon, and the norm of a matrix of blocks."""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.concentration.chi_squared import power_near, weighted_chi_squared_upper
from mimtheory.concentration.vectors import gaussian_t

__all__ = [
    "block_norm",
    "chevet_excess",
    "edge_upper",
    "gaussian_matrix_norm",
    "gaussian_product_norm",
    "gordon_deficit",
    "spherical_condition",
    "two_to_four_norm",
]

Floats = NDArray[np.float64]


def chevet_excess(mean: float, top: float, p: int, n: int, t: float) -> float:
    """Upper bound on lmax((1/n) G^T diag(s) G) - mean for weights 0 <= s_i <= top with average `mean`.

    By Chevet's inequality and Gaussian concentration.

    Parameters
    ----------
    mean, top : float
        In units of T, like the weights.
    p, n : int
        G is (n, p).
    t : float
        Dimensionless; fails with probability at most exp(-t^2/2).

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, chevet_excess; Chevet (1978).
    """
    return (math.sqrt(mean) + math.sqrt(top * p / n) + t * math.sqrt(top / n)) ** 2 - mean


def gordon_deficit(mean: float, top: float, p: int, n: int, t: float) -> float:
    """Upper bound on mean - lmin((1/n) G^T diag(s) G) for weights 0 <= s_i <= top with average `mean`.

    By Gordon's comparison with equal variances, Poincare for the mean of a norm, and Gaussian concentration.

    Parameters
    ----------
    mean, top : float
        In units of T, like the weights.
    p, n : int
        G is (n, p).
    t : float
        Dimensionless; fails with probability at most exp(-t^2/2).

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, gordon_deficit; Gordon (1985).
    """
    root = math.sqrt(max(0.0, mean - top / n))
    lower = root - math.sqrt(top * p / n) - (t + 1 / math.sqrt(2 * math.pi)) * math.sqrt(top / n)
    return mean - max(0.0, lower) ** 2


def edge_upper(T: Floats, p: int, tau: float) -> float:
    """Upper bound on lmax((1/n) G^T diag(T) G), G Gaussian of shape (n, p), with probability at least 1 - 2 exp(-tau).

    For every w > max(0, max T) the eigenvalue is dominated, up to the factor 2 in probability, by the weighted
    chi-squared sum with weight w/n on p and (w/n) T_i/(w - T_i) on one degree of freedom each; w is chosen from T, p
    and tau only. Allocates O(n).

    Parameters
    ----------
    T : (n,)
        Weights of either sign, in units of T.
    p : int
        Columns of G.
    tau : float
        The bound fails with probability at most 2 exp(-tau).

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, edge_upper; Gordon (1985).
    """
    from scipy.optimize import minimize_scalar  # takes longer to import than all of this module's callers

    n, unit = T.size, power_near(T)
    T = T / unit  # the bound is homogeneous in T, products of two of them need not be doubles
    top = max(0.0, float(T.max()))
    values, repeats = np.unique(T, return_counts=True)
    counts = np.concatenate(([float(p)], repeats.astype(np.float64)))
    scale = max(float(np.abs(T).max()), np.finfo(np.float64).tiny)

    def bound(log_gap: float) -> float:
        gap = scale * math.exp(log_gap)
        w = top + gap
        # w - T_i formed as gap + (top - T_i): exact where w is close to the largest weight
        weights = np.concatenate(([w], w * values / (gap + (top - values)))) / n
        return weighted_chi_squared_upper(weights, counts, tau)

    best = minimize_scalar(bound, bounds=(math.log(1e-6), math.log(1e6)), method="bounded", options={"xatol": 1e-4})
    return float(best.fun) * unit


def gaussian_product_norm(fro: float, op: float, p: int, t: float) -> float:
    """Upper bound on |B^T G|_op for B with Frobenius norm `fro` and operator norm `op`, G (n, p) independent of B.

    By Chevet's inequality and Gaussian concentration.

    Parameters
    ----------
    fro, op : float
        In units of T, like B.
    p : int
        Columns of G.
    t : float
        Dimensionless; fails with probability at most exp(-t^2/2).

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, gaussian_product_norm; Chevet (1978).
    """
    return fro + op * (math.sqrt(p) + t)


def gaussian_matrix_norm(n: int, p: int, t: float) -> float:
    """Upper bound on |G|_op by Chevet's inequality and Gaussian concentration.

    Parameters
    ----------
    n, p : int
        G is (n, p).
    t : float
        Dimensionless; fails with probability at most exp(-t^2/2).

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, gaussian_matrix_norm; Chevet (1978).
    """
    return math.sqrt(n) + math.sqrt(p) + t


def two_to_four_norm(n: int, p: int, t: float) -> float:
    """Upper bound on max_{|v|=1} |G v|_4 by Chevet's inequality and Gaussian concentration.

    Parameters
    ----------
    n, p : int
        G is (n, p).
    t : float
        Dimensionless; fails with probability at most exp(-t^2/2).

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, two_to_four_norm; Chevet (1978).
    """
    return (3 * n) ** 0.25 + math.sqrt(p) + t


def spherical_condition(m: int, r: int, d: int, delta: float) -> float:
    """Upper bound on the condition number of an r x m block of m uniform unit vectors of R^d, projected on R^r.

    Infinite where sqrt(m) - sqrt(r) does not exceed the deviation t. Half of delta goes to the Gaussian block, half to
    the norms by which its columns are divided.

    Parameters
    ----------
    m, r, d : int
        Number of vectors, dimensions after and before projection.
    delta : float
        Failure probability.

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, spherical_condition.
    """
    from scipy.special import gammainccinv, gammaincinv

    t = gaussian_t(delta / 4)
    low = math.sqrt(m) - math.sqrt(r) - t
    # |g|^2/2 has the gamma law of d/2, exactly
    shortest, longest = (math.sqrt(inverse(d / 2, delta / (4 * m))) for inverse in (gammaincinv, gammainccinv))
    if low <= 0 or shortest <= 0:
        return math.inf
    return (math.sqrt(m) + math.sqrt(r) + t) / low * longest / shortest


def block_norm(a: float, b: float, c: float) -> float:
    """Norm of the 2 x 2 matrix [[a, b], [b, c]] with entries >= 0, exactly.

    It bounds |M|_op for a symmetric M whose blocks have operator norms at most a, b, c, and is never larger than
    max(a, c) + b.

    Parameters
    ----------
    a, b, c : float
        In units of T, like M.

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, block_norm.
    """
    return (a + c) / 2 + math.hypot((a - c) / 2, b)
