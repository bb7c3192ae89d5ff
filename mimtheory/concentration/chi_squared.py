"""Weighted sums of chi-squared variables from above, and the ratio of two such sums from below."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "chernoff_quantile",
    "chi_squared_upper",
    "power_near",
    "weighted_chi_squared_upper",
]

Floats = NDArray[np.float64]


def power_near(weights: Floats) -> float:
    """The power of two next below the largest of the |weights| (1 if there is none above 0): dividing by it and
    multiplying by it are exact, and what is homogeneous in the weights may be computed for the quotients.

    Parameters
    ----------
    weights : array of any shape
        Of either sign, in units of T.

    Returns
    -------
    float
        In units of T.

    Source: docs/theory/concentration.md, Scales.
    """
    largest = float(np.abs(weights).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0


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
    unit = power_near(weights)  # squares of weights need not be doubles
    spread = math.sqrt(float((weights / unit) ** 2 @ counts)) * unit
    return mean + 2 * math.sqrt(tau) * spread + 2 * tau * max(0.0, float(weights.max()))


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
