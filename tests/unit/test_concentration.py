"""Tail bounds: each formula again at 40 digits, its T = 1 closed form or exact law, and its truth on draws.

Draws use fixed seeds. "Fails with probability at most delta" is tested with N draws and refused when the number of
failures has probability below 1e-6 under binomial(N, delta): the false-alarm rate of each such test.
"""

import math

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from scipy import stats

from mimtheory import concentration as c
from mimtheory.verdicts import p_value

pytestmark = pytest.mark.usefixtures("sixty_digits")


# a formula of at most 40 roundings whose largest cancellation loses one digit
CLOSE = 40 * 10 * 2**-53


def close(value: float, exact: mpf) -> bool:
    return bool(abs(mpf(value) - exact) <= CLOSE * max(abs(exact), mpf(10) ** -3))


def never_too_often(failures: int, trials: int, delta: float) -> bool:
    return p_value(failures, trials, delta) > 1e-6


CASES = [(0.4, 1.0, 50, 1000, 3.0), (1.0, 1.0, 20, 50, 0.5), (0.05, 2.0, 3, 4000, 5.0), (0.5, 1.0, 90, 50, 3.0)]


@pytest.mark.parametrize(("mean", "top", "p", "n", "t"), CASES)
def test_chevet_and_gordon_are_their_formulas(mean: float, top: float, p: int, n: int, t: float) -> None:
    m, K, t_ = mpf(mean), mpf(top), mpf(t)
    up = (mpmath.sqrt(m) + mpmath.sqrt(K * p / n) + t_ * mpmath.sqrt(K / n)) ** 2 - m
    root = mpmath.sqrt(m - K / n) - mpmath.sqrt(K * p / n) - (t_ + 1 / mpmath.sqrt(2 * mpmath.pi)) * mpmath.sqrt(K / n)
    assert close(c.chevet_excess(mean, top, p, n, t), up)
    assert close(c.gordon_deficit(mean, top, p, n, t), m - max(mpf(0), root) ** 2)


def test_with_equal_weights_chevet_is_the_classical_bound_on_singular_values() -> None:
    n, p, t = 400, 25, 2.0
    assert close(c.chevet_excess(1, 1, p, n, t) + 1, (1 + mpf(5) / 20 + mpf(t) / 20) ** 2)
    assert c.gaussian_matrix_norm(n, p, t) == 20 + 5 + t


def test_wishart_extremes_stay_within_chevet_and_gordon() -> None:
    n, p, delta, trials = 300, 20, 0.2, 400
    t, rng = c.gaussian_t(delta), np.random.default_rng(1)
    weights = np.where(np.arange(n) < 100, 1.0, 0.3)
    mean = float(weights.mean())
    high, low = c.chevet_excess(mean, 1, p, n, t), c.gordon_deficit(mean, 1, p, n, t)
    ends = []
    for _ in range(trials):
        G = rng.standard_normal((n, p))
        ends.append(np.linalg.eigvalsh((G * weights[:, None]).T @ G / n)[[0, -1]])
    found = np.array(ends) - mean
    assert never_too_often(int((found[:, 1] > high).sum()), trials, delta)
    assert never_too_often(int((-found[:, 0] > low).sum()), trials, delta)
    assert never_too_often(int((found[:, 1] + mean > (c.gaussian_matrix_norm(n, p, t)) ** 2 / n).sum()), trials, delta)
    # without the dimension both are refuted on the same draws
    assert not never_too_often(int((found[:, 1] > c.chevet_excess(mean, 1, 0, n, t)).sum()), trials, delta)
    assert not never_too_often(int((-found[:, 0] > c.gordon_deficit(mean, 1, 0, n, t)).sum()), trials, delta)


@pytest.mark.parametrize("k", [1, 3, 50, 1000])
@pytest.mark.parametrize("tau", [0.1, 1.0, 5.0, 20.0])
def test_chi_squared_bounds_are_formulas_above_the_exact_quantile(k: int, tau: float) -> None:
    exact = k + 2 * mpmath.sqrt(k * mpf(tau)) + 2 * mpf(tau)
    assert close(c.chi_squared_upper(k, tau), exact)
    assert c.chi_squared_upper(k, tau) >= stats.chi2.isf(math.exp(-tau), k)
    weighted = c.weighted_chi_squared_upper(np.array([2.0]), np.array([float(k)]), tau)
    assert close(weighted, 2 * exact)


