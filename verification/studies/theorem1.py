"""Theorem 1: n proportional to d, operations to n d and to d^2, m and T2 that do not grow with d.

Algorithm 1 on explicit data, then the ridge solution; n* is the smallest |D1| + |D2| with a median test error of at
most half of Var g. Operations and the T2 of gradient descent are counted at 40 d samples a stage.
"""

import math
import time

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimtheory.experiment import Experiment
from mimtheory.population import Population
from mimtheory.stage_two import gradient_descent, minimise, steps_to_reach
from mimtheory.training import cost_of
from verification.drawing import COLOURS, INK, SHAPES, logarithmic, new_figure, numbered
from verification.statistics import crossing, exponent, resampled
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import direct_network, error_of, prepared, second_stage

FIELDS = {"link": "h2h2", "loss": "huber(2)", "centre": "population", "eps0": 1e-3, "T1": 6}
WIDTH, WIDTHS = 64, (2, 4, 8, 16, 32, 64)
DESCENT = 600


def points(options: Options) -> list[tuple[Row, int]]:
    dimensions, seeds = ([50, 100, 200, 400], 11) if options.full else ([50, 100, 200], 5)
    ratios = [round(2 ** (k / 2)) for k in range(6, 15)]
    samples = [({"part": "samples", "d": d, "ratio": k, "m": WIDTH}, seeds) for d in dimensions for k in ratios]
    widths = [({"part": "width", "d": d, "ratio": 256, "m": m}, seeds) for d in dimensions[:3] for m in WIDTHS]
    counted = [
        ({"part": "cost", "d": d, "ratio": 80}, 9 if options.full else 5)
        for d in ([*dimensions, 800] if options.full else dimensions)
    ]
    return samples + widths + counted


