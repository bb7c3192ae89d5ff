"""Answers without a draw: does the theory apply, what do its bounds say at this d and n, which T1, how large an n.

Everything here is a claim of level P evaluated, or a finding; nothing is simulated. `exploration` shows all together.
"""

import dataclasses
import inspect
import math
from dataclasses import dataclass

import numpy as np

from mimtheory.arguments import check_delta
from mimtheory.assumptions import ASSUMPTIONS, Finding, check, fails
from mimtheory.lemmas import REGISTRY, find_claim
from mimtheory.lemmas.a5_compounding import largest_eps0
from mimtheory.population import Population
from mimtheory.registry import Claim
from mimtheory.rounding import EPS
from mimtheory.setting import Setting

__all__ = [
    "EPSILON0",
    "Bound",
    "Window",
    "bounds",
    "findings",
    "required_n",
    "summary_of_assumption",
    "window",
]

EPSILON0 = "ass:epsilon0"
_LARGEST_N = 10**9


@dataclass(frozen=True)
class Bound:
    """What a claim of level P states for a Setting: infinite where it says nothing.

    `unmet` names the assumptions that the claim needs and that fail: it says nothing then at any n.
    """

    claim: Claim
    values: tuple[float, ...]
    unmet: tuple[str, ...] = ()

    @property
    def speaks(self) -> bool:
        """Whether it says anything."""
        return any(math.isfinite(value) for value in self.values)


@dataclass(frozen=True)
class Window:
    """Steps T at which alignment has come and coverage has not gone, by the expected rates alone.

    Attributes
    ----------
    T_min : int or None
        First T at which (rho_b/rho_r)^T sqrt((d-r)/r) <= 1: the median neuron points more to the signal than away
        from it. None where rho_r <= rho_b.
    T_max : int or None
        Last T at which (rho_1/rho_r)^T <= 10: ten times the condition number of the start. None where both are equal
        as far as C is known: no limit.
    rho_1, rho_r, rho_b : float
        Largest and smallest |eigenvalue| of E H on the signal, and that of the bulk, widened to the edge of its spread
        2 sqrt(E T^2 d/n) around c0.
    """

    T_min: int | None
    T_max: int | None
    rho_1: float
    rho_r: float
    rho_b: float

    @property
    def empty(self) -> bool:
        """Whether no number of steps serves."""
        return self.T_min is None or (self.T_max is not None and self.T_max < self.T_min)


def findings(setting: Setting, delta: float = 0.01) -> tuple[Finding, ...]:
    """Every assumption for one problem, with numbers and advice.

    Parameters
    ----------
    setting : Setting
    delta : float
        Failure probability within the condition on eps0, which is A.5's: explicit and sufficient, not sharp.

    Raises
    ------
    ValueError
        For a delta out of range.
    """
    check_delta(delta)
    population = Population(setting)
    return (*(check(label, population) for label in ASSUMPTIONS), _epsilon0(population, delta))


def _epsilon0(population: Population, delta: float) -> Finding:
    """eps0 is small enough for A.5: explicit and sufficient, not sharp."""
    label, eps0 = EPSILON0, population.setting.eps0
    if fails("assumption_activation", population):
        return Finding(label, "undecided", "A.5 needs the activation within its assumption.", {"eps0": eps0})
    largest = largest_eps0(population, delta)
    if largest == 0:
        reason = "A.5 without a draw allows no eps0 here: it needs a bounded l', and where l' jumps that f stays 0."
        return Finding(label, "undecided", reason, {"eps0": eps0})
    numbers = {"eps0": eps0, "largest": largest}
    if eps0 <= largest:
        return Finding(label, "holds", f"A.5 allows eps0 up to {largest:.3g} here.", numbers)
    reason = f"A.5 asks for eps0 <= {largest:.3g}; it is sufficient, not sharp: larger starts work in practice."
    return Finding(label, "fails", reason, numbers)


def bounds(setting: Setting, delta: float = 0.01) -> tuple[Bound, ...]:
    """Every claim of level P at this Setting, without a draw."""
    population = Population(setting)
    claims = [claim for lemma in REGISTRY for claim in lemma.claims.values() if claim.level == "P"]
    return tuple(
        Bound(claim, _stated(claim, population, delta), tuple(x for x in claim.needs if fails(x, population)))
        for claim in claims
    )


