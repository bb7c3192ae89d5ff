"""A draw: X explicit, labels, T_i, and S_hat with its blocks along and across the hidden subspace."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from mimtheory.losses import Loss
from mimtheory.norms import euclidean_norm
from mimtheory.operators import (
    EmpiricalHessian,
    extreme_eigenvalues,
    largest_eigenvalue,
    outer_eigenpairs,
    perp_restriction,
    spectral_norm,
)
from mimtheory.population import Population
from mimtheory.relations import EPS, Rounded, gamma
from mimtheory.setting import check_fits

__all__ = ["Labels", "Sample", "Split", "fitted_centre"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 14  # numbers of X at a time


@dataclass(frozen=True)
class Split:
    """The spectrum of S_hat, split into the r eigenvalues farthest from c0 and the rest.

    Attributes
    ----------
    signal : (r,)
    V_hat : (d, r) orthonormal columns
    bulk : (d - r,), or only its two ends where S_hat is not formed; empty where d = r
    error : float
        Bound on the error of each eigenvalue.
    """

    signal: Floats
    V_hat: Floats
    bulk: Floats
    error: float


@dataclass(frozen=True)
class Labels:
    """The part of a draw on which A.2 conditions: hidden coordinates and preprocessed labels, not x itself.

    Attributes
    ----------
    population : Population
    Z : (n, r)
    T : (n,)
    """

    population: Population
    Z: Floats
    T: Floats

    @property
    def n(self) -> int:
        return int(self.T.size)

    @property
    def p(self) -> int:
        """Dimension d - r of the complement, in which x is an independent Gaussian."""
        return self.population.p

    @cached_property
    def T_mean(self) -> float:
        """Tbar, the mean of the T_i."""
        return float(self.T.mean())

    def part(self, sign: int) -> tuple[float, float]:
        """(m, K): mean and maximum of max(sign T_i, 0)."""
        part = np.maximum(sign * self.T, 0.0)
        return float(part.mean()), float(part.max())

    @cached_property
    def B_norms(self) -> tuple[float, float]:
        """(|B|_F, |B|_op) of B = diag(T) Z."""
        exponent = math.frexp(float(np.abs(self.T).max()))[1]  # squares of T may be no doubles
        B = self.Z * np.ldexp(self.T, -exponent)[:, None]
        gram = B.T @ B
        norms = np.sqrt(np.trace(gram)), np.sqrt(np.linalg.eigvalsh(gram)[-1])
        return math.ldexp(norms[0], exponent), math.ldexp(norms[1], exponent)


def fitted_centre(loss: Loss, y: Floats) -> float:
    """argmin_c of the mean of l(c, y_i): the root of its derivative, which does not decrease.

    Raises
    ------
    ValueError
        For a loss that no constant minimises.
    FloatingPointError
        For labels that are further apart than the largest double.
    """
    from scipy.optimize import brentq  # takes longer to import than everything else here

    low, high = float(y.min()), float(y.max())
    if not math.isfinite(high - low):
        raise FloatingPointError("the labels leave the range of doubles")
    # products of small slopes would be lost, of large ones infinite
    shrink = -math.frexp(_largest([loss.dl(low, y), loss.dl(high, y)]))[1]

    def slope(c: float) -> float:
        return float(np.ldexp(loss.dl(c, y), shrink).mean())

    # at a kink the sign changes between the two neighbours of the end
    if slope(low) >= 0 and slope(math.nextafter(low, -math.inf)) <= 0:
        return low
    if slope(high) <= 0 and slope(math.nextafter(high, math.inf)) >= 0:
        return high
    if not slope(low) < 0 < slope(high):
        low, high = _widened(loss, slope, low, high)
    share = brentq(lambda share: slope(_between(low, high, share)), 0, 1, xtol=4 * EPS)
    return _between(low, high, share)


def _largest(slopes: list[Floats]) -> float:
    """The largest size of an entry, 1 where that is infinite or none."""
    largest = float(np.abs(slopes).max())
    return largest if math.isfinite(largest) else 1.0


def _between(low: float, high: float, share: float) -> float:
    """The point at a share of the way, at both ends exactly these."""
    return high if share == 1 else low + share * (high - low)


def _widened(loss: Loss, slope: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Ends between which the slope has a root, for a loss that is not smallest at the error 0."""
    from mimtheory.centring import has_minimum  # takes longer to import than everything else here

    if not has_minimum(loss):
        raise ValueError(
            f"loss = {loss.text!r} has no fitted centre, since its derivative does not take both signs; "
            "allowed: a loss that grows on both sides, or a number as centre"
        )
    step = high - low or max(1.0, abs(low))
    while slope(low) > 0:
        low, high, step = low - step, low, 2 * step
    while slope(high) < 0:
        low, high, step = high, high + step, 2 * step
    return low, high


