"""Certified E T, E[T z], E[T z z^T] of nearly additive u = c - g by the law of u itself: a second, independent route.

Each variable's law is put on a grid by intervals whose masses are integers over 2^50; the law of the sum is a product
of integer polynomials, which is exact. T increases with u, so the grid costs no more than T(u + rho) - T(u - rho).
A quadratic is made nearly additive by an exactly orthogonal rational matrix. Proof: docs/theory/additive.md.
"""

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import flint
import numpy as np
from flint import arb, arb_mat, fmpz_poly
from numpy.typing import NDArray

from mimtheory.additive_forms import NearlyAdditive, nearly_additive, turned_back
from mimtheory.balls import ball_of, normal_density, precision, surd_ball
from mimtheory.dyadic_cells import HALF_WIDTH, CellPolynomial, cube_edge, tail_moment
from mimtheory.piecewise_lines import PiecewiseLine
from mimtheory.polynomials import Polynomial
from mimtheory.weighted_moments import Weighted, weights_of

__all__ = ["additive_laws"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BITS = 128
_ONE = 2**50  # masses are integers over this
_PATCH = 2.0**-4  # on which phi is a Taylor polynomial
_DEGREE = 15
_FIRST_STEP = 2.0**-7
_LONGEST = 1 << 22  # grid points of a law
_DROPPED = 2.0**-32  # mass at either end of a law that is not kept
_NARROWEST = 2.0**-40
_FARTHEST = 2.0**53  # grid points that are counted exactly in doubles
_ROUNDED = 1 + 2.0**-30  # more than the rounding of a few sums and products
_CELL_ERROR = 2.0**-50  # of the mass of one interval: rounding of two antiderivatives, and to integers


def additive_laws(u: Polynomial, line: PiecewiseLine, kept: int, target: float, deadline: float = math.inf) -> Weighted:
    """Enclose E[T(u(z)) w(z)] for z ~ N(0, I_r).

    Parameters
    ----------
    u : Polynomial
        c - g, for which there is a `nearly_additive` form.
    line : PiecewiseLine
        T as a function of u.
    kept : int
        As in `weights_of`.
    target : float
        Radius at which to stop; less is reached where the grid would be too long.
    deadline : float
        Value of time.monotonic() at which to stop with the radius reached.

    Raises
    ------
    ValueError
        For any other u.
    """
    form = nearly_additive(u)
    if form is None:
        raise ValueError(f"u = {u.to_sympy()} is not nearly additive; allowed: see nearly_additive")
    with precision(_BITS):
        best = Weighted.unknown(len(weights_of(u.r, kept)))
        step, began = _FIRST_STEP, time.monotonic()
        while began < deadline:
            laws = _Laws(form, line, kept, target, step, deadline)
            found = None if laws.longest > _LONGEST else laws.expectations()
            if found is None:
                break
            best = found if found.radius < best.radius else best
            # the radius is proportional to the step, the time to its inverse
            now = time.monotonic()
            affordable = min(_LONGEST / laws.longest, (deadline - now) / (1.5 * (now - began)), 2.0**40)
            halvings = min(
                math.ceil(math.log2(best.radius / (0.9 * target))), math.floor(math.log2(max(affordable, 1.0)))
            )
            if best.radius <= target or laws.floor > target or halvings < 1:
                break
            step, began = step / 2**halvings, now
        return best


@dataclass(frozen=True)
class _Law:
    """Masses over 2^50 of z^a phi at the grid points step (first + j), within `error` in total."""

    masses: fmpz_poly
    first: int
    error: float


class _Laws:
    """The laws of one problem on the grid of one step."""

    def __init__(
        self, form: NearlyAdditive, line: PiecewiseLine, kept: int, target: float, step: float, deadline: float
    ) -> None:
        self.form, self.line, self.kept, self.step, self.deadline = form, line, kept, step, deadline
        self.r = len(form.parts)
        self.K = math.nextafter(max(abs(float(x)) for x in (line.constants[0], line.constants[-1])), math.inf)
        edge = cube_edge(self.K * self.r, target / 8, first=3.0)
        self.floor = ((self.K + line.distance) * self.r * tail_moment(2, edge) + line.distance) * _ROUNDED
        self.constant = surd_ball(form.constant)
        sizes = (float(surd_ball(surd).abs_upper()) * edge ** sum(index) for index, surd in form.rest.terms.items())
        self.rho = sum(sizes) * _ROUNDED
        self.kinds: list[Polynomial] = []
        self.kind = []
        for part in form.parts:
            if part not in self.kinds:
                self.kinds.append(part)
            self.kind.append(self.kinds.index(part))
        self.cells = [_Cells(p, edge, step) for p in self.kinds]
        self.levels = self._levels()
        farthest = max(abs(place) for ends in self.levels for place in ends)
        lengths = [self.levels[k][1] - self.levels[k][0] + 1 for k in self.kind]
        self.longest = sum(lengths) if farthest <= _FARTHEST else math.inf
        self._products: dict[tuple[tuple[int, int], ...], _Law | None] = {}

    def expectations(self) -> Weighted | None:
        """Balls; None when time runs out."""
        self.single: dict[tuple[int, int], _Law] = {}
        for k, cells in enumerate(self.cells):
            if time.monotonic() > self.deadline:
                return None
            laws, deviation = cells.laws(*self.levels[k])
            self.rho += deviation * self.kind.count(k)
            self.single.update({(k, a): law for a, law in enumerate(laws)})
        values, spread = [], {}
        for weight in weights_of(self.r, self.kept):
            law = self._law(tuple(zip(self.kind, weight, strict=True)))
            if law is None:
                return None
            sums = _Sums(law)
            values.append(self._mean(sums, law))
            if sum(weight) != 1 and max(weight) != 1:
                spread[weight] = self._spread(sums) + 2 * arb(law.error) * self.K
        return self._balls(values, spread)

    def _levels(self) -> list[tuple[int, int]]:
        """For each kind the grid places at which it is cut off: beyond, T is constant whatever the others are.

        No place is above the range of p where it is cut off from below, or below it where from above: else cells that
        are put there would pass the kinks.
        """
        kinks = [ball_of(k) - self.constant for k in (self.line.kinks[0], self.line.kinks[-1])]
        low, high = float(kinks[0].lower()), float(kinks[1].upper())
        levels = []
        for k, c in enumerate(self.cells):
            # summed without the k-th: a large one would not cancel
            others = [self.cells[j] for j in self.kind]
            others.remove(self.cells[k])
            top, bottom = math.fsum(o.most for o in others), math.fsum(o.least for o in others)
            room = (2 * self.r + 4) * self.step + 2 * self.rho
            room += 2.0**-48 * (abs(low) + abs(high) + abs(top) + abs(bottom))
            below, above = min(low - room - top, c.most), max(high + room - bottom, c.least)
            levels.append(
                (
                    math.floor(max(below, c.least) / self.step),
                    math.ceil(min(above, c.most) / self.step),
                )
            )
        return levels

    def _law(self, key: tuple[tuple[int, int], ...]) -> _Law | None:
        """The product over the variables (kind, power); those without a power come first and are shared."""
        key = tuple(sorted(key, key=lambda pair: (pair[1], pair[0])))
        if len(key) == 1:
            return self.single[key[0]]
        if key not in self._products:
            rest = self._law(key[:-1])
            if rest is None or time.monotonic() > self.deadline:
                return None
            self._products[key] = _times(rest, self.single[key[-1]])
        return self._products[key]

    def _mean(self, sums: "_Sums", law: _Law) -> arb:
        """E[T w] on the grid, without the cost of the grid."""
        total = ball_of(self.line.constants[0]) * sums.above(law.first)
        for kink, jump, bend in self.line.jumps():
            where = (ball_of(kink) - self.constant) / arb(self.step)
            low, high = _floor(where.lower()), _floor(where.upper())
            total += ball_of(jump) * sums.above(high + 1)
            total += ball_of(bend) * arb(self.step) * (sums.first_above(high + 1) - where * sums.above(high + 1))
            for j in range(low + 1, high + 1):  # a grid point that may be the kink itself
                part = sums.above(j) - sums.above(j + 1)
                total += part * (
                    ball_of(jump) * arb(0.5, 0.5) + ball_of(bend) * arb(self.step) * (j - where) * arb(0.5, 0.5)
                )
        return total + arb(0, (arb(law.error) * self.K).upper())

    def _spread(self, sums: "_Sums") -> arb:
        """Bound on E[T(V + rho) - T(V - rho)] for a law without negative masses."""
        rho = self.rho * _ROUNDED
        reach = math.ceil(rho / self.step * (1 + 2.0**-20)) + 1
        places = [_floor(((ball_of(k) - self.constant) / arb(self.step)).lower()) for k in self.line.kinks]
        total = arb(0)
        for place, (_, jump, _) in zip(places, self.line.jumps(), strict=True):
            total += abs(ball_of(jump)) * (sums.above(place - reach) - sums.above(place + reach + 1))
        for (left, right), slope in zip(itertools.pairwise(places), self.line.slopes[1:-1], strict=True):
            inside = sums.above(left - reach) - sums.above(right + reach + 1)
            total += 2 * arb(rho) * ball_of(slope) * inside
        return total

    def _balls(self, values: list[arb], spread: dict[tuple[int, ...], arb]) -> Weighted:
        missed = arb(self.floor)
        half = {}
        for weight, bound in spread.items():
            half[next((k for k, e in enumerate(weight) if e), -1)] = bound
        found = []
        for weight, value in zip(weights_of(self.r, self.kept), values, strict=True):
            axes = [k for k, e in enumerate(weight) for _ in range(e)] or [-1, -1]
            # |z_i| <= (1 + z_i^2)/2 and |z_i z_j| <= (z_i^2 + z_j^2)/2
            first, second = [*axes, -1][:2]
            found.append(value + arb(0, ((half[first] + half[second]) / 2 + missed).upper()))
        return Weighted(turned_back(arb_mat(self.form.Q), found, self.kept), int(self.longest))


def _floor(x: arb) -> int:
    """Of an exact number."""
    whole = x.floor().unique_fmpz()
    assert whole is not None
    return int(whole)


def _times(left: _Law, right: _Law) -> _Law:
    """The law of the sum, its masses rounded down to integers again; ends of little mass are dropped."""
    product = left.masses * right.masses // _ONE
    low = _negligible(product[k] for k in range(len(product)))
    high = _negligible(product[k] for k in range(len(product) - 1, low - 1, -1))
    kept = product.truncate(len(product) - high).right_shift(low)
    # both factors have absolute mass at most 1 + error
    error = left.error + right.error * (1 + left.error) + 2 * _DROPPED + len(product) / _ONE
    return _Law(kept, left.first + right.first + low, error * (1 + 2.0**-20))


def _negligible(masses: Iterator[flint.fmpz]) -> int:
    """How many of the first masses are worth nothing together."""
    spent, allowed = 0, int(_DROPPED * _ONE)
    for k, mass in enumerate(masses):
        spent += abs(int(mass))
        if spent > allowed:
            return k
    return 0


class _Sums:
    """Masses and first moments of a law from a grid point upwards."""

    def __init__(self, law: _Law) -> None:
        masses = [int(c) for c in law.masses.coeffs()]
        self.first = law.first
        places = range(law.first, law.first + len(masses))
        self._mass = [0, *itertools.accumulate(reversed(masses))][::-1]
        self._moment = [
            0,
            *itertools.accumulate(c * j for c, j in zip(reversed(masses), reversed(places), strict=True)),
        ]
        self._moment = self._moment[::-1]

    def above(self, place: int) -> arb:
        """Mass at and above this grid point."""
        return self._at(self._mass, place)

    def first_above(self, place: int) -> arb:
        """Sum of place times mass there."""
        return self._at(self._moment, place)

    def _at(self, sums: list[int], place: int) -> arb:
        return arb(sums[min(max(place - self.first, 0), len(sums) - 1)]) / _ONE


class _Cells:
    """Intervals of [-edge, edge] on which the value of p is known to half a step, or to be beyond where it is cut off.

    Attributes
    ----------
    least, most : float
        Bounds on p.
    """

    def __init__(self, p: Polynomial, edge: float, step: float) -> None:
        self.step = step
        self.polynomial = CellPolynomial(p) if p.terms else None
        self.left = np.arange(-edge, edge, _PATCH)
        self.width = np.full(len(self.left), _PATCH)
        value, spread = self._range(self.left, self.width)
        self.least, self.most = float((value - spread).min()), float((value + spread).max())

    def _range(self, left: Floats, width: Floats) -> tuple[Floats, Floats]:
        """p in the middle, rounded, and a bound on how far p is from that."""
        if self.polynomial is None:
            return np.zeros_like(left), np.zeros_like(left)
        half = width / 2
        taylor, rounding = self.polynomial.taylor((left + half)[:, None], half[:, None])
        spread = rounding + sum((np.abs(c) for (k,), c in taylor.items() if k), np.zeros_like(left))
        return taylor.get((0,), np.zeros_like(left)), spread * (1 + 2.0**-40)

    def laws(self, lowest: int, highest: int) -> tuple[list[_Law], float]:
        """Laws of z^a phi, a = 0, 1, 2, with p cut off at these places, and the largest |p - grid point|."""
        left, width, done = self.left, self.width, []
        while len(left):
            value, spread = self._range(left, width)
            beyond = (value - spread > highest * self.step) | (value + spread < lowest * self.step)
            fine = beyond | (spread <= self.step / 2) | (width < _NARROWEST)
            place = np.clip(np.rint(value / self.step), lowest, highest)
            moved = np.where(beyond, 0.0, np.abs(value - place * self.step) + spread)
            done.append((left[fine], width[fine], place[fine], moved[fine]))
            left, width = left[~fine], width[~fine] / 2
            left, width = np.concatenate([left, left + width]), np.concatenate([width, width])
        left, width, place, moved = (np.concatenate(x) for x in zip(*done, strict=True))
        first = int(place.min())
        laws = []
        for a in range(3):
            units = np.rint(_masses(left, width, a) * float(_ONE)).astype(np.int64)
            total = np.zeros(int(place.max()) - first + 1, dtype=np.int64)
            np.add.at(total, place.astype(np.int64) - first, units if a == 1 else np.maximum(units, 0))
            laws.append(_Law(fmpz_poly(total.tolist()), first, len(units) * _CELL_ERROR))
        return laws, float(moved.max()) * (1 + 2.0**-40)


def _masses(left: Floats, width: Floats, a: int) -> Floats:
    """Integrals of z^a phi over [left, left + width], each within one patch."""
    patch = np.floor(left / _PATCH).astype(np.int64)
    table = _patches()[a]
    rows = table[patch - int(-HALF_WIDTH / _PATCH)]
    middle = (patch + 0.5) * _PATCH
    start, stop = left - middle, left + width - middle
    return _antiderivative(rows, stop) - _antiderivative(rows, start)


def _antiderivative(rows: Floats, s: Floats) -> Floats:
    value = rows[:, -1]
    for n in range(rows.shape[1] - 2, -1, -1):
        value = value * s + rows[:, n]
    return value * s


@lru_cache
def _patches() -> Floats:
    """Taylor coefficients, (3, patches, degree), of the integrals of z^a phi about the middles of the patches."""
    count = int(2 * HALF_WIDTH / _PATCH)
    table = np.empty((3, count, _DEGREE + 1))
    with precision(_BITS):
        for row in range(count):
            x = arb((row + 0.5) * _PATCH - HALF_WIDTH)
            series = flint.arb_series([x, 1], prec=_DEGREE + 1)
            height = normal_density(series)
            for a in range(3):
                c = (series**a * height) if a else height
                table[a, row] = [float(c[n]) / (n + 1) for n in range(_DEGREE + 1)]
    return table
