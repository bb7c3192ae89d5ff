"""Lemma A.3: the r eigenvalues of S_hat farthest from c0 separate from the rest, and their eigenvectors find U.

With noise = |S_hat - S| and gap = min |l_k(C)|: no eigenvalue moves by more than the noise (Weyl), and the subspace
V_hat of the r eigenvalues farthest from c0 turns away from U by an angle that Davis-Kahan's argument bounds.

Tightness: Weyl's bound is reached at the edges of the bulk. Of the angle's forms the cross form is the sharpest,
because the noise of the others is that of the bulk, while only the cross block turns V_hat. The form without a draw
inherits A.2's signal block and mean, and needs n/d of several hundred before it says anything. Bound over measured, at
the median cell of the quick run: `weyl` 1, `davis_kahan` 2.4, `half_angle` 1.8, `cross_form` 1.3, `prior` 8.6.

Proofs: docs/theory/stage_one.md.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import subspace_angles

from mimtheory.delta_budget import share
from mimtheory.experiment import Experiment
from mimtheory.lemmas.a2_operator_norm import noise_prior
from mimtheory.population import Population
from mimtheory.registry import Lemma
from mimtheory.relations import EPS, Rounded, gamma

__all__ = ["lemma", "sin_theta_prior"]

Floats = NDArray[np.float64]

lemma = Lemma("A.3", "Spectral separation", provenance="numbered", uses=("A.2",))


# What is measured


def shifts(e: Experiment) -> Rounded:
    """|l_k(S_hat) - l_k(S)| in increasing order of both spectra, or at the two ends where S_hat is not formed."""
    population, split = e.population, e.sample.split
    expected = np.concatenate((np.linalg.eigvalsh(population.C), np.zeros(population.p))) + population.c0
    found, expected = np.sort(np.concatenate((split.signal, split.bulk))), np.sort(expected)
    if found.size < expected.size:
        found, expected = found[[0, -1]], expected[[0, -1]]
    # S itself: an eigensolver of C and one sum
    rounding = gamma(20 * population.r) * (float(np.linalg.norm(population.C)) + abs(population.c0))
    return Rounded(np.abs(found - expected).max(), split.error + rounding + population.matrix_radius)


def sin_theta(e: Experiment) -> Rounded:
    """Sine of the largest angle between V_hat and the hidden subspace; empty where d = r.

    The computed V_hat belongs to a matrix within the solver's roundoff of S_hat, which the stated sides carry.
    """
    if e.population.p == 0:
        return Rounded(np.empty(0))
    angle = float(subspace_angles(e.sample.split.V_hat, e.sample.U.T).max())
    return Rounded(math.sin(angle), 40 * e.population.d * EPS)


# The claims


@lemma.claim("D", r"|\lambda_k(\hat S) - \lambda_k(S)| \le \|\hat S - S\|", measured=shifts)
def weyl(e: Experiment) -> Rounded:
    """No eigenvalue moves by more than the norm of the perturbation."""
    return e.sample.noise


@lemma.control(
    weyl,
    why="half the norm: the bulk edges reach the whole of it",
    link="h4+h4",
    loss="huber(1)",
    d=(50, 100),
    n=2000,
    trials=4,
)
def weyl_with_half_the_noise(e: Experiment) -> Rounded:
    noise = e.sample.noise
    return Rounded(noise.value / 2, noise.error)


@lemma.claim(
    "D", r"\|\sin\Theta(\hat V, U)\| \le \frac{\|\hat S - S\|}{\mathrm{gap} - \|\hat S - S\|}", measured=sin_theta
)
def davis_kahan(e: Experiment) -> Rounded:
    """The angle is at most noise over the gap that the noise leaves; says nothing where noise >= gap/2."""
    return _angle_bound(e, _davis_kahan)


@lemma.control(
    davis_kahan,
    why="the square of the bound: the angle is of first order in the noise",
    link="h4+h4",
    loss="huber(1)",
    d=(20, 40),
    n=20000,
    trials=4,
)
def davis_kahan_of_second_order(e: Experiment) -> Rounded:
    return _angle_bound(e, lambda noise, gap: _davis_kahan(noise, gap) ** 2)


@lemma.claim(
    "D",
    r"\|\sin\Theta\| \le \sin\left(\tfrac12 \arcsin \frac{2\|\hat S - S\|}{\mathrm{gap}}\right)",
    measured=sin_theta,
)
def half_angle(e: Experiment) -> Rounded:
    """The sharp form of the sin 2Theta theorem; says nothing where noise >= gap/2."""
    return _angle_bound(e, _half_angle)


@lemma.control(
    half_angle,
    why="the square of the bound: the angle is of first order in the noise",
    link="h4+h4",
    loss="huber(1)",
    d=(20, 40),
    n=20000,
    trials=4,
)
def half_angle_of_second_order(e: Experiment) -> Rounded:
    return _angle_bound(e, lambda noise, gap: _half_angle(noise, gap) ** 2)


@lemma.claim(
    "D",
    r"\|\sin\Theta\| \le \frac{\|U \hat S P_\perp\|}{\min_{k\le r}|\lambda_k(\hat S) - c_0| - \|\hat S_\perp - c_0\|}",
    measured=sin_theta,
)
def cross_form(e: Experiment) -> Rounded:
    """Only the cross block turns V_hat: its norm over the measured separation from the perp block."""
    return _cross_form(e, 1.0)


@lemma.control(
    cross_form,
    why="the perp block left out of the separation",
    link="h4+h4",
    loss="huber(1)",
    d=(50, 100),
    n=6000,
    trials=6,
)
def cross_form_without_perp_block(e: Experiment) -> Rounded:
    return _cross_form(e, 0.0)


@lemma.claim(
    "P",
    r"\|\sin\Theta\| \le \text{the smaller of both forms with } \|\hat S - S\| \text{ bounded by A.2 without a draw}",
    measured=sin_theta,
)
def prior(population: Population, delta: float) -> float:
    """The angle that d, n and the loss alone promise; A.2's total bound stands for the noise."""
    return sin_theta_prior(population, share("A.3/prior", "total", delta))


