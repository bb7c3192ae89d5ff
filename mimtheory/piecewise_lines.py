"""T = l' as a function of the error u that is linear between kinks: exactly, or within a proven distance.

A smooth bounded l' becomes its interpolant; its distance from l' is at most h^2/8 sup|l'''| between two knots h apart.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import flint

from mimtheory.balls import ball_of, midpoint_and_radius, precision
from mimtheory.expressions import read_expression
from mimtheory.losses import Loss
from mimtheory.suprema import REACH, enclosed, never_negative_beyond

__all__ = ["PiecewiseLine", "interpolant", "piecewise_line"]


@dataclass(frozen=True)
class PiecewiseLine:
    """Within `distance` of T everywhere: constants[j] + slopes[j] u between kinks[j - 1] and kinks[j].

    Attributes
    ----------
    kinks : tuple of Fraction
        Increasing, j = 0 .. q - 1.
    constants, slopes : tuples of Fraction, length q + 1
        The first and the last slope are 0, because T is bounded.
    distance : float
    """

    kinks: tuple[Fraction, ...]
    constants: tuple[Fraction, ...]
    slopes: tuple[Fraction, ...]
    distance: float = 0.0

    def __call__(self, u: Fraction) -> Fraction:
        j = bisect_right(self.kinks, u)
        return self.constants[j] + self.slopes[j] * u

    def jumps(self) -> tuple[tuple[Fraction, Fraction, Fraction], ...]:
        """(kink, change of value, change of slope): T is its first piece plus jump 1(u > k) + bend (u - k)_+."""
        found = []
        for j, k in enumerate(self.kinks):
            bend = self.slopes[j + 1] - self.slopes[j]
            found.append((k, self.constants[j + 1] - self.constants[j] + bend * k, bend))
        return tuple(found)


def piecewise_line(loss: Loss) -> PiecewiseLine | None:
    """l' itself where it is bounded and piecewise linear, else None."""
    if loss.pieces is None or any(len(piece.coefficients) > 2 for piece in loss.pieces):
        return None
    pairs = [(*piece.coefficients, Fraction(0))[:2] for piece in loss.pieces]
    if pairs[0][1] or pairs[-1][1]:
        return None
    return PiecewiseLine(loss.kinks, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def interpolant(loss: Loss, distance: Fraction) -> PiecewiseLine | None:
    """A piecewise line within `distance` of the l' of logcosh, pseudo_huber or a smooth bounded formula, or None.

    The steps are dyadic multiples of the loss's scale, as long as h^2/8 sup|l'''| allows, outwards from 0 to where l'
    is within the distance of its limit; the other half by oddness. For a formula the steps go both ways, up to where l'
    surely rises from there on and is within the distance of its proven supremum; None where that is not proved.
    """
    if loss.code < 0:
        return _interpolant_of_formula(loss, distance)
    if loss.name not in ("logcosh", "pseudo_huber"):
        return None
    scale = loss.parameter or Fraction(1)
    with precision(_BITS):
        tolerance = ball_of(distance / scale) / 2
        knots, step = [Fraction(0)], Fraction(1, 2)
        while not 1 - _shape(loss, ball_of(knots[-1])) < tolerance:
            step *= 2
            while not _bend(loss, knots[-1], knots[-1] + step) * ball_of(step**2) / 8 < tolerance:
                step /= 2
            knots.append(knots[-1] + step)
        values = [_nearby(_shape(loss, ball_of(v))) for v in knots]
    return _through([scale * v for v in knots], [scale * y for y in values], float(distance))


def _interpolant_of_formula(loss: Loss, distance: Fraction) -> PiecewiseLine | None:
    formula = _formula(loss.text) if loss.constants == "certified" and math.isfinite(loss.K) else None
    if formula is None:
        return None
    T, bend = formula
    sides = []
    with precision(_BITS):
        tolerance = ball_of(distance) / 4
        for side, limit in ((-1, loss.K_minus), (1, loss.K_plus)):
            knots, step = [Fraction(0)], Fraction(1, 2)
            # T rises beyond REACH, so that there it lies between its value and the supremum
            while knots[-1] < REACH or not flint.arb(limit) - side * T(ball_of(side * knots[-1])) < tolerance:
                step *= 2
                while not _off(bend, side, knots[-1], step) < tolerance:
                    step /= 2
                    if step < _LEAST_STEP:
                        return None
                knots.append(knots[-1] + step)
                if len(knots) > _MOST_KNOTS or knots[-1] > _FARTHEST:
                    return None
            sides.append([side * v for v in knots])
        points = [*sides[0][:0:-1], *sides[1]]
        balls = [T(ball_of(v)) for v in points]
        if not all(ball.rad() < tolerance for ball in balls):
            return None
        heights = [_nearby(ball) for ball in balls]
    if any(later < earlier - Fraction(4, _GRID) for earlier, later in itertools.pairwise(heights)):
        return None  # not convex
    return _line(points, list(itertools.accumulate(heights, max)), float(distance))


@lru_cache(maxsize=64)
def _formula(text: str) -> tuple[Callable[[flint.arb], flint.arb], Callable[[flint.arb], flint.arb]] | None:
    """T = l' and T'' of a loss given by a formula, as functions of balls; None where T is not seen to rise far out."""
    import sympy

    u = sympy.Symbol("u", real=True)
    slope = read_expression(text, "u").diff(u)
    return (enclosed(slope), enclosed(slope, 2)) if never_negative_beyond(slope.diff(u)) else None


def _off(bend: Callable[[flint.arb], flint.arb], side: int, start: Fraction, step: Fraction) -> flint.arb:
    """Bound on the distance of a function with this second derivative from its chord over the step."""
    v = ball_of(side * start).union(ball_of(side * (start + step)))
    return bend(v).abs_upper() * ball_of(step**2) / 8


_LEAST_STEP = Fraction(1, 2**14)
_MOST_KNOTS = 4000
_FARTHEST = 2**20  # a supremum that is not met by then is not sharp
_BITS = 96
_GRID = 2**70  # values are rounded to this grid, which moves them by far less than the rest of the distance


def _shape(loss: Loss, v: flint.arb) -> flint.arb:
    """l' of scale 1."""
    return v.tanh() if loss.name == "logcosh" else v * (1 + v * v).rsqrt()


def _bend(loss: Loss, start: Fraction, stop: Fraction) -> flint.arb:
    """Bound on |second derivative of the shape| between start and stop."""
    v = ball_of(start).union(ball_of(stop))
    if loss.name == "logcosh":
        return (2 * v.tanh() * v.sech() ** 2).abs_upper()
    return (3 * v * (1 + v * v).rsqrt() ** 5).abs_upper()


def _nearby(ball: flint.arb) -> Fraction:
    return Fraction(round(midpoint_and_radius(ball)[0] * _GRID), _GRID)


def _through(knots: list[Fraction], values: list[Fraction], distance: float) -> PiecewiseLine:
    """The odd interpolant of these points, constant beyond the last."""
    return _line([-u for u in knots[:0:-1]] + knots, [-y for y in values[:0:-1]] + values, distance)


def _line(points: list[Fraction], heights: list[Fraction], distance: float) -> PiecewiseLine:
    """The interpolant of these points, constant before the first and beyond the last."""
    steps = list(itertools.pairwise(zip(points, heights, strict=True)))
    slopes = [(y - x) / (b - a) for (a, x), (b, y) in steps]
    constants = [x - slope * a for slope, ((a, x), _) in zip(slopes, steps, strict=True)]
    flat = Fraction(0)
    return PiecewiseLine(
        tuple(points), (heights[0], *constants, heights[-1]), (flat, *slopes, flat), math.nextafter(distance, math.inf)
    )
