"""What the studies measure: networks of both stages, exact or linearised, and their test error.

The rows of a study belong to its `measure` function and to this file: a change of either computes them anew, a change
of what is drawn does not.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.experiment import Experiment
from mimtheory.generalisation import Network, test_error
from mimtheory.linearised import LinearisedRun
from mimtheory.normal_equations import ridge_network
from mimtheory.population import Population
from mimtheory.setting import Setting

__all__ = ["condition", "direct_network", "error_of", "linearised_network", "prepared", "second_stage"]

Floats = NDArray[np.float64]


@lru_cache(maxsize=256)
def _prepared(text: str) -> Population:
    population = Population(Setting.from_json(text))
    population.prepare()
    return population


def prepared(**fields: Any) -> Population:
    """The Population of a Setting, with its expectations computed; shared by equal settings."""
    return _prepared(Setting.from_dict(fields).to_json())


def second_stage(
    population: Population, U: Floats, W: Floats, rng: np.random.Generator, fresh: int | None = None
) -> Network:
    """Ridge on `fresh` new samples (as many as stage one had, if not given), the constant c being that of stage one."""
    setting = population.setting if fresh is None else replace(population.setting, n=fresh)
    return ridge_network(setting, U, W, population.centre, rng)


def linearised_network(
    population: Population, rng: np.random.Generator, fresh: int | None = None
) -> tuple[Network, Floats]:
    """Both stages without X, and U."""
    run = LinearisedRun(population, rng)
    return second_stage(population, run.U, run.neurons(population.T1)[-1], rng, fresh), run.U


def direct_network(
    population: Population, rng: np.random.Generator, fresh: int | None = None
) -> tuple[Network, Floats]:
    """Stage one as Algorithm 1 has it, on explicit data, then the same stage two."""
    e = Experiment(population.setting, rng)
    W = e.trajectory[-1]
    return second_stage(population, e.U, W, rng, fresh), e.U


def error_of(network: Network, population: Population, U: Floats) -> float:
    """E (network - g)^2, without test points."""
    return float(test_error(network, population.setting.link, U).value)


def condition(U: Floats, W: Floats) -> float:
    """sigma_max/sigma_min of U W^T (r, m): whether the neurons still span the subspace."""
    sizes = np.linalg.svd(U @ W.T, compute_uv=False)
    return float(sizes[0] / max(sizes[-1], 1e-300))
