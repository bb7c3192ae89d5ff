"""Where to look, and where to put panels, on the half circles of many planes: finely where a little angle matters.

Where a homogeneous part of a polynomial has a multiple zero, a small constant sends roots to infinity and back within
a tiny angle (g = z1^2 at level 1e-14), which no even grid sees.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mimtheory.polynomial_roots import ray_roots

__all__ = ["around", "beside", "form_zeros", "lowest_between", "ordered"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NEAR = 0.02  # zeros nearer than this are looked at as one
_RATIO = 16.0
_LEVELS = 13  # 16^-13 is the rounding of an angle
_SAME = 1e-14
_POINTS, _ROUNDS = 8, 12  # a gap of 0.1 shrinks to 0.1 (2/9)^12 = 1e-9


def form_zeros(
    form: Callable[[int, Floats, Integers], Floats], degrees: Integers, planes: int, start: float
) -> tuple[Floats, Integers, NDArray[np.bool_]]:
    """Zeros of the homogeneous parts of a polynomial, real or nearly so, those near each other as one.

    Parameters
    ----------
    form : callable
        Values of the part of a degree at angles of planes.
    degrees : (k,) integers
        Those of the monomials.
    planes : int
        Their number.
    start : float
        Angles are given in [start, start + pi).

    Returns
    -------
    angles, planes, several : (n,) arrays
        The last says where there is more than one zero.
    """
    found = [(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool))]
    every = np.arange(planes)
    for degree in np.unique(degrees[degrees > 0]):
        angles = (np.arange(degree + 1) + 0.5) * np.pi / (degree + 1)
        samples = form(int(degree), np.tile(angles, planes), np.repeat(every, degree + 1))
        found.append(_zeros(samples.reshape(-1, degree + 1), angles))
    angle, plane, several = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return start + (angle - start) % np.pi, plane, several


def _zeros(samples: Floats, angles: Floats) -> tuple[Floats, Integers, NDArray[np.bool_]]:
    """Zeros of a form in each plane from its values (planes, k + 1) at k + 1 angles."""
    degree = len(angles) - 1
    powers = np.arange(degree + 1)
    basis = np.cos(angles)[:, None] ** (degree - powers) * np.sin(angles)[:, None] ** powers
    coefficients: Floats = np.asarray(np.linalg.solve(basis, samples.T).T, dtype=np.float64)
    tangents = ray_roots(coefficients, 0.0, 1.0)
    zeros = np.arctan(tangents)
    offset = zeros[:, None, :] - zeros[:, :, None]
    offset -= np.pi * np.round(offset.real / np.pi)
    near = np.abs(offset) < _NEAR
    count = near.sum(axis=2)
    # the mean of a cluster is known well where its members are not
    mean = zeros + np.where(near, offset, 0).sum(axis=2) / count
    first = np.argmax(near, axis=2) == np.arange(degree)
    plane, k = np.nonzero(first & (np.abs(mean.imag) < _NEAR))
    return mean.real[plane, k], plane, count[plane, k] > 1


def around(centre: Floats, plane: Integers, start: float) -> tuple[Floats, Integers]:
    """Angles that approach each centre geometrically from both sides, in [start, start + pi), and their planes."""
    steps = 0.1 * _RATIO ** -np.arange(float(_LEVELS))
    angles = centre[:, None] + np.concatenate([-steps, [0.0], steps])
    return (start + (angles - start) % np.pi).ravel(), np.repeat(plane, 2 * _LEVELS + 1)


def beside(angle: Floats, plane: Integers, zeros: Floats, owners: Integers) -> tuple[Floats, Integers]:
    """Ends of panels beside critical angles that are next to a zero of a form, wider step by step: there roots come
    from infinity within a tiny angle and average what falls like its inverse (g = z1 z2 at level 1e-12)."""
    distance = np.full(len(angle), np.inf)
    if len(zeros):
        every, owner = ordered([zeros, np.array([])], [owners, np.zeros(0, dtype=np.int64)])
        after = np.searchsorted(8.0 * owner + every, 8.0 * plane + angle)
        for k in (np.clip(after - 1, 0, len(every) - 1), np.clip(after, 0, len(every) - 1)):
            distance = np.minimum(distance, np.where(owner[k] == plane, np.abs(every[k] - angle), np.inf))
    away = np.maximum(distance, _SAME)[:, None] * _RATIO ** np.arange(_LEVELS)
    k, step = np.nonzero((away < 0.1) & (distance < 0.1 / _RATIO)[:, None])
    return np.concatenate([angle[k] - away[k, step], angle[k] + away[k, step]]), np.tile(plane[k], 2)


def lowest_between(
    distances: Callable[[Floats, Integers], Floats], angle: Floats, plane: Integers
) -> tuple[Floats, Integers]:
    """Angles between those of a grid where one of several distances (n, k) from the line has a minimum that may be 0.

    A root at distance 0 turns away from the line by the angle by which the line turns away from it, or by some times as
    much where its oval is long. So what is farther off than the gap of the grid at its lowest angle is none.
    """
    found = distances(angle, plane)
    gap = np.where(plane[2:] == plane[:-2], angle[2:] - angle[:-2], 0.0)[:, None]
    middle = found[1:-1]
    k, column = np.nonzero((middle > 0) & (middle < gap) & (middle <= found[:-2]) & (middle <= found[2:]))
    low, high, owner, every = angle[k], angle[k + 2], plane[k], np.arange(len(k))
    on_line = np.count_nonzero(middle[k] == 0, axis=1)[:, None]
    for _ in range(_ROUNDS if len(k) else 0):
        points = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _POINTS + 2)
        inner = points[:, 1:-1]
        values = distances(inner.ravel(), np.repeat(owner, _POINTS)).reshape(*inner.shape, -1)
        # where roots have come to the line the order of the others is another
        met = np.count_nonzero(values == 0, axis=2) != on_line
        lowest = np.argmin(np.where(met, 0.0, values[every, :, column]), axis=1)
        low, high = points[every, lowest], points[every, lowest + 2]
    return (low + high) / 2, owner


def ordered(angles: list[Floats], planes: list[Integers]) -> tuple[Floats, Integers]:
    """All of them, by plane and then by angle."""
    angle, plane = np.concatenate(angles), np.concatenate(planes)
    order = np.lexsort((angle, plane))
    return angle[order], plane[order]
