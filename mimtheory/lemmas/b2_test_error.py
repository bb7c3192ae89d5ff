"""Lemma B.2: the test error is a Gaussian expectation over (U x, W x), of r + m dimensions whatever d is.

It needs integrals of one and two dimensions only, which are computed. A mean over N independent points estimates it;
the squares have tails of twice the degree of g, so that a normal interval covers too seldom, while Chebyshev's bound
with E (f - g)^4 <= (|f|_4 + |g|_4)^4 is true at any N. The dimension d enters neither.

Tightness: Chebyshev's bound answers for tails far heavier than these. Bound over measured, at the median cell of the
quick run: `interval` 41.

Proofs: docs/theory/stage_two.md.
"""

import math

import numpy as np

from mimtheory import generalisation
from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.generalisation import sampled_error
from mimtheory.registry import Lemma
from mimtheory.relations import Rounded
from mimtheory.stage_two import Outer

__all__ = ["lemma"]

lemma = Lemma(
    "B.2",
    "Test error in r + m dimensions",
    provenance="ours",
    given=lambda e: e.outer,
    cost="run",
    needs=("assumption_activation",),
)

_POINTS = 4096


def deviation(e: Experiment) -> Rounded:
    """|mean over N points - expectation| of (f - g)^2 for the outer weights 1/m."""
    outer, link = e.outer, e.setting.link
    network = outer.network(np.full(e.setting.m, 1 / e.setting.m))
    exact = generalisation.test_error(network, link, outer.U)
    mean, _ = sampled_error(network, link, outer.law, outer.fresh("B.2"), _POINTS)
    return Rounded(abs(mean - float(exact.value)), exact.error)


@lemma.claim(
    "G",
    r"\Big|\frac1N \sum_i (f - g)^2(x_i) - \mathbb E (f - g)^2\Big| \le"
    r" \frac{(|c| + A\sup|\sigma| + \|g\|_4)^2}{\sqrt{N\delta}},\quad A = \sum_j |a_j|",
    measured=deviation,
)
def interval(given: Outer, delta: float) -> float:
    """Given the network, with A = 1: Chebyshev's inequality; infinite where sigma is unbounded."""
    return _chebyshev(given, delta, 0.5)


@lemma.control(
    interval, why="1/N for 1/sqrt(N)", link="h4+h4", loss="huber(1)", d=5, n=500, m=16, trials=12, delta=0.01
)
def interval_at_rate_n(given: Outer, delta: float) -> float:
    return _chebyshev(given, delta, 1.0)


def _chebyshev(given: Outer, delta: float, power: float) -> float:
    supremum = given.setting.activation.supremum
    fourth = float(given.setting.link.fourth_moment) ** 0.25
    return (abs(given.centre) + supremum + fourth) ** 2 / (
        _POINTS**power * math.sqrt(share("B.2/interval", "mean", delta))
    )
