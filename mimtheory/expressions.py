"""Formulas in text, read exactly and without evaluating code: numbers, one variable, arithmetic and named functions."""

import ast
import math
import operator
import re
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import sympy

__all__ = [
    "MOST_BITS",
    "bounded_power",
    "canonical_text",
    "exact_number",
    "parsed",
    "read_expression",
    "supremum",
    "syntax_tree",
]

Floats = NDArray[np.float64]

_PARSING = threading.Lock()

_LENGTH, _NODES, _EXPONENT, MOST_BITS = 500, 200, 20, 4096
_PLAIN = ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "Abs", "sign")
_FUNCTIONS = (*_PLAIN, "Max", "Min", "Piecewise")
_RELATIONS = {ast.Lt: "StrictLessThan", ast.LtE: "LessThan", ast.Gt: "StrictGreaterThan", ast.GtE: "GreaterThan"}
_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def read_expression(text: str, variable: str) -> "sympy.Expr":
    """The SymPy expression that a text in one variable stands for.

    Parameters
    ----------
    text : str
        Numbers (0.7 is exactly 7/10), pi, E, the variable, ``+ - * / **`` with whole or half exponents up to 20,
        parentheses, sin, cos, tan, exp, log, sqrt, sinh, cosh, tanh, atan, asinh, erf, Abs, sign, Max, Min, and
        Piecewise with conditions of ``<``, ``<=``, ``>``, ``>=``, ``&``, ``|`` and True.
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
        meant = "did you mean Abs? " if re.match(r"abs\b", part) else ""
        return ValueError(
            f"expression = {text[:60]!r}: {part!r} is not allowed; {meant}allowed: numbers, pi, E, {variable}, "
            f"+ - * / **, {', '.join(_FUNCTIONS)}"
        )

    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            number = exact_number(ast.get_source_segment(text.strip(), node) or "0")
            if number is None:
                raise refuse()
            return sympy.Rational(number.numerator, number.denominator)
        case ast.Name(id=name) if name == variable:
            return sympy.Symbol(variable, real=True)
        case ast.Name(id="pi" | "E" as name):
            return getattr(sympy, name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_read(operand, text, variable)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            exponent = _read(right, text, variable)
            if not (2 * exponent).is_Integer or abs(exponent) > _EXPONENT:
                raise refuse()
            power = bounded_power(_read(left, text, variable), exponent)
            if power is None:
                raise refuse()
            return power
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _ARITHMETIC:
            a, b = _read(left, text, variable), _read(right, text, variable)
            if isinstance(operation, ast.Div) and b == 0:
                raise refuse()
            return _ARITHMETIC[type(operation)](a, b)
        case ast.Call(func=ast.Name(id="Piecewise"), args=branches, keywords=[]) if branches:
            return sympy.Piecewise(*(_read_branch(branch, text, variable, refuse) for branch in branches))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            if len(arguments) != 1 if name in _PLAIN else len(arguments) < 2:
                raise refuse()
            return getattr(sympy, name)(*(_read(argument, text, variable) for argument in arguments))
    raise refuse()


def exact_number(text: str) -> Fraction | None:
    """A decimal number, exactly; None for one in another base, or whose exponent would fill the memory."""
    match = re.fullmatch(r"[\d_]*\.?[\d_]*(?:[eE]([+-]?[\d_]{1,6}))?", text)
    return None if match is None or abs(int(match.group(1) or 0)) > MOST_BITS // 4 else Fraction(text)


def bounded_power(base: "sympy.Expr", exponent: "sympy.Expr") -> "sympy.Expr | None":
    """base**exponent; None where powers of powers would make a number of too many digits or an exponent above 20."""
    size = max(int(base.p).bit_length(), int(base.q).bit_length()) if base.is_Rational else 0
    if size * abs(exponent) > MOST_BITS:
        return None
    power = base**exponent
    return None if power.is_Pow and power.exp.is_Rational and abs(power.exp) > _EXPONENT else power


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
        text = _written(expression, argument)
        if "u" not in re.findall(r"\w+", text):  # such a text would not be read back
            raise ValueError(f"{argument} = {expression[:60]!r} is the constant {text}; allowed: exactly one variable")
        return text
    symbols = getattr(expression, "free_symbols", None)
    if symbols is None or len(symbols) != 1:
        found = sorted(map(str, symbols or ()))
        raise ValueError(f"{argument} = {expression!r} has the variables {found}; allowed: exactly one")
    import sympy

    (old,) = symbols
    # SymPy prints 15 digits of a double; all of them come from its shortest decimal text
    digits = {x: sympy.Rational(repr(float(x))) for x in expression.atoms(sympy.Float) if x == float(x)}
    return canonical_text(str(expression.xreplace(digits).subs(old, sympy.Symbol("u"))), argument)


def _written(text: str, argument: str) -> str:
    try:
        return str(read_expression(text, "u"))
    except ValueError as wrong:
        raise ValueError(str(wrong).replace("expression", argument, 1)) from None


def supremum(function: Callable[[Floats], Floats], kinks: Sequence[Fraction] = ()) -> float:
    """sup |function| on the line, searched for on a grid and just beside the kinks, where it may jump.

    Infinite where it still grows at |u| = 10^4. Raised by 1e-6 in relative size, the square of the grid's step: a
    numerical constant, not a proof.
    """
    far = np.geomspace(40, 1e4, 200)
    beside = np.nextafter(np.array(kinks, dtype=np.float64), np.array([[-np.inf], [np.inf]])).ravel()
    near, tails = np.concatenate((np.linspace(-40, 40, 80001), beside)), np.concatenate((-far, far))
    sizes = np.nan_to_num(np.abs(function(near)), nan=0.0)
    beyond = np.nan_to_num(np.abs(function(tails)), nan=0.0, posinf=math.inf)
    if beyond.max() / 1.01 > sizes.max():
        return math.inf
    return float(max(sizes.max(), beyond.max())) * (1 + 1e-6)
