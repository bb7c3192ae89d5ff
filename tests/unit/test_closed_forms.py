import itertools
import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from mimtheory.closed_forms import closed_form
from mimtheory.gaussian_integrals import gaussian_averages
from mimtheory.hessian import expected_hessian
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import link
from mimtheory.losses import loss

CASES = [
    ("h4(z1)", "l1", 0.0),
    ("h4(z1)", "huber(1)", 0.0),
    ("h2(z1)", "huber(1)", -0.3),
    ("h2(z1)", "huber(1)", 0.5),
    ("h3(z1) + h2(z1)", "quantile(0.3)", 0.25),
    ("h4(z1) + h6(z1)", "huber(0.3)", 0.1),
    ("z1**2*(z1 - 1)", "l1", 0.0),
    ("z1**2 + 1", "l1", 0.0),  # no real root at all
    ("sqrt(2)*z1 + sqrt(3)*z1**3", "huber(2)", 1.0),
]


def by_mpmath(g: Any, name: str, centre: float) -> Any:
    """E T and E[T (z^2 - 1)] at 30 digits, the line cut at the sign changes of g - level on a fine grid."""
    coefficients = sympy.Poly(g.to_sympy(), *g.to_sympy().free_symbols).all_coeffs()
    shape = loss(name)
    assert shape.pieces is not None
    pieces = shape.pieces
    with mpmath.workdps(40):
        p = [mpmath.mpf(str(sympy.N(c, 45))) for c in coefficients]

        def y(z: float) -> Any:
            return mpmath.polyval(p, z)

        cuts = {mpmath.mpf(k) for k in range(-14, 15, 2)}
        for kink in shape.kinks:
            level = mpmath.mpf(Fraction(centre).numerator) / Fraction(centre).denominator
            level -= mpmath.mpf(kink.numerator) / kink.denominator
            shifted = [*p[:-1], p[-1] - level]
            for root in mpmath.polyroots(shifted, maxsteps=500, extraprec=400):
                if abs(mpmath.im(root)) < 1e-9:
                    cuts.add(mpmath.re(root))

        def t(z: float) -> Any:
            u = centre - y(z)
            for piece in pieces:
                if piece.upper is None or u < mpmath.mpf(piece.upper.numerator) / piece.upper.denominator:
                    return sum(mpmath.mpf(c.numerator) / c.denominator * u**k for k, c in enumerate(piece.coefficients))
            raise AssertionError

        ends = sorted(cuts)
        mean = mpmath.quad(lambda z: t(z) * mpmath.npdf(z), ends)
        return mean, mpmath.quad(lambda z: t(z) * (z * z - 1) * mpmath.npdf(z), ends)


@pytest.mark.parametrize(("text", "name", "centre"), CASES)
def test_the_balls_agree_with_thirty_digit_quadrature(text: str, name: str, centre: float) -> None:
    g = link(text)
    form = closed_form(g, loss(name), centre)
    assert form is not None
    for ball, expected in zip(form.balls(1e-28), by_mpmath(g, name, centre), strict=True):
        assert float(ball.rad()) <= 1e-28
        with mpmath.workdps(40):
            # quad leaves out less than 1e-40 beyond |z| = 14; str prints the certified digits, about 28
            assert abs(mpmath.mpf(ball.str(40, radius=False)) - expected) < 1e-26


def test_the_centre_is_exact_and_not_the_nearest_double() -> None:
    form = closed_form(link("h1(z1)"), loss("l1"), Fraction(1, 3))
    assert form is not None
    mean = form.balls(1e-28)[0]
    with mpmath.workdps(40):
        expected = mpmath.erf(mpmath.mpf(1) / 3 / mpmath.sqrt(2))  # E sign(1/3 - z)
        off = mpmath.erf(mpmath.mpf(1 / 3) / mpmath.sqrt(2))
        assert abs(mpmath.mpf(mean.str(40, radius=False)) - expected) < 1e-26 < abs(off - expected)


@pytest.mark.parametrize(("text", "name", "centre"), CASES)
def test_the_closed_form_agrees_with_the_engine(text: str, name: str, centre: float) -> None:
    g = link(text)
    form = closed_form(g, loss(name), centre)
    assert form is not None
    mean, second = (float(ball) for ball in form.balls())
    averages = gaussian_averages(LineIntegrals(g, loss(name), centre, moments=False), 1)
    assert abs(averages.values[0] - mean) <= averages.errors[0]
    assert abs(averages.values[1] - mean - second) <= averages.errors[1] + averages.errors[0]
    assert averages.errors.max() < 1e-12


def test_double_roots_change_nothing() -> None:
    # g = (z^2 - 1)^2 >= 0, so T = sign(0 - g) = -1 almost everywhere: E T = -1 and E[T (z^2 - 1)] = 0
    g = link("(z1**2 - 1)**2")
    form = closed_form(g, loss("l1"), 0.0)
    assert form is not None
    assert [float(ball) for ball in form.balls()] == [-1.0, 0.0]
    assert form.expressions()[2] == 0
    # in floating point g is noise next to its double roots, and the engine says so
    averages = gaussian_averages(LineIntegrals(g, loss("l1"), 0.0, moments=False), 1)
    assert np.all(np.abs(averages.values + 1) <= averages.errors)
    assert averages.errors.max() < 1e-6


