"""The command line; `exits` says how it ends.

Only light modules are imported here; a command imports what it needs, so that help is immediate.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mimtheory.exits import guarded
from mimtheory.verify_command import SAMPLES_PER_DIMENSION, centre_of, foresee, load_module, plan_of, run_and_report

__all__ = ["app", "main"]

app = typer.Typer(
    name="mimtheory",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)

reports = typer.Typer(no_args_is_help=True, help="Look at reports of earlier runs.")
app.add_typer(reports, name="report")

Module = Annotated[str | None, typer.Option(help="A module of your own whose lemmas stand beside the paper's.")]


def main() -> None:
    """Entry point of `mimtheory`."""
    guarded(app)


def _print_version(asked: bool) -> None:
    if asked:
        from mimtheory import __version__

        print(f"mimtheory {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Check the theory of learning multi-index models by gradient descent against measured values."""


@app.command()
def doctor() -> int:
    """Look at versions, threads, BLAS and the cache of compiled kernels, and run a short self-test.

    Exit code 0: all in order. 1: something is not.
    """
    from mimtheory.diagnosis import diagnose
    from mimtheory.terminal import print_observations

    return print_observations(diagnose())


@reports.command()
def diff(
    first: Annotated[Path, typer.Argument(help="The report.json of a run.")],
    second: Annotated[Path, typer.Argument(help="That of another.")],
) -> int:
    """Print what the second report says otherwise than the first.

    Exit code 0: every status is the same. 1: a status differs. 2: bad input.
    """
    from mimtheory.comparing import differences, read_report
    from mimtheory.terminal import print_difference

    found = differences(read_report(first, "first"), read_report(second, "second"))
    print_difference(found)
    return int(bool(found.statuses))


@app.command("list")
def list_lemmas(module: Module = None) -> None:
    """List every lemma with its claims, levels and controls."""
    from mimtheory.lemmas import load_installed
    from mimtheory.terminal import print_registry

    load_installed()
    load_module(module)
    print_registry()


@app.command()
def explain(
    label: Annotated[str, typer.Argument(help="A lemma, a claim or an assumption, such as A.2 or A.2/perp_block.")],
    module: Module = None,
) -> None:
    """Print a statement in words: claims, levels, controls, provenance and where the proof is."""
    from mimtheory.lemmas import find_claim, find_lemma
    from mimtheory.terminal import print_assumption, print_claim, print_lemma

    load_module(module)
    if label.startswith(("ass", "def")):
        print_assumption(label)
    elif "/" in label:
        print_claim(find_claim(label))
    else:
        print_lemma(find_lemma(label))


