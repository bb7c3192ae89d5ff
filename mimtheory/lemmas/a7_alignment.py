"""Lemma A.7: enough steps align a neuron with the signal, and a constant number of steps does not.

At the start only a share r/d of a neuron's square lies in V_hat. Every step multiplies it there by at least rho_r and
elsewhere by at most rho_b, so that |P_perp w|/|P w| falls by rho_b/rho_r a step, and by no more than the lower bound
allows: with n/d fixed T must grow like log d.

Here T counts steps, and H^T is the T-th power. P_hat projects on V_hat, the span of the r eigenvectors of S_hat
farthest from c0, and P_hat_perp on the rest; |eigenvalues of H| are rho_1 to rho_r in V_hat and at most rho_b
elsewhere; Delta is that of A.1, and Delta_bar a bound on |Delta| for any start.

Tightness: the deterministic forms are near what is measured where Delta is small. The law of the start is exact, but
most starts overlap far more than one in a hundred does, for which the quantile, the late form and the form without a
draw answer. That form bounds every bulk eigenvalue by A.2's total; it speaks from n/d of some hundreds to some
thousands on, the more the smaller d is. Bound over measured, at the median cell of the quick run: `upper` 1, `lower`
2.8, `initial_overlap` 57, `late` 40, `too_early` 4.7, `prior` 48.

Proofs: docs/theory/stage_one.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.concentration import beta_lower, chernoff_quantile
from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.growth import envelope, raised
from mimtheory.lemmas.a2_operator_norm import noise_prior
from mimtheory.lemmas.a3_spectral_separation import sin_theta_prior
from mimtheory.lemmas.a4_q_norm import data_prior
from mimtheory.lemmas.a6_norm_after_t1 import data_given
from mimtheory.neuron_parts import block_error, carried_across, eigenvalues_of_H, parts, rates, resolved
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded, at_least
from mimtheory.sample import Sample

__all__ = ["lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "A.7",
    "Alignment: enough steps",
    provenance="numbered",
    uses=("A.1", "A.3", "A.6"),
    given=lambda e: e.sample,
    cost="run",
    needs=("assumption_activation",),
)


# What is measured


def ratios(e: Experiment) -> Rounded:
    """|P_hat_perp w_j^(T)|/|P_hat w_j^(T)| of the neurons with a > 0 that have a part in V_hat beyond rounding."""
    if e.population.p == 0:
        return Rounded(np.empty(0))
    inside, outside = (part[resolved(e)] for part in parts(e, e.run.final.value))
    return Rounded(outside / inside, _ratio_errors(e, inside, outside / inside))


def first_ratio(e: Experiment) -> Rounded:
    """That of one neuron, so that trials are independent.

    Undecided where its part in V_hat is rounding: that selects by the ratio itself, and among the other draws alone
    `too_early` may fail more often than with probability delta.
    """
    if e.population.p == 0 or not e.run.final.value[0].any():
        return Rounded(np.empty(0))
    inside, outside = parts(e, e.run.final.value[:1])
    error = max(block_error(e), 1e-300)
    if inside[0] <= 2 * error:
        return Rounded(outside / (2 * error), math.inf)
    return Rounded(outside / inside, _ratio_errors(e, inside, outside / inside))


def first_angle(e: Experiment) -> Rounded:
    """The angle of w_1^(T) to the hidden subspace."""
    w, U = e.run.final.value[0], e.sample.U
    size = float(np.linalg.norm(w))
    if e.population.p == 0 or size == 0:
        return Rounded(np.empty(0))
    inside = U @ w
    across = float(np.linalg.norm(w - U.T @ inside))
    return Rounded(math.atan2(across, float(np.linalg.norm(inside))), 4 * e.run.final.error / size)


def first_overlap(e: Experiment) -> Rounded:
    """|P_hat w_1^(0)|^2/eps0^2."""
    inside, _ = parts(e, e.run.start[:1])
    return Rounded(inside[0] ** 2 / e.setting.eps0**2, 20 * e.population.d * EPS)


def _ratio_errors(e: Experiment, below: Floats, ratio: Floats) -> Floats:
    """Error of ratio = above/below where both carry `block_error`."""
    errors: Floats = 2 * block_error(e) * (1 + ratio) / below
    return errors


# For every draw


@lemma.claim(
    "D",
    r"\frac{\|\hat P_\perp w^{(T)}\|}{\|\hat P w^{(T)}\|} \le \frac{\|H^T \hat P_\perp w^{(0)}\| + "
    r"\|\hat P_\perp \Delta\|}{\rho_r^T \|\hat P w^{(0)}\| - \|\hat P \Delta\|}",
    measured=ratios,
)
def upper(e: Experiment) -> Rounded:
    """The signal grows by at least rho_r a step; says nothing where Delta reaches what has grown."""
    _, rho_r, _ = rates(e.sample, 1)
    return _upper(e, rho_r)


@lemma.control(
    upper,
    why="rho_1 for rho_r: the slowest direction of the signal grows like the fastest",
    link="mixed",
    loss="huber(2)",
    d=20,
    n=4000,
    m=16,
    eps0=1e-3,
    T1=6,
    trials=3,
)
def upper_with_largest_rate(e: Experiment) -> Rounded:
    rho_1, _, _ = rates(e.sample, 1)
    return _upper(e, rho_1)


def _upper(e: Experiment, rho: float) -> Rounded:
    if e.population.p == 0:
        return Rounded(np.empty(0))
    keep = resolved(e)
    inside, _ = parts(e, e.run.start)
    Delta_in, Delta_out = parts(e, e.run.final_Delta.value)
    grown = (raised(rho, e.population.T) * inside - Delta_in)[keep]
    carried = (carried_across(e, e.population.T) + Delta_out)[keep]
    grown = np.where(grown > 1e4 * block_error(e), grown, np.nan)
    value = carried / grown
    return Rounded(np.nan_to_num(value, nan=np.inf), np.nan_to_num(_ratio_errors(e, grown, value)))


@lemma.claim(
    "D",
    r"\frac{\|\hat P_\perp w^{(T)}\|}{\|\hat P w^{(T)}\|} \ge"
    r" \frac{(\|H \hat P_\perp w^{(0)}\|/\|\hat P_\perp w^{(0)}\|)^T"
    r" \|\hat P_\perp w^{(0)}\| - \|\Delta\|}{\rho_1^T \|\hat P w^{(0)}\| + \|\Delta\|}",
    measured=ratios,
    compare=at_least,
)
def lower(e: Experiment) -> Rounded:
    """What one step does to the bulk part, every later step does at least: no constant number of steps suffices."""
    return _lower(e, e.population.T)


@lemma.control(
    lower,
    why="one step fewer in the bulk",
    link="h4+h4",
    loss="huber(1)",
    d=100,
    n=2000,
    m=8,
    T1=2,
    eps0=0.001,
    trials=3,
)
def lower_with_one_step_fewer(e: Experiment) -> Rounded:
    return _lower(e, e.population.T - 1)


def _lower(e: Experiment, bulk_steps: int) -> Rounded:
    if e.population.p == 0:
        return Rounded(np.empty(0))
    rho_1, _, _ = rates(e.sample, 1)
    keep = resolved(e)
    inside, outside = (part[keep] for part in parts(e, e.run.start))
    Delta = np.linalg.norm(e.run.final_Delta.value[: keep.size], axis=1)[keep]
    kept = (carried_across(e, 1)[keep] / outside) ** bulk_steps * outside - Delta
    grown = raised(rho_1, e.population.T) * inside + Delta
    bound = kept / grown
    return Rounded(np.where(kept > 0, bound, -np.inf), _ratio_errors(e, grown, np.abs(bound)))


# Given D1, over the start


@lemma.claim(
    "G",
    r"\frac{\|\hat P w^{(0)}\|^2}{\epsilon_0^2} \ge q_\delta,\quad q_\delta \text{ the } \delta\text{-quantile of }"
    r" \mathrm{Beta}(\tfrac r2, \tfrac{d-r}2)",
    measured=first_overlap,
    compare=at_least,
)
def initial_overlap(given: Sample, delta: float) -> float:
    """The start's share in V_hat, which does not depend on it, has an exact law."""
    return beta_lower(given.population.r, given.population.d, share("A.7/initial_overlap", "start", delta))


