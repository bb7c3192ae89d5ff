"""A sample: the draw is what the Setting says, and its blocks are those of explicit linear algebra."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import null_space

from mimtheory import operators
from mimtheory import sample as sample_module
from mimtheory import setting as setting_module
from mimtheory.losses import LOSS_NAMES, loss
from mimtheory.population import Population
from mimtheory.relations import Rounded
from mimtheory.sample import Labels, Sample, fitted_centre
from mimtheory.setting import Setting


def make(seed: int = 0, **fields: object) -> Sample:
    values = {"link": "h2h2", "loss": "huber(1)", "d": 15, "n": 200} | fields
    return Sample(Population(Setting(**values)), np.random.default_rng(seed))


def explicit(s: Sample) -> np.ndarray:
    return (s.X * s.T[:, None]).T @ s.X / len(s.T)


def test_labels_are_those_of_the_link_and_t_that_of_the_loss() -> None:
    s = make(centre=0.4)
    assert np.abs(s.U @ s.U.T - np.eye(2)).max() <= 15 * 2**-52
    assert np.abs(s.Z - s.X @ s.U.T).max() == 0
    z1, z2 = s.Z.T
    y = z1**2 - 1 + 0.7 * (z2**2 - 1)
    assert np.abs(s.y - y).max() <= 20 * 2**-53 * (1 + np.abs(s.Z).max() ** 2)
    assert np.abs(s.T - np.clip(0.4 - s.y, -1, 1)).max() == 0


def test_label_noise_is_added_and_independent_of_the_inputs() -> None:
    clean, noisy = make(3), make(3, label_noise=0.5, n=200)
    assert (clean.X == noisy.X).all()
    residual = noisy.y - clean.y
    # a standard deviation from 200 normals is within 25% with probability above 1 - 1e-5
    assert 0.375 < residual.std() < 0.625


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads() -> None:
    population = make().population
    one, two = (Sample(population, np.random.default_rng(5), threads) for threads in (1, 2))
    assert (one.X == two.X).all()
    assert (np.asarray(one.S_hat @ np.eye(15)) == np.asarray(two.S_hat @ np.eye(15))).all()
    assert (make(5).X == one.X).all()
    assert (make(6).X != one.X).any()


@pytest.mark.parametrize("route", ["whole spectrum", "formed for its ends", "Lanczos"])
def test_every_block_is_that_of_the_explicit_matrix(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "forming_is_cheaper", lambda n, d: route == "formed for its ends")
    if route != "whole spectrum":
        monkeypatch.setattr(operators, "DENSE_LIMIT", 5)
    s = make(d=40)
    A, p = explicit(s), s.population
    basis = null_space(s.U)
    S = p.c0 * np.eye(40) + s.U.T @ p.C @ s.U
    signal = s.U @ A @ s.U.T - p.C - p.c0 * np.eye(2)
    perp = basis.T @ A @ basis - s.T.mean() * np.eye(38)
    for found, expected in (
        (s.extremes, np.linalg.eigvalsh(A)[[0, -1]]),
        (s.signal_deviation, np.linalg.norm(signal, 2)),
        (s.cross_norm, np.linalg.norm(s.U @ A @ basis, 2)),
        (s.perp_extremes, np.linalg.eigvalsh(perp)[[0, -1]]),
        (s.noise, np.linalg.norm(A - S, 2)),
        (s.H_norm(0.3, 0.7), np.linalg.norm(0.3 * np.eye(40) - 0.7 * A, 2)),
        (s.s_X, np.linalg.norm(s.X, 2) / np.sqrt(200)),
    ):
        assert np.abs(found.value - expected).max() <= found.error + s.S_hat.roundoff
        assert found.error < 1e-9
    assert pytest.approx(np.linalg.norm(s.X, axis=1).max(), rel=1e-14) == s.R


@pytest.mark.parametrize("dense", [True, False])
def test_the_split_takes_the_eigenvalues_farthest_from_c0(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not dense:
        monkeypatch.setattr(operators, "DENSE_LIMIT", 5)
    s = make(link="mixed", loss="quantile(0.2)", d=30, n=3000)
    values = np.linalg.eigvalsh(explicit(s))
    far = values[np.argsort(-np.abs(values - s.population.c0))]
    assert np.abs(s.split.signal - far[:2]).max() <= 1e-9
    bulk = np.sort(far[2:])
    assert np.abs(s.split.bulk[[0, -1]] - bulk[[0, -1]]).max() <= 1e-9
    assert s.split.bulk.size == (28 if dense else 2)
    assert np.abs(explicit(s) @ s.split.V_hat - s.split.V_hat * s.split.signal).max() <= 1e-8


@pytest.mark.parametrize("power", [-600, -100, 500])
def test_the_split_has_the_same_digits_at_any_scale_of_t(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Lanczos: the operator is brought to a size near 1 by a power of two, which rounds nothing."""
    monkeypatch.setattr(operators, "DENSE_LIMIT", 5)
    one, scaled = make(d=80), make(d=80)
    scaled.S_hat = operators.EmpiricalHessian(scaled.X, np.ldexp(scaled.T, power))
    scaled.population = SimpleNamespace(r=2, c0=math.ldexp(one.population.c0, power))  # type: ignore[assignment]  # all that split asks of it
    assert (scaled.split.V_hat == one.split.V_hat).all()
    assert (scaled.split.signal == np.ldexp(one.split.signal, power)).all()
    assert (scaled.split.bulk == np.ldexp(one.split.bulk, power)).all()
    # the same roundings of sums of positive numbers, but for the order in which SciPy and NumPy add
    assert scaled.split.error == pytest.approx(math.ldexp(one.split.error, power), rel=1e-12)


