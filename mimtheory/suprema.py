"""Rigorous suprema of |f| over the line, f a SymPy expression of u: branch and bound in ball arithmetic, proven tails.

On [-R, R] boxes are bounded by f(m) + f'(X)(X - m) and the most promising one is halved. Beyond R every subexpression
is kept as u^a e^(b u) times a ball that holds for all u >= R, so that growth and decay stay visible.
Proof: docs/theory/suprema.md.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import flint
import sympy
from flint import arb

from mimtheory.balls import bounds, precision

__all__ = ["REACH", "Supremum", "analytic", "certified_supremum", "enclosed", "never_negative_beyond"]

_BITS = 80
REACH = 32
_RELATIVE = 2e-7
_MOST = 4_000
_U = sympy.Symbol("u", real=True)


@dataclass(frozen=True)
class Supremum:
    """lower <= sup <= upper, both proved; upper is infinite where the supremum is, and where nothing was proved.

    Attributes
    ----------
    lower, upper : float
    proved : bool
        Whether upper is a proven bound, or the supremum is proven to be infinite.
    """

    lower: float
    upper: float
    proved: bool


def certified_supremum(expression: sympy.Expr, sign: int = 0) -> Supremum:
    """sup |f| (sign 0), sup f (sign 1) or sup -f (sign -1) over the line, f an expression of the real symbol u.

    Examples
    --------
    >>> found = certified_supremum(sympy.diff(sympy.tanh(_U), _U, 2))
    >>> found.lower <= 4 / (3 * math.sqrt(3)) <= found.upper
    True
    """
    expression = _tidied(expression)
    with precision(_BITS):
        # one period of what is periodic lies within [-R, R]
        tails = [0.0] if _periodic(expression) else [_tail(expression.subs(_U, side * _U), sign) for side in (1, -1)]
        if math.inf in tails:
            return Supremum(math.inf, math.inf, True)
        known = [tail for tail in tails if tail is not None]
        if len(known) < len(tails):
            return Supremum(0.0, math.inf, False)
        lower, upper = _on_interval(expression, sign, max(known))
    return Supremum(lower, max(upper, *known), math.isfinite(upper))


def enclosed(expression: sympy.Expr, order: int = 0) -> Callable[[arb], arb]:
    """The derivative of this order of an expression of u as a function of balls, at the working precision.

    Of two forms the one with the smaller ball counts, ball by ball; not finite where it is not known.
    """
    forms = [
        _compiled(_tidied(sympy.diff(form, _U, order))) for form in dict.fromkeys((expression, _tidied(expression)))
    ]

    def function(x: arb) -> arb:
        balls = [ball for ball in (form(x) for form in forms) if ball.is_finite()]
        return min(balls, key=lambda ball: float(ball.rad()), default=arb(0, math.inf))

    return function


def never_negative_beyond(expression: sympy.Expr) -> bool:
    """Whether f(u) >= 0 is proved for all |u| >= REACH."""
    factored = sympy.factor(expression)
    without = sympy.Mul(*(part for part in sympy.Mul.make_args(factored) if part.func != sympy.exp))
    with precision(_BITS):
        return any(
            all(_not_negative(_tidied(form).subs(_U, side * _U)) for side in (1, -1)) for form in (factored, without)
        )


def analytic(expression: sympy.Expr) -> bool:
    """Whether it is proved analytic on the whole line: no root, logarithm or quotient of what may vanish.

    To be asked of a formula as it was written: a second derivative does not show a kink such as that of
    sqrt((u - 1/3)**2) once it has been simplified.
    """
    if expression.has(sympy.tan, sympy.Abs, sympy.Max):
        return False
    for part in expression.atoms(sympy.Pow):
        whole = part.exp.is_Integer
        harmless = not part.base.has(_U) or (whole and part.exp > 0)
        if not (harmless or _positive(part.base) or (whole and _positive(-part.base))):
            return False
    return all(_positive(part.args[0]) for part in expression.atoms(sympy.log) if part.has(_U))


def _positive(expression: sympy.Expr) -> bool:
    """Whether f(u) > 0 is proved for all u."""
    f = _compiled(expression)
    with precision(_BITS):
        for side in (1, -1):
            tail = _scaled(_tidied(expression.subs(_U, side * _U)))
            if tail is None or not tail.ball > 0:
                return False
        boxes = [(float(k), float(k + 1)) for k in range(-REACH, REACH)]
        for _ in range(_MOST):
            if not boxes:
                return True
            left, right = boxes.pop()
            if not f(arb(left).union(arb(right))) > 0:
                middle = (left + right) / 2
                boxes += [(left, middle), (middle, right)]
    return False


def _not_negative(expression: sympy.Expr) -> bool:
    """Whether it is not negative for u >= REACH: u^a e^(b u) is positive, so its sign is that of the ball."""
    tail = _scaled(expression)
    return tail is not None and tail.ball.is_finite() and bool(tail.ball >= 0)


def _periodic(expression: sympy.Expr) -> bool:
    """Whether it depends on u through sin and cos of u/2 times integers only: of period 4 pi < R."""
    parts = expression.atoms(sympy.sin, sympy.cos)
    plain = expression.subs({part: sympy.Dummy() for part in parts})
    return not plain.has(_U) and all((2 * part.args[0] / _U).is_Integer for part in parts)


def _on_interval(expression: sympy.Expr, sign: int, beyond: float) -> tuple[float, float]:
    """Lower and upper bound of the supremum over [-R, R]; what is below `beyond` need not be resolved."""
    f, slope = _compiled(expression), _compiled(_tidied(sympy.diff(expression, _U)))

    def value(x: arb) -> tuple[float, float]:
        ball = f(x)
        return bounds({0: abs(ball), 1: ball, -1: -ball}[sign])

    def bound(left: float, right: float) -> float:
        x, m = arb(left).union(arb(right)), arb((left + right) / 2)
        centred = f(m) + slope(x) * (x - m)
        plain = f(x)
        both = [ball for ball in (centred, plain) if ball.is_finite()]
        if not both:
            return math.inf
        return min(bounds({0: abs(ball), 1: ball, -1: -ball}[sign])[1] for ball in both)

    best = max(0.0, *(value(arb(k) / 4)[0] for k in range(-4 * REACH, 4 * REACH + 1)))
    heap = [(-bound(k, k + 1), float(k), float(k + 1)) for k in range(-REACH, REACH)]
    heapq.heapify(heap)
    for _ in range(_MOST):
        top, left, right = heap[0]
        if -top <= max(best, beyond) * (1 + _RELATIVE) + 1e-30:
            break
        middle = (left + right) / 2
        best = max(best, value(arb(middle))[0])
        heapq.heapreplace(heap, (-bound(left, middle), left, middle))
        heapq.heappush(heap, (-bound(middle, right), middle, right))
    return best, max(best, -heap[0][0])


_FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    sympy.sin: lambda x: x.sin(),
    sympy.cos: lambda x: x.cos(),
    sympy.tan: lambda x: x.tan(),
    sympy.exp: lambda x: x.exp(),
    sympy.log: lambda x: x.log(),
    sympy.sinh: lambda x: x.sinh(),
    sympy.cosh: lambda x: x.cosh(),
    sympy.tanh: lambda x: x.tanh(),
    sympy.sech: lambda x: x.sech(),
    sympy.atan: lambda x: x.atan(),
    sympy.asinh: lambda x: x.asinh(),
    sympy.erf: lambda x: x.erf(),
}


def _compiled(expression: sympy.Expr) -> Callable[[arb], arb]:
    """The expression as a function of balls; a ball that is not finite where it is not defined or not known."""
    if expression == _U:
        return lambda x: x
    if expression.is_Rational:
        p, q = int(expression.p), int(expression.q)
        return lambda _: arb(flint.fmpq(p, q))
    if expression in (sympy.pi, sympy.E):
        return (lambda _: arb.pi()) if expression == sympy.pi else (lambda _: arb(1).exp())
    parts = [_compiled(part) for part in expression.args]
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
    if expression.func in _FUNCTIONS:
        function = _FUNCTIONS[expression.func]
        return lambda x: function(parts[0](x))
    return lambda _: arb(0, math.inf)


# Tails


@dataclass(frozen=True)
class _Scaled:
    """u^power e^(rate u) times a number within the ball, for all u >= R."""

    power: sympy.Rational
    rate: float
    ball: arb


_ZERO = sympy.Rational(0)


def _tail(expression: sympy.Expr, sign: int) -> float | None:
    """Bound on the supremum beyond R; infinite where it is proved to be, None where nothing is proved."""
    found = _scaled(expression)
    if found is None or not found.ball.is_finite():
        return None
    growing = found.rate > 0 or (found.rate == 0 and found.power > 0)
    if growing:
        definite = found.ball > 0 if sign > 0 else found.ball < 0 if sign < 0 else not found.ball.contains(0)
        return math.inf if definite else None
    scale = _largest(found.power, found.rate)
    ball = found.ball * scale.union(arb(0))
    return None if not scale.is_finite() else max(0.0, bounds({0: abs(ball), 1: ball, -1: -ball}[sign])[1])


def _largest(power: sympy.Rational, rate: float) -> arb:
    """Bound on u^power e^(rate u) for u >= R, not growing."""
    R = arb(REACH)
    p = arb(flint.fmpq(int(power.p), int(power.q)))
    if power > 0 and not p < -arb(rate) * R:
        return arb(0, math.inf)  # it still grows at R
    return (p * R.log() + arb(rate) * R).exp()


def _scaled(expression: sympy.Expr) -> _Scaled | None:
    if expression == _U:
        return _Scaled(sympy.Rational(1), 0.0, arb(1))
    if not expression.has(_U):
        return _Scaled(_ZERO, 0.0, _compiled(expression)(arb(0)))
    if expression.is_Add:
        return _sum(expression.args)
    if expression.is_Mul:
        total = _Scaled(_ZERO, 0.0, arb(1))
        for part in map(_scaled, expression.args):
            if part is None:
                return None
            total = _Scaled(total.power + part.power, total.rate + part.rate, total.ball * part.ball)
        return total
    if expression.is_Pow:
        return _power(_scaled(expression.base), expression.exp)
    inner = _scaled(expression.args[0]) if len(expression.args) == 1 else None
    return None if inner is None else _function(expression.func, inner)


def _sum(parts: "tuple[sympy.Expr, ...]") -> _Scaled | None:
    """The sum in units of its fastest growing part; what grows less is at most its value at R in those units."""
    scaled = [_scaled(part) for part in parts]
    known = [part for part in scaled if part is not None]
    if len(known) != len(scaled):
        return None
    top = max(known, key=lambda part: (part.rate, part.power))
    ball = arb(0)
    for part in known:
        ratio = (part.power - top.power, part.rate - top.rate)
        if ratio == (0, 0):
            ball += part.ball
        else:
            largest = _largest(*ratio)
            if not largest.is_finite():
                return None
            ball += part.ball * largest.union(arb(0))
    return _Scaled(top.power, top.rate, ball)


def _power(base: _Scaled | None, exponent: sympy.Expr) -> _Scaled | None:
    if base is None or not (2 * exponent).is_Integer:
        return None
    if exponent.is_Integer:
        ball = base.ball ** int(exponent)
    else:
        if not base.ball > 0:
            return None
        ball = base.ball.sqrt() ** int(2 * exponent)
    return _Scaled(base.power * exponent, base.rate * float(exponent), ball) if ball.is_finite() else None


def _function(name: Any, x: _Scaled) -> _Scaled | None:
    constant = x.power == 0 and x.rate == 0
    if name in (sympy.sin, sympy.cos):
        return _Scaled(_ZERO, 0.0, arb(0, 1))
    if name in (sympy.tanh, sympy.erf) or (constant and name in _FUNCTIONS):
        decaying = x.rate < 0 or (x.rate == 0 and x.power <= 0)
        ends = x.ball * _largest(x.power, x.rate).union(arb(0)) if decaying and not constant else x.ball
        if decaying:
            return _Scaled(_ZERO, 0.0, _FUNCTIONS[name](ends))
        return _Scaled(_ZERO, 0.0, _beyond(name, x))
    if name == sympy.atan:
        return _Scaled(_ZERO, 0.0, (arb.pi() / 2) * arb(0, 1))
    if x.rate != 0 or x.power < 1:
        return None
    return _exponential(name, x)


def _beyond(name: Any, x: _Scaled) -> arb:
    """tanh or erf of what grows."""
    if x.ball.contains(0) or x.rate < 0:
        return arb(0, 1)
    least = abs(x.ball).lower() * arb(REACH) ** arb(flint.fmpq(int(x.power.p), int(x.power.q)))
    value = _FUNCTIONS[name](least.lower()).union(arb(1))
    return value if x.ball > 0 else -value


def _exponential(name: Any, x: _Scaled) -> _Scaled | None:
    """exp, sinh, cosh, sech of c u^a with a >= 1."""
    linear = x.power == 1 and x.ball.is_exact()
    if name == sympy.exp:
        if linear:
            return _Scaled(_ZERO, float(x.ball), arb(1))
        if x.ball < 0:  # u^a c <= u (R^(a - 1) c)
            rate = x.ball * arb(REACH) ** arb(flint.fmpq(int(x.power.p - x.power.q), int(x.power.q)))
            return _Scaled(_ZERO, bounds(rate)[1], arb(0).union(arb(1)))
        return None
    if name in (sympy.cosh, sympy.sinh, sympy.sech) and linear:
        c = abs(float(x.ball))
        small = (-2 * arb(c) * REACH).exp().union(arb(0))
        if name == sympy.sech:
            return _Scaled(_ZERO, -c, 2 / (1 + small))
        half = (1 + small) / 2 if name == sympy.cosh else (1 - small) / 2 * (1 if x.ball > 0 else -1)
        return _Scaled(_ZERO, c, half)
    return None


@lru_cache(maxsize=256)
def _tidied(expression: sympy.Expr) -> sympy.Expr:
    """The same number for every u, in a form whose boundedness and decay balls can see.

    exp(c u) of a rational function becomes (1 + t)/(1 - t), t = tanh(c u/2); sinh = tanh cosh and cosh = 1/sech; and
    tanh^2 becomes 1 - sech^2, so that no higher power of tanh hides a decay.
    """
    expression = _without_exponentials(expression)
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


def _without_exponentials(expression: sympy.Expr) -> sympy.Expr:
    rates = {part.args[0] / _U for part in expression.atoms(sympy.exp)}
    if not rates or not all(rate.is_Rational for rate in rates):
        return expression
    unit = sympy.gcd_list([sympy.Rational(abs(rate)) for rate in rates])
    t, u = sympy.Symbol("t"), sympy.Dummy()
    inside = expression.subs(
        {part: ((1 + t) / (1 - t)) ** (part.args[0] / _U / unit) for part in expression.atoms(sympy.exp)}
    )
    inside = inside.subs(_U, u)
    if not inside.is_rational_function(t):
        return expression
    numerator, denominator = sympy.fraction(sympy.cancel(inside))
    # a denominator in t may vanish at infinity, which exp says better
    if denominator.has(t):
        return expression
    return (numerator / denominator).subs({t: sympy.tanh(unit * _U / 2), u: _U})
