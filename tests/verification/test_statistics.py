"""Crossings, exponents and intervals against cases that are known."""

import math

import numpy as np
import pytest

from verification.statistics import crossing, exponent, interval


def test_a_power_law_crosses_where_it_should() -> None:
    x = 2.0 ** np.arange(3, 12)
    y = 5 * x**-0.7
    for level in (1.0, 0.1, 0.05):
        assert crossing(x, y, level) == pytest.approx((5 / level) ** (1 / 0.7), rel=1e-12)
    assert math.isnan(crossing(x, y, 10.0))  # it may have come down anywhere before
    assert math.isinf(crossing(x, y, 1e-6))


def test_an_exponent_is_that_of_the_medians_and_its_interval_covers_it() -> None:
    x, rng, covered = np.array([50.0, 100, 200, 400]), np.random.default_rng(0), 0
    for _ in range(40):
        values = x[:, None] ** -0.8 * np.exp(0.2 * rng.standard_normal((4, 15)))
        found, low, high = exponent(x, values)
        assert low <= found <= high
        covered += low <= -0.8 <= high
    # a bootstrap interval of medians of 15 seeds covers in about nine of ten; fewer than 28 of 40 has probability 1e-4
    assert covered >= 28
    exact, low, high = exponent(x, x[:, None] ** -0.8 * np.ones((4, 5)))
    assert [exact, low, high] == pytest.approx([-0.8] * 3)


def test_an_interval_is_the_same_whenever_it_is_asked_for() -> None:
    values = np.random.default_rng(1).random((3, 9))
    assert interval(values, lambda sample: float(sample.mean())) == interval(
        values, lambda sample: float(sample.mean())
    )
