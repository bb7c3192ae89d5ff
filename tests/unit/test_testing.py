"""The kit for test suites: claims as parameters, one assertion for draws and controls, and the pytest plugin."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mimtheory import Lemma, Setting, at_least, testing
from mimtheory.lemmas import every_lemma, find_claim, find_lemma
from mimtheory.registry import Claim
from mimtheory.testing import assert_holds, parametrize_claims

SMALL = Setting(link="h2", loss="huber(1)", d=12, n=300)

SUITE = """
from mimtheory import Setting
from mimtheory.testing import assert_holds, parametrize_claims

@parametrize_claims("A.2", level="G")
def test_claim(claim):
    assert_holds(claim, Setting(link="h2", loss="huber(1)", d=12, n=300), controls=False)

def test_one_process_writes_the_report(request):
    worker = hasattr(request.config, "workerinput")
    asked = request.config.getoption("mim_report") is not None
    assert request.config.pluginmanager.hasplugin("mimtheory-report") == (asked and not worker)
"""


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_claims_become_parameters_with_their_label_and_level() -> None:
    mark = parametrize_claims("A.2", level="G").mark
    names, claims = mark.args
    assert names == "claim"
    assert {claim.level for claim in claims} == {"G"}
    assert "A.2/perp_block[G]" in mark.kwargs["ids"]
    both = parametrize_claims("A.3/weyl", find_lemma("A.4")).mark.args[1]
    assert both == [find_claim("A.3/weyl"), *find_lemma("A.4").claims.values()]
    every = parametrize_claims().mark.args[1]
    assert every == [claim for lemma in every_lemma() for claim in lemma.claims.values()]
    with pytest.raises(ValueError, match="level = 'P' leaves no claim"):
        parametrize_claims("A.3/weyl", level="P")
    with pytest.raises(ValueError, match=r"lemma = 'A\.9' is unknown"):
        parametrize_claims("A.9")


@parametrize_claims("A.3/weyl", "A.2/cross_block", "A.2/eigenvalue_form")
def test_claims_hold_and_say_how_tight_they_are(claim: Claim) -> None:
    observed = assert_holds(claim, SMALL, trials=20)
    assert (observed.claim, observed.status, observed.trials, observed.failures) == (claim.label, "holds", 20, 0)
    assert 0 < observed.ratio_median <= observed.ratio_worst <= 1
    assert observed.worst is not None


def test_the_same_seed_gives_the_same_result_and_another_seed_another() -> None:
    first, again, other = (assert_holds("A.3/weyl", SMALL, trials=2, rng=rng, controls=False) for rng in (0, 0, 1))
    assert first == again
    assert first.ratio_worst != other.ratio_worst


def test_a_false_claim_fails_with_the_draw_to_look_at() -> None:
    claim = find_claim("A.2/cross_block")
    false = replace(claim, stated=claim.controls[0].stated)
    with pytest.raises(AssertionError, match=r"A\.2/cross_block\[G\] is refuted") as caught:
        assert_holds(false, Setting(link="h2", loss="huber(1)", d=100, n=1000), controls=False)
    assert "mimtheory.tasks.seed_of(s, 0, " in str(caught.value)


def test_few_failures_at_level_g_do_not_refute() -> None:
    claim = find_claim("A.2/cross_block")
    # two thirds of the draws fail, P(z^2 < 1), and so they may with delta = 0.75
    often = replace(claim, stated=lambda given, delta: 0.5, measured=lambda e: float(e.T[0] > 0))
    assert assert_holds(often, SMALL, trials=60, delta=0.75, controls=False).failures > 10
    with pytest.raises(AssertionError, match="refuted"):
        assert_holds(often, SMALL, trials=60, delta=0.01, controls=False)


def test_a_surviving_control_leaves_the_claim_undecided() -> None:
    claim = find_claim("A.3/weyl")
    harmless = replace(claim.controls[0], name="harmless", stated=claim.stated)
    weak = replace(claim, controls=[*claim.controls, harmless])
    with pytest.raises(AssertionError, match=r"(?s)is undecided.*control harmless survived"):
        assert_holds(weak, SMALL, trials=2)
    assert assert_holds(weak, SMALL, trials=2, controls=False).status == "holds"
    bare = replace(claim, controls=[])
    with pytest.raises(
        AssertionError, match=r"is undecided: .*\n.*\nThe claim has no control|The claim has no control"
    ):
        assert_holds(bare, SMALL, trials=2)
    assert assert_holds(bare, SMALL, trials=2, controls=False).status == "holds"


def test_settings_that_are_none_are_refused() -> None:
    text: Any = "h2"  # what a user may pass
    with pytest.raises(ValueError, match="settings = 'h2'; allowed: a Setting or several"):
        assert_holds("A.3/weyl", text)


def test_trials_and_delta_out_of_range_are_refused() -> None:
    for numbers, named in (({"trials": 0}, "trials = 0"), ({"delta": 1.0}, r"delta = 1\.0")):
        with pytest.raises(ValueError, match=named):
            assert_holds("A.3/weyl", SMALL, **numbers)


def test_a_bound_that_says_nothing_does_not_hold() -> None:
    with pytest.raises(AssertionError, match="is vacuous"):
        assert_holds("A.2/total_prior", Setting(link="h2", loss="squared", d=12, n=300), trials=2, controls=False)


def test_a_setting_that_is_given_twice_counts_once() -> None:
    # two failures of two have probability 1e-4, which does not refute at 1e-6; four of four have 1e-8
    with pytest.raises(AssertionError, match=r"is undecided.*\n0 of 2 draws"):
        assert_holds("A.2/perp_block", [SMALL, replace(SMALL)], trials=2, controls=False)


def test_designs_with_equal_settings_or_other_deltas_count_each_draw_once() -> None:
    lemma = Lemma("T.6", "Squares")

    @lemma.claim("P", "T^2 \\ge 0", measured=lambda e: e.T**2, compare=at_least)
    def square(p: object, delta: float) -> float:
        """Squares are not negative."""
        return 0.0

    @lemma.control(square, why="a square above 10", link=["h2", "h2(z1)"], loss="huber(1)", d=3, n=20, trials=2)
    def square_above_ten(p: object, delta: float) -> float:
        return 10.0

    lemma.design(link=["h2", "h2(z1)"], loss="huber(1)", d=3, n=20, trials=6)
    lemma.design(link="h2", loss="huber(1)", d=3, n=20, trials=4, delta=0.02)
    assert assert_holds(square, controls=False).trials == 6
    # two draws whose violations have p-value 1e-4 are no four draws, whose violations have 1e-8
    with pytest.raises(AssertionError, match="square_above_ten survived"):
        assert_holds(square)


def test_a_lemma_that_is_not_registered_is_checked_on_its_designs() -> None:
    lemma = Lemma("T.5", "Squares")

    @lemma.claim("D", "T^2 \\ge 0", measured=lambda e: e.T**2, compare=at_least)
    def square(e: object) -> float:
        """Squares are not negative."""
        return 0.0

    lemma.design(link="h2", loss=["l1", "squared"], d=3, n=20, trials=2)
    assert assert_holds(square, controls=False).trials == 4
    (claim,) = parametrize_claims(lemma).mark.args[1]
    assert claim is square


def test_search_is_that_of_the_package() -> None:
    found = testing.search(find_claim("A.3/weyl"), 20)
    assert found.tightest is not None
    assert 0 < found.ratio_worst <= 1 + 1e-9


def test_the_plugin_sets_trials_and_writes_a_report(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, "--mim-trials", "7", "--mim-report", "claims.json", "-v")
    assert run.returncode == 0, run.stdout
    assert "mimtheory 0.1.0: numpy" in run.stdout
    assert "processors, BLAS openblas" in run.stdout
    assert "test_suite.py::test_claim[A.2/perp_block[G]] PASSED" in run.stdout
    page = json.loads((tmp_path / "claims.json").read_text())
    assert (page["schema"], page["version"]) == (1, "0.1.0")
    rows = {row["claim"]: row for row in page["claims"]}
    assert len(rows) == len(page["claims"]) == sum(c.level == "G" for c in find_lemma("A.2").claims.values())
    assert {(row["trials"], row["status"]) for row in rows.values()} == {(7, "holds")}
    assert rows["A.2/perp_block"]["test"] == "test_suite.py::test_claim[A.2/perp_block[G]]"


def test_the_report_is_the_same_from_several_processes(tmp_path: Path) -> None:
    pages = []
    for words in ((), ("-n", "2")):
        assert run_pytest(tmp_path, "--mim-trials", "7", "--mim-report", "claims.json", *words).returncode == 0
        page = json.loads((tmp_path / "claims.json").read_text())
        pages.append(sorted(page["claims"], key=lambda row: row["test"]))
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--mim-trials", "0"), "--mim-trials = '0'; allowed: an integer from 1"),
        (("--mim-trials", "many"), "--mim-trials = 'many'"),
        (("--mim-report", "nowhere/claims.json"), "allowed: a file in a folder that exists"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    run = run_pytest(tmp_path, *words)
    assert run.returncode == 4
    assert named in run.stderr


def test_loading_the_plugin_pulls_in_nothing_heavy() -> None:
    code = "import sys, mimtheory.pytest_plugin; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "sympy", "numba", "hypothesis"} & set(run.stdout.split())
