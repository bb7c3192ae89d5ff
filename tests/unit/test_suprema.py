import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from flint import arb

from mimtheory.activation_zoo import EXPRESSIONS
from mimtheory.activations import ACTIVATION_NAMES, activation
from mimtheory.ball_functions import FUNCTIONS, compiled
from mimtheory.balls import precision
from mimtheory.expressions import read_expression
from mimtheory.formula_constants import suprema_of_derivatives
from mimtheory.formula_pieces import FormulaPiece
from mimtheory.losses import loss
from mimtheory.suprema import Supremum, analytic, certified_supremum

U = sympy.Symbol("u", real=True)


@pytest.mark.parametrize("name", [name for name in ACTIVATION_NAMES if name in EXPRESSIONS])
def test_the_constants_of_the_zoo_are_suprema(name: str) -> None:
    sigma, expression = activation(name), read_expression(EXPRESSIONS[name], "u")
    for k, constant in ((1, sigma.Lip), (3, sigma.M3), (4, sigma.M4)):
        found = certified_supremum(expression.diff(U, k))
        assert found.proved
        if math.isinf(constant):
            assert math.isinf(found.lower)
        else:
            # where the supremum is approached at infinity its lower bound is the value at 32
            assert found.lower <= constant * (1 + 1e-12)
            assert constant <= found.upper * (1 + 1e-7) + 1e-30
            assert found.upper <= constant * (1 + 1e-6) + 1e-30


@pytest.mark.parametrize(
    ("text", "order", "exact"),
    [
        ("exp(-u**2/2)", 1, math.exp(-0.5)),
        ("exp(-u**2/2)", 2, 1.0),
        ("log(1 + exp(u))", 1, 1.0),
        ("log(1 + exp(u))", 2, 0.25),
        ("log(1 + exp(u))", 3, math.sqrt(3) / 18),
        ("u**2/(1 + u**2)", 1, 3 * math.sqrt(3) / 8),
        ("atan(u)", 1, 1.0),
        ("sin(u) + cos(u)", 2, math.sqrt(2)),
        ("u*exp(-u**2)", 0, math.exp(-0.5) / math.sqrt(2)),
        ("u**3 + tanh(u)", 1, math.inf),
        ("exp(u)", 3, math.inf),
        ("cosh(u)/exp(u)", 0, math.inf),
        ("sqrt(1 + u**4)/(1 + u**2)", 0, 1.0),
        ("log(exp(u) + exp(u/2) + 1)", 2, 1 / 6),
        ("log(1 + exp(u - 1/3))", 1, 1.0),
        ("asinh(u)**2/2", 4, 4.0),
        ("atan(u)", 0, math.pi / 2),
        ("1e-9*log(cosh(1e9*u))", 2, 1e9),
        ("1e9*log(cosh(1e-9*u))", 1, 1.0),
        ("1e9*log(cosh(1e-9*u))", 2, 1e-9),
        ("sqrt(u**2 + 1e-18)", 1, 1.0),
        ("1e-18*(1 - cos(1e9*u))", 3, 1e9),
        ("sqrt(2)*u**2", 2, 2 * math.sqrt(2)),
        ("u**2 + u**2*sin(u**2)/u**6", 1, math.inf),
        ("3*u", 2, 0.0),
        ("-(u + sqrt(u**2 + 1e30))/(2*sqrt(u**2 + 1e30))", 0, 1.0),
        ("u/(1 + exp(-u))", 1, 1.099839320128866917),
    ],
)
def test_known_suprema(text: str, order: int, exact: float) -> None:
    found = certified_supremum(
        sympy.diff(read_expression(text, "u"), U, order) if order else read_expression(text, "u")
    )
    assert found.proved
    assert found.lower <= exact * (1 + 1e-12)
    if math.isfinite(exact):
        # exact is rounded to a double here
        assert exact * (1 - 2**-52) <= found.upper <= exact * (1 + 1e-5)
    else:
        assert found.lower == math.inf


def test_signed_suprema() -> None:
    expression = read_expression("tanh(u) + exp(-u**2)/2", "u")
    above, below = certified_supremum(expression, 1), certified_supremum(expression, -1)
    values = np.tanh(np.linspace(-30, 30, 100_001)) + np.exp(-(np.linspace(-30, 30, 100_001) ** 2)) / 2
    assert values.max() <= above.upper <= values.max() + 1e-5
    assert -values.min() <= below.upper <= -values.min() + 1e-5


