import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from mimtheory.line_integrals import LineIntegrals, norm_moments
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.polynomial_roots import ray_roots
from mimtheory.segment_integrals import integrate_segments


def one_segment(f: Any, lower: float, upper: float) -> Any:
    values, errors, _ = integrate_segments(
        lambda x, _: f(x)[None], np.array([lower]), np.array([upper]), np.array([0]), 1, 1e-13
    )
    return values[0, 0], errors[0, 0]


@pytest.mark.parametrize(
    ("f", "lower", "upper", "exact"),
    [
        (lambda x: x**29, 0.0, 1.0, 1 / 30),  # the degree up to which the rule is exact
        (np.sqrt, 0.0, 1.0, 2 / 3),
        (lambda x: np.sign(x - 0.3), 0.0, 1.0, 0.4),
        (lambda x: np.abs(x - 1 / 7) ** 1.5, 0.0, 1.0, ((1 / 7) ** 2.5 + (6 / 7) ** 2.5) / 2.5),
        (np.log, 0.0, 1.0, -1.0),
        (lambda x: np.tanh(1e4 * (x - 0.123)), 0.0, 1.0, 1 - 2 * 0.123),  # by log cosh, which is linear to e^-2000
    ],
)
def test_the_error_of_a_segment_covers_the_true_error(f: Any, lower: float, upper: float, exact: float) -> None:
    value, error = one_segment(f, lower, upper)
    assert abs(value - exact) <= error + 4e-16
    assert error <= 1e-11


def test_segments_of_one_owner_are_added_and_owners_kept_apart() -> None:
    values, _, sizes = integrate_segments(
        lambda x, owner: np.stack([x + owner[:, None], -x]),
        np.array([0.0, 1.0, 0.0]),
        np.array([1.0, 2.0, 1.0]),
        np.array([0, 0, 1]),
        2,
        1e-13,
    )
    assert np.allclose(values, [[2.0, -2.0], [1.5, -0.5]], rtol=0, atol=1e-15)
    assert np.allclose(sizes, [[2.0, 2.0], [1.5, 0.5]], rtol=0, atol=1e-15)


def test_a_spent_budget_shows_in_the_error() -> None:
    def jump(x: Any, _: Any) -> Any:
        return np.sign(x - 0.3)[None]

    start, stop, owner = np.zeros(1), np.ones(1), np.zeros(1, dtype=np.int64)
    value, error, _ = integrate_segments(jump, start, stop, owner, 1, 1e-13, budget=12)
    assert error[0, 0] > 1e-4
    assert abs(value[0, 0] - 0.4) <= error[0, 0]


@pytest.mark.parametrize("tiny", [0.0, 1e-300, 1e-16, 1e-9])
def test_roots_are_found_where_the_leading_coefficient_vanishes(tiny: float) -> None:
    # (x - 1/2)(x + 3/4)(1 - tiny x)(1 + tiny x): two roots near or at infinity must not spoil the other two
    polynomial = np.polynomial.polynomial.polymul([-0.375, 0.25, 1.0], [1.0, 0.0, -(tiny**2)])
    roots = ray_roots(np.array([polynomial], dtype=np.float64), 0.0, 4.0)[0]
    near = np.sort(roots[np.abs(roots) < 4].real)
    assert np.allclose(near, [-0.75, 0.5], rtol=0, atol=1e-14)


def test_roots_of_even_polynomials_and_levels() -> None:
    roots = np.sort(ray_roots(np.array([[3.0, 0.0, -6.0, 0.0, 1.0]]), 0.0, 8.0)[0].real)
    exact = math.sqrt(3 - math.sqrt(6)), math.sqrt(3 + math.sqrt(6))  # He_4
    assert np.allclose(roots, [-exact[1], -exact[0], exact[0], exact[1]], rtol=0, atol=1e-14)
    shifted = np.sort(ray_roots(np.array([[0.0, 0.0, 1.0]]), 2.0, 8.0)[0].real)
    assert np.allclose(shifted, [-math.sqrt(2), math.sqrt(2)], rtol=0, atol=1e-14)


@pytest.mark.parametrize("r", [1, 2, 5])
def test_moments_of_the_norm(r: int) -> None:
    above, whole = norm_moments(np.array([1.0, 0.0, 2.0]), 1, r, 1.7)

    def density(x: float) -> Any:
        return (x + 2 * x**3) * stats.chi(r).pdf(x)

    # quad's own error is about 1e-13 here
    assert above == pytest.approx(integrate.quad(density, 1.7, np.inf, epsabs=1e-12)[0], abs=1e-11)
    assert whole == pytest.approx(integrate.quad(density, 0, np.inf, epsabs=1e-12)[0], abs=1e-11)


@pytest.mark.parametrize("name", ["l1", "huber(1/2)", "logcosh", "quantile(0.3)", "squared"])
def test_columns_along_one_line(name: str) -> None:
    g, centre = link("h3(z1)+z1*z2"), 0.2
    lines = LineIntegrals(g, loss(name), centre, moments=True)
    u = np.array([0.6, 0.8])
    values = lines(u[None])[0]

    def along(weight: Any) -> Any:
        # both directions of the line, with the density of the norm of N(0, I_2); kinks are left to the subdivision
        def integrand(x: float) -> Any:
            t = float(loss(name).dl(centre, g(x * u[None])[0]))
            return weight(t, x) * abs(x) * math.exp(-x * x / 2) / 2

        cuts = np.linspace(-9, 9, 73)
        return sum(
            integrate.quad(integrand, a, b, epsabs=1e-9, epsrel=0, limit=400)[0] for a, b in itertools.pairwise(cuts)
        )

    expected = [
        along(lambda t, x: max(t, 0)),
        along(lambda t, x: max(-t, 0)),
        along(lambda t, x: t * x**2),
        along(lambda t, x: t * t),
        along(lambda t, x: t * t * x**4),
    ]
    # 72 pieces at 1e-9 each; beyond |x| = 9 the largest integrand (x^10 exp(-x^2/2)) leaves 3e-8
    assert np.allclose(values, expected, rtol=0, atol=2e-7)


def test_directions_without_the_link_are_harmless() -> None:
    lines = LineIntegrals(link("z2**3 + 0*z1"), loss("l1"), 0.5, moments=False)
    # along z1 the link is 0, so T = sign(1/2) = 1 there and the averages are those of 1 and rho^2
    assert np.allclose(lines(np.array([[1.0, 0.0]])), [[1.0, 2.0]], rtol=0, atol=1e-13)


def test_the_tail_bound_follows_the_smaller_growth() -> None:
    huge, plain = (LineIntegrals(link("h4+h4"), loss(name), 0.0, moments=False) for name in ("huber(1e50)", "squared"))
    assert np.all(huge.truncation <= 1e-10)
    assert huge.reach == plain.reach


def test_what_overflows_is_not_bisected() -> None:
    """A jump of 1e200, whose squares are no doubles: all of it would be bisected until memory ends."""
    sizes = []

    def jumps(x: np.ndarray, owner: np.ndarray) -> np.ndarray:
        sizes.append(len(x))
        return 1e200 * np.sign(x - 0.3)[None]

    with np.errstate(over="ignore"):
        values, errors, _ = integrate_segments(
            jumps, np.zeros(1), np.ones(1), np.zeros(1, dtype=np.int64), owners=1, relative=1e-13, budget=1000
        )
    assert sizes == [1]
    assert np.isfinite(values).all()
    assert np.isinf(errors).all()
