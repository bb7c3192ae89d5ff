"""The harness: rows are determined by their content, an interrupted run resumes, statuses reach the exit code."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mimtheory.harness import run
from mimtheory.lemmas import find_lemma
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.plan import Plan, PlanRow, control_design, read_plan
from mimtheory.setting import Setting
from mimtheory.store import Store, rows
from mimtheory.tasks import Task, check_memory, predicted_total, seed_of, tasks_of
from mimtheory.terminal import print_report
from mimtheory.workers import run_jobs

SMALL = Setting(link=link("h2"), loss=loss("huber(1)"), d=12, n=300)


def small_plan(trials: int = 20, delta: float = 0.01, expect: dict[str, str] | None = None) -> Plan:
    return Plan("test", (PlanRow("A.2", SMALL, trials, delta, expect or {}),), examples=5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(small_plan(), Store(folder), command="test")
    return folder


def without_time(table: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table]


def test_every_row_holds_and_every_control_is_refuted(finished: Path) -> None:
    report = run(small_plan(), Store(finished), command="test")
    assert {claim.status for claim in report.claims} == {"holds"}
    assert all(control.refuted for claim in report.claims for control in claim.controls)
    assert report.exit_code == 0


def test_a_second_run_computes_nothing(finished: Path) -> None:
    report = run(small_plan(), Store(finished), command="test")
    assert (report.rows_computed, report.rows_reused) == (0, len(tasks_of(small_plan())))


def test_more_trials_keep_the_rows_of_fewer(finished: Path) -> None:
    report = run(small_plan(trials=21), Store(finished), command="test")
    assert report.rows_computed == 1


def test_rows_do_not_depend_on_the_number_of_workers(finished: Path, tmp_path: Path) -> None:
    run(small_plan(), Store(tmp_path), command="test", workers=1)
    # without the trial that another test adds
    kept = [row for row in rows(finished) if (row["kind"], row["index"]) != ("trial", 20)]
    assert without_time(rows(tmp_path)) == without_time(kept)


def test_jobs_have_one_thread_of_blas_each_and_the_threads_of_before_return() -> None:
    def most_threads(job: int = 0) -> int:
        return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

    seen: list[int] = []
    with threadpool_limits(2, "blas"):
        assert most_threads() == 2
        run_jobs([0], most_threads, lambda job, threads: seen.append(threads), 1)
        assert most_threads() == 2
    assert seen == [1]


def test_the_seed_depends_on_setting_rng_and_index_and_on_nothing_else() -> None:
    states = {
        tuple(seed_of(setting, rng, index).generate_state(4))
        for setting in (SMALL, replace(SMALL, n=301), replace(SMALL, label_noise=0.1))
        for rng in (0, 1)
        for index in (0, 1)
    }
    assert len(states) == 12
    assert list(seed_of(SMALL, 0, 1).generate_state(4)) == list(seed_of(replace(SMALL), 0, 1).generate_state(4))


def test_an_interrupted_run_reports_what_is_missing_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = 0

    def stop_soon(done: float, total: float) -> None:
        nonlocal stopped
        stopped += 1
        if stopped == 5:
            raise KeyboardInterrupt

    partial = run(small_plan(), Store(tmp_path), command="test", progress=stop_soon)
    assert partial.exit_code == 3
    assert partial.not_run
    print_report(partial, tmp_path, "report.html")
    said = " ".join(capsys.readouterr().out.split())
    assert "was not run" in said
    assert "survived (0/0)" not in said
    assert "Not everything was run: the same command goes on from here." in said
    whole = run(small_plan(), Store(tmp_path), command="test")
    assert whole.exit_code == 0
    assert whole.rows_reused >= 5
    assert whole.rows_reused == partial.rows_computed


def test_a_killed_process_loses_no_finished_row(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mimtheory",
        "verify",
        "A.2",
        "--d",
        "40",
        "--trials",
        "2000",
        "--out",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: (tmp_path / "rows.sqlite").exists() and count_rows(tmp_path) >= 10)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = count_rows(tmp_path)
    assert kept >= 10
    assert all(row["outcome"] == "holds" for row in rows(tmp_path) if row["kind"] == "trial")


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("nothing was stored within a minute")


def count_rows(folder: Path) -> int:
    return len({(row["kind"], row["d"], row["index"]) for row in rows(folder)})


def test_an_expectation_that_is_not_met_turns_the_exit_code(finished: Path) -> None:
    report = run(small_plan(expect={"total_prior": "vacuous"}), Store(finished), command="test")
    assert report.exit_code == 3


def test_a_false_claim_is_refuted_and_named_with_the_command(finished: Path, tmp_path: Path) -> None:
    claim = find_lemma("A.2").claims["cross_block"]
    false = replace(claim, stated=claim.controls[0].stated)
    claims = find_lemma("A.2").claims
    claims["cross_block"] = false
    wide = Plan("test", (PlanRow("A.2", replace(SMALL, d=100, n=1000), 20, 0.01),), examples=5)
    try:
        report = run(wide, Store(tmp_path), command="test")
    finally:
        claims["cross_block"] = claim
    verdict = next(c for c in report.claims if c.label == "A.2/cross_block")
    assert (verdict.status, report.exit_code) == ("refuted", 1)
    assert "--rng 0" in verdict.cells[0].command


def test_few_trials_cannot_refute_and_say_so(tmp_path: Path) -> None:
    report = run(small_plan(trials=1, delta=0.5), Store(tmp_path), command="test")
    probabilistic = {claim.status for claim in report.claims if claim.level in ("G", "P")}
    assert probabilistic == {"undecided"}
    assert report.exit_code == 3


def test_the_report_is_strict_json(finished: Path) -> None:
    text = run(small_plan(), Store(finished), command="test").to_json()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["schema"] == 2


def test_controls_have_designs_of_their_own() -> None:
    for claim in find_lemma("A.2").claims.values():
        assert claim.controls, f"{claim.label} has no control"
        for control in claim.controls:
            settings, trials, delta = control_design(claim, control)
            assert settings
            assert trials >= 1
            assert 0 < delta < 1


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_plans_are_valid_and_every_claim_is_expected_to_hold_somewhere(profile: str) -> None:
    plan = read_plan(profile)
    assert check_memory(plan) < 4 * 2**30
    for name in find_lemma("A.2").claims:
        assert any(row.expect.get(name, "holds") == "holds" for row in plan.rows)


def test_tasks_are_unique() -> None:
    tasks = tasks_of(read_plan("quick"))
    assert len(set(tasks)) == len(tasks)
    assert isinstance(tasks[0], Task)


def test_lemmas_that_share_a_draw_are_predicted_to_cost_one_and_the_plans_to_take_what_is_promised() -> None:
    setting = Setting(link="h2h2", loss="huber(1)", d=50, n=4000, m=8)
    one, two = (
        Plan("test", tuple(PlanRow(label, setting, 3, 0.01) for label in labels))
        for labels in (["A.6"], ["A.6", "A.7"])
    )
    trials = [[task for task in tasks_of(plan) if task.kind == "trial"] for plan in (one, two)]
    assert len(trials[1]) == 2 * len(trials[0]) == 6
    assert predicted_total(trials[0]) == predicted_total(trials[1]) == pytest.approx(1.5 * trials[0][0].seconds)
    assert predicted_total(tasks_of(read_plan("quick"))) < 120
    assert predicted_total(tasks_of(read_plan("full"))) < 20 * 60
