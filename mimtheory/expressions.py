"""Formulas in text, read exactly and without evaluating code: numbers, one variable, arithmetic and named functions."""

import ast
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import sympy

__all__ = ["canonical_text", "parsed", "read_expression", "supremum", "syntax_tree", "vectorised"]

Floats = NDArray[np.float64]

_PARSING = threading.Lock()

_LENGTH, _NODES, _EXPONENT = 500, 200, 20
_PLAIN = ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "Abs", "sign")
_FUNCTIONS = (*_PLAIN, "Max", "Min", "Piecewise")
_RELATIONS = {ast.Lt: "StrictLessThan", ast.LtE: "LessThan", ast.Gt: "StrictGreaterThan", ast.GtE: "GreaterThan"}


def read_expression(text: str, variable: str) -> "sympy.Expr":
    """The SymPy expression that a text in one variable stands for.

    Parameters
    ----------
    text : str
        Numbers (0.7 is exactly 7/10), the variable, ``+ - * / **`` with whole or half exponents up to 20, parentheses,
        sin, cos, tan, exp, log, sqrt, sinh, cosh, tanh, atan, asinh, erf, Abs, sign, Max, Min, and Piecewise with
        conditions of ``<``, ``<=``, ``>``, ``>=``, ``&``, ``|`` and True.
    variable : str

    Raises
    ------
    ValueError
        Naming what is not allowed.
    """
    return _read(parsed(text, "expression", f"a formula in {variable}"), text, variable)


def syntax_tree(text: str) -> ast.expr:
    """The tree of a formula, nothing evaluated.

    One thread at a time: CPython 3.11 counts the depth of all of them together and may raise a SystemError.
    """
    with _PARSING:
        return ast.parse(text, mode="eval").body


def parsed(text: str, argument: str, allowed: str) -> ast.expr:
    """The syntax tree of a formula that is not too large; ValueError naming `argument` and what is allowed."""
    if len(text) > _LENGTH:
        raise ValueError(f"{argument} of {len(text)} characters; allowed: at most {_LENGTH}")
    try:
        tree = syntax_tree(text.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"{argument} = {text[:60]!r} cannot be read; allowed: {allowed}") from None
    if sum(1 for _ in ast.walk(tree)) > _NODES:
        raise ValueError(f"{argument} = {text[:60]!r} is too large; allowed: at most {_NODES} parts")
    return tree


def _read(node: ast.expr, text: str, variable: str) -> "sympy.Expr":
    import sympy  # half a second

    def refuse() -> ValueError:
        part = (ast.get_source_segment(text.strip(), node) or text)[:40]
        return ValueError(
            f"expression = {text[:60]!r}: {part!r} is not allowed; allowed: numbers, {variable}, + - * / **, "
            f"{', '.join(_FUNCTIONS)}"
        )

    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            number = Fraction(ast.get_source_segment(text.strip(), node) or "0")
            return sympy.Rational(number.numerator, number.denominator)
        case ast.Name(id=name) if name == variable:
            return sympy.Symbol(variable, real=True)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_read(operand, text, variable)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            exponent = _read(right, text, variable)
            if not (2 * exponent).is_Integer or abs(exponent) > _EXPONENT:
                raise refuse()
            return _read(left, text, variable) ** exponent
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as operation, right=right):
            a, b = _read(left, text, variable), _read(right, text, variable)
            if isinstance(operation, ast.Div):
                if b == 0:
                    raise refuse()
                return a / b
            return a * b if isinstance(operation, ast.Mult) else a + b if isinstance(operation, ast.Add) else a - b
        case ast.Call(func=ast.Name(id="Piecewise"), args=branches, keywords=[]) if branches:
            return sympy.Piecewise(*(_read_branch(branch, text, variable, refuse) for branch in branches))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            if len(arguments) != 1 if name in _PLAIN else len(arguments) < 2:
                raise refuse()
            return getattr(sympy, name)(*(_read(argument, text, variable) for argument in arguments))
    raise refuse()


def _read_branch(node: ast.expr, text: str, variable: str, refuse: Callable[[], ValueError]) -> tuple[Any, Any]:
    """(formula, condition) of a Piecewise."""
    if not isinstance(node, ast.Tuple) or len(node.elts) != 2:
        raise refuse()
    return _read(node.elts[0], text, variable), _read_condition(node.elts[1], text, variable, refuse)


