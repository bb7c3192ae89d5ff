"""The gradient of the first layer in one pass over X, and the two products of which it is made."""

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.activations import Activation
from mimtheory.activations import activation as activation_of
from mimtheory.kernels.gaussians import Gaussians
from mimtheory.kernels.leaves import kind_of, one_pass, real_array, samples_of
from mimtheory.kernels.partition import LEAVES, leaf_start
from mimtheory.kernels.sweep import GIVEN, GRADIENT, PRODUCTS
from mimtheory.losses import Loss
from mimtheory.losses import loss as loss_of
from mimtheory.norms import euclidean_norm

__all__ = ["Gradient", "gradient", "inner_products", "weighted_sums"]

Floats = NDArray[Any]

_UNKNOWN = np.array([np.nan])  # the series of s(u) - 1 where there is none


@dataclass(frozen=True, eq=False)
class Gradient:
    """What one pass over the samples finds.

    Attributes
    ----------
    gradient : (m, d)
        Of (1/n) sum_i l(c + f(x_i), y_i) in the rows of W.
    outputs : (n,)
        f(x_i); exactly 0 where neurons j and m-1-j cancel.
    peaks : (2, m) or None
        Where asked for: max_i |u_ij| and max_i |q_ij|, q_ij = l'(c + f_i, y_i) s(u_ij) - T_i with T_i = l'(c, y_i).
        The rounding of q is relative to |l'| |s - 1| and |f_i|, however small; where activation or loss are your own
        to |l'| and |T_i|, which cancel.
    """

    gradient: Floats
    outputs: Floats
    peaks: Floats | None
    _y: Floats = field(repr=False)
    _loss: Loss = field(repr=False)
    _centre: float = field(repr=False)

    @cached_property
    def loss(self) -> float:
        """The mean loss."""
        return float(self._loss.value(self._centre + self.outputs, self._y).mean())

    @cached_property
    def norms(self) -> Floats:
        """Norms of the rows of the gradient, (m,), in double precision."""
        return euclidean_norm(self.gradient, axis=1)


def gradient(
    X: Floats | Gaussians,
    y: Floats,
    W: Floats,
    a: Floats,
    b: Floats | None = None,
    *,
    activation: "str | Activation",
    loss: "str | Loss",
    centre: float = 0.0,
    threads: int | None = None,
    quantities: bool = False,
) -> Gradient:
    """Gradient of (1/n) sum_i l(c + f(x_i), y_i) in the rows of W, f(x) = sum_j a_j sigma(w_j.x + b_j).

    Parameters
    ----------
    X : (n, d) array or Gaussians
        float32 if X and W both are, else taken as float64. Blocks of other layouts than C order are copied; those of
        Gaussians are made again from the seed, so that X is never stored.
    y : (n,)
    W : (m, d)
    a, b : (m,)
        Outer weights and biases (0 if not given).
    activation, loss : str or object
        As in `mimtheory.activation` and `mimtheory.loss`; those of the zoo are compiled, any other is called on
        blocks of rows.
    centre : float
        The centring constant c.
    threads : int
        None chooses; any number gives the same bits.
    quantities : bool
        Whether `peaks` are wanted. Those of q are not a number where s(u) = sigma'(u)/u has no value at 0.

    Returns
    -------
    Gradient
        The pass allocates 8 m d numbers, with T > 1 threads (5 T + 18) m d; for each thread 32 d more where X is made,
        n d/16 where X is copied.

    Notes
    -----
    What is not a number shows in all that is made of it, and so does an infinite y, centre or f(x_i). Of an infinite
    w_j.x_i + b_j the limits of sigma and sigma' are taken where both are finite: b = -inf switches a neuron of relu
    off, and an infinite W can leave the gradient of tanh finite, that of relu and softplus where no u is +inf.

    Raises
    ------
    ValueError
        If the shapes do not fit, numbers are complex or masked, centre is not one real number, or threads is neither
        None nor an integer from 1.
    """
    centre = _one_number(centre)
    X, y, W, a = samples_of(X), real_array("y", y), real_array("W", W), real_array("a", a)
    bias = np.zeros(a.shape) if b is None else real_array("b", b)
    n, m = X.shape[0] if X.ndim else 0, W.shape[0] if W.ndim else 0
    shapes = (X.shape, y.shape, W.shape, a.shape, bias.shape)
    if min(n, m, *X.shape) < 1 or X.ndim != 2 or shapes != (X.shape, (n,), (m, X.shape[1]), (m,), (m,)):
        raise ValueError(
            f"shapes X {X.shape}, y {y.shape}, W {W.shape}, a {a.shape}, b {bias.shape} do not fit; "
            "allowed: (n, d), (n,), (m, d), (m,), (m,) with n, d, m at least 1"
        )
    sigma, l = activation_of(activation), loss_of(loss)  # noqa: E741
    if sigma.code < 0 or l.code < 0:
        return _in_blocks(X, y, W, a, bias, sigma, l, centre, threads, quantities)
    f, peaks = np.empty(n), np.zeros((LEAVES if quantities else 0, 2, m))
    series, near = _UNKNOWN, np.inf
    if quantities and sigma.reason is None:
        series, near = np.array(sigma._series), sigma._near
    found = one_pass(
        GRADIENT,
        X,
        m,
        kind_of(X, W),
        threads,
        W=W,
        y=y,
        a=a,
        b=bias,
        centre=centre,
        codes=(l.code, sigma.code),
        parameter=0.0 if l.parameter is None else float(l.parameter),
        series=series,
        near=near,
        f=f,
        peaks=peaks,
    )
    # a copy of the labels: the loss is computed when asked for, and they are the caller's
    return Gradient(found, f, peaks.max(axis=0) if quantities else None, y.copy(), l, centre)


