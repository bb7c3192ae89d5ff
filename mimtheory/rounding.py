"""The rounding of doubles: its unit, and bounds on what a number of roundings does to a sum or product."""

import numpy as np

__all__ = ["EPS", "UNIT", "gamma", "gamma_above"]

EPS = float(np.finfo(np.float64).eps)  # 2^-52, from 1 to the next double
UNIT = EPS / 2  # the relative error of one rounding to nearest is at most this


def gamma(k: float) -> float:
    """Higham's gamma_k = k u / (1 - k u), u = UNIT: relative error of a sum or product of k roundings.

    Parameters
    ----------
    k : float
        Number of roundings, below 2^52.

    Returns
    -------
    float
        Dimensionless; itself rounded a few times, for proofs there is `gamma_above`.

    Source: Higham (2002), section 3.1.
    """
    ku = k * UNIT
    return ku / (1 - ku)


def gamma_above(k: int) -> float:
    """A double that is proved to be at least gamma_k, for integers 0 <= k < 2^53."""
    # k u and 1 - k u are exact; the quotient and the product are rounded once each, and (1 + 4 u) (1 - u)^2 > 1
    return k * UNIT / (1 - k * UNIT) * (1 + 4 * UNIT)
