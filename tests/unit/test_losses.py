"""Losses: derivatives, suprema and exact pieces against mpmath; every kind of bad input in one line."""

import math
import re
import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy

from mimtheory.activations import activation
from mimtheory.ball_functions import U as SYMBOL
from mimtheory.expressions import read_expression
from mimtheory.formula_constants import polynomial_pieces, vectorised
from mimtheory.formula_pieces import FormulaPiece
from mimtheory.losses import LOSS_NAMES, Loss, loss

pytestmark = pytest.mark.usefixtures("sixty_digits")


TEXTS = ("squared", "l1", "huber(1)", "huber(0.3)", "pseudo_huber(0.7)", "logcosh", "quantile(0.2)", "log(cosh(u))")
U = [s * u for s in (-1, 1) for u in (1e-9, 1e-4, 0.1, 0.29, 0.31, 0.7, 0.99, 1.01, 3.0, 20.0)]


def oracle(text: str, u: mpmath.mpf) -> mpmath.mpf:
    """The loss itself, written down again at 40 digits."""
    size = abs(u)
    match text:
        case "squared":
            return u * u / 2
        case "l1":
            return size
        case "huber(1)":
            return u * u / 2 if size <= 1 else size - mpmath.mpf(1) / 2
        case "huber(0.3)":
            delta = mpmath.mpf(3) / 10
            return u * u / 2 if size <= delta else delta * (size - delta / 2)
        case "pseudo_huber(0.7)":
            delta = mpmath.mpf(7) / 10
            return delta**2 * (mpmath.sqrt(1 + (u / delta) ** 2) - 1)
        case "quantile(0.2)":
            return u * mpmath.mpf(8) / 10 if u > 0 else -u * mpmath.mpf(2) / 10
    return mpmath.log(mpmath.cosh(u))


@pytest.mark.parametrize("text", TEXTS)
def test_value_and_derivative_are_those_of_the_formula(text: str) -> None:
    candidate = loss(text)
    for u in U:
        exact = oracle(text, mpmath.mpf(u))
        slope = mpmath.diff(lambda x: oracle(text, x), mpmath.mpf(u), h=mpmath.mpf("1e-15"))
        # t - y is exact for y = 0; a formula of ten roundings. The last text is user-defined and may cancel near 0.
        allowed = 16 * 2**-53 * max(abs(exact), 1.0 if candidate.code < 0 else 0.0)
        assert abs(mpmath.mpf(float(candidate.value(u, 0.0))) - exact) <= allowed, u
        assert abs(mpmath.mpf(float(candidate.dl(u, 0.0))) - slope) <= 16 * 2**-53 * abs(slope) + mpmath.mpf("1e-20"), u


@pytest.mark.parametrize("text", TEXTS)
def test_the_suprema_are_reached_and_not_exceeded(text: str) -> None:
    candidate = loss(text)
    slopes = candidate.dl(np.linspace(-50, 50, 20001), 0.0)
    # pseudo_huber(0.7) comes within 1e-4 of its supremum at |u| = 50
    if text == "squared":
        assert candidate.K == math.inf
    else:
        # a quotient such as sinh/cosh is rounded three times
        assert slopes.max() * (1 - 2**-51) <= candidate.K_plus <= slopes.max() * (1 + 1e-3)
        assert -slopes.min() * (1 - 2**-51) <= candidate.K_minus <= -slopes.min() * (1 + 1e-3)
        assert candidate.K == max(candidate.K_plus, candidate.K_minus)
    assert (np.diff(slopes) >= -1e-15).all()  # convex
    steepest = (np.diff(slopes) / 0.005).max()
    # a grid of step h sees the Lipschitz constant of a smooth slope up to h^2 times its third derivative
    assert candidate.L2 == math.inf or steepest * (1 - 1e-9) <= candidate.L2 <= steepest * (1 + 1e-4)
    assert (candidate.L2 == math.inf) == (text in ("l1", "quantile(0.2)"))


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_derivative(text: str) -> None:
    candidate = loss(text)
    if candidate.pieces is None:
        assert not candidate.kinks
        return
    ends = [piece.upper for piece in candidate.pieces[:-1]]
    assert tuple(ends) == candidate.kinks
    for u in U:
        piece = next(p for p in candidate.pieces if p.upper is None or u < p.upper)
        value = sum(c * Fraction(u) ** k for k, c in enumerate(piece.coefficients))
        # the parameter rounded to a double, and one subtraction
        assert abs(float(value) - float(candidate.dl(u, 0.0))) <= 4 * 2**-53 * max(1.0, abs(float(value)))


