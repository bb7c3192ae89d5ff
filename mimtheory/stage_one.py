"""Stage one of Algorithm 1 on a Sample: full-batch gradient descent on the first layer, and what the lemmas ask of it.

The loss's derivative at the start is T_i, and up to Q the step is the linear map H = gamma I - eta a S_hat. `Run` holds
the trajectory and the linear trajectory beside it, with a bound on the rounding of each.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimtheory.activations import Activation
from mimtheory.kernels import gradient, inner_products, s_minus_1
from mimtheory.kernels.partition import product_roundings, roundings
from mimtheory.operators import EmpiricalHessian, spectral_norm
from mimtheory.relations import EPS, Rounded, gamma
from mimtheory.sample import Sample
from mimtheory.setting import Setting

__all__ = ["Run", "symmetric_start"]

Floats = NDArray[np.float64]

# beyond, squares and products of what the lemmas compare would leave the range of doubles
_LARGEST = 1e50
_LARGEST_LINEAR = 1e150  # of which only squares are formed
_BLOCK = 1 << 14  # numbers u_ij at a time


def symmetric_start(setting: Setting, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """a (m,) and W (m, d): rows uniform on the sphere of radius eps0, w_j = w_{m+1-j}, a_j = -a_{m+1-j}."""
    half = rng.standard_normal((setting.m // 2, setting.d))
    half *= setting.eps0 / np.linalg.norm(half, axis=1, keepdims=True)
    a = np.full(setting.m // 2, setting.a_scale)
    return np.concatenate((a, -a)), np.concatenate((half, half[::-1]))


class Run:
    """Stage one on a Sample, computed when first asked for.

    Parameters
    ----------
    sample : Sample
    rng : numpy Generator
        Draws the start.
    threads : int
        Threads of compiled products; does not change a bit of any result.

    Attributes
    ----------
    a : (m,)
    start : (m, d)
        w_j^(0).

    Raises
    ------
    FloatingPointError
        When the trajectory is asked for and diverges: a step whose gradient leaves the range of doubles. The same for
        the linear trajectory, which may where the other does not.
    """

    def __init__(self, sample: Sample, rng: np.random.Generator, threads: int = 1) -> None:
        self.sample = sample
        self.setting = sample.population.setting
        self.T1 = self.setting.steps
        self.a, self.start = symmetric_start(self.setting, rng)
        self._threads = threads

    # The trajectory

    @cached_property
    def _steps(self) -> tuple[Floats, Floats, float]:
        """Trajectory (T1+1, m, d), network outputs (T1, n) and eta of the last step."""
        population, m, d = self.sample.population, self.setting.m, self.setting.d
        W, f = np.empty((self.T1 + 1, m, d)), np.empty((self.T1, self.setting.n))
        W[0], eta_last = self.start, self.setting.eta_last
        for t in range(self.T1):
            G, f[t] = self._gradient(W[t])
            if not np.abs(G).max() < _LARGEST:  # nan included
                raise FloatingPointError(f"stage one diverges: the gradient of step {t} leaves the range of doubles")
            if t < self.T1 - 1:
                W[t + 1] = population.gamma1 * W[t] - population.eta1 * G
            else:
                eta_last = eta_last or _eta_of_unit_norm(G)
                W[t + 1] = -eta_last * G
        assert eta_last is not None
        return W, f, eta_last

    def _gradient(self, W: Floats) -> tuple[Floats, Floats]:
        sample, s = self.sample, self.setting
        found = gradient(
            sample.X,
            sample.y,
            W,
            self.a,
            activation=s.activation,
            loss=s.loss,
            centre=sample.centre,
            threads=self._threads,
        )
        return found.gradient, found.outputs

    @property
    def trajectory(self) -> Floats:
        """W^(0) ... W^(T1), shape (T1+1, m, d)."""
        return self._steps[0]

    @property
    def f(self) -> Floats:
        """The network at W^(0) ... W^(T1-1) on the sample, shape (T1, n)."""
        return self._steps[1]

    @cached_property
    def eta(self) -> Floats:
        """Step sizes, (T1,)."""
        return np.append(np.full(self.T1 - 1, self.sample.population.eta1), self._steps[2])

    @cached_property
    def gamma(self) -> Floats:
        """gamma_t = 1 - eta_t beta_t, (T1,); the last is 0."""
        return np.append(np.full(self.T1 - 1, self.sample.population.gamma1), 0.0)

    @cached_property
    def norms(self) -> Floats:
        """|w_j^(t)|, (T1+1, m)."""
        return np.linalg.norm(self.trajectory, axis=2)

    @cached_property
    def alignments(self) -> Floats:
        """|U w_j^(t)|/|w_j^(t)|, the cosine of the angle to the hidden subspace, (T1+1, m)."""
        return np.linalg.norm(self.trajectory @ self.sample.U.T, axis=2) / self.norms

    # The linear part

    @cached_property
    def linear(self) -> Floats:
        """prod_{s<t} H_{j,s} w_j^(0), (T1+1, m, d)."""
        L = np.empty_like(self.trajectory)
        L[0] = self.start
        for t in range(self.T1):
            L[t + 1] = self.apply_H(t, L[t])
            if not np.abs(L[t + 1]).max() < _LARGEST_LINEAR:  # nan included
                raise FloatingPointError(f"the power iteration diverges: step {t} of H leaves the range of doubles")
        return L

    def apply_H(self, t: int, V: Floats, neurons: "slice | list[int]" = slice(None)) -> Floats:
        """H_{j,t} v_j for the rows v_j of V, one for each of these neurons."""
        return self.gamma[t] * V - self.eta[t] * self.a[neurons, None] * self._S_hat_of(V)

    def _S_hat_of(self, V: Floats) -> Floats:
        """S_hat v for the rows v of V; mirrored rows share their products."""
        half, sign = len(V) // 2, _mirrored(V)
        if not sign:
            return np.asarray(self.sample.S_hat @ V.T).T
        products = np.asarray(self.sample.S_hat @ V[:half].T).T
        return np.concatenate((products, sign * products[::-1]))

    @cached_property
    def h(self) -> Floats:
        """|H_{j,t}|_op, shape (T1, m)."""
        return np.array([self._h(gamma, eta) for gamma, eta in zip(self.gamma, self.eta, strict=True)])

    def _h(self, gamma: float, eta: float) -> Floats:
        ends = self.sample.extremes.value
        norms: Floats = np.abs(gamma - eta * self.a[:, None] * ends[None, :]).max(axis=1)
        return norms

    # The nonlinear part

    def _slope(self, t: int) -> Floats:
        return self.setting.loss.dl(self.sample.centre + self.f[t], self.sample.y)

    @property
    def Qw(self) -> Floats:
        """Q_j^(t) w_j^(t), shape (T1, m, d)."""
        return self._nonlinear[0]

    @property
    def q_ceiling(self) -> Floats:
        """max_ij |q_ij| at every step, (T1,)."""
        return self._nonlinear[1]

    @cached_property
    def _nonlinear(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Qw, q_ceiling, max_j (1/n) sum_i (|l'_i| + |T_i|) |u_ij| |x_i|, which the rounding of sums follows, and q of
        the probes. Mirrored neurons share u up to its sign, and q where s is even, but for what a formula loses."""
        n, m, half = self.setting.n, self.setting.m, self.setting.m // 2
        Qw, ceiling, sizes = np.empty((self.T1, *self.start.shape)), np.empty(self.T1), np.empty(self.T1)
        of_probes = np.empty((self.T1, len(self.probes), n))
        for t, W in enumerate(self.trajectory[:-1]):
            sign = _mirrored(W)
            if not self._formula and (sign == 1 or (sign == -1 and self.setting.activation.even)):
                probes = [min(j, m - 1 - j) for j in self.probes]
                total, ceiling[t], sizes[t] = self._sums(t, W[:half], probes, of_probes[t])
                total = np.concatenate((total, sign * total[::-1]))
            else:
                total, ceiling[t], sizes[t] = self._sums(t, W, self.probes, of_probes[t])
            Qw[t] = -self.eta[t] * self.a[:, None] * total / n
        return Qw, ceiling, sizes / n, of_probes

    def _sums(self, t: int, W: Floats, probes: list[int], of_probes: Floats) -> tuple[Floats, float, float]:
        """sum_i q_ij u_ij x_i, max |q_ij| and max_j of the sum of sizes for the neurons W, by blocks of rows, so that
        what is n numbers a neuron stays in cache; writes q of the probes (number of probes, n)."""
        X, slope, weights = self.sample.X, self._slope(t), self._slopes(t) * np.sqrt(self.sample.square_norms)
        moved, block = slope - self.sample.T, max(1, _BLOCK // len(W))
        total, ceiling, size = np.zeros(W.shape), np.zeros(()), np.zeros(len(W))
        products = inner_products(X, W) if self._formula else None  # what it loses differs from one double to the next
        for first in range(0, len(X), block):
            rows = slice(first, first + block)
            u = X[rows] @ W.T if products is None else products[rows]
            q = _q(self.setting.activation, slope[rows], moved[rows], u)
            ceiling = np.maximum(ceiling, np.abs(q).max())  # not a number stays one
            size += weights[rows] @ np.abs(u)
            of_probes[:, rows] = q[:, probes].T
            total += (q * u).T @ X[rows]
        return total, float(ceiling), float(size.max())

    def _slopes(self, t: int) -> Floats:
        """|l'_i| + |T_i|, which bounds the factors of a step of w and of one of the linear trajectory."""
        sizes: Floats = np.abs(self._slope(t)) + np.abs(self.sample.T)
        return sizes

    @property
    def probes(self) -> list[int]:
        """Neurons whose Q_j^(t) is looked at as an operator: two of each sign of a (each costs n d^2)."""
        m = self.setting.m
        return sorted({0, min(1, m // 2 - 1), m - 1 - min(1, m // 2 - 1), m - 1})

    @property
    def q_of_probes(self) -> Floats:
        """q_ij for the probes, (T1, number of probes, n)."""
        return self._nonlinear[3]

    @cached_property
    def Q_norms(self) -> Rounded:
        """|Q_j^(t)|_op for the probes, (T1, number of probes); equal q, those of mirrored neurons, share one norm."""
        values, errors = np.empty((2, self.T1, len(self.probes)))
        for t, q in enumerate(self.q_of_probes):
            norms: list[tuple[Rounded, float]] = []
            for k, j in enumerate(self.probes):
                same = next((i for i in range(k) if np.array_equal(q[i], q[k])), k)
                norms.append(self._norm_of(q[k]) if same == k else norms[same])
                (norm, roundoff), scale = norms[k], abs(self.eta[t] * self.a[j])
                values[t, k] = scale * float(norm.value)
                errors[t, k] = scale * (norm.error + roundoff + self._q_error(t))
        return Rounded(values, errors)

    def _norm_of(self, q: Floats) -> tuple[Rounded, float]:
        """|(1/n) X^T diag(q) X|_op and the rounding of the operator."""
        operator = EmpiricalHessian(self.sample.X, q)
        return spectral_norm(operator.for_ends), operator.roundoff

    def _q_error(self, t: int) -> float:
        """What eight roundings in each q_ij, relative to |l'| and |T|, and the error of a formula in f can do to
        (1/n) X^T diag(q) X."""
        squares = self.sample.square_norms
        return 8 * EPS * float(self._slopes(t) @ squares) / self.setting.n + self._lost_by_f(t)

    # Rounding

    @property
    def _formula(self) -> bool:
        """Whether sigma is a formula, which may cancel at 0; those of the zoo do not."""
        return self.setting.activation.code < 0

    @cached_property
    def _lost(self) -> tuple[Floats, Floats]:
        """What a formula loses where it cancels, at the very u of the run: (1/n) sum_i |l'_i| |x_i| times the error of
        sigma'(u_ij), the largest over j, (T1,), and the error of f, (T1, n)."""
        lengths, sizes = np.sqrt(self.sample.square_norms), np.abs(self.a)
        slopes, outputs = np.zeros(self.T1), np.zeros((self.T1, self.setting.n))
        for t, W in enumerate(self.trajectory[:-1] if self._formula else ()):
            value, slope = _cancelled(self.setting.activation, inner_products(self.sample.X, W))
            slopes[t] = float(((np.abs(self._slope(t)) * lengths) @ slope).max()) / self.setting.n
            outputs[t] = value @ sizes
        return slopes, outputs

    @cached_property
    @np.errstate(over="ignore")  # where |H|^T is no double the bound is infinite
    def errors(self) -> Floats:
        """Bound on the rounding error of w_j^(t), and of the linear trajectory, in norm: (T1+1,), the largest over j.

        One step adds at most eta |a| s (gamma_k (1/n) sum |l'_i| |u_ij| |x_i| + gamma_l |w| (1/n) sum |l'_i| |x_i|^2):
        k roundings of a sum over the samples, l of an inner product and of the functions of it, and s a bound on
        |s(u)| and |sigma''(u)|; and what a formula loses. A later step multiplies it by at most h + 3 |Q|: its
        nonlinear part is of third order in w, and |Q| is at most eta |a| s_X^2 max |q|.
        """
        n, d, m, step = self.setting.n, self.setting.d, self.setting.m, np.abs(self.eta) * self.setting.a_scale
        of_sums, of_products = gamma(roundings(n, d)), gamma(product_roundings(d) + 2 * m + 40)
        h, Q = self.h.max(axis=1), step * float(self.sample.s_X.value) ** 2 * self.q_ceiling
        out = np.zeros(self.T1 + 1)
        out[0] = 4 * EPS * self.setting.eps0
        for t in range(self.T1):
            w = float(self.norms[t].max())
            tau = float(self._slopes(t) @ self.sample.square_norms) / n + self._share_of_f(t, w, of_products)
            rounded = self._steepness(w) * (of_sums * self._nonlinear[2][t] + of_products * tau * w)
            fresh = step[t] * (rounded + self._lost[0][t] + self._lost_by_f(t) * w)
            out[t + 1] = (h[t] + 3 * Q[t]) * out[t] + 2 * (fresh + 4 * EPS * abs(self.gamma[t]) * w)
        return out

    def _steepness(self, w: float) -> float:
        """Bound on |s(u)| and |sigma''(u)| for |u| <= |w| max |x_i|: |sigma'' - 1| is at most 3 kappa."""
        return 1 + 3 * float(self.setting.activation.kappa(w * self.sample.R))

    def _share_of_f(self, t: int, w: float, ulps: float) -> float:
        """What the rounding of f adds to tau: |f| is off by at most ulps m |a| |w|^2 |x|^2, and the error by its own
        roundings where L2 does not count them as those of l'."""
        loss, squares = self.setting.loss, self.sample.square_norms
        if not self.f[t].any():
            return 0.0
        off = self.setting.m * self.setting.a_scale * w * w * squares
        if not np.isfinite(loss.L2):
            off = off + np.abs(self._error(t)) + 1
        return float(self._moved(t, ulps * off) @ squares) / (ulps * self.setting.n)

    def _lost_by_f(self, t: int) -> float:
        """The same of the error of a formula in f."""
        if not self.f[t].any():
            return 0.0
        return float(self._moved(t, self._lost[1][t]) @ self.sample.square_norms) / self.setting.n

    def _error(self, t: int) -> Floats:
        """c + f - y, (n,)."""
        return self.sample.centre + self.f[t] - self.sample.y

    def _moved(self, t: int, off: Floats) -> Floats:
        """By how much each l' moves at most where f is off by this much, (n,): L2 times that, else between the ends,
        for l' does not decrease; infinite where a kink is that near."""
        loss, u, at_0 = self.setting.loss, self._error(t), 0.0
        if np.isfinite(loss.L2):
            return loss.L2 * off
        beyond = np.maximum(loss.dl(u + off, at_0) - loss.dl(u, at_0), loss.dl(u, at_0) - loss.dl(u - off, at_0))
        near = np.any([np.abs(u - float(kink)) < 4 * off for kink in loss.kinks], axis=0)
        return np.where(near, np.inf, beyond)

    # T equal steps, for the lemmas that speak of powers of one H

    @property
    def T(self) -> int:
        """Number of equal steps."""
        return self.sample.population.T

    @cached_property
    def _rescaling(self) -> float:
        """From the step size of the last of these steps to that of the others."""
        return float(self.sample.population.eta1 / self.eta[self.T - 1]) if self.T else 1.0

    @cached_property
    def final(self) -> Rounded:
        """w_j^(T) of T equal steps, (m, d); the error bounds the norm of each row's."""
        return Rounded(self.trajectory[self.T] * self._rescaling, self._final_error)

    @cached_property
    def final_linear(self) -> Rounded:
        """H_j^T w_j^(0), (m, d)."""
        return Rounded(self.linear[self.T] * self._rescaling, self._final_error)

    @cached_property
    def final_Delta(self) -> Rounded:
        """Delta_j of T equal steps, (m, d)."""
        return Rounded(self.final.value - self.final_linear.value, 2 * self._final_error)

    @cached_property
    def _final_error(self) -> float:
        return float(self.errors[self.T]) * self._rescaling


def _mirrored(V: Floats) -> int:
    """The sign with which rows j and k-1-j of V (k, d) are equal, to the last bit; 0 where there is none."""
    half = len(V) // 2
    signs = (1, -1) if V.size and len(V) % 2 == 0 else ()
    return next((sign for sign in signs if np.array_equal(V[:half], sign * V[half:][::-1])), 0)


def _q(activation: Activation, slope: Floats, moved: Floats, u: Floats) -> Floats:
    """q = l' s(u) - T without cancellation from l' (n,), l' - T (n,) and u (n, k)."""
    return slope[:, None] * s_minus_1(activation, u) + moved[:, None]


def _cancelled(activation: Activation, u: Floats) -> tuple[Floats, Floats]:
    """|error| of sigma(u) - sigma(0) and of sigma'(u) as computed, held against the power series, which loses nothing;
    0 where |u| is too large for it, and the quotient in s has the same error."""
    near = np.abs(u) < activation._near
    v = np.where(near, u, 0.0)
    s = np.array((1.0, *activation._series[1:]))
    square, polyval = v * v, np.polynomial.polynomial.polyval
    value = activation.sigma(v) - activation.sigma(np.zeros(1)) - square * polyval(v, s / np.arange(2, s.size + 2))
    return np.abs(value), np.abs(activation.d1(v) - v * polyval(v, s))


def _eta_of_unit_norm(G: Floats) -> float:
    """The step size after which rms |w_j| = 1 (where nothing moves, 1)."""
    size = float(np.sqrt((G * G).sum(axis=1).mean()))
    return 1 / size if size > 0 else 1.0
