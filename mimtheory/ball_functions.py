"""A SymPy expression of u as a function of Arb balls, and the form of it that balls bound best.

A ball that is not finite stands for what is not defined or not known.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import flint
import sympy
from flint import arb

__all__ = ["FUNCTIONS", "U", "compiled", "factored", "taylor", "tidied"]

U = sympy.Symbol("u", real=True)
_MOST_POWER = 40


def _even(function: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """A function monotone in |x|, between its values at both ends of |x|: Arb's own are not finite on wide balls."""
    return lambda x: function(x.abs_lower()).union(function(x.abs_upper())) if x.is_finite() else x


FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    sympy.sin: lambda x: x.sin(),
    sympy.cos: lambda x: x.cos(),
    sympy.tan: lambda x: x.tan(),
    sympy.exp: lambda x: x.exp(),
    sympy.log: lambda x: x.log(),
    sympy.sinh: lambda x: x.sinh(),
    sympy.cosh: _even(lambda x: x.cosh()),
    sympy.tanh: lambda x: x.tanh(),
    sympy.sech: _even(lambda x: x.sech()),
    sympy.atan: lambda x: x.atan(),
    sympy.asinh: lambda x: x.asinh(),
    sympy.erf: lambda x: x.erf(),
}


# The same of power series, which have no hyperbolic functions of their own
_OF_SERIES: dict[Any, Callable[[Any], Any]] = {
    **FUNCTIONS,
    sympy.sinh: lambda x: (x.exp() - (-x).exp()) / 2,
    sympy.cosh: lambda x: (x.exp() + (-x).exp()) / 2,
    sympy.tanh: lambda x: 1 - 2 / ((2 * x).exp() + 1),
    sympy.asinh: lambda x: (x + (x * x + 1).sqrt()).log(),
}


def taylor(expression: sympy.Expr, order: int, about: arb | int = 0) -> list[arb]:
    """Coefficients of u^0 .. u^order about a point, or balls that hold them for every point of a ball.

    At the working precision; not finite where it is not analytic there.
    """
    before, flint.ctx.cap = flint.ctx.cap, order + 1
    try:
        series = compiled(expression, _OF_SERIES)(flint.arb_series([about, 1]))
    except (ValueError, ZeroDivisionError):  # a quotient by a series that begins with 0
        return [arb(0, math.inf)] * (order + 1)
    finally:
        flint.ctx.cap = before
    known = list(series.coeffs()) if isinstance(series, flint.arb_series) else [series]
    return known + [arb(0)] * (order + 1 - len(known))


def compiled(expression: sympy.Expr, functions: dict[Any, Callable[[Any], Any]] = FUNCTIONS) -> Callable[[Any], Any]:
    """The expression as a function of balls, at the working precision of its calls."""
    return _compiled(expression, functions, {})


def _compiled(
    expression: sympy.Expr, functions: dict[Any, Callable[[Any], Any]], known: dict[sympy.Expr, Callable[[Any], Any]]
) -> Callable[[Any], Any]:
    """Equal parts are one function, which a call computes once."""
    if expression not in known:
        parts = [_compiled(part, functions, known) for part in expression.args]
        known[expression] = _computed_once(_operation(expression, functions, parts)) if parts else _leaf(expression)
    return known[expression]


def _leaf(expression: sympy.Expr) -> Callable[[Any], Any]:
    if expression == U:
        return lambda x: x
    if expression.is_Rational:
        p, q = int(expression.p), int(expression.q)
        return lambda _: arb(flint.fmpq(p, q))
    if expression in (sympy.pi, sympy.E):
        return (lambda _: arb.pi()) if expression == sympy.pi else (lambda _: arb(1).exp())
    return lambda _: arb(0, math.inf)


def _operation(
    expression: sympy.Expr, functions: dict[Any, Callable[[Any], Any]], parts: list[Callable[[Any], Any]]
) -> Callable[[Any], Any]:
    if expression.is_Add:
        return lambda x: sum((part(x) for part in parts), arb(0))
    if expression.is_Mul:
        return lambda x: math.prod((part(x) for part in parts), start=arb(1))
    if expression.is_Pow and expression.exp.is_Integer:
        k = int(expression.exp)
        return lambda x: parts[0](x) ** k
    if expression.is_Pow and (2 * expression.exp).is_Integer:
        half = int(2 * expression.exp)
        return lambda x: parts[0](x).sqrt() ** half
    if expression.func in functions:
        function = functions[expression.func]
        return lambda x: function(parts[0](x))
    return lambda _: arb(0, math.inf)


