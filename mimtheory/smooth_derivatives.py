"""Bounded smooth T of the error u: values in doubles with a proven error, and bounds off the real line.

logcosh (T = tanh u), pseudo_huber (T = u/sqrt(1 + u^2/delta^2)), and a piecewise line convolved with Gaussian label
noise, T_s(u) = E T(u + s xi), with its positive part and its square. Proofs: docs/theory/certified.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import flint
import numpy as np
from numpy.typing import NDArray

from mimtheory.balls import ball_of, double_of, normal_density, precision
from mimtheory.losses import Loss
from mimtheory.piecewise_lines import PiecewiseLine, piecewise_line
from mimtheory.rounding import UNIT, gamma_above

__all__ = ["SmoothDerivative", "smooth_derivative", "smooth_parts", "squared"]

Floats = NDArray[np.float64]

_BITS = 160
_STEPS = 8  # Taylor polynomials per unit of the scale
_DEGREE = 13
_MOST_ROWS = 20_000

# kink, and by how much a function, its slope and its curvature change there
_Change = tuple[Fraction, Fraction, Fraction, Fraction]


@dataclass(frozen=True)
class SmoothDerivative:
    """A bounded analytic function T of the error.

    Attributes
    ----------
    K, slope : float
        Bounds on |T| and on T' on the real line.
    error : float
        Bound on the distance of `values` from T.
    values : callable
        Doubles to doubles, elementwise.
    beyond : callable
        (least |Re u|, largest |Im u|) -> bound on |T| over all such u; infinite where T may be singular.
    """

    K: float
    slope: float
    error: float
    values: Callable[[Floats], Floats]
    beyond: Callable[[Floats, Floats], Floats]


@lru_cache(maxsize=64)  # the table of tanh takes a second
def smooth_derivative(loss: Loss, noise: Fraction) -> SmoothDerivative | None:
    """T of this loss with label noise of this standard deviation; None where it is not smooth or not known."""
    if noise:
        line = piecewise_line(loss)
        return None if line is None or _too_long(line, noise) else _convolved_line(line, noise)
    if loss.name == "logcosh":
        table = _Table(_tanh_series, -20, 20, Fraction(1), (-1.0, 1.0))
        # |tanh| < 1.558 on the circle of radius 1; beyond 20 it differs from 1 by less than 2 e^-40
        return SmoothDerivative(1.0, 1.0, table.error(1.558) + 1e-17, table, _beyond_tanh)
    if loss.name == "pseudo_huber":
        assert loss.parameter is not None
        delta = float(loss.parameter)
        return SmoothDerivative(
            math.nextafter(delta, math.inf),
            1.0,
            gamma_above(12) * delta,
            lambda u: u / np.sqrt(1 + (u / delta) * (u / delta)),
            lambda re, im: np.where(re * re - im * im >= -0.4999 * delta * delta, delta * (1 + 2 * UNIT), np.inf),
        )
    return None


@lru_cache(maxsize=64)
def smooth_parts(loss: Loss, noise: Fraction) -> tuple[SmoothDerivative, SmoothDerivative] | None:
    """E max(T, 0) and E T^2 at u + s xi, as functions of u; None where `smooth_derivative` does not know T_s."""
    line = piecewise_line(loss)
    if line is None or not noise or _too_long(line, noise):
        return None
    return _convolved_line(line.positive_part(), noise), _convolved_square(line, noise)


def squared(T: SmoothDerivative) -> SmoothDerivative:
    """T^2, which does not increase; |T~^2 - T^2| <= |T~ - T| (2K + |T~ - T|), and the square is rounded."""
    return SmoothDerivative(
        T.K**2 * (1 + 4 * UNIT),
        2 * T.K * T.slope * (1 + 4 * UNIT),
        ((2 * T.K + T.error) * T.error + 2 * UNIT * (T.K + T.error) ** 2) * (1 + 8 * UNIT),
        lambda u: T.values(u) ** 2,
        lambda re, im: T.beyond(re, im) ** 2 * (1 + 4 * UNIT),
    )


def _beyond_tanh(re: Floats, im: Floats) -> Floats:
    """|tanh u| <= 1 for |Im u| <= pi/4, and <= coth|Re u| <= 1 + 1/|Re u| anywhere."""
    with np.errstate(divide="ignore"):
        return np.where(im <= 0.785, 1.0, (1 + 1 / np.maximum(re, 0.0)) * (1 + 4 * UNIT))


class _Table:
    """Taylor polynomials of degree 13 about the multiples of scale/8; constant beyond the first and the last."""

    def __init__(
        self,
        series: Callable[[flint.arb, int], list[flint.arb]],
        first: int,
        last: int,
        scale: Fraction,
        limits: tuple[float, float],
    ) -> None:
        """All in units of the scale: the first and last multiple, and `series(v, n)`, the Taylor coefficients at v."""
        self.scale, self.limits, self.first = float(scale), limits, first * _STEPS
        rows = []
        with precision(_BITS):
            for k in range(first * _STEPS, last * _STEPS + 1):
                rows.append([double_of(c)[0] for c in series(ball_of(Fraction(k, _STEPS)), _DEGREE)])
        self.rows = np.array(rows)

    def __call__(self, u: Floats) -> Floats:
        v = u / self.scale
        nearest = np.rint(v * _STEPS)
        k = np.clip(nearest - self.first, 0, len(self.rows) - 1).astype(np.int64)
        s = np.where(k == nearest - self.first, v - nearest / _STEPS, 0.0)
        value = self.rows[k, _DEGREE]
        for j in range(_DEGREE - 1, -1, -1):
            value = value * s + self.rows[k, j]
        low, high = nearest < self.first, nearest >= self.first + len(self.rows)
        result: Floats = np.where(low, self.limits[0], np.where(high, self.limits[1], value))
        return result

    def error(self, bound: float) -> float:
        """Distance of the value from T within the table, given |T| <= bound on circles of one scale about the line."""
        # Cauchy: |c_n| <= bound. |s| <= 1/16 up to rounding; Horner's rounding is that of the constant coefficient and
        # a sixteenth of 2 * 13 others. A scale that is no power of two is rounded: T moves by |v T'(v)| <= reach bound.
        small = 1 / (2 * _STEPS) * (1 + 2.0**-20)
        remainder = bound * small ** (_DEGREE + 1) / (1 - small)
        reach = max(abs(self.first), abs(self.first + len(self.rows))) / _STEPS
        scaling = 0.0 if math.frexp(self.scale)[0] == 0.5 else gamma_above(4) * bound * reach
        return (remainder + gamma_above(8) * bound + scaling) * (1 + 2.0**-20)


def _tanh_series(v: flint.arb, degree: int) -> list[flint.arb]:
    """From t' = 1 - t^2."""
    c = [v.tanh()]
    for n in range(degree):
        square = sum((c[i] * c[n - i] for i in range(n + 1)), flint.arb(0))
        c.append(((1 if n == 0 else 0) - square) / (n + 1))
    return c


