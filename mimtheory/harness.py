"""Runs plans: every trial is one draw on which all claims of a lemma are checked, and one stored row.

A trial depends on its content only (lemma, setting, delta, seed, index), so rows are the same in any order, with any
number of workers, and a run that was interrupted takes up the rows it finds.
"""

import itertools
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackError
from threadpoolctl import threadpool_limits

from mimtheory import __version__
from mimtheory.experiment import Experiment
from mimtheory.lemmas import find_lemma
from mimtheory.operators import DENSE_LIMIT
from mimtheory.plan import Plan, PlanRow, control_design
from mimtheory.population import Population, Setting
from mimtheory.registry import Claim, Control, Lemma
from mimtheory.relations import Outcome, Relation
from mimtheory.sample import memory_limit
from mimtheory.search import search
from mimtheory.store import Store, content_key, fingerprint
from mimtheory.verdicts import (
    ADVICE,
    FALSE_ALARM,
    CellVerdict,
    ClaimVerdict,
    ControlVerdict,
    LemmaVerdict,
    Report,
    Tally,
    cell_status,
    claim_status,
    detectable_rate,
    p_value,
)

__all__ = ["Task", "check_memory", "predicted_seconds", "run", "seed_of", "tasks_of"]

Progress = Callable[[float, float], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One row to be computed: a trial of all claims of a lemma, a trial of controls, or a search.

    `names` are claim names, or "claim/control" for controls.
    """

    kind: str
    lemma: str
    names: tuple[str, ...]
    setting: Setting | None
    delta: float
    rng: int
    index: int

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "lemma": self.lemma,
            "names": list(self.names),
            "setting": self.setting.to_dict() if self.setting else None,
            "delta": self.delta,
            "rng": self.rng,
            "index": self.index,
        }

    @property
    def seconds(self) -> float:
        return predicted_seconds(self.setting) if self.setting else 0.004 * self.index


def predicted_seconds(setting: Setting) -> float:
    """Rough time of one trial on one core: Gaussians, S_hat, four spectra (matvecs where S_hat is not formed)."""
    n, d = setting.n, setting.d
    draw = 1.6e-8 * n * d
    if d <= DENSE_LIMIT:
        return 0.003 + draw + 6e-11 * n * d * d + 4e-9 * d**3
    return draw + 6 * 60 * 1.2e-9 * n * d


def seed_of(setting: Setting, rng: int, index: int) -> np.random.SeedSequence:
    """The seed of one trial, from its content: independent of which other rows a plan has."""
    words = np.frombuffer(sha256(setting.to_json().encode()).digest(), dtype=np.uint32)
    return np.random.SeedSequence(rng, spawn_key=(*(int(word) for word in words), index))


def tasks_of(plan: Plan) -> list[Task]:
    """Every task of a plan: its rows, then the controls and the searches of its lemmas."""
    tasks = [
        Task("trial", row.lemma, tuple(find_lemma(row.lemma).claims), row.setting, row.delta, plan.rng, index)
        for row in plan.rows
        for index in range(row.trials)
    ]
    for lemma in _lemmas(plan):
        tasks += _control_tasks(lemma, plan.rng)
        tasks += [
            Task("search", lemma.label, (claim.name,), None, 0.5, plan.rng, plan.examples)
            for claim in lemma.claims.values()
            if not claim.probabilistic
        ]
    return list(dict.fromkeys(tasks))


def _lemmas(plan: Plan) -> list[Lemma]:
    return [find_lemma(label) for label in dict.fromkeys(row.lemma for row in plan.rows)]


def _control_tasks(lemma: Lemma, rng: int) -> list[Task]:
    """Controls that share a setting, delta and index share a draw."""
    groups: dict[tuple[Setting, float, int], list[str]] = {}
    for claim in lemma.claims.values():
        for control in claim.controls:
            settings, trials, delta = control_design(control)
            for setting in settings:
                for index in range(trials):
                    groups.setdefault((setting, delta, index), []).append(f"{claim.name}/{control.name}")
    return [
        Task("control", lemma.label, tuple(names), setting, delta, rng, index)
        for (setting, delta, index), names in groups.items()
    ]


def check_memory(plan: Plan) -> int:
    """Predicted bytes of the largest draw.

    Raises
    ------
    ValueError
        If one draw does not fit into this machine's memory.
    """
    largest = max((task.setting for task in tasks_of(plan) if task.setting), key=lambda s: s.bytes)
    if largest.bytes > memory_limit():
        raise ValueError(
            f"d = {largest.d}, n = {largest.n} needs {largest.bytes:,} bytes; "
            f"allowed: at most the {memory_limit():,} of this machine"
        )
    return largest.bytes


# One task


def _execute(task: Task) -> Row:
    started = time.perf_counter()
    lemma = find_lemma(task.lemma)
    if task.kind == "search":
        found = search(lemma.claims[task.names[0]], task.index)
        results: Row = {
            task.names[0]: {
                "ratio": _plain(found.ratio_worst),
                "examples": found.examples,
                "found": found.counterexample,
            }
        }
    else:
        assert task.setting is not None
        experiment = Experiment(task.setting, seed_of(task.setting, task.rng, task.index))
        results = {name: _check(lemma, name, experiment, task.delta) for name in task.names}
    return task.identity | {
        "results": results,
        "seconds": time.perf_counter() - started,
        "version": __version__,
        "command": _command(task),
    }


def _check(lemma: Lemma, name: str, experiment: Experiment, delta: float) -> Row:
    claim, control = _find(lemma, name)
    try:
        relation = claim.check(experiment, delta, control.stated if control else None)
    except (ArithmeticError, np.linalg.LinAlgError, ArpackError) as problem:
        return {"outcome": "error", "ratio": "nan", "message": f"{type(problem).__name__}: {problem}"}
    return _result(relation)


def _find(lemma: Lemma, name: str) -> tuple[Claim, Control | None]:
    claim_name, _, control_name = name.partition("/")
    claim = lemma.claims[claim_name]
    return claim, next((control for control in claim.controls if control.name == control_name), None)


def _result(relation: Relation) -> Row:
    """The relation as plain values; `worst` is the entry with the largest ratio."""
    return {
        "outcome": relation.outcome,
        "ratio": _plain(relation.ratio),
        "measured": [_plain(x) for x in relation.measured.tolist()],
        "stated": [_plain(x) for x in relation.stated.tolist()],
        "allowance": [_plain(x) for x in relation.allowance.tolist()],
        "worst": relation.worst,
    }


def _plain(x: float) -> float | str:
    """x itself, or its name where strict JSON has no number for it."""
    return x if math.isfinite(x) else str(x)


def _command(task: Task, trials: int | None = None) -> str:
    """The command that computes this row (and those before it) again."""
    if task.kind != "trial" or task.setting is None:
        return f"mimtheory verify {task.lemma} --rng {task.rng}"
    words = ["mimtheory", "verify", task.lemma]
    defaults = Setting(link=task.setting.link, loss=task.setting.loss, d=task.setting.d, n=task.setting.n).to_dict()
    for name, value in task.setting.to_dict().items():
        if name in ("link", "loss", "d", "n") or value != defaults[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--delta", str(task.delta), "--trials", str(trials or task.index + 1), "--rng", str(task.rng)]
    return shlex.join(words)


# Running them


def run(plan: Plan, store: Store, *, command: str, workers: int = 2, progress: Progress | None = None) -> Report:
    """Compute what the store does not have yet, then judge.

    Parameters
    ----------
    plan : Plan
    store : Store
        Rows found there are not computed again; every new row is written as soon as it is done.
    command : str
        The command line, for the report.
    workers : int
        Trials at a time (threads; BLAS is held to one thread each). Does not change a bit of any row.
    progress : callable, optional
        Called with (seconds of work done, seconds of work in all), both predicted.

    Returns
    -------
    Report
        Interrupted by Ctrl-C, the report of what was done, with the rest listed as not run.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    check_memory(plan)
    tasks = tasks_of(plan)
    rows: dict[Task, Row] = {}
    for task in tasks:
        if (row := store.get(content_key(task.identity))) is not None:
            rows[task] = row
    reused = len(rows)
    _compute([task for task in tasks if task not in rows], rows, store, workers, progress)
    return Report(
        command=command,
        profile=plan.profile,
        rng=plan.rng,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        rows_computed=len(rows) - reused,
        rows_reused=reused,
        lemmas=tuple(_judge_lemma(lemma, plan, tasks, rows) for lemma in _lemmas(plan)),
        not_run=tuple(_not_run(tasks, rows)),
        environment=_environment(),
        version=__version__,
        code=fingerprint(),
    )


def _compute(todo: list[Task], rows: dict[Task, Row], store: Store, workers: int, progress: Progress | None) -> None:
    total, done = sum(task.seconds for task in todo), 0.0
    report = progress or (lambda done, total: None)
    for setting in dict.fromkeys(task.setting for task in todo if task.setting):
        Population(setting).prepare()  # before the pool: its cache is shared by all draws
    largest = max((task.setting.bytes for task in todo if task.setting), default=1)
    workers = max(1, min(workers, memory_limit() // (2 * largest)))
    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as pool:
        pending, waiting = iter(todo), dict[Future[Row], Task]()

        def keep(future: Future[Row]) -> float:
            task = waiting.pop(future)
            rows[task] = future.result()
            store.put(content_key(task.identity), rows[task])
            return task.seconds

        try:
            while True:
                # few futures at a time: an interrupt then has little to wait for
                for task in itertools.islice(pending, 2 * workers - len(waiting)):
                    waiting[pool.submit(_execute, task)] = task
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    done += keep(future)
                    report(done, total)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            for future in [future for future in waiting if not future.cancelled()]:
                keep(future)


def _not_run(tasks: list[Task], rows: dict[Task, Row]) -> Iterable[str]:
    missing: dict[str, int] = {}
    for task in tasks:
        if task not in rows:
            s = task.setting
            where = f"{s.link.text}, {s.loss.text}, d={s.d}, n={s.n}" if s else ", ".join(task.names)
            missing[f"{task.lemma} {task.kind}: {where}"] = missing.get(f"{task.lemma} {task.kind}: {where}", 0) + 1
    return (f"{label}: {count} rows" for label, count in missing.items())


def _environment() -> dict[str, str]:
    packages = ("numpy", "scipy", "sympy", "numba", "python-flint", "hypothesis")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(terse=True),
        "processor": platform.machine(),
        **{package: version(package) for package in packages},
    }


# Judging


def _judge_lemma(lemma: Lemma, plan: Plan, tasks: list[Task], rows: dict[Task, Row]) -> LemmaVerdict:
    planned = [row for row in plan.rows if row.lemma == lemma.label]
    tests = len(lemma.claims) * (1 + len(planned)) + sum(len(claim.controls) for claim in lemma.claims.values())
    # pooled claims, cells and controls of all lemmas of the run share the rate of false alarms
    alpha = FALSE_ALARM / (tests * len(_lemmas(plan)))
    done = [(task, rows[task]) for task in tasks if task in rows and task.lemma == lemma.label]
    claims = tuple(_judge_claim(claim, planned, plan.rng, done, alpha) for claim in lemma.claims.values())
    return LemmaVerdict(lemma.label, lemma.title, lemma.provenance, lemma.doc, lemma.uses, claims)


def _judge_claim(
    claim: Claim, planned: list[PlanRow], rng: int, done: list[tuple[Task, Row]], alpha: float
) -> ClaimVerdict:
    tallies, cells = [], []
    for number, row in enumerate(planned):
        mine = [r for t, r in done if t.kind == "trial" and (t.setting, t.delta) == (row.setting, row.delta)]
        results = [r["results"][claim.name] for r in sorted(mine, key=lambda r: r["index"])][: row.trials]
        tallies.append(_tally(results, row.delta))
        cells.append(_cell(claim, number, row, rng, results, tallies[-1], alpha))
    controls = tuple(_judge_control(claim, control, done, alpha) for control in claim.controls)
    searched = [r["results"][claim.name] for t, r in done if t.kind == "search" and t.names == (claim.name,)]
    status = claim_status(tallies, claim.level, alpha, bool(controls) and all(c.refuted for c in controls))
    if any(result["found"] for result in searched):
        status = "refuted"
    failures, tested = sum(t.failures for t in tallies), sum(t.tested for t in tallies)
    ratios = [ratio for tally in tallies for ratio in tally.ratios]
    delta = max(row.delta for row in planned) if claim.probabilistic else None
    return ClaimVerdict(
        label=claim.label,
        level=claim.level,
        kind=claim.kind,
        statement=claim.statement,
        summary=claim.summary,
        status=status,
        advice=ADVICE[status],
        delta=delta,
        trials=tested,
        failures=failures,
        p_value=p_value(failures, tested, delta) if delta is not None and tested else None,
        detectable_rate=detectable_rate(tested, delta, alpha) if delta is not None else None,
        ratio_worst=max([*ratios, *(float(r["ratio"]) for r in searched)], default=float("nan")),
        ratio_median=float(np.median(ratios)) if ratios else float("nan"),
        searched=sum(result["examples"] for result in searched),
        counterexample=next((result["found"] for result in searched if result["found"]), None),
        cells=tuple(cells),
        controls=controls,
    )


def _tally(results: list[Row], delta: float) -> Tally:
    outcomes: tuple[Outcome, ...] = tuple(result["outcome"] for result in results)
    ratios = tuple(float(r["ratio"]) for r in results if r["outcome"] in ("holds", "violated"))
    return Tally(outcomes, ratios, delta)


def _cell(
    claim: Claim, number: int, row: PlanRow, rng: int, results: list[Row], tally: Tally, alpha: float
) -> CellVerdict:
    compared = [(i, r) for i, r in enumerate(results) if r["outcome"] in ("holds", "violated")]
    worst = max(compared, key=lambda pair: float(pair[1]["ratio"]))[0] if compared else None
    task = Task("trial", row.lemma, (), row.setting, row.delta, rng, worst or 0)
    return CellVerdict(
        row=number,
        setting=row.setting.to_dict(),
        delta=row.delta,
        trials=len(results),
        planned=row.trials,
        failures=tally.failures,
        status=cell_status(tally, claim.level, alpha),
        expected=row.expect.get(claim.name, "holds"),
        ratios=tally.ratios,
        measured=tuple(float(r["measured"][r["worst"]]) for _, r in compared),
        stated=tuple(float(r["stated"][r["worst"]]) for _, r in compared),
        worst_trial=worst,
        command=_command(task),
    )


def _judge_control(claim: Claim, control: Control, done: list[tuple[Task, Row]], alpha: float) -> ControlVerdict:
    settings, _, delta = control_design(control)
    name = f"{claim.name}/{control.name}"
    results = [r["results"][name] for t, r in done if t.kind == "control" and name in t.names]
    tally = _tally(results, delta)
    refuted = cell_status(tally, claim.level, alpha) == "refuted"
    return ControlVerdict(
        name=control.name,
        why=control.why,
        design=tuple(setting.to_dict() for setting in settings),
        delta=delta,
        trials=tally.tested,
        failures=tally.failures,
        refuted=refuted,
        p_value=p_value(tally.failures, tally.tested, delta) if claim.probabilistic else float(not refuted),
        ratio_worst=max(tally.ratios, default=float("nan")),
        ratio_median=float(np.median(tally.ratios)) if tally.ratios else float("nan"),
    )
