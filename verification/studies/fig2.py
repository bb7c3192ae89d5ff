"""Figure 2: the squared loss against a robust one on h4(z1) + h4(z2), by the cosine of the best neuron."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import qmc

from mimtheory.experiment import Experiment
from mimtheory.population import Population
from verification.drawing import DASHES, INK, band, new_figure, numbered
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import prepared

LINK, LOSS = "h4+h4", "huber(1)"
M, STEPS, LATE = 128, 5, 12
_LATE_FROM = 40  # n/d from which the first-order law is looked at


def points(options: Options) -> list[tuple[Row, int]]:
    """d x n/d; quick leaves out d = 500, three of n/d and most seeds."""
    dimensions, seeds = ([200, 300, 500], 10) if options.full else ([200, 300], 4)
    base = {
        "link": options.link or LINK,
        "loss": options.loss or LOSS,
        "activation": options.activation or "1-cos",
        "m": M,
    }
    ratios = [5, 10, 20, 30, 40, 60, 100] if options.full else [10, 20, 40, 100]
    return [(base | {"d": d, "ratio": ratio}, seeds) for d in dimensions for ratio in ratios]


def measure(point: Row, rng: np.random.Generator) -> Row:
    """cos(best) after 5 steps for both losses on one draw, and after 12 for the robust one where n/d is large.

    The alignments after t steps of one run are those of a run with T1 = t: its last step differs by a factor only.
    """
    d, ratio, late = point["d"], point["ratio"], point["ratio"] >= _LATE_FROM
    fields = {name: point[name] for name in ("link", "activation", "m", "d")} | {"n": ratio * d, "eps0": 1e-3}
    seed = int(rng.integers(1 << 62))
    found = {}
    for name, loss, steps in (("squared", "squared", STEPS), ("robust", point["loss"], LATE if late else STEPS)):
        alignments = Experiment(prepared(**fields, loss=loss, T1=steps).setting, seed).alignments
        found[name] = float(alignments[STEPS].max())
        if steps == LATE:
            found["late"] = float(alignments[LATE].max())
    return found


def seconds(point: Row) -> float:
    steps = STEPS + (LATE if point["ratio"] >= _LATE_FROM else STEPS)
    return 2.6e-10 * point["ratio"] * point["d"] ** 2 * point["m"] * steps


def first_order(population: Population) -> float:
    """C of 1 - cos^2 = C d/n: E[T^2 z_k^2]/lambda_k^2 for the eigenvector with the smallest C. Proof:
    docs/theory/stage_two.md.

    The eigenvector u_k of S moves across U by |P_perp S_hat u_k|/lambda_k, whose mean square is C d/n.
    """
    s, (values, vectors) = population.setting, np.linalg.eigh(population.C)
    Z = qmc.MultivariateNormalQMC(np.zeros(population.r), rng=0).random(1 << 18)
    T = s.loss.dl(population.centre, s.link(Z))
    second = ((T[:, None] * (Z @ vectors)) ** 2).mean(axis=0)
    return float(np.min(second / values**2))


def values(table: Table, options: Options) -> Values:
    found: dict[str, float | list[float]] = {}
    medians = {
        (name, d, ratio): float(np.median(table.where(d=d, ratio=ratio).column(name)))
        for name in ("robust", "squared", "late")
        for d in table.values("d")
        for ratio in table.values("ratio")
        if name != "late" or ratio >= _LATE_FROM
    }
    dimensions, ratios = table.values("d"), table.values("ratio")
    found["robust_at_40"] = [medians["robust", d, 40] for d in dimensions]
    found["robust_at_100"] = [medians["robust", d, 100] for d in dimensions]
    found["gap"] = [medians["robust", d, k] - medians["squared", d, k] for d in dimensions for k in ratios if k >= 30]
    found["first_order"] = [(1 - medians["late", d, k] ** 2) * k for d in dimensions for k in ratios if k >= _LATE_FROM]
    found["squared"] = [medians["squared", d, k] for d in dimensions for k in ratios]
    return found


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure, (ax, law) = new_figure(2, width=5.4, height=4.0)
    link, loss = table.rows[0]["link"], table.rows[0]["loss"]
    for k, d in enumerate(table.values("d")):
        for name, style in (("robust", {}), ("squared", {"linestyle": DASHES[1], "markerfacecolor": "white"})):
            ratio, cosines = table.where(d=d).by_seed("ratio", name)
            band(ax, ratio, cosines, k, f"{loss if name == 'robust' else 'squared'}, d = {d}", **style)
        late = Table(row for row in table.where(d=d).rows if "late" in row)
        ratio, cosines = late.by_seed("ratio", "late")
        band(law, ratio, 1 - cosines**2, k, f"d = {d}, T1 = {LATE}")
    ax.set(
        ylim=(0, 1), xlabel="n/d", ylabel="cosine of the best neuron", title=f"{link}: {loss} and squared, T1 = {STEPS}"
    )
    numbered(ax, "x", table.values("ratio"))
    ax.legend(ncols=2, loc="lower right" if table.column("squared").max() < 0.7 else "best", fontsize=8)
    constant = first_order(prepared(link=link, loss=loss, d=100, n=100))
    x = np.array([_LATE_FROM, table.values("ratio")[-1]])
    law.plot(x, constant / x, color=INK, linewidth=1.2, label=f"{constant:.3g} d/n, first order")
    law.set(xlabel="n/d", ylabel="1 - cos²", title="The first-order law", yscale="log")
    numbered(law, "x", [k for k in table.values("ratio") if k >= _LATE_FROM])
    numbered(law, "y", [0.05, 0.07, 0.1, 0.15])
    law.legend()
    return {"fig2": figure}


STUDY = Study(
    name="fig2",
    title="The squared loss against a robust one",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    own=("link", "loss", "activation"),
    caption=(
        "Left: cosine of the best of m neurons to the hidden subspace after stage one; medians over seeds with the "
        "30th to 70th percentile. The squared loss cannot see a link of information exponent 4. Right: the angle "
        "after many steps, and what first-order perturbation theory says of it."
    ),
)
