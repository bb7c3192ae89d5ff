"""Figures of claims: how tight each is, and every trial of one."""

import math
from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from mimtheory.reporting.drawing import BAND, INK, PAPER, SERIES, SOFT, STYLE, VARIABLES, WIDTH, log_ticks, svg
from mimtheory.reporting.mathml import number
from mimtheory.verdicts import CellVerdict, ClaimVerdict, Status

__all__ = ["SYMBOLS", "comparison", "marker", "not_drawn", "overview"]

Floats = NDArray[np.float64]

SYMBOLS: dict[Status, str] = {
    "holds": "✓",
    "refuted": "✗",
    "vacuous": "○",
    "undecided": "?",
    "skipped": "–",
    "error": "!",
}

_MOST_STRIPS = 12
_SHAPES = "osD^vPX*"  # one more than colours: the pairs repeat only after 56 cells


def overview(claims: Sequence[ClaimVerdict]) -> tuple[str, ...]:
    """Tightness of every claim on log axes, a panel for each dozen and all on one scale; identities, whose ratio has
    another unit, in panels of their own. A panel is low enough for a sheet of paper."""
    bounds = [claim for claim in claims if claim.kind != "equals"]
    identities = [claim for claim in claims if claim.kind == "equals"]
    return (
        *_panels(bounds, "measured / bound"),
        *_panels(identities, "discrepancy / roundoff allowance"),
    )


def _panels(claims: list[ClaimVerdict], label: str) -> Iterator[str]:
    count = math.ceil(len(claims) / _MOST_STRIPS)
    low, high = _decades(np.array([mark for claim in claims for mark in _marks(claim)]))
    for k in range(count):
        panel = claims[k * len(claims) // count : (k + 1) * len(claims) // count]
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH / 72, 0.44 * len(panel) + 0.9), layout="constrained")
            _strips(figure.subplots(), panel, low, high, label)
            yield svg(figure, f"overview-{panel[0].label}", _overview_text(panel))


def _marks(claim: ClaimVerdict) -> list[float]:
    """The numbers that a strip shows: where its line begins, the median and the worst."""
    values = _ratios(claim.cells)
    return [*([_start(values)] if values.size else []), claim.ratio_median, claim.ratio_worst]


def _strips(ax: Axes, claims: Sequence[ClaimVerdict], low: float, high: float, label: str) -> None:
    _frame_strips(ax, len(claims), low, high, label)
    for y, claim in enumerate(claims):
        values = _ratios(claim.cells)
        words = f"{SYMBOLS[claim.status]} {claim.status}: {claim.label}"
        ax.text(0, y - 0.28, words, transform=ax.get_yaxis_transform(), parse_math=False, va="bottom")
        if values.size == 0:
            ax.text(0, y, "nothing could be compared", transform=ax.get_yaxis_transform(), va="center", color=SOFT)
            continue
        start, median, worst = np.clip([_start(values), claim.ratio_median, claim.ratio_worst], low, high)
        ax.plot([start, worst], [y, y], color=SERIES[0], linewidth=2, solid_capstyle="butt")
        ax.plot(median, y, "o", color=SERIES[0], markeredgecolor=PAPER, markersize=7)
        ax.plot(worst, y, ">" if math.isinf(claim.ratio_worst) else "D", color=SERIES[1], markersize=6, clip_on=False)


def _start(values: Floats) -> float:
    """Where the line of a claim begins: a value that occurs, since infinite ratios have nothing between them."""
    return float(np.quantile(values, 0.05, method="lower"))


def _frame_strips(ax: Axes, rows: int, low: float, high: float, label: str) -> None:
    """A log axis from low to high, the line at 1, and the region beyond it where a bound is broken."""
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(rows - 0.5, -0.95)
    ax.yaxis.set_major_locator(NullLocator())
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(label)
    ax.axvspan(1, high, color=BAND, linewidth=0, zorder=0)
    ax.axvline(1, color=INK, linewidth=1.2)
    log_ticks(ax, "x")


def _overview_text(claims: Sequence[ClaimVerdict]) -> str:
    parts = [f"{c.label} {c.status}, median {number(c.ratio_median)}, worst {number(c.ratio_worst)}" for c in claims]
    return f"Tightness of each claim, measured over bound: {'; '.join(parts)}."


def comparison(claim: ClaimVerdict) -> str:
    """Every trial of a claim: measured against bound, or the discrepancy of an identity; empty if none can be drawn."""
    trials = sum(len(cell.ratios) for cell in claim.cells)
    if trials == not_drawn(claim):
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(layout="constrained")
        text = _discrepancies(figure, claim) if claim.kind == "equals" else _scatter(figure, claim)
        return svg(figure, claim.label, text)


def not_drawn(claim: ClaimVerdict) -> int:
    """The number of trials that a log-log plot has no place for, since a side is not positive or not finite."""
    if claim.kind == "equals":
        return 0
    return sum(len(cell.ratios) - _positive(cell)[0].size for cell in claim.cells)


