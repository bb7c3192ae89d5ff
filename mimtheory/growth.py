"""The scalar recursion behind stage one: norms, perturbations and |Q| of all neurons under one envelope.

From bounds on |H|, on s_X = |X|_op/sqrt(n) and on R = max |x_i|, step after step:
u_t bounds every |w_j.x_i|, then |q_ij| <= qmax(u_t), |Q| <= eta |a| s_X^2 qmax, |w| grows by at most h + |Q|.
Proofs: docs/theory/stage_one.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimtheory.population import Population

__all__ = ["DataBounds", "Envelope", "envelope", "h_of_ends", "q_bound"]

Floats = NDArray[np.float64]

_HUGE = 1e60  # its fourth power still is a double; a bound of this size says nothing


@dataclass(frozen=True)
class DataBounds:
    """What the recursion needs to know of D1, measured on it or bounded before it is drawn.

    Attributes
    ----------
    ends : (2,)
        Bounds below and above the spectrum of S_hat.
    s_X, R : float
        Bounds on |X|_op/sqrt(n) and on max |x_i|.
    spread : float
        All |w_j^(0).H^t x_i| are at most eps0 |H^t x_i| spread/sqrt(d); infinite where that is not asked for.
    T_max : float
        Bound on max |T_i| (infinite where only K is known).
    first : float
        Bound on all |w_j^(0).x_i|/eps0 (infinite where only the spread is known).
    reach : (T,) or None
        Bounds on max_i |H^t x_i|; h^t R where it is None.
    """

    ends: Floats
    s_X: float
    R: float
    spread: float = math.inf
    T_max: float = math.inf
    first: float = math.inf
    reach: Floats | None = None


@dataclass(frozen=True)
class Envelope:
    """Bounds that hold for all neurons: |w^(t)| <= omega[t], |Delta^(t)| <= Delta[t], |Q^(t)| <= Q[t], |H| <= h."""

    h: float
    omega: Floats
    Delta: Floats
    Q: Floats


def raised(base: float, exponent: int) -> float:
    """base^exponent of a base >= 0; infinite where no double is as large."""
    try:
        return float(base) ** exponent
    except OverflowError:
        return math.inf


def h_of_ends(population: Population, ends: Floats) -> float:
    """max over both signs of a of |gamma I - eta a A|_op for a symmetric A with spectrum in [ends[0], ends[1]]."""
    step = population.step
    return max(abs(population.gamma1 - sign * step * float(end)) for sign in (1, -1) for end in ends)


def q_bound(population: Population, u: float, T_max: float, f_is_zero: bool) -> float:
    """Bound on |l'(c + f, y) s(u') - T| for |u'| <= u, from K or from max |T_i|, whichever is smaller.

    With kappa >= |s - 1| and F >= |f|: K kappa + min(2 K, L2 F), and T_max kappa + L2 F (1 + kappa).
    """
    if not u < _HUGE:
        return math.inf
    loss, sigma = population.setting.loss, population.setting.activation
    kappa = float(sigma.kappa(np.array(u)))
    shift = 0.0 if f_is_zero else loss.L2 * _f_bound(population, u)
    by_K = loss.K * kappa + min(2 * loss.K, shift) if math.isfinite(loss.K) else math.inf
    by_T = T_max * kappa + shift * (1 + kappa) if math.isfinite(T_max) else math.inf
    return min(by_K, by_T)


def _f_bound(population: Population, u: float) -> float:
    """F(u) = sum |a_j| (u^2/2 + remainder) >= |f|, the remainder of third or of fourth order."""
    s = population.setting
    third, fourth = s.activation.M3 * u**3 / 6, s.activation.M4 * u**4 / 24
    return s.m * s.a_scale * (u * u / 2 + min(third, abs(s.activation.d3_0) * u**3 / 6 + fourth))


@np.errstate(over="ignore", invalid="ignore")
def envelope(population: Population, data: DataBounds, steps: int) -> Envelope:
    """Run the recursion for `steps` equal steps from |w| = eps0; infinite from the step at which it overflows."""
    eta, h = population.step, h_of_ends(population, data.ends)
    omega, Delta, Q = np.full(steps + 1, np.inf), np.full(steps + 1, np.inf), np.full(steps, np.inf)
    omega[0], Delta[0] = population.setting.eps0, 0.0
    eps0, reach = population.setting.eps0, data.R
    spread = eps0 * min(1.0, data.spread / math.sqrt(population.d))
    for t in range(steps):
        # the linear part of w is spread evenly over directions, the rest is bounded in norm
        linear = spread * (reach if data.reach is None else float(data.reach[t]))
        if t == 0:
            linear = min(linear, eps0 * data.first)
        u = min(omega[t] * data.R, linear + data.R * Delta[t])
        f_is_zero = t == 0 or population.f_stays_zero
        Q[t] = eta * data.s_X**2 * q_bound(population, u, data.T_max, f_is_zero)
        if not math.isfinite(Q[t]):
            break
        after = (h + Q[t]) * omega[t], h * Delta[t] + Q[t] * omega[t]
        if not all(map(math.isfinite, after)):
            break
        omega[t + 1], Delta[t + 1] = after
        reach *= h
    return Envelope(h, omega, Delta, Q)
