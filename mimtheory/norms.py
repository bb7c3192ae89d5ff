"""Euclidean norms of numbers whose squares may leave the range of doubles."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["euclidean_norm"]

Floats = NDArray[np.float64]


def euclidean_norm(A: ArrayLike, axis: int | None = None) -> Floats:
    """The root of the sum of squares, in double precision.

    Parameters
    ----------
    A : array
        In any units; what is infinite or not a number shows.
    axis : int, optional
        Of the sums; that of all entries if not given.

    Returns
    -------
    array
        Without the axis, in units of A.
    """
    A = np.asarray(A, dtype=np.float64)
    largest = np.abs(A).max(axis=axis, keepdims=True, initial=0.0)
    # by a power of two, which rounds nothing: squares that are lost then are below 2^-1020 of the sum
    exponent = np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
    return np.ldexp(np.linalg.norm(np.ldexp(A, -exponent), axis=axis), exponent.squeeze(axis))