def _scatter(figure: Figure, claim: ClaimVerdict) -> str:
    """Log-log scatter of all trials; returns the text for those who do not see it."""
    figure.set_size_inches(WIDTH / 72, 0.86 * WIDTH / 72)
    ax = figure.subplots()
    ax.set_xscale("log")
    ax.set_yscale("log")
    series = [(i, *_positive(cell)) for i, cell in enumerate(claim.cells)]
    stated = np.concatenate([x for _, x, _ in series])
    measured = np.concatenate([y for _, _, y in series])
    summary = f"ratio at the median {number(claim.ratio_median)}, at worst {number(claim.ratio_worst)}."
    _limit(ax, stated, measured, claim)
    for i, x, y in series:
        ax.plot(x, y, linestyle="none", **_marker_style(i, 5))  # type: ignore[arg-type]
    ax.set_xlabel("bound (stated)")
    ax.set_ylabel("measured")
    cells = sum(1 for _, x, _ in series if x.size)
    return f"{claim.label}: measured against bound, {stated.size} trials in {cells} cells; {summary}"


def _positive(cell: CellVerdict) -> tuple[Floats, Floats]:
    """(stated, measured) of the trials that a log-log plot can show."""
    x, y = np.array(cell.stated, dtype=float), np.array(cell.measured, dtype=float)
    shown = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
    return x[shown], y[shown]


def _limit(ax: Axes, stated: Floats, measured: Floats, claim: ClaimVerdict) -> None:
    """The diagonal, and the side of it where a trial violates the claim, both always in view."""
    pad = 1.25
    left, right = stated.min() / pad, stated.max() * pad
    bottom, top = measured.min() / pad, measured.max() * pad
    if claim.kind == "at_most":
        top = max(top, right * 1.5)
        refuted, corner, align = top, (0.03, 0.96), ("left", "top")
    else:
        bottom = min(bottom, left / 1.5)
        refuted, corner, align = bottom, (0.97, 0.04), ("right", "bottom")
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ends = [left, right]
    ax.fill_between(ends, ends, [refuted, refuted], color=BAND, linewidth=0, zorder=0)
    ax.plot(ends, ends, color=INK, linewidth=1.2)
    # one violation refutes a deterministic claim; at levels G and P it is a failure to be counted
    word = "refutes" if claim.delta is None else "failure"
    ax.text(*corner, word, transform=ax.transAxes, ha=align[0], va=align[1], style="italic")
    for axis in ("x", "y"):
        log_ticks(ax, axis)


def _discrepancies(figure: Figure, claim: ClaimVerdict) -> str:
    """Discrepancy of an identity over its allowance, a line a cell; returns the text for those who do not see it."""
    cells = [(i, np.array(cell.ratios)) for i, cell in enumerate(claim.cells) if cell.ratios]
    figure.set_size_inches(WIDTH / 72, 0.22 * len(cells) + 1.0)
    ax = figure.subplots()
    low, high = _decades(np.concatenate([values for _, values in cells]))
    _frame_strips(ax, len(cells), low, high, "discrepancy / roundoff allowance")
    for y, (i, values) in enumerate(cells):
        shown = np.clip(np.nan_to_num(values, posinf=high), low, high)
        ax.plot(shown, np.full(shown.size, y), linestyle="none", clip_on=False, **_marker_style(i, 5))  # type: ignore[arg-type]
    ax.text(1, -0.95, "refutes ", ha="right", va="bottom", style="italic", transform=ax.get_yaxis_transform())
    return (
        f"{claim.label}: discrepancy in units of its roundoff allowance, {sum(v.size for _, v in cells)} trials in "
        f"{len(cells)} cells; median {number(claim.ratio_median)}, worst {number(claim.ratio_worst)}."
    )


def _ratios(cells: Sequence[CellVerdict]) -> Floats:
    values = np.array([ratio for cell in cells for ratio in cell.ratios], dtype=float)
    return values[~np.isnan(values)]


def _decades(values: Floats) -> tuple[float, float]:
    """Limits of a log axis that has 1 in view with room on both sides; at most eight decades, the rest at its ends."""
    shown = values[np.isfinite(values) & (values > 0)]
    low, high = (shown.min(), shown.max()) if shown.size else (0.1, 1.0)
    high = max(2.0, 1.5 * high)
    return max(min(low / 1.5, 0.3), high * 1e-8), high


# Markers: the same shape and colour in the figure and in the tables beside it


def _marker_style(i: int, size: float) -> dict[str, object]:
    colour = SERIES[i % len(SERIES)]
    return {"marker": _SHAPES[i % len(_SHAPES)], "color": colour, "markersize": size, "markeredgewidth": 0}


def marker(i: int) -> str:
    """The marker of cell i as a small inline SVG."""
    style = MarkerStyle(_SHAPES[i % len(_SHAPES)])
    outline = style.get_path().transformed(style.get_transform())
    return (
        f'<svg class="marker" viewBox="-.8 -.8 1.6 1.6" aria-hidden="true"><path d="{"".join(_commands(outline))}" '
        f'fill="var(--{VARIABLES[SERIES[i % len(SERIES)]]})"/></svg>'
    )


def _commands(outline: Outline) -> Iterator[str]:
    letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
    for vertices, code in outline.iter_segments():
        yield "Z" if code == Outline.CLOSEPOLY else letters[code] + " ".join(f"{v:.3g}" for v in vertices)
