"""What is proved of a formula's derivatives, piece by piece: suprema, kinks, symmetry; and its values as functions.

A supremum over the line is the largest of those over the pieces. Proof: docs/theory/suprema.md.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import sympy
from flint import arb
from numpy.typing import NDArray

from mimtheory.ball_functions import U, compiled, factored
from mimtheory.balls import precision
from mimtheory.formula_pieces import FormulaPiece, jump
from mimtheory.suprema import Supremum, analytic, certified_supremum

__all__ = [
    "by_pieces",
    "double_from",
    "kinks_of",
    "mirrored",
    "negative_at",
    "polynomial_pieces",
    "proved_negative_at",
    "seen_negative",
    "suprema_of_derivatives",
    "vanishes",
    "vectorised",
]

Floats = NDArray[np.float64]
Pieces = Sequence[FormulaPiece]
_ALLOWED = "functions real and finite on the whole line"


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


def proved_negative_at(pieces: Pieces, order: int) -> float | None:
    """A point at which the search for its least value finds this derivative to be negative; None without one."""
    for piece in pieces:
        if analytic(piece.expression, piece.start, piece.stop):
            found = certified_supremum(_derivative(piece, order), -1, piece.start, piece.stop, enough=0.0)
            if found.lower > 0:
                return found.at
    return None


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
    """The derivative of this order as a function of arrays; where it jumps the mean of both sides.

    Raises
    ------
    ValueError
        Where the formula is seen not to be real or to have a pole.
    """
    if order == 0:
        for piece in pieces:
            _refuse_a_pole(piece, argument, text)
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


def vectorised(
    expression: sympy.Expr, argument: str, text: str, start: float = -math.inf, stop: float = math.inf
) -> Callable[[Floats], Floats]:
    """The expression in u as a function of arrays, checked to be real and finite around 0 or within its ends.

    Where doubles overflow, as in log(cosh(1000*u)), balls compute the value.
    """
    raw, slow = sympy.lambdify(U, expression, modules=["scipy", "numpy"]), _by_balls(expression)

    def function(points: Floats) -> Floats:
        try:
            with np.errstate(all="ignore"):
                values: Floats = np.asarray(raw(points), dtype=np.float64)
        except (OverflowError, TypeError):  # an integer that is no double
            values = np.full(points.shape, np.nan)
        values = values if values.shape == points.shape else np.broadcast_to(values, points.shape)
        lost = ~np.isfinite(values) & np.isfinite(points)
        if not lost.any():
            return values.copy() if values.base is not None else values
        values = np.array(values)
        values[lost] = [slow(x) for x in points[lost].tolist()]
        return values

    left, right = max(start, min(-3.0, stop - 6)), min(stop, max(3.0, start + 6))
    inside = left + (right - left) * (np.arange(60) + 0.5) / 60
    if not np.isfinite(function(inside)).all():
        where = f"[{left:g}, {right:g}]"
        shown = f"{argument} = {text!r} is not real and smooth on {where}, or beyond 1e308 there"
        raise ValueError(f"{shown}; allowed: {_ALLOWED}")
    return function


def _refuse_a_pole(piece: FormulaPiece, argument: str, text: str) -> None:
    """ValueError where a denominator is seen to vanish and the formula grows towards that point; what is proved
    analytic needs no search."""
    if analytic(piece.expression, piece.start, piece.stop):
        return
    value = _by_balls(piece.expression)
    for part in piece.expression.atoms(sympy.Pow):
        if not (part.exp.is_Rational and part.exp < 0 and part.base.has(U)):
            continue
        for zero in _zeros_seen(part.base):
            for side in (-1, 1):
                far, near = zero + side * 1e-3, zero + side * 1e-6
                inside = (piece.start is None or near > piece.start) and (piece.stop is None or near < piece.stop)
                # a simple pole grows a thousandfold, a finite limit not at all
                if inside and abs(value(near)) > 30 * abs(value(far)):
                    raise ValueError(f"{argument} = {text!r} has a pole at u = {zero:.6g}; allowed: {_ALLOWED}")


def _zeros_seen(expression: sympy.Expr) -> list[float]:
    """Real zeros: of a rational polynomial all, else where it changes its sign on a grid."""
    if expression.is_polynomial(U) and all(c.is_Rational for c in sympy.Poly(expression, U).all_coeffs()):
        roots = sympy.Poly(expression, U).sqf_part().intervals(eps=sympy.Rational(1, 10**12), sqf=True)
        return [float((left + right) / 2) for left, right in roots]
    f, line = _by_balls(expression), np.linspace(-40, 40, 801)
    signs = np.sign([f(x) for x in line.tolist()])
    zeros = line[signs == 0].tolist()
    for k in np.flatnonzero(signs[:-1] * signs[1:] < 0):
        left, right = line[k], line[k + 1]
        for _ in range(50):
            middle = (left + right) / 2
            left, right = (middle, right) if np.sign(f(middle)) == signs[k] else (left, middle)
        zeros.append((left + right) / 2)
    return zeros


def _by_balls(expression: sympy.Expr) -> Callable[[float], float]:
    """Values whose parts may overflow, each the nearest double; not a number where there is none or it is not found."""
    f = compiled(expression)

    def value(x: float) -> float:
        for bits in (80, 320, 1280, 5120):
            with precision(bits):
                ball = f(arb(x))
                # the double nearest to both ends is the one nearest to the value, at whatever precision it was found
                if ball.is_finite() and (nearest := float(ball.lower())) == float(ball.upper()):
                    return nearest
        return math.nan

    return value


def mirrored(pieces: Pieces, order: int, sign: int) -> bool:
    """Whether f(-u) = sign f(u) is proved for the derivative of this order."""
    return all(
        (None if piece.stop is None else -piece.stop) == other.start
        and vanishes(_derivative(other, order).subs(U, -U) - sign * _derivative(piece, order))
        for piece, other in zip(pieces, reversed(pieces), strict=True)
    )


def vanishes(expression: sympy.Expr) -> bool:
    """Whether it is seen to be 0 for all u; a value away from 0 spares the search."""
    with precision(200):
        if not compiled(expression)(arb(1) / 7).contains(0):
            return False
    return bool(factored(expression) == 0 or sympy.simplify(expression) == 0)


def _derivative(piece: FormulaPiece, order: int) -> sympy.Expr:
    return sympy.diff(piece.expression, U, order)


def polynomial_pieces(pieces: Pieces) -> list[tuple[Fraction, ...]] | None:
    """Coefficients of the derivative on every piece, of u^0 first; None unless all are polynomials over the rationals.

    The formula itself has to be analytic as well: that of atan(tan(u)) jumps, although its derivative is written 1.
    """
    found = [_rational_coefficients(_derivative(piece, 1)) for piece in pieces]
    known = [coefficients for coefficients in found if coefficients is not None]
    if len(known) < len(found) or not all(analytic(piece.expression, piece.start, piece.stop) for piece in pieces):
        return None
    return known


def _rational_coefficients(expression: sympy.Expr) -> tuple[Fraction, ...] | None:
    if not expression.is_polynomial(U):
        return None
    coefficients = sympy.Poly(expression, U).all_coeffs()[::-1]
    if not all(c.is_Rational for c in coefficients):
        return None
    return tuple(Fraction(int(c.p), int(c.q)) for c in coefficients)


def negative_at(piece: FormulaPiece, order: int) -> Fraction | None:
    """A point of the piece at or next to which this derivative, a rational polynomial, is negative; None: it is >= 0.

    It changes its sign at its roots of odd multiplicity, which Sturm's theorem counts inside the piece; where there is
    none, one value decides.
    """
    p = sympy.Poly(_derivative(piece, order), U)
    if p.is_zero:
        return None
    start, stop = (None if end is None else sympy.Rational(end.numerator, end.denominator) for end in _ends(piece))
    odd = sympy.Poly(1, U, domain="QQ")
    for factor, multiplicity in p.sqf_list()[1]:
        odd *= factor if multiplicity % 2 else 1
    for end in (start, stop):
        if end is not None and odd.eval(end) == 0:
            odd = odd.quo(sympy.Poly(U - end, U))
    if odd.degree() > 0 and odd.count_roots(start, stop):
        left, right = odd.intervals(sqf=True, eps=sympy.Rational(1, 1000), inf=start, sup=stop)[0]
        return Fraction(int(left.p), int(left.q)) / 2 + Fraction(int(right.p), int(right.q)) / 2
    point = next(x for x in _points_inside(piece) if p.eval(x) != 0)
    return Fraction(int(point.p), int(point.q)) if p.eval(point) < 0 else None


def seen_negative(pieces: Pieces, order: int, function: Callable[[Floats], Floats]) -> Fraction | None:
    """A point of a grid at which this derivative is negative, seen by its function of arrays and proved in balls."""
    line = np.linspace(-30, 30, 6001)
    values = np.nan_to_num(function(line), nan=0.0)
    forms = [compiled(_derivative(piece, order)) for piece in pieces]
    kinks = [piece.stop for piece in pieces if piece.stop is not None]
    with precision(200):
        for k in np.argsort(values)[: min(200, int((values < 0).sum()))]:
            u = Fraction(line[k])
            ball = forms[bisect_right(kinks, u)](arb(line[k]))
            if ball < 0 or (not ball.is_finite() and values[k] < -1e-12 * np.abs(values).max()):
                return u
    return None


def _ends(piece: FormulaPiece) -> tuple[Fraction | None, Fraction | None]:
    return piece.start, piece.stop


def _points_inside(piece: FormulaPiece) -> Iterator[sympy.Rational]:
    """Different rational points inside the piece, without end."""
    for k in itertools.count(2):
        if piece.start is not None and piece.stop is not None:
            x = piece.start + (piece.stop - piece.start) / k
        elif piece.start is not None:
            x = piece.start + k
        else:
            x = Fraction(k) if piece.stop is None else piece.stop - k
        yield sympy.Rational(x.numerator, x.denominator)


def double_from(x: Fraction) -> float:
    """The least double that is not below x."""
    value = float(x)
    return value if Fraction(value) >= x else math.nextafter(value, math.inf)
