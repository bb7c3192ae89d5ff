"""The machinery of studies on a study that costs nothing: rows are kept, criteria judged, figures drawn from rows."""

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from verification import study as study_module
from verification.studies import STUDIES
from verification.study import Criterion, Job, Options, Study, Table, judge, read_criteria, run_study

CALLS: list[Any] = []


def measure(point: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    CALLS.append(point)
    return {"value": point["x"] + float(rng.random())}


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure = Figure()
    figure.subplots().plot(table.column("x"), table.column("value"))
    return {"plot": figure}


TOY = Study(
    name="joint",  # the file whose code and criteria it borrows
    title="Toy",
    points=lambda options: [({"x": x}, 2) for x in (1.0, 2.0)],
    measure=measure,
    seconds=lambda point: point["x"],
    values=lambda table, options: {"reuse": table.column("value").max() - 10, "joint_learns": 0.7},
    draw=draw,
    caption="toy",
    own=("link",),
)


@pytest.fixture(autouse=True)
def _forget() -> None:
    CALLS.clear()


def test_a_second_run_measures_nothing_and_draws_the_same(tmp_path: Path) -> None:
    run_study(TOY, Options(), tmp_path, command="c")
    first = {name: (tmp_path / name).read_bytes() for name in ("rows.csv", "plot.svg")}
    assert len(CALLS) == 4
    run_study(TOY, Options(), tmp_path, command="c")
    assert len(CALLS) == 4
    assert first == {name: (tmp_path / name).read_bytes() for name in first}
    run_study(TOY, Options(rng=1), tmp_path, command="c")
    assert len(CALLS) == 8


def test_rows_depend_on_point_seed_and_index_only(tmp_path: Path) -> None:
    rows = [Job(TOY, json.dumps({"x": 1.0}), rng, index).execute()["value"] for rng in (0, 1) for index in (0, 1)]
    assert len(set(rows)) == 4
    assert Job(TOY, json.dumps({"x": 1.0}), 0, 1).execute()["value"] == rows[1]


def test_an_interrupted_run_keeps_what_was_done_and_resumes(tmp_path: Path) -> None:
    many = dataclasses.replace(TOY, points=lambda options: [({"x": float(x)}, 1) for x in range(1, 9)])
    kept: list[float] = []

    def interrupt(done: float, total: float) -> None:
        kept.append(done)
        if len(kept) == 3:
            raise KeyboardInterrupt

    _, complete = run_study(many, Options(), tmp_path, command="c", workers=1, progress=interrupt)
    assert not complete
    assert not (tmp_path / "verdict.json").exists()
    before = len(CALLS)
    assert 3 <= before < 8
    _, complete = run_study(many, Options(), tmp_path, command="c", workers=1)
    assert complete
    assert len(CALLS) == 8


def test_a_verdict_states_criteria_limits_seed_and_command(tmp_path: Path) -> None:
    outcomes, complete = run_study(TOY, Options(), tmp_path, command="python -m verification toy")
    assert complete
    assert [outcome.status for outcome in outcomes] == ["holds", "refuted"]
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["command"] == "python -m verification toy"
    assert verdict["rng"] == 0
    assert [criterion["status"] for criterion in verdict["criteria"]] == ["holds", "refuted"]
    assert verdict["criteria"][1]["at_most"] == 0.5
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert "seed 0" in (tmp_path / "plot.svg").read_text()
    with (tmp_path / "rows.csv").open() as file:
        assert [row["x"] for row in csv.DictReader(file)] == ["1.0", "1.0", "2.0", "2.0"]


def test_the_papers_criteria_are_not_applied_to_a_problem_of_ones_own() -> None:
    outcomes = judge(TOY, Table([{"x": 1, "value": 2.0}]), Options(link="h2"))
    assert {outcome.status for outcome in outcomes} == {"skipped"}
    assert "link was chosen" in outcomes[0].advice


@pytest.mark.parametrize(
    ("value", "status", "worst"),
    [
        (0.3, "holds", 0.3),
        ([0.2, 0.45, 0.3], "holds", 0.45),
        ([0.3, 0.6], "refuted", 0.6),
        ([0.05, 0.3], "refuted", 0.05),
        ([0.3, math.nan], "refuted", math.nan),
        (None, "skipped", None),
    ],
)
def test_a_criterion_is_judged_by_its_worst_value(value: Any, status: str, worst: float | None) -> None:
    outcome = study_module._outcome(Criterion("s", "n", "", at_least=0.1, at_most=0.5), value)
    assert outcome.status == status
    assert outcome.value == worst or (worst is not None and math.isnan(worst) and math.isnan(outcome.value or 0.0))


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_study_has_criteria_points_and_a_caption(study: Study) -> None:
    assert read_criteria(study.name)
    assert study.caption
    for profile in ("quick", "full"):
        points = study.points(Options(profile=profile))
        keys = [json.dumps(point, sort_keys=True) for point, _ in points]
        assert len(set(keys)) == len(keys)
        assert all(study.seconds(point) > 0 and seeds >= 3 for point, seeds in points)


def test_a_row_belongs_to_the_code_that_measures_and_not_to_that_which_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (study_module._HERE / "studies" / "fig2.py").read_text(encoding="utf-8")

    def digest(text: str, **files: str) -> str:
        study_module._code_of.cache_clear()
        texts = files | {"fig2": text}
        monkeypatch.setattr(Path, "read_text", lambda self, encoding: texts.get(self.stem, ""))
        found = study_module._code_of("fig2")
        monkeypatch.undo()
        study_module._code_of.cache_clear()
        return found

    assert digest(source) == digest(source.replace("cosine of the best neuron", "cosine"))
    assert digest(source) != digest(source.replace('"eps0": 1e-3', '"eps0": 1e-2'))
    # a constant with a type, a class and a helper of another file, each of which measure reaches
    line = next(line for line in source.splitlines() if line.startswith("def measure("))
    for known, changed in (
        ("EXTRA: int = 1", "EXTRA: int = 2"),
        ("class EXTRA:\n    x = 1", "class EXTRA:\n    x = 2"),
        (
            "from verification.statistics import interval as EXTRA",
            "from verification.statistics import crossing as EXTRA",
        ),
    ):
        before, after = (source.replace(line, f"{extra}\n\n\n{line}\n    EXTRA") for extra in (known, changed))
        assert digest(before) != digest(after)
    reaching = source.replace(line, f"from verification.statistics import interval\n\n\n{line}\n    interval")
    assert digest(reaching, statistics="x = 1") != digest(reaching, statistics="x = 2")
    assert digest(source, statistics="x = 1") == digest(source, statistics="x = 2")
    # a constant that measure reads
    assert digest(source) != digest(source.replace("STEPS, LATE = 128, 5, 12", "STEPS, LATE = 128, 5, 13"))
