"""Lemma A.1: the total perturbation Delta_j = w_j^(T1) - prod_t H_{j,t} w_j^(0), step by step.

Stage one is w^(t+1) = (H_t + Q_t) w^(t); without Q it is the power iteration prod H_t w^(0). The difference is a sum of
one term a step, each carried on by the remaining H, and three bounds on it trade sharpness for what they ask to be
known.

Tightness: w is seldom where Q is largest, |w| grows less than h, and without a draw every step is taken for that of the
worst sample. Bound over measured, at the median cell of the quick run: `sum_of_products` 1.3, `sum_of_norms` 2,
`product` 2.6, `recursion` 25.

Proofs: docs/theory/stage_one.md.
"""

import numpy as np
from numpy.typing import NDArray

from mimtheory.experiment import Experiment
from mimtheory.growth import envelope, raised
from mimtheory.lemmas.a4_q_norm import data_prior
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import Rounded, equals

__all__ = ["lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "A.1",
    "Total Perturbation Error",
    provenance="title",
    uses=("A.2", "A.4"),
    cost="run",
    needs=("assumption_activation",),
)


# What is measured


def perturbation_components(e: Experiment) -> Rounded:
    """For every neuron whose Delta is resolved its component along the stated expansion, and its norm."""
    Delta, stated = _Delta(e), _expansion(e, 0)
    sizes, norms = np.linalg.norm(stated, axis=1), np.linalg.norm(Delta.value, axis=1)
    along = (Delta.value * stated).sum(axis=1) / np.where(sizes > 0, sizes, 1.0)
    keep = Delta.resolved(norms)
    return Rounded(np.concatenate((along[keep], norms[keep])), Delta.error)


def perturbation(e: Experiment) -> Rounded:
    """|Delta_j| of the probes."""
    Delta = _Delta(e)
    return Rounded(np.linalg.norm(Delta.value[e.run.probes], axis=1), Delta.error)


def equal_norms(e: Experiment) -> Rounded:
    """The largest |w_j^(T)| and the largest |Delta_j| after T equal steps."""
    norms = [np.linalg.norm(part.value, axis=1).max() for part in (e.run.final, e.run.final_Delta)]
    return Rounded(norms, e.run.final_Delta.error)


def _Delta(e: Experiment) -> Rounded:
    """Delta_j after all T1 steps, (m, d)."""
    run = e.run
    return Rounded(run.trajectory[-1] - run.linear[-1], 2 * float(run.errors[-1]))


# The claims


@lemma.claim(
    "I",
    r"\Delta_j = \sum_s \Big[\prod_{k>s} H_{j,k}\Big] Q_j^{(s)} w_j^{(s)}",
    measured=perturbation_components,
    compare=equals,
)
def expansion(e: Experiment) -> Rounded:
    """Delta is the sum of what each Q did, carried on by the later H; compared along the sum and in norm."""
    return _expansion_norms(e, 0)


@lemma.control(
    expansion,
    why="+Q for -Q",
    link="h2h2",
    loss="huber(1)",
    d=30,
    n=1000,
    m=8,
    eps0=0.1,
    activation=("1-cos", "asymmetric"),
    trials=2,
)
def expansion_with_the_other_sign(e: Experiment) -> Rounded:
    stated = _expansion_norms(e, 0)
    return Rounded(-stated.value, stated.error)


@lemma.control(
    expansion,
    why="the term of the first step left out",
    link="h2h2",
    loss="huber(1)",
    d=30,
    n=1000,
    m=8,
    eps0=0.1,
    trials=2,
)
def expansion_without_first_step(e: Experiment) -> Rounded:
    return _expansion_norms(e, 1)


def _expansion_norms(e: Experiment, first: int) -> Rounded:
    Delta = _Delta(e)
    norms = np.linalg.norm(_expansion(e, first), axis=1)[Delta.resolved(np.linalg.norm(Delta.value, axis=1))]
    return Rounded(np.concatenate((norms, norms)), 2 * float(e.run.errors[-1]))


def _expansion(e: Experiment, first: int) -> Floats:
    """The sum from step `first` on, (m, d)."""
    run = e.run
    total = np.zeros_like(run.start)
    for t in range(run.T1):
        total = run.apply_H(t, total)
        if t >= first:
            total += run.Qw[t]
    return total


@lemma.claim(
    "D",
    r"\|\Delta_j\| \le \sum_s \Big[\prod_{k>s} h_{j,k}\Big] \|Q_j^{(s)} w_j^{(s)}\|",
    measured=perturbation,
)
def sum_of_products(e: Experiment) -> Rounded:
    """The triangle inequality for the expansion; asks for one product Q w a step."""
    return _carried(e, _Qw_norms(e))


