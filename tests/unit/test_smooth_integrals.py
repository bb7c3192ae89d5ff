import itertools
import math
import time
from collections.abc import Callable
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
from scipy import integrate, stats

from mimtheory.balls import midpoint_and_radius
from mimtheory.box_integrals import box_integrals
from mimtheory.gaussian_integrals import gaussian_averages
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import link
from mimtheory.losses import Loss, loss
from mimtheory.piecewise_lines import interpolant, piecewise_line
from mimtheory.polynomials import Polynomial
from mimtheory.smooth_derivatives import SmoothDerivative, smooth_derivative, smooth_parts
from mimtheory.smooth_integrals import smooth_integrals

KINDS = [
    ("logcosh", Fraction(0)),
    ("pseudo_huber(0.7)", Fraction(0)),
    ("l1", Fraction(1, 2)),
    ("huber(1)", Fraction(3, 10)),
    ("quantile(0.3)", Fraction(2)),
]


def smooth(name: str, noise: Fraction) -> SmoothDerivative:
    T = smooth_derivative(loss(name), noise)
    assert T is not None
    return T


def by_mpmath(name: str, noise: Fraction, u: complex) -> mpmath.mpc:
    """T or T_s at 30 digits, from the formulas of the losses and, with noise, by integrating over it."""
    with mpmath.workdps(30):
        v = mpmath.mpc(u)
        if name == "logcosh":
            return mpmath.tanh(v)
        if noise == 0:
            return v / mpmath.sqrt(1 + (v / mpmath.mpf(7) * 10) ** 2)
        line, s = piecewise_line(loss(name)), mpmath.mpf(noise.numerator) / noise.denominator
        assert line is not None
        total = mpmath.mpc(line.constants[0].numerator) / line.constants[0].denominator
        for kink, jump, bend in line.jumps():
            x = (v - mpmath.mpf(kink.numerator) / kink.denominator) / s
            Phi, phi = (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2, mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
            total += mpmath.mpf(jump.numerator) / jump.denominator * Phi
            total += mpmath.mpf(bend.numerator) / bend.denominator * s * (x * Phi + phi)
        return total


@pytest.mark.parametrize(("name", "noise"), KINDS)
def test_values_are_within_their_error_and_below_K(name: str, noise: Fraction) -> None:
    T = smooth(name, noise)
    u = np.random.default_rng(0).standard_normal(400) * np.array([0.1, 1, 5, 40])[:, None, None].repeat(1, 1)
    points = u.ravel()
    worst = max(abs(by_mpmath(name, noise, x) - y) for x, y in zip(points, T.values(points), strict=True))
    assert worst <= T.error < 1e-13
    assert np.abs(T.values(points)).max() <= T.K
    slopes = np.diff(T.values(np.linspace(-5, 5, 2001))) / 0.005
    assert 0.5 * T.slope <= slopes.max() <= T.slope + 1e-9


def test_noise_is_a_convolution() -> None:
    T = smooth("huber(1)", Fraction(3, 10))
    for u in (-1.3, 0.2, 0.9):
        cuts = [(-1 - u) / 0.3, (1 - u) / 0.3]
        exact = integrate.quad(lambda x, u=u: np.clip(u + 0.3 * x, -1, 1) * stats.norm.pdf(x), -9, 9, points=cuts)[0]
        assert T.values(np.array([u]))[0] == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("name", ["huber(1)", "l1", "quantile(0.3)", "huber(1/3)"])
@pytest.mark.parametrize("noise", [Fraction(3, 10), Fraction(2)])
def test_parts_are_convolutions_within_their_error(name: str, noise: Fraction) -> None:
    preprocessing, parts = loss(name), smooth_parts(loss(name), noise)
    assert parts is not None
    cuts = [float(kink) for kink in preprocessing.kinks] + [0.0]

    def average(power: Callable[[mpmath.mpf], mpmath.mpf], u: float) -> mpmath.mpf:
        s = mpmath.mpf(noise.numerator) / noise.denominator
        ends = sorted({-12.0, 12.0, *(float((cut - u) / s) for cut in cuts if abs(cut - u) < 12 * s)})
        total = mpmath.mpf(0)
        for low, high in itertools.pairwise(ends):
            # within a piece T is a line; the rule of 30 digits is exact to far below 1e-15
            total += mpmath.quad(lambda x: power(_line_at(preprocessing, u + s * x)) * mpmath.npdf(x), [low, high])
        return total

    with mpmath.workdps(30):
        for u in (-3.1, -1.0, -0.2, 0.0, 0.4, 1.3, 5.0):
            for part, power in zip(parts, (lambda t: max(t, mpmath.mpf(0)), lambda t: t * t), strict=True):
                off = abs(average(power, u) - mpmath.mpf(float(part.values(np.array([u]))[0])))
                assert off <= part.error < 1e-12, (u, off)
    for part in parts:
        values = part.values(np.linspace(-6, 6, 4001))
        assert np.abs(values).max() <= part.K
        assert np.abs(np.diff(values)).max() <= part.slope * 0.003 * (1 + 1e-9) + 1e-12


def _line_at(preprocessing: Loss, u: mpmath.mpf) -> mpmath.mpf:
    ends = ((p, p.upper) for p in preprocessing.pieces or ())
    piece = next(p for p, end in ends if end is None or u < mpmath.mpf(end.numerator) / end.denominator)
    return sum(mpmath.mpf(c.numerator) / c.denominator * u**k for k, c in enumerate(piece.coefficients))


def test_the_parts_of_what_is_not_smooth_are_none() -> None:
    assert smooth_parts(loss("huber(1)"), Fraction(0)) is None
    assert smooth_parts(loss("logcosh"), Fraction(1, 2)) is None
    assert smooth_parts(loss("huber(1)"), Fraction(1, 10**6)) is None


@pytest.mark.parametrize(("name", "noise"), KINDS)
def test_bounds_off_the_line_hold(name: str, noise: Fraction) -> None:
    T, rng = smooth(name, noise), np.random.default_rng(1)
    finite = 0
    for _ in range(400):
        re, im = rng.exponential(2) * rng.integers(0, 2), rng.exponential(1.0)
        bound = float(T.beyond(np.array(re), np.array(im)))
        if math.isfinite(bound):
            finite += 1
            for x in (re, re + rng.exponential(1.0)):
                for y in (im, im * rng.random()):
                    assert abs(by_mpmath(name, noise, complex(x, y))) <= bound * (1 + 1e-12)
    assert finite > 100


def test_losses_that_are_not_smooth_have_no_smooth_derivative() -> None:
    assert smooth_derivative(loss("l1"), Fraction(0)) is None
    assert smooth_derivative(loss("logcosh"), Fraction(1, 2)) is None
    assert smooth_derivative(loss("huber(1)"), Fraction(1, 10**6)) is None  # the table would be too long


@pytest.mark.parametrize(
    ("text", "name", "noise", "target"),
    [
        ("h4", "logcosh", Fraction(0), 1e-12),
        ("h4+h4", "logcosh", Fraction(0), 1e-12),
        ("mixed", "pseudo_huber(1)", Fraction(0), 1e-11),
        ("skewed", "logcosh", Fraction(0), 1e-9),
        ("mixed", "huber(1)", Fraction(1, 2), 1e-6),
        ("z1*z2 + He2(z3)/2", "logcosh", Fraction(0), 1e-3),
    ],
)
def test_products_agree_with_quadrature_along_rays(text: str, name: str, noise: Fraction, target: float) -> None:
    g, T = link(text), smooth(name, noise)
    centre = 0.125
    u = Polynomial.constant(g.r, Fraction(centre)) - g.polynomial
    found = smooth_integrals(u, T, g.r, target)
    noisy = g.with_noise(float(noise)) if noise else g
    averages = gaussian_averages(LineIntegrals(noisy, loss(name), centre, moments=False, first=True), g.r)
    mean, *rest = found.balls
    for ball, value, error in zip((mean, *rest[g.r :], *rest[: g.r]), averages.values, averages.errors, strict=True):
        middle, radius = midpoint_and_radius(ball)
        assert abs(float(middle) - value) <= float(radius) + error + 1e-15
    assert found.radius <= 2 * target


def test_a_near_piecewise_line_confirms_the_products() -> None:
    u = -link("mixed").polynomial
    line = interpolant(loss("logcosh"), Fraction(1, 500))
    assert line is not None
    sharp, near = smooth_integrals(u, smooth("logcosh", Fraction(0)), 2, 1e-9), box_integrals(u, line, 2, 5e-3)
    for a, b in zip(sharp.balls, near.balls, strict=True):
        assert b.contains(a)
        assert not (b + 3 * b.rad() + flint.arb(1e-3)).overlaps(a)


def test_no_time_gives_no_knowledge() -> None:
    u = -link("h4+h4").polynomial
    assert smooth_integrals(u, smooth("logcosh", Fraction(0)), 2, 1e-9, time.monotonic() - 1).radius == math.inf
