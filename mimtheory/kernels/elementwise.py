"""Activations on whole arrays, block by block in the nearest cache; NumPy would make a pass for every operation."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimtheory.activations import Activation
from mimtheory.kernels.compiling import kernel
from mimtheory.kernels.pointwise import activate, defects

__all__ = ["network_outputs", "s_minus_1"]

Floats = NDArray[np.float64]

_BLOCK = 1024
_ROWS = 32


@kernel
def _s_minus_1(code: int, u: Floats, series: Floats, near: float, out: Floats) -> None:
    value, slope = np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, u.shape[0], _BLOCK):
        some = min(_BLOCK, u.shape[0] - start)
        part = u[start : start + some]
        activate(code, some, part, value, slope)
        defects(some, part, slope, series, near, out[start : start + some])


@kernel
def _network_outputs(code: int, products: Floats, a: Floats, b: Floats, out: Floats) -> None:
    """Neuron after neuron with the rows of a block side by side, so that the sums are vector code."""
    n, m = products.shape
    u, value, slope = np.empty(m * _ROWS), np.empty(m * _ROWS), np.empty(m * _ROWS)
    for start in range(0, n, _ROWS):
        rows = min(_ROWS, n - start)
        for j in range(m):
            for i in range(rows):
                u[j * rows + i] = products[start + i, j] + b[j]
        activate(code, m * rows, u, value, slope)
        for i in range(rows):
            out[start + i] = 0.0
        for j in range(m):
            for i in range(rows):
                out[start + i] += a[j] * value[j * rows + i]


def s_minus_1(activation: Activation, u: ArrayLike) -> Floats:
    """`activation.s_minus_1(u)` by compiled code, where the activation is one of the zoo that has it."""
    u = np.ascontiguousarray(u, dtype=np.float64)
    if activation.code < 0 or activation.reason is not None:
        return activation.s_minus_1(u)
    out = np.empty_like(u)
    _s_minus_1(activation.code, u.reshape(-1), np.array(activation._series), activation._near, out.reshape(-1))
    return out


def network_outputs(activation: Activation, products: Floats, a: Floats, b: Floats) -> Floats:
    """sum_j a_j sigma(p_ij + b_j), (n,).

    Parameters
    ----------
    activation : Activation
        One of the zoo is compiled, any other is called.
    products : (n, m)
    a, b : (m,)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    arrays: list[Any] = [np.ascontiguousarray(v, dtype=np.float64) for v in (products, a, b)]
    products, a, b = arrays
    if products.ndim != 2 or (a.shape, b.shape) != (products.shape[1:], products.shape[1:]):
        raise ValueError(
            f"shapes products {products.shape}, a {a.shape}, b {b.shape} do not fit; allowed: (n, m), (m,)"
        )
    if activation.code < 0:
        by_call: Floats = activation.sigma(products + b) @ a
        return by_call
    out = np.empty(products.shape[0])
    _network_outputs(activation.code, products, a, b, out)
    return out
