"""Lemmas from outside: found, checked beside the paper's, keyed by their code; bad modules are refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mimtheory
from mimtheory import own_lemmas
from mimtheory.harness import run
from mimtheory.lemmas import REGISTRY, every_lemma, find_claim, find_lemma, load_lemmas
from mimtheory.own_lemmas import home_of
from mimtheory.plan import Plan, designed_rows, read_plan
from mimtheory.store import Store, content_key
from mimtheory.tasks import command_of, tasks_of

GOOD = '''"""A lemma for tests."""
import numpy as np
from mimtheory import Lemma
{imports}
lemma = Lemma("{label}", "Means are below maxima")

@lemma.claim("D", "\\\\bar T \\\\le \\\\max T", measured=lambda e: e.T.mean())
def mean(e):
    """The mean of the T_i is at most their maximum."""
    return e.T.max()

@lemma.control(mean, why="the minimum", link="h2", loss="huber(1)", d=4, n=50, trials=1)
def mean_below_minimum(e):
    return e.T.min()

lemma.design(link="h2", loss=["huber(1)", "squared"], d=5, n=60, trials=3)
'''


@pytest.fixture(autouse=True)
def _nothing_stays_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(own_lemmas, "_HOMES", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def write(name: str, text: str = GOOD, label: str = "T.1", imports: str = "") -> str:
    """A module of that name, which no other test uses: Python keeps modules."""
    Path(f"{name}.py").write_text(text.format(label=label, imports=imports) if text is GOOD else text)
    return name


def mim(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(mimtheory.__file__).parents[1])}
    return subprocess.run([sys.executable, "-m", "mimtheory", *words], capture_output=True, text=True, env=environment)


def test_a_lemma_from_outside_is_found_and_reported_beside_the_papers() -> None:
    (lemma,) = load_lemmas(write("own_found"))
    assert find_lemma("t.1") is lemma
    assert find_claim("T.1/mean").summary == "The mean of the T_i is at most their maximum."
    assert every_lemma() == (*REGISTRY, lemma)
    assert load_lemmas("own_found") == (lemma,)
    rows = designed_rows(lemma)
    assert [(row.setting.loss.text, row.trials) for row in rows] == [("huber(1)", 3), ("squared", 3)]
    plan = Plan("test", rows, examples=10)
    report = run(plan, Store("out"), command="test")
    assert report.exit_code == 0
    assert [(v.label, v.provenance, v.module) for v in report.lemmas] == [("T.1", "own", "own_found")]


def test_the_plan_of_the_paper_takes_the_rows_of_a_lemma_once() -> None:
    load_lemmas(write("own_planned"))
    plan = read_plan("quick")
    both = plan.with_lemmas(["T.1", "T.1", "A.2"])
    assert len(both.rows) == len(plan.rows) + 2
    assert {row.lemma for row in both.restricted(["T.1"]).rows} == {"T.1"}


def test_rows_are_keyed_by_the_code_of_the_module_and_of_what_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(name: str, **files: str) -> str:
        for file, text in files.items():
            Path(f"{file}.py").write_text(text)
        monkeypatch.setattr(own_lemmas, "_HOMES", {})
        sys.modules.pop(name, None)
        (lemma,) = load_lemmas(name)
        return content_key(tasks_of(Plan("test", designed_rows(lemma)))[0].identity)

    write("own_keyed", imports="import own_beside")
    first = key("own_keyed", own_beside="import own_further\n", own_further="x = 1\n", own_stranger="y = 1\n")
    assert key("own_keyed") == first
    assert key("own_keyed", own_stranger="y = 2\n") == first
    assert key("own_keyed", own_further="x = 2\n") != first
    assert key("own_keyed", own_further="x = 1\n") == first
    write("own_keyed", imports="import own_beside  # changed")
    assert key("own_keyed") != first


def test_a_package_is_keyed_by_all_its_files() -> None:
    Path("own_package").mkdir()
    Path("own_package/__init__.py").write_text("")
    Path("own_package/bounds.py").write_text("b = 1\n")
    Path("own_package/lemmas.py").write_text(GOOD.format(label="T.2", imports="from own_package.bounds import b"))
    (lemma,) = load_lemmas("own_package.lemmas")
    home = home_of(lemma)
    assert home is not None
    Path("own_package/bounds.py").write_text("b = 2\n")
    assert own_lemmas._code("own_package.lemmas") != home.code


def test_rows_of_the_papers_lemmas_do_not_depend_on_what_is_loaded() -> None:
    task = next(task for task in tasks_of(read_plan("quick").restricted(["A.2"])))
    before = content_key(task.identity)
    load_lemmas(write("own_other"))
    assert content_key(task.identity) == before
    assert "module" not in task.identity


def test_the_command_of_a_row_names_the_module() -> None:
    (lemma,) = load_lemmas(write("own_command"))
    trial, *_, search = tasks_of(Plan("test", designed_rows(lemma)))
    assert command_of(trial).startswith("mimtheory verify T.1 --module own_command --link 'h2(z1)'")
    assert command_of(search) == "mimtheory verify T.1 --module own_command --examples 50 --rng 0"


def test_installed_packages_bring_their_lemmas_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    info = Path("own_installed-1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-installed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mimtheory.lemmas]\nmine = own_installed\n")
    write("own_installed", label="T.9")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert find_lemma("T.9").label == "T.9"
    with pytest.raises(ValueError, match=r"lemma = 'T\.8' is unknown; did you mean 'T\.9'\? allowed: .*T\.9"):
        find_lemma("T.8")


BAD = {
    "bad_missing": (None, "cannot be imported: ModuleNotFoundError"),
    "bad-name": (None, "allowed: the name of a module"),
    "bad_syntax": ("def f(:\n", "cannot be imported: SyntaxError: .*line 1"),
    "bad_raises": ("x = 1\ny = x / 0\n", r"ZeroDivisionError: division by zero \(bad_raises.py, line 2\)"),
    "bad_empty": ("import mimtheory\n", "defines no lemma"),
    "bad_only_ours": ("from mimtheory.lemmas.a2_operator_norm import lemma\n", "defines no lemma"),
    "bad_taken": (GOOD.format(label="a.2", imports=""), "there is a lemma of this label already"),
    "bad_space": (GOOD.format(label="T 1", imports=""), "its label is not fit"),
    "bad_claims": ("from mimtheory import Lemma\nlemma = Lemma('T.1', 'x')\n", "has no claim"),
    "bad_provenance": (GOOD.format(label="T.1", imports="").replace('maxima"', 'maxima", "ours"'), "provenance"),
    "bad_level": (GOOD.format(label="T.1", imports="").replace('"D"', '"E"'), "level = 'E'"),
    "bad_given": (GOOD.format(label="T.1", imports="").replace('"D"', '"G"'), "given="),
    "bad_doc": (GOOD.format(label="T.1", imports="").replace('    """The mean', '    x = """The'), "needs a docstring"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_modules_are_refused_with_one_line(name: str) -> None:
    text, message = BAD[name]
    if text is not None:
        write(name, text)
    with pytest.raises(ValueError, match=message) as caught:
        load_lemmas(name)
    assert "\n" not in str(caught.value)
    assert own_lemmas.loaded() == ()


def test_two_lemmas_of_one_module_may_not_share_a_label() -> None:
    write(
        "bad_twice",
        GOOD.format(label="T.1", imports="") + "other = Lemma('T.1', 'x')\nother.claims.update(lemma.claims)\n",
    )
    with pytest.raises(ValueError, match="there is a lemma of this label already"):
        load_lemmas("bad_twice")
    assert own_lemmas.loaded() == ()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("return e.T.maximum()", "AttributeError"),
        ("return np.ones(7)[: e.n]", "AttributeError"),
        ("return [1, 2", "SyntaxError"),
    ],
)
def test_a_claim_that_fails_ends_the_command_with_one_line(broken: str, message: str) -> None:
    write("bad_claim", GOOD.format(label="T.1", imports="").replace("return e.T.max()", broken))
    result = mim("verify", "T.1", "--module", "bad_claim", "--out", "out")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr
    assert "'bad_claim'" in result.stderr
    assert "bad_claim.py, line" in result.stderr


CONTROL, DESIGN = "the design of T.1/mean/mean_below_minimum", "a design of T.1"
MISSING = "field 'd' of a setting is missing; needed: link, loss, d, n"


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("own_control", "d=4, ", "", f"{CONTROL}: {MISSING}"),
        ("own_design", "d=5, ", "", f"{DESIGN}: {MISSING}"),
        ("own_trials", "trials=1", "trials=0", f"{CONTROL}: trials = 0; allowed: an integer from 1 to 10^6"),
        ("own_delta", "trials=3", "delta=2", f"{DESIGN}: delta = 2; allowed: a number with 0 < delta < 1"),
    ],
)
def test_a_design_that_is_no_setting_is_named_before_anything_runs(name: str, old: str, new: str, says: str) -> None:
    write(name, GOOD.format(label="T.1", imports="").replace(old, new))
    result = mim("verify", "T.1", "--module", name, "--out", "out")
    assert result.returncode == 2
    assert result.stderr == f"error: {says}\n"
    assert not Path("out").exists()


def test_trials_and_delta_may_be_numbers_of_any_kind() -> None:
    text = GOOD.format(label="T.1", imports="from fractions import Fraction").replace(
        "trials=1)", "trials=np.int64(1), delta=np.float32(0.01))"
    )
    write("own_numbers", text.replace("trials=3)", "trials=np.int8(3), delta=Fraction(1, 100))"))
    given = ("verify", "T.1", "--module", "own_numbers", "--examples", "2", "--out", "out")
    (row, _) = json.loads(mim(*given, "--dry-run", "--json").stdout)["rows"]
    assert (row["trials"], row["delta"]) == (3, 0.01)
    result = mim(*given)
    assert result.returncode == 0, result.stderr


def test_own_claims_see_the_draw_as_ours_do() -> None:
    load_lemmas(write("own_measured"))
    setting = mimtheory.Setting(link="h2", loss="huber(1)", d=5, n=60)
    (row,) = mimtheory.measure("T.1", setting)
    e = mimtheory.Experiment(setting, 0)
    assert (row.outcome, row.measured, row.stated) == ("holds", e.T.mean(), e.T.max())


def test_what_is_no_name_of_a_module_is_refused() -> None:
    with pytest.raises(ValueError, match="module = None; allowed: the name of a module, not NoneType"):
        load_lemmas(None)
