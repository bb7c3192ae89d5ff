import itertools
import math
import time
import types
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from scipy import integrate, special

from mimtheory import piecewise_lines
from mimtheory.balls import midpoint_and_radius, precision
from mimtheory.box_integrals import box_integrals
from mimtheory.box_sums import BoxSums
from mimtheory.closed_forms import closed_form
from mimtheory.dyadic_cells import CellPolynomial, SideTable, tail_moment
from mimtheory.gaussian_integrals import gaussian_averages
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.piecewise_lines import _increasing_heights, interpolant, piecewise_line
from mimtheory.polynomials import Polynomial
from mimtheory.rounding import gamma_above
from mimtheory.weighted_moments import weights_of
from tests.problems import line_of, u_of


@pytest.mark.parametrize("name", ["l1", "huber(1)", "huber(1/3)", "quantile(0.3)"])
def test_a_piecewise_line_is_the_derivative_of_the_loss_and_the_sum_of_its_jumps(name: str) -> None:
    line = line_of(name)
    for u in (Fraction(k, 7) for k in range(-30, 31) if k):
        assert float(line(u)) == pytest.approx(float(loss(name).dl(float(u), 0.0)), abs=1e-15)
        total = line.constants[0] + sum((j + b * (u - k) for k, j, b in line.jumps() if u > k), Fraction(0))
        assert total == line(u)


@pytest.mark.parametrize("name", ["logcosh", "pseudo_huber(1)", "pseudo_huber(0.3)"])
@pytest.mark.parametrize("distance", [Fraction(1, 100), Fraction(1, 3000)])
def test_an_interpolant_stays_within_its_distance(name: str, distance: Fraction) -> None:
    line = interpolant(loss(name), distance)
    assert line is not None
    assert line.distance >= distance
    points = [Fraction(k, 37) for k in range(-3000, 3001)]
    worst = max(abs(float(line(u)) - float(loss(name).dl(float(u), 0.0))) for u in points)
    assert 0.1 * float(distance) < worst <= float(distance)
    assert interpolant(loss("l1"), distance) is None
    assert piecewise_line(loss(name)) is None


def test_sides_have_their_moments() -> None:
    table = SideTable(6)
    lower, width = np.array([-8.0, 0.0, 1.25, -0.5]), np.array([1.0, 2.0**-30, 0.25, 0.5])
    moments, inner, outer = table.moments(lower, width)
    for row, (a, w) in enumerate(zip(lower, width, strict=True)):
        for k in range(7):
            # ball arithmetic at 400 bits with another formula: incomplete gamma functions
            with precision(400):
                ends = []
                for x in (flint.arb(a), flint.arb(a + w)):
                    s = flint.arb(k + 1) / 2
                    part = (s.gamma() - (x * x / 2).gamma_upper(s)) * flint.arb(2) ** (s - 1)
                    ends.append(part / (2 * flint.arb.pi()).sqrt() * (-1 if x < 0 and k % 2 == 0 else 1))
                exact = ends[1] - ends[0]
                assert abs(moments[row, k] - exact) <= 2.0**-51 * abs(exact)
        near, far = sorted((abs(a), abs(a + w)))
        assert inner[row] == pytest.approx(math.exp(-near * near / 2) / math.sqrt(2 * math.pi), rel=1e-14)
        assert outer[row] == pytest.approx(math.exp(-far * far / 2) / math.sqrt(2 * math.pi), rel=1e-14)


def test_tail_moments_are_tails() -> None:
    for power in range(3):
        exact = (
            2
            * integrate.quad(lambda z, power=power: z**power * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), 8, 20)[0]
        )
        assert exact * (1 - 1e-6) <= tail_moment(power) <= exact * (1 + 1e-6)


def test_taylor_coefficients_are_exact_up_to_their_bound() -> None:
    g = link("h4(z1) + 3*z1**2*z2 - z2**3/7 + 0.3")
    cell = CellPolynomial(g.polynomial)
    middle, half = np.array([[1.375, -7.5]]), np.array([[0.125, 0.5]])
    values, rounding = cell.taylor(middle, half)
    z = [Polynomial.variable(2, k) for k in range(2)]
    moved = g.polynomial.substitute(
        [
            Polynomial.constant(2, Fraction(float(middle[0, k])))
            + z[k] * Polynomial.constant(2, Fraction(float(half[0, k])))
            for k in range(2)
        ]
    )
    with precision(200):
        error = flint.arb(0)
        for index, surd in moved.terms.items():
            exact = sum((flint.arb(v) * flint.arb(s).sqrt() for s, v in surd.items()), flint.arb(0))
            error += abs(exact - flint.arb(float(values[index][0])))
    assert error <= rounding[0]
    assert rounding[0] < 1e-11
    assert gamma_above(3) > 3 * 2.0**-53


