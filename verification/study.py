"""What a study is, and how one runs: rows into a store, figures and criteria out of the stored rows.

A study names its points (plain values), measures one point on one seed, and from the table of rows draws figures and
computes the values that the criteria of criteria.toml speak of.
"""

import ast
import csv
import dataclasses
import hashlib
import json
import math
import resource
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mimtheory import __version__
from mimtheory.environment import versions
from mimtheory.store import Store, content_key, fingerprint
from mimtheory.workers import run_jobs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Job", "Options", "Outcome", "Row", "Study", "Table", "Values", "judge", "read_criteria", "run_study"]

Point = dict[str, Any]
Row = dict[str, Any]
Values = Mapping[str, float | Sequence[float]]
Status = Literal["holds", "refuted", "skipped"]
Progress = Callable[[float, float], None]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """What the command line chooses; None stands for the paper's own."""

    profile: Literal["quick", "full"] = "quick"
    rng: int = 0
    link: str | None = None
    loss: str | None = None
    activation: str | None = None

    @property
    def full(self) -> bool:
        return self.profile == "full"

    @property
    def own(self) -> dict[str, str]:
        """What is not the paper's own."""
        chosen = {"link": self.link, "loss": self.loss, "activation": self.activation}
        return {name: value for name, value in chosen.items() if value is not None}


class Table:
    """Rows of a study, with the fields of their point, `index`, and what was measured."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)

    def where(self, **fields: Any) -> "Table":
        """The rows with these values."""
        return Table(row for row in self.rows if all(row.get(name) == value for name, value in fields.items()))

    def values(self, name: str) -> list[Any]:
        """The different values of a field, sorted."""
        return sorted({row[name] for row in self.rows if name in row})

    def column(self, name: str) -> np.ndarray:
        """A measured quantity in the rows that have it, (rows,)."""
        return np.array([row[name] for row in self.rows if name in row], dtype=float)

    def by_seed(self, x: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The values of field x, (k,), and the quantity for every one of them and every seed, (k, seeds)."""
        xs = self.values(x)
        return np.array(xs, dtype=float), np.array([self.where(**{x: value}).column(name) for value in xs])

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Study:
    """One figure or claim of the paper.

    Attributes
    ----------
    name, title : str
    points : callable
        From Options, pairs (point, number of seeds).
    measure : callable
        From a point and a generator, what was measured, as plain numbers.
    seconds : callable
        Rough time of one measurement, for the estimate of what is left.
    values : callable
        From a Table and Options, the value of each criterion that could be measured, by name.
    draw : callable
        From a Table and Options, figures by name.
    own : tuple of str
        Which of link, loss, activation may be chosen.
    caption : str
        What the figures show, with the symbols in words.
    """

    name: str
    title: str
    points: Callable[[Options], list[tuple[Point, int]]]
    measure: Callable[[Point, np.random.Generator], Row]
    seconds: Callable[[Point], float]
    values: Callable[[Table, Options], Values]
    draw: Callable[[Table, Options], "dict[str, Figure]"]
    caption: str
    own: tuple[str, ...] = ()


