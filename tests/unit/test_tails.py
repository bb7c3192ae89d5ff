"""Tails: at points far out the true value lies in the interval, to 60 digits; its ends keep the sign of 0."""

from fractions import Fraction

import mpmath
import pytest
import sympy
from flint import arb

from mimtheory.ball_functions import U
from mimtheory.balls import bounds, precision
from mimtheory.expressions import read_expression
from mimtheory.suprema import beyond
from mimtheory.tails import Interval, NotKnown, tail_of

FORMULAS = [
    "u/sqrt(1 + u**2)",
    "1/(1 + exp(u))",
    "exp(u)/(1 + exp(u))",
    "exp(-u/3)*u**5",
    "exp(-u**2/2 + 3*u)*u**3",
    "exp(u - 1/3)/(2 + exp(u))",
    "sinh(u - 2)/cosh(u/2)/exp(u/2)",
    "sinh(2 - u)/exp(u)",
    "cosh(3 - u)*exp(-u)",
    "atan(u**2 - u)",
    "atan(-u)",
    "atan((sin(u) - 2)*u)",
    "tanh((2 - sin(u))*u/9)",
    "erf(u/2)",
    "tanh(u/8 - 1)",
    "tanh(1/u) + erf(1/u)",
    "log(1 + u**2)/u",
    "log(2 + 1/u)",
    "log(u**3/7)/u**2",
    "asinh(3*u)/u",
    "asinh(-u)/u",
    "asinh(1/u)",
    "sin(u**2)/u + cos(u)",
    "sqrt(1 + u**4)/(1 + u**2) - 1",
    "(1 + u)**-2*(u**2 + exp(-u))",
    "exp(1/u) - cosh(2/u)",
]


def exact(text: str, x: mpmath.mpf) -> mpmath.mpf:
    return sympy.lambdify(U, read_expression(text, "u"), "mpmath")(x)


@pytest.mark.parametrize("text", FORMULAS)
def test_values_far_out_lie_in_the_interval(text: str) -> None:
    known = 0
    for side in (1, -1):
        for start in (Fraction(5), Fraction(9), Fraction(40), Fraction(1000)):
            with precision(80):
                interval = beyond(read_expression(text, "u"), side, start)
            if interval is None:
                continue
            known += 1
            with mpmath.workdps(60):
                low, high = (bounds(end)[k] for k, end in enumerate((interval.low, interval.high)))
                for factor in (1, 1.0001, 1.1, 2, 7, 100):
                    value = exact(text, side * mpmath.mpf(factor) * start.numerator / start.denominator)
                    slack = mpmath.mpf(10) ** -50
                    assert low - slack <= value <= high + slack
    assert known >= 2


def test_an_end_that_is_0_stays_0() -> None:
    with precision(80):
        assert tail_of(read_expression("1/(1 + exp(u))", "u"), Fraction(9)).values().low == 0
        assert tail_of(read_expression("1 - tanh(u)", "u"), Fraction(9)).values().low == 0
        square = tail_of(read_expression("(sin(u) + cos(u))**2", "u"), Fraction(9)).values()
        assert square.low == 0
        assert square.high == 4


@pytest.mark.parametrize(
    "text", ["exp(sin(u)*u)", "log(sin(u))", "1/sin(u)", "sqrt(sin(u))", "tan(u)", "log(cos(u) + 1)"]
)
def test_what_is_not_known_is_said(text: str) -> None:
    with precision(80), pytest.raises(NotKnown):
        tail_of(read_expression(text, "u"), Fraction(100)).values()


def test_what_grows_has_no_interval_of_values_and_what_falls_late_none_yet() -> None:
    with precision(80):
        assert beyond(read_expression("u", "u"), 1, Fraction(5)) is None
        # u^5 e^(-u/3) rises up to u = 15
        assert beyond(read_expression("exp(-u/3)*u**5", "u"), 1, Fraction(14)) is None
        assert beyond(read_expression("exp(-u/3)*u**5", "u"), 1, Fraction(15)) is not None


def test_the_ends_are_rounded_outwards() -> None:
    """At 8 bits, where rounding is seen."""
    with precision(8):
        wide = Interval(arb(1), arb(1)) + Interval(arb(2) ** -20, arb(2) ** -20)
        with precision(64):
            assert wide.low < 1 + arb(2) ** -20
            assert 1 + arb(2) ** -20 < wide.high
        third = Interval(arb(3), arb(3)).power(-1)
        with precision(64):
            assert third.low * 3 < 1
            assert third.high * 3 > 1
        root = Interval(arb(2), arb(2)).root()
        with precision(64):
            assert root.low**2 < 2
            assert root.high**2 > 2
