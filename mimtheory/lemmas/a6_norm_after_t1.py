"""Lemma A.6: the norm of a neuron after T steps.

Up to Delta it is the norm of H^T w^(0), w^(0) uniform on a sphere: at least the overlap of the start with the top
eigenvector of H times h^T, and, while the bulk still carries the norm, much more. Its mean square over the sphere is
eps0^2 tr(H^{2T})/d. Here T counts steps, and H^T is the T-th power.

Tightness: the two-sided form is nearly reached. The Chernoff form answers for a start nearly orthogonal to the signal,
once the signal carries the norm. The forms without a draw say something only where A.2's total is below the gap and
|Delta| is below the delta-quantile of the overlap, of order delta/sqrt(d) for k = 1; most starts overlap far more than
one in 1/delta does, and |S_hat - S| is taken from every eigenvalue. Bound over measured, at the median cell of the
quick run: `two_sided` 1, `chernoff` 18, `prior` 87, `prior_of_all` 110.

Proofs: docs/theory/stage_one.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.concentration import beta_lower, chernoff_quantile, sphere_spread
from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.growth import DataBounds, envelope, raised
from mimtheory.lemmas.a2_operator_norm import noise_prior
from mimtheory.lemmas.a4_q_norm import data_prior
from mimtheory.neuron_parts import eigenvalues_of_H
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import Rounded, at_least, equals, gamma
from mimtheory.sample import Sample

__all__ = ["crossing", "data_given", "lemma"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

lemma = Lemma(
    "A.6",
    "Norm Bound after T1 Steps",
    provenance="title",
    uses=("A.1", "A.2", "A.5"),
    given=lambda e: e.sample,
    cost="run",
    needs=("assumption_activation",),
)


# What is measured


def mean_square_of_columns(e: Experiment) -> Rounded:
    """Mean of |H^T w|^2/(h^T eps0)^2 over the d columns w/eps0 of an orthogonal matrix, by products with S_hat."""
    A = e.S_hat.matrix
    if not isinstance(A, np.ndarray):
        return Rounded(np.empty(0))
    h = _size(e)
    step, kept = e.population.step / h, e.population.gamma1 / h
    columns, _ = np.linalg.qr(np.random.default_rng(2).standard_normal(A.shape))
    for _ in range(e.population.T):
        columns = kept * columns - step * (A @ columns)
    return Rounded((columns**2).sum() / A.shape[0], _power_error(e))


def norm_change(e: Experiment) -> Rounded:
    """| |w_j^(T)| - |H_j^T w_j^(0)| | for every neuron whose Delta is resolved."""
    final, linear = e.run.final, e.run.final_linear
    change = np.abs(np.linalg.norm(final.value, axis=1) - np.linalg.norm(linear.value, axis=1))
    return Rounded(change[_resolved(e)], final.error + linear.error)


def first_norm(e: Experiment) -> Rounded:
    """|w_1^(T)|: one neuron, so that trials are independent."""
    return Rounded(np.linalg.norm(e.run.final.value[0]), e.run.final.error)


def least_norm(e: Experiment) -> Rounded:
    """min_j |w_j^(T)|."""
    return Rounded(np.linalg.norm(e.run.final.value, axis=1).min(), e.run.final.error)


# The claims


@lemma.claim(
    "I",
    r"\frac1d \sum_k \|H^T e_k\|^2 = \frac1d \mathrm{tr}\, H^{2T}",
    measured=mean_square_of_columns,
    compare=equals,
)
def mean_square(e: Experiment) -> Rounded:
    """The mean of |H^T w|^2 over an orthogonal frame, and so over the sphere, is the trace of H^{2T} over d; both
    sides are divided by h^{2T}, which may be no double."""
    return _trace(e, 2 * e.population.T)


@lemma.control(
    mean_square,
    why="H^T for H^{2T}",
    link="h4+h4",
    loss="huber(1)",
    d=30,
    n=1000,
    m=2,
    trials=3,
)
def mean_square_of_first_power(e: Experiment) -> Rounded:
    return _trace(e, e.population.T)


def _trace(e: Experiment, power: int) -> Rounded:
    if not isinstance(e.S_hat.matrix, np.ndarray):
        return Rounded(np.empty(0))
    eigenvalues = np.abs(eigenvalues_of_H(e.sample, 1)) / _size(e)
    return Rounded(np.mean(eigenvalues**power), _power_error(e))


def _size(e: Experiment) -> float:
    """h = |H|, or 1 where H is 0."""
    return float(np.abs(eigenvalues_of_H(e.sample, 1)).max()) or 1.0


def _power_error(e: Experiment) -> float:
    """Of either side: 2 T factors of size at most 1, each off by the roundings of a product with H or by those of an
    eigenvalue, and the roundings of the frame and of the sums."""
    p, A = e.population, e.S_hat.matrix
    product = gamma(p.d + 10) * (abs(p.gamma1) + p.step * float(np.linalg.norm(A)))
    each = (product + p.step * e.S_hat.solver_roundoff) / _size(e)
    return math.expm1(2 * p.T * each) + gamma(40 * p.d + 60)


def crossing(sample: Sample, sign: int = 1, most: int = 1000) -> int | None:
    """T*, the first number of steps after which V_hat carries at least half of the mean square tr(H^{2T})/d, where the
    norm stops being that of the bulk; None if no T up to `most` does, 0 where d = r."""
    sizes, r = np.abs(eigenvalues_of_H(sample, sign)), sample.population.r
    if sizes.size < sample.population.d:
        raise ValueError(f"d = {sample.population.d}; allowed: where the whole spectrum of S_hat is computed")
    scaled = sizes / max(float(sizes.max()), 1e-300)  # powers then stay below 1
    for T in range(most + 1):
        powers = scaled ** (2 * T)
        if powers[:r].sum() >= powers[r:].sum():
            return T
    return None


@lemma.claim("D", r"\big| \|w_j^{(T)}\| - \|H_j^T w_j^{(0)}\| \big| \le \|\Delta_j\|", measured=norm_change)
def two_sided(e: Experiment) -> Rounded:
    """The norm differs from that of the power iteration by at most the perturbation."""
    return _Delta_norms(e, 1.0)


@lemma.control(
    two_sided,
    why="half of the perturbation",
    link="h4+h4",
    loss="huber(1)",
    d=10,
    n=4000,
    m=16,
    eps0=0.1,
    trials=5,
)
def two_sided_with_half(e: Experiment) -> Rounded:
    return _Delta_norms(e, 0.5)


def _Delta_norms(e: Experiment, factor: float) -> Rounded:
    Delta = e.run.final_Delta
    return Rounded(factor * np.linalg.norm(Delta.value, axis=1)[_resolved(e)], Delta.error)


def _resolved(e: Experiment) -> Bools:
    Delta = e.run.final_Delta
    return Delta.resolved(np.linalg.norm(Delta.value, axis=1))


@lemma.claim(
    "G",
    r"\|w^{(T)}\| \ge \epsilon_0 \sqrt{x_\delta} - \bar\Delta,\quad"
    r" \inf_{s>0} \prod_i (1 + 2 s(\lambda_i^{2T} - x_\delta))^{-1/2} \le \delta",
    measured=first_norm,
    compare=at_least,
)
def chernoff(given: Sample, delta: float) -> float:
    """Given D1, over the start: a weighted sum of squares is seldom far below its mean."""
    return _chernoff(given, delta, 2 * given.population.T)


@lemma.control(
    chernoff,
    why="T for 2 T in the exponent of the weights",
    link="h4+h4",
    loss="huber(1)",
    d=200,
    n=1000,
    m=2,
    T1=2,
    eta1=0.5,
    eps0=1e-05,
    trials=6,
)
def chernoff_of_first_power(given: Sample, delta: float) -> float:
    return _chernoff(given, delta, given.population.T)


def _chernoff(given: Sample, delta: float, power: int) -> float:
    population = given.population
    with np.errstate(over="ignore"):
        weights = np.abs(eigenvalues_of_H(given, 1)) ** power
    if not np.isfinite(weights).all():
        return -math.inf
    if weights.size < population.d:
        # the ends stand for the bulk: its least eigenvalue in absolute value may be as small as 0
        weights = np.append(weights[: population.r], np.zeros(population.d - population.r))
    x = chernoff_quantile(weights, np.ones_like(weights), share("A.6/chernoff", "start", delta))
    data = data_given(given, share("A.6/chernoff", "spread", delta))
    return _or_nothing(
        math.sqrt(x) * population.setting.eps0, float(envelope(population, data, population.T).Delta[-1])
    )


def _or_nothing(linear: float, Delta: float) -> float:
    """linear - Delta, or -inf where that says nothing of a norm or overflows."""
    return linear - Delta if Delta < linear < math.inf else -math.inf


def data_given(given: Sample, delta: float) -> DataBounds:
    """What the recursion needs to know, measured on D1; only the spread of the start is left to chance."""
    population = given.population
    ends, s_X = given.extremes, given.s_X
    return DataBounds(
        ends=ends.value + np.array([-ends.error, ends.error]),
        s_X=float(s_X.value) + s_X.error,
        R=given.R,
        spread=sphere_spread(population.n * population.setting.m * population.T1, delta),
        T_max=float(np.abs(given.T).max()),
        reach=given.reach,
    )


@lemma.claim(
    "P",
    r"\|w^{(T)}\| \ge \max_k h_k^T \epsilon_0 \sqrt{q_\delta(k)} - \bar\Delta,\quad"
    r" h_k = |\lambda_k(\mathbb{E} H)| - \eta |a| \|\hat S - S\|,\quad"
    r" q_\delta(k) \text{ the } \delta\text{-quantile of } \mathrm{Beta}(\tfrac k2, \tfrac{d-k}2)",
    measured=first_norm,
    compare=at_least,
)
def prior(population: Population, delta: float) -> float:
    """Without a draw: the overlap with the k fastest eigenvectors of H, the k-th from below by A.2, Delta by A.1.

    Equal eigenvalues of C serve together: k = 2 for h4+h4 gains a factor of order 1/sqrt(delta) over k = 1.
    """
    return _prior(population, "A.6/prior", delta, share("A.6/prior", "start", delta))


@lemma.control(
    prior,
    why="the whole start on the fastest eigenvectors: the quantile left out",
    link="h4+h4",
    loss="huber(1)",
    d=40,
    n=40000,
    m=2,
    T1=1,
    eps0=1e-06,
    trials=6,
)
def prior_without_quantile(population: Population, delta: float) -> float:
    return _prior(population, "A.6/prior", delta, 1.0)


@lemma.claim(
    "P",
    r"\min_j \|w_j^{(T)}\| \ge \max_k h_k^T \epsilon_0 \sqrt{q_{\delta/m'}(k)} - \bar\Delta",
    measured=least_norm,
    compare=at_least,
)
def prior_of_all(population: Population, delta: float) -> float:
    """The same for every neuron at once: m' = m/2 different starts, or m where a of either sign has its own H."""
    starts = population.setting.m // (2 if population.gamma1 == 0 else 1)
    each = share("A.6/prior_of_all", "start", delta) / starts
    return min(_prior(population, "A.6/prior_of_all", delta, each, sign) for sign in (1, -1))


