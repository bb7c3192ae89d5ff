"""From arrays of any layout to `sweep`: leaves in order on one thread, or spread over several, with the same bits."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels.gaussians import Gaussians
from mimtheory.kernels.partition import LEAVES, ROWS, leaf_start
from mimtheory.kernels.products import in_rows
from mimtheory.kernels.sweep import FEATURES, GIVEN, PRODUCTS, padded, sweep
from mimtheory.kernels.threads import across_parts, thread_count
from mimtheory.kernels.vector_code import lanes

__all__ = ["kind_of", "one_pass", "real_array", "samples_of"]

Floats = NDArray[Any]
Kind = type[np.floating[Any]]

_SINGLE = np.dtype(np.float32).char
_NO_VECTOR, _NO_PEAKS, _NO_KEY = np.zeros(0), np.zeros((0, 2, 0)), (np.uint64(0), np.uint64(0))


def real_array(name: str, values: Any) -> Floats:
    """An argument as an array; NumPy would drop what is imaginary, and read what is masked.

    Raises
    ------
    ValueError
        For complex numbers and for masked ones, naming the argument.
    """
    array = np.asarray(values)
    masked = isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values)
    if array.dtype.kind == "c" or masked:
        what = "complex" if array.dtype.kind == "c" else "masked"
        raise ValueError(f"{name} has {what} entries; allowed: real numbers, none of them masked")
    return array


def samples_of(X: Any) -> Floats | Gaussians:
    """X as an array, or as it is where it is made."""
    return X if isinstance(X, Gaussians) else real_array("X", X)


def kind_of(X: Floats | Gaussians, *arrays: Floats) -> Kind:
    """float32 where all arrays are, in any order of bytes, else float64; that of X where X is made."""
    if isinstance(X, Gaussians):
        arrays = ()
    return np.float32 if _is_single(X) and all(map(_is_single, arrays)) else np.float64


def _is_single(array: Floats | Gaussians) -> bool:
    return array.dtype.char == _SINGLE


def one_pass(
    mode: int,
    X: Floats | Gaussians,
    m: int,
    kind: Kind,
    threads: int | None,
    *,
    W: Floats | None = None,
    y: Floats = _NO_VECTOR,
    a: Floats = _NO_VECTOR,
    b: Floats | None = None,
    S: Floats | None = None,
    centre: float = 0.0,
    codes: tuple[int, int] = (0, 0),
    parameter: float = 0.0,
    series: Floats = _NO_VECTOR,
    near: float = 0.0,
    f: Floats = _NO_VECTOR,
    Z: Floats | None = None,
    peaks: Floats = _NO_PEAKS,
) -> Floats:
    """The mean over all samples of a mode of `sweep`, (m, width), of GIVEN the sum; f, Z and peaks are filled."""
    n, d = X.shape
    threads = thread_count(threads, 2.0 * n * d * m)
    width = 0 if mode == PRODUCTS else m + 1 if mode == FEATURES else d
    none = np.zeros((0, 0), kind)
    out = np.zeros((1 if threads == 1 else LEAVES, m, padded(width, np.dtype(kind).itemsize)), kind)
    fixed = (
        none if W is None else _typed(W, kind),
        _typed(y, np.float64),
        _typed(a, np.float64),
        np.zeros(m) if b is None else _typed(b, np.float64),
        float(centre),
        codes,
        float(parameter),
        none if S is None else _typed(S, kind),
        series,
        float(near),
        out,
        f,
        none if Z is None else Z,
        peaks,
    )
    across_parts(lambda low, high: _leaves(mode, X, kind, low, high, fixed), LEAVES, threads)
    total = out[0]
    for leaf in range(1, out.shape[0]):
        total += out[leaf]
    size, rows = lanes(np.dtype(kind).itemsize), np.empty((m, width), kind)
    in_rows(total, (total.shape[1] if mode == FEATURES else d) // size, size, kind(1 if mode == GIVEN else n), rows)
    return rows


def _leaves(mode: int, X: Floats | Gaussians, kind: Kind, low: int, high: int, fixed: tuple[Any, ...]) -> None:
    (n, d), size = X.shape, lanes(np.dtype(kind).itemsize)
    if isinstance(X, Gaussians):
        rest = (*fixed, True, X.key, size)
        sweep(mode, X.block(ROWS), n, d, 0, low, high, *rest)
        return
    fixed = (*fixed, False, _NO_KEY, size)
    if X.flags.c_contiguous and X.flags.aligned and X.dtype == kind:
        sweep(mode, _writeable(X), n, d, 0, low, high, *fixed)
        return
    for leaf in range(low, high):
        start, stop = leaf_start(leaf, n), leaf_start(leaf + 1, n)
        if start < stop:
            sweep(mode, _typed(X[start:stop], kind), n, d, start, leaf, leaf + 1, *fixed)


def _typed(array: Floats, kind: Kind) -> Floats:
    """The numbers in C order as the one type of array for which `sweep` is compiled; copied where they have to be."""
    array = np.ascontiguousarray(array, dtype=kind)
    return _writeable(array if array.flags.aligned else array.copy())


def _writeable(array: Floats) -> Floats:
    """The same numbers as an array that Numba types like any other; nothing is written to it."""
    if array.flags.writeable:
        return array
    interface = array.__array_interface__ | {"data": (array.ctypes.data, False)}
    return np.asarray(SimpleNamespace(__array_interface__=interface, owner=array))