@app.command()
def verify(
    lemmas: Annotated[list[str] | None, typer.Argument(help="Labels such as A.2; all if none is given.")] = None,
    profile: Annotated[str | None, typer.Option(help="quick (default) or full.")] = None,
    link: Annotated[str | None, typer.Option(help="A link of your own, such as 'h4(z1) + h4(z2)'.")] = None,
    loss: Annotated[str | None, typer.Option(help="A loss, such as 'huber(1)'.")] = None,
    d: Annotated[int | None, typer.Option(help="Input dimension.")] = None,
    n: Annotated[int | None, typer.Option(help="Samples; 40 d if not given.")] = None,
    activation: Annotated[str | None, typer.Option(help="An activation, such as '1-cos'.")] = None,
    m: Annotated[int | None, typer.Option(help="Neurons, an even number.")] = None,
    T1: Annotated[int | None, typer.Option("--T1", help="Steps of stage one.")] = None,
    eps0: Annotated[float | None, typer.Option(help="Norm of a neuron at the start.")] = None,
    centre: Annotated[str | None, typer.Option(help="Centring constant: a number, 'population' or 'fitted'.")] = None,
    label_noise: Annotated[float | None, typer.Option(help="Standard deviation of the label noise.")] = None,
    eta1: Annotated[float | None, typer.Option(help="Step size.")] = None,
    beta1: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    eta_last: Annotated[float | None, typer.Option(help="Step size of the last step.")] = None,
    a_scale: Annotated[float | None, typer.Option(help="Size |a_j| of the outer weights.")] = None,
    delta: Annotated[float | None, typer.Option(help="Failure probability of the claims at levels G and P.")] = None,
    trials: Annotated[int | None, typer.Option(help="Draws for each row.")] = None,
    examples: Annotated[int | None, typer.Option(help="Examples of a search at levels I and D.")] = None,
    rng: Annotated[int, typer.Option(help="Seed.")] = 0,
    module: Module = None,
    out: Annotated[Path, typer.Option(help="Folder of the rows and the report; an earlier run there resumes.")] = Path(
        "mimtheory-out"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print the report, or the rows of a dry run, as JSON.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print rows, predicted time and memory; run none.")
    ] = False,
) -> int:
    """Check lemmas on real draws and write a report.

    Exit code 0: every row as expected, every control refuted. 1: a claim is refuted. 2: bad input. 3: something is
    undecided, a control survived, or rows were not run.
    """
    own = {"link": link, "loss": loss, "d": d, "n": n, "centre": centre_of(centre), "label_noise": label_noise}
    own |= {"activation": activation, "m": m, "T1": T1, "eps0": eps0}
    own |= {"eta1": eta1, "beta1": beta1, "eta_last": eta_last, "a_scale": a_scale}
    given = {name: value for name, value in own.items() if value is not None}
    plan = plan_of(list(lemmas or []), profile, given, trials, delta, examples, rng, module)
    return foresee(plan, json) if dry_run else run_and_report(plan, out, json)


