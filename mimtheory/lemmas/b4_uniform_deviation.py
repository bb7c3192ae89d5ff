"""Lemma B.4: how far the mean loss on D2 may lie below its expectation, for all outer weights at once.

For |a| <= A2, |phi(x)| <= B and |l'| <= K the excess loss l(c + f, y) - l(c, y) has its expectation within
K A2 B (2 + sqrt(2 log(1/delta)))/sqrt(n) of its mean, given W and b. Neither d nor the degree of g enters.

Tightness: the bound holds for the worst weights at once and is measured at trained ones, clipped to A2, where even the
rate 1/n would pass; a control looks where the deviation is large. Bound over measured, at the median cell of the quick
run: `uniform` 1400.

Proofs: docs/theory/stage_two.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.kernels import Gaussians, activated
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import Rounded
from mimtheory.stage_two import Outer

__all__ = ["lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "B.4",
    "Uniform deviation of the outer loss",
    provenance="ours",
    cost="run",
    needs=("assumption_activation", "assumption_loss_relaxed"),
)

A2 = 4.0  # fixed before anything is drawn
_BLOCKS, _POINTS = 384, 1 << 11  # fresh points, a block at a time in cache
_AIM, _CLIMB = 8, 6  # further blocks, and steps, for weights where the deviation is large
_DEVIATIONS = 5.0  # of the mean over fresh points: passed with probability 3e-7


def deviation(e: Experiment) -> Rounded:
    """Expectation less mean over D2 of the excess loss at the trained weights, clipped to |a| <= A2.

    The expectation is a mean over fresh points of the projected law; its error is five standard deviations.
    """
    a = e.outer.minimiser
    return _deviation(e, a * min(1.0, A2 / max(float(np.linalg.norm(a)), 1e-300)))


def deviation_where_large(e: Experiment) -> Rounded:
    """The same at weights with |a| <= A2 where it is large; its error is too, so that the claim has the others."""
    return _deviation(e, _climbed(e.outer))


def _climbed(outer: Outer) -> Floats:
    """Weights with |a| <= A2 where the deviation is large.

    From a = 0 towards the end of the ball along the gradient, as far as the deviation grows (Frank-Wolfe). By points
    of its own, so that those which measure the deviation do not know the weights.
    """
    points, s, c = _fresh_points(outer), outer.setting, outer.centre
    placed = [_placed(outer, points.rows(k, k + 1, threads=1)) for k in range(_BLOCKS, _BLOCKS + _AIM)]
    features = np.concatenate([activated(s.activation, products + outer.b) for products, _ in placed])
    labels = np.concatenate([y for _, y in placed])

    def grown(a: Floats) -> float:
        fresh, seen = s.loss.value(c + features @ a, labels), s.loss.value(c + outer.Phi @ a, outer.y)
        return float(fresh.mean() - seen.mean())

    a = np.zeros(s.m)
    for _ in range(_CLIMB):
        there, here = s.loss.dl(c + features @ a, labels) @ features, s.loss.dl(c + outer.Phi @ a, outer.y) @ outer.Phi
        slope = there / labels.size - here / outer.y.size
        end = slope * (A2 / max(float(np.linalg.norm(slope)), 1e-300))
        a = max((a, *(a + share * (end - a) for share in (1.0, 0.5, 0.25, 0.125))), key=grown)
    return a


def deviation_at_any_size(e: Experiment) -> Rounded:
    """The same at weights of norm 10^4 A2 for which f vanishes on D2, as it can where n < m."""
    a = np.linalg.svd(e.outer.Phi)[2][-1]
    return _deviation(e, 1e4 * A2 * a)


def _deviation(e: Experiment, a: Floats) -> Rounded:
    outer, loss = e.outer, e.setting.loss
    points = _fresh_points(outer)
    fresh = np.concatenate([_excess(outer, a, points.rows(k, k + 1, threads=1)) for k in range(_BLOCKS)])
    seen = loss.value(outer.centre + outer.Phi @ a, outer.y) - loss.value(outer.centre, outer.y)
    return Rounded(fresh.mean() - seen.mean(), _DEVIATIONS * float(fresh.std()) / math.sqrt(fresh.size))


def _fresh_points(outer: Outer) -> Gaussians:
    """What the points of block k are made of in row k; long rows are made fastest. The key is drawn by the generator of
    this purpose, so that it is no other draw's and independent of D1, D2, W and b."""
    each = outer.law.coordinates + bool(outer.setting.label_noise)
    return Gaussians(int(outer.fresh("B.4").integers(1 << 64, dtype=np.uint64)), _BLOCKS + _AIM, _POINTS * each)


def _excess(outer: Outer, a: Floats, gaussians: Floats) -> Floats:
    """l(c + f, y) - l(c, y) at the fresh points made of these."""
    (products, labels), loss = _placed(outer, gaussians), outer.setting.loss
    excess: Floats = loss.value(outer.network(a).of_products(products), labels) - loss.value(outer.centre, labels)
    return excess


def _placed(outer: Outer, gaussians: Floats) -> tuple[Floats, Floats]:
    """W x and y of the fresh points made of these, the label noise of a point last."""
    s = outer.setting
    each = gaussians.reshape(_POINTS, -1)
    Z, products = outer.law.place(each[:, : outer.law.coordinates])
    return products, s.link(Z) + s.label_noise * each[:, -1] if s.label_noise else s.link(Z)


@lemma.claim(
    "P",
    r"\sup_{\|a\| \le A_2} (\mathbb E - \mathbb E_n)[\ell(c + f, y) - \ell(c, y)]"
    r" \le \frac{K A_2 B\,(2 + \sqrt{2\log(1/\delta)})}{\sqrt n}",
    measured=deviation,
)
def uniform(population: Population, delta: float) -> float:
    """Over D2, given W and b; infinite where l' or sigma is unbounded."""
    return _uniform(population, delta)


@lemma.control(
    uniform,
    why="weights of any size for |a| <= A2",
    measured=deviation_at_any_size,
    link="h4",
    loss="huber(1)",
    d=10,
    n=16,
    m=32,
    trials=12,
)
def uniform_at_any_size(population: Population, delta: float) -> float:
    return _uniform(population, delta)


@lemma.control(
    uniform,
    why="1/n for 1/sqrt(n)",
    measured=deviation_where_large,
    link="z1*z2",
    loss="l1",
    d=20,
    n=2000,
    m=32,
    trials=24,
)
def uniform_at_rate_n(population: Population, delta: float) -> float:
    return _uniform(population, delta) / math.sqrt(population.n)


def _uniform(population: Population, delta: float) -> float:
    s = population.setting
    B = s.activation.supremum * math.sqrt(s.m)
    tail = math.sqrt(2 * math.log(1 / share("B.4/uniform", "D2", delta)))
    return population.K * A2 * B * (2 + tail) / math.sqrt(population.n)
