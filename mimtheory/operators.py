"""S_hat as an operator, and the extreme eigenvalues of symmetric operators.

Nothing above this module sees a matrix of data: another engine that offers `matrix` can take this one's place.
"""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from mimtheory.kernels import hessian_power
from mimtheory.kernels.partition import roundings
from mimtheory.norms import euclidean_norm
from mimtheory.relations import Rounded, gamma
from mimtheory.spectral_costs import DENSE_LIMIT, forming_is_cheaper

__all__ = [
    "DENSE_LIMIT",
    "EmpiricalHessian",
    "extreme_eigenvalues",
    "largest_eigenvalue",
    "outer_eigenpairs",
    "perp_restriction",
    "spectral_norm",
]

Floats = NDArray[np.float64]

_BLOCK = 1 << 14  # numbers of X at a time
_KRYLOV = 40  # dimension of the Krylov space, for one eigenvalue
_LARGEST_EXPONENT = 1020  # of a factor, that it and its inverse are doubles of full precision
_RESTARTS = 20  # of Lanczos, before the matrix is formed after all; the edge of a bulk takes three to five


class EmpiricalHessian(LinearOperator):  # type: ignore[misc]
    """S_hat = (1/n) sum_i T_i x_i x_i^T as a SciPy LinearOperator of shape (d, d).

    Parameters
    ----------
    X : (n, d) float64
        Dimensionless.
    T : (n,) float64
        In units of T, which are those of every number below.
    threads : int
        Threads of the compiled product; any number gives the same bits.

    Source: docs/theory/kernels.md, Kernels.
    """

    def __init__(self, X: Floats, T: Floats, threads: int = 1) -> None:
        super().__init__(dtype=np.float64, shape=(X.shape[1], X.shape[1]))
        self._data, self._weights, self._threads = X, T, threads

    def _matvec(self, v: Floats) -> Floats:
        return hessian_power(self._data, self._weights, v.reshape(1, -1), threads=self._threads)[0]

    def _matmat(self, V: Floats) -> Floats:
        return hessian_power(self._data, self._weights, np.ascontiguousarray(V.T), threads=self._threads).T

    def _adjoint(self) -> "EmpiricalHessian":
        return self

    @cached_property
    def matrix(self) -> "Floats | LinearOperator":
        """The dense symmetric matrix (d, d), in units of T, where d <= DENSE_LIMIT; else this operator.

        For those who want the whole spectrum.
        """
        return self._formed if self.shape[0] <= DENSE_LIMIT else self

    @property
    def for_ends(self) -> "Floats | LinearOperator":
        """The dense matrix (d, d), in units of T, or this operator, whichever is predicted to be sooner.

        For those who want the ends of the spectrum.

        Source: docs/theory/kernels.md, Kernels.
        """
        return self._formed if forming_is_cheaper(*self._data.shape) else self

    @cached_property
    def _formed(self) -> Floats:
        """Sums over blocks of rows that stay in cache; allocates n + d^2 doubles."""
        X, weights = self._data, self._weights / self._data.shape[0]
        product, block = np.zeros((X.shape[1], X.shape[1])), max(X.shape[1], _BLOCK // X.shape[1])
        for first in range(0, X.shape[0], block):
            rows = X[first : first + block]
            product += rows.T @ (rows * weights[first : first + block, None])
        symmetric: Floats = (product + product.T) / 2
        return symmetric

    @cached_property
    def roundoff(self) -> float:
        """Bound on |computed - exact|_op, in units of T, for what uses `matrix` or `for_ends` and an eigensolver.

        Entry (j, k) has an error of at most gamma_{n+3} (1/n) sum_i |T_i x_ij x_ik| in any order of summation, so
        the operator norm of the error is at most gamma_{n+3} tau, tau = (1/n) sum_i |T_i| |x_i|^2 the trace of
        the matrix of absolute values. Since |S_hat|_F <= tau, an eigensolver that is backward stable, projections
        onto at most r <= d directions and the rounding of z = U x add at most gamma_{20 d} tau.

        Source: docs/theory/kernels.md, Kernels; Higham (2002), section 3.1.
        """
        n, d = self._data.shape
        tau = float(np.abs(self._weights) @ np.einsum("ij,ij->i", self._data, self._data)) / n
        return gamma(max(n + 3, roundings(n, d)) + 20 * d) * tau

    @property
    def solver_roundoff(self) -> float:
        """Bound on the part of `roundoff` that two computations with the same `matrix` do not share; in units of T.

        For a dense matrix A only the backward stable eigensolvers differ: gamma_{20 d} |A|_F. Operator products round
        anew for every vector.

        Source: docs/theory/kernels.md, Kernels.
        """
        return self.solver_error(self.matrix)

    def solver_error(self, A: "Floats | LinearOperator") -> float:
        """`solver_roundoff` for a matrix that is at hand.

        Parameters
        ----------
        A : (d, d) array or operator
            `matrix` or `for_ends`, in units of T.

        Returns
        -------
        float
            In units of T.
        """
        return gamma(20 * A.shape[0]) * float(euclidean_norm(A)) if isinstance(A, np.ndarray) else self.roundoff


def extreme_eigenvalues(A: "Floats | LinearOperator") -> Rounded:
    """Smallest and largest eigenvalue of a symmetric A: dense solver for arrays, Lanczos otherwise.

    Parameters
    ----------
    A : (d, d) symmetric, array or operator
        In units of T.

    Returns
    -------
    Rounded
        Values (2,) in increasing order, in units of T. The error of Lanczos is the residual norm: an exact eigenvalue
        lies within it, and the start vector is fixed so that a run can be repeated. Rounding of A itself is not
        included. Not a number where A has entries that are none or infinite.

    Source: docs/theory/kernels.md, Kernels.
    """
    return _ends(A, ("SA", "LA"))


def largest_eigenvalue(A: "Floats | LinearOperator") -> Rounded:
    """That of `extreme_eigenvalues` alone: the norm of a positive semidefinite A, whose smallest one may take long.

    Parameters
    ----------
    A : (d, d) symmetric, array or operator
        In units of T.

    Returns
    -------
    Rounded
        In units of T.

    Source: docs/theory/kernels.md, Kernels.
    """
    found = _ends(A, ("LA",))
    return Rounded(found.value[0], found.error)


def _ends(A: "Floats | LinearOperator", which: tuple[str, ...]) -> Rounded:
    if not isinstance(A, np.ndarray):
        return _lanczos(A, 1, _KRYLOV, which)[0]
    if not np.isfinite(A).all():
        return Rounded(np.full(len(which), np.nan))
    values = eigvalsh(A)
    return Rounded(np.array([values[0 if end == "SA" else -1] for end in which]))


def outer_eigenpairs(A: LinearOperator, k: int) -> tuple[Rounded, Floats]:
    """The outermost eigenvalues of a symmetric operator, and their eigenvectors.

    Parameters
    ----------
    A : operator
        Of shape (d, d), in units of T.
    k : int
        How many from each end.

    Returns
    -------
    values : Rounded
        The k smallest and the k largest, (2 k,), in units of T. The error of each is its residual norm: an exact
        eigenvalue lies within it. Rounding of A itself is not included.
    vectors : (d, 2 k) array
        Unit columns, dimensionless.

    Source: docs/theory/kernels.md, Kernels.
    """
    return _lanczos(A, k, _KRYLOV + 2 * k, ("SA", "LA"))


def _lanczos(A: LinearOperator, k: int, size: int, which: tuple[str, ...]) -> tuple[Rounded, Floats]:
    """The k smallest ("SA") and the k largest ("LA") eigenvalues, the errors being residual norms, and their vectors,
    in a Krylov space of this size.

    Its start is fixed so that a run can be repeated. ARPACK takes eigenvalues below 4e-11 for 0 and squares overflow
    or are lost: the operator is brought to a size near 1 by a power of two.
    """
    d, start = A.shape[0], np.random.default_rng(0).standard_normal((A.shape[0],))
    largest = float(np.abs(A @ start).max())
    if not math.isfinite(largest):
        return Rounded(np.full(k * len(which), np.nan)), np.full((d, k * len(which)), np.nan)
    exponent = max(-_LARGEST_EXPONENT, min(math.frexp(largest)[1], _LARGEST_EXPONENT))
    scaled = A * 2.0**-exponent
    pairs = _pairs(scaled, start, k, size, which) if d > size and largest > 0 else None
    pairs = _of_whole_spectrum(scaled, k, which) if pairs is None else pairs
    values = np.concatenate([pair[0] for pair in pairs])
    vectors = np.concatenate([pair[1] for pair in pairs], axis=1)
    residuals = np.linalg.norm(scaled @ vectors - vectors * values, axis=0)
    return Rounded(np.ldexp(values, exponent), np.ldexp(residuals, exponent)), vectors


def _pairs(
    A: LinearOperator, start: Floats, k: int, size: int, which: tuple[str, ...]
) -> list[tuple[Floats, Floats]] | None:
    """Eigenvalues and vectors for each end by Lanczos; None where that takes longer than the whole spectrum.

    Where T has one sign and n is near d the smallest ones lie at a hard edge, with gaps of order d^-2 instead of
    d^(-2/3).
    """
    try:
        return [eigsh(A, k=k, which=end, v0=start, tol=0, ncv=size, maxiter=_RESTARTS) for end in which]
    except ArpackNoConvergence:
        return None


def _of_whole_spectrum(A: LinearOperator, k: int, which: tuple[str, ...]) -> list[tuple[Floats, Floats]]:
    """What `_pairs` gives, from the matrix."""
    matrix = A @ np.eye(A.shape[0])
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    ends = {"SA": slice(None, k), "LA": slice(values.size - k, None)}
    return [(values[ends[end]], vectors[:, ends[end]]) for end in which]


def spectral_norm(A: "Floats | LinearOperator") -> Rounded:
    """|A|_op of a symmetric A from its extreme eigenvalues.

    Parameters
    ----------
    A : (d, d) symmetric, array or operator
        In units of T.

    Returns
    -------
    Rounded
        In units of T.
    """
    ends = extreme_eigenvalues(A)
    return Rounded(np.abs(ends.value).max(), ends.error)


def perp_restriction(A: "Floats | LinearOperator", U: Floats) -> "Floats | LinearOperator":
    """An operator on R^d whose extreme eigenvalues are those of A on the complement of the rows of U.

    P_perp A P_perp alone would add r zeros to the spectrum, and these may be extreme. They are moved to a Rayleigh
    quotient of the restricted operator, which lies between its extreme eigenvalues.

    Parameters
    ----------
    A : (d, d) symmetric, array or operator
        In units of T.
    U : (r, d) with orthonormal rows, r < d

    Returns
    -------
    (d, d) array or operator
        In units of T, as A is one or the other.

    Source: docs/theory/a2_operator_norm.md, Rounding.
    """
    v: Floats = np.random.default_rng(1).standard_normal((A.shape[0],))
    v -= U.T @ (U @ v)
    v -= U.T @ (U @ v)
    fill = float(v @ (A @ v) / (v @ v))
    if isinstance(A, np.ndarray):
        AU = A @ U.T
        inner = U @ AU
        correction = U.T @ ((inner + fill * np.eye(U.shape[0])) @ U) - AU @ U - U.T @ AU.T
        return A + (correction + correction.T) / 2

    def restricted(x: Floats) -> Floats:
        x = x.ravel()
        signal = U @ x
        y = A @ (x - U.T @ signal)
        return y - U.T @ (U @ y) + fill * (U.T @ signal)

    return LinearOperator(A.shape, matvec=restricted, rmatvec=restricted, dtype=np.float64)
