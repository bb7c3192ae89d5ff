import math
import time
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, fmpq, fmpz_poly
from scipy import special, stats

from mimtheory.additive_forms import nearly_additive
from mimtheory.additive_laws import _Cells, _Law, _Laws, _times, additive_laws
from mimtheory.additive_series import additive_series
from mimtheory.balls import midpoint_and_radius
from mimtheory.box_integrals import box_integrals
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.polynomials import Polynomial
from mimtheory.quadratic_integrals import quadratic_integrals
from mimtheory.weighted_moments import weights_of
from tests.problems import line_of, u_of

ZERO = Fraction(0)


@pytest.mark.parametrize(
    ("text", "name", "centre"),
    [
        ("h4(z1) + h4(z2) + h4(z3) + h4(z4) + h4(z5)", "l1", ZERO),
        ("h4(z1) + h3(z2) + h2(z3) - h2(z4) + h4(z5)/2 + z6", "huber(1)", Fraction(1, 4)),
        ("z1**4 + z2**4 + z3**4 - z4 + z5**2", "quantile(0.3)", Fraction(8)),
        ("(z1 + z2)**2/2 + h4(z3) + h3(z4)", "huber(1)", ZERO),
    ],
)
def test_the_series_overlaps(text: str, name: str, centre: Fraction) -> None:
    u, line = u_of(text, centre), line_of(name)
    sharp, laws = additive_series(u, line, u.r, 1e-3), additive_laws(u, line, u.r, 2e-2)
    assert laws.radius <= 2e-2
    for a, b in zip(sharp.balls, laws.balls, strict=True):
        assert b.overlaps(a)
        # the grid's bound is far above its error
        assert abs(float(a.mid()) - float(b.mid())) <= 5e-3


@pytest.mark.parametrize("name", ["huber(1)", "quantile(0.3)"])
def test_a_coupled_quadratic_is_turned_and_turned_back(name: str) -> None:
    u, line = u_of("z1*z2 + z2*z3 - z3*z4/2 + z4*z5 + z1/2 + z5**2", Fraction(1, 8)), line_of(name)
    sharp, laws = quadratic_integrals(u, line, ZERO, 1e-6), additive_laws(u, line, 5, 3e-2)
    assert laws.radius <= 3e-2
    for a, b in zip(sharp.balls, laws.balls, strict=True):
        assert b.overlaps(a)
        assert abs(float(a.mid()) - float(b.mid())) <= 8e-3


def test_boxes_overlap() -> None:
    u, line = u_of("h4(z1) + z2**3 - z2 + z1/3", Fraction(1, 5)), line_of("huber(1)")
    laws, boxes = additive_laws(u, line, 2, 2e-3), box_integrals(u, line, 2, 3e-3)
    assert laws.radius <= 2e-3
    for a, b in zip(laws.balls, boxes.balls, strict=True):
        assert b.overlaps(a)


def test_the_norm_is_chi_squared() -> None:
    found = additive_laws(u_of("z1**2 + z2**2 + z3**2 + z4**2 + z5**2 + z6**2", Fraction(5)), line_of("l1"), 6, 3e-3)
    for weight, ball in zip(weights_of(6, 6), found.balls, strict=True):
        exact = 0.0
        if all(a % 2 == 0 for a in weight):
            exact = 2 * special.gammainc((6 + sum(weight)) / 2, 2.5) - 1
        assert ball.overlaps(arb(exact, 1e-14))
    assert found.radius <= 3e-3