@pytest.mark.parametrize("text", TEXTS)
def test_no_number_comes_out_of_what_is_none(text: str) -> None:
    assert np.isnan(loss(text).dl([np.nan, 1.0], 0.0)).tolist() == [True, False]
    assert np.isnan(loss(text).value([np.nan, 1.0], 0.0)).tolist() == [True, False]


def test_a_jump_takes_the_middle_value() -> None:
    assert float(loss("l1").dl(1.0, 1.0)) == 0.0
    assert float(loss("quantile(0.2)").dl(1.0, 1.0)) == pytest.approx(0.3, abs=2**-53)


def test_nothing_overflows_or_cancels() -> None:
    assert float(loss("logcosh").value(1000.0, 0.0)) == 1000 - math.log(2)
    assert float(loss("pseudo_huber(1)").value(1e-9, 0.0)) == 0.5e-18
    assert float(loss("huber(1)").dl(1e300, 0.0)) == 1.0


@pytest.mark.parametrize("delta", [1e-100, 1e-3, 1.0, 1e99])
def test_the_slope_of_pseudo_huber_is_delta_far_out(delta: float) -> None:
    sizes = np.array([1e10 * delta, 2e286, 5.2e306, 1.7e308, math.inf])
    candidate = loss("pseudo_huber", delta=delta)
    for sign in (1, -1):
        assert candidate.dl(sign * sizes, 0.0) == pytest.approx(sign * delta, rel=8 * 2**-53)
    assert np.isnan(candidate.dl(np.nan, 0.0))


@pytest.mark.parametrize("delta", [1e-99, 1e-3, 1.0, 1e99])
@pytest.mark.parametrize("u", [1e-8, 0.3, 1e10, -1e20, 1e154, -1e200])
def test_the_value_of_pseudo_huber_is_that_of_its_formula_where_squares_overflow(delta: float, u: float) -> None:
    with mpmath.workdps(700):
        exact = float(mpmath.mpf(delta) ** 2 * (mpmath.sqrt(1 + (mpmath.mpf(u) / mpmath.mpf(delta)) ** 2) - 1))
    # eight roundings; below the smallest normal number a value has fewer digits
    assert float(loss("pseudo_huber", delta=delta).value(u, 0.0)) == pytest.approx(exact, rel=8 * 2**-53, abs=1e-307)


def test_the_value_of_pseudo_huber_is_a_line_where_its_argument_overflows() -> None:
    assert float(loss("pseudo_huber", delta=1e-99).value(-1e250, 0.0)) == pytest.approx(1e151, rel=8 * 2**-53)


def test_the_ends_of_the_range_of_delta_belong_to_it() -> None:
    assert loss("huber(1e100)").K == 1e100
    assert loss("huber(1e-100)").K == 1e-100
    with pytest.raises(ValueError, match="1e-100 to 1e100"):
        loss("huber(1.1e100)")


@pytest.mark.parametrize("text", TEXTS)
def test_a_loss_is_made_again_from_its_text(text: str) -> None:
    assert loss(loss(text).text) == loss(text)
    assert hash(loss(loss(text).text)) == hash(loss(text))


def test_parameters_are_exact_and_have_defaults() -> None:
    assert loss("huber", delta=0.1).parameter == Fraction(1, 10)
    assert loss("huber", delta=np.float64(0.1)) == loss("huber", delta=np.float32(0.1)) == loss("huber(1/10)")
    assert loss("huber(1/3)").parameter == Fraction(1, 3)
    assert loss("huber").parameter == 1
    assert loss("quantile").parameter == Fraction(1, 2)
    assert loss("huber", delta=2) == loss("huber(2)") == loss("huber(delta=2)")
    assert [loss(name).code for name in LOSS_NAMES] == list(range(6))


