"""Boxes with dyadic corners in R^r: ranges of a polynomial on many at once, and Gaussian moments of their sides.

Everything is done in doubles with a proven bound on the rounding; what is transcendental is enclosed by Arb, one
number for each distinct side. Proofs: docs/theory/certified.md.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from mimtheory.balls import double_of, half_normal_mass, normal_density, precision, surd_ball
from mimtheory.polynomials import Polynomial
from mimtheory.rounding import gamma_above

__all__ = ["HALF_WIDTH", "CellPolynomial", "SideTable", "cube_edge", "cubes", "tail_moment"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HALF_WIDTH = 8.0  # the cube [-8, 8]^r holds all but 1.3e-15 r of the Gaussian mass
_BITS = 256


@dataclass(frozen=True)
class _Term:
    """One Taylor coefficient: sum of coefficient * m^(power) over the monomials, times h^order."""

    order: tuple[int, ...]
    parts: tuple[tuple[float, tuple[int, ...]], ...]


class CellPolynomial:
    """A polynomial that is evaluated on boxes m + h [-1, 1]^r.

    Parameters
    ----------
    polynomial : Polynomial
        Of r variables, exact.

    Attributes
    ----------
    coefficients : dict of index to float
        Nearest doubles of the coefficients, each within a relative error of 2^-51.
    roundings : int
        Roundings that a sum of Taylor coefficients may meet.
    """

    def __init__(self, polynomial: Polynomial) -> None:
        self.r = polynomial.r
        with precision(_BITS):
            self.coefficients = {i: _double(surd_ball(surd)) for i, surd in sorted(polynomial.terms.items())}
        self.even = tuple(all(i[k] % 2 == 0 for i in self.coefficients) for k in range(self.r))
        self.degrees = tuple(max((i[k] for i in self.coefficients), default=0) for k in range(self.r))
        orders = sorted({a for b in self.coefficients for a in itertools.product(*(range(k + 1) for k in b))})
        self._terms = tuple(_Term(a, self._parts(a)) for a in orders)
        self.roundings = 8 + 2 * sum(self.degrees) + 2 * self.r + len(self.coefficients) + len(self._terms)

    def _parts(self, order: tuple[int, ...]) -> tuple[tuple[float, tuple[int, ...]], ...]:
        parts = []
        for index, c in self.coefficients.items():
            if all(a <= b for a, b in zip(order, index, strict=True)):
                factor = math.prod(math.comb(b, a) for a, b in zip(order, index, strict=True))
                parts.append((c * factor, tuple(b - a for a, b in zip(order, index, strict=True))))
        return tuple(parts)

    def taylor(self, middle: Floats, half: Floats) -> tuple[dict[tuple[int, ...], Floats], Floats]:
        """Coefficients T_a of g(m + h t) = sum_a T_a t^a for many boxes, and a bound on their summed rounding errors.

        Parameters
        ----------
        middle, half : (n, r) arrays
            Centres and half widths, exact doubles.
        """
        m = [_powers(middle[:, k], self.degrees[k]) for k in range(self.r)]
        h = [_powers(half[:, k], self.degrees[k]) for k in range(self.r)]
        values = {}
        for term in self._terms:
            total = np.zeros(len(middle))
            for c, power in term.parts:
                product: Floats = np.full(len(middle), c)
                for k, e in enumerate(power):
                    if e:
                        product = product * m[k][e]
                total = total + product
            for k, e in enumerate(term.order):
                if e:
                    total = total * h[k][e]
            values[term.order] = total
        size = np.zeros(len(middle))
        reach = [_powers(np.abs(middle[:, k]) + half[:, k], self.degrees[k]) for k in range(self.r)]
        for index, c in self.coefficients.items():
            size = size + abs(c) * math.prod((reach[k][e] for k, e in enumerate(index)), start=np.ones(len(middle)))
        # sum_a |exact T_a| of the absolute polynomial is its value at |m| + h, here `size` up to its own rounding
        return values, size * (gamma_above(self.roundings) * (1 + 2 * gamma_above(self.roundings)))


def _accurate(ball: flint.arb) -> bool:
    """Whether float(ball) is within 2^-51 of the number, in relative size: Arb's own rounding is within 2^-52."""
    return ball.rel_accuracy_bits() >= 70 or ball.is_zero()


