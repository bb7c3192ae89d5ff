"""Polynomials that are sums of functions of one variable each, as they stand or after pairs were turned by 45 degrees.

z1 z2 = (x1^2 - x2^2)/2 for x1 = (z1 + z2)/sqrt 2, x2 = (z1 - z2)/sqrt 2, which is another standard Gaussian pair.
"""

from dataclasses import dataclass
from fractions import Fraction

import flint
from flint import arb, arb_mat, arb_poly

from mimtheory.balls import surd_ball
from mimtheory.polynomials import Polynomial, Surd

__all__ = ["AdditiveForm", "additive_form"]


@dataclass(frozen=True)
class AdditiveForm:
    """u(z) = constant + sum_k parts[k](x_k), x = H z, H the turn of the pairs; H = H^T = H^-1.

    Attributes
    ----------
    constant : Surd
    parts : tuple of Polynomial
        Of one variable each, without constant.
    pairs : tuple of (int, int)
        Coordinates that were turned together.
    """

    constant: Surd
    parts: tuple[Polynomial, ...]
    pairs: tuple[tuple[int, int], ...]

    def coefficients(self, k: int) -> arb_poly:
        """parts[k] in balls of the working precision."""
        terms = self.parts[k].terms
        return arb_poly([surd_ball(terms.get((j,), {})) for j in range(self.parts[k].degree + 1)])

    def turned_back(self, first: list[arb], second: arb_mat) -> tuple[list[arb], arb_mat]:
        """E[T z] and E[T z z^T] from those of x."""
        if not self.pairs:
            return first, second
        r, half = len(first), arb(2).rsqrt()
        H = [[arb(int(i == j)) for j in range(r)] for i in range(r)]
        for i, j in self.pairs:
            if i < r and j < r:
                H[i][i] = H[i][j] = H[j][i] = half
                H[j][j] = -half
        turn = arb_mat(H)
        return (turn * arb_mat([[x] for x in first])).entries(), turn * second * turn


def additive_form(u: Polynomial) -> AdditiveForm | None:
    """The form of u, or None where neither the coordinates nor turned pairs separate it."""
    pairs = sorted({tuple(k for k, e in enumerate(index) if e) for index in u.terms if _coupled(index)})
    if any(len(pair) != 2 for pair in pairs) or len({k for pair in pairs for k in pair}) != 2 * len(pairs):
        return None
    if pairs:
        half = Polynomial.constant(u.r, Fraction(1, 2), 2)
        x = [Polynomial.variable(u.r, k) for k in range(u.r)]
        values = list(x)
        for i, j in pairs:
            values[i], values[j] = half * (x[i] + x[j]), half * (x[i] - x[j])
        u = u.substitute(values)
        if any(_coupled(index) for index in u.terms):
            return None
    parts: list[dict[tuple[int, ...], dict[int, flint.fmpq]]] = [{} for _ in range(u.r)]
    for index, surd in u.terms.items():
        for k, e in enumerate(index):
            if e:
                parts[k][(e,)] = surd
    return AdditiveForm(
        u.terms.get((0,) * u.r, {}),
        tuple(Polynomial.from_terms(1, part) for part in parts),
        tuple((pair[0], pair[1]) for pair in pairs),
    )


def _coupled(index: tuple[int, ...]) -> bool:
    return sum(e > 0 for e in index) > 1