def test_only_odd_derivatives_are_called_odd() -> None:
    for text in TEXTS:
        if loss(text).odd:
            assert (loss(text).dl(np.array(U), 0.0) == -loss(text).dl(-np.array(U), 0.0)).all()
    for text in ("l1", "log(cosh(u))", "Abs(u)", "2*log(1 + exp(u)) - u", "Max(Abs(u) - 1, 0)", "u**4 + 7"):
        assert loss(text).odd
    for text in (
        "quantile(0.2)",
        "log(1 + exp(u))",
        "Max(u, 0)",
        "Abs(u - 1/1000)",
        "u**2 + u/1000",
        "u**4 + u**2 + u",
    ):
        assert not loss(text).odd


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("hubr(1)", "did you mean 'huber'"),
        ("huber(0)", "delta = 0 .* > 0"),
        ("huber(-1)", "delta = -1"),
        ("huber(nan)", "delta = 'nan'|delta = nan"),
        ("huber(inf)", "delta = inf"),
        ("huber(1e999999999)", "delta = "),
        ("huber(x)", "not a number"),
        ("huber(tau=1)", "takes delta"),
        ("l1(2)", "takes no parameter"),
        ("quantile(0)", "0 < tau < 1"),
        ("quantile(1)", "0 < tau < 1"),
        ("huber(1", "write a name"),
        ("sin(u)", "not convex"),
        ("Abs(u**2 - 2)", "not rational"),
        ("Max(exp(u), 1)", "not known"),
        ("-Abs(u)", "not convex at u = 0"),
        ("Min(u, 2*u)", "not convex at u = 0"),
        ("sign(u - 1/3)", "not convex at u = 0.333"),
        ("Piecewise((u**2/2, u < 1), (u, True))", "not convex at u = 1"),
        # between the points of any grid, and beyond its end
        (
            "Piecewise((-u, u < 1e-3), (10*u - 2500*u**2 - 17/2000, u < 2e-3), (u - 1/2000, True))",
            "not convex at u = 0.0015",
        ),
        ("Piecewise((u**2/2, u < 100), (200*u - u**2/2 - 1e4, u < 200), (1e4, True))", "not convex at u = 150"),
        ("u**2/2 - u**4/1e9", "not convex at u = -9128"),
        ("u**4 - (u - 1/3)**2/1e8", "not convex at u = -6.1"),
        ("u**2/2 + exp(-1e8*(u - 1/3)**2)", "not convex at u = 0.333"),
        ("u**2/2 + sin(100*u)/9999", "not convex"),
        ("log(cosh(u)) + exp(-(u - 50)**2)", "not convex at u = 50"),
        ("(u - 1)*exp(u)", "not convex at u = -2"),
        ("sin(u)/u", "not convex"),
        ("Piecewise((1/u, u < 0), (u, True))", "not finite at u = 0"),
        ("Piecewise((u, u < 0))", "not defined at u = 1"),
        ("Piecewise((u, u), (1, True))", "not allowed"),
        ("hinge", "quantile, or a convex formula in u"),
        ("", "such as 'huber.1.'; allowed: squared, l1"),
        ("abs(u)", "did you mean Abs"),
        ("log(u)", "allowed: functions real and finite on the whole line"),
        ("u + v", "'v' is not allowed"),
        ("__import__('os')", "loss|expression"),
        ("exp(exp(exp(exp(u))))", "not real and smooth"),
        ("1e400*u**2", "not real and smooth"),
        ("cosh(1000*u)", "or beyond 1e308 there"),
        ("Abs(u - 1e400)", "beyond 1e300"),
        ("Piecewise((5, (u >= 0) & (u <= 0)), (u**2, True))", "its value at u = 0 is not its limit"),
    ],
)
def test_bad_input_is_refused_in_one_line_at_once(given: str, says: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ValueError, match=says) as caught:
        loss(given)
    assert "\n" not in str(caught.value)
    assert re.search("allowed|did you mean|takes|write", str(caught.value))
    assert time.perf_counter() - started < 2


def test_other_types_are_refused_and_sympy_is_read() -> None:
    with pytest.raises(ValueError, match="int"):
        loss(3)
    x = sympy.Symbol("x")
    assert loss(sympy.log(sympy.cosh(x))) == loss("log(cosh(u))")
    assert isinstance(Loss.from_sympy("u**2/2"), Loss)


