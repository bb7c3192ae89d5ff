"""Figures of one run of stage one: spectrum, norms, tangents and condition numbers, each with its bounds."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mimtheory.portrait import Portrait, Trail
from mimtheory.reporting.drawing import BAND, GRID, INK, SERIES, STYLE, WIDTH, log_ticks, svg
from mimtheory.reporting.mathml import number

__all__ = ["run_figures"]

_LOWEST = 1e-12  # below, a tangent is rounding
_ABOVE = 0.04  # of the height of the spectrum: about half a marker


def run_figures(found: Portrait) -> tuple[tuple[str, str], ...]:
    """(svg, caption) of the four figures."""
    steps, bulk = found.steps, "; the band is A.2's for the bulk, given the labels" if found.bulk else ""
    return (
        (
            _spectrum(found),
            "Eigenvalues of Ŝ on one draw. Triangles: what is expected of the signal, c₀ + the eigenvalues of C"
            f"{bulk}.",
        ),
        (
            _trail("norms", "|w| / ε₀", steps, found.norms, found.crossing),
            "Norms of the neurons with a > 0 after T steps. Thick lines: the bound of A.1's recursion above, "
            f"and A.6's below, which one neuron may miss with probability 0.01. {_crossing_words(found)}",
        ),
        (
            _trail("tangents", "tangent of the angle", steps, found.tangents),
            "Tangents of the angles between neurons and the signal space of Ŝ, between A.7's bounds, which no draw may "
            "break.",
        ),
        (_conditions(found), _condition_caption(found)),
    )


def _crossing_words(found: Portrait) -> str:
    if found.crossing is None:
        return "The bulk carries more of the mean square than the signal for every T."
    dotted = "Dotted: from" if found.crossing in found.steps else "From"
    return f"{dotted} T* = {found.crossing} on the signal carries more of the mean square than the bulk."


def _condition_caption(found: Portrait) -> str:
    T_min, T_max = found.window.T_min, found.window.T_max
    if found.window.empty:
        shaded = "No number of steps both aligns and covers."
    else:
        shaded = f"Shaded: the window from T = {T_min}" + (" on." if T_max is None else f" to {T_max}.")
    return f"Condition number of the neurons within the signal space, between A.8's bounds. {shaded}"


def _spectrum(found: Portrait) -> str:
    values = np.array(found.eigenvalues)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, 0.6 * WIDTH / 72), layout="constrained")
        ax = figure.subplots()
        if found.bulk:
            ax.axvspan(*found.bulk, color=BAND, linewidth=0, zorder=0)
        ax.hist(values, bins=min(60, max(20, values.size // 4)), color=SERIES[0])
        # on the axis, not across it, where they would hide the numbers below
        above = np.full(len(found.expected), _ABOVE)
        ax.plot(found.expected, above, "^", color=SERIES[1], markersize=9, transform=ax.get_xaxis_transform())
        ax.axvline(found.c0, color=INK, linewidth=1, linestyle=":")
        ax.set_xlabel("eigenvalue")
        ax.set_ylabel("number of eigenvalues")
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        expected = ", ".join(number(value) for value in found.expected)
        text = (
            f"Spectrum of S hat, {values.size} eigenvalues from {number(values[0])} to {number(values[-1])}; "
            f"expected for the signal: {expected}, for the bulk {number(found.c0)}."
        )
        return svg(figure, "run-spectrum", text)


def _trail(name: str, label: str, steps: tuple[int, ...], trail: Trail, crossing: int | None = None) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, 0.75 * WIDTH / 72), layout="constrained")
        ax = figure.subplots()
        _curves(ax, label, steps, trail)
        if crossing in steps:
            ax.axvline(crossing, color=INK, linewidth=1, linestyle=":")
        return svg(figure, f"run-{name}", _words(label, steps, trail))


def _conditions(found: Portrait) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, 0.75 * WIDTH / 72), layout="constrained")
        ax, label = figure.subplots(), "condition number"
        if not found.window.empty and found.window.T_min is not None:
            end = found.steps[-1] if found.window.T_max is None else found.window.T_max
            ax.axvspan(found.window.T_min - 0.3, end + 0.3, color=BAND, linewidth=0, zorder=0)
        _curves(ax, label, found.steps, found.conditions)
        return svg(figure, "run-conditions", _words(label, found.steps, found.conditions))


def _curves(ax: Axes, label: str, steps: tuple[int, ...], trail: Trail) -> None:
    """A thin line for every neuron between two thick ones; a value that does not exist leaves a gap."""
    values = np.array([_padded(row, max(map(len, trail.values))) for row in trail.values])
    lower, upper = (_padded_bound(bound) for bound in (trail.lower, trail.upper))
    ax.set_yscale("log")
    ax.plot(steps, np.maximum(values, _LOWEST), color=SERIES[0], linewidth=0.8, marker=".", markersize=3)
    for bound in (lower, upper):
        ax.plot(steps, bound, color=SERIES[1], linewidth=2.2)
    shown = np.concatenate([values[np.isfinite(values)], lower[np.isfinite(lower)], upper[np.isfinite(upper)]])
    if shown.size:
        ax.set_ylim(max(shown.min() / 1.5, _LOWEST), max(1.5 * shown.max(), 2 * _LOWEST))
        log_ticks(ax, "y")
    ax.set_xlim(steps[0] - 0.5, steps[-1] + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.grid(True, axis="x", color=GRID, linewidth=0.7)
    ax.set_xlabel("steps T")
    ax.set_ylabel(label)


def _padded(row: tuple[float, ...], size: int) -> np.ndarray:
    return np.append(np.array(row, dtype=float), np.full(size - len(row), np.nan))


def _padded_bound(bound: tuple[float, ...]) -> np.ndarray:
    """Bounds that say something; the others leave a gap."""
    values = np.array(bound)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _words(label: str, steps: tuple[int, ...], trail: Trail) -> str:
    def ends(row: tuple[float, ...]) -> str:
        return f"{number(min(row))} to {number(max(row))}" if row else "nothing above rounding"

    return f"{label}: after {steps[0]} steps {ends(trail.values[0])}, after {steps[-1]} steps {ends(trail.values[-1])}."
