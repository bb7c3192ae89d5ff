"""T = l' as a function of the error u that is linear between kinks: exactly, or within a proven distance.

A bounded l' that is smooth between kinks becomes its interpolant; its distance from l' is at most h^2/8 sup|T''|
between two knots h apart, and what the rounding of its heights adds.
"""

import itertools
import math
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import flint
import numpy as np
from numpy.typing import NDArray

from mimtheory.ball_functions import U
from mimtheory.balls import ball_of, midpoint_and_radius, precision
from mimtheory.expressions import read_expression
from mimtheory.formula_pieces import pieces_of_formula
from mimtheory.losses import Loss
from mimtheory.suprema import beyond, enclosed

if TYPE_CHECKING:
    import sympy

__all__ = ["PiecewiseLine", "interpolant", "piecewise_line"]

Floats = NDArray[np.float64]

_LEAST_STEP = Fraction(1, 2**40)  # relative to |u|, and absolute near 0
_MOST_KNOTS = 4000
_MOST_KNOTS_OF_ZOO = 50_000
_FARTHEST = 2**60
_BITS = 96
_GRID = 2**70  # heights are rounded to this grid


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

    def doubles(self) -> tuple[Floats, Floats, Floats]:
        """Kinks, constants and slopes as the nearest doubles."""
        kinks, constants, slopes = (
            np.array([float(x) for x in part]) for part in (self.kinks, self.constants, self.slopes)
        )
        return kinks, constants, slopes

    def jumps(self) -> tuple[tuple[Fraction, Fraction, Fraction], ...]:
        """(kink, change of value, change of slope): T is its first piece plus jump 1(u > k) + bend (u - k)_+."""
        found = []
        for j, k in enumerate(self.kinks):
            bend = self.slopes[j + 1] - self.slopes[j]
            found.append((k, self.constants[j + 1] - self.constants[j] + bend * k, bend))
        return tuple(found)

    def positive_part(self) -> "PiecewiseLine":
        """max(T, 0) of a T that does not decrease: with one kink more where it passes 0 on a slope."""
        kinks, pieces = list[Fraction](), list[tuple[Fraction, Fraction]]()
        for j, (a, b) in enumerate(zip(self.constants, self.slopes, strict=True)):
            # the first and the last piece are constant
            left, right = (a + b * self.kinks[k] if b else a for k in (j - 1, j))
            if left < 0 < right:
                kinks.append(-a / b)
                pieces.append((Fraction(0), Fraction(0)))
            pieces.append((a, b) if right > 0 else (Fraction(0), Fraction(0)))
            kinks += self.kinks[j : j + 1]
        constants, slopes = zip(*pieces, strict=True)
        return PiecewiseLine(tuple(kinks), constants, slopes, self.distance)


