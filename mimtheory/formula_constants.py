"""What is proved of a formula's derivatives, piece by piece: suprema, kinks, symmetry; and its values as functions.

A supremum over the line is the largest of those over the pieces. Proof: docs/theory/suprema.md.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import sympy
from flint import arb
from numpy.typing import NDArray

from mimtheory.ball_functions import U, compiled, factored
from mimtheory.balls import precision
from mimtheory.expressions import vectorised
from mimtheory.formula_pieces import FormulaPiece, jump
from mimtheory.suprema import Supremum, analytic, certified_supremum

__all__ = [
    "by_pieces",
    "double_from",
    "kinks_of",
    "mirrored",
    "rational_coefficients",
    "suprema_of_derivatives",
]

Floats = NDArray[np.float64]
Pieces = Sequence[FormulaPiece]


def suprema_of_derivatives(pieces: Pieces, asked: Sequence[tuple[int, int]]) -> list[Supremum] | None:
    """For every (order, sign) the supremum over all pieces, jumps not counted; None unless all of them are proved.

    Asked of the formula as it was written, since only there a kink is seen.
    """
    if not all(analytic(piece.expression, piece.start, piece.stop) for piece in pieces):
        return None
    found = []
    for order, sign in asked:
        parts = [certified_supremum(_derivative(piece, order), sign, piece.start, piece.stop) for piece in pieces]
        if not all(part.proved for part in parts):
            return None
        found.append(Supremum(max(part.lower for part in parts), max(part.upper for part in parts), True))
    return found


def kinks_of(pieces: Pieces, order: int) -> list[tuple[Fraction, int]]:
    """(end of a piece, sign of the jump there of the derivative of this order).

    Raises
    ------
    ValueError
        Where that is not decided.
    """
    found = []
    for before, after in itertools.pairwise(pieces):
        assert before.stop is not None
        found.append((before.stop, jump(_derivative(before, order), _derivative(after, order), before.stop)))
    return found


def by_pieces(pieces: Pieces, order: int, argument: str, text: str) -> Callable[[Floats], Floats]:
    """The derivative of this order as a function of arrays; where it jumps the mean of both sides."""
    kinks = np.array([float(piece.stop) for piece in pieces if piece.stop is not None])
    functions = [
        vectorised(
            _derivative(piece, order),
            argument,
            text,
            -math.inf if piece.start is None else float(piece.start),
            math.inf if piece.stop is None else float(piece.stop),
        )
        for piece in pieces
    ]
    if len(functions) == 1:
        return functions[0]

    def function(points: Floats) -> Floats:
        values = np.full(points.shape, np.nan)
        below, above = np.searchsorted(kinks, points, "left"), np.searchsorted(kinks, points, "right")
        for k, part in enumerate(functions):
            here = (below == k) & (above == k) & ~np.isnan(points)
            values[here] = part(points[here])
        for k in np.unique(below[below != above]):
            at = (below == k) & (above != below)
            values[at] = (functions[k](points[at]) + functions[k + 1](points[at])) / 2
        return values

    return function


def mirrored(pieces: Pieces, order: int, sign: int) -> bool:
    """Whether f(-u) = sign f(u) is proved for the derivative of this order."""
    return all(
        (None if piece.stop is None else -piece.stop) == other.start
        and _vanishes(_derivative(other, order).subs(U, -U) - sign * _derivative(piece, order))
        for piece, other in zip(pieces, reversed(pieces), strict=True)
    )


def _vanishes(expression: sympy.Expr) -> bool:
    """Whether it is seen to be 0 for all u; a value away from 0 spares the search."""
    with precision(200):
        if not compiled(expression)(arb(1) / 7).contains(0):
            return False
    return bool(factored(expression) == 0 or sympy.simplify(expression) == 0)


def _derivative(piece: FormulaPiece, order: int) -> sympy.Expr:
    return sympy.diff(piece.expression, U, order)


def rational_coefficients(expression: sympy.Expr) -> tuple[Fraction, ...] | None:
    """Coefficients of a polynomial of u, of u^0 first; None where it is none over the rationals."""
    if not expression.is_polynomial(U):
        return None
    coefficients = sympy.Poly(expression, U).all_coeffs()[::-1]
    if not all(c.is_Rational for c in coefficients):
        return None
    return tuple(Fraction(int(c.p), int(c.q)) for c in coefficients)


def double_from(x: Fraction) -> float:
    """The least double that is not below x."""
    value = float(x)
    return value if Fraction(value) >= x else math.nextafter(value, math.inf)
