"""`python -m verification STUDY ...`: measure, draw, and hold the result against criteria stated beforehand."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from verification.study import Options, Outcome, Study

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def studies(
    names: Annotated[
        list[str], typer.Argument(help="fig1, fig2, theorem1, steps, losses, activations, joint, or all.")
    ],
    profile: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    rng: Annotated[int, typer.Option(help="Seed.")] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder; a study writes into a folder of its name and resumes there.")
    ] = Path("out/verification"),
    link: Annotated[str | None, typer.Option(help="A link of your own (fig1, fig2, steps).")] = None,
    loss: Annotated[str | None, typer.Option(help="A loss of your own (fig1, fig2, steps).")] = None,
    activation: Annotated[str | None, typer.Option(help="An activation of your own (fig1, fig2, steps).")] = None,
) -> int:
    """Reproduce the paper's figures and claims.

    Exit code 0: every criterion that was measured holds. 1: one does not. 2: bad input. 3: interrupted; the same
    command resumes.
    """
    options = _options(profile, rng, link, loss, activation)
    chosen = _chosen(names, options)
    outcomes: list[Outcome] = []
    for study in chosen:
        found, complete = _run(study, options, out / study.name)
        if not complete:
            print(f"{study.name}: interrupted; the rows that were done are kept, and the same command resumes.")
            return 3
        outcomes += found
    return int(any(outcome.status == "refuted" for outcome in outcomes))


def _options(profile: str, rng: int, link: str | None, loss: str | None, activation: str | None) -> "Options":
    from mimtheory.arguments import check_integer
    from mimtheory.setting import Setting
    from verification.study import Options

    check_integer("rng", rng, 0, "an integer from 0")
    if profile in ("quick", "full"):
        given = {"link": link, "loss": loss, "activation": activation}
        # what cannot be read is refused before any work
        fields = {"link": "h2", "loss": "huber(1)"} | {
            name: value for name, value in given.items() if value is not None
        }
        Setting.from_dict(fields | {"d": 10, "n": 10})
        return Options("full" if profile == "full" else "quick", rng, link, loss, activation)
    raise ValueError(f"profile = {profile!r}; allowed: quick, full")


def _chosen(names: list[str], options: "Options") -> "list[Study]":
    from verification.studies import STUDIES

    known = {study.name: study for study in STUDIES}
    for name in names:
        if name not in known and name != "all":
            raise ValueError(f"study = {name!r} is unknown; allowed: {', '.join(known)}, all")
    chosen = list(STUDIES) if "all" in names else [known[name] for name in dict.fromkeys(names)]
    for study in chosen:
        for name in options.own:
            if name not in study.own:
                allowed = ", ".join(study.own) or "none of link, loss, activation"
                raise ValueError(
                    f"{name} = {options.own[name]!r} cannot be chosen for {study.name}; allowed: {allowed}"
                )
    return chosen


def _run(study: "Study", options: "Options", out: Path) -> "tuple[tuple[Outcome, ...], bool]":
    from rich.console import Console
    from rich.table import Table

    from mimtheory.terminal import progress_bar
    from verification.study import run_study

    command = f"python -m verification {study.name} --profile {options.profile} --rng {options.rng}"
    command += "".join(f" --{name} {shlex.quote(value)}" for name, value in options.own.items())
    with progress_bar(study.name) as progress:
        outcomes, complete = run_study(study, options, out, command=command, progress=progress)
    if complete:
        table = Table(title=f"{study.name}  {study.title}", title_justify="left")
        for column in ("criterion", "stated beforehand", "found", "status"):
            table.add_column(column, justify="right" if column == "found" else "left")
        for outcome in outcomes:
            found = "-" if outcome.value is None else f"{outcome.value:.3g}"
            table.add_row(outcome.criterion.name, _limits(outcome), found, outcome.status)
        console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
        console.print(table)
        for outcome in outcomes:
            if outcome.status != "holds":
                console.print(f"{outcome.criterion.name} is {outcome.status}. {outcome.advice}", markup=False)
        console.print(f"Figures, rows and verdict: {out}", markup=False)
    return outcomes, complete


def _limits(outcome: "Outcome") -> str:
    c = outcome.criterion
    least, most = (
        f"{c.at_least:g} <= " if c.at_least > -1e300 else "",
        f" <= {c.at_most:g}" if c.at_most < 1e300 else "",
    )
    return f"{c.states} ({least}value{most})"


def main() -> None:
    """Entry point of `python -m verification`."""
    from mimtheory.exits import guarded

    guarded(app)


if __name__ == "__main__":
    main()
