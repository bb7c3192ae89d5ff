"""A Benchmark as a Markdown page with a table and the roofline."""

from pathlib import Path
from typing import Any

from mimtheory.benchmarking import Benchmark, Timing

__all__ = ["markdown", "write_page"]

_INTRODUCTION = """# Benchmarks

Written by `mimtheory bench --page docs/benchmarks.md`. Competitors take turns; a cell is the median and, in brackets,
the least and the largest of the rounds. One thread each, by the processor time that it used; threads and the
verification by the clock on the wall. `ratio` is the time of an engine over that of mimtheory in the same case. `roof`
is the least time over the measured one: that of one core for the arithmetic in float64, or for reading X from where it
lies, memory or a cache. `at most` is the inverse of a competitor's `roof`: no code could have a larger ratio here.
Both limits are measured just before each call, and `roof` is the median of the rounds: other users of a processor can
halve what a core does from one second to the next. NumPy computes W X^T and then C X, the better of the two
orientations; `plain` is the other.
"""


def markdown(result: Benchmark) -> str:
    """The tables as text."""
    lines = [_INTRODUCTION]
    lines += ["| machine | |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in result.machine.items())]
    lines += [
        "",
        f"One core at its best: {result.work / 1e9:.1f} GFLOP/s in float64 on data in its nearest cache, "
        f"{result.bandwidth / 1e9:.1f} GB/s from memory.",
    ]
    cases = dict.fromkeys(timing.case for timing in result.timings)
    for case in cases:
        if case.startswith("scaling") or case in ("arithmetic", "memory"):
            continue
        lines += [
            "",
            f"## {case[0].upper()}{case[1:]}",
            "",
            "| sizes | engine | time | ratio | at most | roof |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(result, timing) for timing in result.timings if timing.case == case]
    if result.exponents:
        slopes = ", ".join(f"{slope:.2f} in {name}" for name, slope in result.exponents.items())
        start = next(timing.sizes for timing in result.timings if timing.case.startswith("scaling"))
        base = ", ".join(f"{name} = {size}" for name, size in start.items())
        lines += ["", f"Time of a gradient grows with the exponents {slopes} (from {base}, each over a factor of 8)."]
    return "\n".join(lines) + "\n"


def _row(result: Benchmark, timing: Timing) -> str:
    first = next(t for t in result.timings if (t.case, t.sizes) == (timing.case, timing.sizes))
    sizes = ", ".join(f"{name} = {size}" for name, size in timing.sizes.items())
    roof = "" if timing.share is None else f"{timing.share:.2f}"
    ratio = "" if timing is first else f"{timing.median / first.median:.2f}"
    limit = f"{1 / timing.share:.2f}" if timing.share and timing.engine.startswith(("numpy", "torch")) else ""
    spread = f"{_time(timing.median)} ({_time(timing.least)} to {_time(timing.most)})"
    return f"| {sizes} | {timing.engine} | {spread} | {ratio} | {limit} | {roof} |"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def write_page(result: Benchmark, path: Path) -> None:
    """Write the page, and the roofline beside it as images/roofline.svg."""
    figure = path.parent / "images" / "roofline.svg"
    figure.parent.mkdir(parents=True, exist_ok=True)
    _draw(result, figure)
    text = markdown(result) + f"\n![Arithmetic a second against arithmetic for each byte](images/{figure.name})\n"
    path.write_text(text, encoding="utf-8")


# engine -> name in the figure, colour, filled marker; two orientations of NumPy are one engine
_ENGINES = {
    "mimtheory": ("mimtheory", "#0060a8", "o"),
    "numpy": ("NumPy", "#c04a00", "s"),
    "numpy, V X^T": ("NumPy", "#c04a00", "s"),
    "torch": ("torch", "#007a5a", "^"),
}


def _draw(result: Benchmark, path: Path) -> None:
    """Arithmetic a second against arithmetic for each byte; gradients are filled, Hessian-power updates are not."""
    import matplotlib
    from matplotlib.figure import Figure

    from mimtheory.reporting.drawing import log_ticks

    style: dict[Any, object] = {
        "svg.hashsalt": "roofline",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        ax = figure.subplots()
        _draw_roof(ax, result)
        _draw_timings(ax, result)
        ax.set_xlabel("operations for each byte of X")
        ax.set_ylabel("GFLOP/s")
        ax.legend(frameon=False, loc="lower right")
        for axis in ("x", "y"):
            log_ticks(ax, axis, "#dfe1e4")
        figure.savefig(path, metadata={"Date": None})


def _draw_roof(ax: Any, result: Benchmark) -> None:
    """What arithmetic and memory allow at best."""
    import numpy as np

    work, bandwidth = result.work / 1e9, result.bandwidth / 1e9
    intensity = np.geomspace(0.3, 60, 200)
    ax.loglog(intensity, np.minimum(work, intensity * bandwidth), color="#1b1d21", linewidth=1.4)
    note: Any = {"textcoords": "offset points", "ha": "right"}
    ax.annotate(f"arithmetic at best: {work:.3g} GFLOP/s", (60, work), xytext=(0, 4), **note)
    at_memory = 0.6 * work / bandwidth, 0.6 * work
    ax.annotate(f"memory at best:\n{bandwidth:.3g} GB/s", at_memory, xytext=(-8, 0), **note)


def _draw_timings(ax: Any, result: Benchmark) -> None:
    for case, filled in (("gradient", True), ("hessian power", False)):
        for engine, (name, colour, marker) in _ENGINES.items():
            some = [t for t in result.timings if (t.case, t.engine) == (case, engine)]
            x, y = [t.operations / t.bytes for t in some], [t.operations / t.median / 1e9 for t in some]
            face, shown = (colour, "gradient") if filled else ("white", "Hessian power")
            if some:
                ax.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=6, label=f"{name}, {shown}")