@lemma.control(
    prior,
    why="the rate 1/n in place of 1/sqrt(n) in the noise",
    link="h4+h4",
    loss="huber(1)",
    d=(10, 20),
    n=40000,
    trials=6,
)
def prior_at_rate_n(population: Population, delta: float) -> float:
    return _angle(noise_prior(population, delta) / math.sqrt(population.n), population.gap)


def sin_theta_prior(population: Population, delta: float) -> float:
    """Bound on |sin Theta| with probability at least 1 - delta; infinite where the noise reaches half of the gap."""
    return _angle(noise_prior(population, delta), population.gap)


def _angle(noise: float, gap: float) -> float:
    return min(_davis_kahan(noise, gap), _half_angle(noise, gap))


def _davis_kahan(noise: float, gap: float) -> float:
    return noise / (gap - noise) if noise < gap / 2 else math.inf  # a bound from 1 on says nothing of a sine


def _half_angle(noise: float, gap: float) -> float:
    return math.sin(math.asin(2 * noise / gap) / 2) if noise < gap / 2 else math.inf


def _angle_bound(e: Experiment, form: Callable[[float, float], float]) -> Rounded:
    """A form at the measured noise; raising the noise by its error shows what that error can do."""
    if e.population.p == 0:
        return Rounded(np.empty(0))
    noise, gap = e.sample.noise, e.population.gap
    value, raised = form(float(noise.value), gap), form(float(noise.value) + noise.error, gap)
    return Rounded(value, raised - value if math.isfinite(raised) else 0.0)


def _cross_form(e: Experiment, perp: float) -> Rounded:
    if e.population.p == 0:
        return Rounded(np.empty(0))
    sample, c0 = e.sample, e.population.c0
    bulk = float(np.abs(sample.perp_extremes.value + sample.labels.T_mean - c0).max())
    apart = float(np.abs(sample.split.signal - c0).min()) - perp * bulk
    if apart <= 0:
        return Rounded(math.inf)
    value = float(sample.cross_norm.value) / apart
    error = (sample.cross_norm.error + value * (sample.split.error + sample.perp_extremes.error)) / apart
    return Rounded(value if value < 1 else math.inf, error)