def _read_condition(node: ast.expr, text: str, variable: str, refuse: Callable[[], ValueError]) -> Any:
    import sympy

    match node:
        case ast.Constant(value=True):
            return sympy.true
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as operation, right=right):
            combined = sympy.And if isinstance(operation, ast.BitAnd) else sympy.Or
            return combined(*(_read_condition(part, text, variable, refuse) for part in (left, right)))
        case ast.Compare(left=left, ops=[operation], comparators=[right]) if type(operation) in _RELATIONS:
            relation = getattr(sympy, _RELATIONS[type(operation)])
            return relation(_read(left, text, variable), _read(right, text, variable))
    raise refuse()


def canonical_text(expression: "sympy.Expr | str", argument: str) -> str:
    """The text in the variable u from which `read_expression` makes this expression, read from text or SymPy.

    Raises
    ------
    ValueError
        Naming `argument`, if there is not exactly one variable.
    """
    if isinstance(expression, str):
        return str(read_expression(expression, "u"))
    symbols = getattr(expression, "free_symbols", None)
    if symbols is None or len(symbols) != 1:
        found = sorted(map(str, symbols or ()))
        raise ValueError(f"{argument} = {expression!r} has the variables {found}; allowed: exactly one")
    import sympy

    (old,) = symbols
    return str(read_expression(str(expression.subs(old, sympy.Symbol("u"))), "u"))


def vectorised(
    expression: "sympy.Expr", argument: str, text: str, start: float = -math.inf, stop: float = math.inf
) -> Callable[[Floats], Floats]:
    """The expression in u as a function of arrays, checked to be real and finite around 0 or within its ends.

    Where doubles overflow, as in log(cosh(1000*u)), mpmath computes the value.
    """
    import sympy

    u = sympy.Symbol("u", real=True)
    raw, slow = sympy.lambdify(u, expression, modules=["scipy", "numpy"]), sympy.lambdify(u, expression, "mpmath")

    def function(points: Floats) -> Floats:
        with np.errstate(all="ignore"):
            values: Floats = np.asarray(raw(points), dtype=np.float64)
        values = values if values.shape == points.shape else np.broadcast_to(values, points.shape)
        lost = ~np.isfinite(values) & np.isfinite(points)
        if not lost.any():
            return values.copy() if values.base is not None else values
        values = np.array(values)
        values[lost] = [_without_overflow(slow, x) for x in points[lost]]
        return values

    left, right = max(start, min(-3.0, stop - 6)), min(stop, max(3.0, start + 6))
    try:
        inside = left + (right - left) * (np.arange(60) + 0.5) / 60
        finite = bool(np.isfinite(function(inside)).all())
    except (TypeError, ValueError, NameError, AttributeError):
        finite = False
    if not finite:
        where = f"[{left:g}, {right:g}]"
        raise ValueError(f"{argument} = {text!r} is not real and smooth on {where}; allowed: smooth functions of u")
    return function


def _without_overflow(function: Callable[[Any], Any], x: float) -> float:
    """The value at x of a function of mpmath numbers, whose exponents have no bound; not a number where it has none."""
    import mpmath

    try:
        with mpmath.workprec(80):
            value = function(mpmath.mpf(x))
            return float(value) if mpmath.isfinite(value) else math.nan
    except (ValueError, TypeError, ArithmeticError, MemoryError):
        return math.nan


def supremum(function: Callable[[Floats], Floats]) -> float:
    """sup |function| on the line, searched for on a grid that is refined around its largest value.

    Infinite where it still grows at |u| = 10^4. Raised by 1e-6 in relative size, the square of the grid's step: a
    numerical constant, not a proof.
    """
    far = np.geomspace(40, 1e4, 200)
    near, tails = np.linspace(-40, 40, 80001), np.concatenate((-far, far))
    sizes = np.nan_to_num(np.abs(function(near)), nan=0.0)
    beyond = np.nan_to_num(np.abs(function(tails)), nan=0.0, posinf=math.inf)
    if beyond.max() / 1.01 > sizes.max():
        return math.inf
    return float(max(sizes.max(), beyond.max())) * (1 + 1e-6)
