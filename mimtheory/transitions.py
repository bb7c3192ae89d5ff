"""Where a smooth increasing function changes within a width that widely spaced nodes would step over.

A search on a mesh that is refined where the function is not nearly linear; since the function increases, no change
between two points of the mesh remains unseen. Why the line integrals need it: docs/theory/expected_hessian.md.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["APART", "Transition", "transitions"]

Floats = NDArray[np.float64]
Transition = tuple[float, float]  # where, and how wide

_FIRST_CELLS = 16
_MOST_CELLS = 4096
_ROUNDS = 60
_LOOKED_AT = (0.21, 0.5, 0.79)  # of a cell; two equal changes may meet the line in its middle
_BENT = 0.02  # of the size: what is nearer to a line is no transition
_NARROW = 1 / 16  # of the usual range
APART = 8  # widths; nearer ones are one
_MOST = 8


def transitions(
    function: Callable[[Floats], Floats], ends: Sequence[float], usual: tuple[float, float]
) -> tuple[Transition, ...]:
    """Places and widths of the narrow changes, at most eight, the narrowest ones.

    Parameters
    ----------
    function : callable
        Increasing and smooth between the ends.
    ends : sequence of float
        In order; the first and last bound what is searched.
    usual : (float, float)
        The range in which the argument mostly is: changes that are small beside those in it do not count.
    """
    with np.errstate(all="ignore"):
        size = float(np.ptp(function(np.array(usual))))
        cells = [_cells(function, a, b, size) for a, b in itertools.pairwise(ends) if a < b]
    found = [change for edges in cells for change in _narrowest(edges, (usual[1] - usual[0]) * _NARROW)]
    kept: list[Transition] = []
    for where, width in sorted(found, key=lambda change: change[1]):
        if all(abs(where - other) > APART * width for other, _ in kept):
            kept.append((where, width))
    return tuple(kept[:_MOST])


def _cells(function: Callable[[Floats], Floats], start: float, stop: float, size: float) -> Floats:
    """Edges of a mesh on which the function is nearly linear; what it does at the two ends themselves is not asked."""
    inset = 1e-12 * (stop - start)
    edges = np.linspace(start + inset, stop - inset, _FIRST_CELLS + 1)
    for _ in range(_ROUNDS):
        values, width = function(edges), np.diff(edges)
        bent = np.zeros(len(width), dtype=bool)
        for part in _LOOKED_AT:
            between = function(edges[:-1] + part * width)
            line = values[:-1] + part * np.diff(values)
            bent |= np.abs(between - line) > _BENT * np.maximum(size, np.abs(between))
        if not bent.any() or len(edges) > _MOST_CELLS:
            break
        edges = np.sort(np.concatenate([edges, (edges[:-1] + width / 2)[bent]]))
    return edges


def _narrowest(edges: Floats, most: float) -> list[Transition]:
    """Runs of cells of one width between wider ones: their middles and the width."""
    widths = np.diff(edges)
    breaks = np.flatnonzero(np.abs(np.diff(np.log(widths))) > 0.5) + 1
    runs = np.concatenate([[0], breaks, [len(widths)]]).astype(int)
    level = [widths[a] for a in runs[:-1]]
    found = []
    for k, width in enumerate(level):
        least = all(width < level[j] for j in (k - 1, k + 1) if 0 <= j < len(level))
        if len(level) > 1 and least and width < most:
            found.append((float(edges[runs[k]] + edges[runs[k + 1]]) / 2, float(width)))
    return found
