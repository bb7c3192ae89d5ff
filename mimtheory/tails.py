"""What a SymPy expression of u is for all u >= R: u^power e^(rate u) times a number of an interval.

So growth and decay stay visible where intervals of values would be infinite. Power and rate are exact, the ends of the
interval are rounded outwards, and an end that is 0 stays 0. Proof: docs/theory/suprema.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from flint import arb

from mimtheory.ball_functions import FUNCTIONS, U, compiled
from mimtheory.balls import ball_of

__all__ = ["Interval", "NotKnown", "Tail", "tail_of"]


class NotKnown(ArithmeticError):
    """Nothing is proved for this R; a larger one may do."""


@dataclass(frozen=True)
class Interval:
    """All numbers from low to high; both ends are exact and finite."""

    low: arb
    high: arb

    def __add__(self, other: "Interval") -> "Interval":
        return _between(self.low + other.low, self.high + other.high)

    def __mul__(self, other: "Interval") -> "Interval":
        products = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return _hull(products)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def power(self, k: int) -> "Interval":
        """x^k; k < 0 only away from 0."""
        if k < 0 and not (self.low > 0 or self.high < 0):
            raise NotKnown("a quotient by what may vanish")
        ends = [self.low**k, self.high**k]
        # x^k is monotone on both sides of 0
        return _hull([*ends, arb(0)] if k > 0 and self.low < 0 < self.high else ends)

    def root(self) -> "Interval":
        """sqrt(x), for x >= 0."""
        if not self.low >= 0:
            raise NotKnown("a root of what may be negative")
        return _between(self.low.sqrt(), self.high.sqrt())

    def increasing(self, function: Callable[[arb], arb]) -> "Interval":
        """The image under an increasing function."""
        return _between(function(self.low), function(self.high))


def _between(low: arb, high: arb) -> Interval:
    if not (low.is_finite() and high.is_finite()):
        raise NotKnown("a number that is not finite")
    return Interval(low.lower(), high.upper())


def _hull(balls: list[arb]) -> Interval:
    if not all(ball.is_finite() for ball in balls):
        raise NotKnown("a number that is not finite")
    lows, highs = [ball.lower() for ball in balls], [ball.upper() for ball in balls]
    low, high = lows[0], highs[0]
    for a, b in zip(lows, highs, strict=True):
        low, high = a if a < low else low, b if b > high else high
    return Interval(low, high)


def _of_ball(ball: arb) -> Interval:
    return _between(ball, ball)


_ZERO_TO_ONE = Interval(arb(0), arb(1))
_ONE = Interval(arb(1), arb(1))


@dataclass(frozen=True)
class Tail:
    """u^power e^(rate u) times a number of the interval, for all u >= start > 1."""

    power: Fraction
    rate: Fraction
    interval: Interval
    start: Fraction

    @property
    def growth(self) -> int:
        """1 where u^power e^(rate u) grows without bound in the end, -1 where it falls to 0, 0 where it is 1."""
        leading = self.rate or self.power
        return (leading > 0) - (leading < 0)

    def values(self) -> Interval:
        """An interval of the values for all u >= start."""
        return self.interval * _scale(self.power, self.rate, self.start)


def _scale(power: Fraction, rate: Fraction, start: Fraction) -> Interval:
    """u^power e^(rate u) for all u >= start, where it does not increase from there on."""
    if power == rate == 0:
        return _ONE
    # the derivative of its logarithm is power/u + rate
    if not (rate <= 0 and power + rate * start <= 0):
        raise NotKnown("it grows")
    R = ball_of(start)
    return Interval(arb(0), (ball_of(power) * R.log() + ball_of(rate) * R).exp().upper())


def tail_of(expression: sympy.Expr, start: Fraction) -> Tail:
    """The expression for all u >= start > 1.

    Raises
    ------
    NotKnown
        Where nothing is proved.
    """
    if expression == U:
        return Tail(Fraction(1), Fraction(0), _ONE, start)
    if not expression.has(U):
        return _constant(_of_ball(compiled(expression)(arb(0))), start)
    if expression.is_Add:
        return _sum([tail_of(part, start) for part in expression.args], start)
    if expression.is_Mul:
        total = _constant(_ONE, start)
        for part in expression.args:
            total = _product(total, tail_of(part, start))
        return total
    if expression.is_Pow:
        return _power(tail_of(expression.base, start), expression.exp)
    if len(expression.args) != 1:
        raise NotKnown(f"{expression.func} is not known")
    name, (argument,) = expression.func, expression.args
    if name in _EXPONENTIAL:
        return _exponential(name, argument, start)
    return _function(name, tail_of(argument, start))


def _constant(interval: Interval, start: Fraction) -> Tail:
    return Tail(Fraction(0), Fraction(0), interval, start)


def _product(x: Tail, y: Tail) -> Tail:
    return Tail(x.power + y.power, x.rate + y.rate, x.interval * y.interval, x.start)


def _sum(parts: list[Tail], start: Fraction) -> Tail:
    """In units of the fastest part; what grows less is in those units at most what it is at the start."""
    top = max(parts, key=lambda part: (part.rate, part.power))
    total = Interval(arb(0), arb(0))
    for part in parts:
        total += part.interval * _scale(part.power - top.power, part.rate - top.rate, start)
    return Tail(top.power, top.rate, total, start)


def _power(base: Tail, exponent: sympy.Expr) -> Tail:
    twice = 2 * exponent
    if not twice.is_Integer:
        raise NotKnown("a power that is not known")
    k = Fraction(int(twice), 2)
    interval = base.interval.power(int(k)) if k.denominator == 1 else base.interval.root().power(int(twice))
    return Tail(base.power * k, base.rate * k, interval, base.start)


_BOUNDED = {
    sympy.sin: Interval(arb(-1), arb(1)),
    sympy.cos: Interval(arb(-1), arb(1)),
}
_INCREASING = (sympy.tanh, sympy.erf, sympy.atan, sympy.asinh, sympy.sinh, sympy.log)
_EXPONENTIAL = (sympy.exp, sympy.cosh, sympy.sinh, sympy.sech)


def _limit(name: Any) -> arb | None:
    """The limit of an odd increasing function at infinity, from above; None where it is infinite."""
    if name in (sympy.tanh, sympy.erf):
        return arb(1)
    return (arb.pi() / 2).upper() if name == sympy.atan else None


def _function(name: Any, x: Tail) -> Tail:
    if name in _BOUNDED:
        return _constant(_BOUNDED[name], x.start)
    if name not in _INCREASING:
        raise NotKnown(f"{name} is not known")
    if x.growth <= 0:
        return _constant(_image(name, x.values()), x.start)
    limit = _limit(name)
    if limit is None:
        return _logarithm(name, x)
    low, high = (_far(name, end, x, limit) for end in (x.interval.low, x.interval.high))
    return _constant(Interval(low[0], high[1]), x.start)


def _image(name: Any, values: Interval) -> Interval:
    if name == sympy.log and not values.low > 0:
        raise NotKnown("a logarithm of what may vanish")
    return values.increasing(FUNCTIONS[name])


def _far(name: Any, end: arb, x: Tail, limit: arb) -> tuple[arb, arb]:
    """Between which numbers an odd bounded increasing function of end u^power e^(rate u), which grows, lies."""
    if end == 0:
        return arb(0), arb(0)
    # u^power e^(rate u) has its least value at the start, if it increases from there on
    if x.rate < 0 or x.power + x.rate * x.start < 0:
        least = arb(0)
    else:
        R = ball_of(x.start)
        least = ((ball_of(x.power) * R.log() + ball_of(x.rate) * R).exp() * abs(end)).lower()
    value = FUNCTIONS[name](least).lower()
    return (value, limit) if end > 0 else (-limit, -value)


def _logarithm(name: Any, x: Tail) -> Tail:
    """log and asinh of what grows like a power: |asinh y| <= log(1 + 2|y|), and log u <= 2 u^(1/2) log(R)/R^(1/2)...

    For y = u^p w with 0 < w_0 <= w <= w_1: log y = p log u + log w, and log u / u^(1/2) decreases from u = e^2 on.
    """
    if x.rate != 0 or x.start < 8:
        raise NotKnown("a logarithm of what is not a power")
    R, p = ball_of(x.start), ball_of(x.power)
    interval = x.interval
    if name == sympy.asinh and interval.high <= 0:
        mirrored = _logarithm(name, Tail(x.power, x.rate, -interval, x.start))
        return Tail(mirrored.power, mirrored.rate, -mirrored.interval, x.start)
    if not interval.low > 0:
        raise NotKnown("a logarithm of what may vanish")
    # asinh y lies between log y and log(1 + 2 y), y > 0
    upper = interval.high if name == sympy.log else (2 * interval.high + R ** (-p)).upper()
    root = R.sqrt()
    least, most = interval.low.log().lower(), upper.log().upper()
    high = ((p * R.log() + (most if most > 0 else arb(0))) / root).upper()
    low = ((least if least < 0 else arb(0)) / root).lower()
    return Tail(Fraction(1, 2), Fraction(0), Interval(low, high), x.start)


def _exponential(name: Any, argument: sympy.Expr, start: Fraction) -> Tail:
    """exp, cosh, sinh, sech: of c u + d with rational c exactly, else of what is bounded or falls."""
    line = _line(argument)
    if line is not None:
        return _of_line(name, line[0], compiled(line[1])(arb(0)), start)
    x = tail_of(argument, start)
    if x.growth <= 0:
        values = x.values()
        if name in (sympy.exp, sympy.sinh):
            return _constant(values.increasing(FUNCTIONS[name]), start)
        return _constant(_of_ball(FUNCTIONS[name](values.low.union(values.high))), start)
    if name == sympy.exp and x.rate == 0 and x.power >= 1 and x.interval.high < 0:
        # x <= high u^power <= (high R^(power - 1)) u
        steepest = (x.interval.high * ball_of(start) ** ball_of(x.power - 1)).upper()
        return Tail(Fraction(0), _just_above(steepest), _ZERO_TO_ONE, start)
    raise NotKnown("an exponential that is not known")


@lru_cache(maxsize=256)
def _line(argument: sympy.Expr) -> tuple[Fraction, sympy.Expr] | None:
    """(c, d) of c u + d with rational c, else None."""
    line = sympy.Poly(argument, U) if argument.is_polynomial(U) else None
    if line is None or line.degree() != 1 or not line.nth(1).is_Rational:
        return None
    return Fraction(int(line.nth(1).p), int(line.nth(1).q)), line.nth(0)


def _just_above(x: arb) -> Fraction:
    """A short dyadic number not below x < 0, within a relative 2^-20."""
    mantissa, exponent = (int(part) for part in x.man_exp())
    shift = max(0, mantissa.bit_length() - 20)
    return -Fraction(abs(mantissa) >> shift) * Fraction(2) ** (exponent + shift)


def _of_line(name: Any, c: Fraction, d: arb, start: Fraction) -> Tail:
    """Of c u + d."""
    if name == sympy.exp:
        return Tail(Fraction(0), c, _of_ball(d.exp()), start)
    if c < 0 and name == sympy.sinh:
        mirrored = _of_line(name, -c, -d, start)
        return Tail(mirrored.power, mirrored.rate, -mirrored.interval, start)
    c, d = (c, d) if c > 0 else (-c, -d)
    # e^(-2(c u + d)) for u >= start
    small = Interval(arb(0), (-2 * (ball_of(c * start) + d)).exp().upper())
    one = _ONE
    if name == sympy.sech:
        sum_of_both = one + small
        return Tail(Fraction(0), -c, _of_ball(2 * (-d).exp()) * sum_of_both.power(-1), start)
    both = one + (small if name == sympy.cosh else -small)
    return Tail(Fraction(0), c, _of_ball(d.exp() / 2) * both, start)