class Sample:
    """One draw of a Population.

    Parameters
    ----------
    population : Population
    rng : numpy Generator
        Consumed in the order U, X, label noise.
    threads : int
        Threads of compiled products; does not change a bit of any result.

    Attributes
    ----------
    U : (r, d) orthonormal rows, uniform (Haar)
    X : (n, d);  Z : (n, r);  y, T : (n,)
    centre : float
        The centring constant c, fitted to y where the Setting asks for that.
    S_hat : EmpiricalHessian

    Raises
    ------
    FloatingPointError
        If labels or T leave the range of doubles: a bounded loss would make ordinary numbers of them.
    """

    def __init__(self, population: Population, rng: np.random.Generator, threads: int = 1) -> None:
        s = population.setting
        check_fits(s)
        self.population = population
        q, upper = np.linalg.qr(rng.standard_normal((s.d, population.r)))
        self.U = np.ascontiguousarray((q * np.sign(np.diag(upper))).T)
        self.X = rng.standard_normal((s.n, s.d))
        self.Z = self.X @ self.U.T
        self.y = _finite("labels", s.labels(self.Z, rng))
        self.centre = fitted_centre(s.loss, self.y) if s.centre == "fitted" else population.centre
        self.T = _finite("T", s.loss.dl(self.centre, self.y))
        self.S_hat = EmpiricalHessian(self.X, self.T, threads)

    @cached_property
    def labels(self) -> Labels:
        return Labels(self.population, self.Z, self.T)

    @cached_property
    def square_norms(self) -> Floats:
        """|x_i|^2, (n,)."""
        squares: Floats = np.einsum("ij,ij->i", self.X, self.X)
        return squares

    @cached_property
    def s_X(self) -> Rounded:
        """|X|_op/sqrt(n)."""
        gram = EmpiricalHessian(self.X, np.ones(self.X.shape[0]))
        norm = largest_eigenvalue(gram.for_ends)
        root = float(np.sqrt(norm.value))
        error = norm.error + gram.roundoff
        # |sqrt(x) - sqrt(y)| is at most |x - y|/sqrt(y), and at most sqrt(|x - y|), which stays finite at 0
        return Rounded(root, error / root if root > 0 else math.sqrt(error))

    @property
    def R(self) -> float:
        """max_i |x_i|."""
        return float(np.sqrt(self.square_norms.max()))

    @cached_property
    def reach(self) -> Floats | None:
        """Bounds on max_i |H^t x_i| for t < T and a of either sign, (T,); None where S_hat is not formed.

        A product with H adds an error of at most gamma_{d+3} (|gamma| + eta |a| |S_hat|_F)
        |x|, and of eta |a| |x| for each unit that S_hat is off; later products multiply it by at most |H|.
        """
        A, p = self.S_hat.matrix, self.population
        if not isinstance(A, np.ndarray):
            return None
        step, kept, ends = p.step, p.gamma1, self.extremes
        rounding = gamma(p.d + 3)
        fresh = rounding * (abs(kept) + step * float(euclidean_norm(A))) + step * self.S_hat.roundoff
        bounds = np.zeros(p.T)
        for sign in (1, -1) if kept else (1,):  # without memory both signs give the same norms
            h, error = float(np.abs(kept - sign * step * ends.value).max()) + step * ends.error, 0.0
            for t, norm in enumerate(self._carried(kept, sign * step * A)):
                bounds[t] = max(bounds[t], norm * (1 + rounding) + error)
                error = h * error + fresh * (norm + error)
        return bounds

    def _carried(self, kept: float, moved: Floats) -> list[float]:
        """max_i |(kept I - moved)^t x_i| for t < T, by blocks of rows that stay in cache."""
        squares, block = np.zeros(self.population.T), max(1, _BLOCK // self.X.shape[1])
        for first in range(0, len(self.X), block):
            W = self.X[first : first + block]
            for t in range(squares.size):
                W = kept * W - W @ moved if t else W
                squares[t] = np.maximum(squares[t], np.einsum("ij,ij->i", W, W).max())  # not a number stays one
        norms: list[float] = np.sqrt(squares).tolist()
        return norms

    @cached_property
    def extremes(self) -> Rounded:
        """(lmin, lmax) of S_hat as computed; the error is that of the eigensolver."""
        ends = extreme_eigenvalues(self._for_ends)
        return Rounded(ends.value, ends.error + self.S_hat.solver_error(self._for_ends))

    @property
    def _for_ends(self) -> "Floats | LinearOperator":
        """S_hat for its norm and the ends of its spectrum: the matrix that other claims need anyway, or by cost."""
        whole = self.S_hat.matrix
        return whole if isinstance(whole, np.ndarray) else self.S_hat.for_ends

    @cached_property
    def split(self) -> Split:
        """V_hat and the spectrum around it."""
        A, r = self.S_hat.matrix, self.population.r
        if isinstance(A, np.ndarray):
            values, vectors, residual = *np.linalg.eigh(A), 0.0
        else:
            found, vectors = outer_eigenpairs(A, r + 1)
            values, residual = found.value, found.error
        if not np.isfinite(values).all():
            raise FloatingPointError("S_hat leaves the range of doubles")
        far = np.argsort(-np.abs(values - self.population.c0), kind="stable")
        signal, rest = far[:r], np.sort(values[far[r:]])
        bulk = rest if isinstance(A, np.ndarray) else rest[[0, -1]]
        return Split(values[signal], vectors[:, signal], bulk, self.S_hat.roundoff + residual)

    def H_norm(self, gamma: float, step: float) -> Rounded:
        """|gamma I - step S_hat|_op without the eigenvalues of S_hat: by singular values where dense.

        The error is that of the solver, as for `extremes`: both work on the same computed S_hat.
        """
        A = self._for_ends
        if isinstance(A, np.ndarray):
            norm = Rounded(np.linalg.norm(gamma * np.eye(A.shape[0]) - step * A, 2))
        else:
            norm = spectral_norm(gamma * _identity(A.shape[0]) - step * A)
        return Rounded(norm.value, norm.error + abs(step) * self.S_hat.solver_error(A) + self._ulps(abs(gamma)))

    @cached_property
    def perp_extremes(self) -> Rounded:
        """(lmin, lmax) of the perp block of S_hat - Tbar I; empty where d = r."""
        if self.population.p == 0:
            return Rounded(np.empty(0))
        ends = self._rounded(extreme_eigenvalues(perp_restriction(self._for_ends, self.U)))
        return Rounded(ends.value - self.labels.T_mean, ends.error)

    @cached_property
    def _signal_columns(self) -> Floats:
        """S_hat U^T, shape (d, r)."""
        return np.asarray(self.S_hat @ self.U.T)

    @cached_property
    def cross_norm(self) -> Rounded:
        """|U S_hat P_perp|_op; empty where d = r."""
        if self.population.p == 0:
            return Rounded(np.empty(0))
        columns = self._signal_columns
        across = columns - self.U.T @ (self.U @ columns)
        return self._rounded(Rounded(np.linalg.norm(across, 2)))

    @cached_property
    def signal_deviation(self) -> Rounded:
        """|U S_hat U^T - (C + c0 I)|_op."""
        block = self.U @ self._signal_columns - self.population.C - self.population.c0 * np.eye(self.population.r)
        norm = np.abs(np.linalg.eigvalsh((block + block.T) / 2)).max()
        return self._rounded(Rounded(norm, self.population.matrix_radius + self._expected_rounding))

    @cached_property
    def noise(self) -> Rounded:
        """|S_hat - S|_op."""
        A, C, c0, U = self._for_ends, self.population.C, self.population.c0, self.U
        if isinstance(A, np.ndarray):
            difference = A - U.T @ C @ U
            difference[np.diag_indices_from(difference)] -= c0
        else:
            signal = aslinearoperator(U.T @ C) @ aslinearoperator(U)
            difference = A - signal - c0 * _identity(A.shape[0])
        norm = self._rounded(spectral_norm(difference))
        return Rounded(norm.value, norm.error + self.population.matrix_radius + self._expected_rounding)

    @cached_property
    def _expected_rounding(self) -> float:
        """What forming S = c0 I + U^T C U and an eigensolver add where S enters a norm, |S|_F for each unit; the
        `roundoff` of S_hat knows of S_hat alone, which can be 0."""
        p = self.population
        size = float(euclidean_norm(p.C)) + abs(p.c0) * float(np.sqrt(p.d))
        return gamma(20 * p.d) * size

    def _rounded(self, measured: Rounded) -> Rounded:
        return Rounded(measured.value, measured.error + self.S_hat.roundoff)

    def _ulps(self, size: float) -> float:
        return 20 * self.population.d * EPS * size


def _identity(d: int) -> LinearOperator:
    return LinearOperator((d, d), matvec=lambda x: x, rmatvec=lambda x: x, dtype=np.float64)


def _finite(name: str, values: Floats) -> Floats:
    if not np.isfinite(values).all():
        raise FloatingPointError(
            f"{name} of {np.count_nonzero(~np.isfinite(values))} samples leave the range of doubles"
        )
    return values
