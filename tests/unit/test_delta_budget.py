"""The delta budget is complete and spends exactly delta."""

from fractions import Fraction

import pytest

from mimtheory.delta_budget import BUDGET, share
from mimtheory.lemmas import REGISTRY, find_claim


@pytest.mark.parametrize("label", BUDGET)
def test_the_parts_of_a_claim_sum_to_one_exactly(label: str) -> None:
    assert sum(BUDGET[label].values()) == Fraction(1)
    assert all(part > 0 for part in BUDGET[label].values())


def test_exactly_the_probabilistic_claims_have_a_budget() -> None:
    probabilistic = {c.label for lemma in REGISTRY for c in lemma.claims.values() if c.probabilistic}
    # finite readings: their failures are counted, not bounded event by event
    readings = {"Theorem1/learns", "Corollary3.1/complexity"}
    assert probabilistic - readings == set(BUDGET)
    for label in BUDGET:
        assert find_claim(label).label == label


def test_a_share_is_its_part_of_delta() -> None:
    assert share("A.2/perp", "block", 0.02) == 0.01
    assert share("A.2/cross_block", "cross", 0.02) == 0.02


@pytest.mark.parametrize("label", BUDGET)
def test_a_claim_asks_for_every_event_of_its_budget(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mimtheory.experiment import Experiment
    from mimtheory.setting import Setting

    claim = find_claim(label)
    module = __import__(claim.stated.__module__, fromlist=["share"])
    asked: set[str] = set()

    def recording(of: str, event: str, delta: float) -> float:
        if of == label:
            asked.add(event)
        return share(of, event, delta)

    for name in (module.__name__, *(f"mimtheory.lemmas.{n}" for n in ("a2_operator_norm", "a2_prior", "a4_q_norm"))):
        monkeypatch.setattr(f"{name}.share", recording, raising=False)
    e = Experiment(Setting(link="z1*z2", loss="l1", d=10, n=20000, m=64, eps0=1e-4), 0)
    claim.check(e, 0.01)
    assert asked == set(BUDGET[label])
