"""Stage one to first order in eps0, with S_hat drawn from its law: no X, and a cost of d^3 where X would cost n d^2.

Only the labels' side of a sample is drawn row by row. Given (z_i, T_i) the part of x across the hidden subspace is an
independent Gaussian, and samples of equal T enter S_hat through a Wishart matrix. T is grouped in bins for that: exact
in law where T has finitely many values, else the blocks along the signal stay exact and in the block across it each T_i
is replaced by the mean of its bin. Proofs: docs/theory/linearised.md.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimtheory.population import Population
from mimtheory.setting import memory_limit
from mimtheory.stage_one import symmetric_start

__all__ = ["LinearisedRun"]

Floats = NDArray[np.float64]

_ROWS = 1 << 17  # labels at a time
_ATOMS = 64  # a value that repeats is an atom of T; more than this many are grouped


class _Bins:
    """Sums over the samples of each bin of T.

    Attributes
    ----------
    counts, T, T2 : (bins,)
        Number of samples, sum of T and of T^2.
    BB : (bins, r, r)
        Sum of T^2 z z^T, the Gram matrix of the rows of B = diag(T) Z in the bin.
    """

    def __init__(self, edges: Floats, r: int) -> None:
        self.edges, self.size = edges, edges.size + 1
        self.counts = np.zeros(self.size)
        self.T, self.T2 = np.zeros(self.size), np.zeros(self.size)
        self.BB = np.zeros((self.size, r, r))

    def add(self, Z: Floats, T: Floats) -> None:
        which = np.searchsorted(self.edges, T)  # bin k holds edges[k-1] < T <= edges[k]
        self.counts += np.bincount(which, minlength=self.size)
        self.T += np.bincount(which, weights=T, minlength=self.size)
        self.T2 += np.bincount(which, weights=T * T, minlength=self.size)
        B = T[:, None] * Z
        for k in range(Z.shape[1]):
            for l in range(k + 1):  # noqa: E741 - the second index
                self.BB[:, k, l] += np.bincount(which, weights=B[:, k] * B[:, l], minlength=self.size)
                self.BB[:, l, k] = self.BB[:, k, l]


def _edges(T: Floats, bins: int) -> Floats:
    """Edges of bins: every atom alone, and half of `bins` each of equal width and of equal share between them."""
    values, counts = np.unique(T, return_counts=True)
    atoms = values[counts > 1]
    if atoms.size > _ATOMS:
        atoms = atoms[:0]
    spread = np.concatenate((np.linspace(T.min(), T.max(), bins // 2), np.quantile(T, np.linspace(0, 1, bins // 2))))
    return np.unique(np.concatenate((spread, atoms, np.nextafter(atoms, -np.inf))))


class LinearisedRun:
    """The neurons of stage one, w <- S_hat w with a common factor, on an S_hat drawn from its law.

    Parameters
    ----------
    population : Population
        Pure power iteration (gamma = 0) with an even activation: the network is then 0 throughout stage one, and what
        is left out is of relative order eps0^2.
    rng : numpy Generator
        Consumed in the order labels, S_hat, start.
    bins : int
        Of T, besides its atoms.

    Attributes
    ----------
    U : (r, d)
        The first rows of the identity: the law of x does not know the direction of the hidden subspace.
    S_hat : (d, d)
    a, start : (m,), (m, d)

    Raises
    ------
    ValueError
        For another weight decay, an activation that is not even, or a centre fitted to a sample.
    """

    def __init__(self, population: Population, rng: np.random.Generator, bins: int = 32) -> None:
        s = population.setting
        if not s.activation.even:
            raise ValueError(
                f"activation = {s.activation.text!r} is not even; allowed for the run without X: one that is, as 1-cos"
            )
        if population.gamma1 != 0:
            raise ValueError(f"beta1 = {s.beta1!r}; allowed for the run without X: 1/eta1, pure power iteration")
        needed = 8 * (5 * s.d * s.d + _ROWS * (2 * population.r + 6))
        if needed > memory_limit():
            raise ValueError(
                f"d = {s.d} needs {needed:,} bytes; allowed: at most the {memory_limit():,} of this machine"
            )
        if s.centre == "fitted":
            raise ValueError("centre = 'fitted'; allowed: a number or 'population', as the labels are not kept")
        self.population = population
        self.U = np.eye(population.r, population.d)
        signal, self._bins = self._labels(rng, bins)
        cross, perp = self._across(rng)
        self.S_hat = np.block([[signal, cross], [cross.T, perp]])
        self.a, self.start = symmetric_start(s, rng)

    @property
    def lost(self) -> float:
        """Share of sum T_i^2 that the block across the signal does not see: 0 where T has finitely many values."""
        sums = self._bins
        kept = float((sums.T**2 / np.maximum(sums.counts, 1)).sum())
        return max(0.0, 1 - kept / float(sums.T2.sum()))

    def _labels(self, rng: np.random.Generator, bins: int) -> tuple[Floats, _Bins]:
        """The signal block, and the sums over the bins."""
        s, r = self.population.setting, self.population.r
        signal, sums = np.zeros((r, r)), None
        for first in range(0, s.n, _ROWS):
            size = min(_ROWS, s.n - first)
            Z = rng.standard_normal((size, r))
            T = s.loss.dl(self.population.centre, s.labels(Z, rng))
            # edges that depend on the T_i only leave the law of the rest as it is
            sums = sums or _Bins(_edges(T, bins), r)
            sums.add(Z, T)
            signal += (T[:, None] * Z).T @ Z
        assert sums is not None
        return signal / s.n, sums

    def _across(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """The blocks U S_hat P_perp (r, p) and P_perp S_hat P_perp (p, p)."""
        n, r, p, sums = self.population.n, self.population.r, self.population.p, self._bins
        cross, perp = np.zeros((r, p)), np.zeros((p, p))
        for count, total, BB in zip(sums.counts, sums.T, sums.BB, strict=True):
            if count == 0:
                continue
            # B = Q R with Q^T X_perp Gaussian; R only has to satisfy R^T R = B^T B
            values, vectors = np.linalg.eigh(BB)
            kept = values > 1e-12 * max(values[-1], 1e-300)
            R = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
            G = rng.standard_normal((R.shape[0], p))
            cross += R.T @ G
            perp += total / count * (G.T @ G + _wishart(int(count) - R.shape[0], p, rng))
        return cross / n, perp / n

    def neurons(self, steps: int) -> Floats:
        """w_j after 1 ... `steps` steps, (steps, m, d), scaled to rms |w_j| = 1."""
        W = np.empty((steps, *self.start.shape))
        w, half = self.start, self.start.shape[0] // 2
        for t in range(steps):
            w = w @ self.S_hat
            w *= 1 / np.sqrt((w * w).sum(axis=1).mean())
            # neurons of the other sign of a: w_{m+1-j} = (-1)^t w_j
            W[t, :half], W[t, half:] = w[:half], (-1) ** (t + 1) * w[half:]
        return W

    @cached_property
    def V_hat(self) -> Floats:
        """Eigenvectors (d, r) of the r eigenvalues of S_hat farthest from c0."""
        values, vectors = np.linalg.eigh(self.S_hat)
        return vectors[:, np.argsort(-np.abs(values - self.population.c0))[: self.population.r]]


def _wishart(freedom: int, p: int, rng: np.random.Generator) -> Floats:
    """X^T X for X of `freedom` rows of p independent N(0, 1), by Bartlett's triangular factor, or X itself if flat."""
    if freedom < p:
        X = rng.standard_normal((freedom, p))
        return np.asarray(X.T @ X)
    L = np.tril(rng.standard_normal((p, p)), -1)
    L[np.diag_indices(p)] = np.sqrt(rng.chisquare(freedom - np.arange(p)))
    return np.asarray(L @ L.T)
