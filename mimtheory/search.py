"""Search for a counterexample of a claim of level I or D: Hypothesis draws structure and a seed, never arrays.

It climbs towards larger measured/stated, so that it also finds out how tight a claim is. Levels G and P are never
searched: over seeds, a statement of high probability always has a violation.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from hypothesis import HealthCheck, find, settings, target
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from scipy.sparse.linalg import ArpackError

from mimtheory import strategies
from mimtheory.arguments import check_integer
from mimtheory.experiment import Experiment
from mimtheory.registry import Claim, Control
from mimtheory.setting import Setting

__all__ = ["FAULTS", "Found", "search"]

Case = tuple[Setting, int]
FAULTS = (ArithmeticError, np.linalg.LinAlgError, ArpackError)  # what a solver that finds no number raises


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes
    ----------
    claim : str
    examples : int
        How many were tried, those of shrinking a counterexample among them.
    ratio_worst : float
        The largest measured/bound.
    tightest, counterexample : dict or None
        Setting and seed of the draw with that ratio, and of a violation.
    compared : int
        In how many examples there was something to compare.
    faulty : dict or None
        Setting and seed of the first draw of which a claim made something that is no number.
    """

    claim: str
    examples: int
    ratio_worst: float
    tightest: dict[str, Any] | None
    counterexample: dict[str, Any] | None
    compared: int
    faulty: dict[str, Any] | None = None


def search(claim: Claim, examples: int = 200, control: Control | None = None, rng: int = 0) -> Found:
    """Try `examples` settings and draws; a violation beyond derived roundoff is shrunk to a simple one.

    Parameters
    ----------
    claim : Claim
        Of level I or D.
    examples : int
    control : Control, optional
        A false variant to be searched in the claim's place.
    rng : int
        Seed of the path that the search takes; 0 is the seed that Hypothesis makes of the search itself.

    Raises
    ------
    ValueError
        For a claim of level G or P, for examples below 1, or for a seed below 0.
    """
    if claim.probabilistic:
        raise ValueError(f"claim = {claim.label} has level {claim.level}; allowed: I or D (a seed can always be found)")
    check_integer("examples", examples, 1, "an integer from 1")
    check_integer("rng", rng, 0, "an integer from 0", math.inf)
    profile = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    ratios: list[float] = []
    tried = 0
    tightest: Case | None = None
    faulty: Case | None = None

    def violates(case: Case) -> bool:
        nonlocal tried, tightest, faulty
        tried += 1
        try:
            relation = claim.check(Experiment(*case), 0.5, control)
        except FloatingPointError:
            return False  # a run that diverges leaves nothing to compare
        except FAULTS:
            faulty = faulty or case
            return False
        if relation.outcome in ("holds", "violated"):
            if relation.ratio > max(ratios, default=0.0):
                tightest = case
            ratios.append(relation.ratio)
            if 0 < relation.ratio < math.inf:
                target(math.log(relation.ratio))
        if relation.outcome == "error":
            faulty = faulty or case
        return relation.outcome == "violated"

    counterexample = None
    with suppress(NoSuchExample):
        cases = st.tuples(strategies.settings(), strategies.seeds())
        counterexample = find(cases, violates, settings=profile, random=Random(rng) if rng else None)
    named = _named(tightest), _named(counterexample)
    return Found(claim.label, tried, max(ratios, default=0.0), *named, len(ratios), _named(faulty))


def _named(case: Case | None) -> dict[str, Any] | None:
    return None if case is None else {"setting": case[0].to_dict(), "seed": case[1]}