def piecewise_line(loss: Loss) -> PiecewiseLine | None:
    """l' itself where it is bounded and piecewise linear, else None."""
    if loss.pieces is None or any(len(piece.coefficients) > 2 for piece in loss.pieces):
        return None
    pairs = [(*piece.coefficients, Fraction(0))[:2] for piece in loss.pieces]
    if pairs[0][1] or pairs[-1][1]:
        return None
    return PiecewiseLine(loss.kinks, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def interpolant(loss: Loss, distance: Fraction, deadline: float = math.inf) -> PiecewiseLine | None:
    """An increasing piecewise line within `distance` of the l' of logcosh, pseudo_huber or a bounded formula, or None.

    The steps are dyadic multiples of the loss's scale, as long as h^2/8 sup|T''| allows, outwards from 0 to where l'
    is within the distance of its limit; the other half by oddness. For a formula the steps start from every kink and go
    to the next one, or to where all values from there on are proved to be within the distance of each other. None where
    that is not proved, or not by the deadline, a value of time.monotonic().
    """
    if loss.code < 0:
        return _interpolant_of_formula(loss, distance, deadline)
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
            if len(knots) > _MOST_KNOTS_OF_ZOO or time.monotonic() > deadline:
                return None
        balls = [_shape(loss, ball_of(v)) for v in knots]
    heights = _increasing_heights(balls, distance / scale / 4)
    return None if heights is None else _through([scale * v for v in knots], [scale * y for y in heights], distance)


def _interpolant_of_formula(loss: Loss, distance: Fraction, deadline: float) -> PiecewiseLine | None:
    if loss.constants == "numerical" or not math.isfinite(loss.K):
        return None
    parts, balls = [], []
    with precision(_BITS):
        for piece in _formula(loss.text):
            knots = _knots(piece, distance, deadline)
            if knots is None:
                return None
            parts.append(knots)
            balls += [piece.T(ball_of(v)) for v in knots]
    heights = _increasing_heights(balls, distance / 4)
    if heights is None:
        return None
    remaining = iter(heights)
    return _line([[(v, next(remaining)) for v in knots] for knots in parts], distance)


def _increasing_heights(balls: list[flint.arb], allowed: Fraction) -> list[Fraction] | None:
    """Numbers that increase, each within `allowed` of all of its ball; None where that is impossible."""
    if not all(ball.is_finite() for ball in balls):
        return None
    known = [midpoint_and_radius(ball) for ball in balls]
    heights = list(itertools.accumulate((Fraction(round(m * _GRID), _GRID) for m, _ in known), max))
    if any(abs(height - m) + r > allowed for height, (m, r) in zip(heights, known, strict=True)):
        return None
    return heights


@dataclass(frozen=True)
class _FormulaPiece:
    """T = l' and T'' of a formula between two kinks, as functions of balls, and the formula of T."""

    start: Fraction | None
    stop: Fraction | None
    slope: "sympy.Expr"
    T: Callable[[flint.arb], flint.arb]
    bend: Callable[[flint.arb], flint.arb]


@lru_cache(maxsize=64)
def _formula(text: str) -> tuple[_FormulaPiece, ...]:
    pieces = pieces_of_formula(read_expression(text, "u"))
    slopes = [piece.expression.diff(U) for piece in pieces]
    return tuple(
        _FormulaPiece(piece.start, piece.stop, slope, enclosed(slope), enclosed(slope, 2))
        for piece, slope in zip(pieces, slopes, strict=True)
    )


def _knots(piece: _FormulaPiece, distance: Fraction, deadline: float) -> list[Fraction] | None:
    """From the start to the stop of the piece, or to where it is nearly constant."""
    if piece.start is not None:
        return _steps(piece, piece.start, 1, piece.stop, distance, deadline)
    middle = Fraction(0) if piece.stop is None else piece.stop
    left = _steps(piece, middle, -1, None, distance, deadline)
    right = [middle] if piece.stop is not None else _steps(piece, middle, 1, None, distance, deadline)
    return None if left is None or right is None else [*left[:0:-1], *right]


def _steps(
    piece: _FormulaPiece, start: Fraction, side: int, stop: Fraction | None, distance: Fraction, deadline: float
) -> list[Fraction] | None:
    knots, step, asked = [start], Fraction(1, 2), Fraction(1)
    tolerance = ball_of(distance) / 2
    while knots[-1] != stop:
        near = side * knots[-1]
        if stop is None and near >= asked:
            if _nearly_constant(piece, side, near, tolerance):
                break
            asked = near * Fraction(5, 4)
        step *= 2
        if stop is not None:
            step = min(step, stop - knots[-1])
        while not _off(piece.bend, knots[-1], knots[-1] + side * step) < tolerance:
            step /= 2
            if step < _LEAST_STEP * (1 + abs(near)):
                return None
        knots.append(knots[-1] + side * step)
        if len(knots) > _MOST_KNOTS or near > _FARTHEST or time.monotonic() > deadline:
            return None
    return knots


def _nearly_constant(piece: _FormulaPiece, side: int, near: Fraction, tolerance: flint.arb) -> bool:
    """Whether T(side u) for all u >= near is within the tolerance of T(side near)."""
    values = beyond(piece.slope, side, near)
    here = piece.T(ball_of(side * near))
    return values is not None and bool(values.high - here < tolerance) and bool(here - values.low < tolerance)


def _off(bend: Callable[[flint.arb], flint.arb], start: Fraction, stop: Fraction) -> flint.arb:
    """Bound on the distance of a function with this second derivative from its chord."""
    v = ball_of(start).union(ball_of(stop))
    return bend(v).abs_upper() * ball_of((stop - start) ** 2) / 8


def _shape(loss: Loss, v: flint.arb) -> flint.arb:
    """l' of scale 1."""
    return v.tanh() if loss.name == "logcosh" else v * (1 + v * v).rsqrt()


def _bend(loss: Loss, start: Fraction, stop: Fraction) -> flint.arb:
    """Bound on |second derivative of the shape| between start and stop."""
    v = ball_of(start).union(ball_of(stop))
    if loss.name == "logcosh":
        return (2 * v.tanh() * v.sech() ** 2).abs_upper()
    return (3 * v * (1 + v * v).rsqrt() ** 5).abs_upper()


def _through(knots: list[Fraction], values: list[Fraction], distance: Fraction) -> PiecewiseLine:
    """The odd interpolant of these points, constant beyond the last."""
    mirrored = [(-u, -y) for u, y in zip(knots[:0:-1], values[:0:-1], strict=True)]
    return _line([mirrored + list(zip(knots, values, strict=True))], distance)


def _line(parts: list[list[tuple[Fraction, Fraction]]], distance: Fraction) -> PiecewiseLine:
    """The interpolant of the points of each part, constant before the first and beyond the last.

    A part ends at the u at which the next one starts, where the heights may differ.
    """
    kinks = [parts[0][0][0]]
    constants, slopes = [parts[0][0][1]], [Fraction(0)]
    for (a, x), (b, y) in itertools.chain.from_iterable(map(itertools.pairwise, parts)):
        slopes.append((y - x) / (b - a))
        constants.append(x - slopes[-1] * a)
        kinks.append(b)
    return PiecewiseLine(
        tuple(kinks), (*constants, parts[-1][-1][1]), (*slopes, Fraction(0)), math.nextafter(float(distance), math.inf)
    )
