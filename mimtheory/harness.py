"""Runs plans: computes the rows that the store does not have, and reports.

A run that was interrupted takes up the rows it finds.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mimtheory import __version__, environment
from mimtheory.judging import judge
from mimtheory.plan import Plan
from mimtheory.population import Population
from mimtheory.search import FAULTS
from mimtheory.setting import memory_limit
from mimtheory.store import Store, fingerprint
from mimtheory.tasks import Row, Task, check_memory, execute, groups_of, tasks_of
from mimtheory.verdicts import Report
from mimtheory.workers import run_jobs

if TYPE_CHECKING:
    from mimtheory.portrait import Portrait

__all__ = ["run"]

Progress = Callable[[float, float], None]


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
        if (row := store.get(task.key)) is not None:
            rows[task] = row
    reused = len(rows)
    _compute([task for task in tasks if task not in rows], rows, store, workers, progress)
    not_run = tuple(_not_run(tasks, rows))
    return Report(
        command=command,
        profile=plan.profile,
        rng=plan.rng,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        rows_computed=len(rows) - reused,
        rows_reused=reused,
        lemmas=judge(plan, {task: rows[task] for task in tasks if task in rows}),
        not_run=not_run,
        environment=environment.versions(),
        version=__version__,
        code=fingerprint(),
        portrait=_portrait(plan) if not not_run else None,
    )


def _compute(todo: list[Task], rows: dict[Task, Row], store: Store, workers: int, progress: Progress | None) -> None:
    total, done = sum(task.seconds for task in todo), 0.0
    report = progress or (lambda done, total: None)
    for setting in dict.fromkeys(task.setting for task in todo if task.setting):
        with suppress(*FAULTS):  # which are errors of the rows that need it
            Population(setting).prepare()  # before the pool: its cache is shared by all draws
    largest = max((task.setting.peak_bytes for task in todo if task.setting), default=1)

    def keep(group: tuple[Task, ...], computed: list[Row]) -> None:
        nonlocal done
        for task, row in zip(group, computed, strict=True):
            rows[task] = row
            store.put(task.key, row)
        done += sum(task.seconds for task in group)
        report(done, total)

    run_jobs(groups_of(todo), execute, keep, max(1, min(workers, memory_limit() // (2 * largest))))


def _portrait(plan: Plan) -> "Portrait | None":
    from mimtheory.portrait import portrait  # imports SymPy, which a run that is refused does without

    try:
        return portrait(plan.portrait, plan.rng) if plan.portrait else None
    except FloatingPointError:
        return None  # of a run that diverges, which its rows say


def _not_run(tasks: list[Task], rows: dict[Task, Row]) -> Iterable[str]:
    missing: dict[str, int] = {}
    for task in tasks:
        if task not in rows:
            s = task.setting
            where = f"{s.link.text}, {s.loss.text}, d={s.d}, n={s.n}" if s else ", ".join(task.names)
            missing[f"{task.lemma} {task.kind}: {where}"] = missing.get(f"{task.lemma} {task.kind}: {where}", 0) + 1
    return (f"{label}: {count} row{'' if count == 1 else 's'}" for label, count in missing.items())
