"""Whether inputs look as the theory assumes: centred, white, and of a Gaussian's fourth moment."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mimtheory.assumptions import Answer, Finding

__all__ = ["input_findings"]

Floats = NDArray[np.float64]
_LEVEL = 1e-4  # false-alarm rate of each check of X
_SEEN = 0.95  # with which probability a departure would be seen where one says that there is none


def input_findings(X: Floats) -> tuple[Finding, ...]:
    """Four statistics of X whose laws under the theory's assumption are known, or nearly, each at level 1e-4.

    What is not rejected `holds` only if a departure would have been seen nearly always: means or correlations of 0.2,
    a variance of 1.2, a fourth moment of 4.

    Parameters
    ----------
    X : (n, d)
        Finite.

    Source: docs/theory/concentration.md, Whether inputs look Gaussian.
    """
    n, d = X.shape
    centred = float(n * (X.mean(axis=0) ** 2).sum())
    scale = float((X**2).sum())
    kurtosis = float((X**4).mean())
    cross = _cross(X)
    pairs = d * (d - 1) / 2
    spread = pairs * (2 + 6 / n + 4 * d / n)
    # with the skewness of x^4, from E x^12 = 10395; below the mean its density ends too soon, and a gamma law stands
    fourth = {"skew": 9504 / 96**1.5 / math.sqrt(n * d), "loc": 3.0, "scale": math.sqrt(96 / (n * d))}
    below = _square_law(3, 96 / (n * d))
    tests = (
        (
            "centred",
            stats.chi2.sf(centred, d),
            stats.ncx2.sf(stats.chi2.isf(_LEVEL, d), d, 0.04 * n * d) >= _SEEN,
            f"n |mean of x|^2 = {centred:.4g}, expected {d}",
        ),
        (
            "unit variance",
            _two_sided(stats.chi2.sf(scale, n * d), stats.chi2.cdf(scale, n * d)),
            stats.chi2.sf(stats.chi2.isf(_LEVEL / 2, n * d) / 1.2, n * d) >= _SEEN,
            f"mean of x^2 = {scale / (n * d):.4g}",
        ),
        (
            "uncorrelated",
            _sum_of_squares(cross, pairs, spread) if d > 1 else 1.0,
            d == 1 or _correlations_seen(n, pairs, spread),
            f"n sum of squared correlations = {cross:.4g}, expected {pairs:.4g}",
        ),
        (
            "fourth moment of a Gaussian",
            _two_sided(stats.pearson3.sf(kurtosis, **fourth), stats.gamma.cdf(kurtosis, **below)),
            _seen(float(stats.pearson3.isf(_LEVEL / 2, **fourth)) - 3, 1.0, 4 * 96 / (n * d)),
            f"mean of x^4 = {kurtosis:.4g}, expected 3",
        ),
    )
    return tuple(_finding(name, float(p), bool(seen), text) for name, p, seen, text in tests)


def _cross(X: Floats) -> float:
    """n times the sum of squared correlations of pairs of columns; a constant column has none."""
    moved = X - X.mean(axis=0)
    norms = np.linalg.norm(moved, axis=0)
    unit = moved / np.where(norms > 0, norms, 1.0)
    return float(len(X) * (np.triu(unit.T @ unit, 1) ** 2).sum())


def _finding(name: str, p: float, seen: bool, text: str) -> Finding:
    few = "" if seen or p < _LEVEL else " Too few samples: a departure would not have been seen."
    status: Answer = "fails" if p < _LEVEL else "holds" if seen else "undecided"
    return Finding(f"X {name}", status, f"{text} (p = {p:.2g}).{few}", {"p": p})


def _seen(limit: float, shift: float, variance: float) -> bool:
    """Whether a statistic that is rejected beyond its mean + limit exceeds that, nearly, with probability _SEEN where a
    departure shifts it by so much and gives it this variance, by a normal law."""
    return shift >= limit + float(stats.norm.isf(1 - _SEEN)) * math.sqrt(variance)


def _correlations_seen(n: int, pairs: float, spread: float) -> bool:
    """The same for correlations of +-0.2 between all pairs, as one common factor makes them: the square of its sample
    variance, of relative variance 8/n, multiplies the shift."""
    shift = 0.04 * n * pairs
    limit = float(stats.gamma.isf(_LEVEL / 2, **_square_law(pairs, spread))) - pairs
    return _seen(limit, shift, spread + 4 * shift + 8 * shift**2 / n)


def _square_law(mean: float, variance: float) -> dict[str, float]:
    """The gamma law of this mean and variance, which has the skewness of sums of squares, by its parameters: SciPy
    takes a millisecond to make an object of a law."""
    return {"a": mean**2 / variance, "scale": variance / mean}


def _sum_of_squares(value: float, mean: float, variance: float) -> float:
    """Two-sided p-value of a sum of squares."""
    law = _square_law(mean, variance)
    return _two_sided(stats.gamma.sf(value, **law), stats.gamma.cdf(value, **law))


def _two_sided(above: float, below: float) -> float:
    return float(min(1.0, 2 * min(above, below)))
