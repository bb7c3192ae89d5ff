"""Activations: functions, constants and series against mpmath; what is outside the assumptions is recognised."""

import time
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import sympy

from mimtheory.activations import ACTIVATION_NAMES, _series_of, activation
from mimtheory.expressions import read_expression

pytestmark = pytest.mark.usefixtures("sixty_digits")


INSIDE = {
    "quadratic": lambda u: u * u / 2,
    "1-cos": lambda u: 1 - mpmath.cos(u),
    "logcosh": lambda u: mpmath.log(mpmath.cosh(u)),
    "sqrt": lambda u: mpmath.sqrt(1 + u * u) - 1,
    "utanh": lambda u: u * mpmath.tanh(u) / 2,
    "asymmetric": lambda u: 1 - mpmath.cos(u) + u - mpmath.sin(u),
}
OUTSIDE = {
    "relu": lambda u: max(u, mpmath.mpf(0)),
    "gelu": lambda u: u * mpmath.ncdf(u),
    "silu": lambda u: u / (1 + mpmath.exp(-u)),
    "tanh": mpmath.tanh,
    "softplus": lambda u: mpmath.log(1 + mpmath.exp(u)),
}
U = [s * u for s in (1, -1) for u in (1e-12, 1e-6, 1e-3, 0.05, 0.199, 0.201, 0.7, 2.0, 6.0)]


@pytest.mark.parametrize("name", INSIDE)
def test_functions_are_those_of_the_formula_without_cancellation(name: str) -> None:
    a, exact = activation(name), INSIDE[name]
    for u in U:
        x = mpmath.mpf(u)
        slope = mpmath.diff(exact, x)
        # ten roundings each, relative to the value itself: nothing may cancel; sigma'' is of size one
        assert abs(mpmath.mpf(float(a.sigma(u))) - exact(x)) <= 10 * 2**-53 * abs(exact(x)), u
        # at a zero of sigma' far from 0 its error is that of its terms
        assert abs(mpmath.mpf(float(a.d1(u))) - slope) <= 10 * 2**-53 * max(abs(slope), abs(x) if abs(x) > 1 else 0), u
        assert abs(mpmath.mpf(float(a.d2(u))) - mpmath.diff(exact, x, 2)) <= 40 * 2**-53, u
        # beyond 0.2 at most two digits cancel; below, the series ends at 0.2^20 = 1e-14
        s_minus_1 = slope / x - 1
        assert abs(mpmath.mpf(float(a.s_minus_1(u))) - s_minus_1) <= 2e-14 * max(
            abs(s_minus_1), mpmath.mpf(10) ** -30
        ), u
        assert float(a.s(u)) == 1 + float(a.s_minus_1(u))


@pytest.mark.parametrize("name", INSIDE)
def test_constants_are_the_suprema(name: str) -> None:
    a, exact = activation(name), INSIDE[name]
    points = [mpmath.mpf(u) / 100 for u in range(-700, 701, 4)]
    for order, bound in ((3, a.M3), (4, a.M4), (1, a.Lip)):
        sizes = [abs(mpmath.diff(exact, x, order)) for x in points]
        if order == 1 and name == "quadratic":
            assert bound == float("inf")
            continue
        # a grid of step 0.04 is within 0.04^2/8 times a second derivative of at most 40 of the supremum
        assert max(sizes) <= bound * (1 + 1e-12) + 1e-30
        assert bound <= max(sizes) + 0.01 or (name in ("sqrt", "logcosh") and order == 1)
    assert a.d3_0 == pytest.approx(float(mpmath.diff(exact, 0, 3)), abs=1e-12)
    assert a.even == all(abs(exact(x) - exact(-x)) < 1e-40 for x in points)
    assert a.reason is None


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_the_assumptions_lip_is_the_largest_slope(name: str) -> None:
    a, exact = activation(name), OUTSIDE[name]
    # sigma'' is at most 1 where it exists: a grid of step 0.02 misses no more than 0.01 of a slope
    slopes = [abs(mpmath.diff(exact, mpmath.mpf(2 * k + 1) / 100)) for k in range(-1000, 1000)]
    assert max(slopes) <= a.Lip <= max(slopes) + 0.01
    if name in ("gelu", "silu"):
        peak = mpmath.findroot(lambda u: mpmath.diff(exact, u, 2), (1, 3), solver="anderson", tol=1e-20)
        assert 0 <= a.Lip - mpmath.diff(exact, peak) <= 1e-7