@lemma.control(
    sum_of_products,
    why="the first step left out: where h < 1 it is the largest",
    link="h4+h4",
    loss="huber(1)",
    d=40,
    n=2000,
    m=8,
    eps0=0.1,
    T1=2,
    trials=2,
)
def sum_without_first_step(e: Experiment) -> Rounded:
    terms = _Qw_norms(e)
    terms[0] = 0
    return _carried(e, terms)


@lemma.claim(
    "D",
    r"\|\Delta_j\| \le \sum_s \Big[\prod_{k>s} h_{j,k}\Big] \|Q_j^{(s)}\| \|w_j^{(s)}\|",
    measured=perturbation,
)
def sum_of_norms(e: Experiment) -> Rounded:
    """The same from norms alone."""
    return _carried(e, e.run.Q_norms.value * e.run.norms[:-1, e.run.probes])


@lemma.control(
    sum_of_norms,
    why="|w| counted twice: a wrong exponent",
    link="h4+h4",
    loss="huber(1)",
    d=40,
    n=2000,
    m=8,
    trials=2,
)
def sum_of_norms_with_square(e: Experiment) -> Rounded:
    return _carried(e, e.run.Q_norms.value * e.run.norms[:-1, e.run.probes] ** 2)


@lemma.claim(
    "D",
    r"\|\Delta_j\| \le \Big[\prod_s (h_{j,s} + \|Q_j^{(s)}\|) - \prod_s h_{j,s}\Big] \|w_j^{(0)}\|",
    measured=perturbation,
)
def product(e: Experiment) -> Rounded:
    """No norm after the start is needed: |w| grows by at most h + |Q| a step."""
    h, Q = e.run.h[:, e.run.probes], e.run.Q_norms.value
    # prod (h + Q) - prod h without the difference of two nearly equal products
    if not h.all():
        return _rounded(e, (np.prod(h + Q, axis=0) - np.prod(h, axis=0)) * e.setting.eps0)
    grown = np.prod(h, axis=0) * np.expm1(np.log1p(Q / h).sum(axis=0))
    return _rounded(e, grown * e.setting.eps0)


@lemma.control(
    product,
    why="only the product of all |Q| kept: the mixed terms dropped",
    link="h4+h4",
    loss="huber(1)",
    d=40,
    n=2000,
    m=8,
    trials=2,
)
def product_without_mixed_terms(e: Experiment) -> Rounded:
    return _rounded(e, np.prod(e.run.Q_norms.value, axis=0) * e.setting.eps0)


def _Qw_norms(e: Experiment) -> Floats:
    """|Q_j^(s) w_j^(s)| of the probes, (T1, k)."""
    return np.linalg.norm(e.run.Qw[:, e.run.probes], axis=2)


def _carried(e: Experiment, terms: Floats) -> Rounded:
    """sum_s prod_{k>s} h_k terms_s for the probes; terms (T1, k)."""
    h, total = e.run.h[:, e.run.probes], np.zeros(terms.shape[1])
    for t in range(e.run.T1):
        total = h[t] * total + terms[t]
    return _rounded(e, total)


def _rounded(e: Experiment, bound: Floats) -> Rounded:
    """The error of h and |Q| is of the relative size of the run's rounding, which the bound on Delta carries."""
    return Rounded(bound, float(e.run.errors[-1]))


@lemma.claim(
    "P",
    r"\|w_j^{(T)}\| \le \omega_T,\quad \|\Delta_j\| \le \delta_T:\quad \omega_{t+1} = (h + \bar q(\omega_t))\omega_t,"
    r"\quad \delta_{t+1} = h \delta_t + \bar q(\omega_t) \omega_t",
    measured=equal_norms,
)
def recursion(population: Population, delta: float) -> Floats:
    """For all neurons at once and without a draw: A.2 bounds h, A.4 bounds |Q| from the norm reached so far."""
    bounds = envelope(population, data_prior(population, "A.1/recursion", delta), population.T)
    return np.array([bounds.omega[-1], bounds.Delta[-1]])


@lemma.control(
    recursion,
    why="the growth h left out",
    link="h4+h4",
    loss="huber(1)",
    d=10,
    n=20000,
    m=32,
    eps0=0.0001,
    eta1=40.0,
    T1=5,
    trials=6,
)
def recursion_without_growth(population: Population, delta: float) -> Floats:
    bounds = envelope(population, data_prior(population, "A.1/recursion", delta), population.T)
    return np.array([bounds.omega[-1], bounds.Delta[-1]]) / raised(bounds.h, population.T)
