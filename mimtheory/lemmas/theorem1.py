"""Theorem 1: from about d samples the network learns the whole link function.

The paper states n = O~(d) samples, time O~(d^2), m = O~(1) and a test error that vanishes. Our finite reading, with
constants that are this project's: with n at least 30 d E T^2/min l_k(C)^2 in each stage, T1 at least 2 sqrt(log d)
and within the window of A.8, steps without memory (gamma = 0) that do not let the neurons grow from a start of norm at
most 1 and end in unit norm, m at least 32 r neurons, an activation that is no polynomial and a link of degree at most
4, the test error is at most half of Var g. What grows with d, n and T1 is measured by `python -m verification theorem1`
and `steps`.

Tightness: measured near the smallest n that it allows; more samples lower the error further, and the constant 30 is not
the least possible. Bound over measured, at the median cell of the quick run: `learns` 4.9.

Proofs: docs/theory/stage_two.md says what is proved and what is measured.
"""

import math

import numpy as np

from mimtheory import generalisation
from mimtheory.experiment import Experiment
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded

__all__ = ["half_of_variance", "lemma", "promises", "sample_size", "test_error"]

lemma = Lemma(
    "Theorem1",
    "Learning from about d samples",
    provenance="reading",
    uses=("A.7", "A.8", "B.1", "B.2", "B.3", "B.4"),
    cost="run",
    needs=("assumption_activation",),
)

_SAMPLES, _NEURONS, _CONDITION, _SHARE, _DEGREE = 30.0, 32, 10.0, 0.5, 4


def sample_size(population: Population) -> float:
    """30 d E T^2/min l_k(C)^2: from here on the noise of S_hat is a fraction of the smallest signal."""
    gap = population.gap
    return math.inf if gap == 0 else _SAMPLES * population.d * population.moments.mean_T2 / gap**2


def test_error(e: Experiment) -> Rounded:
    """E (network - g)^2 after both stages."""
    return generalisation.test_error(e.outer.learned, e.setting.link, e.U)


def error_of_shuffled_labels(e: Experiment) -> Rounded:
    """The same where the labels of D2 stand beside the wrong inputs."""
    outer = e.outer
    network = outer.ridge_network(outer.fresh("shuffle").permutation(outer.y))
    return generalisation.test_error(network, e.setting.link, e.U)


@lemma.claim(
    "P",
    r"\begin{array}{l} n \ge 30 d \frac{\mathbb E T^2}{\min_k \lambda_k(C)^2},\ T_1 \ge 2\sqrt{\log d},\ "
    r"\Big|\frac{\lambda_1(C)}{\lambda_r(C)}\Big|^{T_1} \le 10,\ \gamma = 0, \\ "
    r"\eta_1 |a| \|S\| \le 1,\ \epsilon_0 \le 1,\ m \ge 32 r,\ \deg g \le 4,\ \sigma \text{ no polynomial} "
    r"\Rightarrow \mathbb E (f - g)^2 \le \tfrac12 \mathrm{Var}\, g \end{array}",
    measured=test_error,
    needs=("assumption_ell",),
)
def learns(population: Population, delta: float) -> float:
    """Learning of the whole link, not only of its subspace; infinite where C is singular, sigma is a polynomial, T1 is
    outside its window, the steps have memory or another size, n or m is smaller than it asks for, or g has a degree
    above 4."""
    return half_of_variance(population) if promises(population) else math.inf


def promises(population: Population) -> bool:
    """Whether n, the steps, m, sigma and g are as Theorem 1 asks; the upper end of the window of T1 is that of A.8."""
    T1, rates, s = population.T1, np.abs(np.linalg.eigvalsh(population.C)), population.setting
    return bool(
        population.n >= sample_size(population)
        and 2 * math.sqrt(math.log(population.d)) <= T1
        and T1 * math.log(rates.max() / rates.min()) <= math.log(_CONDITION)
        and population.gamma1 == 0
        and population.step * population.S_norm <= 1 + 4 * EPS  # the step is 1/|S|, rounded, unless it is given
        and s.eps0 <= 1
        and s.eta_last is None
        and s.m >= _NEURONS * population.r
        and s.link.degree <= _DEGREE
        and not s.activation.polynomial
    )


def half_of_variance(population: Population) -> float:
    """Half of Var g, the error of the best constant."""
    return _SHARE * float(population.setting.link.variance)


@lemma.control(
    learns,
    why="one step of stage one: a constant number of steps",
    link="h4+h4",
    loss="huber(1)",
    d=200,
    n=8000,
    m=64,
    T1=1,
    centre="population",
    trials=6,
)
def learns_in_one_step(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="labels shuffled: nothing to learn",
    measured=error_of_shuffled_labels,
    link="h2h2",
    loss="huber(2)",
    d=20,
    n=4000,
    m=64,
    centre="population",
    trials=6,
)
def learns_from_shuffled_labels(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="any loss: the squared loss on h4+h4 has C = 0",
    link="h4+h4",
    loss="squared",
    d=100,
    n=8000,
    m=64,
    centre="population",
    trials=6,
)
def learns_with_any_loss(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="any number of steps: beyond the window the neurons lose a direction",
    link="h2(z1) + 0.9*h2(z2) + 0.9*h2(z3)",
    loss="huber(2)",
    d=20,
    n=6000,
    m=96,
    T1=150,
    centre="population",
    trials=6,
)
def learns_after_any_number_of_steps(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="steps with memory: they hardly move the neurons",
    link="h4+h4",
    loss="huber(1)",
    d=60,
    n=9000,
    m=64,
    eta1=0.05,
    beta1=0.0,
    centre="population",
    trials=6,
)
def learns_with_any_memory(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="a last step of any size: neurons of small norm make polynomials of low degree only",
    link="h4+h4",
    loss="huber(1)",
    d=20,
    n=3000,
    m=64,
    eta_last=1e-3,
    centre="population",
    trials=6,
)
def learns_with_any_last_step(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="any degree: as many neurons do not reach degree 8",
    link="h2(z1) + 2*h8(z1)",
    loss="huber(1)",
    d=20,
    n=6000,
    m=64,
    centre="population",
    trials=6,
)
def learns_any_degree(population: Population, delta: float) -> float:
    return half_of_variance(population)


@lemma.control(
    learns,
    why="a polynomial activation, which cannot fit a link of degree 4",
    link="h4+h4",
    loss="huber(1)",
    activation="quadratic",
    d=20,
    n=6000,
    m=64,
    centre="population",
    trials=6,
)
def learns_with_a_polynomial(population: Population, delta: float) -> float:
    return half_of_variance(population)
