"""Stage two for the squared loss in one pass over samples that are never stored.

min_a (1/n) sum_i (c + phi_i.a - y_i)^2/2 + (beta2/2)|a|^2 needs of the samples only Phi^T Phi, Phi^T (y - c) and
|y - c|^2.
"""

import numpy as np
from numpy.typing import NDArray

from mimtheory.generalisation import Network, ProjectedLaw
from mimtheory.setting import Setting
from mimtheory.stage_two import RIDGES, draw_biases, held_out_start, ridge_solution

__all__ = ["NormalEquations", "ridge_network", "ridge_weights"]

Floats = NDArray[np.float64]

_ROWS = 1 << 13


class NormalEquations:
    """The sums over samples that the ridge solution needs.

    Attributes
    ----------
    gram : (m, m);  target : (m,)
        Phi^T Phi and Phi^T y.
    square : float
        |y|^2.
    count : int
    """

    def __init__(self, m: int) -> None:
        self.gram, self.target = np.zeros((m, m)), np.zeros(m)
        self.square, self.count = 0.0, 0

    def add(self, Phi: Floats, y: Floats) -> None:
        """Take in the rows of Phi (k, m) with labels y (k,)."""
        self.gram += Phi.T @ Phi
        self.target += y @ Phi
        self.square += float(y @ y)
        self.count += y.size

    def joined(self, other: "NormalEquations") -> "NormalEquations":
        """The sums over both sets of samples."""
        both = NormalEquations(self.target.size)
        both.gram, both.target = self.gram + other.gram, self.target + other.target
        both.square, both.count = self.square + other.square, self.count + other.count
        return both

    def solution(self, ridge: float) -> Floats:
        """The outer weights (m,) for beta2 = ridge times the largest eigenvalue of Phi^T Phi/n."""
        gram = self.gram / self.count
        return ridge_solution(gram, self.target / self.count, ridge * float(np.linalg.eigvalsh(gram)[-1]))

    def mean_square(self, a: Floats) -> float:
        """The mean of (y - Phi a)^2 over the samples."""
        return float(self.square - 2 * a @ self.target + a @ self.gram @ a) / self.count


def ridge_network(setting: Setting, U: Floats, W: Floats, centre: float, rng: np.random.Generator) -> Network:
    """Stage two on n fresh samples, with the squared loss whatever the loss of stage one is.

    The ridge is chosen on the last 20 per cent of the samples, then all are used. Allocates 2^13 (r + 3 m) doubles.

    Parameters
    ----------
    setting : Setting
        Its link, activation, label_noise and n.
    U, W : (r, d), (m, d)
    centre : float
        The constant that the network adds to.
    rng : numpy Generator
        Consumed in the order b, D2.
    """
    b, law = draw_biases(W.shape[0], rng), ProjectedLaw(U, W)
    cut = held_out_start(setting.n)
    fit = _accumulated(setting, law, b, centre, cut, rng)
    held_out = _accumulated(setting, law, b, centre, setting.n - cut, rng)
    return Network(W, _chosen(fit, held_out), b, centre, setting.activation)


def ridge_weights(Phi: Floats, y: Floats) -> Floats:
    """The same outer weights (m,) for features (n, m) and labels (n,) that are kept."""
    cut = held_out_start(y.size)
    fit, held_out = NormalEquations(Phi.shape[1]), NormalEquations(Phi.shape[1])
    fit.add(Phi[:cut], y[:cut])
    held_out.add(Phi[cut:], y[cut:])
    return _chosen(fit, held_out)


def _chosen(fit: NormalEquations, held_out: NormalEquations) -> Floats:
    """The solution on all samples with the ridge that is best on those held out; the largest where there are none."""
    if held_out.count == 0:
        return fit.solution(max(RIDGES))
    ridge = min(RIDGES, key=lambda ridge: held_out.mean_square(fit.solution(ridge)))
    return fit.joined(held_out).solution(ridge)


def _accumulated(
    setting: Setting, law: ProjectedLaw, b: Floats, centre: float, n: int, rng: np.random.Generator
) -> NormalEquations:
    sums = NormalEquations(b.size)
    for first in range(0, n, _ROWS):
        size = min(_ROWS, n - first)
        Z, products = law.draw(size, rng)
        y = setting.labels(Z, rng) - centre
        products += b
        sums.add(setting.activation.sigma(products), y)
    return sums
