"""What all figures share: inline SVG whose text stays text and whose colours are CSS variables of the page."""

import io
import math
import re
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mimtheory.reporting.mathml import BEYOND_PLAIN, LEAST_PLAIN, number, scientific

__all__ = ["BAND", "GRID", "INK", "PAPER", "SERIES", "SOFT", "STYLE", "VARIABLES", "WIDTH", "log_ticks", "svg"]

# Colours that stand for CSS variables until the figure is finished.
INK, SOFT, GRID, BAND, PAPER = "#000001", "#000002", "#000003", "#000004", "#000005"
SERIES = tuple(f"#0000{number:02x}" for number in range(0x11, 0x18))
VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    GRID: "grid",
    BAND: "band",
    PAPER: "paper",
    **{colour: f"series{i}" for i, colour in enumerate(SERIES)},
}
WIDTH = 340.0  # points; the width of a phone, so that no text shrinks there

STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "font.size": 11.5,
    "font.family": "DejaVu Sans",  # for measuring; the page sets its own
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def log_ticks(ax: Axes, which: str, grid: str = GRID) -> None:
    """Plain numbers on a log axis; 2 and 5 are named as well where the axis is short."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    decades = math.log10(high / low)
    subs = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))[np.digitize(decades, (0.7, 1.5, 3.0))]
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=7))
    axis.set_minor_locator(NullLocator())
    powers = low < LEAST_PLAIN or high >= BEYOND_PLAIN  # then all of the axis: not 0.01 beside 10⁻⁴
    axis.set_major_formatter(FuncFormatter(lambda x, _: scientific(x) if powers and x != 1 else number(x)))
    ax.grid(True, axis=which, color=grid, linewidth=0.7)  # type: ignore[arg-type]
    ax.set_axisbelow(True)


def svg(figure: Figure, name: str, text: str) -> str:
    """The figure as an svg element that can stand in a page beside others."""
    figure.patch.set_visible(False)
    for ax in figure.axes:
        ax.patch.set_visible(False)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # a style element would reach the whole page, and the page has a font of its own
    drawn = re.sub(r"<defs>\s*<style.*?</defs>|font-family: [^;\"]*;? ?", "", drawn, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    # names in a page are shared by all its figures
    prefix = re.sub(r"\W", "-", name)
    drawn = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", drawn)
    opening = f'<svg class="figure" role="img" aria-label="{escape(text)}" viewBox='
    return re.sub(r"<svg[^>]*?viewBox=", lambda _: opening, drawn, count=1).strip()
