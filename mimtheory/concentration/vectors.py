"""Gaussian vectors and uniform unit vectors: their norms and inner products."""

import math

__all__ = [
    "beta_lower",
    "gaussian_norms_upper",
    "gaussian_t",
    "sphere_spread",
]


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
