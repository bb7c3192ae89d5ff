"""Eigenvalues of a symmetric matrix of balls: proven rank, signs and bounds, by two independent routes.

Route 1 diagonalises approximately and bounds what is left by Gershgorin and Ostrowski; it is safe with multiple
eigenvalues. Route 2 counts the roots of the characteristic polynomial beyond a point by Descartes' rule of signs,
exact for real roots. Proofs: docs/theory/certified.md.
"""

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import flint
import numpy as np
from flint import arb, arb_mat

from mimtheory.balls import bounds, midpoint_and_radius, precision

__all__ = ["SpectrumBounds", "counted_inertia", "proved_signs", "spectrum_bounds"]

_BITS = 256
_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class SpectrumBounds:
    """What is proved of the eigenvalues of every symmetric matrix within the balls.

    Attributes
    ----------
    rank_at_least : int
    inertia : (int, int) or None
        Number of positive and negative eigenvalues where all are away from 0.
    least, most : float
        least <= |eigenvalue| <= most for all of them.
    """

    rank_at_least: int
    inertia: tuple[int, int] | None
    least: float
    most: float


def spectrum_bounds(C: arb_mat) -> SpectrumBounds:
    """Route 1. The eigenvalues of Q^T C Q are those of C times factors between the extreme eigenvalues of Q^T Q."""
    r = C.nrows()
    if not all(entry.is_finite() for entry in C.entries()):
        return SpectrumBounds(0, None, 0.0, math.inf)
    unit = _unit(C)
    with precision(_BITS):
        scaled = C * (1 / unit)
    middle = np.array([[float(scaled[i, j].mid()) for j in range(r)] for i in range(r)])
    _, vectors = np.linalg.eigh((middle + middle.T) / 2)
    with precision(_BITS):
        Q = arb_mat([[arb(float(x)) for x in row] for row in vectors])
        turned, gram = Q.transpose() * scaled * Q, Q.transpose() * Q
        stretch = [_row(gram, k) for k in range(r)]
        smallest, largest = min(low for low, _ in stretch), max(high for _, high in stretch)
        rows = [_row(turned, k) for k in range(r)]
    if not smallest > 0:
        raise ArithmeticError("the approximate eigenvectors are not independent")
    away = [max(low, -high, 0.0) for low, high in rows]
    farthest = max(max(abs(low), abs(high)) for low, high in rows)
    inertia = None
    if min(away) > 0:
        inertia = sum(low > 0 for low, _ in rows), sum(high < 0 for _, high in rows)
    exactly = midpoint_and_radius(unit)[0]  # doubles hold the eigenvalues in units of it
    least, most = exactly * Fraction(min(away)) / Fraction(largest), exactly * Fraction(farthest) / Fraction(smallest)
    if inertia is not None and counted_inertia(C, _down(least), _up(most)) != inertia:
        # Weyl may be weaker by the radii; a bound that only one route proves is not worth having
        moved = max(sum(midpoint_and_radius(C[i, j])[1] for j in range(r)) for i in range(r))
        least, most = max(least - moved, Fraction(0)), most + moved
    return SpectrumBounds(_outside(rows), inertia if least else None, _down(least), _up(most))


def _unit(C: arb_mat) -> arb:
    """The power of two next to the largest midpoint of an entry."""
    exponents = [m.bit_length() + int(e) for m, e in (entry.mid().man_exp() for entry in C.entries()) if m]
    return arb(2) ** max(exponents, default=0)


def _row(M: arb_mat, k: int) -> tuple[float, float]:
    """Ends of the interval of Gershgorin of row k."""
    off = sum((abs(M[k, j]) for j in range(M.ncols()) if j != k), arb(0))
    return bounds(M[k, k] - off)[0], bounds(M[k, k] + off)[1]


def _outside(rows: list[tuple[float, float]]) -> int:
    """Number of intervals that a gap separates, on both sides, from those that contain 0.

    A union of intervals apart from the others holds as many eigenvalues as intervals.
    """
    order = sorted(rows)
    inner = [row for row in order if row[0] <= 0 <= row[1]]
    if not inner:
        return len(rows)
    low, high = min(a for a, _ in inner), max(b for _, b in inner)
    grown = True
    while grown:
        touching = [row for row in order if row[0] <= high and row[1] >= low]
        new = min(a for a, _ in touching), max(b for _, b in touching)
        grown = new != (low, high)
        low, high = new
    return sum(1 for a, b in order if a > high or b < low)


def _down(x: Fraction) -> float:
    """Eight digits that are below x by at least 1e-9 x; 0 for 0."""
    return _decimal(x * (1 - Fraction(1, 10**9)), math.floor)


def _up(x: Fraction) -> float:
    return _decimal(x * (1 + Fraction(1, 10**9)), math.ceil)


def _decimal(x: Fraction, towards: Callable[[Fraction], int]) -> float:
    if x == 0:
        return 0.0
    places = 8 - math.ceil(math.log10(x.numerator) - math.log10(x.denominator))
    value = Fraction(towards(x * Fraction(10) ** places)) / Fraction(10) ** places
    if value > _LARGEST:
        return _LARGEST if towards is math.floor else math.inf
    nearest = float(value)
    if towards is math.floor and Fraction(nearest) > x:
        return math.nextafter(nearest, 0.0)
    return math.nextafter(nearest, math.inf) if towards is math.ceil and Fraction(nearest) < x else nearest


def counted_inertia(C: arb_mat, least: float, most: float) -> tuple[int, int] | None:
    """Route 2: the signs of the eigenvalues if least <= |eigenvalue| <= most is proved for all of them, else None.

    By Weyl the eigenvalues of a matrix within the balls are those of the exact midpoint, moved by at most the largest
    row sum of the radii. Those of the midpoint are counted in rational arithmetic.
    """
    r = C.nrows()
    if not all(entry.is_finite() for entry in C.entries()):
        return None
    entries = [[midpoint_and_radius(C[i, j]) for j in range(r)] for i in range(r)]
    moved = max(sum(radius for _, radius in row) for row in entries)
    middle = [[x for x, _ in row] for row in entries]
    inside = Fraction(least) + moved
    positive, negative = _above(middle, inside), _above(_negated(middle), inside)
    beyond = 0
    if math.isfinite(most):
        outside = Fraction(most) - moved
        beyond = _above(middle, outside) + _above(_negated(middle), outside)
    return (positive, negative) if positive + negative == r and beyond == 0 else None


def proved_signs(C: arb_mat, counted: bool) -> tuple[int, int] | None:
    """The inertia of every matrix in the balls, where it is proved; by counting alone if that is asked for, as of exact
    matrices, whose small eigenvalues may be those of no double."""
    inertia = spectrum_bounds(C).inertia
    return counted_inertia(C, 0.0, math.inf) if inertia is None and counted else inertia


def _above(M: list[list[Fraction]], point: Fraction) -> int:
    """How many eigenvalues of the symmetric M exceed the point: changes of sign in the polynomial of M - point.

    All its roots are real, so Descartes' rule of signs counts the positive ones exactly.
    """
    rows = [
        [flint.fmpq(x.numerator, x.denominator) for x in (*row[:i], row[i] - point, *row[i + 1 :])]
        for i, row in enumerate(M)
    ]
    signs = [c > 0 for c in flint.fmpq_mat(rows).charpoly().coeffs() if c != 0]
    return sum(a != b for a, b in itertools.pairwise(signs))


def _negated(M: list[list[Fraction]]) -> list[list[Fraction]]:
    return [[-x for x in row] for row in M]
