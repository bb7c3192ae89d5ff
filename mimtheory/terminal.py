"""What the command line prints: tables that align, a progress bar with an estimate, one sentence of result."""

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mimtheory.lemmas import every_lemma
from mimtheory.plan import Plan
from mimtheory.registry import LEVELS, Claim, Lemma
from mimtheory.tasks import forecast
from mimtheory.verdicts import PROVENANCE, ClaimVerdict, Report, Status

if TYPE_CHECKING:
    from mimtheory.comparing import Difference
    from mimtheory.diagnosis import Observation
    from mimtheory.exploration import Exploration
    from mimtheory.frontier import Tightest

__all__ = [
    "print_assumption",
    "print_claim",
    "print_difference",
    "print_exploration",
    "print_frontier",
    "print_lemma",
    "print_observations",
    "print_plan",
    "print_registry",
    "print_report",
    "progress_bar",
]

_STYLE: dict[Status, str] = {
    "holds": "green",
    "refuted": "bold red",
    "vacuous": "yellow",
    "undecided": "magenta",
    "skipped": "dim",
    "error": "bold red",
}


_PAGE = 100  # columns of a pipe that gets sentences
_NARROW: dict[str, Any] = {"box": None, "padding": (0, 1, 0, 0), "pad_edge": False}  # for terminals of 80 columns


def _console(piped: int = 140) -> Console:
    # a pipe gets plain text of a width at which no table wraps, or of a page
    return Console(width=None if sys.stdout.isatty() else piped, highlight=False)


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def print_registry() -> None:
    """Every lemma with its claims."""
    console = _console(_PAGE)
    for lemma in every_lemma():
        console.print(f"[bold]{lemma.label}[/] {lemma.title}")
        console.print(f"{PROVENANCE[lemma.provenance]}", style="dim")
        table = Table(box=None, pad_edge=True)
        for column in ("claim", "level", "what it states", "controls"):
            table.add_column(column, overflow="fold")
        for claim in lemma.claims.values():
            table.add_row(claim.label, claim.level, claim.summary, str(len(claim.controls)))
        console.print(table)


def print_lemma(lemma: Lemma) -> None:
    """A lemma in words, and each of its claims."""
    console = _console(_PAGE)
    _print_words(lemma)
    console.print()
    for claim in lemma.claims.values():
        _print_statement(claim)
        console.print()


def print_claim(claim: Claim) -> None:
    """A claim, and its lemma in words: symbols, provenance and where the proof is."""
    _print_statement(claim)
    print()
    _print_words(claim.lemma)


def _print_words(lemma: Lemma) -> None:
    console = _console(_PAGE)
    console.print(f"[bold]{lemma.label}. {lemma.title}[/]")
    console.print(f"Provenance: {PROVENANCE[lemma.provenance]}.\n")
    console.print(Text("\n\n".join(_lines_joined(lemma.doc))))


def _lines_joined(doc: str) -> Iterator[str]:
    """The paragraphs of a docstring for a terminal of any width; one with an indented line keeps its lines."""
    for block in doc.split("\n\n"):
        text = block if re.search("^ ", block, re.MULTILINE) else " ".join(block.split())
        yield re.sub(r"docs/theory/\w+\.md", r"\g<0> in the repository", text)


def _print_statement(claim: Claim) -> None:
    """A claim: its level, its statement in words and in LaTeX, its controls."""
    console = _console(_PAGE)
    console.print(Text(f"{claim.label} [{claim.level}]", style="bold"), Text(LEVELS[claim.level], style="dim"))
    console.print(Text(f"  {claim.summary}"))
    console.print(Text(f"  {claim.statement}", style="cyan"))
    for control in claim.controls:
        console.print(Text(f"  control {control.name}: {control.why}", style="dim"))


def print_assumption(label: str) -> None:
    """What an assumption asks for, and how to check it."""
    from mimtheory.advisor import summary_of_assumption

    console, summary = _console(), summary_of_assumption(label)
    console.print(Text(label, style="bold"), Text("assumption, labelled so in arXiv 2511.15120", style="dim"))
    console.print(Text(f"  {summary}"))
    console.print(Text("  Checked for a problem by mimtheory explore, with numbers and advice.", style="dim"))


