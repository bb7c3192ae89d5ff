"""The number of steps: a constant one does not suffice, about log d does, too many lose the weaker directions."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimtheory.advisor import window
from mimtheory.linearised import LinearisedRun
from mimtheory.population import Population
from verification.drawing import COLOURS, INK, SHAPES, band, logarithmic, new_figure, numbered
from verification.statistics import exponent
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import condition, error_of, prepared, second_stage

ALIGNED, COLLAPSED = ("h4+h4", "huber(1)"), ("mixed", "huber(2)")
SAMPLES, M, LAST = 20, 64, 28  # n/d of the alignment, neurons, most steps there
TIMES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def points(options: Options) -> list[tuple[Row, int]]:
    dimensions, seeds = ([100, 200, 400, 800, 1600], 10) if options.full else ([50, 100, 200, 400], 6)
    own = {"activation": options.activation or "1-cos"}
    aligned = own | {"part": "alignment", "link": options.link or ALIGNED[0], "loss": options.loss or ALIGNED[1]}
    collapse = own | {"part": "collapse", "link": options.link or COLLAPSED[0], "loss": options.loss or COLLAPSED[1]}
    found = [(aligned | {"d": d, "n": SAMPLES * d}, seeds) for d in dimensions]
    return [*found, *((collapse | {"d": 100, "n": 12800, "T": T}, 2 * seeds) for T in TIMES)]


def population_of(point: Row) -> Population:
    fields = {name: point[name] for name in ("link", "loss", "activation", "d", "n")}
    return prepared(**fields, centre="population", m=M)


def measure(point: Row, rng: np.random.Generator) -> Row:
    """Mean overlap of the neurons after every number of steps, and of V_hat; or error and coverage after T steps."""
    population = population_of(point)
    run, r = LinearisedRun(population, rng), population.r
    if point["part"] == "collapse":
        W = run.neurons(point["T"])[-1]
        half = W[: M // 2]
        error = error_of(second_stage(population, run.U, W, rng), population, run.U)
        cosines = np.linalg.norm(half[:, :r], axis=1) / np.linalg.norm(half, axis=1)
        return {"error": error, "cosine": float(cosines.mean()), "coverage": 1 / condition(run.U, half)}
    W = run.neurons(LAST)[:, : M // 2]
    squares = ((W[:, :, :r] ** 2).sum(axis=2) / (W**2).sum(axis=2)).mean(axis=1)
    limit = float((run.V_hat[:r] ** 2).sum() / r)
    return {"limit": limit, **{f"overlap{t}": float(mean) for t, mean in enumerate(squares, start=1)}}


def seconds(point: Row) -> float:
    return 0.01 + 4e-9 * point["d"] ** 3 + (2e-6 * point["n"] if point["part"] == "collapse" else 0.0)


def steps_of_order_log(d: int) -> int:
    """2.5 log d, rounded up."""
    return math.ceil(2.5 * math.log(d))


def _alignment(table: Table) -> Table:
    return table.where(part="alignment")


def fixed(table: Table, T: int) -> tuple[float, float, float]:
    """Exponent in d of the mean overlap^2 after T steps, and its interval."""
    return exponent(*_alignment(table).by_seed("d", f"overlap{T}"))


def share_of_limit(table: Table) -> list[float]:
    """For every d the median overlap^2 after 2.5 log d steps as a share of what n/d allows."""
    rows = ((d, _alignment(table).where(d=d)) for d in _alignment(table).values("d"))
    return [
        float(np.median(row.column(f"overlap{min(LAST, steps_of_order_log(d))}") / row.column("limit")))
        for d, row in rows
    ]


def values(table: Table, options: Options) -> Values:
    T, errors = table.where(part="collapse").by_seed("T", "error")
    medians = np.median(errors, axis=1)
    coverage, cosines = (
        np.median(table.where(part="collapse").by_seed("T", name)[1], axis=1) for name in ("coverage", "cosine")
    )
    best = window(population_of(table.where(part="collapse").rows[0]).setting)
    chosen = float(T[np.argmin(medians)])
    assert best.T_min is not None
    assert best.T_max is not None
    return {
        "fixed_1": fixed(table, 1)[2],
        "fixed_2": fixed(table, 2)[2],
        "log_d": share_of_limit(table),
        "too_few": float(medians[0] / medians.min()),
        "too_many": float(medians[-1] / medians.min()),
        "coverage": float(coverage[-1] / coverage[0]),
        "cosine": float(cosines[-1]),
        "window": min(chosen - best.T_min, best.T_max - chosen),
    }


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure, axes = new_figure(2, 2, width=5.0, height=3.7)
    _draw_overlaps(axes[0], table)
    _draw_fixed(axes[1], table)
    _draw_errors(axes[2], table)
    _draw_coverage(axes[3], table)
    return {"steps": figure}


def _draw_overlaps(ax: Axes, table: Table) -> None:
    rows = _alignment(table)
    for k, d in enumerate(rows.values("d")):
        values = np.array([rows.where(d=d).column(f"overlap{t}") for t in range(1, LAST + 1)])
        ax.plot(range(1, LAST + 1), np.median(values, axis=1), color=COLOURS[k], label=f"d = {d}")
        t = steps_of_order_log(d)
        ax.plot([t], [np.median(values[min(t, LAST) - 1])], color=COLOURS[k], marker=SHAPES[k], markersize=7)
    ax.axhline(float(np.median(rows.column("limit"))), color=INK, linewidth=1, linestyle=":")
    ax.set(xlabel="steps T", ylabel="mean overlap²", ylim=(0, 1))
    ax.set_title(f"{rows.rows[0]['link']}, n/d = {SAMPLES}; marked: 2.5 log d steps; dotted: the limit", fontsize=9)
    ax.legend(loc="lower right")


def _draw_fixed(ax: Axes, table: Table) -> None:
    for k, T in enumerate((1, 2, 4)):
        d, values = _alignment(table).by_seed("d", f"overlap{T}")
        found, low, high = fixed(table, T)
        band(ax, d, values, k, f"T = {T}: exponent {found:.2f} ({low:.2f} to {high:.2f})")
    d, values = _alignment(table).by_seed("d", "overlap1")
    growing = [_alignment(table).where(d=int(x)).column(f"overlap{min(LAST, steps_of_order_log(int(x)))}") for x in d]
    band(ax, d, np.array(growing), 3, "T = 2.5 log d")
    ax.set(xlabel="d", ylabel="mean overlap²", title="A fixed number of steps")
    logarithmic(ax, "y")
    numbered(ax, "x", d.tolist())
    ax.legend(fontsize=8)


def _shade(ax: Axes, table: Table) -> None:
    found = window(population_of(table.where(part="collapse").rows[0]).setting)
    if found.T_min is not None and not found.empty:
        ax.axvspan(found.T_min, TIMES[-1] if found.T_max is None else found.T_max, color="#fbe3d8", zorder=0)
    numbered(ax, "x", [T for T in TIMES if T not in (3, 6, 12, 24, 48)])
    logarithmic(ax, "y")
    ax.set(xlabel="steps T")


def _draw_errors(ax: Axes, table: Table) -> None:
    rows = table.where(part="collapse")
    band(ax, *rows.by_seed("T", "error"), 0, "test error")
    _shade(ax, table)
    link, d, n = (rows.rows[0][name] for name in ("link", "d", "n"))
    variance = float(population_of(rows.rows[0]).setting.link.variance)
    ax.axhline(variance, color=INK, linewidth=1, linestyle=":", label="Var g")
    ax.set(ylabel="test error", title=f"{link}, d = {d}, n = {n} a stage; shaded: the window")
    ax.legend()


def _draw_coverage(ax: Axes, table: Table) -> None:
    rows = table.where(part="collapse")
    band(ax, *rows.by_seed("T", "coverage"), 1, "smallest/largest singular value of U Wᵀ")
    band(ax, *rows.by_seed("T", "cosine"), 2, "mean cosine of the neurons to U")
    _shade(ax, table)
    ax.set_title("Coverage is lost, and cosines do not see it")
    ax.legend(fontsize=8)


STUDY = Study(
    name="steps",
    title="More than O(1) steps, and not too many",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    own=("link", "loss", "activation"),
    caption=(
        "Top: the mean squared cosine between neurons and the hidden subspace against steps, and against d at a fixed "
        "number of steps. Bottom: on a link with unequal eigenvalues, the test error and the coverage of the hidden "
        "subspace against steps. Bands are the 30th to 70th percentile over seeds."
    ),
)