@pytest.mark.parametrize(
    ("text", "height"),
    [
        *(("1-cos", 2), ("tanh", 1), ("1 - exp(-u**2/2)", 1), ("u**2*exp(-u**2)/2", mpmath.exp(-1) / 2)),
        *(("2*atan(u)", mpmath.pi), ("u**2/(4 + u**2) - 3", 3)),
        *((name, mpmath.inf) for name in ("quadratic", "logcosh", "sqrt", "asymmetric", "relu", "u**4/(10 + u**2)")),
    ],
)
def test_the_supremum_of_an_activation_is_proved_or_infinite(text: str, height: mpmath.mpf) -> None:
    found = activation(text).supremum
    assert height <= found
    assert found == height or found - height <= 1e-6 * height


@pytest.mark.parametrize("name", INSIDE)
def test_kappa_bounds_s_minus_1_and_is_of_its_order_at_0(name: str) -> None:
    a = activation(name)
    u = np.concatenate((np.linspace(-8, 8, 4001), [1e-5, -1e-5]))
    assert (np.abs(a.s_minus_1(u)) <= a.kappa(u) * (1 + 1e-12)).all()
    assert (np.diff(a.kappa(np.linspace(0, 8, 999))) >= 0).all()
    if name != "quadratic":
        assert abs(float(a.s_minus_1(1e-4))) >= 0.99 * float(a.kappa(1e-4))
    assert float(a.kappa(0.0)) == 0.0


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_the_assumptions_is_named_and_still_computed(name: str) -> None:
    a, exact = activation(name), OUTSIDE[name]
    assert a.reason
    assert ("C^3" in a.reason) == (name == "relu")
    assert np.isnan(a.s(0.5))
    for u in (-30.0, -2.0, -0.3, 0.4, 1.0, 20.0):
        # relative to size one or |u|: these need not be exact near 0
        assert abs(float(a.sigma(u)) - float(exact(mpmath.mpf(u)))) <= 20 * 2**-53 * max(1, abs(u))
        assert abs(float(a.d1(u)) - float(mpmath.diff(exact, mpmath.mpf(u)))) <= 20 * 2**-53 * max(1, abs(u))
        if name != "relu":
            assert abs(float(a.d2(u)) - float(mpmath.diff(exact, mpmath.mpf(u), 2))) <= 40 * 2**-53 * max(1, u * u)
    assert np.isfinite(a.sigma(np.array([-1e3, 1e3]))).all()
    assert np.isfinite(a.d1(np.array([-1e3, 1e3]))).all()


@pytest.mark.parametrize("name", INSIDE)
def test_a_formula_gives_the_activation_of_the_zoo(name: str) -> None:
    texts = {"quadratic": "u**2/2", "logcosh": "log(cosh(u))", "sqrt": "sqrt(1 + u**2) - 1", "utanh": "u*tanh(u)/2"}
    zoo, own = (
        activation(name),
        activation(texts.get(name, "1 - cos(u) + u - sin(u)" if name == "asymmetric" else "1 - cos(u)")),
    )
    u = np.array([1e-9, 1e-3, 0.19, 0.21, 0.5, 3.0])
    assert own.code == -1
    assert own.constants == "certified"
    assert np.abs(own.s_minus_1(u) - zoo.s_minus_1(u)).max() <= 1e-13
    assert np.abs(own.sigma(u) - zoo.sigma(u)).max() <= 1e-13  # a formula may cancel near 0
    for bound, known in ((own.M3, zoo.M3), (own.M4, zoo.M4), (own.Lip, zoo.Lip)):
        assert bound == pytest.approx(known, rel=1e-4)
    assert (own.even, own.polynomial, own.reason) == (zoo.even, zoo.polynomial, None)
    assert activation(own.text) == own


