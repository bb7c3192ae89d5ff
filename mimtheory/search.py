"""Search for a counterexample of a claim of level I or D: Hypothesis draws structure and a seed, never arrays.

Levels G and P are never searched: over seeds, a statement of high probability always has a violation.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from mimtheory.experiment import Experiment
from mimtheory.links import link
from mimtheory.population import Setting
from mimtheory.registry import Claim, Control

__all__ = ["Found", "search", "settings_with_seed"]

# r <= 2: the expectations of a link of three coordinates take seconds, those of these links milliseconds
_LINKS = ("h2", "h4", "z1*z2", "h4+h4", "h2h2", "mixed", "z1 + z1*z2", "He2(z1)/2 + He3(z2)/6", "z1**3")
_LOSSES = ("squared", "l1", "huber(1)", "huber(0.3)", "pseudo_huber(1)", "logcosh", "quantile(0.2)")


@dataclass(frozen=True)
class Found:
    """The outcome of a search: how many examples it tried, the largest ratio seen, a violation if any, and in how many
    examples there was something to compare."""

    claim: str
    examples: int
    ratio_worst: float
    counterexample: dict[str, Any] | None
    compared: int


def settings_with_seed() -> "SearchStrategy[tuple[Setting, int]]":
    """Settings small enough for thousands of draws and runs, from d = r and n = 1 on, each with a seed."""
    settings = st.fixed_dictionaries(
        {
            "link": st.sampled_from(_LINKS),
            "loss": st.sampled_from(_LOSSES),
            "activation": st.sampled_from(("quadratic", "1-cos", "logcosh", "sqrt", "utanh", "asymmetric")),
            "p": st.integers(0, 30),
            # few samples are fastest, but the bounds on angles speak only where there are many
            "n": st.integers(1, 200) | st.sampled_from((1000, 8000)),
            "m": st.sampled_from((2, 4, 8)),
            "T1": st.integers(1, 6),
            "eps0": st.sampled_from((1e-3, 1e-2, 0.1, 1.0)),
            "centre": st.sampled_from((0.0, 0.5, -1.0, "fitted")),
            "eta1": st.sampled_from((1.0, 3.0)),
            "beta1": st.sampled_from((None, 0.0, 0.5)),
            "a_scale": st.sampled_from((1.0, 0.5)),
        }
    ).map(_setting)
    return st.tuples(settings, st.integers(0, 2**31 - 1))


def _setting(drawn: dict[str, Any]) -> Setting:
    g = link(drawn["link"])
    fields = {key: value for key, value in drawn.items() if key not in ("link", "p")}
    return Setting(link=g, d=g.r + drawn["p"], **fields)


def search(claim: Claim, examples: int = 200, control: Control | None = None) -> Found:
    """Try `examples` settings and draws; a violation beyond derived roundoff is shrunk to a simple one.

    Parameters
    ----------
    claim : Claim
        Of level I or D.
    examples : int
    control : Control, optional
        A false variant to be searched in the claim's place.

    Raises
    ------
    ValueError
        For a claim of level G or P.
    """
    if claim.probabilistic:
        raise ValueError(f"claim = {claim.label} has level {claim.level}; allowed: I or D (a seed can always be found)")
    ratios = [0.0]
    profile = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    def violates(case: tuple[Setting, int]) -> bool:
        setting, seed = case
        relation = claim.check(Experiment(setting, seed), 0.5, control)
        if relation.outcome in ("holds", "violated"):
            ratios.append(relation.ratio)
        return relation.outcome in ("violated", "error")

    try:
        setting, seed = find(settings_with_seed(), violates, settings=profile)
    except NoSuchExample:
        return Found(claim.label, examples, max(ratios), None, len(ratios) - 1)
    counterexample = {"setting": setting.to_dict(), "seed": seed}
    return Found(claim.label, len(ratios) - 1, max(ratios), counterexample, len(ratios) - 1)
