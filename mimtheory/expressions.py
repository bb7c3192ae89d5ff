"""Formulas in text, read exactly and without evaluating code: numbers, one variable, arithmetic and named functions."""

import ast
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import sympy

__all__ = ["canonical_text", "parsed", "read_expression", "supremum", "syntax_tree", "vectorised"]

Floats = NDArray[np.float64]

_PARSING = threading.Lock()

_LENGTH, _NODES, _EXPONENT = 500, 200, 20
_FUNCTIONS = ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "Abs", "Max")


def read_expression(text: str, variable: str) -> "sympy.Expr":
    """The SymPy expression that a text in one variable stands for.

    Parameters
    ----------
    text : str
        Numbers (0.7 is exactly 7/10), the variable, ``+ - * / **`` with integer exponents up to 20, parentheses and
        sin, cos, tan, exp, log, sqrt, sinh, cosh, tanh, atan, asinh, erf, Abs, Max.
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
            if not exponent.is_Integer or abs(int(exponent)) > _EXPONENT:
                raise refuse()
            return _read(left, text, variable) ** exponent
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as operation, right=right):
            a, b = _read(left, text, variable), _read(right, text, variable)
            if isinstance(operation, ast.Div):
                if b == 0:
                    raise refuse()
                return a / b
            return a * b if isinstance(operation, ast.Mult) else a + b if isinstance(operation, ast.Add) else a - b
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            if len(arguments) != (2 if name == "Max" else 1):
                raise refuse()
            return getattr(sympy, name)(*(_read(argument, text, variable) for argument in arguments))
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


def vectorised(expression: "sympy.Expr", argument: str, text: str) -> Callable[[Floats], Floats]:
    """The expression in u as a function of arrays, checked to be real and finite around 0."""
    import sympy

    raw = sympy.lambdify(sympy.Symbol("u", real=True), expression, modules=["scipy", "numpy"])

    def function(points: Floats) -> Floats:
        with np.errstate(all="ignore"):
            values: Floats = np.asarray(raw(points), dtype=np.float64)
        return values if values.shape == points.shape else np.broadcast_to(values, points.shape).copy()

    try:
        finite = bool(np.isfinite(function(np.linspace(-3, 3, 60))).all())
    except (TypeError, ValueError, NameError, AttributeError):
        finite = False
    if not finite:
        raise ValueError(f"{argument} = {text!r} is not real and smooth on [-3, 3]; allowed: smooth functions of u")
    return function


def supremum(function: Callable[[Floats], Floats]) -> float:
    """sup |function| on the line, searched for on a grid that is refined around its largest value.

    Infinite where it still grows at |u| = 10^4. Raised by 1e-6 in relative size, the square of the grid's step: a
    numerical constant, not a proof.
    """
    far = np.geomspace(40, 1e4, 200)
    near, tails = np.linspace(-40, 40, 80001), np.concatenate((-far, far))
    sizes = np.nan_to_num(np.abs(function(near)), nan=0.0)
    beyond = np.nan_to_num(np.abs(function(tails)), nan=0.0, posinf=math.inf)
    if beyond.max() > 1.01 * sizes.max():
        return math.inf
    return float(max(sizes.max(), beyond.max())) * (1 + 1e-6)
