"""Medians over seeds, their intervals, and exponents with intervals, by the bootstrap over seeds."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["crossing", "exponent", "interval", "resampled"]

Floats = NDArray[np.float64]

_RESAMPLES = 1000


def resampled(values: Floats, rng: np.random.Generator) -> Floats:
    """Rows of values (k, seeds) with their seeds drawn with replacement, each row by itself: (resamples, k, seeds)."""
    k, seeds = values.shape
    picked = rng.integers(seeds, size=(_RESAMPLES, k, seeds))
    return np.take_along_axis(values[None], picked, axis=2)


def interval(values: Floats, statistic: Callable[[Floats], float], seed: int = 0) -> tuple[float, float, float]:
    """statistic of values (k, seeds), and the ends of its 95 per cent bootstrap interval."""
    draws = [statistic(sample) for sample in resampled(values, np.random.default_rng(seed))]
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return statistic(values), float(low), float(high)


def exponent(x: Floats, values: Floats) -> tuple[float, float, float]:
    """Slope of log median against log x by least squares, values (k, seeds), with its 95 per cent interval."""

    def slopes(samples: Floats) -> Floats:
        return np.polyfit(np.log(x), np.log(np.median(samples, axis=2)).T, 1)[0]

    low, high = np.quantile(slopes(resampled(values, np.random.default_rng(0))), [0.025, 0.975], method="nearest")
    return float(slopes(values[None])[0]), float(low), float(high)


def crossing(x: Floats, y: Floats, level: float) -> float:
    """The first x at which y, interpolated between logarithms, comes down to `level`.

    Infinite if it never does; not a number if it is there from the start, so that the place is not known.
    """
    below = np.flatnonzero(y <= level)
    if below.size == 0:
        return float("inf")
    k = int(below[0])
    if k == 0:
        return float("nan")
    share = np.log(y[k - 1] / level) / np.log(y[k - 1] / y[k])
    return float(np.exp(np.log(x[k - 1]) + share * np.log(x[k] / x[k - 1])))
