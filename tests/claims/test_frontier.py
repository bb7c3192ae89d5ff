"""The code of today against the stored frontier: no bound is refuted where it is tightest, and none became looser."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimtheory import frontier
from mimtheory.experiment import Experiment
from mimtheory.frontier import SLACK, Tightest, bounds, known, measured_again, write
from mimtheory.lemmas import find_claim
from mimtheory.plan import read_rows
from mimtheory.registry import Claim
from mimtheory.relations import Rounded
from mimtheory.search import search
from mimtheory.setting import Setting
from mimtheory.store import fingerprint
from mimtheory.tasks import seed_of

ENTRIES = tuple(known().values())
# the draws of these levels are many; the others are seen by make test-long
QUICK = tuple(e for e in ENTRIES if e.level == "D" or e.claim in ("A.2/perp_block", "A.2/cross_block", "B.5/centred"))


def hold_against(entry: Tightest) -> None:
    again = measured_again(entry)
    assert not again.refuted, again
    made = entry.code or "code of before"
    assert again.ratio > entry.ratio / SLACK, (
        f"{entry.claim}: {entry.ratio:.3g} before, with {made}, {again.ratio:.3g} now"
    )


def test_every_bound_that_speaks_has_an_entry_and_no_other() -> None:
    assert [entry.claim for entry in ENTRIES] == [claim.label for claim in bounds()]
    assert not {entry.claim for entry in ENTRIES if find_claim(entry.claim).kind == "equals"}
    structures = {(row.lemma, row.setting) for row in read_rows("frontier")}
    for entry in ENTRIES:
        assert entry.level == find_claim(entry.claim).level
        assert 0 < entry.ratio < np.inf
        if entry.level != "D":
            assert (entry.claim.partition("/")[0], Setting.from_dict(entry.setting)) in structures


def test_no_ratio_of_level_d_is_above_one() -> None:
    # up to rounding: an equality may be off by its allowance, which is at most a thousandth of a side that is compared
    assert max(entry.ratio for entry in ENTRIES if entry.level == "D") <= 1 + 1e-3
    assert not any(entry.refuted for entry in ENTRIES)


@pytest.mark.parametrize("entry", QUICK, ids=lambda entry: entry.claim)
def test_no_bound_is_looser_than_it_was(entry: Tightest) -> None:
    hold_against(entry)


@pytest.mark.long
@pytest.mark.parametrize("entry", [e for e in ENTRIES if e not in QUICK], ids=lambda entry: entry.claim)
def test_no_bound_of_high_probability_is_looser_than_it_was(entry: Tightest) -> None:
    hold_against(entry)


def times(claim: Claim, factor: float) -> Claim:
    def stated(*given: Any) -> Rounded:
        side = claim.stated(*given)
        side = side if isinstance(side, Rounded) else Rounded(side)
        return Rounded(factor * side.value, factor * side.errors)

    return replace(claim, stated=stated)


@pytest.mark.parametrize("label", ["A.3/weyl", "A.2/cross_block"])
def test_a_bound_made_looser_by_a_quarter_is_noticed_and_by_a_tenth_is_not(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, entry = find_claim(label), known()[label]
    monkeypatch.setattr(frontier, "find_claim", lambda label: times(claim, 1.1))
    hold_against(entry)
    monkeypatch.setattr(frontier, "find_claim", lambda label: times(claim, 1.25))
    with pytest.raises(AssertionError, match=r"before, .* now"):
        hold_against(entry)


def test_a_false_bound_is_refuted_where_it_was_tightest(monkeypatch: pytest.MonkeyPatch) -> None:
    for label, factor in (("A.3/weyl", 0.99), ("A.2/cross_block", 0.5)):
        false = times(find_claim(label), factor)
        monkeypatch.setattr(frontier, "find_claim", lambda label, claim=false: claim)
        assert measured_again(known()[label]).refuted


def test_some_failures_at_level_g_do_not_refute() -> None:
    entry = replace(known()["A.2/cross_block"], ratio=1.1, failures=6)
    assert not entry.refuted
    assert replace(entry, failures=40).refuted
    assert replace(known()["A.3/weyl"], failures=1).refuted


def test_a_bound_that_falls_silent_is_an_error() -> None:
    entry = known()["A.2/cross_block"]
    silent = replace(entry, claim="A.2/total_prior", setting=entry.setting | {"loss": "squared"}, trials=2)
    with pytest.raises(ValueError, match="says nothing where its frontier was"):
        measured_again(silent)


def test_the_quantile_is_that_of_the_ratios_of_the_draws() -> None:
    entry = replace(known()["A.2/cross_block"], trials=7, delta=0.3)
    setting, claim = Setting.from_dict(entry.setting), find_claim(entry.claim)
    ratios = [claim.check(Experiment(setting, seed_of(setting, 0, i)), 0.3).ratio for i in range(7)]
    assert measured_again(entry).ratio == sorted(ratios)[4]  # five of seven, the smallest share from 0.7 on


def test_a_frontier_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write([ENTRIES[-1], ENTRIES[1]], tmp_path / "frontier.json")
    write([ENTRIES[0], replace(ENTRIES[1], ratio=0.5)], tmp_path / "frontier.json")
    (tmp_path / "plans").mkdir()
    (tmp_path / "frontier.json").rename(tmp_path / "plans" / "frontier.json")
    monkeypatch.setattr(frontier, "files", lambda package: tmp_path)
    assert list(known.__wrapped__().values()) == [ENTRIES[0], replace(ENTRIES[1], ratio=0.5), ENTRIES[-1]]


def test_what_is_stored_stays_where_it_is_still_true_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    label = "A.3/half_angle"
    claim, entry = find_claim(label), known()[label]
    monkeypatch.setattr(frontier, "_EXAMPLES", 5)
    monkeypatch.setattr(frontier, "bounds", lambda labels: [claim])
    monkeypatch.setattr(frontier, "known", lambda: {label: replace(entry, ratio=2.0)})
    (found,) = frontier.measure()
    assert found.ratio == measured_again(entry).ratio > search(claim, 5).ratio_worst
    assert found.setting == entry.setting
    monkeypatch.setattr(frontier, "known", dict)
    (alone,) = frontier.measure()
    assert alone.ratio == search(claim, 5).ratio_worst


def test_measuring_a_small_part_gives_its_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "_EXAMPLES", 20)
    seen: list[str] = []
    entries = frontier.measure(["B.3"], seen.append)
    assert [entry.claim for entry in entries] == ["B.3/projection", "B.3/projection_on_sample"]
    assert {"B.3/projection", "B.3/projection_on_sample"} <= set(seen)
    assert all(0 < entry.ratio <= 1 for entry in entries)
    assert {entry.code for entry in entries} == {fingerprint()}
