"""The law of a trained network's inputs, and its test error without a test point.

Labels and network depend on x only through (U x, W x), a Gaussian of r + m dimensions. E (f - g)^2 needs of it the
products of two features, and of a feature with g: integrals of one and two dimensions, in closed form for 1-cos and by
Gauss-Hermite quadrature for every other activation. Proofs: docs/theory/stage_two.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimtheory.activations import Activation
from mimtheory.kernels import activated, network_outputs
from mimtheory.links import Link
from mimtheory.relations import EPS, Rounded

__all__ = ["Network", "ProjectedLaw", "distance", "sampled_error", "test_error"]

Floats = NDArray[np.float64]
_Hermite = list[tuple[NDArray[np.int64], float]]

_NODES = (40, 56, 72)  # of the quadrature, the finest last; the others tell its error
_CAUTION = 4.0  # times the largest of their distances, for what is no bound


class ProjectedLaw:
    """The joint law of (U x, W x) for x ~ N(0, I_d).

    Parameters
    ----------
    U : (r, d)
        Orthonormal rows.
    W : (m, d)
    """

    def __init__(self, U: Floats, W: Floats) -> None:
        self.inside = W @ U.T
        across = W - self.inside @ U
        # W x = (W U^T) z + R^T g with R the triangular factor of the part of W across U
        factor = np.asarray(np.linalg.qr(across.T, mode="r"))
        # rows that are rounding need no Gaussian: half of them where neurons come in pairs
        sizes = np.linalg.norm(factor, axis=1)
        self._factor = factor[sizes > 1e-14 * max(sizes.max(initial=0.0), 1e-300)]

    @property
    def coordinates(self) -> int:
        """How many independent Gaussians a point is made of."""
        return self.inside.shape[1] + self._factor.shape[0]

    def place(self, gaussians: Floats) -> tuple[Floats, Floats]:
        """Z (n, r) and W x (n, m) of the points that these Gaussians (n, coordinates) make."""
        Z = gaussians[:, : self.inside.shape[1]]
        return Z, gaussians @ np.concatenate((self.inside.T, self._factor))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Z (n, r) and W x (n, m) of n independent points; allocates n (r + 2 m) doubles."""
        Z = rng.standard_normal((n, self.inside.shape[1]))
        g = rng.standard_normal((n, self._factor.shape[0]))
        return Z, Z @ self.inside.T + g @ self._factor


@dataclass(frozen=True, eq=False)
class Network:
    """x -> centre + sum_j a_j sigma(w_j.x + b_j).

    Attributes
    ----------
    W : (m, d);  a, b : (m,)
    """

    W: Floats
    a: Floats
    b: Floats
    centre: float
    activation: Activation

    def __call__(self, X: Floats) -> Floats:
        """Outputs on the rows of X (n, d); allocates n m doubles."""
        return self.of_products(X @ self.W.T)

    def of_products(self, products: Floats) -> Floats:
        """Outputs where W x is known, (n, m) to (n,)."""
        return self.centre + network_outputs(self.activation, products, self.a, self.b)


@dataclass(frozen=True, eq=False)
class _Moments:
    """First and second moments of the features sigma(w_j.x + b_j), (m,) and (m, m), and their covariance with g."""

    means: Floats
    covariance: Floats
    with_link: Floats


def _cosine_moments(W: Floats, b: Floats, hermite: _Hermite, inside: Floats) -> _Moments:
    """For 1 - cos, in closed form.

    E cos cos - E cos E cos = e^{-(s+s')/2} [(e^G - 1) cos(b - b') + (e^{-G} - 1) cos(b + b')]/2 with s = |w|^2, and
    E[He_k(U x) cos(w.x + b)] = (U w)^k e^{-s/2} cos(b + |k| pi/2).
    """
    gram = W @ W.T
    damping = np.exp(-np.diag(gram) / 2)
    plus = _damped_expm1(W, gram, damping, 1) * np.cos(b[:, None] - b)
    minus = _damped_expm1(W, gram, damping, -1) * np.cos(b[:, None] + b)
    shared = np.zeros_like(b)
    for index, coefficient in hermite:
        shared -= coefficient * np.prod(inside**index, axis=1) * np.cos(b + index.sum() * math.pi / 2)
    return _Moments(1 - damping * np.cos(b), (plus + minus) / 2, damping * shared)


def _damped_expm1(W: Floats, gram: Floats, damping: Floats, sign: int) -> Floats:
    """e^{-(s+s')/2} (e^{sign G} - 1), (m, m), where e^{sign G} alone need not be a double."""
    from scipy.spatial.distance import cdist  # takes longer to import than everything else here

    both, small = np.outer(damping, damping), np.abs(gram) < 1  # for which a difference would lose digits
    # of the vectors, not by the Gram matrix: its rounding is that of s, which the exponent must not have
    apart = np.exp(-cdist(W, sign * W, "sqeuclidean") / 2) - both
    together: Floats = np.where(small, both * np.expm1(np.where(small, sign * gram, 0.0)), apart)
    return together