@pytest.mark.parametrize(
    ("formula", "slope", "scale"),
    [
        # radius of convergence 0.1
        ("(sqrt(1 + 100*u**2) - 1)/100", lambda u: u / mpmath.sqrt(1 + 100 * u * u), 0.1),
        ("u*atan(10*u)/20", lambda u: (mpmath.atan(10 * u) + 10 * u / (1 + 100 * u * u)) / 20, 0.1),
        # the slope as the formula gives it loses three digits, so that no quotient agrees with the series
        ("1000*(log(1 + exp(u)) - u/2) - 249*u**2/2", lambda u: 500 * mpmath.tanh(u / 2) - 249 * u, 0.1),
        ("1e-18*(sqrt(1 + 1e18*u**2) - 1)", lambda u: u / mpmath.sqrt(1 + mpmath.mpf(10) ** 18 * u * u), 1e-9),
    ],
)
def test_a_series_is_used_where_it_converges_fast(formula: str, slope: Callable[..., mpmath.mpf], scale: float) -> None:
    a = activation(formula)
    for u in scale * np.array([1e-3, 0.01, 0.03, 0.1, 0.2, 0.24, 0.3, 0.45, 0.49, 0.9, 1.1, 2, 10]):
        exact = slope(mpmath.mpf(u)) / mpmath.mpf(u) - 1
        # the series to a hundred roundings and those of its terms; beyond it the quotient, which loses the rounding of
        # its parts: that of 500 for the third formula, of one for the others
        parts = 500 / u if formula.startswith("1000") else 1
        lost = 16 * 2**-53 * parts if abs(u) >= a._near else 0
        assert abs(mpmath.mpf(float(a.s_minus_1(u))) - exact) <= 140 * 2**-53 * abs(exact) + lost, u
    assert a._near >= scale / 16  # it is used


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("rely", "did you mean 'relu'"),
        ("1-coss", "did you mean '1-cos'"),
        ("1 - cosine", "did you mean '1-cos'"),
        ("re lu", "did you mean 'relu'"),
        ("log(u)", "not real and smooth"),
        ("1/u", "pole at u = 0; allowed: functions real and finite on the whole line"),
        ("1/(u - 1/3)**2", "pole at u = 0.333333"),
        ("1/(exp(u) - 2)", "pole at u = 0.693147"),
        ("Piecewise((1/(u - 2), u > 1), (-u, True))", "pole at u = 2"),
        ("1e400*u**2", "not real and smooth"),
        ("Abs(u - 1e400)", "beyond 1e300"),
        ("exp(exp(exp(exp(u))))", "not real and smooth"),
        ("Piecewise((u**2/2, 1/u < 0), (u**2, True))", "not defined at u = 0"),
        ("u**2/2 + sign(u)**2", "its value at u = 0 is not its limit"),
        ("Piecewise((5, (u <= 0) & (u >= 0)), (u**2/2, True))", "its value at u = 0 is not its limit"),
        ("u + v", "'v' is not allowed"),
        ("__import__('os')", "not allowed"),
        ("u**99", "not allowed"),
        (sympy.Symbol("a") * sympy.Symbol("b"), "exactly one"),
        (3, "exactly one"),
    ],
)
def test_bad_input_is_refused_in_one_line(given: object, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        activation(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("exp(u)", "sigma'"),
        ("u**2", "sigma''"),
        ("u**2/2 + u**4", "unbounded"),
        ("u", "sigma'(0) = 1, not 0"),
        ("u**4*exp(u)*exp(-u)", "sigma''(0) = 0, not 1"),
        ("u**2/2*(1 + 1e-20)", "sigma''(0) = 1 up to 1.00E-20, not 1"),
        ("u**2/2 + 1e-400*u", "sigma'(0) = 0 up to 1.00E-400, not 0"),
    ],
)
def test_a_formula_outside_the_assumptions_says_why(formula: str, reason: str) -> None:
    assert reason in str(activation(formula).reason)


def test_names_are_in_the_order_of_their_codes() -> None:
    assert [activation(name).code for name in ACTIVATION_NAMES] == list(range(11))