@lemma.control(
    initial_overlap,
    why="the quantile of Beta((r+1)/2, (d-r-1)/2): one dimension too many",
    link="h2",
    loss="huber(1)",
    d=(8, 12),
    n=60,
    m=2,
    T1=2,
    delta=0.2,
    trials=150,
)
def initial_overlap_of_one_dimension_more(given: Sample, delta: float) -> float:
    return beta_lower(given.population.r + 1, given.population.d, share("A.7/initial_overlap", "start", delta))


@lemma.claim(
    "G",
    r"\frac{\|\hat P_\perp w^{(T)}\|}{\|\hat P w^{(T)}\|} \le \frac{x_\delta + \bar\Delta/N}{1 - \bar\Delta/N},\quad"
    r" N = \rho_r^T \epsilon_0 \sqrt{q_\delta}",
    measured=first_ratio,
)
def late(given: Sample, delta: float) -> Floats:
    """How well a neuron is aligned after T steps, by Chernoff's bound on a ratio of weighted sums of squares."""
    return _late(given, delta, 2 * given.population.T)


@lemma.control(
    late,
    why="three times the steps that were made",
    link="h4+h4",
    loss="huber(1)",
    d=60,
    n=4800,
    m=2,
    T1=3,
    eps0=0.0001,
    delta=0.1,
    trials=14,
)
def late_by_thrice_the_steps(given: Sample, delta: float) -> Floats:
    return _late(given, delta, 6 * given.population.T)