@pytest.mark.parametrize(
    ("text", "name", "centre"),
    [
        ("h4", "l1", 0.0),
        ("h4", "huber(1)", 0.25),
        ("h3(z1) + h2(z1)", "quantile(0.3)", 0.25),
        ("h2", "huber(1/3)", -0.5),
    ],
)
def test_one_variable_agrees_with_the_closed_form(text: str, name: str, centre: float) -> None:
    form = closed_form(link(text), loss(name), centre)
    assert form is not None
    found = box_integrals(u_of(text, Fraction(centre)), line_of(name), 1, 1e-12)
    mean, first, second = form.moments()
    for ball, exact in zip(found.balls, (mean, first, second + mean), strict=True):
        assert ball.overlaps(exact)
    assert found.radius < 3e-12
    assert found.cells < 1000


PLANE = [
    *itertools.product(
        ["h4+h4", "mixed", "skewed", "z1*z2", "z1**2 - z2**2 + z1/3"], ["l1", "huber(1)", "quantile(0.3)"]
    ),
    ("octic", "huber(0.7)"),
]


@pytest.mark.parametrize(("text", "name"), PLANE)
def test_two_variables_agree_with_quadrature_along_rays(text: str, name: str) -> None:
    centre = Fraction(1, 8)
    averages = gaussian_averages(LineIntegrals(link(text), loss(name), float(centre), moments=False, first=True), 2)
    found = box_integrals(u_of(text, centre), line_of(name), 2, 2e-5)
    mean, *rest = found.balls
    for ball, value, error in zip((mean, *rest[2:], *rest[:2]), averages.values, averages.errors, strict=True):
        middle, radius = midpoint_and_radius(ball)
        assert abs(float(middle) - value) <= float(radius) + error
    assert found.radius < 2.5e-5


def test_three_and_four_variables_agree_with_products_that_are_known() -> None:
    # |z|^2 is chi-squared: E[sign(3 - |z|^2)] and E[sign(3 - |z|^2) z_1^2] = E[sign |z|^2]/r, degrees r and r + 2
    for r, target in ((3, 2e-3), (4, 3e-2)):
        u = u_of(" + ".join(f"z{k + 1}**2" for k in range(r)), Fraction(3))
        found = box_integrals(u, line_of("l1"), r, target)
        for weight, ball in zip(weights_of(r, r), found.balls, strict=True):
            exact = 0.0
            if all(a % 2 == 0 for a in weight):
                exact = 2 * special.gammainc((r + sum(weight)) / 2, 1.5) - 1
            middle, radius = midpoint_and_radius(ball)
            assert abs(float(middle) - exact) <= float(radius) + 1e-14
        assert found.radius <= 2 * target


def test_jumps_cost_the_square_and_bends_the_cube_of_the_side() -> None:
    for name, order in (("l1", 1.0), ("huber(1)", 1.5)):  # of the number of boxes in the plane: h^2 = N^-2, h^3 = N^-3
        counts, radii = [], []
        for target in (1e-3, 1e-6):
            found = box_integrals(u_of("h4+h4"), line_of(name), 2, target)
            counts.append(found.cells)
            radii.append(found.radius)
        assert math.log(radii[0] / radii[1]) / math.log(counts[1] / counts[0]) > order


def test_a_ball_that_is_wrong_on_purpose_is_caught() -> None:
    exact = 2 / math.pi
    found = box_integrals(u_of("z1*z2"), line_of("l1"), 2, 1e-4)
    ball = found.balls[-2]
    assert ball.overlaps(flint.arb(-exact, 1e-12))
    assert not (ball + 3 * ball.rad()).overlaps(flint.arb(-exact, 1e-12))


def test_what_runs_out_of_time_or_boxes_says_how_far_it_came() -> None:
    u, line = u_of("h4+h4"), line_of("huber(1)")
    assert box_integrals(u, line, 2, 1e-9, time.monotonic() - 1).radius == math.inf
    few = box_integrals(u, line, 2, 1e-9, most=3000)
    assert 1e-9 < few.radius < 1
    assert few.cells <= 3000
    assert all(a.overlaps(b) for a, b in zip(few.balls, box_integrals(u, line, 2, 1e-5).balls, strict=True))


