"""Integrals over many segments at once by Gauss-Legendre rules: segments that are not resolved yet are bisected."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mimtheory.rounding import EPS

__all__ = ["NODES", "integrate_segments"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Integrand = Callable[[Floats, Integers], Floats]

_TINY = float(np.finfo(np.float64).tiny)
_ORDER = 15
NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)
# Coefficients of the three highest Legendre polynomials that the nodes determine: their size tells how well the
# panel is resolved.
_HIGHEST = np.stack([_WEIGHTS * special.eval_legendre(k, NODES) * (2 * k + 1) / 2 for k in range(_ORDER - 3, _ORDER)]).T
_NOISE = 2 * float(np.linalg.norm(np.abs(_HIGHEST).sum(axis=0)))  # the most that an error shows of noise of size 1
_MAX_BISECTIONS = 60


def integrate_segments(
    integrand: Integrand,
    lower: Floats,
    upper: Floats,
    owner: Integers,
    owners: int,
    relative: float,
    floor: Floats | float = 0.0,
    budget: float = math.inf,
    doubted: bool = False,
) -> tuple[Floats, Floats, Floats]:
    """Integrate a vector function over many segments, bisecting the unresolved ones all at once.

    Parameters
    ----------
    integrand : callable
        Takes x of shape (k, n) and the owners of its rows (k,), returns values of shape (q, k, n).
    lower, upper : (k,) arrays
        Ends of the segments.
    owner : (k,) integers
        The integral to which a segment contributes.
    owners : int
        Number of integrals.
    relative : float
        Error allowed on each final segment, in units of the largest integral of the absolute value.
    floor : float, (q,) or (q, owners) array
        Error that is allowed in any case; needed where the integrand may vanish up to rounding.
    budget : float
        Number of segments that may be evaluated; where it ends, the least resolved are bisected first.
    doubted : bool
        The second half of the functions bounds what rounding does to the first half: it is integrated along, and no
        segment is bisected for less than its integral there.

    Returns
    -------
    values, errors, sizes : (owners, q) arrays
        Sizes are the integrals of the absolute value at first sight. The error of a segment is 4 s (e/s)^1.5 with e
        the size of its highest Legendre coefficients and s that of the integrand: pessimistic for analytic
        integrands (the rule converges like e^2), fair at a square root or a logarithm.
    """
    values: Floats | None = None
    errors = sizes = limit = np.zeros((0, 0))
    for bisection in range(_MAX_BISECTIONS + 1):
        half = (upper - lower) / 2
        samples = integrand(lower[:, None] + half[:, None] * (1 + NODES), owner)
        part = half * (samples @ _WEIGHTS)
        size = half * (np.abs(samples) @ _WEIGHTS)
        roughness = half * np.sqrt(np.sum((samples @ _HIGHEST) ** 2, axis=-1))
        error = 4 * roughness * np.sqrt(np.minimum(1.0, roughness / np.maximum(size, _TINY)))
        if values is None:
            values, errors = np.zeros((owners, len(part))), np.zeros((owners, len(part)))
            sizes = np.stack([np.bincount(owner, row, owners) for row in size], axis=1)
            floor = np.asarray(floor)[:, None] if np.ndim(floor) == 1 else floor
            limit = np.broadcast_to(np.maximum(relative * sizes.max(axis=0)[:, None], floor), (len(part), owners))
        # below the rounding of the sum itself no bisection helps
        allowed = np.maximum(limit[:, owner], 8 * EPS * size)
        if doubted:
            half_of_them = len(part) // 2
            allowed[:half_of_them] = np.maximum(allowed[:half_of_them], _NOISE * part[half_of_them:])
            allowed[half_of_them:] = np.inf
        # no bisection makes a number of what overflows
        open_ = np.any(error > allowed, axis=0) & np.isfinite(error).all(axis=0)
        open_ &= half > 4 * EPS * np.maximum(np.abs(lower), np.abs(upper))
        budget -= len(owner)
        _keep_worst(open_, (error / np.maximum(allowed, _TINY)).max(axis=0), budget / 2)
        if bisection == _MAX_BISECTIONS:
            open_[:] = False
        done = ~open_
        for j in range(len(part)):
            values[:, j] += np.bincount(owner[done], part[j, done], owners)
            errors[:, j] += np.bincount(owner[done], error[j, done], owners)
        if not open_.any():
            break
        middle = (lower + half)[open_]
        lower, upper = np.concatenate([lower[open_], middle]), np.concatenate([middle, upper[open_]])
        owner = np.concatenate([owner[open_], owner[open_]])
    assert values is not None
    return values, errors, sizes


def _keep_worst(open_: NDArray[np.bool_], badness: Floats, most: float) -> None:
    """Leave at most `most` entries of open_ true, those of the largest badness."""
    if np.count_nonzero(open_) > most:
        order = np.argsort(-np.where(open_, badness, -1.0), kind="stable")
        open_[order[max(0, int(most)) :]] = False