@app.command()
def explore(
    link: Annotated[str, typer.Argument(help="A link, such as 'h4(z1) + h4(z2)' or a name.")],
    loss: Annotated[str, typer.Option(help="A loss, such as 'huber(1)'.")] = "huber(1)",
    activation: Annotated[str, typer.Option(help="An activation, such as '1-cos'.")] = "1-cos",
    d: Annotated[int, typer.Option(help="Input dimension.")] = 100,
    n: Annotated[int | None, typer.Option(help="Samples; 40 d if not given.")] = None,
    m: Annotated[int, typer.Option(help="Neurons, an even number.")] = 64,
    T1: Annotated[int | None, typer.Option("--T1", help="Steps of stage one.")] = None,
    eps0: Annotated[float, typer.Option(help="Norm of a neuron at the start.")] = 0.01,
    centre: Annotated[str, typer.Option(help="Centring constant: a number, 'population' or 'fitted'.")] = "0",
    label_noise: Annotated[float, typer.Option(help="Standard deviation of the label noise.")] = 0.0,
    eta1: Annotated[float | None, typer.Option(help="Step size.")] = None,
    beta1: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    eta_last: Annotated[float | None, typer.Option(help="Step size of the last step.")] = None,
    a_scale: Annotated[float | None, typer.Option(help="Size |a_j| of the outer weights.")] = None,
    delta: Annotated[float, typer.Option(help="Failure probability of the bounds.")] = 0.01,
    json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Print what the theory says of a problem without a draw: C, assumptions, bounds, steps, the n it needs."""
    from mimtheory.arguments import check_delta
    from mimtheory.setting import Setting

    check_delta(delta)
    n = SAMPLES_PER_DIMENSION * d if n is None else n
    fields = {"activation": activation, "m": m, "T1": T1, "eps0": eps0, "centre": centre_of(centre)}
    fields |= {"label_noise": label_noise, "eta1": eta1, "beta1": beta1, "eta_last": eta_last}
    fields |= {} if a_scale is None else {"a_scale": a_scale}
    setting = Setting.from_dict({"link": link, "loss": loss, "d": d, "n": n, **fields})
    # what follows takes a second to import, which a bad setting should not cost
    from mimtheory.exploration import Exploration
    from mimtheory.terminal import print_exploration

    found = Exploration(setting, delta)
    if json:
        print(found.to_json())
    else:
        print_exploration(found)


@app.command()
def certify(
    link: Annotated[str, typer.Argument(help="A link, such as 'h4(z1) + h4(z2)' or a name.")],
    loss: Annotated[str, typer.Option(help="A loss, such as 'huber(1)'.")] = "huber(1)",
    centre: Annotated[float, typer.Option(help="Centring constant, a number.")] = 0.0,
    label_noise: Annotated[float, typer.Option(help="Standard deviation of the label noise.")] = 0.0,
    digits: Annotated[int | None, typer.Option(help="Enclose C to this many digits as well.")] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 60.0,
    out: Annotated[Path | None, typer.Option(help="File for the certificate.")] = None,
) -> int:
    """Prove that C has full rank, with bounds on its eigenvalues, or that it is singular.

    Exit code 0: proved either way. 2: bad input. 3: undecided in the time.
    """
    from mimtheory.arguments import check_file

    check_file("out", out)
    from mimtheory.hessian import certificate_of

    certificate = certificate_of(link, loss, centre, label_noise, time_limit=time_limit, digits=digits)
    print(certificate)
    if digits is not None and certificate.C is not None:
        print(f"C = {_shown(certificate.C, digits)}")
    if out is not None:
        certificate.write(out)
    return 3 if certificate.status == "undecided" else 0


def _shown(C: tuple[tuple[str, ...], ...], digits: int) -> str:
    """The entries of a certificate to so many decimal places, and at least eighteen, as a result prints them."""
    from mimtheory.balls import ball_from_text, certified_text, precision

    with precision(64 + 4 * digits):
        rows = ("  ".join(certified_text(ball_from_text(entry), max(18, digits)) for entry in row) for row in C)
        return f"[{'; '.join(rows)}]"


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A certificate that certify wrote.")],
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 60.0,
) -> int:
    """Check a certificate from its file alone, by an independent route.

    Exit code 0: confirmed. 1: rejected. 2: not a certificate. 3: not confirmed in the time.
    """
    from mimtheory.certificate import check_certificate

    outcome = check_certificate(path, time_limit)
    print(outcome)
    return {"confirmed": 0, "rejected": 1, "undecided": 3}[outcome.status]


@app.command()
def frontier(
    lemmas: Annotated[list[str] | None, typer.Argument(help="Labels such as A.2; all if none is given.")] = None,
    write: Annotated[Path | None, typer.Option(help="Measure anew (minutes) and write to this file.")] = None,
) -> None:
    """Print how tight every bound is: the largest measured/bound ratio that is known, and where."""
    from mimtheory import frontier as tightness
    from mimtheory.arguments import check_file
    from mimtheory.terminal import print_frontier

    labels = list(lemmas or [])
    if write is None:
        labels = [claim.label for claim in tightness.bounds(labels)]
        print_frontier([entry for label, entry in tightness.known().items() if label in labels])
        return
    check_file("write", write)
    entries = tightness.measure(labels, lambda label: print(label, file=sys.stderr))
    tightness.write(entries, write)
    print_frontier(entries)


@app.command()
def warm() -> None:
    """Compile all kernels for this machine, or find them compiled."""
    from mimtheory import kernels

    print(f"kernels ready after {kernels.warm():.1f} s")


@app.command()
def bench(
    json: Annotated[bool, typer.Option("--json", help="Print every timing as JSON.")] = False,
    repeats: Annotated[int, typer.Option(help="Rounds of every race.")] = 7,
    verification: Annotated[bool, typer.Option(help="Time the quick verification too.")] = True,
    page: Annotated[Path | None, typer.Option(help="Write the table and the roofline to this Markdown page.")] = None,
) -> None:
    """Time the kernels against NumPy, torch (where installed) and what the machine allows."""
    from mimtheory.arguments import check_file

    check_file("page", page)
    from mimtheory.benchmark_page import markdown, write_page
    from mimtheory.benchmarking import benchmark

    result = benchmark(repeats=repeats, verification=verification)
    if page is not None:
        write_page(result, page)
    print(result.to_json() if json else markdown(result))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="The --out folder of an earlier verify.")],
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of one JSON object a line.")] = False,
) -> None:
    """Print every stored trial as a flat table, one line a claim."""
    from mimtheory.store import print_rows

    print_rows(folder, csv)
