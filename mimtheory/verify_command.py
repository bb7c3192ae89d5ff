"""What `mimtheory verify` does: a plan from its options, the run or what it would take, the report.

As in `cli`, a function imports what it needs: bad input should not wait for anything else.
"""

import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimtheory.plan import Plan
    from mimtheory.verdicts import Report

__all__ = ["SAMPLES_PER_DIMENSION", "centre_of", "foresee", "load_module", "plan_of", "run_and_report"]

SAMPLES_PER_DIMENSION = 40
_DEFAULTS: dict[str, Any] = {"link": "h4+h4", "loss": "huber(1)", "d": 100}


def centre_of(text: str | None) -> float | str | None:
    """A centring constant from the command line; ValueError for what is none."""
    if text is None or text in ("population", "fitted"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"centre = {text!r}; allowed: a finite number, 'population' or 'fitted'") from None


def load_module(module: str | None) -> list[str]:
    """Labels of the lemmas of a module of the user's."""
    if module is None:
        return []
    from mimtheory.lemmas import load_lemmas

    return [lemma.label for lemma in load_lemmas(module)]


def plan_of(
    lemmas: list[str],
    profile: str | None,
    given: dict[str, Any],
    trials: int | None,
    delta: float | None,
    examples: int | None,
    rng: int,
    module: str | None,
) -> "Plan":
    """The rows of a profile, or of a setting of one's own if any of its fields is `given`; ValueError for what does not
    fit. Lemmas of a `module` stand beside the paper's."""
    from mimtheory.arguments import check_delta, check_integer
    from mimtheory.setting import Setting, check_fits

    if trials is not None:
        check_integer("trials", trials, 1, "an integer from 1")
    if examples is not None:
        check_integer("examples", examples, 1, "an integer from 1")
    if delta is not None:
        check_delta(delta)
    if given and profile is not None:
        raise ValueError(f"profile = {profile!r} cannot be combined with {', '.join(given)}; allowed: one of the two")
    values = _DEFAULTS | given
    values.setdefault("n", SAMPLES_PER_DIMENSION * values["d"])
    setting = Setting.from_dict(values)
    check_fits(setting)
    # what follows takes half a second to import, which a bad setting should not cost
    from mimtheory.lemmas import REGISTRY, find_lemma
    from mimtheory.operators import DENSE_LIMIT
    from mimtheory.plan import DELTA, EXAMPLES, TRIALS, Plan, PlanRow, read_plan

    brought = load_module(module)
    named = list(dict.fromkeys(find_lemma(label).label for label in lemmas))
    if not given:
        plan = read_plan(profile or "quick").with_lemmas(named or brought).restricted(named)
        return plan.with_overrides(trials=trials, delta=delta, examples=examples, rng=rng)
    trials, delta = TRIALS if trials is None else trials, DELTA if delta is None else delta
    labels = named or [lemma.label for lemma in REGISTRY] + brought
    rows = tuple(PlanRow(label, setting, trials, delta) for label in labels)
    drawn = setting.d <= DENSE_LIMIT and any(find_lemma(label).cost == "run" for label in labels)
    examples = EXAMPLES if examples is None else examples
    return Plan("custom", rows, rng, examples, portrait=setting if drawn else None)


def foresee(plan: "Plan", json: bool) -> int:
    """Print what a plan would take; exit code 0."""
    from json import dumps

    from mimtheory.tasks import forecast
    from mimtheory.terminal import print_plan

    if json:
        print(dumps(forecast(plan)))
    else:
        print_plan(plan)
    return 0


def run_and_report(plan: "Plan", out: Path, json: bool) -> int:
    """Run a plan, write its rows and report into `out`, print the report; its exit code."""
    from mimtheory.arguments import check_text

    check_text("out", out)  # the report names it
    from mimtheory.harness import run
    from mimtheory.store import Store
    from mimtheory.tasks import check_memory
    from mimtheory.terminal import print_report, progress_bar
    from mimtheory.whole_files import write_whole

    check_memory(plan)
    command = shlex.join(["mimtheory", *sys.argv[1:]])
    with closing(Store(out)) as store, progress_bar("verifying") as progress:
        report = run(plan, store, command=command, progress=progress)
    try:
        write_whole(out / "report.json", report.to_json())
        page = _write_page(report, out)
    except OSError as problem:
        raise ValueError(
            f"out = {str(out)!r}: the report cannot be written: {problem}; the rows are; allowed: a writable folder"
        ) from None
    if json:
        print(report.to_json())
    else:
        print_report(report, out, page)
    return report.exit_code


def _write_page(report: "Report", out: Path) -> str:
    try:
        from mimtheory.reporting import write_page

        return str(write_page(report, out))
    except ImportError as missing:
        return f"not written: {missing}"