@lemma.control(
    prior_of_all,
    why="the whole start on the fastest eigenvectors: the quantile left out",
    link="h4+h4",
    loss="huber(1)",
    d=40,
    n=40000,
    m=16,
    T1=1,
    eps0=1e-06,
    trials=6,
)
def prior_of_all_without_quantile(population: Population, delta: float) -> float:
    return _prior(population, "A.6/prior_of_all", delta, 1.0)


def _prior(population: Population, label: str, delta: float, missed: float, sign: int = 1) -> float:
    """The best of the bounds for all k, where an overlap is below its bound with probability `missed`.

    Which k is best is known before the draw, so that delta is not split. Of equal eigenvalues the last k is best.
    """
    step = sign * population.step
    signal, p = np.linalg.eigvalsh(population.C), population.p
    expected = population.c0 + (np.append(signal, 0.0) if p else signal)
    counts = np.append(np.ones(population.r, dtype=int), p)[: expected.size]
    sizes = np.abs(population.gamma1 - step * expected)
    order = np.argsort(-sizes, kind="stable")
    noise = abs(step) * noise_prior(population, share(label, "S_hat", delta))
    bounds = envelope(population, data_prior(population, label, delta), population.T)
    linear = 0.0
    for size, k in zip(sizes[order], np.cumsum(counts[order]), strict=True):
        overlap = math.sqrt(beta_lower(int(k), population.d, missed))
        linear = max(linear, raised(max(0.0, float(size) - noise), population.T) * overlap)
    return _or_nothing(linear * population.setting.eps0, float(bounds.Delta[-1]))
