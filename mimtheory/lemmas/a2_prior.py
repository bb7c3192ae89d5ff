"""Lemma A.2 without a draw: bounds on the blocks of S_hat - S, and on the whole, from d, n and the loss alone.

The claims of `a2_operator_norm` state them for p = d - r directions across the hidden subspace, controls for fewer.
"""

import math

from mimtheory.concentration import (
    bernstein,
    bernstein_second_moment,
    block_norm,
    chebyshev,
    chevet_excess,
    chi_squared_upper,
    gaussian_product_norm,
    gaussian_t,
    gordon_deficit,
    hoeffding,
)
from mimtheory.delta_budget import share
from mimtheory.population import Population

__all__ = ["deviation_prior", "mean_prior", "signal_prior"]


def signal_prior(population: Population, delta: float) -> float:
    """Bound on the deviation of the signal block, in units of T."""
    net = bernstein_second_moment(population.K, population.r, population.n, delta)
    return min(net, chebyshev(population.V, population.n, delta))


def mean_prior(population: Population, delta: float) -> float:
    """Bound on |Tbar - c0|, in units of T."""
    n, above, below = population.n, population.K_plus, population.K_minus
    farthest = max(above - population.c0, below + population.c0) + population.moments.radius
    return min(
        hoeffding(above + below, n, delta / 2),
        bernstein(population.variance_T, farthest, n, delta / 2),
        chebyshev(population.variance_T, n, delta),
    )


def deviation_prior(population: Population, delta: float, p: int) -> float:
    """Bound on |S_hat - S| up to the error of C and c0, in units of T, from the bounds on all blocks."""
    part = {
        event: share("A.2/total_prior", event, delta)
        for event in ("signal", "mean", "m_+", "m_-", "perp", "cross", "B_op", "B_F")
    }
    signal = signal_prior(population, part["signal"])
    if population.p == 0:
        return signal
    if not math.isfinite(population.K):
        return math.inf
    perp_width = _perp_prior(population, part, p)
    cross = _cross_prior(population, part, p)
    return block_norm(signal, cross, perp_width + mean_prior(population, part["mean"]))


def _perp_prior(population: Population, part: dict[str, float], p: int) -> float:
    """Both ends of the perp block; up and lo increase with the mean and the supremum of T_+ and T_-."""
    n, moments, t = population.n, population.moments, gaussian_t(part["perp"] / 4)
    up, lo = {}, {}
    for name, top, expected in (
        ("+", population.K_plus, moments.mean_T_plus),
        ("-", population.K_minus, moments.mean_T_minus),
    ):
        average = min(top, max(0.0, expected) + moments.radius + hoeffding(top, n, part[f"m_{name}"]))
        up[name] = chevet_excess(average, top, p, n, t)
        lo[name] = gordon_deficit(average, top, p, n, t)
    return max(up["+"] + lo["-"], lo["+"] + up["-"])


def _cross_prior(population: Population, part: dict[str, float], p: int) -> float:
    """The cross block, from bounds on both norms of B = diag(T) Z."""
    n, r, K = population.n, population.r, population.K
    op = K * (math.sqrt(n) + math.sqrt(r) + gaussian_t(part["B_op"]))
    fro = K * math.sqrt(chi_squared_upper(n * r, math.log(1 / part["B_F"])))
    return gaussian_product_norm(fro, op, p, gaussian_t(part["cross"])) / n
