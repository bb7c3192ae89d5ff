"""A formula with Abs, sign, Max, Min, Piecewise or a square under a root, cut into smooth formulas at rational points.

Where such a part changes its branch is found exactly, from the real roots of polynomials; what cannot be located so is
refused. Proof: docs/theory/suprema.md.
"""

import itertools
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy
from flint import arb

from mimtheory.ball_functions import U, compiled, factored
from mimtheory.balls import precision
from mimtheory.suprema import ODD_INCREASING, positive

__all__ = ["FormulaPiece", "jump", "pieces_of_formula"]

_KINKED = (sympy.Abs, sympy.sign, sympy.Max, sympy.Min, sympy.Piecewise)
_BITS = 200
_FARTHEST = 10**300  # kinks become doubles


@dataclass(frozen=True)
class FormulaPiece:
    """The formula equals `expression`, which has no branches, for start < u < stop; None is an infinite end."""

    start: Fraction | None
    stop: Fraction | None
    expression: sympy.Expr


def pieces_of_formula(expression: sympy.Expr) -> tuple[FormulaPiece, ...]:
    """The pieces in order; neighbours have different formulas.

    Raises
    ------
    ValueError
        Where a branch changes at a point that is not rational or cannot be located, where the formula is continuous up
        to its value at one point, or where tan may have a pole.
    """
    open_pieces, done = [FormulaPiece(None, None, _with_kinks_shown(expression))], []
    while open_pieces:
        piece = open_pieces.pop()
        part = _innermost(piece.expression)
        if part is None:
            done.append(piece)
            continue
        inside = [k for k in sorted(_changes(part, piece)) if _within(piece, k)]
        ends = [piece.start, *inside, piece.stop]
        cells = [FormulaPiece(a, b, piece.expression) for a, b in itertools.pairwise(ends)]
        for cell in reversed(cells):
            branch = _branch(part, _point(cell))
            inner = _with_kinks_shown(cell.expression.xreplace({part: branch}))
            open_pieces.append(FormulaPiece(cell.start, cell.stop, inner))
    _refuse_a_lonely_value(expression, done)
    _refuse_a_pole_of_tan(done)
    return _merged(done)


def _refuse_a_lonely_value(expression: sympy.Expr, pieces: list[FormulaPiece]) -> None:
    """ValueError where both sides of a cut agree, but not with the value there, as sign(u)**2 at 0."""
    for before, after in itertools.pairwise(pieces):
        assert before.stop is not None
        point = sympy.Rational(before.stop)
        try:
            left, right, value = (part.subs(U, point) for part in (before.expression, after.expression, expression))
        except TypeError:  # a condition on what is infinite
            raise ValueError(f"it is not defined at u = {before.stop}; allowed: formulas defined on the line") from None
        finite = all(part.is_finite for part in (left, right, value))
        if finite and jump(left, right, before.stop) == 0 != jump(left, value, before.stop):
            raise ValueError(f"its value at u = {before.stop} is not its limit there; allowed: no value set apart")


def _refuse_a_pole_of_tan(pieces: list[FormulaPiece]) -> None:
    """ValueError where an argument of tan is not proved to stay between -pi/2 and pi/2: what is outside may hide the
    pole but not the jump, as atan does."""
    for piece in pieces:
        for part in piece.expression.atoms(sympy.tan):
            (inside,) = part.args
            if not all(positive(sympy.pi / 2 - side * inside, piece.start, piece.stop) for side in (1, -1)):
                raise ValueError(f"{part} may have a pole; allowed: tan of what is proved to be between -pi/2 and pi/2")


def jump(before: sympy.Expr, after: sympy.Expr, at: Fraction) -> int:
    """Sign of after(at) - before(at), 0 being proved; ValueError where it is not decided or not finite."""
    point = sympy.Rational(at)
    values = [side.subs(U, point) for side in (before, after)]
    if not all(value.is_finite for value in values):
        raise ValueError(f"it is not finite at u = {at}; allowed: formulas that are finite on the line")
    difference = values[1] - values[0]
    with precision(_BITS):
        unknown = compiled(difference)(arb(0)).contains(0)
    # what a ball tells apart from 0 needs no simplifying, which may take long
    if unknown and (difference := sympy.simplify(difference)).is_zero:
        return 0
    return _sign_of_number(difference)


def _sign_of_number(number: sympy.Expr) -> int:
    with precision(_BITS):
        ball = compiled(number)(arb(0))
    if ball > 0 or ball < 0:
        return 1 if ball > 0 else -1
    raise ValueError(f"the sign of {number} is not decided; allowed: formulas whose kinks are decided exactly")


