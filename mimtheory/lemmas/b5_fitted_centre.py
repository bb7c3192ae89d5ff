"""Lemma B.5: what a fitted centring constant changes.

l' is Lipschitz, so T_chat and T_c differ by at most L2 |chat - c| at every label: S_hat moves by at most that times
|X|_op^2/n. And for a loss with continuous derivative the fitted constant makes the mean of the T_i vanish exactly.

Tightness: reached at every label where l is quadratic between the two constants. Bound over measured, at the median
cell of the quick run: `lipschitz` 1.

Proofs: docs/theory/stage_two.md.
"""

import math

import numpy as np

from mimtheory.experiment import Experiment
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded, equals
from mimtheory.sample import fitted_centre

__all__ = ["lemma"]

lemma = Lemma("B.5", "A fitted centring constant", provenance="ours", needs=("assumption_loss_relaxed",))


def _fitted(e: Experiment) -> float | None:
    """The fitted constant; None where no constant minimises the loss."""
    try:
        return fitted_centre(e.setting.loss, e.y)
    except ValueError:
        return None


def largest_change(e: Experiment) -> Rounded:
    """max_i |l'(chat, y_i) - l'(c, y_i)|, c being that of the population; empty where there is no chat."""
    loss, c, fitted = e.setting.loss, e.population.centre, _fitted(e)
    if fitted is None:
        return Rounded(np.empty(0))
    at_fitted, at_c = loss.dl(fitted, e.y), loss.dl(c, e.y)
    size = float(np.maximum(np.abs(at_fitted), np.abs(at_c)).max())
    if np.isfinite(loss.L2):  # else the claim says nothing; the error t - y is rounded before l' sees it
        size += loss.L2 * float(np.maximum(np.abs(fitted - e.y), np.abs(c - e.y)).max())
    return Rounded(np.abs(at_fitted - at_c).max(), 8 * EPS * size)


@lemma.claim("D", r"|T_{\hat c}(y) - T_c(y)| \le L_2 |\hat c - c|", measured=largest_change)
def lipschitz(e: Experiment) -> Rounded:
    """At every label; infinite for a loss whose derivative jumps."""
    return _lipschitz(e, 1.0)


@lemma.control(lipschitz, why="half of L2", link="h2h2", loss="huber(1)", d=5, n=300, centre=0.5, trials=3)
def lipschitz_of_half(e: Experiment) -> Rounded:
    return _lipschitz(e, 0.5)


def _lipschitz(e: Experiment, factor: float) -> Rounded:
    c, fitted = e.population.centre, _fitted(e)
    if fitted is None:
        return Rounded(np.empty(0))
    bound = factor * e.setting.loss.L2 * abs(fitted - c)
    return Rounded(bound, 4 * EPS * bound if np.isfinite(bound) else 0.0)


def pulls_up(e: Experiment) -> Rounded:
    """The mean of max(l'(chat, y_i), 0); empty for a loss whose derivative jumps or that no constant minimises."""
    return _pull(e, _fitted(e), 1)


def _pull(e: Experiment, c: float | None, sign: int) -> Rounded:
    """The error is that of the root, of l' near it and of sums of n terms: docs/theory/stage_two.md, B.5."""
    loss, y = e.setting.loss, e.y
    if c is None or not np.isfinite(loss.L2):
        return Rounded(np.empty(0))
    slopes = loss.dl(c, y)
    # equal labels do not say how far to look for the root
    spread = float(np.ptp(y)) or max(1.0, abs(float(y[0])))
    width = spread + abs(c) + float(np.abs(c - y).max())
    terms = (16 + math.log2(y.size)) * float(np.abs(slopes).mean())
    return Rounded(np.maximum(sign * slopes, 0).mean(), EPS * (16 * loss.L2 * width + terms))


@lemma.claim(
    "I",
    r"\frac1n \sum_i T_i^+ = \frac1n \sum_i T_i^-,\quad T_i = \ell'(\hat c, y_i)",
    measured=pulls_up,
    compare=equals,
)
def centred(e: Experiment) -> Rounded:
    """The fitted constant is the root of the mean derivative: labels above and below pull alike."""
    return _pull(e, _fitted(e), -1)


@lemma.control(
    centred, why="the mean of the labels for the fitted constant", link="h2h2", loss="huber(1)", d=5, n=300, trials=3
)
def centred_at_mean(e: Experiment) -> Rounded:
    return _pull(e, float(e.y.mean()), -1)
