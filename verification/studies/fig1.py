"""Figure 1: how many samples a given test error takes, as an exponent of d.

Linearised stage one without X (`mimtheory.linearised`), stage two by the exact ridge solution on samples that are not
kept. The smallest alpha with |D1| + |D2| = d^alpha is read from the median error over seeds on a grid of n/d, between
logarithms.
"""

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from verification.drawing import COLOURS, SHAPES, logarithmic, new_figure, numbered
from verification.statistics import crossing, interval
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import direct_network, error_of, linearised_network, prepared

TARGETS = (("h2h2", "huber(2)"), ("h4+h4", "huber(1)"))
ERRORS = (1.0, 0.1, 0.01)
M = 128


def points(options: Options) -> list[tuple[Row, int]]:
    """Targets x d x n/d; for the paper's own also the error ratios of `mixed`, the bias, and the smallest error."""
    dimensions, last, seeds = ([50, 100, 200, 400, 800], 12, 9) if options.full else ([50, 100, 200], 10, 5)
    own = bool(options.own)
    targets = ((options.link or "h2h2", options.loss or "huber(1)"),) if own else TARGETS
    base = {"m": M, "activation": options.activation or "1-cos", "engine": "linearised"}
    grid = [(link, loss, d, 2**k) for link, loss in targets for d in dimensions for k in range(3, last + 1)]
    if options.full and not own:
        grid += [("mixed", "huber(2)", d, 2**k) for d in dimensions[1:4] for k in range(7, last)]
    found = [(base | {"link": link, "loss": loss, "d": d, "ratio": k}, seeds) for link, loss, d, k in grid]
    if not own:
        compared = base | {"link": "h2h2", "loss": "huber(2)", "d": 100, "purpose": "bias"}
        found += [(compared | {"ratio": 256, "engine": engine}, 3 * seeds) for engine in ("linearised", "direct")]
    if options.full and not own:
        # the error is that of the directions: most samples belong to stage one
        smallest = {"link": "h2h2", "loss": "huber(1)", "d": 100, "ratio": 20480, "share": 0.75}
        found += [(base | smallest | {"purpose": "smallest"}, seeds)]
    return found


def measure(point: Row, rng: np.random.Generator) -> Row:
    """Test error of the network of both stages, with half of the samples each, or a `share` of them in stage one."""
    fields = {name: point[name] for name in ("link", "loss", "d", "m", "activation")}
    total = point["ratio"] * point["d"]
    first = round(point.get("share", 0.5) * total)
    population = prepared(**fields, n=first, centre="population", eps0=1e-3)
    engine = linearised_network if point["engine"] == "linearised" else direct_network
    network, U = engine(population, rng, total - first)
    return {"error": error_of(network, population, U)}


def seconds(point: Row) -> float:
    n, d = point["ratio"] * point["d"] / 2, point["d"]
    stage_one = 2e-9 * d**3 if point["engine"] == "linearised" else 2e-7 * n * d
    return 0.02 + stage_one + 3e-6 * n


def curve(table: Table, link: str, d: int) -> tuple[np.ndarray, np.ndarray]:
    """n/d, and the error for every one of them and every seed."""
    rows = table.where(link=link, d=d, engine="linearised")
    return Table(row for row in rows.rows if "purpose" not in row).by_seed("ratio", "error")


def samples(table: Table, link: str, d: int, error: float) -> tuple[float, float, float]:
    """The smallest n/d at which the median error is at most `error`, with its interval; infinite if not reached."""
    ratio, errors = curve(table, link, d)
    return interval(errors, lambda sample: crossing(ratio, np.median(sample, axis=1), error))


def _alpha(ratio: np.ndarray, d: np.ndarray) -> np.ndarray:
    """alpha with ratio d = d^alpha."""
    return np.asarray(1 + np.log(ratio) / np.log(d))


