"""Certified E[T^2 |z|^4], which bounds the error of the empirical signal block: dyadic boxes, up to four variables.

Where a box lies in one piece of T the integral of (a + b u)^2 |z|^4 is exact in Gaussian moments; elsewhere T^2 is
between its extremes. Proof: docs/theory/certified.md.
"""

import math

import numpy as np
from flint import arb
from numpy.typing import NDArray

from mimtheory.balls import widened
from mimtheory.box_integrals import box_ranges, pieces_in
from mimtheory.box_sums import BoxSums
from mimtheory.dyadic_cells import CellPolynomial, SideTable, tail_moment
from mimtheory.piecewise_lines import PiecewiseLine
from mimtheory.polynomials import Polynomial
from mimtheory.rounding import UNIT, gamma_above

__all__ = ["fourth_moment", "norm_fourth"]

Floats = NDArray[np.float64]

_ROUNDED = 1 + 2.0**-40


def fourth_moment(
    u: Polynomial, line: PiecewiseLine, kept: int, target: float, deadline: float = math.inf, most: int = 1_000_000
) -> arb:
    """Enclose E[T(u(z))^2 |z|^4] for z ~ N(0, I_r), the norm of the first `kept` coordinates; r at most four.

    Parameters
    ----------
    u : Polynomial
        c - g.
    line : PiecewiseLine
        T as a function of u, exactly.
    kept : int
    target : float
        Radius at which to stop.
    deadline : float
        Value of time.monotonic() at which to stop with the radius reached.
    most : int
        Number of boxes at which to stop.
    """
    work = _Boxes(u, line, kept)
    cells = work.run(target, deadline, most)
    return widened(*work.total(0)) if cells else arb(0, math.inf)


def norm_fourth(kept: int, r: int) -> Polynomial:
    """(z_1^2 + ... + z_kept^2)^2 as a polynomial of r variables."""
    square = Polynomial(r, {})
    for k in range(kept):
        square = square + Polynomial.variable(r, k) ** 2
    return square**2


class _Boxes(BoxSums):
    """The integral over boxes."""

    def __init__(self, u: Polynomial, line: PiecewiseLine, kept: int) -> None:
        r = u.r
        self.u = CellPolynomial(u)
        self.kinks, self.constants, self.slopes = line.doubles()
        self.K = max(abs(self.constants[0]), abs(self.constants[-1])) * (1 + 2 * UNIT)
        norm = norm_fourth(kept, r)
        self.norm = CellPolynomial(norm).coefficients
        self.squares = []
        for a, b in zip(line.constants, line.slopes, strict=True):
            piece = Polynomial.constant(r, a) + Polynomial.constant(r, b) * u
            self.squares.append(CellPolynomial(piece**2 * norm).coefficients)
        self.sides = SideTable(2 * max(self.u.degrees) + 4)
        # E[|z|^4; |z_j| > 8] <= r^2 E[z^4; |z| > 8] because |z|^4 <= r sum z_i^4, for each j
        super().__init__(self.u.even, 1, self.K**2 * r**3 * tail_moment(4) * _ROUNDED)

    def integrate(self, lower: Floats, width: float) -> tuple[Floats, Floats]:
        """Values and error bounds (n, 1)."""
        half = np.full(lower.shape, width / 2)
        low, high, _ = box_ranges(*self.u.taylor(lower + half, half))
        below, above = pieces_in(self.kinks, low, high)
        moments = [self.sides.moments(lower[:, k], np.full(len(lower), width))[0] for k in range(lower.shape[1])]
        values, errors = np.zeros(len(lower)), np.zeros(len(lower))
        for piece in np.unique(below[below == above]):
            rows = np.flatnonzero((below == above) & (below == piece))
            values[rows], errors[rows] = _integral(self.squares[piece], [m[rows] for m in moments])
        rows = np.flatnonzero(below != above)
        if len(rows):
            weight, error = _integral(self.norm, [m[rows] for m in moments])
            least, most = self._extremes(low[rows], high[rows], below[rows], above[rows])
            values[rows] = (least + most) / 2 * weight
            errors[rows] = ((most - least) / 2 + gamma_above(4) * most) * (weight + error) + most * error
        return values[:, None], (errors * _ROUNDED)[:, None]

    def _extremes(
        self, low: Floats, high: Floats, below: NDArray[np.int64], above: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """Bounds on T^2 for low <= u <= high: T increases."""
        first = self.constants[below] + self.slopes[below] * low
        last = self.constants[above] + self.slopes[above] * high
        rounding = 16 * UNIT * (self.K + self.slopes.max() * (np.abs(low) + np.abs(high) + np.abs(self.kinks).max()))
        least = np.maximum(np.maximum(first, -last) - rounding, 0.0)
        most = np.minimum(np.maximum(np.abs(first), np.abs(last)) + rounding, self.K)
        least = np.minimum(least, most)
        return least * least, most * most * (1 + 4 * UNIT)


def _integral(coefficients: dict[tuple[int, ...], float], moments: list[Floats]) -> tuple[Floats, Floats]:
    """Integral of a polynomial times the Gaussian density over boxes, and a bound on its rounding."""
    values, sizes = np.zeros(len(moments[0])), np.zeros(len(moments[0]))
    for index, c in coefficients.items():
        product = c * math.prod(m[:, e] for m, e in zip(moments, index, strict=True))
        values += product
        sizes += np.abs(product)
    # each coefficient and each moment is known within 2^-51, then multiplied and added
    return values, gamma_above(8 + 6 * len(moments) + len(coefficients)) * sizes
