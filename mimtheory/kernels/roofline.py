"""Yardsticks of a benchmark: what a core can compute on data in its nearest cache, and a sum without a partition."""

import numpy as np
from numpy.typing import NDArray

from mimtheory.kernels.compiling import kernel
from mimtheory.kernels.partition import LEAVES
from mimtheory.kernels.products import in_rows
from mimtheory.kernels.sweep import POWER, padded, sweep
from mimtheory.kernels.tiles import RANK_SHAPES, steady_8
from mimtheory.kernels.vector_code import lanes

__all__ = ["TILE_WORK", "one_leaf", "peak_work"]

Floats = NDArray[np.float64]

_ROWS = 64
_NO_KEY = (np.uint64(0), np.uint64(0))
_COLUMNS = RANK_SHAPES[8] * lanes(8)
TILE_WORK = 2 * 8 * _COLUMNS * _ROWS


@kernel
def _repeat(X: Floats, S: Floats, G: Floats, rounds: int) -> None:
    for _ in range(rounds):
        steady_8(X, 0, X.shape[1], X.shape[0], S, 0, S.shape[1], G, 0, G.shape[1], False, 0)


def peak_work(rounds: int) -> None:
    """Do the same tile so many times, TILE_WORK additions and multiplications each."""
    X, S, G = np.ones((_ROWS, _COLUMNS)), np.zeros((_ROWS, 8)), np.zeros((8, _COLUMNS))
    _repeat(X, S, G, rounds)


def one_leaf(X: Floats, T: Floats, V: Floats) -> Floats:
    """`hessian_power` in a single leaf, for what the partition costs: the first of a sample so many times as large."""
    n, (k, d) = X.shape[0], V.shape
    none, nothing = np.zeros((0, 0)), np.zeros(0)
    out = np.zeros((1, k, padded(d, 8)))
    rest = (0.0, (0, 0), 0.0, none, nothing, 0.0, out, nothing, none, np.zeros((0, 2, 0)), False, _NO_KEY)
    arguments = (POWER, X, LEAVES * n, d, 0, 0, 1, V, T, nothing, np.zeros(k), *rest, lanes(8))
    sweep(*arguments)
    rows = np.empty((k, d))
    in_rows(out[0], d // lanes(8), lanes(8), float(n), rows)
    return rows
