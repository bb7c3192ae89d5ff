import math
import random
import threading
from fractions import Fraction

import flint
import pytest

from mimtheory.balls import (
    ball_from_text,
    ball_of,
    ball_to_text,
    bounds,
    certified_text,
    double_of,
    midpoint_and_radius,
    precision,
    surd_ball,
    widened,
)


def test_no_other_thread_changes_the_precision_inside_a_block() -> None:
    inside = threading.Barrier(2, timeout=5)
    seen: list[int] = []

    def other() -> None:
        inside.wait()
        with precision(64):
            seen.append(flint.ctx.prec)

    thread = threading.Thread(target=other)
    thread.start()
    with precision(300):
        inside.wait()
        thread.join(0.3)  # it would be through by now
        assert flint.ctx.prec == 300
        assert not seen
        with precision(100):
            assert flint.ctx.prec == 100
    thread.join(5)
    assert seen == [64]


@pytest.mark.parametrize(
    ("middle", "radius", "text"),
    [
        (0.32556431493749, 1.5e-13, "0.32556431493[7±6.4e-13]"),
        (-0.123456, 3e-4, "-0.12[3±7.6e-04]"),
        (0.99999999, 1e-5, "[1.0000±1.1e-05]"),
        (0.0, 1e-10, "[0.000000000±1.1e-10]"),
        (3.0, 0.0, "3"),
        (5.0, 70.0, "[5±7.1e+01]"),
    ],
)
def test_only_certain_digits_stand_before_the_bracket(middle: float, radius: float, text: str) -> None:
    assert certified_text(flint.arb(middle, radius)) == text


def test_printed_intervals_contain_the_ball_and_its_certain_digits_are_those_of_both_ends() -> None:
    rng = random.Random(0)
    for _ in range(300):
        middle, radius = rng.uniform(-20, 20) * 10.0 ** rng.randint(-3, 2), 10.0 ** rng.uniform(-14, 1)
        ball = flint.arb(middle, radius)
        text = certified_text(ball)
        certain, rest = text.split("[")
        uncertain, size = rest.rstrip("]").split("±")
        centre, m, r = Fraction(certain + uncertain), *midpoint_and_radius(ball)
        assert centre - Fraction(size) <= m - r
        assert m + r <= centre + Fraction(size)
        if certain.strip("-0."):
            places = len(certain.partition(".")[2]) if "." in certain else -len(uncertain.partition(".")[0])
            low, unit = abs(Fraction(certain)), Fraction(10) ** -places
            low *= 1 if "." in certain else unit
            for end in (m - r, m + r):
                assert low <= abs(end) < low + unit


def test_balls_survive_the_way_through_text() -> None:
    for ball in (flint.arb(0.1, 1e-9), flint.arb(-3), flint.arb(0), flint.arb(1, 0.25)):
        again = ball_from_text(ball_to_text(ball))
        assert again.contains(ball)
        assert midpoint_and_radius(again)[1] <= midpoint_and_radius(ball)[1] * Fraction(1 + 2.0**-27)
    for bad in (
        "",
        "1",
        "a*2^1 +- 0*2^0",
        "1*2^0",
        "1*2^0 +- -1*2^0",
        "1*2^9999999 +- 0*2^0",
        "1" * 4001 + "*2^0 +- 0*2^0",
    ):
        with pytest.raises(ValueError, match="ball"):
            ball_from_text(bad)


def test_numbers_of_thousands_of_digits_are_printed() -> None:
    with precision(30_000):
        assert certified_text(flint.arb(10) ** 5000) == "[1.00000000000000000e+5000 +/- 1e+4978]"
        assert certified_text(flint.arb(1) + flint.arb(0, 1) * flint.arb(2) ** -20_000).endswith("0±2.6e-6021]")
        assert "+/-" in certified_text(flint.arb(10) ** 400 + flint.arb(0, 1))


def test_doubles_and_bounds_enclose() -> None:
    with precision(200):
        third = ball_of(Fraction(1, 3))
        value, radius = double_of(third)
        assert abs(Fraction(value) - Fraction(1, 3)) <= Fraction(radius) < 2**-53
        low, high = bounds(third)
        assert Fraction(low) < Fraction(1, 3) < Fraction(high)
        assert abs(surd_ball({2: flint.fmpq(3), 1: flint.fmpq(-4)}) - (3 * flint.arb(2).sqrt() - 4)) < 1e-50
    assert bounds(widened(1.0, math.inf)) == (-math.inf, math.inf)
    assert double_of(widened(1.0, math.inf))[1] == math.inf
    assert certified_text(widened(1.0, math.inf)) == "[unknown]"
    assert certified_text(flint.arb(0.5, 1e-9), 4) == "0.[5000±1.1e-09]"


def test_the_precision_of_before_returns_even_after_an_error() -> None:
    before = flint.ctx.prec
    with pytest.raises(ZeroDivisionError), precision(777):
        1 / (flint.ctx.prec - 777)
    assert flint.ctx.prec == before


def test_doubles_and_bounds_enclose_tightly_at_every_size() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        with precision(rng.choice([24, 53, 160, 300])):
            ball = flint.arb(flint.fmpq(rng.getrandbits(200) - 2**199, rng.getrandbits(60) + 1))
            ball *= flint.arb(2) ** rng.randint(-1350, 600)
            ball = flint.arb(ball.mid(), (ball.mid() * rng.choice([0, 1e-20, 1e-9, 3])).abs_upper())
        with precision(rng.choice([53, 160])):
            (value, distance), (low, high) = double_of(ball), bounds(ball)
        middle, radius = midpoint_and_radius(ball)
        assert Fraction(low) <= middle - radius
        assert middle + radius <= Fraction(high)
        # the nearest doubles on the right side, up to rounding of the ends to the working precision
        assert math.nextafter(math.nextafter(low, math.inf), math.inf) >= middle - radius
        assert math.nextafter(math.nextafter(high, -math.inf), -math.inf) <= middle + radius
        assert abs(Fraction(value) - middle) + radius <= Fraction(distance)
        assert Fraction(value) == Fraction(float(middle))
    assert bounds(flint.arb(0)) == (0.0, 0.0)
    assert bounds(flint.arb(10) ** 400) == (math.nextafter(math.inf, 0), math.inf)
    assert bounds(-(flint.arb(10) ** -400)) == (-5e-324, 0.0)
    assert double_of(flint.arb(0.5)) == (0.5, 0.0)
    assert double_of(flint.arb(10) ** 400)[1] == math.inf