def test_bounds_hold_at_random_points_of_random_formulas() -> None:
    rng = np.random.default_rng(0)
    parts = ["tanh({}*u)", "sin({}*u)", "exp(-{}*u**2)", "1/(1 + {}*u**2)", "u/sqrt({} + u**2)", "atan({}*u)"]
    for _ in range(4):
        chosen = rng.choice(len(parts), 2, replace=False)
        a, b = rng.integers(1, 4, 2)
        expression = read_expression(f"{parts[chosen[0]].format(a)} * {parts[chosen[1]].format(b)}", "u")
        for order in (0, 1, 2):
            f = sympy.diff(expression, U, order) if order else expression
            found = certified_supremum(f)
            points = np.concatenate([rng.standard_normal(2000), 30 * rng.standard_normal(2000)])
            values = np.abs(np.broadcast_to(sympy.lambdify(U, f, "numpy")(points), points.shape))
            assert found.proved
            assert values.max() <= found.upper * (1 + 1e-12)
            assert found.lower <= found.upper


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("tan(u)", 0),
        ("asinh(u)/u", 0),
        ("(1 - cos(u))/u", 0),
        ("sin(u)/u", 3),
        ("sin(u**2)/u", 1),
        ("u*sin(u)", 0),
        ("1/(2 + sin(u) - cos(u/2)**2)", 9),
    ],
)
def test_what_cannot_be_proved_is_said(text: str, order: int) -> None:
    found = certified_supremum(sympy.diff(read_expression(text, "u"), U, min(order, 4)))
    assert found.proved == (order == 9)  # the last is smooth and periodic
    assert found.lower <= found.upper


@pytest.mark.parametrize(
    ("text", "start", "stop", "exact"),
    [
        ("u**3/3 - u", "-1/3", "2", 3.0),
        ("exp(-u)", "1/3", None, math.exp(-1 / 3)),
        ("log(1 + u)", "0", None, 1.0),
        ("u**2/2", None, "-5/7", math.inf),
        ("tanh(u)", None, "-7/3", 1 - math.tanh(7 / 3) ** 2),
        ("u - log(1 + u)", "0", "1000000000", 1e9 / (1e9 + 1)),
    ],
)
def test_suprema_over_a_part_of_the_line(text: str, start: str | None, stop: str | None, exact: float) -> None:
    ends = [None if end is None else Fraction(end) for end in (start, stop)]
    found = certified_supremum(sympy.diff(read_expression(text, "u"), U), 0, *ends)
    assert found.proved
    assert found.lower <= exact * (1 + 1e-12)
    assert exact * (1 - 1e-12) <= found.upper
    assert math.isinf(exact) or found.upper <= exact * (1 + 1e-6)


def test_a_bump_far_out_is_bounded_in_the_form_in_which_it_is_written() -> None:
    bump = read_expression("tanh(u) + exp(-(u - 500)**2)", "u")
    found = certified_supremum(bump)
    assert found.proved
    assert found.lower <= 2 <= found.upper <= 2 * (1 + 1e-3)
    assert 500 < certified_supremum(bump.diff(U), -1, enough=0.0).at <= 512  # beyond the bump's top only


def test_a_part_that_occurs_twice_is_computed_anew_for_every_ball_and_precision() -> None:
    function = compiled(sympy.exp(U) * (1 + sympy.exp(U)) - sympy.exp(U))  # exp(2 u)
    x = arb(1) / 3
    wide, narrow = arb(1).union(arb(2)), arb(2)
    for ball, value in ((wide, None), (narrow, math.exp(4)), (x, math.exp(2 / 3)), (narrow, math.exp(4))):
        assert value is None or float(function(ball).mid()) == pytest.approx(value, rel=1e-14)
    with precision(60):
        coarse = function(narrow)
    with precision(300):
        fine = function(narrow)
    assert float(fine.rad()) < 1e-80 < float(coarse.rad())
    assert coarse.contains(fine)


def test_one_sided_suprema_that_are_0_are_exactly_0() -> None:
    slope = sympy.diff(read_expression("log(1 + exp(u))", "u"), U)
    assert certified_supremum(slope, -1) == Supremum(0.0, 0.0, True)
    assert certified_supremum(-slope, 1) == Supremum(0.0, 0.0, True)
    assert certified_supremum(slope, 1).upper == 1.0
    part = read_expression("u**3*sinh(u)", "u").diff(U)
    assert certified_supremum(part, 1, None, Fraction(0)).upper == 0.0
    assert certified_supremum(part, 1, None, Fraction(1)).upper >= 3 * math.sinh(1)


RANDOM = [
    "tanh({}*u - 1)",
    "sin({}*u)",
    "exp(-{}*u**2)",
    "1/(1 + {}*u**2)",
    "u/sqrt({} + u**2)",
    "atan({}*u)",
    "erf({}*u)",
]