def _late(given: Sample, delta: float, power: int) -> Floats:
    if given.population.p == 0 or given.population.p != given.split.bulk.size:
        return np.empty(0)
    weights = _scaled_sizes(given) ** power
    signal, bulk = _masks(weights, given.population.r)
    if not (weights * bulk).any():
        return np.array([math.inf])  # lost below the least double
    # P(bulk >= x^2 signal) <= delta is P(signal <= bulk/x^2) <= delta
    quantile = chernoff_quantile(weights * signal, weights * bulk, share("A.7/late", "ratio", delta))
    if quantile == 0:
        return np.array([math.inf])
    lost = _lost(given, "A.7/late", delta)
    return np.array([(1 / math.sqrt(quantile) + lost) / (1 - lost) if lost < 1 else math.inf])


@lemma.claim(
    "G",
    r"\frac{\|\hat P_\perp w^{(T)}\|}{\|\hat P w^{(T)}\|} \ge \frac{x_\delta - \bar\Delta/N}{1 + \bar\Delta/N}",
    measured=first_ratio,
    compare=at_least,
)
def too_early(given: Sample, delta: float) -> Floats:
    """How badly a neuron must still be aligned after T steps: the other tail of the same ratio."""
    return _too_early(given, delta, 2 * given.population.T)


@lemma.control(
    too_early,
    why="the bulk does not shrink: T = 0 in its weights",
    link="h4+h4",
    loss="huber(1)",
    d=60,
    n=2400,
    m=2,
    T1=6,
    eps0=1e-4,
    trials=12,
)
def too_early_without_shrinking(given: Sample, delta: float) -> Floats:
    return _too_early(given, delta, 0)