def _one_number(centre: Any) -> float:
    """The centring constant as a double; what is not finite stays so, and shows in all that is made of it."""
    if isinstance(centre, Real) and not isinstance(centre, bool):
        with suppress(OverflowError):  # of integers
            return float(centre)
    raise ValueError(f"centre = {centre!r}; allowed: one real number")


def _in_blocks(
    X: Floats | Gaussians,
    y: Floats,
    W: Floats,
    a: Floats,
    b: Floats,
    sigma: Activation,
    l: Loss,  # noqa: E741
    centre: float,
    threads: int | None,
    quantities: bool,
) -> Gradient:
    """The same for functions the kernel does not know, called on the samples of one leaf at a time; allocates n m."""
    n, m, y = X.shape[0], W.shape[0], y.astype(np.float64)
    half, f = m // 2, np.empty(n)
    S = inner_products(X, W, threads=threads).astype(np.float64, copy=False) + b
    peaks = np.zeros((LEAVES, 2, m))
    for leaf in range(LEAVES):
        rows = slice(leaf_start(leaf, n), leaf_start(leaf + 1, n))
        u = S[rows]
        outputs = sigma.sigma(u) * a
        # mirrored neurons first: where they cancel, f is exactly 0
        f[rows] = (outputs[:, :half] + outputs[:, m - half :][:, ::-1]).sum(axis=1)
        if m % 2:
            f[rows] += outputs[:, half]
        error = centre + f[rows] - y[rows]
        slope = np.where(np.isfinite(error), l.dl(error, 0.0), np.nan)[:, None]  # as in compiled code
        if quantities and u.size:
            q = slope * sigma.s_minus_1(u) + (slope - l.dl(centre, y[rows])[:, None])
            peaks[leaf] = np.abs(u).max(axis=0), np.abs(q).max(axis=0)
        S[rows] = sigma.d1(u) * a * slope
    total = weighted_sums(X, S.astype(kind_of(X, W), copy=False), threads=threads)
    return Gradient(total / n, f, peaks.max(axis=0) if quantities else None, y, l, centre)


def inner_products(X: Floats | Gaussians, W: Floats, *, threads: int | None = None) -> Floats:
    """X W^T, (n, m), with the bits of the products inside `gradient`.

    Parameters
    ----------
    X : (n, d)
    W : (m, d)
    threads : int

    Raises
    ------
    ValueError
        If the shapes do not fit, numbers are complex or masked, or threads is neither None nor an integer from 1.
    """
    X, W = samples_of(X), real_array("W", W)
    if X.ndim != 2 or W.ndim != 2 or X.shape[1] != W.shape[1] or not X.shape[0]:
        raise ValueError(f"shapes X {X.shape}, W {W.shape} do not fit; allowed: (n, d), (m, d)")
    kind = kind_of(X, W)
    Z = np.empty((X.shape[0], W.shape[0]), kind)
    one_pass(PRODUCTS, X, W.shape[0], kind, threads, W=W, Z=Z)
    return Z


def weighted_sums(X: Floats | Gaussians, S: Floats, *, threads: int | None = None) -> Floats:
    """S^T X, (m, d), summed over the fixed partition of the samples.

    Parameters
    ----------
    X : (n, d)
    S : (n, m)
    threads : int

    Raises
    ------
    ValueError
        If the shapes do not fit, numbers are complex or masked, or threads is neither None nor an integer from 1.
    """
    X, S = samples_of(X), real_array("S", S)
    if X.ndim != 2 or S.ndim != 2 or X.shape[0] != S.shape[0] or not X.shape[0]:
        raise ValueError(f"shapes X {X.shape}, S {S.shape} do not fit; allowed: (n, d), (n, m)")
    return one_pass(GIVEN, X, S.shape[1], kind_of(X, S), threads, S=S)