def _double(ball: flint.arb) -> float:
    if not _accurate(ball):
        raise ArithmeticError(f"the coefficient {ball} is not known to a double at {_BITS} bits")
    return float(ball)


def _powers(x: Floats, most: int) -> list[Floats]:
    powers = [np.ones_like(x), x]
    for _ in range(most - 1):
        powers.append(powers[-1] * x)
    return powers


class SideTable:
    """Gaussian moments of intervals [lower, lower + width] within [-8, 8] that do not contain 0 inside.

    Parameters
    ----------
    order : int
        Highest moment.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self._bits = _BITS
        self._ends: dict[float, tuple[list[flint.arb], flint.arb]] = {}
        self._rows: dict[tuple[float, float], list[float]] = {}

    def moments(self, lower: Floats, width: Floats) -> tuple[Floats, Floats, Floats]:
        """Integrals of z^k phi(z) over each interval, (n, order + 1), and phi at its inner and outer end, (n,) each.

        The inner end is the one nearer to 0. Relative errors are at most 2^-51.
        """
        if np.ptp(width) == 0:  # a sort of numbers is much faster than one of pairs
            starts, inverse = np.unique(lower, return_inverse=True)
            pairs = np.stack([starts, np.full(len(starts), width[0])])
        else:
            pairs, inverse = np.unique(np.stack([lower, width]), axis=1, return_inverse=True)
        table = np.array(self._all_rows([(float(start), float(length)) for start, length in pairs.T]))[inverse.ravel()]
        return table[:, : self.order + 1], table[:, -2], table[:, -1]

    def _all_rows(self, pairs: list[tuple[float, float]]) -> list[list[float]]:
        """Moments and densities of these sides, at as many bits as the smallest of them needs."""
        rows: list[list[float]] = []
        while len(rows) < len(pairs):
            with precision(self._bits):
                for pair in pairs[len(rows) :]:
                    # the variables of a box, and the sums over its halves, meet the same sides again
                    row = self._rows.get(pair) or self._row(*pair)
                    if row is None:
                        self._bits *= 2
                        self._ends.clear()
                        self._rows.clear()
                        break
                    self._rows[pair] = row
                    rows.append(row)
        return rows

    def _row(self, start: float, length: float) -> list[float] | None:
        """Moments and densities of one side, None where the bits are too few."""
        (low, low_density), (high, high_density) = self._end(start), self._end(start + length)
        densities = (low_density, high_density) if start >= 0 else (high_density, low_density)
        balls = (*(b - a for a, b in zip(low, high, strict=True)), *densities)
        return [float(ball) for ball in balls] if all(map(_accurate, balls)) else None

    def _end(self, x: float) -> tuple[list[flint.arb], flint.arb]:
        """Antiderivatives of z^k phi at x, and phi(x): A_k = -x^(k-1) phi + (k - 1) A_(k-2)."""
        if x not in self._ends:
            z = flint.arb(x)
            density = normal_density(z)
            values = [half_normal_mass(z), -density]
            power = z
            for k in range(2, self.order + 1):
                values.append((k - 1) * values[k - 2] - power * density)
                power *= z
            self._ends[x] = values[: self.order + 1], density
        return self._ends[x]


def cubes(even: Sequence[bool], width: float) -> Floats:
    """Lower corners (n, r) of the cubes of this width in [-8, 8]^r, only those with z_k >= 0 where even[k]."""
    axes = [np.arange(0.0 if half else -HALF_WIDTH, HALF_WIDTH, width) for half in even]
    return np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)


def tail_moment(power: int, edge: float = HALF_WIDTH) -> float:
    """Upper bound on E[|z|^power; |z| > edge] for power 0, 1, 2 or 4."""
    with precision(_BITS):
        z = flint.arb(edge)
        density = 2 * normal_density(z)
        beyond = (z / flint.arb(2).sqrt()).erfc()
        square = z * density + beyond
        moments = {0: beyond, 1: density, 2: square, 4: z**3 * density + 3 * square}
        value, radius = double_of(moments[power])
    return math.nextafter(value + radius, math.inf)


def cube_edge(size: float | flint.arb, allowed: float, first: float) -> float:
    """The least edge of first, first + 1/4, ... at which size E[|z|^2; |z| > edge] < allowed; at most HALF_WIDTH."""
    edge = first
    while edge < HALF_WIDTH and not size * tail_moment(2, edge) < allowed:
        edge += 0.25
    return edge
