"""Matrices of standard Gaussians that are known by their seed: whole, by rows, or made again whenever they are read."""

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels.philox import fill_rows
from mimtheory.kernels.sweep import padded
from mimtheory.kernels.threads import across_parts, thread_count

__all__ = ["Gaussians"]

Floats = NDArray[Any]

_COLUMNS = {8: 2, 4: 4}  # of one call of the generator, by the bytes of a number
_COST = 32  # of one Gaussian in multiply-adds, for the choice of threads


class Gaussians:
    """An (n, d) matrix of independent standard Gaussians that is not stored.

    Row i depends on the seed, the precision and i alone, column k of it on k too: rows may be made in any parts, in any
    order and on any thread. `gradient` and `hessian_power` take it in place of X and make its blocks again, in cache.

    Parameters
    ----------
    seed : int
        From 0 to 2^64 - 1.
    n, d : int
    dtype : float64 or float32
        The two precisions are two different matrices, and everything is computed in that of the matrix.

    Raises
    ------
    ValueError
        Naming the argument, its value and what is allowed.
    """

    ndim = 2

    def __init__(self, seed: int, n: int, d: int, dtype: Any = np.float64) -> None:
        for name, value, low, high in (("seed", seed, 0, 2**64 - 1), ("n", n, 1, 2**62), ("d", d, 1, 2**32)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= operator.index(value) <= high:
                raise ValueError(f"{name} = {value!r}; allowed: an integer from {low} to {high}")
        try:
            known = np.dtype(dtype) in (np.float64, np.float32)
        except TypeError:
            known = False
        if not known:
            raise ValueError(f"dtype = {dtype!r}; allowed: float64, float32")
        self.seed, self.shape, self.dtype = (
            operator.index(seed),
            (operator.index(n), operator.index(d)),
            np.dtype(dtype),
        )

    @property
    def key(self) -> tuple[np.uint64, np.uint64]:
        """The two words of the generator's key."""
        return np.uint64(self.seed & 0xFFFFFFFF), np.uint64(self.seed >> 32)

    def rows(self, start: int, stop: int, *, threads: int | None = None) -> Floats:
        """Rows start ... stop - 1, (stop - start, d); any number of threads gives the same bits."""
        n, d = self.shape
        start, stop = operator.index(start), operator.index(stop)  # Numba would compile for other integers once more
        if not 0 <= start <= stop <= n:
            raise ValueError(f"start, stop = {start}, {stop}; allowed: 0 <= start <= stop <= {n}")
        call = _COLUMNS[self.dtype.itemsize]
        out = np.empty((stop - start, -(-d // call) * call), self.dtype)
        count = thread_count(threads, _COST * out.size)
        across_parts(lambda low, high: fill_rows(out[low:high], start + low, *self.key), stop - start, count)
        return out if out.shape[1] == d else np.ascontiguousarray(out[:, :d])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        if copy is False:
            raise ValueError("copy = False; allowed: None or True, as Gaussians are made whenever they are read")
        whole = self.rows(0, self.shape[0])
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"Gaussians(seed={self.seed}, n={self.shape[0]}, d={self.shape[1]}, dtype={self.dtype})"

    def block(self, rows: int) -> Floats:
        """An empty block of so many rows of whole vectors."""
        return np.zeros((rows, padded(self.shape[1], self.dtype.itemsize)), self.dtype)