def _reach(kinks: Sequence[Fraction], noise: Fraction) -> int:
    """Up to which multiple of the noise a table goes; beyond it is constant."""
    return math.ceil(max(map(abs, kinks)) / noise) + 10


def _too_long(line: PiecewiseLine, noise: Fraction) -> bool:
    return _reach(line.kinks, noise) * _STEPS > _MOST_ROWS // 2


def _convolved_line(line: PiecewiseLine, noise: Fraction) -> SmoothDerivative:
    changes = [(*change, Fraction(0)) for change in line.jumps()]
    steepest = math.inf if any(jump for _, jump, *_ in changes) else max(map(float, line.slopes))
    ends = line.constants[0], line.constants[-1]
    return _convolved(ends, changes, ends[1] - ends[0], steepest, noise)


def _convolved_square(line: PiecewiseLine, noise: Fraction) -> SmoothDerivative:
    """Of T^2, which falls to 0 and rises again, for T does not decrease."""
    changes = []
    for j, kink in enumerate(line.kinks):
        (a, b), (c, e) = ((line.constants[i] + line.slopes[i] * kink, line.slopes[i]) for i in (j, j + 1))
        changes.append((kink, c * c - a * a, 2 * (c * e - a * b), 2 * (e * e - b * b)))
    ends = line.constants[0] ** 2, line.constants[-1] ** 2
    return _convolved(ends, changes, sum(ends, Fraction(0)), math.inf, noise)


