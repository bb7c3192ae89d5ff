import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, arb_mat

from mimtheory.rank_bounds import counted_inertia, spectrum_bounds


def balls(A: np.ndarray, radius: float) -> arb_mat:
    return arb_mat([[arb(float(x), radius) for x in row] for row in A])


@pytest.mark.parametrize("r", [1, 2, 3, 6])
@pytest.mark.parametrize("radius", [0.0, 1e-9, 1e-3])
def test_bounds_hold_for_matrices_within_the_balls_and_are_sharp(r: int, radius: float) -> None:
    rng = np.random.default_rng(r)
    for _ in range(20):
        A = rng.standard_normal((r, r))
        A = A + A.T
        found = spectrum_bounds(balls(A, radius))
        for _ in range(10):
            E = rng.choice([-radius, radius], size=(r, r))
            eigenvalues = np.linalg.eigvalsh(A + np.triu(E) + np.triu(E, 1).T)
            assert found.least <= np.abs(eigenvalues).min() + 1e-14
            assert np.abs(eigenvalues).max() <= found.most + 1e-14
            if found.inertia is not None:
                assert found.inertia == ((eigenvalues > 0).sum(), (eigenvalues < 0).sum())
            assert found.rank_at_least <= np.linalg.matrix_rank(A + np.triu(E) + np.triu(E, 1).T)
        exact = np.abs(np.linalg.eigvalsh(A))
        # rows of |Q|^T R |Q| sum to at most r^2 radius, as |q|_1 <= sqrt r, and Weyl may take r radius more
        assert found.least >= exact.min() * (1 - 1e-6) - (r * r + r) * radius
        assert found.most <= exact.max() * (1 + 1e-6) + (r * r + r) * radius
        if found.inertia is not None:
            assert counted_inertia(balls(A, radius), found.least, found.most) == found.inertia
            assert counted_inertia(balls(A, radius), exact.min() * 1.01 + 2 * r * radius, found.most) is None
            if radius:  # true of the midpoint, but not of every matrix within the balls, as far as Weyl knows
                assert counted_inertia(balls(A, radius), exact.min() - r * radius / 2, found.most) is None
            assert counted_inertia(balls(A, radius), found.least, exact.max() * 0.99 - 2 * r * radius) is None


def test_multiple_eigenvalues_and_zero_diagonals_are_no_trouble() -> None:
    assert spectrum_bounds(balls(np.array([[0.0, 1.0], [1.0, 0.0]]), 1e-12)).inertia == (1, 1)
    assert spectrum_bounds(balls(-2 * np.eye(5), 1e-12)).inertia == (0, 5)


def test_a_ball_around_a_singular_matrix_proves_nothing_more_than_its_rank() -> None:
    v = np.array([1.0, 2.0, -1.0])
    found = spectrum_bounds(balls(np.outer(v, v), 1e-9))
    assert found.inertia is None
    assert found.least == 0
    assert found.rank_at_least == 1
    assert found.most == pytest.approx(6, rel=1e-6)
    assert counted_inertia(balls(np.outer(v, v), 1e-9), 0.0, 7.0) is None


def test_infinite_balls_prove_nothing() -> None:
    unknown = arb_mat([[arb(0, float("inf"))]])
    assert spectrum_bounds(unknown).rank_at_least == 0
    assert counted_inertia(unknown, 0.0, 1.0) is None


def test_bounds_are_short_decimals_on_the_safe_side() -> None:
    third = spectrum_bounds(arb_mat([[arb(1) / 3]]))
    assert Fraction(third.least) < Fraction(1, 3) < Fraction(third.most)
    assert len(repr(third.least)) <= 12


@pytest.mark.parametrize("exponent", [-2000, -1060, 1015, 2000])
def test_matrices_beyond_the_doubles_have_their_signs_and_bounds_that_hold(exponent: int) -> None:
    C = arb_mat([[3, 1], [1, -2]]) * arb(2) ** exponent
    found = spectrum_bounds(C)
    assert found.inertia == (1, 1) == counted_inertia(C, found.least, found.most)
    assert counted_inertia(C, 0.0, math.inf) == (1, 1)
    smallest = arb(2) ** exponent * (arb(29).sqrt() / 2 - arb(1) / 2)
    assert arb(found.least) < smallest < arb(found.most)


def test_bounds_must_hold_at_the_far_ends_of_the_balls() -> None:
    C = arb_mat([[arb(1, 0.25)]])
    assert counted_inertia(C, 0.5, 1.5) == (1, 0)
    assert counted_inertia(C, 0.875, 1.5) is None
    assert counted_inertia(C, 0.5, 1.125) is None