def print_exploration(found: "Exploration") -> None:
    """Expansion, expected Hessian, findings, bounds without a draw, and the window of steps."""
    _console().print(found)


def print_frontier(entries: "Iterable[Tightest]") -> None:
    """The tightness frontier, one line a bound."""
    console = _console()
    title = "Tightness: measured/bound where it is largest, by search or among fixed designs"
    table = Table(title=title, title_justify="left", **_NARROW)
    for column in ("claim", "level", "ratio", "link", "loss", "d", "n", "found by"):
        right, whole = column in ("ratio", "d", "n"), column in ("claim", "ratio")
        table.add_column(column, justify="right" if right else "left", no_wrap=whole, overflow="fold")
    for entry in entries:
        s = entry.setting
        how = "search" if entry.seed is not None else f"{1 - entry.delta:.0%} of {entry.trials} draws"
        row = (entry.claim, entry.level, f"{entry.ratio:.3g}", s["link"], s["loss"], str(s["d"]), str(s["n"]), how)
        table.add_row(*row)
    console.print(table)
    console.print("90% of 40 draws: the 90% quantile of their ratios; single draws can lie above it.", style="dim")


def print_plan(plan: Plan) -> None:
    """The rows of a plan with predicted time and memory; nothing is run."""
    console, foreseen = _console(), forecast(plan)
    table = Table(title=f"Plan {plan.profile}, rng {plan.rng}: nothing was run", title_justify="left", **_NARROW)
    numbers = ("d", "n", "trials", "delta", "seconds")
    for column in ("lemma", "link", "loss", "activation", *numbers, "expects, if not holds"):
        right, whole = column in numbers, column in ("lemma", "activation")
        table.add_column(column, justify="right" if right else "left", no_wrap=right or whole, overflow="fold")
    for row in foreseen["rows"]:
        s = row["setting"]
        expected = "; ".join(f"{status}: {names}" for status, names in _by_status(row["expect"]))
        cells = (str(s["d"]), str(s["n"]), str(row["trials"]), f"{row['delta']:g}", f"{row['seconds']:.1f}")
        table.add_row(row["lemma"], s["link"], s["loss"], s["activation"], *cells, expected)
    console.print(table)
    console.print(
        f"{foreseen['tasks']} rows with controls and searches, about {foreseen['seconds']:.0f} s "
        f"on two cores; the largest draw needs {foreseen['peak_bytes'] / 2**20:,.0f} MiB."
    )


def _by_status(expected: dict[str, Status]) -> Iterator[tuple[Status, str]]:
    for status in dict.fromkeys(expected.values()):
        yield status, ", ".join(claim for claim, other in expected.items() if other == status)


def print_observations(seen: "Iterable[Observation]") -> int:
    """What `doctor` saw, line by line as it comes; 1 if something is not in order."""
    console, wrong = _console(), 0
    for observation in seen:
        wrong += not observation.fine
        console.print(Text(f"{'ok  ' if observation.fine else 'BAD '} {observation.name:22} {observation.seen}"))
    console.print(
        "\nEverything is in order." if not wrong else f"\n{_counted(wrong, 'thing is', 'things are')} not in order.",
        style="bold",
    )
    return int(wrong > 0)


def print_difference(found: "Difference") -> None:
    """What differs between two reports."""
    console = _console()
    for title, changes in (("Statuses", found.statuses), ("Tightness", found.ratios), ("Runs", found.surroundings)):
        if not changes:
            continue
        table = Table(title=title, title_justify="left")
        for column in ("where", "what", "first", "second"):
            table.add_column(column)
        for change in changes:
            table.add_row(*(Text(text or "-") for text in (change.name, change.what, change.before, change.after)))
        console.print(table)
    count = len(found.statuses)
    console.print(
        f"{_counted(count, 'status differs', 'statuses differ')}." if count else "Every status is the same.",
        style="bold",
    )


