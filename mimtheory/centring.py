"""The population centre: the constant that predicts the labels best, and which losses have one."""

import math
from functools import lru_cache

import sympy

from mimtheory import links, losses
from mimtheory.arguments import exactly
from mimtheory.gaussian_integrals import gaussian_mean
from mimtheory.gaussian_moments import linear_derivative, noisy
from mimtheory.hessian import exact_hessian, problem_of
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.rounding import EPS
from mimtheory.symmetries import pattern

__all__ = ["has_minimum", "population_centre"]

_FAR = 2.0**40
_ROUNDINGS = 8  # relative to c and to the deviation of y, so that the centre has no unit of its own


def population_centre(link: Link | str, loss: Loss | str, label_noise: float = 0.0) -> float:
    """The constant that predicts best: argmin_c E l(c, y), the root of E l'(c, y) = 0.

    Parameters
    ----------
    link : Link or str
    loss : Loss or str
    label_noise : float
        Standard deviation of the noise on the labels, in units of y.

    Returns
    -------
    float
        In units of y; exact up to rounding where l' is a line, else within eight roundings, relative to its size and
        to the deviation of y, of a constant at which E l'(c, y) vanishes up to the radius of `expected_hessian`.

    Raises
    ------
    ValueError
        For a link, a loss or a noise that cannot be read, and for a loss that falls or rises for ever, which no
        constant minimises.
    FloatingPointError
        For labels whose mean or variance is no double.

    Source: docs/theory/expected_hessian.md, The population centre.
    """
    from scipy.optimize import brentq  # takes longer to import than everything else here

    g, preprocessing = links.link(link), losses.loss(loss)
    f = noisy(g, label_noise)
    line = linear_derivative(preprocessing)
    if line is not None and line[1]:
        return float(sympy.N(g.mean - sympy.Rational(line[0] / line[1]), 20))
    below, above = _far_slopes(preprocessing)
    if not below < 0 < above:
        raise ValueError(
            f"loss = {preprocessing.text!r} has no population centre, since its derivative does not take both signs; "
            "allowed: a loss that grows on both sides, or a number as centre"
        )

    @lru_cache
    def mean_T(c: float) -> float:
        found = exact_hessian(problem_of(f, preprocessing, c, 0.0), None)
        return gaussian_mean(LineIntegrals(f, preprocessing, c, moments=False)) if found is None else found.c0

    start, deviation = float(sympy.N(f.mean, 20)), float(sympy.N(sympy.sqrt(f.variance), 20))
    if not (math.isfinite(start) and math.isfinite(deviation)):
        raise FloatingPointError("mean and variance of the labels leave the range of doubles")
    if pattern(g, preprocessing, exactly(start)).odd:
        return start  # where E l' = 0 exactly: a root that is looked for would be off by the error of an estimate
    low, high, step = start, start, deviation
    while mean_T(low) > 0:  # E l'(c, y) increases with c and has opposite signs at the two infinities
        low, high, step = low - step, low, 2 * step
    while mean_T(high) < 0:
        low, high, step = high, high + step, 2 * step
    return float(brentq(mean_T, low, high, xtol=_ROUNDINGS * EPS * deviation, rtol=_ROUNDINGS * EPS))


def has_minimum(loss: Loss) -> bool:
    """Whether a constant minimises the mean of `loss` over some labels: l' takes both signs, or is 0 on a half-line.

    Only where l' is a polynomial is a 0 so far out known to be one: that of exp(u) is one of rounding.
    """
    below, above = _far_slopes(loss)
    return below < 0 < above or (loss.pieces is not None and below <= 0 <= above)


def _far_slopes(loss: Loss) -> tuple[float, float]:
    """l' so far from all labels that it has the signs of its limits."""
    return float(loss.dl(-_FAR, 0.0)), float(loss.dl(_FAR, 0.0))
