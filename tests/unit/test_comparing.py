"""Two reports side by side; reports of older versions stay readable, and those of later ones name their version."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mimtheory.comparing import Change, differences, read_report
from mimtheory.verdicts import SCHEMA

OLD = Path(__file__).parents[1] / "data" / "report_schema_1.json"


def changed(report: dict[str, Any], **claim: Any) -> dict[str, Any]:
    """A copy in which A.3/weyl, the first claim, differs."""
    other = copy.deepcopy(report)
    other["lemmas"][0]["claims"][0].update(claim)
    return other


def test_a_report_of_schema_1_is_read_in_the_form_of_today() -> None:
    assert json.loads(OLD.read_text())["schema"] == 1
    report = read_report(OLD)
    assert [lemma["module"] for lemma in report["lemmas"]] == [None]
    assert report["lemmas"][0]["claims"][0]["label"] == "A.3/weyl"


def test_a_report_does_not_differ_from_itself() -> None:
    found = differences(read_report(OLD), read_report(OLD))
    assert (found.statuses, found.ratios, found.surroundings) == ((), (), ())


def test_changes_of_status_of_claims_cells_and_controls_are_found() -> None:
    report = read_report(OLD)
    weyl = report["lemmas"][0]["claims"][0]
    other = changed(report, status="refuted")
    assert differences(report, other).statuses == (Change("A.3/weyl", "status", "holds", "refuted"),)
    survived = changed(report, controls=[weyl["controls"][0] | {"refuted": False}])
    name = weyl["controls"][0]["name"]
    assert differences(report, survived).statuses == (Change("A.3/weyl", f"control {name}", "refuted", "survived"),)
    vacuous = changed(report, cells=[cell | {"status": "vacuous"} for cell in weyl["cells"]])
    (change,) = differences(report, vacuous).statuses
    assert ("n = 200" in change.what, change.before, change.after) == (True, "holds", "vacuous")
    without = copy.deepcopy(report)
    del without["lemmas"][0]["claims"][0]
    assert differences(report, without).statuses == (Change("A.3/weyl", "status", "holds", None),)
    assert differences(without, report).statuses == (Change("A.3/weyl", "status", None, "holds"),)


@pytest.mark.parametrize(("factor", "noticed"), [(1.0, False), (1.19, False), (1.21, True), (0.84, False), (0.8, True)])
def test_ratios_that_change_by_more_than_a_fifth_are_found(factor: float, noticed: bool) -> None:
    report = read_report(OLD)
    ratio = report["lemmas"][0]["claims"][0]["ratio_worst"]
    found = differences(report, changed(report, ratio_worst=factor * ratio))
    assert bool(found.ratios) == noticed
    assert found.statuses == ()


def test_a_ratio_that_is_lost_or_zero_is_found() -> None:
    report = read_report(OLD)
    for ratio in (None, 0.0):
        assert len(differences(report, changed(report, ratio_worst=ratio)).ratios) == 1


def test_code_version_and_machine_are_compared() -> None:
    report = read_report(OLD)
    other = report | {"code": "0", "environment": report["environment"] | {"numpy": "9"}}
    found = differences(report, other).surroundings
    assert found == (
        Change("run", "code", report["code"], "0"),
        Change("environment", "numpy", report["environment"]["numpy"], "9"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is no report"),
        ('{"lemmas": []}', "schema None; allowed"),
        ('{"lemmas": [], "schema": 99, "version": "7.8.9"}', r"written by mimtheory 7\.8\.9 in schema 99"),
    ],
)
def test_what_is_no_report_or_too_new_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_report(tmp_path / "report.json")


def test_a_certificate_is_called_so_and_the_second_argument_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"digest": ""}')
    with pytest.raises(ValueError, match=r"second = '.*c\.json' is a certificate; allowed: a report"):
        read_report(tmp_path / "c.json", "second")


def test_the_command_prints_what_differs_and_ends_with_1(tmp_path: Path) -> None:
    other = changed(json.loads(OLD.read_text()), status="refuted", ratio_worst=7.0) | {"schema": SCHEMA}
    (tmp_path / "other.json").write_text(json.dumps(other))
    for second, code, words in (
        (OLD, 0, "Every status is the same."),
        (tmp_path / "other.json", 1, "1 status differs."),
    ):
        command = [sys.executable, "-m", "mimtheory", "report", "diff", str(OLD), str(second)]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == code, run.stderr
        assert words in run.stdout
    assert "refuted" in run.stdout
    assert "worst ratio" in run.stdout
