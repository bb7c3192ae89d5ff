"""Sums over dyadic boxes that are halved where their proven errors are largest, until the whole is sharp enough."""

import itertools
import math
import time
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mimtheory.dyadic_cells import cubes
from mimtheory.rounding import gamma_above

__all__ = ["BoxSums"]

Floats = NDArray[np.float64]

_AT_ONCE = 1 << 15
_SPENT = 0.25  # share of the allowed error that boxes may take before the rest is refined
_BLOCK = 64
# boxes of this width have corners and midpoints that are doubles; those of a narrower one may coincide, and no
# precision resolves an integral from a point to itself
_NARROWEST = 2.0**-48
_ROUNDED = 1 + 2.0**-40  # bounds are sums of less than 2^11 rounded non-negative terms


class BoxSums(ABC):
    """Integrals of several functions over the cube [-8, 8]^r, and their sums so far.

    Parameters
    ----------
    even : tuple of bool
        The variables in which all functions are even: only half of the cube is used.
    columns : int
        Number of functions.
    floor : float
        Bound on what is missed outside of the cube, and by the functions themselves.
    """

    FIRST: ClassVar[dict[int, float]] = {1: 0.125, 2: 0.5, 3: 1.0, 4: 2.0}

    def __init__(self, even: tuple[bool, ...], columns: int, floor: float) -> None:
        self.even, self.floor = even, floor
        self.copies = 2.0 ** sum(even)
        self.values: list[list[float]] = [[] for _ in range(columns)]
        self.errors: list[list[float]] = [[] for _ in range(columns)]

    @abstractmethod
    def integrate(self, lower: Floats, width: float) -> tuple[Floats, Floats]:
        """Values and error bounds (n, columns) of boxes with these lower corners (n, r)."""

    def run(self, target: float, deadline: float, most: int) -> int:
        """Refine until the radius is within the target, or time, boxes or digits run out; the number of boxes, 0 for
        none."""
        lower, width = self._start()
        front, cells = self._integrate_all(lower, width, deadline), len(lower)
        if front is None:
            return 0
        spent, allowed = 0.0, max(target - self.floor, self.floor) / self.copies
        while True:
            worst = front[1].max(axis=1)
            refine = _to_refine(worst, allowed - spent)
            children = int(np.count_nonzero(refine)) << len(self.even)
            if children == 0 or cells + children > most or width <= _NARROWEST:
                break
            lower, width = _split(lower[refine], width)
            finer = self._integrate_all(lower, width, deadline)
            if finer is None:
                break
            self._add(front[0][~refine], front[1][~refine])
            spent += float(np.sum(worst[~refine]))
            front, cells = finer, cells + children
        self._add(*front)
        return cells

    def total(self, column: int) -> tuple[float, float]:
        """The integral of this function over all of space, and a bound on its error."""
        values = self.values[column]
        rounding = gamma_above(len(values) + 4) * math.fsum(map(abs, values))
        radius = (self.copies * (math.fsum(self.errors[column]) + rounding) + self.floor) * _ROUNDED
        return self.copies * math.fsum(values), radius

    def _start(self) -> tuple[Floats, float]:
        """Boxes that fill the cube, or its half z_k >= 0 for each variable in which all functions are even."""
        width = self.FIRST[len(self.even)]
        return cubes(self.even, width), width

    def _add(self, values: Floats, errors: Floats) -> None:
        for k in range(len(self.values)):
            self.values[k].append(_sum(values[:, k]))
            self.errors[k].append(_sum(errors[:, k]) + gamma_above(_BLOCK) * _sum(np.abs(values[:, k])))

    def _integrate_all(self, lower: Floats, width: float, deadline: float) -> tuple[Floats, Floats] | None:
        parts = []
        for k in range(0, len(lower), _AT_ONCE):
            if time.monotonic() > deadline:
                return None
            parts.append(self.integrate(lower[k : k + _AT_ONCE], width))
        return np.concatenate([v for v, _ in parts]), np.concatenate([e for _, e in parts])


def _sum(x: Floats) -> float:
    """Within gamma(64) of the sum of the absolute values: an exact sum of blocks, which are summed in any order."""
    return math.fsum(np.add.reduceat(x, np.arange(0, len(x), _BLOCK))) if len(x) else 0.0


def _to_refine(worst: Floats, allowed: float) -> NDArray[np.bool_]:
    """The boxes to split: none where the errors fit into what is allowed, else all but those of the smallest error."""
    refine = np.zeros(len(worst), dtype=np.bool_)
    if np.sum(worst) > max(allowed, 0.0):
        order = np.argsort(worst)
        keep = np.searchsorted(np.cumsum(worst[order]), _SPENT * max(allowed, 0.0), side="right")
        refine[order[keep:]] = True
    return refine


def _split(lower: Floats, width: float) -> tuple[Floats, float]:
    half = width / 2
    corners = np.array(list(itertools.product((0.0, half), repeat=lower.shape[1])))
    return (lower[:, None, :] + corners).reshape(-1, lower.shape[1]), half