@lru_cache(maxsize=32)
def _code_of(study: str) -> str:
    """Hash of the source that decides what a row holds: `measure` with all of its file that it reaches, two_stages.py,
    and the other files of this package from which it reaches a name, but for this one, which measures nothing.

    What only draws or judges is left out: a figure can be drawn anew without measuring again.
    """
    named = _named((_HERE / "studies" / f"{study}.py").read_text(encoding="utf-8"))
    reached, todo = set[str](), {"measure"}
    while todo:
        reached |= todo
        used = {name.id for known in todo for name in ast.walk(named[known]) if isinstance(name, ast.Name)}
        todo = (used & set(named)) - reached
    source = "".join(ast.unparse(named[name]) for name in sorted(reached))
    for helper in sorted({"two_stages"} | {_helper(named[name]) for name in reached} - {""}):
        source += (_HERE / f"{helper}.py").read_text(encoding="utf-8")
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _named(source: str) -> dict[str, ast.stmt]:
    """The statements of a file by the names that they make."""
    named: dict[str, ast.stmt] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            named[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (name for target in targets for name in ast.walk(target))
            named |= {name.id: node for name in names if isinstance(name, ast.Name)}
        elif _helper(node):
            assert isinstance(node, ast.ImportFrom)
            named |= {alias.asname or alias.name: node for alias in node.names}
    return named


def _helper(node: ast.stmt) -> str:
    """The file of this package that a statement imports from, if it is not this one."""
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    package, _, helper = module.partition(".")
    return helper if package == "verification" and helper != "study" else ""


@dataclass(frozen=True)
class Job:
    """One measurement: a point of a study and a seed."""

    study: Study
    point: str  # canonical JSON
    rng: int
    index: int

    @property
    def identity(self) -> dict[str, Any]:
        """What the row depends on; the code of the toolkit is added by `content_key`."""
        return {
            "study": self.study.name,
            "point": self.point,
            "rng": self.rng,
            "index": self.index,
            "code_of_study": _code_of(self.study.name),
        }

    @property
    def seconds(self) -> float:
        return self.study.seconds(json.loads(self.point))

    def execute(self) -> Row:
        """Measure; the generator depends on the seed, the index and the point only."""
        words = np.frombuffer(hashlib.sha256(self.point.encode()).digest(), dtype=np.uint32)
        seed = np.random.SeedSequence(self.rng, spawn_key=(*(int(word) for word in words), self.index))
        started, point = time.perf_counter(), json.loads(self.point)
        found = self.study.measure(point, np.random.default_rng(seed))
        return point | {"index": self.index} | found | {"seconds": time.perf_counter() - started}


@dataclass(frozen=True)
class Criterion:
    """A line of criteria.toml: what was stated before the study ran."""

    study: str
    name: str
    states: str
    at_least: float = -math.inf
    at_most: float = math.inf


@dataclass(frozen=True)
class Outcome:
    """A criterion with what was found: `value` is the worst of the values it speaks of."""

    criterion: Criterion
    status: Status
    value: float | None
    advice: str


def read_criteria(study: str) -> tuple[Criterion, ...]:
    """The criteria of a study, stated before it ran."""
    raw = tomllib.loads((_HERE / "criteria.toml").read_text(encoding="utf-8"))
    return tuple(Criterion(**entry) for entry in raw["criterion"] if entry["study"] == study)


def judge(study: Study, table: Table, options: Options) -> tuple[Outcome, ...]:
    """Each criterion of a study against the rows."""
    criteria = read_criteria(study.name)
    if options.own:
        why = f"This criterion is about the paper's own setting; {', '.join(options.own)} was chosen."
        return tuple(Outcome(criterion, "skipped", None, why) for criterion in criteria)
    values = study.values(table, options)
    unknown = set(values) - {criterion.name for criterion in criteria}
    assert not unknown, f"criteria.toml does not know {unknown}"
    return tuple(_outcome(criterion, values.get(criterion.name)) for criterion in criteria)


def _outcome(criterion: Criterion, value: float | Sequence[float] | None) -> Outcome:
    if value is None:
        return Outcome(criterion, "skipped", None, "Not measured in this profile: run --profile full.")
    if np.size(value) == 0:
        return Outcome(criterion, "refuted", None, "No row came as far as this criterion asks: look at rows.csv.")
    values = np.atleast_1d(np.asarray(value, dtype=float))
    within = (criterion.at_least <= values) & (values <= criterion.at_most)
    # the value nearest to a limit, or the first beyond one; nan is beyond every limit
    room = [
        min(value - criterion.at_least, criterion.at_most - value) if ok else -math.inf
        for value, ok in zip(values, within, strict=True)
    ]
    worst = float(values[int(np.argmin(room))])
    if within.all():
        return Outcome(criterion, "holds", worst, "Nothing to do.")
    return Outcome(
        criterion, "refuted", worst, "Look at the figure and at rows.csv; try more seeds with --profile full."
    )


def run_study(
    study: Study, options: Options, out: Path, *, command: str, workers: int = 2, progress: Progress | None = None
) -> tuple[tuple[Outcome, ...], bool]:
    """Measure what the store of `out` does not have, then write rows.csv, figures and verdict.json there.

    Returns
    -------
    outcomes : tuple of Outcome
    complete : bool
        False if Ctrl-C stopped it; nothing but the rows is written then.
    """
    started, store = time.perf_counter(), Store(out)
    jobs = [
        Job(study, json.dumps(point, sort_keys=True), options.rng, index)
        for point, seeds in study.points(options)
        for index in range(seeds)
    ]
    found = {job: store.get(content_key(job.identity)) for job in jobs}
    # the longest first, so that no worker is left with one at the end
    todo = sorted((job for job in jobs if found[job] is None), key=lambda job: -job.seconds)
    total, done = sum(job.seconds for job in todo), 0.0

    def keep(job: Job, row: Row) -> None:
        nonlocal done
        store.put(content_key(job.identity), row)
        found[job] = row
        done += job.seconds
        if progress:
            progress(done, total)

    complete = run_jobs(todo, Job.execute, keep, workers)
    store.close()
    if not complete:
        return (), False
    table = Table(row for job in jobs if (row := found[job]) is not None)
    outcomes = judge(study, table, options)
    spent = float(table.column("seconds").sum())
    note = f"{command}; seed {options.rng}; {len(table)} rows in {spent:.0f} s of one core"
    _write_table(table, out)
    _write_figures(study, table, options, out, note)
    seconds = time.perf_counter() - started
    _write_verdict(
        study,
        options,
        outcomes,
        out,
        {
            "command": command,
            "seconds_of_this_call": seconds,
            "core_seconds": spent,
            "peak_bytes_of_this_call": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        },
    )
    return outcomes, True


def _write_table(table: Table, out: Path) -> None:
    names = list(dict.fromkeys(name for row in table.rows for name in row))
    with (out / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)


def _write_figures(study: Study, table: Table, options: Options, out: Path, note: str) -> None:
    # matplotlib is what a refused run does without
    import matplotlib

    from verification.drawing import STYLE, save

    with matplotlib.rc_context(STYLE):
        for name, figure in study.draw(table, options).items():
            save(figure, out / name, note)


def _write_verdict(
    study: Study, options: Options, outcomes: tuple[Outcome, ...], out: Path, run: dict[str, Any]
) -> None:
    def plain(outcome: Outcome) -> dict[str, Any]:
        limits = {name: getattr(outcome.criterion, name) for name in ("at_least", "at_most")}
        return {
            "name": outcome.criterion.name,
            "states": outcome.criterion.states,
            **{name: limit for name, limit in limits.items() if math.isfinite(limit)},
            "value": outcome.value if outcome.value is None or math.isfinite(outcome.value) else str(outcome.value),
            "status": outcome.status,
            "advice": outcome.advice,
        }

    verdict = {
        "study": study.name,
        "title": study.title,
        "caption": study.caption,
        **dataclasses.asdict(options),
        **run,
        "criteria": [plain(outcome) for outcome in outcomes],
        "environment": versions(),
        "version": __version__,
        "code": fingerprint(),
    }
    text = json.dumps(verdict, indent=1, ensure_ascii=False)
    (out / "verdict.json").write_text(text + "\n", encoding="utf-8")
