"""The law of the linearised run against explicit data: exact where T has finitely many values."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from scipy.sparse.linalg import eigsh

from mimtheory import linearised as linearised_module
from mimtheory.experiment import Experiment
from mimtheory.linearised import LinearisedRun
from mimtheory.links import link
from mimtheory.population import Population
from mimtheory.setting import Setting

# eleven comparisons of two samples: false alarms below 1e-6 for the file
LEVEL = 1e-7
DRAWS = 400
SETTING = Setting(link="h2h2", loss="quantile(0.2)", d=9, n=60, m=4, centre=0.3)


def statistics(S: np.ndarray, U: np.ndarray) -> tuple[float, ...]:
    """Largest eigenvalue, overlap of its eigenvector with U, norm of the cross block, and its meeting with perp."""
    values, vectors = np.linalg.eigh(S)
    across = U @ S - U @ S @ U.T @ U
    overlap, norm = np.linalg.norm(U @ vectors[:, -1]), np.linalg.norm(across)
    return float(values[-1]), float(overlap), float(norm), float(np.trace(across @ S @ across.T))


def drawn(setting: Setting, bins: int = 32) -> np.ndarray:
    runs = (LinearisedRun(Population(setting), np.random.default_rng([5, k]), bins) for k in range(DRAWS))
    return np.array([statistics(run.S_hat, run.U) for run in runs])


def explicit(setting: Setting) -> np.ndarray:
    draws = (Experiment(setting, 1000 + k) for k in range(DRAWS))
    return np.array([statistics(np.asarray(e.S_hat.matrix), e.U) for e in draws])


def p_values(setting: Setting) -> list[float]:
    pairs = zip(drawn(setting).T, explicit(setting).T, strict=True)
    return [float(stats.ks_2samp(a, b).pvalue) for a, b in pairs]


# n = 60: some bins have fewer samples than p = 7, others use Bartlett's factor
@pytest.mark.parametrize("n", [12, 60])
def test_the_law_is_that_of_explicit_data(n: int) -> None:
    assert min(p_values(dataclasses.replace(SETTING, n=n))) > LEVEL


def _perp(S: np.ndarray, U: np.ndarray) -> tuple[float, ...]:
    """Both ends and the squared norm of the block across U."""
    basis = np.linalg.svd(U)[2][2:]
    values = np.linalg.eigvalsh(basis @ S @ basis.T)
    return float(values[0]), float(values[-1]), float(values @ values)


def test_bins_of_a_continuous_preprocessing_are_fine_enough_and_few_are_not() -> None:
    setting = Setting(link="h2h2", loss="huber(1)", d=20, n=400, m=4, centre=-0.2)
    draws = 200
    direct = np.array([_perp(np.asarray(e.S_hat.matrix), e.U) for e in (Experiment(setting, k) for k in range(draws))])

    def least(bins: int) -> float:
        runs = (LinearisedRun(Population(setting), np.random.default_rng([8, k]), bins) for k in range(draws))
        without = np.array([_perp(run.S_hat, run.U) for run in runs])
        return float(min(stats.ks_2samp(a, b).pvalue for a, b in zip(without.T, direct.T, strict=True)))

    assert least(32) > LEVEL
    assert least(4) < 1e-6


def test_the_block_across_the_signal_has_the_trace_of_the_labels() -> None:
    # given the labels tr X^T diag(T) X has mean p sum T_i and variance 2 p sum T_i^2
    setting = dataclasses.replace(SETTING, n=40)
    total = variance = 0.0
    for k in range(DRAWS):
        run = LinearisedRun(Population(setting), np.random.default_rng([6, k]))
        total += float(np.trace(run.S_hat[2:, 2:])) - 7 * run._bins.T.sum() / 40
        variance += 2 * 7 * run._bins.T2.sum() / 40**2
    assert abs(total) < 6 * math.sqrt(variance)


def test_the_comparison_sees_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    wishart = linearised_module._wishart
    # two samples too many in every bin
    monkeypatch.setattr(linearised_module, "_wishart", lambda nu, p, rng: wishart(nu + 4, p, rng))
    assert min(p_values(dataclasses.replace(SETTING, n=12))) < LEVEL


def test_the_wishart_factor_has_the_moments_of_explicit_data() -> None:
    # E W = nu I, E tr W^2 = nu p (nu + p + 1), both by counting pairings
    p, draws = 4, 4000
    for nu in (2, 4, 11):
        rng = np.random.default_rng(nu)
        W = np.array([linearised_module._wishart(nu, p, rng) for _ in range(draws)])
        traces, squares = np.trace(W, axis1=1, axis2=2), (W**2).sum(axis=(1, 2))
        for found, expected in ((traces, nu * p), (squares, nu * p * (nu + p + 1))):
            # six standard deviations, six comparisons: false alarms below 1e-7
            assert abs(found.mean() - expected) < 6 * found.std() / math.sqrt(draws)


def test_an_atom_is_a_bin_of_its_own_and_nothing_is_lost() -> None:
    assert LinearisedRun(Population(SETTING), np.random.default_rng(0)).lost == pytest.approx(0, abs=1e-14)


def test_what_the_bins_lose_is_what_they_say() -> None:
    setting = dataclasses.replace(SETTING, loss="huber(1)", n=5000, centre=0.0)
    run = LinearisedRun(Population(setting), np.random.default_rng(2), bins=8)
    rng = np.random.default_rng(2)
    T = np.clip(-setting.link(rng.standard_normal((5000, 2))), -1, 1)
    edges = run._bins.edges
    means = [T[(T > low) & (T <= high)] for low, high in zip([-9, *edges], [*edges, 9], strict=True)]
    kept = sum(part.size * part.mean() ** 2 for part in means if part.size)
    assert run.lost == pytest.approx(1 - kept / (T @ T), rel=1e-9)
    # the atoms at the ends of the clipped labels stand alone
    assert run._bins.counts[[1, -2]].tolist() == [(T == -1).sum(), (T == 1).sum()]
    assert 0 < LinearisedRun(Population(setting), np.random.default_rng(2), bins=32).lost < run.lost / 8


def test_the_signal_block_is_exact_whatever_the_bins() -> None:
    setting = dataclasses.replace(SETTING, loss="huber(1)", n=300)
    run = LinearisedRun(Population(setting), np.random.default_rng(3), bins=2)
    Z = np.random.default_rng(3).standard_normal((300, 2))
    T = np.clip(0.3 - setting.link(Z), -1, 1)
    assert run.S_hat[:2, :2] == pytest.approx(Z.T @ (T[:, None] * Z) / 300, rel=1e-12)


def test_the_neurons_are_those_of_stage_one_on_the_same_matrix() -> None:
    setting = dataclasses.replace(SETTING, loss="huber(1)", n=400, m=6, T1=4, eps0=1e-4)
    e = Experiment(setting, 7)
    run = LinearisedRun(Population(setting), np.random.default_rng(0))
    run.S_hat, run.start = np.asarray(e.S_hat.matrix), e.run.start
    neurons = run.neurons(4)
    for t in (1, 2, 3, 4):
        expected = e.trajectory[t] / np.sqrt((e.trajectory[t] ** 2).sum(axis=1).mean())
        # the sign that all share is free; what is left out is of relative order eps0^2
        sign = np.sign((expected * neurons[t - 1]).sum())
        assert neurons[t - 1] == pytest.approx(sign * expected, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"beta1": 0.0}, "beta1 = 0.0"),
        ({"activation": "asymmetric"}, "activation = 'asymmetric'"),
        ({"centre": "fitted"}, "fitted"),
        ({"d": 60_000}, "d = 60000 needs"),
    ],
)
def test_what_the_linear_part_does_not_describe_is_refused(fields: dict[str, object], named: str) -> None:
    setting = dataclasses.replace(SETTING, **fields)
    with pytest.raises(ValueError, match=named):
        LinearisedRun(Population(setting), np.random.default_rng(0))


def test_what_no_eigenvalue_of_c_shows_the_spectrum_half_shows() -> None:
    """C = 0 for h3 and the squared loss, yet an outlier has cos^2 = 5/12 in the limit.

    The formula (gamma^2 - 2)/(2 (gamma^2 - 1)) against the limit model at N = 400: 4 standard errors of 24 draws, false
    alarm below 1e-3 (Student), and a bias of order 1/N. The nearest wrong formulas give 0.83 (both outliers together),
    0.36 and 0.5.
    """
    gamma2 = link("z1*He3(z1)").second_moment / link("He3(z1)").second_moment
    assert gamma2 == 7
    limit = float((gamma2 - 2) / (2 * (gamma2 - 1)))
    rng, size, draws = np.random.default_rng(7), 400, []
    for _ in range(24):
        A = rng.standard_normal((size, size)) / np.sqrt(2 * size)
        M = A + A.T
        M[0] = M[:, 0] = np.sqrt(float(gamma2) / size) * rng.standard_normal(size)
        M[0, 0] = 0
        draws.append(float(eigsh(M, 1, which="LA")[1][0, 0]) ** 2)
    assert abs(np.mean(draws) - limit) < 4 * np.std(draws) / np.sqrt(24) + 2 / size


def test_an_odd_link_shows_itself_more_with_more_samples() -> None:
    """cos^2 of the two outliers of S_hat for h3 and the squared loss: near 5/12 at n/d = 400, hardly anything at 4."""
    seen = []
    for ratio in (4, 400):
        e = Experiment(Setting(link="h3(z1)", loss="squared", d=100, n=100 * ratio), rng=3)
        vectors = np.linalg.eigh(np.asarray(e.S_hat.matrix))[1]
        seen.append(np.mean((e.U @ vectors[:, [0, -1]]) ** 2))
    assert seen[0] < 0.15
    assert 0.25 < seen[1] < 0.5
