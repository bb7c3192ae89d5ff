"""Means of independent terms: numbers, or T_i z_i z_i^T with z_i Gaussian."""

import math

__all__ = [
    "bernstein",
    "bernstein_second_moment",
    "chebyshev",
    "hoeffding",
]


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
