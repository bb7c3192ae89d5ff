"""Enclosures of E[T w] for z ~ N(0, I_r) and the weights w = 1, z_i and z_i z_j: the result of every certified method.

The weights have one order, that of `weights_of`, wherever they stand in a row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, arb_mat

__all__ = ["Weighted", "second_moments", "weights_of"]


@dataclass(frozen=True)
class Weighted:
    """Enclosures of E[T w].

    Attributes
    ----------
    balls : tuple of arb
        In the order of `weights_of`, or of other weights that were asked for.
    cells : int
        Boxes or function values that were used.
    """

    balls: tuple[arb, ...]
    cells: int

    @classmethod
    def unknown(cls, count: int) -> "Weighted":
        """Of so many weights nothing is known."""
        return cls(tuple(arb(0, math.inf) for _ in range(count)), 0)

    @property
    def radius(self) -> float:
        """Largest radius."""
        return max(float(ball.rad()) for ball in self.balls)


def weights_of(r: int, kept: int) -> list[tuple[int, ...]]:
    """Exponents of 1, z_1 ... z_kept and the upper triangle of z z^T, z_i z_j with i <= j <= kept, row by row.

    Parameters
    ----------
    r : int
        Number of variables, of which the last ones may be noise.
    kept : int
        Only the first `kept` variables occur in weights.
    """
    units = [tuple(int(i == k) for i in range(r)) for k in range(kept)]
    pairs = [tuple(a + b for a, b in zip(units[i], units[j], strict=True)) for i in range(kept) for j in range(i, kept)]
    return [(0,) * r, *units, *pairs]


def second_moments(balls: Sequence[arb], kept: int) -> arb_mat:
    """The symmetric matrix of E[T z_i z_j], from balls in the order of `weights_of`."""
    triangle = iter(balls[1 + kept :])
    second = [[arb(0)] * kept for _ in range(kept)]
    for i in range(kept):
        for j in range(i, kept):
            second[i][j] = second[j][i] = next(triangle)
    return arb_mat(second)