def _quadrature_moments(
    W: Floats, b: Floats, hermite: _Hermite, inside: Floats, activation: Activation, nodes: int
) -> _Moments:
    """For any activation, by Gauss-Hermite quadrature; allocates m nodes^2 doubles at a time.

    E[sigma(w.x + b) He_k(U x)] = (U w/|w|)^k E[sigma(|w| t + b) He_|k|(t)], t ~ N(0, 1).
    """
    t, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    norms = np.linalg.norm(W, axis=1)
    directions = np.divide(W, norms[:, None], out=np.zeros_like(W), where=norms[:, None] > 0)
    values = activated(activation, norms[:, None] * t + b[:, None])
    means = values @ weights
    shared = np.zeros_like(b)
    inside = np.divide(inside, norms[:, None], out=np.zeros_like(inside), where=norms[:, None] > 0)
    for index, coefficient in hermite:
        polynomial = np.polynomial.hermite_e.hermeval(t, np.eye(index.sum() + 1)[-1])
        shared += coefficient * np.prod(inside**index, axis=1) * (values @ (weights * polynomial))
    correlations = np.clip(directions @ directions.T, -1, 1)
    second = np.empty((b.size, b.size))
    for j in range(b.size):
        rho = correlations[j, :, None, None]
        v = norms[:, None, None] * (rho * t[:, None] + np.sqrt(1 - rho**2) * t) + b[:, None, None]
        inner = activated(activation, v) @ weights
        second[j] = inner @ (weights * values[j])
    covariance = (second + second.T) / 2 - np.outer(means, means)
    return _Moments(means, covariance, shared)


def _hermite(link: Link) -> _Hermite:
    """(k, coefficient of He_k) of g without its mean."""
    return [(np.array(k), float(value)) for k, value in link.hermite_coefficients.items() if any(k)]


def test_error(network: Network, link: Link, U: Floats) -> Rounded:
    """E (network(x) - g(U x))^2.

    The error is that of rounding and, where there is a quadrature, an estimate of its own: four times the most that
    fewer nodes change.
    """
    return _mean_square(network, _hermite(link), network.W @ U.T, float(link.mean), float(link.variance))


def distance(first: Network, second: Network) -> Rounded:
    """(E (first(x) - second(x))^2)^(1/2) of networks with the same centre and activation."""
    W, b = np.concatenate((first.W, second.W)), np.concatenate((first.b, second.b))
    both = Network(W, np.concatenate((first.a, -second.a)), b, 0.0, first.activation)
    found = _mean_square(both, [], np.empty((b.size, 0)), 0.0, 0.0)
    root = math.sqrt(max(float(found.value), 0.0))
    # |sqrt(s + e) - sqrt(s)| is at most e/sqrt(s), and at most sqrt(e)
    return Rounded(root, found.error / max(root, math.sqrt(found.error), 1e-300))


def _mean_square(network: Network, hermite: _Hermite, inside: Floats, mean: float, variance: float) -> Rounded:
    """E (network - g)^2 for g of this mean, variance and expansion."""
    W, b, sigma = network.W, network.b, network.activation
    if sigma.text == "1-cos":
        return _combined(_cosine_moments(W, b, hermite, inside), network, mean, variance)
    *coarser, fine = (
        _combined(_quadrature_moments(W, b, hermite, inside, sigma, nodes), network, mean, variance) for nodes in _NODES
    )
    change = max(abs(float(fine.value - other.value)) for other in coarser)
    return Rounded(fine.value, fine.error + _CAUTION * change)


def _combined(moments: _Moments, network: Network, mean: float, variance: float) -> Rounded:
    a, bias = network.a, network.centre + float(network.a @ moments.means) - mean
    value = float(a @ moments.covariance @ a) - 2 * float(a @ moments.with_link) + variance + bias**2
    # m^2 products, each entry with some twenty roundings and those of an exponent of d terms: x e^{-x} is below 1/2
    spread = np.sqrt(np.abs(np.diag(moments.covariance)) + moments.means**2)
    size = float(np.abs(a) @ spread) + abs(network.centre) + math.sqrt(variance) + abs(mean)
    return Rounded(value, (40 + a.size + network.W.shape[1]) * EPS * size**2)


def sampled_error(
    network: Network, link: Link, law: ProjectedLaw, rng: np.random.Generator, points: int
) -> tuple[float, float]:
    """Mean of (network - g)^2 over independent points, and its standard error.

    The squares have heavy tails (twice the degree of g): normal intervals cover too seldom, see B.2.
    """
    Z, products = law.draw(points, rng)
    squares = (network.of_products(products) - link(Z)) ** 2
    return float(squares.mean()), float(squares.std(ddof=1) / math.sqrt(points))
