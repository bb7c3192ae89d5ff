import math
import time
from fractions import Fraction

import flint
import pytest

from mimtheory.box_integrals import box_integrals
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.piecewise_lines import piecewise_line
from mimtheory.polar_integrals import polar_integrals
from mimtheory.polynomials import Polynomial


@pytest.mark.parametrize(
    ("text", "name", "centre"),
    [
        ("h4+h4", "l1", Fraction(0)),
        ("z1**2 + z2**2 - 2", "l1", Fraction(1, 4)),
        ("mixed", "huber(1)", Fraction(1, 8)),
        ("skewed", "quantile(0.3)", Fraction(0)),
        ("z1**2 - z2**2 + z1/3", "huber(1/2)", Fraction(0)),
    ],
)
def test_the_two_routes_overlap(text: str, name: str, centre: Fraction) -> None:
    line = piecewise_line(loss(name))
    assert line is not None
    u = Polynomial.constant(2, centre) - link(text).polynomial
    polar, boxes = polar_integrals(u, line, 1e-3), box_integrals(u, line, 2, 1e-5)
    assert polar.radius < 1e-2
    for a, b in zip(polar.balls, boxes.balls, strict=True):
        assert a.overlaps(b)
        assert a.contains(b.mid())  # the boxes are a hundred times sharper


def test_known_values() -> None:
    line = piecewise_line(loss("l1"))
    assert line is not None
    product = polar_integrals(-link("z1*z2").polynomial, line, 1e-6)
    assert product.balls[4].overlaps(flint.arb(-2 / math.pi, 1e-15))
    assert product.radius < 1e-5
    assert product.balls[0].contains(0)
    assert product.balls[1] == 0  # z1 z2 does not change when z is replaced by -z
    circle = polar_integrals(-link("z1**2 + z2**2 - 2").polynomial, line, 1e-9)
    # E sign(2 - R), R exponential of mean 2
    assert circle.balls[0].overlaps(flint.arb(1 - 2 / math.e, 1e-15))
    assert circle.radius < 1e-8


def test_no_time_gives_no_knowledge() -> None:
    line = piecewise_line(loss("l1"))
    assert line is not None
    assert polar_integrals(-link("h4+h4").polynomial, line, 1e-6, time.monotonic() - 1).radius == math.inf
