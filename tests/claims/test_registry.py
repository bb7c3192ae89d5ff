"""Every claim of the registry holds where it should, every control is refuted, by the harness itself."""

import itertools

import numpy as np
import pytest

from mimtheory.experiment import Experiment
from mimtheory.harness import run
from mimtheory.lemmas import REGISTRY, find_claim
from mimtheory.plan import Plan, PlanRow, read_plan
from mimtheory.population import Population
from mimtheory.registry import Claim
from mimtheory.setting import Setting
from mimtheory.store import Store

CLAIMS = [claim for lemma in REGISTRY for claim in lemma.claims.values()]
# where the bounds without a draw speak: c0 = 0, n/d of two thousand, a small start
PRIOR = Setting(link="z1*z2", loss="l1", d=10, n=20000, m=64, T1=4, eps0=1e-4)


@pytest.mark.parametrize("label", [lemma.label for lemma in REGISTRY])
def test_every_control_is_refuted_and_no_claim_is(label: str, tmp_path: object) -> None:
    plan = Plan(
        "test", (PlanRow(label, Setting(link="h4+h4", loss="huber(1)", d=30, n=3000, m=8), 1, 0.01),), examples=20
    )
    report = run(plan, Store(tmp_path), command="test")
    for claim in report.claims:
        assert claim.status != "refuted", claim.label
        assert claim.controls
        for control in claim.controls:
            assert control.refuted, f"{claim.label}: {control.name} {control.failures}/{control.trials}"


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.level == "P"], ids=lambda c: c.label)
def test_bounds_without_a_draw_need_none_and_relax_with_delta(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimtheory.sample.Sample.__init__", lambda *_: pytest.fail("a draw was made"))
    stated = [np.atleast_1d(np.asarray(claim.stated(Population(PRIOR), delta))) for delta in (0.001, 0.01, 0.1)]
    sign = -1 if claim.compare(0.0, 1.0).kind == "at_least" else 1
    assert all((sign * b <= sign * a).all() for a, b in itertools.pairwise(stated))


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.level == "G"], ids=lambda c: c.label)
def test_bounds_of_level_g_see_only_what_is_given(claim: Claim) -> None:
    e = Experiment(PRIOR, 1)
    given = claim.lemma.given(e)
    assert type(given).__name__ in ("Labels", "Sample", "Outer")
    assert not hasattr(given, "start")  # the start is what chance is over
    if type(given).__name__ == "Labels":
        assert not hasattr(given, "X")
    np.asarray(claim.stated(given, 0.01))


def test_the_quick_plan_has_every_claim_speak_somewhere() -> None:
    plan = read_plan("quick")
    for claim in CLAIMS:
        rows = [row for row in plan.rows if row.lemma == claim.lemma.label]
        assert any(row.expect.get(claim.name, "holds") == "holds" for row in rows), claim.label
    links = {
        (r.setting.link.text, r.setting.loss.text, r.setting.activation.text) for r in plan.rows if r.lemma == "A.1"
    }
    assert all(len({key[k] for key in links}) >= 3 for k in range(3))


def test_a_claim_whose_assumption_fails_is_vacuous_without_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimtheory.stage_one.Run.__init__", lambda *_: pytest.fail("a run was made"))
    e = Experiment(Setting(link="h2", loss="huber(1)", d=10, n=50, activation="relu"), 0)
    assert find_claim("A.1/expansion").check(e, 0.01).outcome == "vacuous"


def test_a_centre_fitted_to_the_draw_promises_nothing_before_it() -> None:
    e = Experiment(Setting(link="h2", loss="huber(1)", d=10, n=500, centre="fitted"), 0)
    assert find_claim("A.2/total_prior").check(e, 0.01).outcome == "vacuous"
    assert find_claim("A.2/total").check(e, 0.01).outcome == "holds"
