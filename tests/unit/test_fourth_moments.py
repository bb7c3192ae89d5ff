import math
import time
from fractions import Fraction

import numpy as np
import pytest
from flint import arb

import mimtheory
from mimtheory.balls import double_of
from mimtheory.enclosures import Problem, enclose_fourth
from mimtheory.fourth_moments import fourth_moment, norm_fourth
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.piecewise_lines import piecewise_line
from mimtheory.polynomials import Polynomial

ZERO = Fraction(0)


def problem(text: str, name: str, centre: Fraction = ZERO, noise: Fraction = ZERO) -> Problem:
    return Problem(link(text), loss(name), centre, noise)


def within(ball: arb | None, value: float, error: float) -> bool:
    assert ball is not None
    middle, radius = double_of(ball)
    return abs(middle - value) <= radius + error


@pytest.mark.parametrize(
    ("text", "name", "centre", "noise", "target"),
    [
        ("h4", "huber(1)", Fraction(1, 5), ZERO, 1e-6),
        ("h4", "quantile(0.3)", ZERO, Fraction(1, 2), 1e-1),
        ("h4+h4", "huber(1)", ZERO, ZERO, 1e-3),
        ("mixed", "huber(1)", Fraction(1, 8), ZERO, 1e-2),
        ("skewed", "quantile(0.3)", ZERO, ZERO, 1e-2),
        ("z1*z2 + He2(z3)/2", "huber(1)", ZERO, ZERO, 2e-1),
    ],
)
def test_boxes_contain_the_number_of_the_fast_engine(
    text: str, name: str, centre: Fraction, noise: Fraction, target: float
) -> None:
    fast = mimtheory.expected_hessian(text, name, float(centre), float(noise), method="fast")
    ball = enclose_fourth(problem(text, name, centre, noise), target)
    # the fast engine's own error is far below
    assert within(ball, fast.T2_z4, 1e-6)
    assert ball is not None
    assert double_of(ball)[1] <= 2 * target


@pytest.mark.parametrize("name", ["logcosh", "pseudo_huber(1/2)"])
@pytest.mark.parametrize(("text", "noise"), [("h4", ZERO), ("h4+h4", ZERO), ("mixed", ZERO), ("h4", Fraction(1, 2))])
def test_smooth_losses_agree_with_the_fast_engine(text: str, name: str, noise: Fraction) -> None:
    fast = mimtheory.expected_hessian(text, name, 0.0, float(noise), method="fast")
    ball = enclose_fourth(problem(text, name, ZERO, noise), 1e-6)
    assert within(ball, fast.T2_z4, 1e-8)
    assert ball is not None
    assert double_of(ball)[1] <= 1e-6


def test_exact_values() -> None:
    # |T| = 1 and E |z|^4 = r (r + 2)
    assert enclose_fourth(problem("z1*z2*z3*z4*z5", "l1"), 1e-3) == 35
    assert enclose_fourth(problem("h4+h4", "quantile(1/2)", ZERO, Fraction(1, 2)), 1e-3) == 2
    # E (z1 + xi/2)^2 z1^4 = 15 + 3/4; E z1^2 z2^2 (z1^2 + z2^2)^2 = 2 * 15 + 2 * 9
    assert enclose_fourth(problem("z1", "squared", ZERO, Fraction(1, 2)), 1e-3) == 15.75
    assert enclose_fourth(problem("z1*z2", "squared"), 1e-3) == 48
    assert dict(norm_fourth(2, 3).terms) == {(4, 0, 0): {1: 1}, (2, 2, 0): {1: 2}, (0, 4, 0): {1: 1}}


def test_monte_carlo_agrees_and_a_wrong_ball_is_seen() -> None:
    g, name = link("skewed"), "huber(1/2)"
    ball = enclose_fourth(problem(g.text, name), 3e-3)
    samples, rng = 400_000, np.random.default_rng(0)
    z = rng.standard_normal((samples, g.r))
    column = loss(name).dl(0.0, g(z)) ** 2 * np.sum(z * z, axis=1) ** 2
    # 5.5 standard errors, two-sided 4e-8
    slack = 5.5 * column.std() / math.sqrt(samples)
    assert within(ball, column.mean(), slack)
    assert ball is not None
    assert not within(ball + arb(0.1), column.mean(), slack)


def test_what_no_method_covers_is_none_and_no_time_gives_no_knowledge() -> None:
    assert enclose_fourth(problem("z1*z2*z3 + z4 + z5", "huber(1)"), 1e-3) is None
    line = piecewise_line(loss("huber(1)"))
    assert line is not None
    u = Polynomial.constant(2, ZERO) - link("h4+h4").polynomial
    assert not fourth_moment(u, line, 2, 1e-3, time.monotonic() - 1).is_finite()


def test_the_ball_of_a_hessian_is_that_of_its_number() -> None:
    H = mimtheory.expected_hessian("h4+h4", "huber(1)")
    assert H.T2_z4_ball is not None
    assert within(H.T2_z4_ball, H.T2_z4, 1e-6)
    exact = mimtheory.expected_hessian("h2", "l1").T2_z4_ball
    assert exact is not None
    assert exact == 3