def test_weighted_chi_squared_takes_weights_of_both_signs() -> None:
    weights, counts, tau = np.array([1.5, -2.0, 0.25]), np.array([4.0, 3.0, 40.0]), 1.5
    mean = mpf("1.5") * 4 - 2 * 3 + 10
    spread = mpmath.sqrt(mpf("2.25") * 4 + 4 * 3 + mpf("0.0625") * 40)
    bound = c.weighted_chi_squared_upper(weights, counts, tau)
    assert close(bound, mean + 2 * mpmath.sqrt(mpf(tau)) * spread + 2 * mpf(tau) * mpf("1.5"))
    # only negative weights: no linear term
    assert close(
        c.weighted_chi_squared_upper(-weights[:1], counts[:1], tau), -6 + 2 * mpmath.sqrt(mpf(tau)) * mpmath.sqrt(9)
    )
    draws = np.random.default_rng(2).chisquare(counts, (4000, 3)) @ weights
    assert never_too_often(int((draws > bound).sum()), 4000, math.exp(-tau))


def test_the_edge_is_the_brute_force_minimum_and_without_deviations_the_marchenko_pastur_edge() -> None:
    n, p, tau = 200, 40, 3.0
    T = np.random.default_rng(3).uniform(-1, 1, n)
    grid = T.max() + np.geomspace(1e-4, 1e2, 20001)
    values = []
    for w in grid:
        weights = np.concatenate((np.full(p, w), w * T / (w - T))) / n
        values.append(weights.sum() + 2 * math.sqrt(tau) * np.linalg.norm(weights) + 2 * tau * weights.max())
    # the minimum is flat: a grid of relative step 7e-4 sees it to about that squared
    assert c.edge_upper(T, p, tau) == pytest.approx(min(values), rel=1e-5)
    assert c.edge_upper(np.ones(n), p, 1e-14) == pytest.approx((1 + math.sqrt(p / n)) ** 2, rel=1e-5)


