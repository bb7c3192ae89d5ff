"""Tasks: what a plan asks for, row by row, and the computation of one row.

A trial depends on its content only (lemma, setting, delta, seed, index), so rows are the same in any order, with any
number of workers, and lemmas that share a setting share its draws.
"""

import math
import shlex
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from mimtheory import __version__
from mimtheory.experiment import Experiment
from mimtheory.lemmas import every_lemma, find_lemma
from mimtheory.operators import DENSE_LIMIT
from mimtheory.own_lemmas import fault, home_of
from mimtheory.plan import Plan, control_design
from mimtheory.registry import Claim, Control, Cost, Lemma
from mimtheory.relations import Relation
from mimtheory.search import FAULTS, search
from mimtheory.setting import Setting, check_fits
from mimtheory.spectral_costs import ends_seconds
from mimtheory.store import content_key
from mimtheory.verdicts import SCHEMA

__all__ = [
    "Row",
    "Task",
    "check_memory",
    "command_of",
    "execute",
    "forecast",
    "groups_of",
    "lemmas_of",
    "predicted_seconds",
    "predicted_total",
    "seed_of",
    "tasks_of",
]

Row = dict[str, Any]

_SEARCHING = threading.Lock()  # Hypothesis reads source as links are read, see `expressions.syntax_tree`
_SEARCH_SECONDS = {"draw": 0.004, "run": 0.02}  # an example


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
        home = home_of(find_lemma(self.lemma))
        source = {"module": home.module, "module_code": home.code} if home else {}
        return source | {
            "kind": self.kind,
            "lemma": self.lemma,
            "names": list(self.names),
            "setting": self.setting.to_dict() if self.setting else None,
            "delta": self.delta,
            "rng": self.rng,
            "index": self.index,
        }

    @property
    def key(self) -> str:
        """Key of its row: equal tasks have equal keys, however the link was written."""
        return content_key(self.identity | {"setting": self.setting.canonical if self.setting else None})

    @property
    def seconds(self) -> float:
        if self.setting is None:
            return _SEARCH_SECONDS[find_lemma(self.lemma).cost] * self.index
        return predicted_seconds(self.setting, find_lemma(self.lemma).cost)


def predicted_seconds(setting: Setting, cost: Cost) -> float:
    """Rough time of one trial on one core: Gaussians, S_hat, its spectra (matvecs where S_hat is not formed), and the
    run: gradients, the linear trajectory, q, and the spectra of Q for four neurons."""
    n, d, m, steps = setting.n, setting.d, setting.m, setting.steps
    dense = d <= DENSE_LIMIT
    form = 6e-11 * n * d * d + 1e-9 * d**3 if dense else min(ends_seconds(n, d))
    seconds = 0.003 + 1.6e-8 * n * d + 4 * form
    if cost == "run":
        seconds += 0.002 + steps * (m * n * (2e-10 * d + 6e-8) + 2 * form)
    return seconds


def seed_of(setting: Setting, rng: int, index: int) -> np.random.SeedSequence:
    """The seed of one trial, from its content: independent of which other rows a plan has."""
    words = np.frombuffer(sha256(setting.canonical.encode()).digest(), dtype=np.uint32)
    return np.random.SeedSequence(rng, spawn_key=(*(int(word) for word in words), index))


def tasks_of(plan: Plan) -> list[Task]:
    """Every task of a plan: its rows, then the controls and the searches of its lemmas."""
    tasks = [
        Task("trial", row.lemma, tuple(find_lemma(row.lemma).claims), row.setting, row.delta, plan.rng, index)
        for row in plan.rows
        for index in range(row.trials)
    ]
    for lemma in lemmas_of(plan):
        tasks += _control_tasks(lemma, plan.rng)
        tasks += [
            Task("search", lemma.label, (claim.name,), None, 0.5, plan.rng, plan.examples)
            for claim in lemma.claims.values()
            if not claim.probabilistic
        ]
    return list(dict.fromkeys(tasks))


def lemmas_of(plan: Plan) -> list[Lemma]:
    """The lemmas of a plan in the order of the registry."""
    planned = {row.lemma for row in plan.rows}
    return [lemma for lemma in every_lemma() if lemma.label in planned]


