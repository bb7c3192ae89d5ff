"""Lemma A.2: the operator norm of the preconditioned Hessian H_j = gamma I - eta a_j S_hat.

S_hat = (1/n) sum_i T_i x_i x_i^T is split along the hidden subspace: the signal block (r x r), the perp block, which is
a weighted Wishart matrix once the hidden coordinates z_i and the labels are given, and the cross block between them.
Each has a bound with explicit constants, and together they bound |S_hat - S|, S = c0 I + U^T C U. With p = d - r = 0
there is neither a perp nor a cross block.

Tightness: where T is bounded the perp, cross and edge bounds come near what is measured. At level P the signal block
pays for being free of the draw by a net over directions and Bernstein's moments, or by Chebyshev's 1/sqrt(delta), which
is what any T with moments costs; the mean may be small by chance. At level P every bound needs a bounded T, but for the
Chebyshev forms of the signal block and the mean. Bound over measured, at the median cell of the quick run:
`block_norms` 1.2, `perp_block` 2.3, `perp_edge` 1.6, `perp` 1.6, `cross_block` 1.5, `total` 2, `signal_block` 5.2,
`mean` 5, `total_prior` 3.

Proofs: docs/theory/a2_operator_norm.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mimtheory.concentration import (
    block_norm,
    chevet_excess,
    edge_upper,
    gaussian_product_norm,
    gaussian_t,
    gordon_deficit,
)
from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.lemmas.a2_prior import deviation_prior, mean_prior, signal_prior
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded, equals
from mimtheory.sample import Labels

__all__ = ["lemma", "noise_given", "noise_prior"]

Floats = NDArray[np.float64]
_NOTHING = np.empty(0)

lemma = Lemma("A.2", "Operator Norm Bound for H_l", provenance="title", given=lambda e: e.labels)


# What is measured


def H_norms(e: Experiment) -> Rounded:
    """|H_j| for a_j = +a_scale and -a_scale, by a route that does not use the eigenvalues of S_hat."""
    gamma, step = e.population.gamma1, e.population.step
    norms = [e.sample.H_norm(gamma, sign * step) for sign in (1, -1)]
    return Rounded([float(norm.value) for norm in norms], max(norm.error for norm in norms))


def perp_ends(e: Experiment) -> Rounded:
    """(lmax, -lmin) of the perp block of S_hat - Tbar I."""
    ends = e.sample.perp_extremes
    return Rounded(np.array([1.0, -1.0])[: ends.value.size] * ends.value[::-1], ends.error)


def noise(e: Experiment) -> Rounded:
    return e.sample.noise


# The identity


@lemma.claim(
    "I",
    r"\|H_j\| = \max(|\gamma - \eta a_j \lambda_{\max}(\hat S)|, |\gamma - \eta a_j \lambda_{\min}(\hat S)|)",
    measured=H_norms,
    compare=equals,
)
def eigenvalue_form(e: Experiment) -> Rounded:
    """The norm of H_j is reached at one of the two ends of the spectrum of S_hat."""
    return _norms_from_ends(e, e.sample.extremes.value)


@lemma.control(
    eigenvalue_form,
    why="only the largest eigenvalue counted; with the Huber loss h2 has its outlier at the bottom",
    link="h2",
    loss="huber(1)",
    d=(30, 60),
    n=600,
    trials=5,
)
def top_end_only(e: Experiment) -> Rounded:
    return _norms_from_ends(e, e.sample.extremes.value[1:])


def _norms_from_ends(e: Experiment, ends: Floats) -> Rounded:
    gamma, step = e.population.gamma1, e.population.step
    values = [np.abs(gamma - sign * step * ends).max() for sign in (1, -1)]
    return Rounded(values, step * e.sample.extremes.error + 4 * EPS * max(values))


# The blocks add up: for every draw


@lemma.claim(
    "D",
    r"\|\hat S - S\| \le \left\| \begin{pmatrix} \|\text{signal}\| & \|\text{cross}\| \\ \|\text{cross}\| & "
    r"\|\text{perp}\| + |\bar T - c_0| \end{pmatrix} \right\|",
    measured=noise,
)
def block_norms(e: Experiment) -> Rounded:
    """The norm of S_hat - S is at most that of the 2 x 2 matrix of the norms of its blocks."""
    shift = abs(e.labels.T_mean - e.population.c0)
    return _from_measured_blocks(e, shift if e.population.p else 0.0)


@lemma.control(
    block_norms,
    why="|Tbar - c0| dropped: the perp block is centred at Tbar, not at c0",
    link="h2",
    loss="huber(1)",
    d=(3, 5),
    n=2000,
    trials=60,
)
def block_norms_without_mean(e: Experiment) -> Rounded:
    return _from_measured_blocks(e, 0.0)


def _from_measured_blocks(e: Experiment, mean: float) -> Rounded:
    s = e.sample
    perp, cross = (float(np.abs(part.value).max(initial=0.0)) for part in (s.perp_extremes, s.cross_norm))
    bound = block_norm(float(s.signal_deviation.value), cross, perp + mean)
    # block_norm is 1-Lipschitz in each diagonal entry and in the cross entry
    return Rounded(bound, 3 * s.S_hat.roundoff + 2 * s.signal_deviation.error)


# Given (z_i, T_i): the complement of the hidden subspace is Gaussian


@lemma.claim(
    "G",
    r"-(\mathrm{lo}_+ + \mathrm{up}_-) \le \lambda(\hat S_\perp - \bar T I) \le \mathrm{up}_+ + \mathrm{lo}_-",
    measured=perp_ends,
)
def perp_block(given: Labels, delta: float) -> Floats:
    """The spectrum of the perp block stays in a bulk of width sqrt(p/n): Chevet above, Gordon below.

    Both are applied to the positive and to the negative part of T, each event with its part of delta.
    """
    return _perp_block(given, delta, given.p)


@lemma.control(
    perp_block,
    why="the dimension term sqrt(K p/n) dropped",
    link="h4+h4",
    loss="huber(1)",
    d=(50, 100),
    n=2000,
    trials=12,
)
def perp_block_without_dimension(given: Labels, delta: float) -> Floats:
    return _perp_block(given, delta, 0)


def _perp_block(given: Labels, delta: float, p: int) -> Floats:
    if given.p == 0:
        return _NOTHING
    t = {event: gaussian_t(share("A.2/perp_block", event, delta)) for event in ("up_+", "up_-", "lo_+", "lo_-")}
    up, lo = {}, {}
    for sign, name in ((1, "+"), (-1, "-")):
        mean, top = given.part(sign)
        up[name] = chevet_excess(mean, top, p, given.n, t[f"up_{name}"])
        lo[name] = gordon_deficit(mean, top, p, given.n, t[f"lo_{name}"])
    return np.array([up["+"] + lo["-"], lo["+"] + up["-"]])


@lemma.claim(
    "G",
    r"\lambda_{\max}(\hat S_\perp) \le \min_{w > \max(0, K_+)} \left[\psi_n(w) + 2\sqrt{\tau}\,|c(w)|_2"
    r" + 2 \tau \max c_+(w)\right], \quad \text{and } \lambda_{\min} \text{ by } T \to -T",
    measured=perp_ends,
)
def perp_edge(given: Labels, delta: float) -> Floats:
    """The sharp bulk edge: psi_n is the Schur complement whose minimum is the edge of the limit law.

    psi_n(w) = w p/n + (w/n) sum_i T_i/(w - T_i), and c(w) are the weights of a chi-squared sum of that mean.
    """
    return _perp_edge(given, delta, given.p)


@lemma.control(
    perp_edge,
    why="w p/n halved",
    link="h4+h4",
    loss="huber(1)",
    d=(300, 400),
    n=600,
    trials=6,
)
def perp_edge_with_half_the_dimension(given: Labels, delta: float) -> Floats:
    return _perp_edge(given, delta, given.p // 2)


def _perp_edge(given: Labels, delta: float, p: int) -> Floats:
    if given.p == 0:
        return _NOTHING
    # each end fails with probability at most 2 exp(-tau)
    tau_top, tau_bottom = (math.log(2 / share("A.2/perp_edge", end, delta)) for end in ("top", "bottom"))
    top = edge_upper(given.T, p, tau_top) - given.T_mean
    bottom = edge_upper(-given.T, p, tau_bottom) + given.T_mean
    return np.array([top, bottom])


@lemma.claim(
    "G",
    r"\lambda(\hat S_\perp - \bar T I) \text{ within the smaller of the block and the edge form}",
    measured=perp_ends,
)
def perp(given: Labels, delta: float) -> Floats:
    """The better of the two forms at each end, delta split between them."""
    return _perp(given, delta, given.p)


@lemma.control(
    perp,
    why="the dimension dropped from both forms",
    link="h4+h4",
    loss="huber(1)",
    d=(50, 100),
    n=2000,
    trials=12,
)
def perp_without_dimension(given: Labels, delta: float) -> Floats:
    return _perp(given, delta, 0)


def _perp(given: Labels, delta: float, p: int) -> Floats:
    block = _perp_block(given, share("A.2/perp", "block", delta), p)
    edge = _perp_edge(given, share("A.2/perp", "edge", delta), p)
    return np.minimum(block, edge)


@lemma.claim(
    "G",
    r"\|U \hat S P_\perp\| \le \frac{1}{n}\left(\|B\|_F + \|B\| (\sqrt{p} + t)\right), \quad B = \mathrm{diag}(T) Z",
    measured=lambda e: e.sample.cross_norm,
)
def cross_block(given: Labels, delta: float) -> Floats:
    """The cross block is B^T G/n with G Gaussian and independent of B (Chevet)."""
    return _cross_block(given, share("A.2/cross_block", "cross", delta), given.p)


@lemma.control(
    cross_block,
    why="the dimension term sqrt(p) dropped",
    link="h4+h4",
    loss="huber(1)",
    d=(50, 100),
    n=2000,
    trials=12,
)
def cross_block_without_dimension(given: Labels, delta: float) -> Floats:
    return _cross_block(given, share("A.2/cross_block", "cross", delta), 0)


def _cross_block(given: Labels, delta: float, p: int) -> Floats:
    if given.p == 0:
        return _NOTHING
    return np.array([gaussian_product_norm(*given.B_norms, p, gaussian_t(delta)) / given.n])


@lemma.claim(
    "G",
    r"\|\hat S - S\| \le \left\| \begin{pmatrix} \|\text{signal}\| & \text{cross} \\ \text{cross} & "
    r"\text{perp} \end{pmatrix} \right\|",
    measured=noise,
)
def total(given: Labels, delta: float) -> float:
    """The whole deviation: the signal block and Tbar are given, perp and cross are bounded."""
    return noise_given(given, delta)


@lemma.control(
    total,
    why="the width of the bulk dropped, only its centre Tbar kept",
    link="h4+h4",
    loss="huber(1)",
    d=(100, 200),
    n=1500,
    trials=8,
)
def total_without_bulk(given: Labels, delta: float) -> float:
    return _total(given, np.zeros(2), share("A.2/total", "cross", delta))


def noise_given(given: Labels, delta: float) -> float:
    """The bound of `total` on |S_hat - S|, in units of T, for the lemmas that build on it."""
    ends = _perp(given, share("A.2/total", "perp", delta), given.p) if given.p else np.zeros(2)
    return _total(given, ends, share("A.2/total", "cross", delta))


def _total(given: Labels, perp_ends: Floats, delta_cross: float) -> float:
    population = given.population
    block = (given.Z * (given.T / given.n)[:, None]).T @ given.Z - population.C
    signal = np.abs(np.linalg.eigvalsh((block + block.T) / 2) - population.c0).max() + population.matrix_radius
    shift = given.T_mean - population.c0 if given.p else 0.0
    cross = float(_cross_block(given, delta_cross, given.p).max(initial=0.0))
    high, low = perp_ends
    return block_norm(float(signal), cross, max(float(high) + shift, float(low) - shift, 0.0))


# Without a draw, by the bounds of a2_prior


@lemma.claim(
    "P",
    r"\|U \hat S U^\top - (C + c_0 I)\| \le \min\{\text{Bernstein } 1.141 K (\sqrt{6\tau/n} + 2\tau/n),"
    r"\ \text{Chebyshev } \sqrt{V/(n\delta)}\}",
    measured=lambda e: e.sample.signal_deviation,
)
def signal_block(population: Population, delta: float) -> float:
    """The r x r signal block at rate 1/sqrt(n): Bernstein over a net for bounded T, Chebyshev for any T."""
    return signal_prior(population, share("A.2/signal_block", "signal", delta))


@lemma.control(
    signal_block,
    why="the rate 1/n in place of 1/sqrt(n)",
    link="h4+h4",
    loss="huber(1)",
    d=(10, 20),
    n=20000,
    trials=12,
)
def signal_block_at_rate_n(population: Population, delta: float) -> float:
    return signal_prior(population, share("A.2/signal_block", "signal", delta)) / math.sqrt(population.n)


@lemma.claim(
    "P",
    r"|\bar T - c_0| \le \min\{(K_+ + K_-)\sqrt{\rho/2},\ "
    r"\tfrac{b\rho}{3} + \sqrt{(\tfrac{b\rho}{3})^2 + 2\rho\,\mathrm{Var}\,T},\ "
    r"\sqrt{\tfrac{\mathrm{Var}\,T}{n\delta}}\},\quad "
    r"\rho = \tfrac{\log(2/\delta)}{n},\ b = \max(K_+ - c_0, K_- + c_0)",
    measured=lambda e: abs(e.labels.T_mean - e.population.c0),
)
def mean(population: Population, delta: float) -> float:
    """The mean of T at rate 1/sqrt(n): Hoeffding or Bernstein for bounded T, Chebyshev for any T."""
    return mean_prior(population, share("A.2/mean", "mean", delta))


@lemma.control(
    mean,
    why="the rate 1/n in place of 1/sqrt(n)",
    link="h4+h4",
    loss="huber(1)",
    d=(10, 20),
    n=20000,
    trials=20,
)
def mean_at_rate_n(population: Population, delta: float) -> float:
    return mean_prior(population, share("A.2/mean", "mean", delta)) / math.sqrt(population.n)


@lemma.claim(
    "P",
    r"\|\hat S - S\| \le \left\| \begin{pmatrix} \text{signal} & \text{cross} \\ \text{cross} & \text{perp} + "
    r"|\bar T - c_0| \end{pmatrix} \right\| \text{ from } K, \mathbb{E} T_\pm, d, n, \delta",
    measured=noise,
)
def total_prior(population: Population, delta: float) -> float:
    """The whole deviation without a draw: what d, n and the loss alone promise."""
    return deviation_prior(population, delta, population.p)


@lemma.control(
    total_prior,
    why="the dimension dropped from the perp and the cross block",
    link="h4+h4",
    loss="huber(1)",
    d=(300,),
    n=900,
    trials=8,
)
def total_prior_without_dimension(population: Population, delta: float) -> float:
    return deviation_prior(population, delta, 0)


def noise_prior(population: Population, delta: float) -> float:
    """The bound of `total_prior` on |S_hat - S|, in units of T, raised by the error of C and c0, for the lemmas that
    build on it."""
    return deviation_prior(population, delta, population.p) + population.matrix_radius
