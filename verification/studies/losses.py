"""The zoo of losses side by side: what assumption_cov says beforehand, and what stage one then does."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mimtheory.assumptions import check
from mimtheory.experiment import Experiment
from mimtheory.population import Population
from verification.drawing import COLOURS, DASHES, SHAPES, new_figure, numbered
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import prepared

LINKS = ("h4+h4", "h2h2", "h3(z1)", "h2(z1)+h4(z2)")
LOSSES = ("squared", "l1", "huber(0.25)", "huber(1)", "huber(4)", "pseudo_huber(1)", "logcosh", "quantile(0.2)")
M = 64


def points(options: Options) -> list[tuple[Row, int]]:
    d, ratios, seeds = (300, (10, 20, 40, 80), 10) if options.full else (100, (20, 80), 3)
    return [
        ({"link": link, "loss": loss, "d": d, "ratio": ratio}, seeds)
        for link in LINKS
        for loss in LOSSES
        for ratio in ratios
    ]


def population_of(point: Row) -> Population:
    fields = {name: point[name] for name in ("link", "loss", "d")}
    return prepared(**fields, n=point["ratio"] * point["d"], m=M, centre="population", eps0=1e-3, T1=8)


def measure(point: Row, rng: np.random.Generator) -> Row:
    """How well the neurons find every hidden direction: the least cosine of one to their r leading directions."""
    e = Experiment(population_of(point).setting, rng)
    leading = np.linalg.svd(e.trajectory[-1], full_matrices=False)[2][: e.population.r]
    return {"cosine": float(np.linalg.svd(e.U @ leading.T, compute_uv=False)[-1])}


def seconds(point: Row) -> float:
    return 0.01 + 8e-9 * point["ratio"] * point["d"] ** 2 * M


def predicted(point: Row) -> bool:
    """Whether the theory says that every hidden direction is found: C of full rank."""
    return check("assumption_cov", population_of(point)).status == "holds"


def values(table: Table, options: Options) -> Values:
    seen: list[float] = []
    unseen: list[float] = []
    for link in LINKS:
        for loss in LOSSES:
            rows = table.where(link=link, loss=loss, ratio=80)
            (seen if predicted(rows.rows[0]) else unseen).append(float(np.median(rows.column("cosine"))))
    return {"found": seen, "not_found": unseen, "both_kinds": float(min(len(seen), len(unseen)))}


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure, axes = new_figure(2, 2, width=5.4, height=4.4)
    for ax, link in zip(axes, LINKS, strict=True):
        for k, loss in enumerate(LOSSES):
            rows = table.where(link=link, loss=loss)
            ratio, cosines = rows.by_seed("ratio", "cosine")
            holds = predicted(rows.rows[0])
            style: dict[str, Any] = {
                "linestyle": "-" if holds else DASHES[1],
                "markerfacecolor": COLOURS[k] if holds else "white",
            }
            label = f"{loss}: {'full rank' if holds else 'rank too small'}"
            ax.plot(ratio, np.median(cosines, axis=1), color=COLOURS[k], marker=SHAPES[k], label=label, **style)
        ax.set(title=link, xlabel="n/d", ylabel="least cosine to the hidden subspace", ylim=(0, 1))
        numbered(ax, "x", table.values("ratio"))
        ax.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return {"losses": figure}


STUDY = Study(
    name="losses",
    title="Losses, with what the assumptions say of them",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    caption=(
        "The least cosine between a hidden direction and the r leading directions of the neurons after 8 steps; "
        "medians over seeds. Dashed, open: C does not have full rank, so the theory promises nothing."
    ),
)
