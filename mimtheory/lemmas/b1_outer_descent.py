"""Lemma B.1: gradient descent on the outer weights reaches the minimum at a rate that does not know d.

Stage two is convex in a and Ls-smooth with Ls = L2 |Phi|_op^2/n + beta2. From a = 0 with step size 1/Ls the objective
is after T2 steps within |a*|^2/(2 eta2 T2) of its value at any a*; with ridge it also falls by 1 - eta2 beta2 a step.
Neither form names the input dimension: T2 for a given accuracy is a matter of m and the features alone.

Tightness: both forms answer for the worst direction of Phi^T Phi, where real objectives put little weight. Bound over
measured, at the median cell of the quick run: `rate` 9.5, `linear_rate` 1.1.

Proofs: docs/theory/stage_two.md.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mimtheory.experiment import Experiment
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded
from mimtheory.stage_two import Outer, OuterProblem, gradient_descent

__all__ = ["lemma"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "B.1",
    "Gradient descent on the outer weights",
    provenance="ours",
    cost="run",
    needs=("assumption_activation", "assumption_loss_relaxed"),
)

_TIMES = np.array([1, 2, 4, 8, 16, 32, 64])


@lru_cache(maxsize=4)
def _descent(outer: Outer) -> tuple[Floats, float, float, float]:
    """Objective at `_TIMES` and at 0, that of the minimiser, eta2, and the rounding of a value."""
    problem, a = outer.reference, outer.minimiser
    path = gradient_descent(problem, int(_TIMES[-1]))
    return path.values[[0, *_TIMES]], problem.value(a), path.eta2, max(_error(problem, a), _error(problem, path.a))


def _error(problem: OuterProblem, a: Floats) -> float:
    """Rounding of the objective: predictions of m products, and a mean of values of a few roundings each."""
    slopes = np.abs(problem.loss.dl(problem.centre + problem.Phi @ a, problem.y))
    products = float(slopes @ (np.abs(problem.Phi) @ np.abs(a))) / problem.y.size
    return EPS * ((a.size + 2) * products + 60 * problem.value(a))


def _applies(e: Experiment) -> bool:
    """Whether descent has a step size and something to do: l' is Lipschitz, and not all features are 0."""
    return bool(np.isfinite(e.setting.loss.L2)) and e.outer.reference.top > 0


def excess(e: Experiment) -> Rounded:
    """Objective after each number of steps, less that of the minimiser; empty where the claims do not apply."""
    if not _applies(e):
        return Rounded(np.empty(0))
    values, least, _, error = _descent(e.outer)
    return Rounded(values[1:] - least, 2 * error)


@lemma.claim("D", r"L(a_t) - L(a_*) \le \frac{\|a_*\|^2}{2\eta_2 t},\quad \eta_2 = 1/L_s", measured=excess)
def rate(e: Experiment) -> Rounded:
    """Any a may stand for the minimiser: the bound compares with the one that the solver found. Skipped where l' jumps
    or all features are 0 and the objective is constant, as is the next."""
    return _rate(e, 1.0)


@lemma.control(
    rate, why="1/t^2 for 1/t: the rate of the accelerated method", link="h4+h4", loss="huber(1)", d=5, n=2000, trials=3
)
def rate_of_acceleration(e: Experiment) -> Rounded:
    return _rate(e, 2.0)


def _rate(e: Experiment, power: float) -> Rounded:
    if not _applies(e):
        return Rounded(np.empty(0))
    _, _, eta2, _ = _descent(e.outer)
    a = e.outer.minimiser
    return Rounded(float(a @ a) / (2 * eta2 * _TIMES**power))


@lemma.claim(
    "D",
    r"L(a_t) - L(a_*) \le (1 - \eta_2\beta_2)^t \Big[L(0) - L(a_*) + \frac{\|\nabla L(a_*)\|^2}{2\beta_2}\Big]",
    measured=excess,
)
def linear_rate(e: Experiment) -> Rounded:
    """With ridge the objective is beta2-strongly convex; the last term is what the solver left over."""
    return _linear(e, 1.0)


@lemma.control(
    linear_rate,
    why="the root of eta2 beta2: the rate of the accelerated method",
    link="h4+h4",
    loss="huber(1)",
    d=5,
    n=2000,
    trials=3,
)
def linear_rate_of_acceleration(e: Experiment) -> Rounded:
    return _linear(e, 0.5)


def _linear(e: Experiment, power: float) -> Rounded:
    if not _applies(e):
        return Rounded(np.empty(0))
    values, least, eta2, error = _descent(e.outer)
    problem = e.outer.reference
    left = float(np.square(problem.gradient(e.outer.minimiser)).sum()) / (2 * problem.beta2)
    factor = (1 - (eta2 * problem.beta2) ** power) ** _TIMES
    return Rounded(factor * (values[0] - least + left), 2 * error)
