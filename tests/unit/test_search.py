"""The search finds a counterexample of what is false, none of what is true, and never searches over probabilities."""

from dataclasses import replace
from typing import Any

import pytest

from mimtheory.experiment import Experiment
from mimtheory.lemmas import REGISTRY, find_claim
from mimtheory.population import Setting
from mimtheory.registry import Claim
from mimtheory.relations import Rounded
from mimtheory.search import search

SEARCHED = [c for lemma in REGISTRY for c in lemma.claims.values() if not c.probabilistic]


def draw(case: dict[str, Any]) -> Experiment:
    return Experiment(Setting.from_dict(case["setting"]), case["seed"])


@pytest.mark.parametrize("claim", SEARCHED, ids=lambda c: c.label)
def test_no_violation_is_found_of_a_claim_and_the_tightest_case_is_named(claim: Claim) -> None:
    found = search(claim, 200)
    assert found.counterexample is None, found.counterexample
    assert found.examples == 200
    assert found.compared >= 10  # the rarest: A.8 from below, for unequal eigenvalues and a well-conditioned start
    assert found.tightest is not None
    relation = claim.check(draw(found.tightest), 0.5)
    assert (relation.outcome, relation.ratio) == ("holds", found.ratio_worst)


@pytest.mark.long
@pytest.mark.parametrize("claim", SEARCHED, ids=lambda c: c.label)
def test_no_violation_is_found_in_five_thousand_examples(claim: Claim) -> None:
    assert search(claim, 5000).counterexample is None


@pytest.mark.parametrize(
    "label",
    ["A.1/expansion", "A.1/sum_of_norms", "A.2/eigenvalue_form", "A.3/weyl", "A.6/mean_square", "A.6/two_sided"],
)
def test_a_false_variant_is_found_and_its_example_is_a_violation(label: str) -> None:
    claim = find_claim(label)
    control = claim.controls[0]
    found = search(claim, 300, control)
    assert found.counterexample is not None
    relation = claim.check(draw(found.counterexample), 0.5, control)
    assert relation.outcome in ("violated", "error")
    assert claim.check(draw(found.counterexample), 0.5).outcome != "violated"


def scaled(claim: Claim, factor: float) -> Claim:
    """The claim with its stated side multiplied."""

    def stated(e: Experiment) -> Rounded:
        side = claim.stated(e)
        side = side if isinstance(side, Rounded) else Rounded(side)
        return Rounded(factor * side.value, factor * side.errors)

    return replace(claim, stated=stated)


@pytest.mark.parametrize("label", ["A.1/sum_of_products", "A.2/block_norms", "A.3/weyl", "A.7/upper"])
def test_a_bound_one_percent_too_small_is_found(label: str) -> None:
    claim = find_claim(label)
    found = search(scaled(claim, 0.99), 600)
    assert found.counterexample is not None
    assert 1 < found.ratio_worst
    assert claim.check(draw(found.counterexample), 0.5).outcome == "holds"


def test_the_search_climbs(monkeypatch: pytest.MonkeyPatch) -> None:
    # largest at one d and n of thousands: a climb comes closer than blind draws
    def near(e: Experiment) -> float:
        return 1 / (1 + abs(e.population.p - 17) + abs(e.setting.n - 123))

    claim = replace(find_claim("A.3/weyl"), measured=near, stated=lambda e: 2.0)
    climbed = search(claim, 400).ratio_worst
    monkeypatch.setattr("mimtheory.search.target", lambda value: None)
    assert climbed > search(claim, 400).ratio_worst


def test_claims_of_high_probability_are_never_searched() -> None:
    with pytest.raises(ValueError, match="allowed: I or D"):
        search(find_claim("A.2/total"), 5)