@pytest.mark.parametrize(
    ("formula", "reason", "Lip", "M3", "M4"),
    [
        ("Max(u, 0)", "sigma' jumps at u = 0", 1, np.inf, np.inf),
        ("Abs(u)*u", "sigma'' jumps at u = 0", np.inf, np.inf, np.inf),
        ("1 - cos(u) + Abs(u - 1/3)**3", "sigma''' jumps at u = 1/3", np.inf, 7, np.inf),
        ("1 - cos(u) + sqrt(u**2 - 2*u/3 + 1/9)", "sigma' jumps at u = 1/3", 2, np.inf, np.inf),
        ("u**2/2 + u**2/2*sign(u - 2)", "sigma jumps at u = 2", np.inf, np.inf, np.inf),
        ("sign(u)", "sigma jumps at u = 0", np.inf, np.inf, np.inf),
        ("1 - cos(u) + Abs(u)**5/(1 + u**2)**3", "changes at u = 0", 1.1442427, 2.5427991, 14.114689),
        ("1 - cos(u) + Max(u - 1, 0)**4/(1 + u**2)**2", None, 1.0545969, 1.0969997, 5.4596977),
    ],
)
def test_kinks_of_a_formula_are_named_and_its_constants_certified(
    formula: str, reason: str | None, Lip: float, M3: float, M4: float
) -> None:
    a = activation(formula)
    assert a.constants == "certified"
    assert (a.reason is None) if reason is None else (reason in str(a.reason))
    for found, known in ((a.Lip, Lip), (a.M3, M3), (a.M4, M4)):
        assert found == known or known * (1 - 1e-6) <= found <= known * (1 + 1e-5)
    # difference quotients never exceed the Lipschitz constants
    u = np.random.default_rng(3).normal(0, 3, 4001)
    v = u + 10.0 ** np.random.default_rng(4).uniform(-4, 0, u.size)
    for function, bound in ((a.sigma, a.Lip), (a.d2, a.M3)):
        quotients = np.abs(function(u) - function(v)) / (v - u)
        assert (quotients <= bound * (1 + 1e-8) + 1e-9).all()


@pytest.mark.parametrize("formula", ["(1 - cos(u))/u", "sin(u)/u", "sin(u**2)/u"])
def test_a_singularity_even_if_removable_is_not_certified_and_does_not_crash(formula: str) -> None:
    a = activation(formula)
    assert a.constants == "numerical"
    assert "not defined" in str(a.reason)


def test_a_pole_outside_of_its_piece_is_none() -> None:
    assert activation("Piecewise((1/u - 1, u > 1), (1 - u, True))").constants == "certified"
    assert activation("(1 - cos(u))/(exp(u) - 1)").constants == "numerical"
    assert activation("Piecewise((1/u + sin(u - 5)/(u - 5), u > 1), (u, True))").constants == "numerical"


def test_the_constants_of_a_formula_are_those_of_its_scale() -> None:
    small = activation("1e-18*(sqrt(1 + 1e18*u**2) - 1)")
    assert small.constants == "certified"
    assert 1e-9 * (1 - 1e-12) <= small.Lip <= 1e-9 * (1 + 1e-6)


def test_a_value_at_0_that_is_1_only_after_simplifying_is_1() -> None:
    assert activation("(cos(1)**2 + sin(1)**2)*log(cosh(u))").reason is None


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_no_number_comes_out_of_what_is_none(name: str) -> None:
    a, u = activation(name), np.array([np.nan, 1.0])
    for function in (a.sigma, a.d1, a.d2, a.s_minus_1):
        with np.errstate(invalid="ignore"):
            assert np.isnan(function(u)[0])
    assert np.isfinite(a.d2(u)[1])


@pytest.mark.parametrize(
    "formula",
    [
        "1 - cos(u) + u**4*exp(-1e8*(u - 1/3)**2)",
        "1 - cos(u) + u**4*exp(-u**2)*tanh(u - 300)",
        "log(cosh(u)) + u**4*erf(u - 3)*sqrt(2 + sin(u))/(5 + exp(u))",
        "asinh(u)**2/2 + u**3*atan(u + 2)*log(3 + u**2)*sinh(u)/cosh(u)/(1 + u**6)",
        "u**2/2",
        "u*tanh(u)/2",
        "(1 - cos(u))*(1 + u**3)/(1 + u**6)",
    ],
)
def test_the_series_of_any_formula_is_found_at_once_and_is_its_own(formula: str) -> None:
    """SymPy's series of the first took more than a minute."""
    u = sympy.Symbol("u", real=True)
    slope = sympy.lambdify(u, read_expression(formula, "u").diff(u), "mpmath")
    started = time.perf_counter()
    known = _series_of(read_expression(formula, "u").diff(u))
    assert time.perf_counter() - started < 2
    assert len(known) == 21
    exact = mpmath.taylor(slope, 0, 21)
    for k in range(1, 21):
        # exact to 30 digits, then rounded to a double
        assert abs(known[k] - exact[k + 1]) <= 2**-53 * abs(exact[k + 1]) + mpmath.mpf(10) ** -30, k