def test_the_error_of_the_split_has_the_residuals_of_lanczos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "DENSE_LIMIT", 5)
    monkeypatch.setattr(sample_module, "outer_eigenpairs", lambda A, k: (Rounded(np.arange(6.0), 0.25), np.eye(15, 6)))
    s = make()
    assert s.split.error == 0.25 + s.S_hat.roundoff


@pytest.mark.parametrize("dense", [True, False])
def test_what_no_double_holds_has_no_split(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite T, and sums that are not."""
    if not dense:
        monkeypatch.setattr(operators, "DENSE_LIMIT", 5)
    s = make()
    s.S_hat = operators.EmpiricalHessian(1e10 * s.X, np.full(200, 1e300))
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises((FloatingPointError, np.linalg.LinAlgError), match=r"range of doubles|converge"),
    ):
        _ = s.split


@pytest.mark.parametrize("name", ["l1", "huber(1)", "squared"])
def test_labels_that_overflow_are_no_sample(name: str) -> None:
    """A bounded loss would make ordinary T of them."""
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match=r"labels of \d+ samples leave"):
        make(link="1e299*z1**20", loss=name, centre=0.0)


def test_t_that_overflows_is_no_sample() -> None:
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match="T of 200 samples leave"):
        make(link="h2", loss="exp(u)-u", centre=1000.0)


def test_without_a_complement_there_is_neither_perp_nor_cross_block() -> None:
    s = make(d=2)
    assert s.perp_extremes.value.size == 0
    assert s.cross_norm.value.size == 0
    assert s.split.bulk.size == 0


def test_labels_know_their_parts() -> None:
    labels = make().labels
    T = labels.T
    assert labels.T_mean == pytest.approx(T.mean())
    assert labels.part(1) == (pytest.approx(T[T > 0].sum() / T.size), T.max())
    assert labels.part(-1) == (pytest.approx(-T[T < 0].sum() / T.size), -T.min())
    B = labels.Z * T[:, None]
    assert labels.B_norms == (pytest.approx(np.linalg.norm(B)), pytest.approx(np.linalg.norm(B, 2)))
    for power in (-600, 600):
        scaled = Labels(labels.population, labels.Z, np.ldexp(T, power))
        assert scaled.B_norms == tuple(np.ldexp(labels.B_norms, power))


@pytest.mark.parametrize("text", ["squared", "huber(1)", "l1", "quantile(0.2)", "logcosh"])
def test_the_fitted_centre_minimises_the_mean_loss(text: str) -> None:
    y = np.random.default_rng(7).standard_normal(101) + 3
    c = fitted_centre(loss(text), y)
    best = loss(text).value(c, y).mean()
    for other in np.linspace(y.min(), y.max(), 2001):
        assert best <= loss(text).value(other, y).mean() + 1e-12
    if text == "squared":
        assert c == pytest.approx(y.mean(), rel=1e-12)
    assert fitted_centre(loss(text), np.full(4, 2.5)) == 2.5


@pytest.mark.parametrize("text", LOSS_NAMES)
@pytest.mark.parametrize("power", [-1000, -530, 500, 1019])
def test_no_power_of_two_is_too_small_or_too_large_for_a_fitted_centre(text: str, power: int) -> None:
    """Losses are lines near 0, steps far out: beyond all curvature, one centre is a power of two times the other.

    The sum of 101 labels overflows at the last, but not their mean."""
    y = np.random.default_rng(7).standard_normal(101) + 3
    far = 60 if power > 0 else -60
    one, other = (fitted_centre(loss(text), np.ldexp(y, k)) * 2.0**-k for k in (far, power))
    # the mean of 101 slopes of one size s is off by at most 101 units of s. A root is off by that for a line, and for
    # slopes that jump by 4 units of the width, as brentq is asked; y is at most 6
    assert abs(one - other) <= 6 * 2 * (101 + 8) * 2.0**-53


def test_labels_too_far_apart_have_no_fitted_centre() -> None:
    with pytest.raises(FloatingPointError, match="the labels leave the range of doubles"):
        fitted_centre(loss("l1"), np.array([-1.7e308, 1.7e308]))


@pytest.mark.parametrize("text", ["(u-3)**2/2", "exp(u) - u", "Max(u + 1, 0)", "Max(u, 0)", "Max(-u, 0)**2", "u**4"])
def test_a_loss_that_is_smallest_elsewhere_than_at_0_has_its_centre_there(text: str) -> None:
    for y in (np.random.default_rng(7).standard_normal(50) * 3, np.full(3, 2.5)):
        slopes = [loss(text).dl(c, y).mean() for c in fitted_centre(loss(text), y) + np.array([-1e-9, 1e-9])]
        assert slopes[0] <= 0 <= slopes[1]


@pytest.mark.parametrize("text", ["log(1 + exp(u))", "u", "-u", "exp(u)"])
def test_a_loss_that_no_constant_minimises_has_no_fitted_centre(text: str) -> None:
    with pytest.raises(ValueError, match=r"loss = .* has no fitted centre, .*; allowed: a loss that grows on both"):
        fitted_centre(loss(text), np.random.default_rng(7).standard_normal(50))


def test_a_sample_with_a_fitted_centre_has_mean_zero_t() -> None:
    s = make(centre="fitted", label_noise=0.1)
    # Huber's derivative is Lipschitz with constant 1: the mean is off by at most the error of the root
    assert abs(s.T.mean()) <= 1e-13
    assert s.centre != s.population.centre


def test_a_draw_beyond_the_memory_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_module, "memory_limit", lambda: 1000)
    with pytest.raises(ValueError, match=r"needs .* bytes; allowed"):
        make()


@pytest.mark.parametrize("beta1", [None, 0.3])
def test_the_reach_bounds_every_carried_input_closely_and_exists_only_where_the_matrix_does(
    beta1: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = make(d=20, T1=9, eta1=1.4, beta1=beta1, a_scale=0.8)
    p, X = s.population, s.X.astype(np.longdouble)
    A = (X * s.T[:, None].astype(np.longdouble)).T @ X / 200
    expected = np.zeros(p.T)
    for sign in (1, -1):
        W = X
        for t in range(p.T):
            expected[t] = max(expected[t], float(np.sqrt((W**2).sum(axis=1).max())))
            W = np.longdouble(p.gamma1) * W - np.longdouble(sign * 1.4 * 0.8) * (W @ A)
    assert s.reach is not None
    # more than what a product of 20 terms can be off by
    assert (s.reach[1:] >= expected[1:] * (1 + 20 * 2**-53)).all()
    assert s.reach[0] >= expected[0]
    assert (s.reach <= expected * (1 + 1e-8)).all()
    monkeypatch.setattr(operators, "DENSE_LIMIT", 5)
    assert make(d=20).reach is None


def test_inputs_that_are_all_0_have_the_norm_0() -> None:
    s = make()
    s.X = np.zeros_like(s.X)
    assert (float(s.s_X.value), s.s_X.error) == (0.0, 0.0)


@pytest.mark.parametrize("kept", [0.0, 0.4])
def test_carried_inputs_are_those_of_all_rows(kept: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """For blocks of 2 rows, and the largest norm in the first block, one between and the last."""
    monkeypatch.setattr(sample_module, "_BLOCK", 20)
    sample = Sample(Population(Setting(link="h2", loss="huber(1)", d=10, n=31, T1=4)), np.random.default_rng(0))
    A = np.diag(np.linspace(-2, 2, 10))
    for row in (0, 13, 30):
        sample.X = np.random.default_rng(row).standard_normal((31, 10))
        sample.X[row] *= 3
        H = kept * np.eye(10) - A
        expected = [np.linalg.norm(sample.X @ np.linalg.matrix_power(H, t), axis=1).max() for t in range(4)]
        assert sample._carried(kept, A) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-565, 2.0**565, 2.0**1000])
def test_the_norms_of_b_keep_their_bits_in_any_unit_of_t(unit: float) -> None:
    population = Population(Setting(link="h2h2", loss="huber(1)", d=5, n=40))
    labels = Sample(population, np.random.default_rng(0)).labels
    fro, op = labels.B_norms
    assert dataclasses.replace(labels, T=unit * labels.T).B_norms == (unit * fro, unit * op)