def _too_early(given: Sample, delta: float, bulk_power: int) -> Floats:
    if given.population.p == 0 or given.population.p != given.split.bulk.size:
        return np.empty(0)
    sizes, T = _scaled_sizes(given), given.population.T
    signal, bulk = _masks(sizes, given.population.r)
    if not (sizes ** (2 * T) * signal).any():
        return np.array([-math.inf])
    quantile = chernoff_quantile(
        sizes**bulk_power * bulk, sizes ** (2 * T) * signal, share("A.7/too_early", "ratio", delta)
    )
    lost = _lost(given, "A.7/too_early", delta)
    kept = math.sqrt(quantile) - lost
    return np.array([kept / (1 + lost) if kept > 0 else -math.inf])


def _scaled_sizes(given: Sample) -> Floats:
    """|eigenvalues| of H over the largest, of which every power is a double."""
    sizes = np.abs(eigenvalues_of_H(given, 1))
    scaled: Floats = sizes / max(float(sizes.max()), 1e-300)
    return scaled


def _masks(weights: Floats, r: int) -> tuple[Floats, Floats]:
    signal = np.zeros_like(weights)
    signal[:r] = 1
    return signal, 1 - signal


def _lost(given: Sample, label: str, delta: float) -> float:
    """Bound on |Delta|/|H^T P_hat w^(0)|."""
    population = given.population
    _, rho_r, _ = rates(given, 1)
    overlap = beta_lower(population.r, population.d, share(label, "start", delta))
    grown = raised(rho_r, population.T) * population.setting.eps0 * math.sqrt(overlap)
    Delta = float(envelope(population, data_given(given, share(label, "spread", delta)), population.T).Delta[-1])
    return Delta / grown if 0 < grown < math.inf else math.inf


# Without a draw


@lemma.claim(
    "P",
    r"\angle(w^{(T)}, U) \le \arctan"
    r" \frac{(\rho_b/\rho_r)^T \sqrt{(1-q_\delta)/q_\delta} + \bar\Delta/N}{1 - \bar\Delta/N}"
    r" + \arcsin \|\sin\Theta\|",
    measured=first_angle,
)
def prior(population: Population, delta: float) -> Floats:
    """The angle to the hidden subspace itself: A.3 for V_hat, A.2 for the rates, A.1 for Delta."""
    overlap = beta_lower(population.r, population.d, share("A.7/prior", "start", delta))
    return _prior(population, delta, overlap)


@lemma.control(
    prior,
    why="the whole start in V_hat: the quantile left out",
    link="h2h2",
    loss="huber(1)",
    centre=-1.0,
    d=20,
    n=40000,
    m=2,
    T1=1,
    eps0=1e-06,
    trials=6,
)
def prior_without_quantile(population: Population, delta: float) -> Floats:
    return _prior(population, delta, 1.0)


def _prior(population: Population, delta: float, overlap: float) -> Floats:
    if population.p == 0:
        return np.empty(0)
    part = share("A.7/prior", "S_hat", delta)
    known = _rates_prior(population, noise_prior(population, part))
    turned = sin_theta_prior(population, part)
    bounds = envelope(population, data_prior(population, "A.7/prior", delta), population.T)
    if known is None or not turned < 1:
        return np.array([math.inf])
    rho_r, rho_b = known
    least = raised(rho_r, population.T) * population.setting.eps0 * math.sqrt(overlap)
    if not float(bounds.Delta[-1]) < least < math.inf:
        return np.array([math.inf])
    lost = float(bounds.Delta[-1]) / least
    ratio = (raised(rho_b / rho_r, population.T) * math.sqrt((1 - overlap) / overlap) + lost) / (1 - lost)
    angle = math.atan(ratio) + math.asin(turned)
    return np.array([angle if angle < math.pi / 2 else math.inf])


def _rates_prior(population: Population, noise: float) -> tuple[float, float] | None:
    """(lower bound on rho_r, upper bound on rho_b) for a > 0; None where the noise closes half of the gap."""
    if not noise < population.gap / 2:
        return None
    step, gamma = population.step, population.gamma1
    signal = np.abs(gamma - step * (np.linalg.eigvalsh(population.C) + population.c0)).min() - step * noise
    return (float(signal), abs(gamma - step * population.c0) + step * noise) if signal > 0 else None