def values(table: Table, options: Options) -> Values:
    links, dimensions = [link for link, _ in TARGETS], np.array(table.where(link="h2h2").values("d"))
    needed = {
        (link, error): np.array([samples(table, link, d, error)[0] for d in dimensions])
        for link in links
        for error in ERRORS
    }
    alphas = {key: _alpha(ratio, dimensions) for key, ratio in needed.items()}
    steps = [step for alpha in alphas.values() for step in np.diff(alpha[np.isfinite(alpha)])]
    gaps = [
        gap
        for link in links
        for error, smaller in itertools.pairwise(ERRORS)
        for gap in alphas[link, smaller] - alphas[link, error]
        if np.isfinite(gap)
    ]
    found: dict[str, float | list[float]] = {"decreasing": steps, "ordered": gaps, "bias": _bias(table)}
    if options.full:
        within = [ratio[dimensions >= 100] for ratio in needed.values()]
        # not reached counts as the largest n/d tried, a lower bound on the spread
        last = curve(table, "h2h2", 100)[0][-1]
        found["collapse"] = [float(np.minimum(x, last).max() / x.min()) for x in within if np.isfinite(x).any()]
        found["per_cent"] = float(needed["h2h2", 0.01].max())
        found["per_mille"] = float(np.median(table.where(purpose="smallest").column("error")))
        found["per_doubling"] = _ratios(table)
    return found


def _bias(table: Table) -> float:
    """Median error without X over that on explicit data."""
    rows = table.where(purpose="bias")
    return float(
        np.median(rows.where(engine="linearised").column("error"))
        / np.median(rows.where(engine="direct").column("error"))
    )


def _ratios(table: Table) -> list[float]:
    """Error ratios per doubling of n at n/d >= 128, d >= 100, for the links without heavy tails."""
    found: list[float] = []
    for link in ("h2h2", "mixed"):
        for d in [d for d in table.where(link=link).values("d") if d >= 100]:
            ratio, errors = curve(table, link, d)
            medians = np.median(errors, axis=1)[ratio >= 128]
            found += list(medians[1:] / medians[:-1])
    return found


def draw(table: Table, options: Options) -> dict[str, Figure]:
    links = list(dict.fromkeys(row["link"] for row in table.rows if row["link"] != "mixed"))
    figure, axes = new_figure(3, len(links), width=4.3, height=3.6)
    for k, link in enumerate(links):
        _draw_link(axes[3 * k : 3 * k + 3], table, link)
    return {"fig1": figure}


def _draw_link(axes: list[Axes], table: Table, link: str) -> None:
    exponents, collapse, errors = axes
    dimensions = table.where(link=link).values("d")
    for k, error in enumerate(ERRORS):
        found = [(d, *samples(table, link, d, error)) for d in dimensions]
        reached = [row for row in found if np.isfinite(row[1])]
        label = f"error {error:g}" if len(reached) == len(found) else f"error {error:g} (not reached at larger d)"
        if not reached:
            label = f"error {error:g}: not reached"
        d, middle, low, high = np.array(reached).T if reached else np.empty((4, 0))
        high = np.where(np.isfinite(high), high, middle)
        style: dict[str, Any] = {"color": COLOURS[k], "marker": SHAPES[k], "capsize": 2, "label": label}
        exponent = [_alpha(x, d) for x in (middle, low, high)]
        exponents.errorbar(d, exponent[0], [exponent[0] - exponent[1], exponent[2] - exponent[0]], **style)
        collapse.errorbar(d, middle, [middle - low, high - middle], **style)
    exponents.set(title=f"{link}: smallest α", ylabel="α with |D₁| + |D₂| = d^α", xlabel="d")
    collapse.set(title=f"{link}: the same as n/d", ylabel="(|D₁| + |D₂|)/d", xlabel="d")
    logarithmic(collapse, "y")
    exponents.legend()
    for ax in (exponents, collapse):
        numbered(ax, "x", dimensions)
    for k, d in enumerate(dimensions):
        ratio, seen = curve(table, link, d)
        errors.plot(ratio, np.median(seen, axis=1), color=COLOURS[k], marker=SHAPES[k], label=f"d = {d}")
    errors.set(title=f"{link}: test error", xlabel="(|D₁| + |D₂|)/d", ylabel="median of E (f - g)²")
    logarithmic(errors, "x", "y")
    errors.legend()


STUDY = Study(
    name="fig1",
    title="Samples for a given test error",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    own=("link", "loss", "activation"),
    caption=(
        "Left: the smallest exponent alpha such that d^alpha samples in all give the median test error. Middle: the "
        "same as n/d, which is flat where n is proportional to d: alpha is then 1 + log C/log d and falls to 1. "
        "Right: the error itself. Bars are 95 per cent bootstrap intervals over seeds."
    ),
)