def test_a_bounded_formula_that_overflows_has_its_limit_far_out() -> None:
    u = np.array([0.0, 1.0, -3.0, 500.0, -800.0, 1e6, -1e300])
    assert np.allclose(loss("log(cosh(u))").dl(u, 0), np.tanh(u), rtol=0, atol=1e-15)
    assert np.allclose(loss("2*log(1 + exp(u)) - u").dl(u, 0), np.tanh(u / 2), rtol=0, atol=1e-15)
    assert np.isnan(loss("log(cosh(u))").dl(np.nan, 0))


OWN = {
    "Abs(u)": "l1",
    "sqrt(u**2)": "l1",
    "Max(-u/5, 4*u/5)": "quantile(0.2)",
    "Piecewise((u**2/2, Abs(u) < 1), (Abs(u) - 1/2, True))": "huber(1)",
    "Piecewise((u**2/2, Abs(u) <= 3/10), (3*Abs(u)/10 - 9/200, True))": "huber(0.3)",
    "(Abs(u + 1)*(u + 1) - Abs(u - 1)*(u - 1))/4": "huber(1)",
    "Abs(u)**2/2": "squared",
}


@pytest.mark.parametrize("text", OWN)
def test_a_formula_with_kinks_is_the_loss_of_the_zoo(text: str) -> None:
    own, zoo = loss(text), loss(OWN[text])
    assert own.code == -1
    assert own.constants == "exact"
    assert own.pieces == zoo.pieces
    assert own.kinks == zoo.kinks
    assert (own.K_plus, own.K_minus, own.L2) == pytest.approx((zoo.K_plus, zoo.K_minus, zoo.L2), rel=2**-52)
    assert own.pieces is not None
    assert math.isinf(own.K) or Fraction(own.K_plus) >= max(own.pieces[-1].coefficients)
    points = np.array([*U, 0.0, 1.0, -1.0, 0.3])
    assert np.isnan(own.dl(np.nan, 0.0))
    assert np.allclose(own.dl(points, 0.0), zoo.dl(points, 0.0), rtol=1e-15, atol=1e-15)
    shift = float(own.value(0.5, 0.0)) - float(zoo.value(0.5, 0.0))  # a constant does not matter
    assert np.allclose(own.value(points, 0.0), zoo.value(points, 0.0) + shift, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "K_plus", "K_minus", "L2"),
    [
        ("Max(u, 0)", 1, 0, math.inf),
        ("Max(u, 0)**2/2", math.inf, 0, 1),
        ("Abs(u)**3/3", math.inf, math.inf, math.inf),
        ("Abs(u) - log(1 + Abs(u))", 1, 1, 1),
        ("Piecewise((0, u < 0), (u - log(1 + u), True))", 1, 0, 1),
        ("log(cosh(u)) + Abs(u - 1/3)/1000", 1.001, 1.001, math.inf),
        ("Piecewise((log(cosh(u)), u < 0), (u**2/2, u < 1), (u - 1/2, True))", 1, 1, 1),
        ("Piecewise((u**2/2, u < 1), (2*u - 3/2, True))", 2, math.inf, math.inf),
        ("1e9*Max(Abs(u) - 1e-9, 0)", 1e9, 1e9, math.inf),
        ("1e-9*Max(u, 1e9)", 1e-9, 0, math.inf),
        ("log(exp(u) + exp(u/2) + 1)", 1, 0, 1 / 6),
        ("log(2 + exp(u) + exp(-2*u))", 1, 2, 1.36084174835),
        ("log(1 + exp(1e6*u))/1e6", 1, 0, 2.5e5),
    ],
)
def test_constants_of_formulas_with_kinks_and_of_one_side(text: str, K_plus: float, K_minus: float, L2: float) -> None:
    own = loss(text)
    assert own.constants in ("exact", "certified")
    for found, known in ((own.K_plus, K_plus), (own.K_minus, K_minus), (own.L2, L2)):
        assert known * (1 - 1e-11) <= found <= known * (1 + 1e-4) + 1e-20
    if math.isfinite(own.K):
        u = sympy.Symbol("u", real=True)
        value = sympy.lambdify(u, read_expression(own.text, "u"), "mpmath")
        with mpmath.workdps(60):
            for x in (-300, -7, -1.1, 0.4, 1.3, 8, 250):
                slope = mpmath.diff(value, mpmath.mpf(x), h=mpmath.mpf("1e-20"))
                assert -own.K_minus - 1e-15 <= slope <= own.K_plus + 1e-15


