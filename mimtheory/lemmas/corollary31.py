"""Corollary 3.1: the sample and time complexity that follow from Theorem 1.

The paper has a corollary of this number whose text this project does not have; our reading: with between N and 2 N
samples a stage, N = 30 d E T^2/min l_k(C)^2, the network of Theorem 1 learns within kappa d^2 additions and
multiplications, kappa = 60 (E T^2/min l_k(C)^2) (6 m (T1 + 2) + 2 m^2), which does not depend on d but through T1.

Tightness: the error is that of Theorem 1, and the larger part of the two. Bound over measured, at the median cell of
the quick run: `complexity` 4.9.

Proofs: docs/theory/stage_two.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.experiment import Experiment
from mimtheory.lemmas.theorem1 import half_of_variance, promises, sample_size, test_error
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded
from mimtheory.training import cost_of

__all__ = ["lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "Corollary3.1",
    "Sample and time complexity",
    provenance="reading",
    uses=("Theorem1",),
    cost="run",
    needs=("assumption_activation",),
)


def error_and_operations(e: Experiment) -> Rounded:
    """Test error, and counted additions and multiplications of both stages."""
    error, operations = test_error(e), cost_of(e.setting, 0).total
    return Rounded([float(error.value), operations], np.array([error.error, 4 * EPS * operations]))


@lemma.claim(
    "P",
    r"\text{as in Theorem 1},\ N \le n \le 2N,\ d \ge 3,\ m \le 3n \Rightarrow "
    r"\mathbb E (f - g)^2 \le \tfrac12 \mathrm{Var}\, g \text{ within } \kappa d^2 \text{ operations}",
    measured=error_and_operations,
    needs=("assumption_ell",),
)
def complexity(population: Population, delta: float) -> Floats:
    """Both at once; infinite where Theorem 1 promises nothing, or n is more than twice what it asks for."""
    return _complexity(population, 2)


@lemma.control(
    complexity,
    why="d for d^2: linear time",
    link="h2h2",
    loss="huber(2)",
    d=100,
    n=9000,
    centre="population",
    trials=8,
)
def complexity_of_linear_time(population: Population, delta: float) -> Floats:
    return _complexity(population, 1)


def _complexity(population: Population, power: int) -> Floats:
    N, d, m = sample_size(population), population.d, population.setting.m
    if not (promises(population) and N <= population.n <= 2 * N and d >= 3 and m <= 3 * population.n):
        return np.array([math.inf, math.inf])
    kappa = 2 * N / d * (6 * m * (population.T1 + 2) + 2 * m * m)
    return np.array([half_of_variance(population), kappa * d**power])