FORMULAS: dict[str, Callable[[Any], Any]] = {
    "log(cosh(u))": np.tanh,
    "sqrt(1 + u**2)": lambda u: u / np.hypot(1, u),
    "2*log(1 + exp(u)) - u": lambda u: np.tanh(u / 2),
    "u*atan(u) - log(1 + u**2)/2": np.arctan,
    "log(1 + exp(u)) + log(1 + exp(-2*u))": lambda u: special.expit(u) - 2 * special.expit(-2 * u),
    "log(1 + exp(u))": special.expit,
    "log(1 + exp(1/3 - u))": lambda u: -special.expit(1 / 3 - u),
    "u + sqrt(1 + u**2)": lambda u: 1 + u / np.hypot(1, u),
    "Abs(u - 1/3) - log(1 + Abs(u - 1/3))": lambda u: (u - 1 / 3) / (1 + np.abs(u - 1 / 3)),
    "log(cosh(u)) + Max(u, 1/7)": lambda u: np.tanh(u) + (u > 1 / 7),
    "Piecewise((0, u < 0), (u**3/3, u < 1), (u - 2/3, True))": lambda u: np.clip(u, 0, 1) ** 2,
    "u*erf(u) + 0.6*exp(-u**2)": lambda u: special.erf(u) + u * np.exp(-u * u) * (2 / math.sqrt(math.pi) - 1.2),
}


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("distance", [Fraction(1, 10), Fraction(1, 100)])
def test_the_interpolant_of_a_formula_stays_within_its_distance_and_increases(text: str, distance: Fraction) -> None:
    """Against SciPy's functions, out to 10^6."""
    line = interpolant(loss(text), distance)
    assert line is not None
    assert line.distance >= distance
    near, far = np.arange(-3000, 3001) / 37, np.geomspace(40, 1e6, 500)
    points = np.concatenate([near, far, -far])
    values = np.array([float(line(Fraction(u))) for u in points])
    assert np.abs(values - FORMULAS[text](points)).max() <= float(distance)
    assert np.all(np.diff(values[np.argsort(points)]) >= -1e-15)


@pytest.mark.parametrize("text", ["u**2/2 + u**4/12", "cosh(u)", "exp(u)", "u*asinh(u) - sqrt(1+u**2)"])
def test_an_unbounded_formula_has_no_interpolant(text: str) -> None:
    assert interpolant(loss(text), Fraction(1, 10)) is None


def test_what_the_rounding_of_heights_adds_is_within_the_distance() -> None:
    """The heights are rounded to a grid of 2^-70: a distance that this would exceed is refused."""
    with precision(96):
        balls = [flint.arb(k) / 7 for k in range(8)]
        assert _increasing_heights(balls, Fraction(1, 2**72)) is None
        heights = _increasing_heights(balls, Fraction(1, 2**70))
        wide = [flint.arb(0.5, 1e-3), flint.arb(0.5, 1e-3)]
        assert _increasing_heights(wide, Fraction(1, 1001)) is None
        assert _increasing_heights(wide, Fraction(1, 999)) is not None
        # falling heights are raised to those before, which counts
        fall = [flint.arb(0.5), flint.arb(0.25), flint.arb(0.125)]
        assert _increasing_heights(fall, Fraction(3, 10)) is None
        assert _increasing_heights(fall, Fraction(3, 8)) == [Fraction(1, 2)] * 3
    assert heights is not None
    assert max(abs(height - Fraction(k, 7)) for k, height in enumerate(heights)) <= Fraction(1, 2**70)
    # values of size 10^30 cannot be told apart on the grid, nor reached with so many knots
    assert interpolant(loss("pseudo_huber(1e30)"), Fraction(1, 2)) is None


def test_an_interpolant_stops_at_its_deadline() -> None:
    """Counted in readings of the clock, one for every knot."""
    readings = iter(range(10**6))
    clock = types.SimpleNamespace(monotonic=lambda: float(next(readings)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecewise_lines, "time", clock)
        for text in ("log(1 + exp(u))", "logcosh"):
            before = next(readings)
            assert interpolant(loss(text), Fraction(1, 10**5), before + 50.0) is None
            assert next(readings) - before <= 60
            before = next(readings)
            assert interpolant(loss(text), Fraction(1, 10**5), before + 5000.0) is not None


class _NeverSharp(BoxSums):
    """The box that holds 7.3 is never known well enough; corners and midpoints must be distinct doubles."""

    def integrate(self, lower: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        assert ((lower < lower + width / 2) & (lower + width / 2 < lower + width)).all()
        within = ((lower <= 7.3) & (7.3 < lower + width)).astype(float)
        return np.zeros_like(lower), within


def test_boxes_are_not_split_beyond_the_digits_of_their_corners() -> None:
    sums = _NeverSharp((False,), 1, 0.0)
    # 16/0.125 boxes at first, then two at a time down to a width of 2^-48
    assert sums.run(1e-300, math.inf, 10**6) == 128 + 2 * 45
    assert sums.total(0) == (0.0, pytest.approx(1.0))
