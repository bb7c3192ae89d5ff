"""Lemma B.3: what a network loses when its neurons are replaced by their parts in the hidden subspace.

|f - f_U| in L2 is at most Lip(sigma) sum |a_j| |P_perp w_j|: alignment of stage one is what stage two needs, and no
more. The same holds with means over any points in place of the expectation.

Tightness: measured for weights of one sign; trained weights have both signs and cancel, which the bound does not see.
Bound over measured, at the median cell of the quick run: `projection` 3.7, `projection_on_sample` 3.7.

Proofs: docs/theory/stage_two.md.
"""

import numpy as np
from numpy.typing import NDArray

from mimtheory import generalisation
from mimtheory.experiment import Experiment
from mimtheory.generalisation import Network
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded
from mimtheory.stage_two import Outer

__all__ = ["lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "B.3",
    "Neurons and their parts in the hidden subspace",
    provenance="ours",
    uses=("A.7",),
    cost="run",
    needs=("assumption_activation",),
)


def _weights(outer: Outer) -> Floats:
    """Outer weights 1/m, which no cancellation makes small."""
    m = outer.W.shape[0]
    return np.full(m, 1 / m)


def _projected(outer: Outer) -> Floats:
    """P w_j, (m, d)."""
    W: Floats = outer.law.inside @ outer.U
    return W


def distance(e: Experiment) -> Rounded:
    """(E (f - f_U)^2)^(1/2)."""
    if e.population.p == 0:
        return Rounded(np.empty(0))
    outer = e.outer
    network = outer.network(_weights(outer))
    inside = Network(_projected(outer), network.a, network.b, network.centre, network.activation)
    return generalisation.distance(network, inside)


@lemma.claim(
    "D",
    r"\|f - f_U\|_{L^2} \le \mathrm{Lip}(\sigma) \sum_j |a_j| \|P_\perp w_j\|",
    measured=distance,
)
def projection(e: Experiment) -> Rounded:
    """In expectation over x; infinite where sigma' is unbounded."""
    return _projection(e, 1)


@lemma.control(
    projection,
    why="the Euclidean norm of the terms for their sum",
    link="h2h2",
    loss="huber(1)",
    d=40,
    n=400,
    m=32,
    T1=2,
    trials=3,
)
def projection_of_root(e: Experiment) -> Rounded:
    return _projection(e, 2)


def _projection(e: Experiment, order: int) -> Rounded:
    if e.population.p == 0:
        return Rounded(np.empty(0))
    outer = e.outer
    sizes = _weights(outer) * np.linalg.norm(outer.W - _projected(outer), axis=1)
    return _bound(e, sizes, order, 10 * e.population.d * EPS * float(np.abs(outer.W).sum()))


def distance_on_sample(e: Experiment) -> Rounded:
    """The root of the mean of (f - f_U)^2 over the points of D2."""
    if e.population.p == 0:
        return Rounded(np.empty(0))
    outer, a = e.outer, _weights(e.outer)
    inside = e.setting.activation.sigma(outer.Z @ outer.law.inside.T + outer.b)
    difference = (outer.Phi - inside) @ a
    size = float(np.abs(outer.Phi).mean() + np.abs(inside).mean())
    return Rounded(np.sqrt((difference**2).mean()), 20 * (e.setting.m + 4) * EPS * size)


@lemma.claim(
    "D",
    r"\|f - f_U\|_n \le \mathrm{Lip}(\sigma) \sum_j |a_j| \|P_\perp w_j \cdot x\|_n",
    measured=distance_on_sample,
)
def projection_on_sample(e: Experiment) -> Rounded:
    """With means over the points of D2, whatever their law; infinite where sigma' is unbounded."""
    return _projection_on_sample(e, 1)


@lemma.control(
    projection_on_sample,
    why="the Euclidean norm of the terms for their sum",
    link="h2h2",
    loss="huber(1)",
    d=40,
    n=400,
    m=32,
    T1=2,
    trials=3,
)
def projection_on_sample_of_root(e: Experiment) -> Rounded:
    return _projection_on_sample(e, 2)


def _projection_on_sample(e: Experiment, order: int) -> Rounded:
    if e.population.p == 0:
        return Rounded(np.empty(0))
    outer = e.outer
    across = outer.products - outer.Z @ outer.law.inside.T
    sizes = _weights(outer) * np.sqrt((across**2).mean(axis=0))
    return _bound(e, sizes, order, 20 * e.setting.m * EPS * float(np.abs(outer.products).mean()))


def _bound(e: Experiment, sizes: Floats, order: int, error: float) -> Rounded:
    """Lip(sigma) times the norm of this order of the terms |a_j| |P_perp w_j|, (m,)."""
    if not np.isfinite(e.setting.activation.Lip):
        return Rounded(np.inf)
    return Rounded(e.setting.activation.Lip * np.linalg.norm(sizes, order), error)
