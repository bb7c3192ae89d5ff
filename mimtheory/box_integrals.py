"""Certified E T, E[T z], E[T z z^T] by dyadic boxes: the T of kinked losses, up to four variables, no root is sought.

T = l'(c - g(z)) is a piecewise line in u = c - g. Where a box lies in one piece the integral is exact in terms of
Gaussian moments of its sides. Where a kink crosses it, u is replaced by its linear part, for which the integral over
the cube is a formula; what that costs is bounded. Proof and rates: docs/theory/certified.md.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimtheory.balls import widened
from mimtheory.box_sums import BoxSums
from mimtheory.dyadic_cells import CellPolynomial, SideTable, tail_moment
from mimtheory.piecewise_lines import PiecewiseLine
from mimtheory.polynomials import Polynomial
from mimtheory.rounding import UNIT, gamma_above
from mimtheory.weighted_moments import Weighted, weights_of

__all__ = ["box_integrals", "box_ranges", "pieces_in"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MOST_KINKS = 3  # beyond that many in one box its bound is crude: it is split anyway
_STEEP = {1: 1e-9, 2: 1e-6, 3: 1e-4, 4: 1e-3}  # smallest slope relative to the largest that the formula is given
_ROUNDED = 1 + 2.0**-40  # bounds are sums of less than 2^11 rounded non-negative terms


def box_integrals(
    u: Polynomial, line: PiecewiseLine, kept: int, target: float, deadline: float = math.inf, most: int = 4_000_000
) -> Weighted:
    """Enclose E[T(u(z)) w(z)] for z ~ N(0, I_r).

    Parameters
    ----------
    u : Polynomial
        c - g, of at most four variables.
    line : PiecewiseLine
        T as a function of u.
    kept : int
        As in `weights_of`.
    target : float
        Radius at which to stop.
    deadline : float
        Value of time.monotonic() at which to stop with the radius reached.
    most : int
        Number of boxes at which to stop.
    """
    work = _Boxes(u, line, kept)
    cells = work.run(target, deadline, most)
    if not cells:
        return Weighted.unknown(len(work.weights))
    live = iter(range(len(work.live)))
    totals = [work.total(next(live)) if alive else (0.0, 0.0) for alive in work.alive]
    return Weighted(tuple(widened(*total) for total in totals), cells)


class _Boxes(BoxSums):
    """The integrals over boxes of one problem."""

    def __init__(self, u: Polynomial, line: PiecewiseLine, kept: int) -> None:
        r = u.r
        self.u, self.line = u, line
        self.g = CellPolynomial(u)
        self.weights = weights_of(r, kept)
        # a weight that is odd in a variable in which u is even integrates to 0 exactly, and needs no boxes
        self.alive = [all(a % 2 == 0 or not even for a, even in zip(w, self.g.even, strict=True)) for w in self.weights]
        self.live = [w for w, alive in zip(self.weights, self.alive, strict=True) if alive]
        self.sides = SideTable(max(self.g.degrees) + 2)
        self.kinks, self.constants, self.slopes = line.doubles()
        self.jumps = [(float(j), float(b)) for _, j, b in line.jumps()]
        self.K = max(abs(self.constants[0]), abs(self.constants[-1]))
        # outside the cube |T| <= K; E|w| <= 1, so the distance of the line from T costs no more than itself
        floor = ((self.K + line.distance) * r * tail_moment(2) + line.distance) * _ROUNDED
        super().__init__(self.g.even, len(self.live), floor)

    def integrate(self, lower: Floats, width: float) -> tuple[Floats, Floats]:
        """Values and error bounds (n, live weights)."""
        half = np.full(lower.shape, width / 2)
        taylor, rounding = self.g.taylor(lower + half, half)
        low, high, curved = box_ranges(taylor, rounding)
        below, above = pieces_in(self.kinks, low, high)
        boxes = _Sides(self.sides, self.live, lower, width)
        values, errors = self._linear(boxes, below)
        crossed = np.flatnonzero(below != above)
        if len(crossed):
            part = boxes.some(crossed)
            crude = self._crude(part, low[crossed], high[crossed], below[crossed], above[crossed])
            slope = np.stack([taylor.get(_unit(k, self.u.r), np.zeros(len(lower)))[crossed] for k in range(self.u.r)])
            constant = taylor[(0,) * self.u.r][crossed]
            line = _Linear(constant, slope, curved[crossed])
            fine = self._fine(part, line, below[crossed], above[crossed], values[crossed], errors[crossed])
            better = (fine[1].max(axis=1) < crude[1].max(axis=1))[:, None]
            values[crossed], errors[crossed] = (np.where(better, f, c) for f, c in zip(fine, crude, strict=True))
        return values, errors * _ROUNDED

    def _linear(self, boxes: "_Sides", piece: Integers) -> tuple[Floats, Floats]:
        """Integrals of the linear piece of this number over each box."""
        a, b = self.constants[piece], self.slopes[piece]
        values = a[:, None] * boxes.mass
        sizes = np.abs(values)
        sloped = np.flatnonzero(b)
        if len(sloped):
            some = boxes.some(sloped)
            for index, c in self.g.coefficients.items():
                product = (c * b[sloped])[:, None] * some.moments(index)
                values[sloped] += product
                sizes[sloped] += np.abs(product)
        # the constants of the piece, the coefficient and each moment are rounded once, then multiplied and added
        return values, gamma_above(12 + 6 * self.u.r + len(self.g.coefficients)) * sizes

    def _crude(
        self, boxes: "_Sides", low: Floats, high: Floats, below: Integers, above: Integers
    ) -> tuple[Floats, Floats]:
        """T between its values at the ends of the range of u: T increases, because the loss is convex."""
        least = self.constants[below] + self.slopes[below] * low
        most = self.constants[above] + self.slopes[above] * high
        size = np.abs(boxes.mass)
        rounding = 16 * UNIT * (self.K + self.slopes.max() * (np.abs(low) + np.abs(high) + np.abs(self.kinks).max()))
        return (least + most)[:, None] / 2 * boxes.mass, ((most - least) / 2 + rounding)[:, None] * size

    def _fine(
        self, boxes: "_Sides", line: "_Linear", below: Integers, above: Integers, values: Floats, errors: Floats
    ) -> tuple[Floats, Floats]:
        """The piece below all kinks of the box, plus a jump and a bend of the linear part of u at each of them."""
        values, errors = values.copy(), errors.copy()
        errors[above - below > _MOST_KINKS] = np.inf
        for step in range(_MOST_KINKS):
            rows = np.flatnonzero((above - below > step) & (above - below <= _MOST_KINKS))
            for kink in np.unique(below[rows] + step):
                chosen = rows[below[rows] + step == kink]
                more, error = self._kink(boxes.some(chosen), line.some(chosen), int(kink))
                values[chosen] += more
                errors[chosen] += error
        return values, errors + gamma_above(8) * np.abs(values)

    def _kink(self, boxes: "_Sides", line: "_Linear", kink: int) -> tuple[Floats, Floats]:
        """Integrals of jump 1(u > k) + bend (u - k)_+."""
        jump, bend = self.jumps[kink]
        cube = line.above(self.kinks[kink], _STEEP[self.u.r])
        size, most = np.abs(boxes.mass), boxes.most * boxes.volume
        spread = (boxes.most - boxes.least) * boxes.volume + gamma_above(64 * self.u.r) * most
        values, errors = np.zeros_like(boxes.mass), np.zeros_like(boxes.mass)
        if jump:
            values += jump * cube.share[:, None] * boxes.mass
            errors += jump * (cube.slab[:, None] * most + spread / 4 + cube.share_error[:, None] * size)
        if bend:
            values += bend * cube.mean[:, None] * boxes.mass
            errors += abs(bend) * (
                cube.distance[:, None] * most + cube.top[:, None] * spread / 4 + cube.mean_error[:, None] * size
            )
        return values, errors + gamma_above(16 + 6 * self.u.r) * np.abs(values)


def _unit(k: int, r: int) -> tuple[int, ...]:
    return tuple(int(i == k) for i in range(r))


def box_ranges(taylor: dict[tuple[int, ...], Floats], rounding: Floats) -> tuple[Floats, Floats, Floats]:
    """Lower and upper bound of the polynomial on each box, and a bound on what its linear part misses."""
    low, high, curved = -rounding, rounding.copy(), rounding.copy()
    for order, value in taylor.items():
        if not any(order):
            low, high = low + value, high + value
        elif all(a % 2 == 0 for a in order):
            low, high = low + np.minimum(value, 0), high + np.maximum(value, 0)
        else:
            low, high = low - np.abs(value), high + np.abs(value)
        if sum(order) > 1:
            curved = curved + np.abs(value)
    return low, high, curved


def pieces_in(kinks: Floats, low: Floats, high: Floats) -> tuple[Integers, Integers]:
    """Number of kinks that are surely below u, and that may be below u, where low <= u <= high."""
    up, down = np.nextafter(kinks, np.inf), np.nextafter(kinks, -np.inf)
    return np.searchsorted(up, low, side="right"), np.searchsorted(down, high, side="left")


class _Sides:
    """Moments, extreme values of |w| phi, and volume of many boxes.

    Attributes
    ----------
    mass, most, least : (n, weights) arrays
        Integrals of w phi, largest and smallest |w| phi.
    volume : (n, 1) array
    """

    def __init__(self, table: SideTable, weights: list[tuple[int, ...]], lower: Floats, width: float) -> None:
        self._weights = weights
        r = lower.shape[1]
        sides = [table.moments(lower[:, k], np.full(len(lower), width)) for k in range(r)]
        self._moments = [side[0] for side in sides]
        upper = lower + width
        inner, outer = np.minimum(np.abs(lower), np.abs(upper)), np.maximum(np.abs(lower), np.abs(upper))
        self.mass = self.moments((0,) * r)
        self.most, self.least = np.ones_like(self.mass), np.ones_like(self.mass)
        for column, weight in enumerate(weights):
            for k, a in enumerate(weight):
                self.most[:, column] *= outer[:, k] ** a * sides[k][1]
                self.least[:, column] *= inner[:, k] ** a * sides[k][2]
        self.volume = np.full((len(lower), 1), width**r)

    def moments(self, index: tuple[int, ...]) -> Floats:
        """Integrals of z^index w phi, (n, weights)."""
        columns = []
        for weight in self._weights:
            product = self._moments[0][:, index[0] + weight[0]]
            for k in range(1, len(index)):
                product = product * self._moments[k][:, index[k] + weight[k]]
            columns.append(product)
        return np.stack(columns, axis=1)

    def some(self, rows: Integers) -> "_Sides":
        """The boxes of these numbers."""
        part = object.__new__(_Sides)
        part._weights, part._moments = self._weights, [m[rows] for m in self._moments]
        part.mass, part.most, part.least = self.mass[rows], self.most[rows], self.least[rows]
        part.volume = self.volume[rows]
        return part


@dataclass(frozen=True)
class _CubeAverages:
    """Averages over the cube [-1, 1]^r of a linear function L that is within `distance` of u - kink.

    Attributes
    ----------
    share, mean : (n,) arrays
        Share of the cube where L > 0, and average of L_+; within share_error and mean_error.
    slab : (n,) array
        Bound on the share where |L| <= distance.
    top : (n,) array
        Bound on L_+.
    """

    share: Floats
    share_error: Floats
    mean: Floats
    mean_error: Floats
    slab: Floats
    top: Floats
    distance: Floats


@dataclass(frozen=True)
class _Linear:
    """constant + slope . t on [-1, 1]^r, within `curved` of u. Shapes (n,), (r, n), (n,)."""

    constant: Floats
    slope: Floats
    curved: Floats

    def some(self, rows: Integers) -> "_Linear":
        """The boxes of these numbers."""
        return _Linear(self.constant[rows], self.slope[:, rows], self.curved[rows])

    def above(self, kink: float, steep: float) -> _CubeAverages:
        """Averages of (L - kink)_+^0 and ^1 by the formula of the corners, after making small slopes steeper."""
        r = len(self.slope)
        largest = np.maximum(np.abs(self.slope).max(axis=0), 1e-150 + self.curved * 1e-9)
        slope = np.maximum(np.abs(self.slope), steep * largest)
        constant = self.constant - kink
        distance = self.curved + (slope - np.abs(self.slope)).sum(axis=0)
        distance = distance + 4 * UNIT * (np.abs(self.constant) + 2 * abs(kink) + slope.sum(axis=0))
        edge = slope.sum(axis=0)
        inside = np.clip(constant, -edge, edge)  # beyond, L has one sign
        share, mean = np.zeros_like(edge), np.zeros_like(edge)
        for signs in itertools.product((1, -1), repeat=r):
            corner = np.maximum(inside + np.tensordot(signs, slope, 1), 0) / largest
            share += math.prod(signs) * corner**r
            mean += math.prod(signs) * corner ** (r + 1)
        scale = math.factorial(r) * np.prod(2 * slope / largest, axis=0)
        top = (edge + np.abs(inside)) / largest
        share_error = gamma_above(4 * r * r + 32) * 2**r * top**r / scale
        mean_error = gamma_above(4 * r * r + 32) * 2**r * top ** (r + 1) * largest / (scale * (r + 1))
        mean = np.maximum(mean / scale * largest / (r + 1), 0) + np.maximum(constant - edge, 0)
        return _CubeAverages(
            np.clip(share / scale, 0, 1),
            share_error,
            mean,
            mean_error + gamma_above(8) * np.abs(constant),
            np.minimum(1.0, distance / largest),
            np.maximum(constant + edge, 0),
            distance,
        )
