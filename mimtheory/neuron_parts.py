"""A neuron's parts in V_hat and across it: how the power iteration H multiplies each, and how well both are computed.

V_hat is the span of the r eigenvectors of S_hat farthest from c0; of the neurons those with a > 0 are taken.
"""

import numpy as np
from numpy.typing import NDArray

from mimtheory.experiment import Experiment
from mimtheory.growth import raised
from mimtheory.relations import EPS
from mimtheory.sample import Sample

__all__ = ["block_error", "carried_across", "eigenvalues_of_H", "parts", "rates", "resolved"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def eigenvalues_of_H(sample: Sample, sign: int) -> Floats:
    """Eigenvalues of gamma I - eta a S_hat for a of this sign, (d,), signal first; both ends only where not formed."""
    population, split = sample.population, sample.split
    step = sign * population.step
    return population.gamma1 - step * np.concatenate((split.signal, split.bulk))


def rates(sample: Sample, sign: int) -> tuple[float, float, float]:
    """(rho_1, rho_r, rho_b): largest and smallest |eigenvalue| of H on V_hat, largest on the rest (0 where d = r)."""
    sizes, r = np.abs(eigenvalues_of_H(sample, sign)), sample.population.r
    return float(sizes[:r].max()), float(sizes[:r].min()), float(sizes[r:].max(initial=0.0))


def parts(e: Experiment, W: Floats) -> tuple[Floats, Floats]:
    """(|P_hat w|, |P_hat_perp w|) for the rows with a > 0 (all rows of a part of W)."""
    V = e.sample.split.V_hat
    W = W[: e.setting.m // 2]
    coordinates = W @ V
    return np.linalg.norm(coordinates, axis=1), np.linalg.norm(W - coordinates @ V.T, axis=1)


def carried_across(e: Experiment, steps: int) -> Floats:
    """|H^t P_hat_perp w_j^(0)| after t = `steps`, (m/2,), by products with S_hat."""
    V, half = e.sample.split.V_hat, e.setting.m // 2
    W = e.run.start[:half]
    W = W - (W @ V) @ V.T
    step, gamma = e.population.step, e.population.gamma1
    for _ in range(steps):
        W = gamma * W - step * np.asarray(e.S_hat @ W.T).T
    return np.linalg.norm(W, axis=1)


def resolved(e: Experiment) -> Bools:
    """Which neurons have a part in V_hat that is more than rounding, (m/2,)."""
    inside, _ = parts(e, e.run.final.value)
    keep: Bools = inside > 1e4 * block_error(e)
    return keep


def block_error(e: Experiment) -> float:
    """Rounding of w^(T) and of its parts in and across V_hat.

    The computed V_hat is invariant for a matrix within the solver's roundoff E of S_hat: using it for S_hat itself
    changes H^T w^(0) by at most T eta |a| |E| h^{T-1} eps0.
    """
    T, eps0, step = e.population.T, e.setting.eps0, e.population.step
    h = float(np.abs(eigenvalues_of_H(e.sample, 1)).max())
    backward = T * step * e.S_hat.solver_roundoff * raised(h, max(T - 1, 0)) * eps0
    size = float(np.linalg.norm(e.run.final.value, axis=1).max())
    return e.run.final_Delta.error + 2 * backward + 4 * e.population.d * EPS * size
