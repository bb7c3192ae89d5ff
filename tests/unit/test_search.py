"""The search finds a counterexample of what is false, none of what is true, and never searches over probabilities."""

import pytest

from mimtheory.experiment import Experiment
from mimtheory.lemmas import REGISTRY, find_claim
from mimtheory.population import Setting
from mimtheory.registry import Claim
from mimtheory.search import search

SEARCHED = [c for lemma in REGISTRY for c in lemma.claims.values() if not c.probabilistic]


@pytest.mark.parametrize("claim", SEARCHED, ids=lambda c: c.label)
def test_no_violation_is_found_of_a_claim(claim: Claim) -> None:
    found = search(claim, 200)
    assert found.counterexample is None, found.counterexample
    assert found.examples == 200
    assert found.compared >= 10  # the rarest: A.8 from below, for unequal eigenvalues and a well-conditioned start


@pytest.mark.long
@pytest.mark.parametrize("claim", SEARCHED, ids=lambda c: c.label)
def test_no_violation_is_found_in_two_thousand_examples(claim: Claim) -> None:
    assert search(claim, 2000).counterexample is None


@pytest.mark.parametrize(
    "label",
    ["A.1/expansion", "A.1/sum_of_norms", "A.2/eigenvalue_form", "A.3/weyl", "A.6/mean_square", "A.6/two_sided"],
)
def test_a_false_variant_is_found_and_its_example_is_a_violation(label: str) -> None:
    claim = find_claim(label)
    control = claim.controls[0]
    found = search(claim, 300, control)
    assert found.counterexample is not None
    setting = Setting.from_dict(found.counterexample["setting"])
    relation = claim.check(Experiment(setting, found.counterexample["seed"]), 0.5, control)
    assert relation.outcome in ("violated", "error")
    assert claim.check(Experiment(setting, found.counterexample["seed"]), 0.5).outcome != "violated"


def test_claims_of_high_probability_are_never_searched() -> None:
    with pytest.raises(ValueError, match="allowed: I or D"):
        search(find_claim("A.2/total"), 5)
