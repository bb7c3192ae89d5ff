"""The command line as a user meets it: exit codes, one-line errors, machine-readable output."""

import contextlib
import csv
import io
import json
import os
import resource
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import mimtheory
from mimtheory.advisor import EPSILON0, summary_of_assumption
from mimtheory.assumptions import ASSUMPTIONS
from mimtheory.cli import main
from mimtheory.lemmas import REGISTRY, find_lemma
from mimtheory.plan import read_plan


def fresh(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user starts it: one of each kind, what is timed or killed, and searches
    whose rows are compared, for Hypothesis also tries constants of the modules that are loaded."""
    return subprocess.run([sys.executable, "-m", "mimtheory", *words], capture_output=True, text=True)


def mim(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in this process: in one of its own it would spend most of its time on imports."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["mimtheory", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    # of another kind than an integer the interpreter would make 1 and a line on stderr
    assert type(ended.value.code) is int
    return subprocess.CompletedProcess(words, ended.value.code, out.getvalue(), err.getvalue())


BAD = [
    (("verify", "A.9"), ("A.9", "A.2")),
    (("verify", "A.22"), ("A.22", "did you mean 'A.2'")),
    (("explain", "assumption_cow"), ("assumption_cow", "assumption_cov")),
    (("verify", "--link", "h4(x1)"), ("x1", "z1")),
    (("verify", "--link", "h44(z1)"), ("h44",)),
    (("verify", "--link", "sin(z1)"), ("sin",)),
    (("verify", "--link", "z1/z2"), ("z1/z2",)),
    (("verify", "--link", "__import__('os').system('x')"), ("link",)),
    (("verify", "--link", "z1**99999999999"), ("20",)),
    (("verify", "--link", "z7"), ("z7",)),
    (("verify", "--loss", "hubr(1)"), ("hubr", "huber")),
    (("verify", "--loss", "huber(-1)"), ("delta", "-1")),
    (("verify", "--loss", "huber(nan)"), ("delta", "nan")),
    (("verify", "--link", "r3", "--d", "2"), ("d = 2", "r = 3")),
    (("verify", "--n", "0"), ("n = 0",)),
    (("verify", "--trials", "0"), ("trials = 0",)),
    (("verify", "--delta", "1"), ("delta = 1",)),
    (("verify", "--delta", "0"), ("delta = 0",)),
    (("verify", "--delta", "nan"), ("delta = nan",)),
    (("verify", "--centre", "nan"), ("centre = nan",)),
    (("verify", "--centre", "middle"), ("centre = 'middle'",)),
    (("verify", "--label-noise", "-1"), ("label_noise = -1",)),
    (("verify", "--d", "1000000", "--n", "100000000"), ("bytes", "1,600,")),
    (("verify", "--profile", "fast"), ("profile", "quick")),
    (("verify", "--rng", "-1"), ("rng = -1",)),
    (("verify", "--d", "ten"), ("--d", "integer")),
    (("certify", "h2", "--out", "/nowhere/x.json"), ("out = '/nowhere/x.json'", "in a folder that exists")),
    (("certify", "h2", "--out", "."), ("out = '.'; allowed: a file",)),
    (("frontier", "--write", "."), ("write = '.'; allowed: a file",)),
    (("bench", "--page", "/nowhere/x.md"), ("page = '/nowhere/x.md'", "in a folder that exists")),
    (("bench", "--page", "."), ("page = '.'; allowed: a file",)),
    (("check", "no-such-file", "--time-limit", "nan"), ("time_limit = nan; allowed: a positive number",)),
    (("check", "no-such-file", "--time-limit", "-1"), ("time_limit = -1.0",)),
    (("check", sys.executable), ("is not a certificate",)),
    (("explore", "h4h4"), ("did you mean 'h4+h4'",)),
    (
        (
            "verify",
            "--nonsense",
        ),
        ("--nonsense",),
    ),
    (("verify", "--out", "/proc/nowhere", "--trials", "1", "--d", "3"), ("out", "/proc/nowhere")),
    (("explain", "A.2/perpblock"), ("perpblock", "did you mean 'A.2/perp_block'")),
    (("export", "/nowhere"), ("/nowhere",)),
    (("explore", "h4(x1)"), ("x1", "z1")),
    (("explore", "h4+h4", "--delta", "1"), ("delta = 1",)),
    (("explore", "h4+h4", "--d", "1"), ("d = 1", "r = 2")),
    (("explore", "h4+h4", "--activation", "1-sin"), ("1-sin",)),
    (("verify", "X.1", "--module", "no_such_module"), ("no_such_module", "cannot be imported")),
    (("explain", "X.1", "--module", "my lemmas.py"), ("my lemmas.py", "the name of a module")),
    (("frontier", "A.9"), ("A.9", "A.2")),
    (("frontier", "--write", "/nowhere/frontier.json"), ("/nowhere/frontier.json",)),
    (("report", "diff", "/nowhere/a.json", "/nowhere/b.json"), ("/nowhere/a.json", "cannot be read")),
]


@pytest.mark.parametrize(("words", "named"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_line_with_exit_code_2(words: tuple[str, ...], named: tuple[str, ...]) -> None:
    run = mim(*words)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("error: ")
    for word in named:
        assert word in run.stderr


@pytest.mark.parametrize(
    "words",
    [("verify", "--d", "1000000", "--n", "100000000"), ("explore", "h4+h4", "--d", "1"), ("verify", "--trials", "0")],
)
def test_bad_input_is_refused_within_a_second(words: tuple[str, ...]) -> None:
    # processor time, for the machine may be busy with other tests
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    fresh(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("small")
    words = ("--link", "z1**2 + z1*z2/3", "--loss", "huber(1)", "--d", "20", "--trials", "20", "--out", str(folder))
    return folder, fresh("verify", "A.2", *words)


def test_a_link_of_ones_own_is_verified(small: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, run = small
    assert run.returncode == 0, run.stdout + run.stderr
    assert "10 of 10 claims hold" in run.stdout
    assert "Traceback" not in run.stderr
    assert {"report.html", "report.json", "rows.sqlite"} <= {path.name for path in folder.iterdir()}


def test_a_lemma_that_is_named_twice_is_named_once(tmp_path: Path) -> None:
    words = ("--d", "20", "--n", "500", "--trials", "3", "--examples", "2", "--json", "--out", str(tmp_path))
    once, twice = mim("verify", "A.2", *words), mim("verify", "A.2", "a.2", *words)
    assert (once.returncode, twice.returncode) == (3, 3)
    claims = [json.loads(run.stdout)["lemmas"][0]["claims"] for run in (once, twice)]
    assert claims[0] == claims[1]


def test_rows_and_export_give_every_stored_trial(small: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = small
    table = list(csv.DictReader(io.StringIO(fresh("export", str(folder), "--csv").stdout)))
    lines = mim("export", str(folder)).stdout.splitlines()
    assert len(table) == len(lines) == len(mimtheory.rows(folder))
    trials = [row for row in table if row["kind"] == "trial"]
    assert len(trials) == 20 * 10
    assert {row["link"] for row in trials} == {mimtheory.link("z1**2 + z1*z2/3").text}
    assert json.loads(lines[0])["lemma"] == "A.2"


def test_the_command_of_a_row_computes_the_same_row(
    small: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = small
    row = next(row for row in mimtheory.rows(folder) if row["kind"] == "trial" and row["index"] == 3)
    mim(*shlex.split(row["command"])[1:], "--out", str(tmp_path))
    assert _row_like(row, tmp_path) == row | {"seconds": None}


def test_the_command_of_a_search_tries_as_many_examples(tmp_path: Path) -> None:
    fresh("verify", "A.1", "--link", "h2", "--d", "9", "--trials", "1", "--examples", "7", "--out", str(tmp_path / "a"))
    row = next(row for row in mimtheory.rows(tmp_path / "a") if row["kind"] == "search")
    fresh(*shlex.split(row["command"])[1:], "--trials", "1", "--out", str(tmp_path / "b"))
    assert _row_like(row, tmp_path / "b") == row | {"seconds": None}
    assert mim("verify", "A.1", "--examples", "0").stderr.startswith("error: examples = 0; allowed")


def _row_like(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The row of the same kind, index and claim, whatever it took."""
    names = ("kind", "index", "claim")
    found = next(other for other in mimtheory.rows(folder) if all(other[name] == row[name] for name in names))
    return found | {"seconds": None}


def test_json_output_is_the_report(small: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = small
    words = ("--link", "z1**2 + z1*z2/3", "--loss", "huber(1)", "--d", "20", "--trials", "20", "--out", str(folder))
    report = json.loads(mim("verify", "A.2", "--json", *words).stdout)
    assert report["rows_computed"] == 0
    assert [claim["status"] for claim in report["lemmas"][0]["claims"]] == ["holds"] * 10


def test_a_verify_that_is_killed_resumes_and_loses_nothing(
    small: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    words = ("--link", "z1**2 + z1*z2/3", "--loss", "huber(1)", "--d", "20", "--trials", "20", "--out", str(tmp_path))
    run = subprocess.Popen([sys.executable, "-m", "mimtheory", "verify", "A.2", *words], stdout=subprocess.DEVNULL)
    while run.poll() is None and _stored(tmp_path) < 5:
        time.sleep(0.01)
    run.kill()
    assert run.wait() == -signal.SIGKILL  # it was still at work
    kept = _stored(tmp_path)
    report = json.loads(fresh("verify", "A.2", "--json", *words).stdout)
    assert report["rows_reused"] == kept >= 5
    assert report["rows_computed"] > 0
    whole, resumed = ([row | {"seconds": 0} for row in mimtheory.rows(folder)] for folder in (small[0], tmp_path))
    assert resumed == whole


def _stored(folder: Path) -> int:
    """Rows that another process has written so far."""
    if not (folder / "rows.sqlite").is_file():
        return 0
    with contextlib.closing(sqlite3.connect(folder / "rows.sqlite")) as connection:
        if not connection.execute("SELECT name FROM sqlite_master").fetchall():
            return 0
        return int(connection.execute("SELECT COUNT(*) FROM rows").fetchone()[0])


def test_the_squared_loss_leaves_the_bound_without_a_draw_vacuous(tmp_path: Path) -> None:
    run = mim("verify", "A.2", "--link", "h2", "--loss", "squared", "--d", "10", "--out", str(tmp_path))
    assert run.returncode == 3
    assert "A.2/total_prior is vacuous" in run.stdout


def test_dry_run_prints_rows_time_and_memory_and_runs_nothing(tmp_path: Path) -> None:
    run = mim("verify", "--dry-run", "--out", str(tmp_path / "none"))
    assert run.returncode == 0
    assert "nothing was run" in run.stdout
    assert "MiB" in run.stdout
    assert not (tmp_path / "none").exists()


def test_a_dry_run_as_json_has_what_the_table_says(tmp_path: Path) -> None:
    given = ("verify", "A.2", "A.7", "--d", "30", "--dry-run", "--out", str(tmp_path / "none"), "--trials")
    table, run, twice = mim(*given, "5"), mim(*given, "5", "--json"), mim(*given, "10", "--json")
    assert run.returncode == 0
    plan, more = json.loads(run.stdout), json.loads(twice.stdout)
    assert [(row["lemma"], row["setting"]["n"], row["trials"]) for row in plan["rows"]] == [
        ("A.2", 1200, 5),
        ("A.7", 1200, 5),
    ]
    assert [row["seconds"] for row in more["rows"]] == [2 * row["seconds"] for row in plan["rows"]]
    assert f"{plan['tasks']} rows with controls and searches, about {plan['seconds']:.0f} s" in table.stdout
    assert f"needs {plan['peak_bytes'] / 2**20:,.0f} MiB" in table.stdout
    for row in plan["rows"]:
        assert f" {row['seconds']:.1f} " in table.stdout
        assert (row["delta"], row["expect"]) == (0.01, {})
    quick = json.loads(mim("verify", "--rng", "3", "--dry-run", "--json").stdout)
    assert (quick["profile"], quick["rng"], quick["examples"]) == ("quick", 3, read_plan("quick").examples)
    assert [row["expect"] for row in quick["rows"]] == [dict(row.expect) for row in read_plan("quick").rows]
    assert any(row["expect"] for row in quick["rows"])
    assert not (tmp_path / "none").exists()


def test_explore_shows_expansion_assumptions_bounds_and_window() -> None:
    run = fresh("explore", "h2h2", "--loss", "huber(1)", "--d", "20", "--n", "100000")
    assert run.returncode == 0
    for word in ("(0, 2): 7/10", "Information exponent 2", "assumption_cov", "A.7/prior", "finite from n", "T_min = 3"):
        assert word in run.stdout


@pytest.mark.parametrize("label", [lemma.label for lemma in REGISTRY])
def test_every_lemma_is_explained_with_its_claims_and_provenance(label: str) -> None:
    explained = mim("explain", label).stdout
    for name in find_lemma(label).claims:
        assert f"{label}/{name}" in explained
    assert "Provenance: " in explained


@pytest.mark.parametrize("label", [*ASSUMPTIONS, EPSILON0])
def test_every_assumption_is_explained(label: str) -> None:
    run = mim("explain", label)
    assert run.returncode == 0
    assert summary_of_assumption(label) in " ".join(run.stdout.split())


def test_explore_shows_both_signs_of_a_where_they_differ() -> None:
    text = mim("explore", "h2h2", "--eta1", "1", "--beta1", "0.3", "--label-noise", "0.1").stdout
    assert "For a < 0: No number of steps" in text
    assert "a < 0" not in mim("explore", "h2h2").stdout


def test_list_and_explain_name_every_claim_and_the_provenance() -> None:
    listed, explained = fresh("list").stdout, fresh("explain", "A.2").stdout
    for name in ("eigenvalue_form", "perp_block", "perp_edge", "cross_block", "total", "signal_block", "mean"):
        assert f"A.2/{name}" in listed
        assert f"A.2/{name}" in explained
    assert "this project's" in explained
    assert "cross_block" in mim("explain", "A.2/cross_block").stdout


def test_certify_writes_what_check_confirms(tmp_path: Path) -> None:
    made = fresh("certify", "h4+h4", "--loss", "huber(1)", "--out", str(tmp_path / "cert.json"))
    assert made.returncode == 0
    assert "full rank 2" in made.stdout
    checked = fresh("check", str(tmp_path / "cert.json"))
    assert checked.returncode == 0
    assert "confirmed" in checked.stdout
    fields = json.loads((tmp_path / "cert.json").read_text())
    (tmp_path / "cert.json").write_text(json.dumps(fields | {"link": "h4(z1) - h4(z2)"}))
    assert mim("check", str(tmp_path / "cert.json")).returncode == 1


def test_certify_prints_the_digits_that_are_asked_for() -> None:
    shown = mim("certify", "h2", "--digits", "40").stdout.splitlines()[-1]
    exact = repr(mimtheory.expected_hessian("h2", "huber(1)", digits=60))
    assert shown.startswith("C = [-0.719")
    assert shown[: len("C = [-0.") + 38] == exact[: len("C = [-0.") + 38]
    assert "C = [" not in mim("certify", "h2").stdout


def test_certify_says_degenerate_and_undecided() -> None:
    singular = mim("certify", "h4+h4", "--loss", "squared")
    assert singular.returncode == 0
    assert "singular" in singular.stdout
    late = mim("certify", "r3", "--time-limit", "0.001")
    assert late.returncode == 3
    assert "undecided" in late.stdout
    assert mim("certify", "r3", "--time-limit", "0").returncode == 2
    assert mim("check", "no-such-file").returncode == 2


def test_version_is_one_line() -> None:
    run = fresh("--version")
    assert (run.returncode, run.stdout) == (0, f"mimtheory {mimtheory.__version__}\n")


def test_a_shell_can_complete_commands() -> None:
    environment = os.environ | {
        "_MIMTHEORY_COMPLETE": "complete_bash",
        "COMP_WORDS": "mimtheory ex",
        "COMP_CWORD": "1",
    }
    run = subprocess.run([sys.executable, "-m", "mimtheory"], capture_output=True, text=True, env=environment)
    assert run.stdout.split() == ["explain", "explore", "export"]
    # else the shell is looked for among the processes above this one, of which none need be a shell
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "mimtheory", "--show-completion", "bash"]
    assert "_MIMTHEORY_COMPLETE" in subprocess.run(command, capture_output=True, text=True, env=environment).stdout


def test_doctor_finds_this_installation_in_order() -> None:
    run = mim("doctor")
    assert run.returncode == 0, run.stdout
    for word in ("numpy", "BLAS", "kernel cache", "self-test, kernel", "same bits with 2 threads", "in order"):
        assert word in run.stdout
    assert "BAD" not in run.stdout


def test_frontier_prints_every_bound_and_where() -> None:
    printed = mim("frontier").stdout
    for lemma in REGISTRY:
        for claim in lemma.claims.values():
            assert (claim.label in printed) == (claim.kind != "equals"), claim.label
    assert "90% of 40 draws" in printed


def test_a_defect_is_no_refuted_claim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("mimtheory.diagnosis.diagnose", broken)
    monkeypatch.setattr("sys.argv", ["mimtheory", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 70
    assert capsys.readouterr().err.endswith("ZeroDivisionError: a defect\n")


@pytest.mark.parametrize("words", [(), ("report",)])
def test_a_command_without_words_prints_its_help(words: tuple[str, ...]) -> None:
    run = mim(*words)
    assert (run.returncode, run.stderr) == (2, "")
    assert run.stdout.startswith("Usage: mimtheory")
    assert "\nCommands:\n" in run.stdout


def test_both_spellings_of_help_and_of_a_label_are_understood() -> None:
    assert mim("verify", "-h").stdout == mim("verify", "--help").stdout != ""
    assert mim("explain", "Theorem 1").stdout == mim("explain", "theorem1").stdout != ""