def _computed_once(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """f, which for the ball of the last call, at the same precision, returns what it was."""
    last: tuple[Any, int, Any] = (None, 0, None)

    def again(x: Any) -> Any:
        nonlocal last
        seen = last  # as one: another thread may write it meanwhile
        if seen[0] is x and seen[1] == flint.ctx.prec:
            return seen[2]
        value = f(x)
        last = (x, flint.ctx.prec, value)
        return value

    return again


@lru_cache(maxsize=256)
def tidied(expression: sympy.Expr) -> sympy.Expr:
    """The same number for every u, in a form whose boundedness and decay balls can see.

    exp(c u) of a rational function becomes (1 + t)/(1 - t), t = tanh(c u/2); sinh = tanh cosh and cosh = 1/sech; and
    tanh^2 becomes 1 - sech^2, so that no higher power of tanh hides a decay.
    """
    expression = _without_exponentials(sympy.expand_power_exp(expression))
    for part in expression.atoms(sympy.sinh):
        expression = expression.subs(part, sympy.tanh(part.args[0]) * sympy.cosh(part.args[0]))
    for part in expression.atoms(sympy.cosh):
        expression = expression.subs(part, 1 / sympy.sech(part.args[0]))
    for argument in {part.args[0] for part in expression.atoms(sympy.tanh)}:
        t, s = sympy.Symbol("t"), sympy.Symbol("s")
        inside = expression.subs(sympy.tanh(argument), t)
        if inside.is_polynomial(t):
            try:
                remainder = sympy.rem(sympy.Poly(inside, t), sympy.Poly(t**2 - 1 + s, t)).as_expr()
            except sympy.polys.polyerrors.BasePolynomialError:
                continue  # coefficients of which it is not known whether they vanish
            expression = sympy.expand(remainder).subs({t: sympy.tanh(argument), s: sympy.sech(argument) ** 2})
    return expression


def factored(expression: sympy.Expr) -> sympy.Expr:
    """The same in factors; SymPy alone would write exp(1000*u) as the power exp(u)**1000 and factor that."""
    rates = _rates(expression)
    if rates is None:
        names = {part: sympy.Dummy() for part in expression.atoms(sympy.exp) if part.has(U)}
        return sympy.factor(expression.subs(names)).subs({name: part for part, name in names.items()})
    unit, powers = rates
    e = sympy.Dummy(positive=True)
    return sympy.factor(expression.subs({part: e**k for part, k in powers.items()})).subs(e, sympy.exp(unit * U))


def _rates(expression: sympy.Expr) -> tuple[sympy.Rational, dict[sympy.Expr, sympy.Rational]] | None:
    """(a, {exp(k a u): k}) for the exponentials with u; None if they are no such powers, or higher ones than 40."""
    parts = [part for part in expression.atoms(sympy.exp) if part.has(U)]
    rates = [part.args[0] / U for part in parts]
    if not all(rate.is_Rational for rate in rates):
        return None
    unit = sympy.gcd_list([abs(rate) for rate in rates]) if rates else sympy.Integer(1)
    powers = {part: rate / unit for part, rate in zip(parts, rates, strict=True)}
    return None if any(abs(k) > _MOST_POWER for k in powers.values()) else (unit, powers)


def _without_exponentials(expression: sympy.Expr) -> sympy.Expr:
    rates = _rates(expression)
    if rates is None or not rates[1]:
        return expression
    unit, powers = rates
    e, u = sympy.Dummy("e"), sympy.Dummy("u")
    inside = expression.subs({part: e**k for part, k in powers.items()}).subs(U, u)
    if not inside.is_rational_function(e):
        return expression
    numerator, denominator = (sympy.Poly(part, e) for part in sympy.fraction(sympy.cancel(inside)))
    # with e = (1 + t)/(1 - t), both times (1 - t)^n
    n = max(numerator.degree(), denominator.degree())
    t = sympy.Symbol("t")
    above, below = (
        sympy.expand(sum(c * (1 + t) ** k * (1 - t) ** (n - k) for (k,), c in part.terms()))
        for part in (numerator, denominator)
    )
    # a denominator in t may vanish at infinity, which exp says better
    return expression if below.has(t) else (above / below).subs({t: sympy.tanh(unit * U / 2), u: U})