@pytest.mark.parametrize("name", ["l1", "huber(1)", "quantile(0.3)"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_far_centre_leaves_one_constant_of_the_loss(name: str, sign: int) -> None:
    # g >= 0, so that u = -5 - g is below all kinks, and 5 + g above
    g = "(z1**2 + z2**2 + z3**2)" if sign > 0 else "-(z1**2 + z2**2 + z3**2)"
    line = line_of(name)
    found = additive_laws(u_of(g, Fraction(-5 * sign)), line, 3, 1e-2)
    constant = float(line.constants[0 if sign > 0 else -1])
    for weight, ball in zip(weights_of(3, 3), found.balls, strict=True):
        assert ball.contains(constant if all(a % 2 == 0 for a in weight) else 0)
    assert found.radius <= 1e-2


@pytest.mark.parametrize("centre", [-40, -20, -6, 6, 20, 40])
def test_far_centres_on_both_sides_overlap_the_series(centre: int) -> None:
    u, line = u_of("h2(z1) + h2(z2) - h3(z3) + h4(z4)/2", Fraction(centre)), line_of("huber(1)")
    sharp, laws = additive_series(u, line, 4, 1e-3), additive_laws(u, line, 4, 1e-2)
    assert max(sharp.radius, laws.radius) <= 1e-2
    for a, b in zip(sharp.balls, laws.balls, strict=True):
        assert b.overlaps(a)


@pytest.mark.parametrize("power", [1, 8, 15, 18])
def test_a_large_coefficient_does_not_hide_the_others(power: int) -> None:
    # all but the sign of z1 is lost: z2 + z3 matters where |z1|^3 < 10^(1 - power)
    found = additive_laws(u_of(f"10**{power}*z1**3 + z2 + z3"), line_of("l1"), 3, 1e-2)
    assert found.radius <= 1e-2
    if power > 6:
        exact = [0.0, -math.sqrt(2 / math.pi), *[0.0] * 8]
        for value, ball in zip(exact, found.balls, strict=True):
            assert ball.overlaps(arb(value, 5 * 10 ** (-power / 3)))
    else:
        assert not found.balls[2].contains(0)


def test_grid_points_beyond_the_doubles_are_refused() -> None:
    assert additive_laws(u_of("10**17*z1**2 + z2 + z3", Fraction(10**17)), line_of("l1"), 3, 1e-2).radius == math.inf


def test_a_cell_too_narrow_to_divide_is_moved_to_where_it_is_cut_off() -> None:
    # rounding of 2^60 z makes every cell narrow; the move counts from the place where it is put
    cells = _Cells(Polynomial.variable(1, 0) * Polynomial.constant(1, Fraction(2**60)), 3.0, 2.0**-7)
    laws, moved = cells.laws(-1000, 1000)
    assert sum(int(c) for c in laws[0].masses.coeffs()) > 0
    assert moved >= 1.5 * 2**60 * 2.0**-42


def test_a_wrong_ball_does_not_overlap() -> None:
    u, line = u_of("h4(z1) + h4(z2) + h4(z3) + h4(z4) + h4(z5)"), line_of("l1")
    sharp, laws = additive_series(u, line, 5, 1e-3), additive_laws(u, line, 5, 3e-3)
    assert not laws.balls[0].overlaps(sharp.balls[0] + arb(0.02))


@pytest.mark.parametrize("text", ["h4(z1)", "z1**3 - z1", "2*z1"])
def test_the_masses_of_a_law_are_those_of_scipy(text: str) -> None:
    step, p = 2.0**-6, link(text).polynomial
    cells = _Cells(p, 5.0, step)
    laws, moved = cells.laws(-10_000, 10_000)
    assert step / 2 <= moved <= step * (1 + 1e-9)
    inside = [2 * stats.norm.cdf(5) - 1, 0.0, 2 * (stats.norm.cdf(5) - 5 * stats.norm.pdf(5)) - 1]
    for law, exact in zip(laws, inside, strict=True):
        assert abs(int(law.masses(1)) / 2**50 - exact) <= law.error + 1e-15
        assert law.error < 1e-10
    # E p, p within a step of its grid point
    z = np.linspace(-5, 5, 400_001)
    mean = np.trapezoid(p(z[:, None]) * stats.norm.pdf(z), z)
    grid = sum(int(c) * (laws[0].first + j) for j, c in enumerate(laws[0].masses.coeffs())) / 2**50 * step
    assert abs(mean - grid) <= step


def test_a_product_of_laws_is_exact_but_for_its_error() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-(2**46), 2**46, 12) for _ in range(2))
    found = _times(_Law(fmpz_poly(a.tolist()), -3, 0.0), _Law(fmpz_poly(b.tolist()), 5, 0.0))
    exact = np.convolve(a.astype(object), b.astype(object))
    kept = {found.first + j: int(c) for j, c in enumerate(found.masses.coeffs())}
    lost = sum(abs(Fraction(int(c), 2**50) - kept.get(2 + j, 0)) for j, c in enumerate(exact)) / 2**50
    assert lost <= found.error < 1e-9