def test_wishart_matrices_with_signs_stay_below_the_edge_and_not_below_half_of_the_dimension() -> None:
    n, p, delta, trials = 200, 100, 0.2, 300
    T = np.where(np.arange(n) % 3 == 0, 1.0, -0.7)
    tau, rng = math.log(2 / delta), np.random.default_rng(4)
    bound, half = c.edge_upper(T, p, tau), c.edge_upper(T, p // 2, tau)
    tops = []
    for _ in range(trials):
        G = rng.standard_normal((n, p))
        tops.append(np.linalg.eigvalsh((G * T[:, None]).T @ G / n)[-1])
    assert never_too_often(int((np.array(tops) > bound).sum()), trials, delta)
    assert not never_too_often(int((np.array(tops) > half).sum()), trials, delta)


def test_products_and_two_to_four_norms() -> None:
    rng, trials, delta = np.random.default_rng(5), 300, 0.1
    t = c.gaussian_t(delta)
    assert math.exp(-(t**2) / 2) == pytest.approx(delta, rel=1e-14)
    B = rng.standard_normal((80, 2)) * 0.3
    fro, op = float(np.linalg.norm(B)), float(np.linalg.norm(B, 2))
    bound = c.gaussian_product_norm(fro, op, 30, t)
    assert close(bound, mpf(fro) + mpf(op) * (mpmath.sqrt(30) + mpf(t)))
    norms = [np.linalg.norm(B.T @ rng.standard_normal((80, 30)), 2) for _ in range(trials)]
    assert never_too_often(int((np.array(norms) > bound).sum()), trials, delta)
    assert close(c.two_to_four_norm(100, 9, 0.5), mpmath.root(300, 4) + 3 + mpf("0.5"))
    # |G v|_4 at the top right singular vector is one of the values whose supremum is bounded
    for _ in range(50):
        G = rng.standard_normal((100, 9))
        v = np.linalg.svd(G)[2][0]
        assert np.sum((G @ v) ** 4) ** 0.25 <= c.two_to_four_norm(100, 9, c.gaussian_t(1e-8))


def test_norms_and_inner_products_of_many_vectors() -> None:
    rng, delta = np.random.default_rng(6), 0.2
    assert close(
        c.gaussian_norms_upper(50, 1000, delta), mpmath.sqrt(50) + mpmath.sqrt(2 * mpmath.log(1000 / mpf(delta)))
    )
    failures = sum(
        np.linalg.norm(rng.standard_normal((200, 20)), axis=1).max() > c.gaussian_norms_upper(20, 200, delta)
        for _ in range(300)
    )
    assert never_too_often(failures, 300, delta)
    assert close(c.sphere_spread(500, delta), mpmath.sqrt(2 * mpmath.log(1000 / mpf(delta))))
    # the exact law of one coordinate: its square is Beta(1/2, (d-1)/2)
    for d in (2, 5, 100):
        for count in (1, 50):
            level = c.sphere_spread(count, 0.01) ** 2 / d
            assert stats.beta.sf(min(level, 1.0), 0.5, (d - 1) / 2) <= 0.01 / count


def test_beta_lower_is_the_quantile_of_the_law_of_a_projection() -> None:
    assert c.beta_lower(2, 12, 0.1) == pytest.approx(stats.beta.ppf(0.1, 1, 5), rel=1e-12)
    assert c.beta_lower(3, 3, 0.1) == 1.0
    g = np.random.default_rng(7).standard_normal((4000, 12))
    parts = (g[:, :2] ** 2).sum(axis=1) / (g**2).sum(axis=1)
    failures = int((parts < c.beta_lower(2, 12, 0.1)).sum())
    assert never_too_often(failures, 4000, 0.1)
    assert never_too_often(4000 - failures, 4000, 0.9)  # the quantile, not less


def test_chernoff_quantile_is_a_bound_and_the_best_of_its_kind() -> None:
    top, below, delta = np.array([1.0] * 8), np.array([1.0, 1.0] + [0.0] * 6), 0.05
    x = c.chernoff_quantile(top, below, delta)
    # P(sum of all <= x sum of two) <= delta: one minus the exact Beta law of the two
    assert stats.beta.sf(1 / x, 1, 3) <= delta
    # by brute force over s no larger x has a Chernoff bound of delta
    for factor, allowed in ((0.999, True), (1.001, False)):
        weights = top - factor * x * below
        s = np.linspace(1e-6, -0.5 / weights.min() - 1e-9, 20001)
        best = np.prod(1 + 2 * s[:, None] * weights, axis=1) ** -0.5
        assert (best.min() <= delta) == allowed
    # scaling either side scales x
    assert c.chernoff_quantile(3 * top, below, delta) == pytest.approx(3 * x, rel=1e-5)
    assert c.chernoff_quantile(top, 3 * below, delta) == pytest.approx(x / 3, rel=1e-5)
    assert c.chernoff_quantile(0 * top, below, delta) == 0.0


def test_spherical_starts_are_conditioned_as_promised() -> None:
    m, r, d, delta = 200, 2, 80, 0.05
    t = mpmath.sqrt(2 * mpmath.log(4 / mpf(delta)))
    root = mpmath.sqrt(m)
    exact = (root + mpmath.sqrt(2) + t) / (root - mpmath.sqrt(2) - t)
    exact *= math.sqrt(stats.chi2.isf(delta / (4 * m), d) / stats.chi2.ppf(delta / (4 * m), d))
    bound = c.spherical_condition(m, r, d, delta)
    assert close(bound, exact)
    assert c.spherical_condition(5, 2, 80, delta) == math.inf
    assert c.spherical_condition(200, 2, 2, delta) < math.inf  # the law of a norm needs no large d
    rng = np.random.default_rng(8)
    W = rng.standard_normal((100, m, d))
    W /= np.linalg.norm(W, axis=2, keepdims=True)
    values = np.linalg.svd(W[:, :, :r], compute_uv=False)
    assert never_too_often(int((values[:, 0] / values[:, 1] > bound).sum()), 100, delta)


@pytest.mark.parametrize("n", [10, 1000])
def test_means_hoeffding_and_chebyshev(n: int) -> None:
    delta = 0.05
    assert close(c.hoeffding(1.5, n, delta), mpf("1.5") * mpmath.sqrt(mpmath.log(20) / (2 * n)))
    assert close(c.chebyshev(0.7, n, delta), mpmath.sqrt(mpf("0.7") / (n * mpf(delta))))
    # a fair coin, exactly: P(mean - 1/2 > h) <= delta
    h = c.hoeffding(1.0, n, delta)
    assert stats.binom.sf(math.floor(n * (0.5 + h)), n, 0.5) <= delta


def test_bernstein_is_the_root_of_its_exponent_and_true_for_rare_events() -> None:
    for variance, largest, n, delta in ((0.7, 2.0, 10, 0.05), (1e-4, 1.0, 1000, 1e-6), (0.0, 1.0, 50, 0.1)):
        t = mpf(c.bernstein(variance, largest, n, delta))
        exponent = n * t**2 / (2 * (mpf(variance) + mpf(largest) * t / 3))
        assert exponent == pytest.approx(-math.log(delta), rel=1e-12)
    # of a coin that falls on 1 once in a hundred throws, exactly
    for n in (10, 100, 1000, 10_000):
        t = c.bernstein(0.01 * 0.99, 0.99, n, 1e-3)
        assert stats.binom.sf(math.ceil(n * (0.01 + t)) - 1, n, 0.01) <= 1e-3


def test_bernstein_has_its_constants_and_is_true_for_signs() -> None:
    K, n, delta = 1.3, 500, 0.1
    for r in (1, 2, 4):
        tau = mpmath.log(2 / mpf(delta)) + (r * mpmath.log(9) if r > 1 else 0)
        factor = 1 if r == 1 else 1 / (1 - mpf(1) / 8 + mpf(1) / 512)
        exact = factor * mpf(K) * (mpmath.sqrt(6 * tau / n) + 2 * tau / n)
        assert close(c.bernstein_second_moment(K, r, n, delta), exact)
    # the moments it rests on: E |T (v.z)^2|^k <= K^k (2k-1)!! <= (k!/2) 3 K^2 (2 K)^(k-2)
    for k in range(2, 12):
        assert mpmath.fac2(2 * k - 1) <= mpmath.factorial(k) / 2 * 3 * 2 ** (k - 2)
    z = np.random.default_rng(9).standard_normal((400, n, 2))
    T = np.sign(z[:, :, 0])
    found = np.einsum("ti,tij,tik->tjk", T, z, z) / n  # mean 0: T is odd
    deviations = np.abs(np.linalg.eigvalsh(found)).max(axis=1)
    assert never_too_often(int((deviations > c.bernstein_second_moment(1, 2, n, delta)).sum()), 400, delta)


def test_block_norm_is_the_norm_of_the_matrix_of_norms() -> None:
    for a, b, d in ((1.0, 0.5, 2.0), (3.0, 0.0, 1.0), (0.0, 2.0, 0.0), (2.0, 1.0, 2.0)):
        assert c.block_norm(a, b, d) == pytest.approx(np.linalg.norm([[a, b], [b, d]], 2), rel=1e-14)
        assert c.block_norm(a, b, d) <= max(a, d) + b


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-565, 2.0**565, 2.0**1000])
def test_bounds_on_weights_keep_their_bits_in_any_unit(unit: float) -> None:
    # homogeneous of degree 1, and a power of two is exact: nothing but the exponents may change
    T, counts = np.random.default_rng(0).standard_normal(40), np.full(40, 3.0)
    assert c.edge_upper(unit * T, 7, 2.0) == unit * c.edge_upper(T, 7, 2.0)
    assert c.weighted_chi_squared_upper(unit * T, counts, 2.0) == unit * c.weighted_chi_squared_upper(T, counts, 2.0)


def test_the_power_of_two_next_below() -> None:
    found = [c.power_near(np.array(values)) for values in ([-3.0, 2.0], [4.0], [5e-324], [0.0], [], [math.inf])]
    assert found == [2.0, 4.0, 5e-324, 1.0, 1.0, 1.0]
    assert c.edge_upper(np.zeros(5), 3, 1.0) >= 0