def _with_kinks_shown(expression: sympy.Expr) -> sympy.Expr:
    """Square factors of polynomials under roots as absolute values: sqrt(a b^2) = sqrt(a) |b|."""
    roots = {}
    for part in expression.atoms(sympy.Pow):
        if part.exp.is_Integer or not part.exp.is_Rational or not _rational_polynomial(part.base):
            continue
        constant, factors = sympy.Poly(part.base, U).sqf_list()
        rest = constant * sympy.Mul(*(p.as_expr() ** (m % 2) for p, m in factors))
        if any(m > 1 for _, m in factors):
            outside = sympy.Mul(*(sympy.Abs(p.as_expr()) ** (2 * (m // 2) * part.exp) for p, m in factors))
            roots[part] = rest**part.exp * outside
    return expression.xreplace(roots)


def _rational_polynomial(expression: sympy.Expr) -> bool:
    return bool(
        expression.has(U)
        and expression.is_polynomial(U)
        and all(c.is_Rational for c in sympy.Poly(expression, U).all_coeffs())
    )


def _innermost(expression: sympy.Expr) -> Any:
    """A part with branches whose own parts have none."""
    for part in sympy.postorder_traversal(expression):
        if isinstance(part, _KINKED) and not any(argument.has(*_KINKED) for argument in part.args):
            return part
    return None


def _changes(part: Any, piece: FormulaPiece) -> set[Fraction]:
    """Points at which the branch of this part may change."""
    if isinstance(part, sympy.Abs | sympy.sign):
        switches = [part.args[0]]
    elif isinstance(part, sympy.Piecewise):
        conditions = {
            found for _, condition in part.args for found in condition.atoms(sympy.core.relational.Relational)
        }
        switches = [condition.lhs - condition.rhs for condition in conditions]
    else:
        switches = [a - b for k, a in enumerate(part.args) for b in part.args[:k]]
    return {zero for switch in switches for zero in _zeros(switch, piece)}


def _zeros(switch: sympy.Expr, piece: FormulaPiece) -> set[Fraction]:
    """Every point of the piece at which it may change its sign."""
    found: set[Fraction] = set()
    for factor in sympy.Mul.make_args(factored(switch)):
        part = factor.base if factor.is_Pow else factor
        while isinstance(part, ODD_INCREASING):
            part = part.args[0]
        if _rational_polynomial(part):
            found |= _rational_zeros(sympy.Poly(part, U), piece)
        elif part.has(U) and not any(positive(s * part, piece.start, piece.stop) for s in (1, -1)):
            raise ValueError(f"where {part} changes its sign is not known; allowed: polynomials with rational roots")
    return found


def _rational_zeros(polynomial: sympy.Poly, piece: FormulaPiece) -> set[Fraction]:
    roots = list(polynomial.ground_roots())
    rest = polynomial.sqf_part()
    for root in roots:
        rest = rest.quo(sympy.Poly(U - root, U))
    start, stop = (None if end is None else sympy.Rational(end) for end in (piece.start, piece.stop))
    if rest.degree() > 0 and rest.count_roots(start, stop):
        raise ValueError(
            f"{polynomial.as_expr()} changes its sign at a u that is not rational; allowed: rational kinks"
        )
    if any(abs(root) > _FARTHEST for root in roots):
        raise ValueError(f"{polynomial.as_expr()} changes its sign beyond 1e300; allowed: kinks within it")
    return {Fraction(int(root.p), int(root.q)) for root in roots}


def _within(piece: FormulaPiece, k: Fraction) -> bool:
    return (piece.start is None or piece.start < k) and (piece.stop is None or k < piece.stop)


def _point(piece: FormulaPiece) -> sympy.Rational:
    """A rational point inside the piece."""
    start, stop = piece.start, piece.stop
    if start is None:
        inside = Fraction(0) if stop is None else stop - 1
    else:
        inside = start + 1 if stop is None else (start + stop) / 2
    return sympy.Rational(inside)


def _branch(part: Any, point: sympy.Rational) -> sympy.Expr:
    """What the part is around a point at which no branch changes."""
    if isinstance(part, sympy.Abs | sympy.sign):
        sign = _sign_of_number(part.args[0].subs(U, point))
        return sign * part.args[0] if isinstance(part, sympy.Abs) else sympy.Integer(sign)
    if isinstance(part, sympy.Piecewise):
        for branch, condition in part.args:
            if _holds(condition, point):
                return branch
        raise ValueError(f"it is not defined at u = {point}; allowed: formulas that are defined on the line")
    chosen, *others = part.args
    for other in others:
        larger = _sign_of_number((other - chosen).subs(U, point)) > 0
        chosen = other if larger == isinstance(part, sympy.Max) else chosen
    return chosen


def _holds(condition: Any, point: sympy.Rational) -> bool:
    if condition in (sympy.true, sympy.false):
        return bool(condition)
    if isinstance(condition, sympy.And | sympy.Or):
        combine = all if isinstance(condition, sympy.And) else any
        return combine(_holds(part, point) for part in condition.args)
    above = _sign_of_number((condition.lhs - condition.rhs).subs(U, point)) > 0
    return above == isinstance(condition, sympy.StrictGreaterThan | sympy.GreaterThan)


def _merged(pieces: list[FormulaPiece]) -> tuple[FormulaPiece, ...]:
    merged = pieces[:1]
    for piece in pieces[1:]:
        last = merged[-1]
        if sympy.expand(last.expression - piece.expression) == 0:
            merged[-1] = FormulaPiece(last.start, piece.stop, last.expression)
        else:
            merged.append(piece)
    return tuple(merged)