class _Left(ProgressColumn):
    """The time that is left, where it is known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        return Text("" if task.time_remaining is None else f"{timedelta(seconds=int(task.time_remaining))} left")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float, float], None]]:
    """A bar on stderr with elapsed and remaining time; silent where stderr is no terminal."""
    columns = (TextColumn(what), BarColumn(), TimeElapsedColumn(), TextColumn("elapsed"), _Left())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_report(report: Report, folder: Path, page: str) -> None:
    """The verdicts, the controls that survived, what was not run, and where the report is."""
    console = _console()
    for lemma in report.lemmas:
        table = Table(title=f"{lemma.label}  {lemma.title}", title_justify="left", **_NARROW)
        for column in ("claim", "level", "status", "worst", "median", "fails", "detects", "controls"):
            words = column in ("claim", "level", "status")
            table.add_column(column, justify="left" if words else "right", no_wrap=words, overflow="fold")
        for claim in lemma.claims:
            table.add_row(*_cells(claim))
        console.print(table)
        console.print(f"Provenance: {PROVENANCE[lemma.provenance]}.", style="dim")
    console.print(
        "worst, median: measured/stated (identities: in units of their roundoff), the worst also of the search; *: of "
        "the search alone, where no trial of the rows could be compared. fails: of how many trials. detects: "
        "smallest failure rate, the same in all cells, that the exact test would have refuted with probability 0.95. "
        "controls: how many are refuted.",
        style="dim",
    )
    for line in _remarks(report):
        console.print(Text(line))
    console.print(f"\n{_sentence(report)}", style="bold")
    console.print(
        f"{report.rows_computed} rows computed, {report.rows_reused} taken from an earlier run, "
        f"{report.seconds:.1f} s. Report: {page}. Rows: {folder / 'rows.sqlite'}"
    )


def _cells(claim: ClaimVerdict) -> tuple[str | Text, ...]:
    detects = "any" if claim.delta is None else _number(claim.detectable_rate)
    refuted = sum(control.refuted for control in claim.controls)
    return (
        claim.label,
        claim.level,
        Text(claim.status, style=_STYLE[claim.status]),
        _worst(claim),
        _number(claim.ratio_median),
        f"{claim.failures}/{claim.trials}",
        detects,
        f"{refuted}/{len(claim.controls)}",
    )


def _worst(claim: ClaimVerdict) -> str:
    """The worst ratio, with a star where no trial had one and the search found it in a setting of its own."""
    alone = not claim.trials and not math.isnan(claim.ratio_worst)
    return _number(claim.ratio_worst) + "*" * alone


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3g}"


def _remarks(report: Report) -> Iterator[str]:
    for claim in report.claims:
        if claim.status != "holds":
            yield f"{claim.label} is {claim.status}. {claim.advice}"
        if claim.counterexample:
            yield f"{claim.label}: counterexample {claim.counterexample}"
        for control in claim.controls:
            if not control.refuted:
                counts = f"survived ({control.failures}/{control.trials})" if control.trials else "was not run"
                yield f"{claim.label}: the control {control.name} {counts}"
        yield from _unexpected(claim)
    for label in report.not_run:
        yield f"not run: {label}"


def _unexpected(claim: ClaimVerdict) -> Iterator[str]:
    """Rows whose status is not the expected one: the first in full, the number of the others."""
    cells = [cell for cell in claim.cells if cell.status != cell.expected]
    if cells:
        first, others = (
            cells[0],
            f" ({_counted(len(cells) - 1, 'more row', 'more rows')} like this)" if len(cells) > 1 else "",
        )
        where = f"row {first.row} ({first.setting['link']}, {first.setting['loss']})"
        yield f"{claim.label}: {where} expected {first.expected}, is {first.status}: {first.command}{others}"


def _sentence(report: Report) -> str:
    meaning = {
        0: "Every row is as expected and every control is refuted.",
        1: "A claim is refuted.",
        3: "Not everything was decided as expected: see the lines above.",
    }
    if report.not_run:
        meaning[3] = "Not everything was run: the same command goes on from here."
    holds = sum(claim.status == "holds" for claim in report.claims)
    return f"{holds} of {len(report.claims)} claims hold. {meaning[report.exit_code]}"
