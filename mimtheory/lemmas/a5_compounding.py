"""Lemma A.5: small perturbations compound to a factor near 1, if the start is small enough.

Deterministically, sum |Q^(s)| <= theta h gives |w^(T)| <= e^theta h^T eps0. Without a draw |Q| <= c |w| (or c2 |w|^2
for even activations while f = 0), and the recursion omega_{t+1} = (h + c omega_t) omega_t stays below h^T eps0/(1 -
rho) if eps0 <= rho h/(c sum_{s<T} h^s), rho < 1. The condition on eps0 is sufficient, not sharp.

Tightness: for the scalar recursion the closed form is nearly reached. Real trajectories lie far below it: their norm is
not on the top eigenvector, and few samples reach the bound on q. Bound over measured, at the median cell of the quick
run: `compounding` 2.5, `scalar_recursion` 1, `step_size` 26, `even_step_size` 25.

Proofs: docs/theory/stage_one.md.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.experiment import Experiment
from mimtheory.growth import DataBounds, h_of_ends, q_bound, raised
from mimtheory.lemmas.a1_total_perturbation import equal_norms
from mimtheory.lemmas.a4_q_norm import data_prior, even_constants
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import Rounded

__all__ = ["largest_eps0", "lemma", "linear_rho"]

Floats = NDArray[np.float64]
_RHO = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95])

lemma = Lemma(
    "A.5",
    "Compounding of perturbations",
    provenance="numbered",
    uses=("A.1", "A.2", "A.4"),
    cost="run",
    needs=("assumption_activation",),
)


# For every draw


def probe_norms(e: Experiment) -> Rounded:
    """|w_j^(T)| and |Delta_j| of the probes after T equal steps, (2 k,)."""
    run = e.run
    parts = [np.linalg.norm(part.value[run.probes], axis=1) for part in (run.final, run.final_Delta)]
    return Rounded(np.concatenate(parts), run.final_Delta.error)


@lemma.claim(
    "D",
    r"\sum_s \|Q_j^{(s)}\| \le \theta h \Rightarrow \|w_j^{(T)}\| \le e^\theta h^T \epsilon_0,\quad"
    r" \|\Delta_j\| \le (e^\theta - 1) h^T \epsilon_0",
    measured=probe_norms,
)
def compounding(e: Experiment) -> Rounded:
    """With theta the measured sum of |Q| over h; says nothing where h = 0."""
    theta, size = _theta(e)
    with np.errstate(over="ignore"):  # where the run grows without end the bound is infinite
        factors = np.concatenate((np.exp(theta), np.expm1(theta)))
    return Rounded(factors * np.concatenate((size, size)), e.run.final_Delta.error)


@lemma.control(
    compounding,
    why="e^theta - 1 - theta for e^theta - 1: the term of first order left out",
    link="h4+h4",
    loss="huber(1)",
    d=20,
    n=2000,
    m=8,
    trials=3,
)
def compounding_of_second_order(e: Experiment) -> Rounded:
    theta, size = _theta(e)
    second = np.expm1(theta) - theta
    return Rounded(np.concatenate((np.exp(theta) * size, second * size)), e.run.final_Delta.error)


def _theta(e: Experiment) -> tuple[Floats, Floats]:
    """(theta_j, h_j^T eps0) of the probes, over the equal steps."""
    run, steps = e.run, e.run.T
    h = run.h[0, run.probes] * (e.population.eta1 / run.eta[0] if e.population.gamma1 == 0 else 1.0)
    Q = run.Q_norms.value[:steps] * (e.population.eta1 / run.eta[:steps, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.where(h > 0, Q.sum(axis=0) / h, np.inf)
    return theta, np.where(h > 0, h**steps, 1.0) * e.setting.eps0


# The scalar recursion, where the closed form is sharp


def extremal_growth(e: Experiment) -> Floats:
    """omega_T/(h^T eps0) of omega_{t+1} = (h + c omega_t) omega_t with eps0 = rho h/(c G), G = sum_{s<T} h^s, h =
    |H|."""
    h, steps = _h(e), e.population.T1
    # h^t/G, the powers divided by the largest: they may be no doubles
    powers = max(h, 1e-300) ** (np.arange(steps) - (steps - 1 if h > 1 else 0))
    growth = np.ones_like(_RHO)
    for part in powers / powers.sum():
        growth *= 1 + _RHO * part * growth  # the same whatever c is
    return growth


def _h(e: Experiment) -> float:
    return h_of_ends(e.population, e.population.S_ends)


@lemma.claim(
    "D",
    r"\epsilon_0 \le \frac{\rho h}{c \sum_{s<T} h^s} \Rightarrow \omega_T \le \frac{h^T \epsilon_0}{1 - \rho}",
    measured=extremal_growth,
)
def scalar_recursion(e: Experiment) -> Floats:
    """The recursion taken with equality, for rho from 0.1 to 0.95, at the h of the expected Hessian."""
    return 1 / (1 - _RHO)


@lemma.control(
    scalar_recursion,
    why="the tempting e^theta for theta = 2 rho: true only up to theta = 1.59",
    link="h2",
    loss="huber(1)",
    d=2,
    n=10,
    m=2,
    T1=(100, 400),
    trials=1,
)
def scalar_recursion_exponential(e: Experiment) -> Floats:
    return np.exp(2 * _RHO)


# Without a draw


@lemma.claim(
    "P",
    r"\bar q(\omega) \le c\omega,\ \rho = \frac{c\,\epsilon_0 \sum_{s<T} h^s}{h} < 1 \Rightarrow \|w^{(T)}\| \le"
    r" \frac{h^T \epsilon_0}{1 - \rho},\ \|\Delta\| \le \frac{\rho}{1 - \rho} h^T \epsilon_0",
    measured=equal_norms,
)
def step_size(population: Population, delta: float) -> Floats:
    """How small eps0 must be, and what it then gives; infinite where rho reaches 1 or |Q| is not bounded by c |w|."""
    h, rho = linear_rho(population, delta)
    return _closed_form(population, raised(h, population.T), rho)


@lemma.control(
    step_size,
    why="h for h^T: the growth of one step only",
    link="h4+h4",
    loss="huber(1)",
    d=10,
    n=20000,
    m=16,
    eps0=1e-06,
    eta1=20.0,
    T1=3,
    trials=6,
)
def step_size_of_one_step(population: Population, delta: float) -> Floats:
    h, rho = linear_rho(population, delta)
    return _closed_form(population, h, rho)


def _closed_form(population: Population, power: float, rho: float) -> Floats:
    if not rho < 1:
        return np.array([math.inf, math.inf])
    return np.array([1, rho]) * power * population.setting.eps0 / (1 - rho)


def linear_rho(population: Population, delta: float) -> tuple[float, float]:
    """(h, rho) of the linear form; rho is infinite where no c serves up to the norms that are reached.

    c is the supremum of qbar(omega)/omega between the least and the largest norm of the recursion; the largest depends
    on rho itself, which is raised until it is consistent.
    """
    data = data_prior(population, "A.5/step_size", delta)
    h, eps0 = h_of_ends(population, data.ends), population.setting.eps0
    G, grown = _geometric(h, population.T), raised(h, population.T)
    if not 0 < grown < math.inf:
        return h, math.inf
    for trial in (0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 0.95):
        c = _slope(population, data, eps0 * min(1.0, grown), eps0 * max(1.0, grown) / (1 - trial))
        rho = c * G * eps0 / h
        if rho <= trial:
            return h, rho
    return h, math.inf


@np.errstate(over="ignore", invalid="ignore")
def _slope(population: Population, data: DataBounds, lowest: float, highest: float) -> float:
    """sup of qbar(x)/x over [lowest, highest]: between neighbours of a grid it is at most qbar(next)/this, since
    qbar does not decrease."""
    scale = population.step * data.s_X**2
    grid = np.geomspace(lowest, highest, 201)
    q = np.array([q_bound(population, float(x) * data.R, data.T_max, population.f_stays_zero) for x in grid])
    return scale * float((q[1:] / grid[:-1]).max())


@np.errstate(over="ignore")
def _geometric(h: float, steps: int) -> float:
    return float(np.sum(h ** np.arange(steps)))


def largest_eps0(population: Population, delta: float) -> float:
    """The largest eps0 (within 1 per cent) at which the linear or the even form says something; 0 if none from
    1e-30."""

    def speaks(log_eps0: float) -> bool:
        setting = dataclasses.replace(population.setting, eps0=math.exp(log_eps0))
        smaller = Population(setting)
        return linear_rho(smaller, delta)[1] < 1 or _even_rho(smaller, delta)[1] < 1

    low, high = math.log(1e-30), math.log(1e3)
    if not speaks(low):
        return 0.0
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if speaks(middle) else (low, middle)
    return math.exp(low)


@lemma.claim(
    "P",
    r"\bar q(\omega) \le c_2\omega^2,\ \rho = \frac{2 c_2 \epsilon_0^2 \sum_{s<T} h^{2s}}{h} < 1 \Rightarrow"
    r" \|w^{(T)}\| \le \frac{h^T \epsilon_0}{\sqrt{1 - \rho}}",
    measured=equal_norms,
)
def even_step_size(population: Population, delta: float) -> Floats:
    """For even activations while f stays 0: |Q| is of second order, and eps0 may be larger."""
    h, rho = _even_rho(population, delta)
    return _even_form(population, raised(h, population.T), rho)


@lemma.control(
    even_step_size,
    why="h for h^T: the growth of one step only",
    link="h4+h4",
    loss="huber(1)",
    d=10,
    n=20000,
    m=16,
    eps0=1e-05,
    eta1=20.0,
    T1=3,
    trials=6,
)
def even_step_size_of_one_step(population: Population, delta: float) -> Floats:
    h, rho = _even_rho(population, delta)
    return _even_form(population, h, rho)


def _even_rho(population: Population, delta: float) -> tuple[float, float]:
    h, c2 = even_constants(population, "A.5/even_step_size", delta)
    if not h > 0:
        return h, math.inf
    eps0 = population.setting.eps0
    return h, 2 * c2 * eps0 * eps0 * _geometric(h * h, population.T) / h


def _even_form(population: Population, power: float, rho: float) -> Floats:
    if not rho < 1:
        return np.array([math.inf, math.inf])
    factor = 1 / math.sqrt(1 - rho)
    return np.array([factor, factor - 1]) * power * population.setting.eps0