def measure(point: Row, rng: np.random.Generator) -> Row:
    """Test error at this n and m; or operations, time and T2 of gradient descent."""
    fields = FIELDS | {"d": point["d"], "n": point["ratio"] * point["d"] // 2, "m": point.get("m", WIDTH)}
    population = prepared(**fields)
    if point["part"] == "cost":
        return _cost(population, rng)
    network, U = direct_network(population, rng)
    return {"error": error_of(network, population, U)}


def _cost(population: Population, rng: np.random.Generator) -> Row:
    """Counted operations and time of both stages (the second by ridge), and after how many steps of gradient descent a
    tenth of the gap between the start of the objective and its minimum is left."""
    e = Experiment(population.setting, rng)
    _ = e.run
    started = time.perf_counter()
    second_stage(population, e.U, e.trajectory[-1], rng)
    spent = time.perf_counter() - started
    problem = e.outer.reference
    path = gradient_descent(problem, DESCENT)
    reached = steps_to_reach(path, problem.value(minimise(problem)), 0.1)
    operations = cost_of(population.setting, 0).total
    return {"operations": operations, "time": spent, "T2": math.nan if reached is None else float(reached)}


def seconds(point: Row) -> float:
    d, n = point["d"], point["ratio"] * point["d"] / 2
    descent = 1e-6 * n * WIDTH if point["part"] == "cost" else 0.0
    return 0.02 + 1e-9 * n * d * point.get("m", WIDTH) * FIELDS["T1"] + descent


def half_of_variance() -> float:
    """Half of the error of the best constant."""
    return float(prepared(**FIELDS, d=10, n=10).setting.link.variance) / 2


def thresholds(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d (k,); n*/d from the medians (k,); and from bootstrap resamples of the seeds (resamples, k)."""
    rows, level, rng = table.where(part="samples"), half_of_variance(), np.random.default_rng(0)
    dimensions, found, resamples = rows.values("d"), [], []
    for d in dimensions:
        ratio, errors = rows.where(d=d).by_seed("ratio", "error")
        found.append(crossing(ratio, np.median(errors, axis=1), level))
        medians = np.median(resampled(errors, rng), axis=2)
        # a resample that is not reached counts as the largest n/d tried
        resamples.append([min(crossing(ratio, sample, level), ratio[-1]) for sample in medians])
    return np.array(dimensions, dtype=float), np.array(found), np.array(resamples).T


def slope(d: np.ndarray, ratio: np.ndarray) -> float:
    """Exponent of n* = ratio d in d."""
    return float(np.polyfit(np.log(d), np.log(ratio * d), 1)[0])


def widths(table: Table) -> list[float]:
    """For every d the smallest m with a median error of at most half of Var g at n/d = 256."""
    rows, level = table.where(part="width"), half_of_variance()
    curves = (rows.where(d=d).by_seed("m", "error") for d in rows.values("d"))
    return [crossing(m, np.median(errors, axis=1), level) for m, errors in curves]


def _cost_exponents(table: Table) -> tuple[float, float, tuple[float, float, float]]:
    """Exponents of the operations in n d and in d, and of the time in n d with its interval."""
    rows = table.where(part="cost")
    d, operations = rows.by_seed("d", "operations")
    time = rows.by_seed("d", "time")[1]
    size = rows.values("ratio")[0] / 2 * d * d
    of = [float(np.polyfit(np.log(x), np.log(operations[:, 0]), 1)[0]) for x in (size, d)]
    return of[0], of[1], exponent(size, time)


def values(table: Table, options: Options) -> Values:
    d, ratio, resamples = thresholds(table)
    exponents = [slope(d, sample) for sample in resamples]
    of_nd, of_d, of_time = _cost_exponents(table)
    needed = widths(table)
    found: dict[str, float | list[float]] = {
        "exponent": slope(d, ratio),
        "flat": float(ratio.max() / ratio.min()),
        "operations_nd": of_nd,
        "operations_d": of_d,
        "width": max(needed) / min(needed),
    }
    if options.full:
        found["exponent_interval"] = [float(q) for q in np.quantile(exponents, [0.025, 0.975])]
        found["T2"] = exponent(*table.where(part="cost").by_seed("d", "T2"))[2]
        found["time"] = of_time[2]
    return found


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure, axes = new_figure(2, 2, width=4.8, height=3.6)
    _draw_samples(axes[0], table)
    _draw_cost(axes[1], table)
    _draw_widths(axes[2], table)
    d, steps = table.where(part="cost").by_seed("d", "T2")
    axes[3].plot(d, np.median(steps, axis=1), color=COLOURS[0], marker=SHAPES[0])
    axes[3].set(
        xlabel="d", ylabel="steps T2", title="Gradient descent to a tenth of the way", ylim=(0, 1.3 * steps.max())
    )
    numbered(axes[3], "x", d.tolist())
    return {"theorem1": figure}


def _draw_samples(ax: Axes, table: Table) -> None:
    d, ratio, resamples = thresholds(table)
    low, high = np.quantile(resamples, [0.025, 0.975], axis=0, method="nearest")
    found, ends = (
        slope(d, ratio),
        np.quantile([slope(d, sample) for sample in resamples], [0.025, 0.975], method="nearest"),
    )
    label = f"exponent {found:.2f}, interval {ends[0]:.2f} to {ends[1]:.2f}"
    ax.errorbar(
        d, ratio * d, [(ratio - low) * d, (high - ratio) * d], color=COLOURS[0], marker="o", capsize=2, label=label
    )
    ax.plot(d, np.median(ratio) * d, color=INK, linewidth=1, linestyle=":", label="proportional to d")
    ax.set(xlabel="d", ylabel="n*", title="Samples for half of Var g")
    logarithmic(ax, "y")
    numbered(ax, "x", d.tolist())
    ax.legend()


def _draw_cost(ax: Axes, table: Table) -> None:
    rows = table.where(part="cost")
    d, operations = rows.by_seed("d", "operations")
    time = np.median(rows.by_seed("d", "time")[1], axis=1)
    _, of_d, of_time = _cost_exponents(table)
    ax.plot(d, operations[:, 0] / 1e9, color=COLOURS[0], marker="o", label=f"10⁹ operations, d^{of_d:.2f}")
    label = f"seconds on this machine, (n d)^{of_time[0]:.2f}"
    ax.plot(d, time, color=COLOURS[1], marker="s", label=label)
    ax.set(xlabel="d", ylabel="cost of both stages", title="Operations and time at n = 40 d a stage")
    logarithmic(ax, "y")
    numbered(ax, "x", d.tolist())
    ax.legend()


def _draw_widths(ax: Axes, table: Table) -> None:
    rows = table.where(part="width")
    for k, d in enumerate(rows.values("d")):
        m, errors = rows.where(d=d).by_seed("m", "error")
        ax.plot(m, np.median(errors, axis=1), color=COLOURS[k], marker=SHAPES[k], label=f"d = {d}")
    ax.axhline(half_of_variance(), color=INK, linewidth=1, linestyle=":")
    ax.set(xlabel="neurons m", ylabel="median test error", title="Width, at n/d = 256; dotted: half of Var g")
    logarithmic(ax, "y")
    numbered(ax, "x", WIDTHS)
    ax.legend()


STUDY = Study(
    name="theorem1",
    title="From about d samples, in about d² time",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    caption=(
        "Top left: samples in all for a median test error of half of Var g. Top right: counted operations and time. "
        "Bottom left: error against width. Bottom right: steps of gradient descent on the outer weights. Intervals "
        "are 95 per cent bootstrap intervals over seeds."
    ),
)
