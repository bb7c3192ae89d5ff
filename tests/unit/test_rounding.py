from fractions import Fraction

import numpy as np

from mimtheory.rounding import EPS, UNIT, gamma_above


def test_eps_is_the_step_after_one_and_unit_half_of_it() -> None:
    assert np.nextafter(1.0, 2.0) - 1.0 == EPS
    assert 1.0 + UNIT == 1.0 < 1.0 + 1.001 * UNIT


def test_gamma_above_is_gamma_rounded_up() -> None:
    u = Fraction(1, 2**53)
    for k in (*range(400), 10**6, 2**40 + 1, 2**52 + 1, 2**53 - 1):
        exact = k * u / (1 - k * u)
        assert exact <= Fraction(gamma_above(k)) <= exact * (1 + 8 * u)