@pytest.mark.parametrize("seed", range(5))
def test_no_value_at_forty_digits_exceeds_a_supremum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.choice(len(RANDOM), 2, replace=False)
    scale = 10.0 ** rng.integers(-9, 10)
    first, second = RANDOM[a].format(rng.integers(1, 9)), RANDOM[b].format(float(scale))
    f = read_expression(f"{first}*{second} + {rng.integers(1, 5)}*{second}/7", "u").diff(U, int(rng.integers(1, 4)))
    start, stop = sorted(Fraction(int(k), 9) for k in rng.choice(60, 2, replace=False))
    for ends in ((None, None), (start, stop)):
        found = certified_supremum(f, 0, *ends)
        values = sympy.lambdify(U, f, "mpmath")
        low = -40.0 if ends[0] is None else float(ends[0])
        high = 40.0 if ends[1] is None else float(ends[1])
        points = [*rng.uniform(low, high, 150), *(rng.normal(size=150) / scale), *(rng.normal(size=50) * 1e3)]
        with mpmath.workdps(40):
            largest = max(abs(values(mpmath.mpf(x))) for x in points if low <= x <= high or ends == (None, None))
        assert found.proved
        assert largest <= found.upper
        assert found.lower <= found.upper


def test_losses_and_activations_of_ones_own_have_certified_constants() -> None:
    own = loss("sqrt(4 + u**2)")
    assert own.constants == "certified"
    assert 1 <= own.K_plus <= 1 + 1e-5
    assert 0.5 <= own.L2 <= 0.5 * (1 + 1e-6)
    lopsided = loss("log(1 + exp(u)) + u*0")
    assert (lopsided.K_plus, lopsided.K_minus) == (1.0, 0.0)
    assert activation("u*tanh(u)/2").constants == "certified"
    assert loss("huber(1)").constants == activation("utanh").constants == "exact"


@pytest.mark.parametrize(
    ("text", "proved"),
    [
        ("log(cosh(u))", True),
        ("sqrt(1 + u**2)", True),
        ("u*atan(u) - log(1 + u**2)/2", True),
        ("u**2/(1 + u**2)", True),
        ("log(cosh(u)) + sqrt(u**2 - 2*u/3 + 1/9)", False),  # log cosh u + |u - 1/3|, whose l'' simplifies to sech^2
        ("u*atan(1/u)", False),
        ("log(u)", False),
        ("tan(u)", False),
    ],
)
def test_a_kink_that_simplifying_hides_is_not_analytic(text: str, proved: bool) -> None:
    u = sympy.Symbol("u", real=True)
    assert analytic(sympy.sympify(text, {"u": u}, rational=True)) == proved


def test_analytic_on_a_part_of_the_line() -> None:
    u = sympy.Symbol("u", real=True)
    assert analytic(sympy.sqrt(u), Fraction(1, 10**9), None)
    assert not analytic(sympy.sqrt(u), Fraction(0), None)
    assert analytic(sympy.log(u + 1) / (u - 2), Fraction(-1, 2), Fraction(19, 10))
    assert not analytic(sympy.log(u + 1) / (u - 2), Fraction(-1, 2), Fraction(2))
    for kinked in (sympy.Abs(u), sympy.sign(u), sympy.Min(u, 1), sympy.Piecewise((u, u < 0), (u**2, True))):
        assert not analytic(kinked)
    assert not analytic(sympy.gamma(u))
    assert not analytic(u**u)


def test_constants_of_a_hidden_kink_are_not_called_certified() -> None:
    # sinh is not factored, so that its kink at 0 stays hidden: (sinh(u)**2)**(1/2) = |sinh u|
    hidden = "log(cosh(u)) + sqrt(cosh(u)**2 - 1)"
    assert loss("log(cosh(u))").constants == "certified"
    assert loss(hidden).constants == "numerical"
    assert activation(f"{hidden} + u**2/2").constants == "numerical"


def test_an_even_function_of_a_ball_around_0_has_its_value_at_0() -> None:
    for name, at_0 in ((sympy.sech, 1), (sympy.cosh, 1)):
        ball = FUNCTIONS[name](arb(0.25, 1))
        assert ball.contains(at_0)
        assert ball.contains(FUNCTIONS[name](arb(1.25)).mid())
        assert FUNCTIONS[name](arb(5e8, 5e8)).is_finite()


def test_a_kink_that_differentiating_hides_has_no_certified_supremum() -> None:
    hidden = sympy.sqrt(U**2 - 2 * U / 3 + sympy.Rational(1, 9))
    assert certified_supremum(sympy.simplify(hidden.diff(U, 2))).upper == 0.0
    assert suprema_of_derivatives([FormulaPiece(None, None, sympy.log(sympy.cosh(U)) + hidden)], [(2, 0)]) is None
