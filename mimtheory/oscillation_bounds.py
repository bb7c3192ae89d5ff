"""Proven bounds on |int z^a phi(z) e^(i s p(z)) dz| for all s >= t: how fast the law of p(z) loses its oscillations.

The line is cut into cells. On each the integral is at most its mass, or, after one integration by parts, 1/s times the
variation of z^a phi/p'; the best choice for each t is found by dynamic programming. Proof: docs/theory/additive.md.
"""

import itertools
import math

import numpy as np
from flint import arb, arb_poly
from numpy.typing import NDArray

from mimtheory.balls import normal_density

__all__ = ["POWERS", "oscillation_bounds", "oscillation_power"]

Floats = NDArray[np.float64]

POWERS = 3  # a = 0, 1, 2
_WIDTH = 2.0**-5
_NARROWEST = 2.0**-40
_ROUNDED = 1 + 2.0**-30  # bounds are sums of less than 2^20 rounded non-negative terms


def oscillation_bounds(p: arb_poly, lower: float, upper: float, t: Floats) -> Floats:
    """Bounds (3, len(t)) for the integrals over [lower, upper], a = 0, 1, 2; at most E|z|^a <= 1.

    Parameters
    ----------
    p : arb_poly
    lower, upper : float
        Multiples of 1/64.
    t : (n,) array
        Positive; each bound holds for every s >= t.
    """
    if p.degree() < 1:
        return np.ones((POWERS, len(t)))
    slope = p.derivative()
    table = _Cells(slope, slope.derivative())
    edges = _edges(slope, lower, upper)
    near, far = np.zeros((POWERS, len(t))), np.full((POWERS, len(t)), math.inf)
    for left, right in itertools.pairwise(edges):
        mass, variation = table.cell(left, right)
        turn = table.end(left)[:, None] / t  # where integration by parts begins or ends
        near, far = np.minimum(near, far + turn) + mass[:, None], np.minimum(far, near + turn) + variation[:, None] / t
    best: Floats = np.minimum(near, far + table.end(edges[-1])[:, None] / t) * _ROUNDED
    return np.minimum(best, 1.0)


def _edges(slope: arb_poly, lower: float, upper: float) -> list[float]:
    """Ends of cells, narrower where the slope is not known to be away from 0."""
    edges, todo = [lower], []
    right = upper
    while right > lower:  # a stack from which the leftmost cell comes first
        left = max(right - _WIDTH, lower)
        todo.append((left, right))
        right = left
    while todo:
        left, right = todo.pop()
        if right - left > _NARROWEST and _over(slope, slope.derivative(), left, right).contains(0):
            middle = (left + right) / 2
            todo += [(middle, right), (left, middle)]
        else:
            edges.append(right)
    return edges


def _over(p: arb_poly, derivative: arb_poly, left: float, right: float) -> arb:
    """The range of p on the cell, by the mean value form."""
    middle, half = arb((left + right) / 2), (right - left) / 2
    return p(middle) + derivative(arb(middle, half)) * arb(0, half)


class _Cells:
    """f_a = z^a phi/p' at points, and mass of z^a phi and variation of f_a on cells."""

    def __init__(self, slope: arb_poly, curvature: arb_poly) -> None:
        self.slope, self.curvature = slope, curvature
        self.steeper = curvature.derivative()
        self._points: dict[float, list[arb]] = {}

    def _point(self, z: float) -> list[arb]:
        if z not in self._points:
            x = arb(z)
            height, steep = normal_density(x), self.slope(x)
            self._points[z] = [x**a * height / steep for a in range(POWERS)]
        return self._points[z]

    def end(self, z: float) -> Floats:
        """|f_a(z)|, infinite where p' may vanish."""
        return np.array([_most(f) for f in self._point(z)])

    def cell(self, left: float, right: float) -> tuple[Floats, Floats]:
        """Bounds on the masses and variations."""
        width = arb(right) - arb(left)
        z = arb((left + right) / 2, (right - left) / 2)
        height = normal_density(z)
        mass = np.array([_most(width * z**a * height) for a in range(POWERS)])
        steep = _over(self.slope, self.curvature, left, right)
        if steep.contains(0):
            return mass, np.full(POWERS, math.inf)
        bend = _over(self.curvature, self.steeper, left, right)
        variation = []
        for a in range(POWERS):
            # f_a' = phi/p'^2 times this
            sign = ((a * z ** (a - 1) if a else 0) - z ** (a + 1)) * steep - z**a * bend
            if sign.contains(0):
                variation.append(_most(sign * height / (steep * steep) * width))
            else:
                variation.append(_most(self._point(right)[a] - self._point(left)[a]))
        return mass, np.array(variation)


def _most(x: arb) -> float:
    return math.nextafter(float(x.abs_upper()), math.inf) if x.is_finite() else math.inf


def oscillation_power(p: arb_poly) -> tuple[arb, arb]:
    """(c, e): the integrals over any interval, a = 0, 1, 2, are at most c t^-e for all t >= 1. For constant p: (1, 0).

    With n = degree of p' and A its leading coefficient, |p'| <= t^(-n/(n + 1)) on a set of measure at most
    2 n (t^(-n/(n + 1))/|A|)^(1/n); everywhere else one integration by parts.
    """
    n = p.degree() - 1
    if n < 0:
        return arb(1), arb(0)
    leading = abs(p.derivative()[n])
    if n == 0:
        return 4 / leading, arb(1)
    near = n * leading ** (arb(-1) / n)
    return arb(4) / 5 * (near + 3 * n + 5), arb(1) / (n + 1)
