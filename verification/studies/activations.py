"""The zoo of activations: stage one asks for C^3 with sigma'(0) = 0, stage two for more than a polynomial."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimtheory.assumptions import check
from mimtheory.experiment import Experiment
from mimtheory.links import link
from mimtheory.population import Population
from verification.drawing import COLOURS, INK, logarithmic, new_figure
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import error_of, prepared, second_stage

LINK, LOSS = "h4+h4", "huber(1)"
ACTIVATIONS = ("1-cos", "logcosh", "sqrt", "utanh", "asymmetric", "quadratic", "relu", "gelu", "silu", "softplus")
M = 32


def points(options: Options) -> list[tuple[Row, int]]:
    d, seeds = (100, 10) if options.full else (50, 4)
    return [({"activation": name, "d": d, "ratio": 200}, seeds) for name in ACTIVATIONS]


def population_of(point: Row) -> Population:
    fields = {"link": LINK, "loss": LOSS, "m": M, "centre": "population", "eps0": 1e-3, "T1": 6}
    return prepared(**fields, activation=point["activation"], d=point["d"], n=point["ratio"] * point["d"])


def measure(point: Row, rng: np.random.Generator) -> Row:
    """Median cosine of the neurons to the hidden subspace, and test error."""
    population = population_of(point)
    e = Experiment(population.setting, rng)
    network = second_stage(population, e.U, e.trajectory[-1], rng)
    return {"cosine": float(np.median(e.alignments[-1])), "error": error_of(network, population, e.U)}


def seconds(point: Row) -> float:
    return 0.3 + 8e-9 * point["ratio"] * point["d"] ** 2 * M


def holds(label: str, name: str) -> bool:
    return check(label, population_of({"activation": name, "d": 10, "ratio": 10})).status == "holds"


def medians(table: Table, name: str) -> dict[str, float]:
    return {sigma: float(np.median(table.where(activation=sigma).column(name))) for sigma in ACTIVATIONS}


def values(table: Table, options: Options) -> Values:
    cosines, errors = medians(table, "cosine"), medians(table, "error")
    inside = [sigma for sigma in ACTIVATIONS if holds("assumption_activation", sigma)]
    outside = [sigma for sigma in ACTIVATIONS if sigma not in inside]
    fitting = [sigma for sigma in inside if holds("def_activation", sigma)]
    variance = float(link(LINK).variance)
    return {
        "agree": max(cosines[sigma] for sigma in inside) - min(cosines[sigma] for sigma in inside),
        "aligned": min(cosines[sigma] for sigma in inside),
        "outside": [cosines[sigma] for sigma in outside],
        "fit": [errors[sigma] / variance for sigma in fitting],
        "polynomial": [errors[sigma] / variance for sigma in inside if sigma not in fitting],
    }


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure, axes = new_figure(2, width=4.8, height=3.8)
    d, ratio = table.rows[0]["d"], table.rows[0]["ratio"]
    _bars(axes[0], table, "cosine", "assumption_activation")
    axes[0].set(
        xlim=(0, 1.02), xlabel="median cosine of the neurons", title=f"Stage one: {LINK}, d = {d}, n/d = {ratio}"
    )
    _bars(axes[1], table, "error", "def_activation")
    axes[1].set(xlabel="test error", title="Both stages; dotted: Var g")
    logarithmic(axes[1], "x")
    variance = float(link(LINK).variance)
    axes[1].axvline(variance, color=INK, linewidth=1, linestyle=":")
    return {"activations": figure}


def _bars(ax: Axes, table: Table, name: str, label: str) -> None:
    for k, sigma in enumerate(ACTIVATIONS):
        seen = table.where(activation=sigma).column(name)
        inside = holds(label, sigma)
        colour = COLOURS[0] if inside else COLOURS[1]
        ax.plot(seen, np.full(seen.size, k), linestyle="none", marker="." if inside else "x", color=colour, alpha=0.6)
        ax.plot([np.median(seen)], [k], marker="|", markersize=16, color=colour)
    names = [f"{sigma}{'' if holds(label, sigma) else ' (outside)'}" for sigma in ACTIVATIONS]
    ax.set_yticks(range(len(ACTIVATIONS)), names)
    ax.invert_yaxis()


STUDY = Study(
    name="activations",
    title="Activations, with what the assumptions say of them",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    caption=(
        "Left: the median cosine of the neurons to the hidden subspace after stage one. Right: the test error after "
        "both stages. A dot is a seed, a bar the median; crosses: outside assumption_activation (left) or "
        "def_activation (right)."
    ),
)
