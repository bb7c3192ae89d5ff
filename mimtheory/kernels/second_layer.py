"""Features and normal equations of stage two in one pass over X."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.activations import Activation
from mimtheory.activations import activation as activation_of
from mimtheory.kernels.first_layer import inner_products, weighted_sums
from mimtheory.kernels.gaussians import Gaussians
from mimtheory.kernels.leaves import kind_of, one_pass, real_array, samples_of
from mimtheory.kernels.sweep import FEATURES

__all__ = ["NormalEquations", "normal_equations"]

Floats = NDArray[Any]


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """The quadratic problem of stage two.

    Attributes
    ----------
    gram : (m, m)
        Phi^T Phi/n for the features phi_ij = sigma(w_j.x_i + b_j); symmetric to the last bit.
    target : (m,)
        Phi^T y/n.
    features : (n, m) or None
        Phi, where asked for.
    """

    gram: Floats
    target: Floats
    features: Floats | None


def normal_equations(
    X: Floats | Gaussians,
    y: Floats,
    W: Floats,
    b: Floats | None = None,
    *,
    activation: "str | Activation",
    features: bool = False,
    threads: int | None = None,
) -> NormalEquations:
    """Phi^T Phi/n and Phi^T y/n without storing Phi, unless it is wanted.

    Parameters
    ----------
    X : (n, d) array or Gaussians
    y : (n,)
    W : (m, d)
    b : (m,)
        Biases, 0 if not given.
    activation : str or Activation
        As in `mimtheory.activation`; one that is user-defined is called on all samples and stores Phi.
    features : bool
        Whether Phi is wanted.
    threads : int
        None chooses; any number gives the same bits.

    Raises
    ------
    ValueError
        If the shapes do not fit, numbers are complex or masked, or threads is neither None nor an integer from 1.
    """
    X, y, W = samples_of(X), real_array("y", y), real_array("W", W)
    n, m = X.shape[0] if X.ndim else 0, W.shape[0] if W.ndim else 0
    bias = np.zeros(m) if b is None else real_array("b", b)
    if min(n, m, *X.shape) < 1 or X.ndim != 2 or (y.shape, W.shape, bias.shape) != ((n,), (m, X.shape[1]), (m,)):
        raise ValueError(
            f"shapes X {X.shape}, y {y.shape}, W {W.shape}, b {bias.shape} do not fit; "
            "allowed: (n, d), (n,), (m, d), (m,) with n, d, m at least 1"
        )
    sigma, kind = activation_of(activation), kind_of(X, W)
    if sigma.code < 0:
        Phi = sigma.sigma(inner_products(X, W, threads=threads) + bias).astype(kind)
        means = weighted_sums(np.column_stack((Phi, y.astype(kind))), Phi, threads=threads) / n
    else:
        Phi = np.empty((n if features else 0, m), kind)
        means = one_pass(FEATURES, X, m, kind, threads, W=W, y=y, b=bias, codes=(0, sigma.code), Z=Phi)
    return NormalEquations(means[:, :m], means[:, m], Phi if features else None)
