"""Pieces of formulas against the formula itself at 50 digits; what cannot be located is refused."""

from fractions import Fraction

import mpmath
import pytest
import sympy

from mimtheory.ball_functions import U
from mimtheory.expressions import canonical_text, read_expression
from mimtheory.formula_pieces import jump, pieces_of_formula

CUTS = {
    "Abs(u)": ["0"],
    "sqrt(u**2)": ["0"],
    "Abs(u)**2": [],
    "sqrt(u**4)": [],
    "Abs(u**2 + 1)": [],
    "sqrt(u**2 - 2*u/3 + 1/9) + log(cosh(u))": ["1/3"],
    "sqrt((u - 1)**6*(1 + u**2))": ["1"],
    "Max(u, 0) - Max(-u, 0)": [],
    "Max(u, -u, 1)": ["-1", "1"],
    "Min(u, 2*u)": ["0"],
    "Abs(Abs(u) - 1)": ["-1", "0", "1"],
    "Max(Abs(u - 1/1000000000) - 1e9, 0)": ["-999999999999999999/1000000000", "1000000000000000001/1000000000"],
    "Abs(tanh(u - 2)*exp(u))": ["2"],
    "sign(u + 1/7)*(u + 1/7)**3": ["-1/7"],
    "Piecewise((u**2/2, Abs(u) < 1), (Abs(u) - 1/2, True))": ["-1", "1"],
    "Piecewise((-u, u < -2), (2 + u/3, (u >= -2) & (u < 3)), (u**2, (u >= 3) | (u <= -9)))": ["-2", "3"],
}


@pytest.mark.parametrize("text", CUTS)
def test_pieces_are_the_formula_between_its_kinks(text: str) -> None:
    expression = read_expression(text, "u")
    assert sympy.expand(read_expression(canonical_text(text, "formula"), "u") - expression) == 0
    pieces = pieces_of_formula(expression)
    assert [str(piece.stop) for piece in pieces[:-1]] == CUTS[text]
    assert [piece.start for piece in pieces] == [None, *(piece.stop for piece in pieces[:-1])]
    whole = sympy.lambdify(U, expression, "mpmath")
    with mpmath.workdps(50):
        for piece in pieces:
            start = piece.start if piece.start is not None else (piece.stop or Fraction(1)) - 20
            stop = piece.stop if piece.stop is not None else start + 20
            part = sympy.lambdify(U, piece.expression, "mpmath")
            for k in (1, 200, 500, 999):
                x = start + (stop - start) * Fraction(k, 1000)
                u = mpmath.mpf(x.numerator) / x.denominator
                assert abs(part(u) - whole(u)) <= mpmath.mpf(10) ** -40 * (1 + abs(whole(u)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Abs(u**2 - 2)", "not rational"),
        ("Max(exp(u), 1)", "not known"),
        ("Abs(sin(u))", "not known"),
        ("Piecewise((u, u < 0))", "not defined at u = 1"),
    ],
)
def test_kinks_that_are_not_located_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pieces_of_formula(read_expression(text, "u"))


def test_a_polynomial_with_rational_and_other_roots_is_cut_where_that_is_certain() -> None:
    # the roots +-sqrt(2) of the last factor are inside of the piece that begins at 0
    with pytest.raises(ValueError, match="not rational"):
        pieces_of_formula(read_expression("Abs((u - 1)*(u**2 - 2))", "u"))
    inside = read_expression("Piecewise((Abs((u - 1)*(u**2 - 2)), Abs(4*u - 2) < 3), (7, True))", "u")
    with pytest.raises(ValueError, match="not rational"):
        pieces_of_formula(inside)  # the branches of the inner part are sought everywhere


def test_jumps_are_decided_exactly_or_not_at_all() -> None:
    assert jump(sympy.sin(U) ** 2, 1 - sympy.cos(U) ** 2, Fraction(1, 3)) == 0
    assert jump(-U, U, Fraction(0)) == 0
    assert jump(U, U + sympy.Rational(1, 10**40), Fraction(7)) == 1
    assert jump(U, U - sympy.Rational(1, 10**40), Fraction(7)) == -1
    with pytest.raises(ValueError, match="not finite"):
        jump(1 / U, U, Fraction(0))