def test_a_power_of_a_half_is_read_again_and_a_root_at_a_kink_is_not_called_certified() -> None:
    own = loss("Piecewise((0, u < 0), (u*sqrt(u), True))")
    assert own.constants == "numerical"  # l'' is not bounded at 0
    assert loss(own.text) == own
    assert loss("sqrt(1 + u**2)**3").constants == "certified"


def test_values_whose_parts_cancel_beyond_doubles_are_found_or_are_no_numbers() -> None:
    u = sympy.Symbol("u", real=True)
    function = vectorised(sympy.log(sympy.cosh(u) - sympy.sinh(u)), "f", "-u")
    assert function(np.array([1.0, 800.0, 1500.0, np.nan])) == pytest.approx([-1, -800, -1500, np.nan], nan_ok=True)
    assert np.isnan(function(np.array([1e9])))  # which 5120 bits do not tell from the logarithm of 0


def test_values_that_overflow_in_doubles_are_those_of_mpmath() -> None:
    own = loss("log(cosh(1000*u))/1000")
    for u in (0.5, -3.0, 700.0, 1e12):
        with mpmath.workdps(30):
            exact = abs(mpmath.mpf(u)) - mpmath.log(2) / 1000
        assert float(own.value(u, 0.0)) == pytest.approx(float(exact), rel=1e-14)
        assert float(own.dl(u, 0.0)) == pytest.approx(math.copysign(1, u), rel=1e-14)


def test_convex_formulas_that_touch_a_second_derivative_of_0_are_taken() -> None:
    for text in (
        "u",
        "(u - 1/3)**4",
        "u**6/30 - u**5/10 + u**4/12",
        "u**2/2 + cos(u)",
        "Abs(u - 1)**3 + Abs(u)",
        "exp(u)",
    ):
        assert loss(text).L2 >= 0


def test_a_derivative_that_is_written_as_a_polynomial_proves_nothing_of_a_formula_that_jumps() -> None:
    jumping = FormulaPiece(None, None, sympy.atan(sympy.tan(SYMBOL)))
    assert jumping.expression.diff(SYMBOL) == 1  # between its jumps
    assert polynomial_pieces([jumping]) is None


@pytest.mark.parametrize(
    "text", ["atan(tan(u))", "u**2 + atan(tan(u/2))", "Piecewise((u**2, u < 2), (u*tan(u), True))"]
)
def test_a_tan_that_may_have_a_pole_is_refused(text: str) -> None:
    for make in (loss, activation):
        with pytest.raises(ValueError, match="may have a pole"):
            make(text)


def test_a_tan_without_a_pole_is_a_formula_like_others() -> None:
    assert loss("3*u**2 + tan(sin(u))").L2 > 6
    assert activation("3*u**2 + tan(1/(1 + u**2))").M3 < math.inf


def test_a_constant_that_is_searched_for_counts_both_sides_of_a_kink() -> None:
    own = loss("Piecewise((0, u < 0), (u*log(1 + u), True))")  # l''(0+) = 2
    assert own.constants == "numerical"
    assert 2 <= own.L2 <= 2 * (1 + 2e-6)
    sigma = activation("Piecewise((u**2/2, u < 0), (u**2/2 + u**3*tan(exp(-u))/tan(1), True))")
    assert sigma.constants == "numerical"
    assert sigma.M3 >= 6


def test_a_text_is_read_once_and_one_that_is_wrong_every_time() -> None:
    assert loss("huber(3)") is loss("huber(3)")
    assert loss("huber", delta=3) == loss("huber(3)")
    for _ in range(2):
        with pytest.raises(ValueError, match="did you mean 'huber'"):
            loss("hubert")


@pytest.mark.parametrize("given", ["huber(1)", "huber(delta=1)", "u**2", loss("l1"), sympy.Symbol("u") ** 2], ids=str)
def test_a_keyword_beside_what_says_all_is_refused(given: object) -> None:
    for keyword in ({"delta": 2}, {"tau": 0.2}):
        with pytest.raises(ValueError, match=r"(delta = 2|tau = 0.2) beside loss = .*; allowed: beside a name without"):
            loss(given, **keyword)
