import math
import time
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from scipy import special

from mimtheory.balls import midpoint_and_radius
from mimtheory.box_integrals import box_integrals
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.quadratic_integrals import is_quadratic, quadratic_integrals
from mimtheory.weighted_moments import weights_of
from tests.problems import line_of, u_of


def test_the_norm_is_chi_squared() -> None:
    found = quadratic_integrals(
        u_of("z1**2 + z2**2 + z3**2 + z4**2 + z5**2", Fraction(4)), line_of("l1"), Fraction(0), 1e-7
    )
    for weight, ball in zip(weights_of(5, 5), found.balls, strict=True):
        exact = 0.0
        if all(a % 2 == 0 for a in weight):
            exact = 2 * special.gammainc((5 + sum(weight)) / 2, 2.0) - 1
        assert ball.overlaps(arb(exact, 1e-14))
    assert found.radius < 1e-6


@pytest.mark.parametrize("name", ["huber(1)", "quantile(0.3)"])
def test_boxes_overlap(name: str) -> None:
    u, line = u_of("z1*z2 + He2(z3)/2 + z1/2", Fraction(1, 8)), line_of(name)
    sharp, boxes = quadratic_integrals(u, line, Fraction(0), 1e-5), box_integrals(u, line, 3, 3e-2)
    for a, b in zip(sharp.balls, boxes.balls, strict=True):
        assert b.overlaps(a)
    assert sharp.radius < 1e-4


def test_six_variables_and_label_noise_agree_with_monte_carlo() -> None:
    g, centre, noise = link("z1*z2 + z3*z4 + z5**2 - z6**2/2 + z1"), 0.25, 0.5
    found = quadratic_integrals(u_of(g.text, Fraction(centre)), line_of("huber(1)"), Fraction(noise), 1e-4)
    samples, rng = 400_000, np.random.default_rng(0)
    z = rng.standard_normal((samples, 6))
    t = loss("huber(1)").dl(centre, g(z) + noise * rng.standard_normal(samples))
    for weight, ball in zip(weights_of(6, 6), found.balls, strict=True):
        column = t * np.prod(z ** np.array(weight), axis=1)
        middle, radius = midpoint_and_radius(ball)
        # 5.5 standard errors, two-sided 4e-8 for each of 28 numbers
        assert abs(float(middle) - column.mean()) <= 5.5 * column.std() / math.sqrt(samples) + float(radius)
    assert found.radius < 1e-3


def test_only_quadratics_of_full_rank_are_taken() -> None:
    for text, yes in (
        ("z1*z2 + z3**2", True),
        ("h2(z1) + h2(z2) - h2(z3)", True),
        ("z1*z2", False),
        ("z1**2 + z2**2 + z3", False),
        ("h2(z1) + z2**2 + z3**2", False),
        ("z1**3 + z2*z3", False),
        ("z1 + z2 + z3", False),
    ):
        assert is_quadratic(-link(text).polynomial) == yes
    with pytest.raises(ValueError, match="quadratic"):
        quadratic_integrals(-link("z1*z2").polynomial, line_of("l1"), Fraction(0), 1e-3)


def test_no_time_gives_no_knowledge() -> None:
    u = u_of("z1*z2 + z3**2", Fraction(0))
    assert quadratic_integrals(u, line_of("l1"), Fraction(0), 1e-3, time.monotonic() - 1).radius == math.inf
