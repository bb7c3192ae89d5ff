"""Lemma A.4: the operator norm of Q^(t), the part of a step that is not the power iteration.

w^(t+1) = (H + Q) w^(t) exactly, with Q = -eta a (1/n) sum_i q_i x_i x_i^T and q_i = l'(c + f_i, y_i) s(u_i) - T_i,
s(u) = sigma'(u)/u. Since s(0) = 1 and f = 0 at the start, q is small while the neurons are small.

Tightness: few samples reach max |q|; the forms that bound q before the run add the worst sample and the worst step. The
form with the norm from l2 to l4 is the sharpest of these where n/d is above 10 and f stays 0. Bound over measured, at
the median cell of the quick run: `max_q` 7.8, `given_labels` 270, `prior` 67, `two_to_four` 42.

Proofs: docs/theory/stage_one.md.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mimtheory.concentration import (
    block_norm,
    gaussian_matrix_norm,
    gaussian_norms_upper,
    gaussian_product_norm,
    gaussian_t,
    sphere_spread,
    two_to_four_norm,
)
from mimtheory.delta_budget import BUDGET, share
from mimtheory.experiment import Experiment
from mimtheory.growth import DataBounds, Envelope, envelope, h_of_ends
from mimtheory.lemmas.a2_operator_norm import noise_given, noise_prior
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import Rounded, equals
from mimtheory.sample import Labels

__all__ = ["data_prior", "even_constants", "lemma", "q_norms"]

Floats = NDArray[np.float64]

lemma = Lemma(
    "A.4",
    "Operator Norm Bound for Q^(t)",
    provenance="title",
    uses=("A.2",),
    given=lambda e: e.labels,
    cost="run",
    needs=("assumption_activation",),
)


# What is measured


def next_neurons(e: Experiment) -> Rounded:
    """Components of w^(t+1), for the probes: along the stated right-hand side, and its norm."""
    run = e.run
    stated = _exact_update(e, 1.0)
    reached = run.trajectory[1:, run.probes]
    sizes = np.linalg.norm(stated, axis=2)
    along = np.einsum("tjk,tjk->tj", reached, stated) / np.where(sizes > 0, sizes, 1.0)
    return Rounded(np.concatenate((along, np.linalg.norm(reached, axis=2)), axis=1), _fresh_errors(e))


def q_norms(e: Experiment) -> Rounded:
    """The largest |Q_j^(t)| over the probes, at every step."""
    norms = e.run.Q_norms
    return Rounded(norms.value.max(axis=1), norms.errors.max(axis=1))


def each_q_norm(e: Experiment) -> Rounded:
    """|Q_j^(t)| of every probe at every step, where it is more than rounding."""
    norms = e.run.Q_norms
    keep = norms.resolved()
    return Rounded(norms.value[keep], norms.errors[keep])


def equal_q_norms(e: Experiment) -> Rounded:
    """The same for the equal steps, the last one brought to the step size of the others."""
    norms, steps = q_norms(e), e.run.T
    scale = e.population.eta1 / e.run.eta[:steps]
    return Rounded(norms.value[:steps] * scale, norms.errors[:steps] * scale)


# The claims


@lemma.claim("I", r"w_j^{(t+1)} = (H_{j,t} + Q_j^{(t)}) w_j^{(t)}", measured=next_neurons, compare=equals)
def exact_update(e: Experiment) -> Rounded:
    """A step of gradient descent is H + Q, exactly; compared along the right-hand side and in norm."""
    norms = np.linalg.norm(_exact_update(e, 1.0), axis=2)
    return Rounded(np.concatenate((norms, norms), axis=1), _fresh_errors(e))


@lemma.control(
    exact_update,
    why="+Q for -Q",
    link="h2h2",
    loss="huber(1)",
    d=30,
    n=1000,
    m=8,
    eps0=0.3,
    activation=("1-cos", "asymmetric"),
    trials=2,
)
def exact_update_with_the_other_sign(e: Experiment) -> Rounded:
    norms = np.linalg.norm(_exact_update(e, -1.0), axis=2)
    return Rounded(np.concatenate((norms, norms), axis=1), _fresh_errors(e))


def _exact_update(e: Experiment, sign: float) -> Floats:
    """(H + sign Q) w for the probes, shape (T1, k, d)."""
    run = e.run
    linear = np.array([run.apply_H(t, run.trajectory[t, run.probes], run.probes) for t in range(run.T1)])
    return linear + sign * run.Qw[:, run.probes]


def _fresh_errors(e: Experiment) -> Floats:
    """Rounding of one step, which the bound on the run up to it contains, (T1, 1)."""
    with np.errstate(over="ignore"):
        return 2 * e.run.errors[1:, None]


@lemma.claim("D", r"\|Q_j^{(t)}\| \le \eta_t |a_j| s_X^2 \max_i |q_{ij}|", measured=each_q_norm)
def max_q(e: Experiment) -> Rounded:
    """Every q_i is replaced by the largest; s_X^2 is the norm of (1/n) X^T X."""
    return _with_q(e, lambda q: np.abs(q).max(axis=1))


@lemma.control(
    max_q,
    why="the mean of |q| in place of its maximum: q is large just where x is along w",
    link="h4+h4",
    loss="huber(1)",
    d=20,
    n=6000,
    m=8,
    trials=3,
)
def mean_q(e: Experiment) -> Rounded:
    return _with_q(e, lambda q: np.abs(q).mean(axis=1))


def _with_q(e: Experiment, size: Callable[[Floats], Floats]) -> Rounded:
    run, s_X = e.run, e.sample.s_X
    scale = np.abs(run.eta[:, None]) * e.setting.a_scale
    sizes = np.array([size(q) for q in run.q_of_probes])
    value = (scale * float(s_X.value) ** 2 * sizes)[run.Q_norms.resolved()]
    return Rounded(value, value * 4 * s_X.error / float(s_X.value))


@lemma.claim(
    "G",
    r"\|Q_j^{(t)}\| \le \eta |a_j| \bar s_X^2 \left[\max_i|T_i| \kappa(u_t) + L_2 F(u_t) (1 + \kappa(u_t))\right]",
    measured=equal_q_norms,
)
def given_labels(given: Labels, delta: float) -> Floats:
    """From max |T_i| and the recursion of norms, given (z_i, T_i): serves the squared loss, whose K is infinite."""
    return _given_labels(given, delta).Q


@lemma.control(
    given_labels,
    why="kappa squared: |s(u) - 1| is of second order in u, not of fourth",
    link="h2h2",
    loss="huber(1)",
    d=20,
    n=6000,
    m=8,
    T1=3,
    trials=6,
)
def given_labels_of_fourth_order(given: Labels, delta: float) -> Floats:
    return _of_fourth_order(given.population, _given_labels(given, delta).Q)


def _given_labels(given: Labels, delta: float) -> Envelope:
    population = given.population
    noise = noise_given(given, share("A.4/given_labels", "total", delta))
    data = _data(population, "A.4/given_labels", delta, noise, float(np.abs(given.T).max()))
    s_X, R = _lengths_given(given, {event: share("A.4/given_labels", event, delta) for event in ("s_X", "cross", "R")})
    # given z_i the product w^(0).x_i is not normal: only the cap bound is left
    return envelope(population, replace(data, s_X=s_X, R=R, first=math.inf), population.T)


def _lengths_given(given: Labels, part: dict[str, float]) -> tuple[float, float]:
    """Bounds on |X|/sqrt(n) and max |x_i| given the z_i: only the perp part of x is left to chance."""
    n, p, Z = given.n, given.p, given.Z
    along, longest = float(np.linalg.norm(Z, 2)), float((Z * Z).sum(axis=1).max())
    if p == 0:
        return along / math.sqrt(n), math.sqrt(longest)
    across = gaussian_matrix_norm(n, p, gaussian_t(part["s_X"]))
    between = gaussian_product_norm(float(np.linalg.norm(Z)), along, p, gaussian_t(part["cross"]))
    s_X = math.sqrt(block_norm(along**2, between, across**2) / n)
    return s_X, math.sqrt(longest + gaussian_norms_upper(p, n, part["R"]) ** 2)


@lemma.claim(
    "P",
    r"\|Q_j^{(t)}\| \le \eta |a_j| \bar s_X^2 \left[K \kappa(u_t) + \min\{2 K, L_2 F(u_t)\}\right]",
    measured=equal_q_norms,
)
def prior(population: Population, delta: float) -> Floats:
    """Without a draw, from K, the spectrum of S and the recursion of norms."""
    return _prior(population, delta)


@lemma.control(
    prior,
    why="kappa squared: |s(u) - 1| is of second order in u, not of fourth",
    link="h4+h4",
    loss="huber(1)",
    d=10,
    n=6000,
    m=8,
    T1=3,
    trials=6,
)
def prior_of_fourth_order(population: Population, delta: float) -> Floats:
    return _of_fourth_order(population, _prior(population, delta))


def _prior(population: Population, delta: float) -> Floats:
    return envelope(population, data_prior(population, "A.4/prior", delta), population.T).Q


def _of_fourth_order(population: Population, Q: Floats) -> Floats:
    step = population.step
    return step * (Q / step) ** 2


@lemma.claim(
    "P",
    r"\|Q_j^{(t)}\| \le \eta |a_j| K \frac{M_4}{6} |w|^2 \frac{\|X\|_{2\to4}^4}{n}",
    measured=equal_q_norms,
)
def two_to_four(population: Population, delta: float) -> Floats:
    """No worst sample: (1/n) sum <x_i, w>^2 <x_i, v>^2 <= |X|_{2->4}^4/n; needs f = 0 and sigma'''(0) = 0."""
    h, c2 = even_constants(population, "A.4/two_to_four", delta)
    Q, omega = np.full(population.T, np.inf), population.setting.eps0
    for t in range(Q.size):
        bound = c2 * omega * omega
        if not bound < math.inf:
            break  # infinite from here on
        Q[t] = bound
        omega *= h + bound
    return Q


@lemma.control(
    two_to_four,
    why="|w|^4 for |w|^2",
    link="h4+h4",
    loss="huber(1)",
    d=10,
    n=6000,
    m=8,
    T1=3,
    trials=6,
)
def two_to_four_of_fourth_order(population: Population, delta: float) -> Floats:
    return np.asarray(two_to_four.stated(population, delta)) * population.setting.eps0**2


def even_constants(population: Population, label: str, delta: float) -> tuple[float, float]:
    """(h, c2) with |H| <= h and |Q| <= c2 |w|^2 while f = 0; c2 is infinite where the claim does not apply."""
    s, t = population.setting, gaussian_t(share(label, "X", delta))
    h = h_of_ends(population, _ends(population, noise_prior(population, share(label, "S_hat", delta))))
    if not population.f_stays_zero or s.activation.d3_0 != 0 or not math.isfinite(population.K):
        return h, math.inf
    fourth = two_to_four_norm(population.n, population.d, t) ** 4 / population.n
    return h, population.step * population.K * s.activation.M4 / 6 * fourth


def data_prior(population: Population, label: str, delta: float) -> DataBounds:
    """What the recursion needs to know of D1, before it is drawn; the events are those of the delta budget."""
    return _data(population, label, delta, noise_prior(population, share(label, "S_hat", delta)))


def _data(population: Population, label: str, delta: float, noise: float, T_max: float = math.inf) -> DataBounds:
    d, n = population.d, population.n
    spread = math.inf
    if "spread" in BUDGET[label]:
        spread = sphere_spread(n * population.setting.m * population.T1, share(label, "spread", delta))
    return DataBounds(
        ends=_ends(population, noise),
        s_X=gaussian_matrix_norm(n, d, gaussian_t(share(label, "s_X", delta))) / math.sqrt(n),
        R=gaussian_norms_upper(d, n, share(label, "R", delta)),
        spread=spread,
        T_max=T_max,
        first=spread,  # w^(0).x_i has the law of eps0 N(0, 1), whose tails are no heavier than those of a cap
    )


def _ends(population: Population, noise: float) -> Floats:
    return population.S_ends + np.array([-noise, noise])
