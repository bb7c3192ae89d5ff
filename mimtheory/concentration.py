"""Tail bounds with explicit constants, one function each. Proofs: docs/theory/concentration.md.

Throughout, G is a Gaussian matrix with independent N(0, 1) entries and a failure probability is called delta.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "bernstein",
    "bernstein_second_moment",
    "beta_lower",
    "block_norm",
    "chebyshev",
    "chernoff_quantile",
    "chevet_excess",
    "chi_squared_upper",
    "edge_upper",
    "gaussian_matrix_norm",
    "gaussian_norms_upper",
    "gaussian_product_norm",
    "gaussian_t",
    "gordon_deficit",
    "hoeffding",
    "sphere_spread",
    "spherical_condition",
    "two_to_four_norm",
    "weighted_chi_squared_upper",
]

Floats = NDArray[np.float64]


def gaussian_t(delta: float) -> float:
    """t with exp(-t^2/2) = delta: a 1-Lipschitz function of Gaussians exceeds its mean by t with probability at
    most delta.

    Parameters
    ----------
    delta : float
        Failure probability.

    Returns
    -------
    float
        Dimensionless, as the Gaussians are.

    Source: Boucheron, Lugosi and Massart (2013), Theorem 5.6.
    """
    return math.sqrt(-2 * math.log(delta))


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


def weighted_chi_squared_upper(weights: Floats, counts: Floats, tau: float) -> float:
    """Upper bound on sum_k weights[k] chi^2(counts[k]), independent, with probability at least 1 - exp(-tau).

    Parameters
    ----------
    weights : (k,)
        Of either sign, in units of T.
    counts : (k,)
        Degrees of freedom, dimensionless.
    tau : float
        The bound fails with probability at most exp(-tau).

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, weighted_chi_squared_upper; Laurent and Massart (2000), Lemma 1.
    """
    mean = float(weights @ counts)
    spread = math.sqrt(float((weights * weights) @ counts))
    return mean + 2 * math.sqrt(tau) * spread + 2 * tau * max(0.0, float(weights.max()))


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

    n = T.size
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
    return float(best.fun)


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


def gaussian_norms_upper(d: int, n: int, delta: float) -> float:
    """Upper bound on the largest of n norms of Gaussian vectors in R^d: a norm is 1-Lipschitz.

    Parameters
    ----------
    d, n : int
        Dimension and number of the vectors.
    delta : float
        Failure probability.

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, gaussian_norms_upper.
    """
    return math.sqrt(d) + gaussian_t(delta / n)


def sphere_spread(count: int, delta: float) -> float:
    """s with |<w, v>| <= s |v|/sqrt(d) for `count` pairs of a uniform unit vector w and a v independent of it.

    A spherical cap of height e has measure at most exp(-d e^2/2).

    Parameters
    ----------
    count : int
        Number of pairs.
    delta : float
        Failure probability.

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, sphere_spread.
    """
    return gaussian_t(delta / (2 * count))


def beta_lower(k: int, d: int, delta: float) -> float:
    """The delta-quantile of |P w|^2 for w uniform on the unit sphere of R^d and P a projector of rank k.

    That of Beta(k/2, (d-k)/2), which is exact; 1 where k = d.

    Parameters
    ----------
    k, d : int
        Rank and dimension.
    delta : float
        Probability below the quantile.

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, beta_lower.
    """
    from scipy.special import betaincinv

    return 1.0 if k >= d else float(betaincinv(k / 2, (d - k) / 2, delta))


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


def chernoff_quantile(top: Floats, below: Floats, delta: float) -> float:
    """Largest x found with P(sum top_i g_i^2 <= x sum below_i g_i^2) <= delta, g_i independent N(0, 1).

    Markov's inequality for exp(-s sum c_i g_i^2), c = top - x below, gives the bound inf_s prod (1 + 2 s c_i)^{-1/2};
    x is found by bisection of its logarithm and s by a bounded search, where any value found gives a valid bound.

    Parameters
    ----------
    top, below : (k,)
        Weights >= 0, dimensionless, `below` not all zero. Scaled by their largest entries before use.
    delta : float
        Failure probability.

    Returns
    -------
    float
        Dimensionless, a ratio of weights.

    Source: docs/theory/concentration.md, chernoff_quantile; Boucheron, Lugosi and Massart (2013), section 2.2.
    """
    scale_top, scale_below = float(top.max()), float(below.max())
    if scale_top == 0:
        return 0.0
    a, b = top / scale_top, below / scale_below
    low, high = math.log(1e-18), math.log(1e18)
    if _log_chernoff(a - math.exp(low) * b) > math.log(delta):
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _log_chernoff(a - math.exp(middle) * b) <= math.log(delta) else (low, middle)
    return math.exp(low) * scale_top / scale_below


def _log_chernoff(c: Floats) -> float:
    """log inf_{s>0} prod (1 + 2 s c_i)^{-1/2}, the Chernoff bound on P(sum c_i g_i^2 <= 0)."""
    from scipy.optimize import minimize_scalar  # takes longer to import than all of this module's callers

    lowest = float(c.min())
    if lowest >= 0:
        return -math.inf
    largest = -1 / (2 * lowest)  # log s runs up to the pole at which the expectation stops being finite

    def exponent(log_share: float) -> float:
        return -0.5 * float(np.log1p(2 * largest * math.exp(log_share) * c).sum())

    best = minimize_scalar(exponent, bounds=(math.log(1e-12), math.log1p(-1e-12)), method="bounded")
    return min(0.0, float(best.fun))


def chi_squared_upper(k: int, tau: float) -> float:
    """Upper bound on chi^2(k), with probability at least 1 - exp(-tau).

    Parameters
    ----------
    k : int
        Degrees of freedom.
    tau : float
        The bound fails with probability at most exp(-tau).

    Returns
    -------
    float
        Dimensionless.

    Source: docs/theory/concentration.md, weighted_chi_squared_upper; Laurent and Massart (2000), Lemma 1.
    """
    return k + 2 * math.sqrt(k * tau) + 2 * tau


def hoeffding(width: float, n: int, delta: float) -> float:
    """One-sided deviation of a mean of n independent variables, exceeded with probability at most delta.

    Parameters
    ----------
    width : float
        Length of an interval that holds them, in units of T.
    n : int
        Their number.
    delta : float
        Failure probability.

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, hoeffding; Hoeffding (1963), Theorem 2.
    """
    return width * math.sqrt(math.log(1 / delta) / (2 * n))


def bernstein(variance: float, largest: float, n: int, delta: float) -> float:
    """One-sided deviation of a mean of n independent variables, exceeded with probability at most delta.

    Parameters
    ----------
    variance : float
        Of one of them, in units of T^2.
    largest : float
        Most that one lies above its expectation or below, in units of T.
    n : int
        Their number.
    delta : float
        Failure probability.

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, bernstein.
    """
    rate = math.log(1 / delta) / n
    third = largest * rate / 3
    return third + math.hypot(third, math.sqrt(2 * variance * rate))


def chebyshev(variance: float, n: int, delta: float) -> float:
    """Deviation of a mean of n independent terms that Chebyshev's inequality exceeds with probability at most delta.

    In the Frobenius norm, for matrices.

    Parameters
    ----------
    variance : float
        Total variance of a term, in units of T^2.
    n : int
        Number of terms.
    delta : float
        Failure probability.

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, chebyshev.
    """
    return math.sqrt(variance / (n * delta))


def bernstein_second_moment(K: float, r: int, n: int, delta: float) -> float:
    """Upper bound on |(1/n) sum T_i z_i z_i^T - E|_op for |T_i| <= K and z_i ~ N(0, I_r) of shape (r,).

    T_i may be a function of z_i and independent noise. Bernstein with the moments E|T (v.z)^2|^k <= K^k (2k-1)!! in
    each direction v of a 1/4-net; the factor is 1/(2 (31/32)^2 - 1), because a net point within 1/4 of the top
    eigenvector has cosine at least 31/32 with it.

    Parameters
    ----------
    K : float
        Bound on |T_i|, in units of T.
    r, n : int
        Hidden dimension and number of samples.
    delta : float
        Failure probability.

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, bernstein_second_moment; Boucheron, Lugosi and Massart (2013), Theorem 2.10.
    """
    net_factor, log_net = (1.0, 0.0) if r == 1 else (1 / (2 * (31 / 32) ** 2 - 1), r * math.log(9))
    tau = log_net + math.log(2 / delta)
    return net_factor * K * (math.sqrt(6 * tau / n) + 2 * tau / n)


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
