"""What the figures of the studies share: colours, bands, a note of where they come from, SVG and PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from mimtheory.reporting.drawing import log_ticks

__all__ = [
    "COLOURS",
    "DASHES",
    "INK",
    "SHAPES",
    "SOFT",
    "STYLE",
    "band",
    "logarithmic",
    "new_figure",
    "numbered",
    "save",
]

INK, SOFT, GRID = "#1b1d21", "#5a606b", "#dfe1e4"
COLOURS = ("#0060a8", "#c04a00", "#007a5a", "#9a3d8f", "#8a6a00", "#2b86b8", "#4a4f57", "#a31621")
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5)))

STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mimtheory",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}


def new_figure(columns: int = 1, rows: int = 1, width: float = 5.2, height: float = 3.9) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes, each of this size in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    if rows > 1:  # or the label of an axis would touch the title below it
        figure.get_layout_engine().set(h_pad=0.12)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def band(
    ax: Axes, x: Sequence[float] | NDArray[Any], values: NDArray[Any], number: int, label: str, **style: Any
) -> None:
    """Median over seeds with the 30th to 70th percentile; values (k, seeds)."""
    low, middle, high = np.quantile(values, [0.3, 0.5, 0.7], axis=1)
    colour = COLOURS[number % len(COLOURS)]
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.plot(x, middle, color=colour, marker=SHAPES[number % len(SHAPES)], label=label, **style)


def numbered(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """A log axis with ticks at these values, written as plain numbers."""
    which = ax.xaxis if axis == "x" else ax.yaxis
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
    which.set_ticks(list(values))
    which.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    which.set_minor_formatter(NullFormatter())
    which.set_tick_params(which="minor", size=0)


def logarithmic(ax: Axes, *axes: str) -> None:
    """Plain numbers on these log axes, once everything is drawn."""
    for axis in axes:
        (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
        log_ticks(ax, axis, GRID)


def save(figure: Figure, path: Path, note: str) -> None:
    """Write path.svg and path.png, with the note in small print below."""
    figure.supxlabel(note, fontsize=6.5, color=SOFT, x=0.01, ha="left")
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": "mimtheory"})
    figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": "mimtheory"})