def _control_tasks(lemma: Lemma, rng: int) -> list[Task]:
    """Controls that share a setting, delta and index share a draw."""
    groups: dict[tuple[Setting, float, int], list[str]] = {}
    for claim in lemma.claims.values():
        for control in claim.controls:
            settings, trials, delta = control_design(claim, control)
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
    largest = max((task.setting for task in tasks_of(plan) if task.setting), key=lambda s: s.peak_bytes)
    check_fits(largest)
    return largest.peak_bytes


def groups_of(tasks: Iterable[Task]) -> list[tuple[Task, ...]]:
    """Tasks that share a draw, and so a run, together; in the order of their first task."""
    groups: dict[object, list[Task]] = {}
    for task in tasks:
        draw = (task.setting, task.rng, task.index) if task.setting else task
        groups.setdefault(draw, []).append(task)
    return [tuple(group) for group in groups.values()]


def predicted_total(tasks: Iterable[Task], workers: int = 2) -> float:
    """Rough time of all tasks: those that share a draw cost little more than the one that asks most of it."""
    return sum(max(task.seconds for task in group) for group in groups_of(tasks)) / workers


def forecast(plan: Plan) -> dict[str, Any]:
    """What a plan would run, in JSON's kinds: `profile`, `rng` and `examples`; `rows` with lemma, setting, trials,
    delta, expected statuses and seconds on one core; how many `tasks` these are with their controls and searches,
    their `seconds` on two cores and the bytes of the largest draw, `peak_bytes`. Times are rough.

    Raises
    ------
    ValueError
        If one draw does not fit into this machine's memory.
    """
    rows = [
        {
            "lemma": row.lemma,
            "setting": row.setting.to_dict(),
            "trials": row.trials,
            "delta": row.delta,
            "expect": dict(row.expect),
            "seconds": row.trials * predicted_seconds(row.setting, find_lemma(row.lemma).cost),
        }
        for row in plan.rows
    ]
    tasks = tasks_of(plan)
    return {
        "profile": plan.profile,
        "rng": plan.rng,
        "examples": plan.examples,
        "rows": rows,
        "tasks": len(tasks),
        "seconds": predicted_total(tasks),
        "peak_bytes": check_memory(plan),
    }


def execute(group: tuple[Task, ...]) -> list[Row]:
    """Compute the rows of a group of tasks on their one draw."""
    setting, rng, index = group[0].setting, group[0].rng, group[0].index
    experiment = Experiment(setting, seed_of(setting, rng, index)) if setting else None
    return [_row(task, experiment) for task in group]


def _row(task: Task, experiment: Experiment | None) -> Row:
    started = time.perf_counter()
    lemma = find_lemma(task.lemma)
    try:
        if experiment is None:
            results = _searched(lemma.claims[task.names[0]], task.index, task.rng)
        else:
            results = {name: _check(lemma, name, experiment, task.delta) for name in task.names}
    except Exception as problem:
        home = home_of(lemma)
        if home is None:
            raise
        raise ValueError(
            f"lemma {lemma.label} of module {home.module!r} cannot be checked: {fault(problem)}"
        ) from problem
    return task.identity | {
        "schema": SCHEMA,
        "constants": task.setting.constants if task.setting else {},
        "results": results,
        "seconds": time.perf_counter() - started,
        "version": __version__,
        "command": command_of(task),
    }


def _searched(claim: Claim, examples: int, rng: int) -> Row:
    with _SEARCHING:
        found = search(claim, examples, rng=rng)
    return {
        claim.name: {
            "ratio": _plain(found.ratio_worst),
            "examples": found.examples,
            "found": found.counterexample,
            "faulty": found.faulty,
            "tightest": found.tightest,
        }
    }


def _check(lemma: Lemma, name: str, experiment: Experiment, delta: float) -> Row:
    claim, control = _find(lemma, name)
    try:
        relation = claim.check(experiment, delta, control)
    except FAULTS as problem:
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


def command_of(task: Task) -> str:
    """The command that computes this row (and those before it) again."""
    home = home_of(find_lemma(task.lemma))
    words = ["mimtheory", "verify", task.lemma, *(["--module", home.module] if home else [])]
    if task.kind == "search":
        words += ["--examples", str(task.index)]
    if task.kind != "trial" or task.setting is None:
        return shlex.join([*words, "--rng", str(task.rng)])
    for name, value in task.setting.told().items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--delta", str(task.delta), "--trials", str(task.index + 1), "--rng", str(task.rng)]
    return shlex.join(words)
