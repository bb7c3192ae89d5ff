"""Activations on whole arrays, block by block in a near cache; NumPy would make a pass for every operation.

The blocks are counted here and not in compiled code, which would have to be compiled with the activations once more.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimtheory.activations import Activation
from mimtheory.kernels.leaves import real_array
from mimtheory.kernels.pointwise import activate, defects

__all__ = ["activated", "network_outputs", "s_minus_1"]

Floats = NDArray[np.float64]

_BLOCK = 16384  # numbers at a time: they stay in the second cache, and a call costs little beside them


def s_minus_1(activation: Activation, u: ArrayLike) -> Floats:
    """`activation.s_minus_1(u)` by compiled code, where the activation is one of the zoo that has it."""
    u = np.asarray(real_array("u", u), dtype=np.float64, order="C")
    if activation.code < 0 or activation.reason is not None:
        return activation.s_minus_1(u)
    out, series = np.empty(u.size), np.array(activation._series)
    part, value, slope = np.empty((3, min(_BLOCK, u.size)))
    for start in range(0, u.size, _BLOCK):
        some = min(_BLOCK, u.size - start)
        part[:some] = u.reshape(-1)[start : start + some]
        activate(activation.code, some, part, value, slope)
        defects(some, part, slope, series, activation._near, out[start : start + some])
    return out.reshape(u.shape)


def activated(activation: Activation, u: ArrayLike) -> Floats:
    """`activation.sigma(u)` by compiled code, where the activation is one of the zoo."""
    u = np.asarray(real_array("u", u), dtype=np.float64, order="C")
    if activation.code < 0:
        return activation.sigma(u)
    out = np.empty(u.size)
    part, slope = np.empty((2, min(_BLOCK, u.size)))
    for start in range(0, u.size, _BLOCK):
        some = min(_BLOCK, u.size - start)
        part[:some] = u.reshape(-1)[start : start + some]
        activate(activation.code, some, part, out[start : start + some], slope)
    return out.reshape(u.shape)


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
        If the shapes do not fit, or an array is complex or masked.
    """
    named = (("products", products), ("a", a), ("b", b))
    products, a, b = (np.asarray(real_array(name, v), dtype=np.float64, order="C") for name, v in named)
    if products.ndim != 2 or (a.shape, b.shape) != (products.shape[1:], products.shape[1:]):
        raise ValueError(
            f"shapes products {products.shape}, a {a.shape}, b {b.shape} do not fit; allowed: (n, m), (m,)"
        )
    if activation.code < 0:
        by_call: Floats = activation.sigma(products + b) @ a
        return by_call
    n, m = products.shape
    rows, out = max(1, _BLOCK // max(m, 1)), np.empty(n)
    u, value, slope = np.empty((3, min(rows, n) * m))
    for start in range(0, n, rows):
        some = min(rows, n - start)
        np.add(products[start : start + some], b, out=u[: some * m].reshape(some, m))
        activate(activation.code, some * m, u, value, slope)
        out[start : start + some] = value[: some * m].reshape(some, m) @ a
    return out