def summary_of_assumption(label: str) -> str:
    """What an assumption asks for, in one sentence.

    Raises
    ------
    ValueError
        If no assumption has this label.
    """
    asks = _epsilon0 if label == EPSILON0 else ASSUMPTIONS.get(label)
    if asks is None:
        raise ValueError(f"assumption = {label!r} is unknown; allowed: {', '.join([*ASSUMPTIONS, EPSILON0])}")
    return inspect.cleandoc(asks.__doc__ or "")


def _stated(claim: Claim, population: Population, delta: float) -> tuple[float, ...]:
    if population.setting.centre == "fitted" or any(fails(label, population) for label in claim.needs):
        return (math.inf,)
    stated = np.atleast_1d(np.asarray(claim.stated(population, delta), dtype=np.float64))
    return tuple(float(value) for value in stated)


def required_n(label: str, setting: Setting, delta: float = 0.01) -> int | None:
    """The smallest n at which a claim of level P says something; None if none up to 10^9 does.

    A window of n that ends before sqrt(2) times where it begins may be missed; no claim here speaks of one so short.

    Parameters
    ----------
    label : str
        Such as "A.7/prior".
    setting : Setting
        Its own n does not matter.
    delta : float
        Failure probability.

    Raises
    ------
    ValueError
        For a claim of another level, which needs a draw, an unknown one, what is no Setting, or a delta out of range.

    Source: A.2/total_prior; A.7/prior.
    """
    check_delta(delta)
    Population(setting)  # which refuses what is no Setting
    claim = find_claim(label)
    if claim.level != "P":
        raise ValueError(f"label = {label!r} has level {claim.level}; allowed: claims of level P, which need no draw")

    def speaks(n: int) -> bool:
        population = Population(dataclasses.replace(setting, n=n))
        return any(math.isfinite(value) for value in _stated(claim, population, delta))

    low, high = 0, 1
    while not speaks(high):
        if high >= _LARGEST_N:
            return None
        # a claim may fall silent at twice the n from which it speaks: no step is as long as that
        low, high = high, min(max(high + 1, math.isqrt(2 * high * high)), _LARGEST_N)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if speaks(middle) else (middle, high)
    return high


def window(setting: Setting, sign: int = 1) -> Window:
    """The window [T_min, T_max] of stage one from the expected Hessian, with the spread of the bulk at this n/d.

    Parameters
    ----------
    setting : Setting
    sign : {1, -1}
        Of a_j. It matters only where gamma = 1 - eta1 beta1 is not 0: a_j > 0 then amplifies the lower end of the
        spectrum of S, a_j < 0 the upper one (for gamma >= eta1 |a_j| |lmax + lmin|/2).
    """
    population = Population(setting)
    step, gamma = sign * population.eta1 * setting.a_scale, population.gamma1
    values = np.linalg.eigvalsh(population.C) + population.c0
    signal = np.abs(gamma - step * values)
    # of each rate: C is known up to its radius, and eigenvalues up to some roundings of the largest
    error = abs(step) * (population.r + 1) * population.radius
    error += 4 * population.r * EPS * (abs(gamma) + abs(step) * float(np.abs(values).max()))
    edge = 2 * math.sqrt(max(population.moments.mean_T2, 0.0) * population.d / population.n)
    bulk = max(abs(gamma - step * (population.c0 + end)) for end in (edge, -edge)) if population.p else 0.0
    rho_1, rho_r = float(signal.max()), float(signal.min())
    return Window(_first(population, bulk, rho_r), _last(rho_1, rho_r, error), rho_1, rho_r, bulk)


def _first(population: Population, bulk: float, rho_r: float) -> int | None:
    if population.p == 0 or bulk == 0:
        return 1
    if rho_r <= bulk:
        return None
    return max(1, math.ceil(math.log(math.sqrt(population.p / population.r)) / math.log(rho_r / bulk)))


def _last(rho_1: float, rho_r: float, error: float) -> int | None:
    if rho_r == 0:
        return 0
    return None if rho_1 - rho_r <= 2 * error else math.floor(math.log(10) / math.log(rho_1 / rho_r))
