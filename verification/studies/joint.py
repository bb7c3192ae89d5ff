"""Beyond the theory: both layers trained at once, and layer by layer without sample splitting. An exploration;
nothing here is claimed by a lemma."""

import numpy as np
from matplotlib.figure import Figure

from mimtheory.experiment import Experiment
from mimtheory.generalisation import Network
from mimtheory.links import link
from mimtheory.normal_equations import ridge_weights
from mimtheory.population import Population
from mimtheory.stage_two import draw_biases
from verification.drawing import INK, band, logarithmic, new_figure, numbered
from verification.study import Options, Row, Study, Table, Values
from verification.two_stages import error_of, prepared, second_stage

LINK, LOSS, M, STEPS = "h2h2", "huber(2)", 64, 1000
METHODS = {"split": "layer by layer, fresh D2", "reused": "layer by layer, D2 = D1", "joint": "both layers at once"}


def points(options: Options) -> list[tuple[Row, int]]:
    d, ratios, seeds = (100, (16, 32, 64, 128), 7) if options.full else (30, (16, 64), 3)
    return [({"method": method, "d": d, "ratio": ratio}, seeds) for method in METHODS for ratio in ratios]


def measure(point: Row, rng: np.random.Generator) -> Row:
    """Test error from |D1| + |D2| = ratio d samples in all."""
    n = point["ratio"] * point["d"] // (2 if point["method"] == "split" else 1)
    population = prepared(link=LINK, loss=LOSS, d=point["d"], n=n, m=M, centre="population", eps0=1e-3)
    e = Experiment(population.setting, rng)
    if point["method"] == "split":
        network = second_stage(population, e.U, e.trajectory[-1], rng)
    elif point["method"] == "reused":
        network = _reused(e, rng)
    else:
        network = _joint(e, population, rng)
    return {"error": error_of(network, population, e.U)}


def _reused(e: Experiment, rng: np.random.Generator) -> Network:
    """Stage two on the samples of stage one."""
    b, W = draw_biases(M, rng), e.trajectory[-1]
    Phi = e.setting.activation.sigma(e.X @ W.T + b)
    return Network(W, ridge_weights(Phi, e.y - e.sample.centre), b, e.sample.centre, e.setting.activation)


def _joint(e: Experiment, population: Population, rng: np.random.Generator) -> Network:
    """Full-batch gradient descent with momentum on W, a and b from a small start, the loss being that of stage one."""
    X, y, loss, sigma, n = e.X, e.y, e.setting.loss, e.setting.activation, e.setting.n
    W = 0.1 * rng.standard_normal((M, X.shape[1])) / np.sqrt(X.shape[1])
    b, a = rng.standard_normal(M), 0.1 * rng.standard_normal(M) / M
    speed = [np.zeros_like(W), np.zeros_like(b), np.zeros_like(a)]
    for step in range(STEPS):
        u = X @ W.T + b
        slope = loss.dl(population.centre + sigma.sigma(u) @ a, y) / n
        inner = slope[:, None] * sigma.d1(u) * a
        gradients = [inner.T @ X, inner.sum(axis=0), slope @ sigma.sigma(u)]
        rate = 0.05 * (1 - step / STEPS)
        for weight, moved, gradient in zip((W, b, a), speed, gradients, strict=True):
            moved *= 0.9
            moved -= rate * gradient
            weight += moved
    return Network(W, a, b, population.centre, sigma)


def seconds(point: Row) -> float:
    n = point["ratio"] * point["d"]
    return 0.05 + 2e-9 * n * point["d"] * M + (1.2e-8 * STEPS * n * M if point["method"] == "joint" else 0.0)


def values(table: Table, options: Options) -> Values:
    ratio = table.values("ratio")[-1]
    last = {name: float(np.median(table.where(method=name, ratio=ratio).column("error"))) for name in METHODS}
    variance = float(link(LINK).variance)
    return {"reuse": last["reused"] / last["split"], "joint_learns": last["joint"] / variance}


def draw(table: Table, options: Options) -> dict[str, Figure]:
    figure, (ax,) = new_figure(width=5.6, height=4.0)
    for k, (method, label) in enumerate(METHODS.items()):
        band(ax, *table.where(method=method).by_seed("ratio", "error"), k, label)
    variance = float(link(LINK).variance)
    ax.axhline(variance, color=INK, linewidth=1, linestyle=":", label="Var g")
    ax.set(xlabel="samples in all / d", ylabel="test error")
    logarithmic(ax, "y")
    ax.set_title(f"Exploration beyond the theory: {LINK}, {LOSS}, d = {table.rows[0]['d']}")
    numbered(ax, "x", table.values("ratio"))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    return {"joint": figure}


STUDY = Study(
    name="joint",
    title="Exploration beyond the theory: joint training, reused data",
    points=points,
    measure=measure,
    seconds=seconds,
    values=values,
    draw=draw,
    caption=(
        "An exploration, not a claim of the theory: test error of three ways to use the same number of samples. Bands "
        "are the 30th to 70th percentile over seeds."
    ),
)
