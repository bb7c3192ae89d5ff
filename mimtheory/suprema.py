"""Rigorous suprema of |f| over the line or a part of it, f a SymPy expression of u: branch and bound, proven tails.

Boxes are bounded by f(m) + f'(X)(X - m) in ball arithmetic, boxes without end by the growth of f (`tails`), and the
most promising one is cut. Proof: docs/theory/suprema.md.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import sympy
from flint import arb

from mimtheory.ball_functions import U, compiled, factored, tidied
from mimtheory.balls import ball_of, bounds, precision
from mimtheory.tails import Interval, NotKnown, Tail, tail_of

__all__ = ["ODD_INCREASING", "Supremum", "analytic", "beyond", "certified_supremum", "enclosed", "positive"]

ODD_INCREASING = (sympy.sinh, sympy.tanh, sympy.atan, sympy.asinh, sympy.erf)
_BITS = 80
_RELATIVE = 2e-7
_MOST = 1_500
_QUICK = 400  # steps after which less accuracy is wanted
_FARTHEST = 2.0**60

End = Fraction | None


@dataclass(frozen=True)
class Supremum:
    """lower <= sup <= upper, both proved; upper is infinite where the supremum is, and where nothing was proved.

    Attributes
    ----------
    lower, upper : float
    proved : bool
        Whether upper is a proven bound, or the supremum is proven to be infinite.
    at : float
        A u at which lower is exceeded; not a number where it is 0 or proved by the growth of f.
    """

    lower: float
    upper: float
    proved: bool
    at: float = field(default=math.nan, compare=False)


def certified_supremum(
    expression: sympy.Expr, sign: int = 0, start: End = None, stop: End = None, enough: float = math.inf
) -> Supremum:
    """sup |f| (sign 0), sup max(f, 0) (sign 1) or sup max(-f, 0) (sign -1), f an expression of the real symbol u.

    Over start < u < stop, None being an infinite end. f has to be differentiable there, which `analytic` may prove. The
    search ends where the supremum is known to be larger than `enough`.

    Examples
    --------
    >>> found = certified_supremum(sympy.diff(sympy.tanh(U), U, 2))
    >>> found.lower <= 4 / (3 * math.sqrt(3)) <= found.upper
    True
    """
    if sign and _signs(factored(expression), start, stop)[0 if sign < 0 else 1]:
        return Supremum(0.0, 0.0, True)
    if start is None and stop is None and (period := _period(expression)):
        start, stop = -period, period
    with precision(_BITS):
        return _Search(expression, sign, start, stop).run(enough)


def enclosed(expression: sympy.Expr, order: int = 0) -> Callable[[arb], arb]:
    """The derivative of this order of an expression of u as a function of balls, at the working precision.

    Of two forms the one with the smaller ball counts, ball by ball; not finite where it is not known.
    """
    forms = [compiled(tidied(sympy.diff(form, U, order))) for form in dict.fromkeys((expression, tidied(expression)))]

    def function(x: arb) -> arb:
        balls = [ball for ball in (form(x) for form in forms) if ball.is_finite()]
        return min(balls, key=lambda ball: float(ball.rad()), default=arb(0, math.inf))

    return function


def beyond(expression: sympy.Expr, side: int, start: Fraction) -> Interval | None:
    """An interval of f(side u) for all u >= start > 1, at the working precision; None where none is known."""
    found = []
    for form in _forms(expression, side):
        try:
            found.append(tail_of(form, start).values())
        except NotKnown:
            continue
    return min(found, key=lambda interval: float(interval.high - interval.low), default=None)


def analytic(expression: sympy.Expr, start: End = None, stop: End = None) -> bool:
    """Whether it is proved analytic for start <= u <= stop: no kink, no root, logarithm or quotient of what may vanish.

    To be asked of a formula as it was written: a second derivative does not show a kink such as that of
    sqrt((u - 1/3)**2) once it has been simplified.
    """
    known = (sympy.exp, sympy.sin, sympy.cos, sympy.sinh, sympy.cosh, sympy.tanh, sympy.atan, sympy.asinh, sympy.erf)
    for part in sympy.preorder_traversal(expression):
        if not part.has(U) or part == U or part.is_Add or part.is_Mul or part.func in known:
            continue
        if part.is_Pow:
            whole = part.exp.is_Integer
            safe = whole and (part.exp > 0 or positive(-part.base, start, stop))
            if not (safe or (part.exp.is_Rational and positive(part.base, start, stop))):
                return False
        elif part.func != sympy.log or not positive(part.args[0], start, stop):
            return False
    return True


def positive(expression: sympy.Expr, start: End = None, stop: End = None) -> bool:
    """Whether f(u) > 0 is proved for start <= u <= stop."""
    if _strictly_positive(expression, start, stop):
        return True
    f = compiled(expression)
    with precision(_BITS):
        boxes = list(_boxes(*_outward(start, stop)))
        for _ in range(_MOST):
            if not boxes:
                return True
            left, right = boxes.pop()
            if math.isinf(left) or math.isinf(right):
                side, near = (1, left) if math.isinf(right) else (-1, -right)
                interval = beyond_sign(expression, side, Fraction(near))
                known = interval is not None and bool(interval.low > 0)
            else:
                known = bool(f(arb(left).union(arb(right))) > 0)
            if not known:
                cut = _cut(left, right)
                if cut is None:
                    return False
                boxes += [(left, cut), (cut, right)]
    return False


def beyond_sign(expression: sympy.Expr, side: int, start: Fraction) -> Interval | None:
    """An interval with the signs of f(side u) for all u >= start, as u^a e^(b u) > 0."""
    for form in _forms(expression, side):
        try:
            return tail_of(form, start).interval
        except NotKnown:
            continue
    return None


def _forms(expression: sympy.Expr, side: int) -> list[sympy.Expr]:
    return [form.subs(U, side * U) for form in dict.fromkeys((tidied(expression), expression))]


def _period(expression: sympy.Expr) -> Fraction | None:
    """Half a period, or a little more, where it depends on u through sin and cos of rational multiples of u only."""
    parts = expression.atoms(sympy.sin, sympy.cos)
    plain = expression.subs({part: sympy.Dummy() for part in parts})
    rates = [part.args[0] / U for part in parts if part.has(U)]
    if plain.has(U) or not rates or not all(rate.is_Rational for rate in rates):
        return None
    unit = sympy.gcd_list(rates)
    return Fraction(22, 7) / Fraction(int(unit.p), int(unit.q))  # 22/7 > pi


# Boxes: ends are doubles, an infinite one stands for a box without end


def _outward(start: End, stop: End) -> tuple[float, float]:
    left = -math.inf if start is None else bounds(ball_of(start))[0]
    return left, math.inf if stop is None else bounds(ball_of(stop))[1]


def _boxes(left: float, right: float) -> Iterator[tuple[float, float]]:
    """The first cuts: at 0 and, before an end at infinity, at 1 or twice as far as the other end."""
    cuts = [0.0] if left < 0 < right else []
    if math.isinf(left):
        cuts.insert(0, min(-1.0, 2 * right))
    if math.isinf(right):
        cuts.append(max(1.0, 2 * left))
    ends = [left, *cuts, right]
    return itertools.pairwise(ends)


def _cut(left: float, right: float) -> float | None:
    """Where to cut a box in two; None where it cannot be cut any more."""
    if math.isinf(left):
        return 2 * right if right > -_FARTHEST else None
    if math.isinf(right):
        return 2 * left if left < _FARTHEST else None
    near, far = sorted((abs(left), abs(right)))
    middle = (left + right) / 2
    if left * right > 0 and far > 4 * near:
        middle = math.copysign(math.sqrt(near) * math.sqrt(far), middle)
    return middle if left < middle < right else None


class _Search:
    """Branch and bound for one supremum."""

    def __init__(self, expression: sympy.Expr, sign: int, start: End, stop: End) -> None:
        self.sign, self.ends = sign, _outward(start, stop)
        self.inner = start, stop
        # the tidied form is the better one nearly always, not for exp(-(u - 500)**2)
        forms = dict.fromkeys((tidied(expression), expression))
        self.forms = [(compiled(form), compiled(tidied(sympy.diff(form, U)))) for form in forms]
        self.tails = {side: _forms(expression, side) for side in (1, -1)}
        self.best, self.at = 0.0, math.nan
        self.infinite = False

    def run(self, enough: float) -> Supremum:
        for x in self._first_points():
            self._try(x)
        heap = [(-self._bound(*box), *box) for box in _boxes(*self.ends)]
        heapq.heapify(heap)
        for step in range(_MOST):
            top, left, right = heap[0]
            wanted = _RELATIVE * (1 + (step / _QUICK) ** 4)
            cut = None if -top <= self.best * (1 + wanted) + 1e-30 else _cut(left, right)
            if cut is None or self.infinite or self.best > enough:
                break
            self._try(cut)
            heapq.heapreplace(heap, (-self._bound(left, cut), left, cut))
            heapq.heappush(heap, (-self._bound(cut, right), cut, right))
        if self.infinite:
            return Supremum(math.inf, math.inf, True)
        upper = max(self.best, -heap[0][0])
        return Supremum(self.best, upper, math.isfinite(upper), self.at)

    def _first_points(self) -> list[float]:
        points = [side * 2.0**k for side in (1, -1) for k in range(-40, 41)] + [k / 2 for k in range(-32, 33)]
        left, right = self.ends
        if math.isfinite(left) and math.isfinite(right):
            points += [left + (right - left) * k / 64 for k in range(1, 64)]
        return points

    def _try(self, x: float) -> None:
        """A value is a lower bound."""
        start, stop = self.inner
        if (start is None or x > start) and (stop is None or x < stop):
            for f, _ in self.forms:
                value = self._least(f(arb(x)))
                if value > self.best:
                    self.best, self.at = value, x

    def _least(self, ball: arb) -> float:
        return bounds(self._signed(ball))[0]

    def _signed(self, ball: arb) -> arb:
        return abs(ball) if self.sign == 0 else ball if self.sign > 0 else -ball

    def _bound(self, left: float, right: float) -> float:
        if math.isinf(left) or math.isinf(right):
            return self._bound_without_end(1, left) if math.isinf(right) else self._bound_without_end(-1, -right)
        x, m = arb(left).union(arb(right)), arb((left + right) / 2)
        found = math.inf
        for f, slope in self.forms:
            if found > self.best * (1 + _RELATIVE):
                balls = [ball for ball in (f(m) + slope(x) * (x - m), f(x)) if ball.is_finite()]
                found = min([found, *(bounds(self._signed(ball))[1] for ball in balls)])
        near = min(abs(left), abs(right))
        if near > 0 and found > self.best * (1 + _RELATIVE):
            side = 1 if left > 0 else -1
            found = min([found, *(self._most(tail) for tail in itertools.islice(self._tails(side, near), 1))])
        return max(found, 0.0)

    def _bound_without_end(self, side: int, near: float) -> float:
        found = math.inf
        for tail in self._tails(side, near):
            low, high = (
                (-tail.interval.high, -tail.interval.low) if self.sign < 0 else (tail.interval.low, tail.interval.high)
            )
            if tail.growth > 0:
                self.infinite |= bool(low > 0) or (self.sign == 0 and bool(high < 0))
                found = 0.0 if self.sign and high <= 0 else found
            else:
                found = min(found, self._most(tail))
                if tail.growth == 0:
                    values = low.union(high)
                    value = bounds(abs(values) if self.sign == 0 else values)[0]
                    if value > self.best:
                        self.best, self.at = value, side * near
        return found

    def _tails(self, side: int, near: float) -> Iterator[Tail]:
        for form in self.tails[side]:
            try:
                yield tail_of(form, Fraction(near))
            except NotKnown:
                continue

    def _most(self, tail: Tail) -> float:
        try:
            values = tail.values()
        except NotKnown:
            return math.inf
        ends = {0: (-values.low, values.high), 1: (values.high,), -1: (-values.low,)}[self.sign]
        return max(0.0, *(bounds(end)[1] for end in ends))


def _signs(expression: sympy.Expr, start: End, stop: End) -> tuple[bool, bool]:
    """(f >= 0, f <= 0): what is seen from the form of the expression, for start <= u <= stop."""
    if expression == U:
        return start is not None and start >= 0, stop is not None and stop <= 0
    if expression.is_Rational:
        return bool(expression >= 0), bool(expression <= 0)
    parts = [_signs(part, start, stop) for part in expression.args]
    if expression.is_Add:
        return all(part[0] for part in parts), all(part[1] for part in parts)
    if expression.is_Mul:
        if not all(any(part) for part in parts):
            return False, False
        odd = sum(not part[0] for part in parts) % 2 == 1
        return not odd, odd
    if expression.is_Pow and expression.exp.is_Rational:
        if expression.exp.is_Integer and expression.exp % 2 == 0:
            return True, False
        above = parts[0][0] or not expression.exp.is_Integer
        return above, parts[0][1] and not above
    if expression.func in (sympy.exp, sympy.cosh, sympy.sech) or expression in (sympy.pi, sympy.E):
        return True, False
    return parts[0] if expression.func in ODD_INCREASING else (False, False)


def _strictly_positive(expression: sympy.Expr, start: End, stop: End) -> bool:
    """Whether f > 0 is seen from the form of the expression."""
    parts = expression.args
    if expression.is_Add:
        return all(_signs(part, start, stop)[0] for part in parts) and any(
            _strictly_positive(part, start, stop) for part in parts
        )
    if expression.is_Mul:
        return all(_strictly_positive(part, start, stop) for part in parts)
    if expression.is_Pow and expression.exp.is_Rational:
        return _strictly_positive(expression.base, start, stop)
    if expression == U:
        return start is not None and start > 0
    return expression.func in (sympy.exp, sympy.cosh) or bool(expression.is_Rational and expression > 0)