@pytest.mark.parametrize(("text", "name", "centre"), [CASES[0], CASES[2], CASES[4], CASES[6], CASES[7]])
def test_the_expression_has_the_value_of_the_ball(text: str, name: str, centre: float) -> None:
    form = closed_form(link(text), loss(name), centre)
    assert form is not None
    value = form.balls()[1]
    assert abs(float(sympy.N(form.expressions()[2], 25)) - float(value)) < 1e-15


def test_the_expression_of_h2_and_l1_is_minus_four_phi_of_one() -> None:
    form = closed_form(link("h2(z1)"), loss("l1"), 0.0)
    assert form is not None
    z = sympy.Symbol("z", real=True)
    density = sympy.exp(-(z**2) / 2) / sympy.sqrt(2 * sympy.pi)
    inside = sympy.integrate((z**2 - 1) * density, (z, -1, 1))  # T = 1 there, -1 outside; the whole line gives 0
    assert sympy.simplify(form.expressions()[2] - 2 * inside) == 0
    assert sympy.simplify(form.expressions()[2] + 4 * density.subs(z, 1)) == 0


def test_l1_is_a_signed_sum_over_the_roots() -> None:
    # -2 sum over sign changes of +-x phi(x), + where g crosses upwards: here for He_4, roots in radicals
    small, large = math.sqrt(3 - math.sqrt(6)), math.sqrt(3 + math.sqrt(6))
    phi = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (small, large)]
    form = closed_form(link("h4(z1)"), loss("l1"), 0.0)
    assert form is not None
    assert float(form.balls()[1]) == pytest.approx(4 * (small * phi[0] - large * phi[1]), abs=1e-15)


def test_odd_links_with_odd_derivatives_give_exactly_zero() -> None:
    form = closed_form(link("z1**3 + z1"), loss("l1"), 0.0)
    assert form is not None
    assert form.expressions()[2] == 0


def test_many_square_roots_and_smooth_losses_are_left_to_the_engine() -> None:
    many = "+".join(f"h{k}(z1)" for k in (3, 5, 7, 11, 13))
    assert closed_form(link(many), loss("huber(1)"), 0.0) is None
    assert closed_form(link("h4(z1)"), loss("logcosh"), 0.0) is None
    assert closed_form(link("z1*z2"), loss("l1"), 0.0) is None


def test_the_working_precision_is_restored() -> None:
    import flint

    before = flint.ctx.prec
    form = closed_form(link("h4(z1)"), loss("huber(1)"), 0.0)
    assert form is not None
    form.balls(1e-200)
    assert flint.ctx.prec == before


def test_two_hundred_digits_agree_with_one_hundred() -> None:
    form = closed_form(link("h4(z1)"), loss("huber(1)"), 0.0)
    assert form is not None
    for short, long in zip(form.balls(1e-100), form.balls(1e-200), strict=True):
        assert short.overlaps(long)
        assert float(long.rad()) <= 1e-200


def test_pieces_change_only_at_the_cuts() -> None:
    # between consecutive real roots of the norm the label stays in one piece: sampled on a fine grid
    g, shape, centre = link("h4(z1) + h6(z1)"), loss("huber(0.3)"), 0.1
    form = closed_form(g, shape, centre)
    assert form is not None
    found: list[Any] = form.norm.complex_roots()
    roots = sorted(float(x.real) for x, _ in found if x.imag == 0)
    for a, b in itertools.pairwise(roots):
        u = centre - g(np.linspace(a, b, 102)[1:-1, None])
        pieces = {int(np.sum(value > np.array([-0.3, 0.3]))) for value in u}
        assert len(pieces) == 1


@pytest.mark.parametrize(
    ("loss_name", "centre"), [("huber(1)", 1e9), ("huber(1)", 1e20), ("l1", -1e200), ("huber(1e20)", 0.0)]
)
def test_kinks_beyond_all_mass_leave_numbers_of_a_size(loss_name: str, centre: float) -> None:
    """T is 1, -1 or linear but for a probability such as e^(-10^9), which no fraction has room for."""
    H = expected_hessian("h2", loss_name, centre)
    assert abs(H.C[0, 0] - (-math.sqrt(2) if loss_name == "huber(1e20)" else 0.0)) <= H.radius < 1e-15
    assert abs(H.c0 - (0.0 if centre == 0 else math.copysign(1, centre))) <= H.radius


@pytest.mark.parametrize(
    ("text", "name", "centre", "balanced"),
    [
        ("z1**3", "quantile(0.2)", 0, True),
        ("z1*(z1 - 1)**2", "l1", 0, True),
        ("(z1**3 - z1)*(z1**2 + z1 + 1)", "l1", 0, True),
        ("(z1**3 - z1)*(z1**2 + z1 + 1)", "l1", 1, False),
        ("z1**3 + z1", "l1", 0.5, False),
        ("z1**2 - 1", "l1", 0, False),
        ("z1**3", "huber(1)", 0, False),  # odd, but no step
    ],
)
def test_a_balanced_step_is_one_whose_mirror_image_adds_up_to_a_constant(
    text: str, name: str, centre: float, balanced: bool
) -> None:
    form, z = closed_form(link(text), loss(name), centre), np.linspace(0.003, 4, 997)
    assert form is not None
    assert form.balanced_step() == balanced
    sums = loss(name).dl(centre, link(text)(z[:, None])) + loss(name).dl(centre, link(text)(-z[:, None]))
    assert not balanced or np.ptp(sums) == pytest.approx(0, abs=1e-12)
