"""Lemma A.8: not too many steps, or all neurons point along the fastest direction of the signal.

B = V_hat^T W^T (r x m', the distinct neurons of one sign of a) starts well conditioned; every step multiplies its
condition number by at most rho_1/rho_r, and after T steps it has grown at least by (rho_1/rho_r)^T over cond(B0)^2.
Together with A.7 this leaves a window [T_min, T_max] of steps. Symbols as there; T counts steps.

Tightness: the deterministic forms are nearly reached. The bound for spherical starts takes the neurons' norms and the
matrix for their worst at once, and says nothing for small m'. Bound over measured, at the median cell of the quick run:
`upper` 1.2, `lower` 1.3, `start` 19.

Proofs: docs/theory/stage_one.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.concentration import spherical_condition
from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.growth import raised
from mimtheory.neuron_parts import block_error, rates
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded, at_least

__all__ = ["condition_bounds", "lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "A.8",
    "Coverage: not too many steps",
    provenance="numbered",
    uses=("A.1", "A.3", "A.7"),
    cost="run",
    needs=("assumption_activation",),
)


# What is measured


def condition(e: Experiment) -> Rounded:
    """cond(B) of the neurons with a > 0 after T equal steps; empty where they are fewer than directions, or lost."""
    return _condition(e, e.run.final.value, _error(e))


def condition_at_start(e: Experiment) -> Rounded:
    """cond(B0)."""
    return _condition(e, e.run.start, 8 * e.population.d * EPS * math.sqrt(e.setting.m) * e.setting.eps0)


def _condition(e: Experiment, W: Floats, error: float) -> Rounded:
    if not _applies(e):
        return Rounded(np.empty(0))
    largest, smallest = _singular_values(e, W)
    return Rounded(largest / smallest, 2 * error * (1 + largest / smallest) / smallest)


def _applies(e: Experiment) -> bool:
    """Enough neurons to cover r directions, and none of the directions lost in rounding."""
    if e.setting.m // 2 < e.population.r:
        return False
    return _singular_values(e, e.run.final.value)[1] > 1e4 * _error(e)


def _singular_values(e: Experiment, W: Floats) -> tuple[float, float]:
    """Largest and smallest singular value of V_hat^T W^T over the neurons with a > 0."""
    values = np.linalg.svd(W[: e.setting.m // 2] @ e.sample.split.V_hat, compute_uv=False)
    return float(values[0]), float(values[-1])


def _error(e: Experiment) -> float:
    """Rounding of the whole block, of each neuron's times the square root of their number."""
    return math.sqrt(e.setting.m) * block_error(e)


# The claims


@lemma.claim(
    "D",
    r"\mathrm{cond}(B) \le \frac{\rho_1^T s_{\max}(B_0) + D}{\rho_r^T s_{\min}(B_0) - D},\quad"
    r" D = \|\hat V^\top \Delta^\top\|",
    measured=condition,
)
def upper(e: Experiment) -> Rounded:
    """The condition number grows by at most rho_1/rho_r a step."""
    return _upper(e, e.population.T)


@lemma.control(
    upper,
    why="half of the steps",
    link="mixed",
    loss="huber(2)",
    d=30,
    n=6000,
    m=32,
    eps0=1e-3,
    T1=16,
    trials=3,
)
def upper_of_half_the_steps(e: Experiment) -> Rounded:
    return _upper(e, e.population.T // 2)


def _upper(e: Experiment, steps: int) -> Rounded:
    if not _applies(e):
        return Rounded(np.empty(0))
    return _bound(e, *condition_bounds(e, steps)[0])


@lemma.claim(
    "D",
    r"\mathrm{cond}(B) \ge \frac{\rho_1^T s_{\min}(B_0) - D}{\rho_r^T s_{\max}(B_0) + D}",
    measured=condition,
    compare=at_least,
)
def lower(e: Experiment) -> Rounded:
    """It must grow: too many steps lose the slow directions of the signal."""
    return _lower(e, e.population.T)


@lemma.control(
    lower,
    why="twice the steps",
    link="mixed",
    loss="huber(2)",
    d=30,
    n=6000,
    m=32,
    eps0=1e-3,
    T1=16,
    trials=3,
)
def lower_of_twice_the_steps(e: Experiment) -> Rounded:
    return _lower(e, 2 * e.population.T)


def _lower(e: Experiment, steps: int) -> Rounded:
    if not _applies(e):
        return Rounded(np.empty(0))
    above, below = condition_bounds(e, steps)[1]
    # every condition number is at least 1
    return _bound(e, above, below) if above > below else Rounded(-math.inf)


def condition_bounds(e: Experiment, steps: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """(numerator, denominator) of the upper and of the lower bound on cond(B) after this many steps."""
    rho_1, rho_r, _ = rates(e.sample, 1)
    largest, smallest = _singular_values(e, e.run.start)
    D = _singular_values(e, e.run.final_Delta.value)[0]
    fast, slow = raised(rho_1, steps), raised(rho_r, steps)
    return (fast * largest + D, slow * smallest - D), (fast * smallest - D, slow * largest + D)


def _bound(e: Experiment, above: float, below: float) -> Rounded:
    """above/below with the rounding of both."""
    if below <= 1e4 * _error(e):
        return Rounded(math.inf)
    return Rounded(above / below, 2 * _error(e) * (1 + above / below) / below)


@lemma.claim(
    "P",
    r"\mathrm{cond}(B_0) \le \frac{\sqrt{m'} + \sqrt r + t}{\sqrt{m'} - \sqrt r - t}"
    r" \cdot \frac{\chi_d(1 - \delta/4m')}{\chi_d(\delta/4m')}",
    measured=condition_at_start,
)
def start(population: Population, delta: float) -> Floats:
    """Spherical starts cover the signal evenly, whatever D1 is: Gaussian columns divided by their norms."""
    return _start(population, delta, 1)


@lemma.control(
    start,
    why="m' for sqrt(m') and d for sqrt(d): the deviations of the wrong order",
    link="r3",
    loss="squared",
    d=300,
    n=320,
    m=64,
    T1=2,
    trials=40,
)
def start_of_square(population: Population, delta: float) -> Floats:
    return _start(population, delta, 2)


def _start(population: Population, delta: float, power: int) -> Floats:
    m, r, d = population.setting.m // 2, population.r, population.d
    if m < r:
        return np.empty(0)
    return np.array([spherical_condition(m**power, r, d**power, share("A.8/start", "condition", delta))])