def test_ends_of_little_mass_are_dropped_within_the_error() -> None:
    a = fmpz_poly([1, 2**10, 2**50, 2**10, 1])
    found = _times(_Law(a, 0, 0.0), _Law(a, 0, 0.0))
    assert (found.first, len(found.masses)) == (4, 1)
    assert 4 * 2.0**-40 <= found.error <= 2.0**-30


def test_the_turn_is_exactly_orthogonal() -> None:
    form = nearly_additive(u_of("z1*z2 + z2*z3 + 3*z4*z5 + z6**3"))
    assert form is not None
    product = form.Q * form.Q.transpose()
    assert all(product[i, j] == fmpq(int(i == j)) for i in range(6) for j in range(6))
    assert form.Q[5, 5] == 1
    # z4 z5 has the eigenvalues +-3/2, which share no law; z1 z2 + z2 z3 has 0, +-1/sqrt 2
    assert form.rest.degree == 2


def test_only_nearly_additive_functions_are_taken() -> None:
    assert nearly_additive(link("z1*z2*z3 + z4").polynomial) is None
    assert nearly_additive(link("z1*z2 + z1**3").polynomial) is None
    with pytest.raises(ValueError, match="nearly additive"):
        additive_laws(u_of("z1**2*z2 + z3"), line_of("l1"), 3, 1e-2)


def test_no_time_gives_no_knowledge_and_little_time_an_honest_radius() -> None:
    u, line = u_of("h4(z1) + h4(z2) + h4(z3) + h4(z4) + h4(z5)"), line_of("l1")
    assert additive_laws(u, line, 5, 1e-3, time.monotonic() - 1).radius == math.inf
    found = additive_laws(u, line, 5, 1e-9, time.monotonic() + 2)
    sharp = additive_series(u, line, 5, 1e-3)
    assert 1e-9 < found.radius < math.inf
    for a, b in zip(sharp.balls, found.balls, strict=True):
        assert b.overlaps(a)


def test_label_noise_is_one_more_variable_and_agrees_with_monte_carlo() -> None:
    u = u_of("z1*z2 + h4(z3) + z4 - h2(z5)")
    noisy = u.extended(6) - Polynomial.variable(6, 5) * Polynomial.constant(6, Fraction(1, 2))
    found = additive_laws(noisy, line_of("huber(1)"), 5, 2e-2)
    samples, rng = 400_000, np.random.default_rng(0)
    z = rng.standard_normal((samples, 6))
    t = loss("huber(1)").dl(noisy(z), np.zeros(samples))
    for weight, ball in zip(weights_of(6, 5), found.balls, strict=True):
        column = t * np.prod(z ** np.array(weight), axis=1)
        middle, radius = midpoint_and_radius(ball)
        # 5.5 standard errors, two-sided 4e-8 for each of 21 numbers
        assert abs(float(middle) - column.mean()) <= 5.5 * column.std() / math.sqrt(samples) + float(radius)
    assert found.radius <= 2e-2


def test_the_grid_costs_what_it_may_move() -> None:
    # Huber's T: moved by rho towards larger values, it grows by rho where it is not constant
    form, step = nearly_additive(u_of("z1 + z2/2 + z3/4")), 2.0**-7
    assert form is not None
    found = _Laws(form, line_of("huber(1)"), 3, 1e-9, step, math.inf).expectations()
    assert found is not None
    inside = 2 * stats.norm.cdf(1 / math.sqrt(1 + 1 / 4 + 1 / 16)) - 1
    # three variables, each up to at least half a step from its grid point
    assert float(found.balls[0].rad()) >= 2 * 3 * step / 2 * inside
    assert found.balls[0].contains(0)