def _convolved(
    ends: tuple[Fraction, Fraction], changes: Sequence[_Change], variation: Fraction, steepest: float, noise: Fraction
) -> SmoothDerivative:
    """F_s(u) = E F(u + s xi) of a piecewise quadratic F that is largest in size at one of its ends.

    F is its first value plus, over the kinks k, jump 1(u > k) + bend (u - k)_+ + curve (u - k)_+^2/2; these become
    Phi, s G and s^2 H of (u - k)/s, with H' = G, G' = Phi. Its variation is at most the one given.
    """
    kinks = [change[0] for change in changes]
    limits = float(ends[0]), float(ends[1])
    K = max(map(abs, limits)) * (1 + 2 * UNIT)
    # F_s' = E F'(u + s xi) is at most the largest slope, and F_s' <= variation phi(0)/s with phi(0) < 0.4
    slope = min(steepest, float(variation) * 0.4 / float(noise))

    def series(v: flint.arb, degree: int) -> list[flint.arb]:
        total = [ball_of(ends[0])] + [flint.arb(0)] * degree
        for kink, jump, bend, curve in changes:
            x = v - ball_of(kink / noise)
            density = normal_density(x)
            whole = (1 + (x / flint.arb(2).sqrt()).erf()) / 2
            step = [whole, *_density_series(x, density, degree)]  # n! times the coefficients of Phi
            ramp = [x * whole + density, *step[:degree]]
            bow = [((x * x + 1) * whole + x * density) / 2, *ramp[:degree]]
            sizes = ball_of(jump), ball_of(bend * noise), ball_of(curve * noise**2)
            for n in range(degree + 1):
                parts = zip(sizes, (step[n], ramp[n], bow[n]), strict=True)
                total[n] += sum((size * part for size, part in parts), flint.arb(0)) / math.factorial(n)
        return total

    reach = _reach(kinks, noise)
    table = _Table(series, -reach, reach, noise, limits)
    # |F_s| <= K e^(1/2) on circles of radius s; beyond the table the noise would have to exceed 9.9 s
    error = table.error(1.6488 * K) + 2 * K * 1e-22

    farthest = float(max(map(abs, kinks)))

    def beyond(re: Floats, im: Floats) -> Floats:
        v = im / float(noise) * (1 + 4 * UNIT)
        # K e^(v^2/2), rounded up in steps; where |Re u| exceeds all kinks by |Im u|, F_s is within 2K of its limit
        saturated = re * (1 - 4 * UNIT) - farthest * (1 + 4 * UNIT) >= im
        return np.select([v <= 1, saturated, v <= 2, v <= 3], [1.6488 * K, 3 * K, 7.3891 * K, 90.02 * K], np.inf)

    return SmoothDerivative(K, slope * (1 + 8 * UNIT), error, table, beyond)


def _density_series(x: flint.arb, density: flint.arb, degree: int) -> list[flint.arb]:
    """phi^(n)(x) = (-1)^n He_n(x) phi(x), n = 0 .. degree - 1."""
    hermite = [flint.arb(1), x]
    for n in range(2, degree):
        hermite.append(x * hermite[n - 1] - (n - 1) * hermite[n - 2])
    return [(-1) ** n * hermite[n] * density for n in range(degree)]
