"""Arb balls: working precision, exact conversion from and to rationals and text, and printing of certified digits only.

A ball is a midpoint and a radius; it contains the number it stands for. Arb keeps that promise through every
operation, so whatever is computed from balls alone is proved up to the correctness of Arb.
"""

import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import flint

from mimtheory.polynomials import Surd

__all__ = [
    "ball_from_text",
    "ball_of",
    "ball_to_text",
    "bounds",
    "certified_text",
    "double_of",
    "half_normal_mass",
    "midpoint_and_radius",
    "normal_density",
    "precision",
    "surd_ball",
    "widened",
]

_MOST_PLACES = 3900
_LARGEST_IN_FULL, _DIGITS_OF_LARGE = 10**300, 18  # a larger number is printed with an exponent
_ONE_AT_A_TIME = threading.RLock()
_BALL = re.compile(r"(-?[0-9]{1,4000})\*2\^(-?[0-9]{1,6}) \+- ([0-9]{1,20})\*2\^(-?[0-9]{1,6})")


def _after_fork() -> None:
    # a thread that held it does not live in the child
    global _ONE_AT_A_TIME
    _ONE_AT_A_TIME = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Compute with this many bits inside the block; the precision of before returns with its end.

    One thread at a time is inside: Arb's precision is that of the process, and another thread would change it.
    """
    with _ONE_AT_A_TIME:
        before = flint.ctx.prec
        flint.ctx.prec = bits
        try:
            yield
        finally:
            flint.ctx.prec = before


def ball_of(x: Fraction) -> flint.arb:
    """A ball around the rational, exact where the working precision allows."""
    return flint.arb(flint.fmpq(x.numerator, x.denominator))


def surd_ball(surd: Surd) -> flint.arb:
    """A ball around a number of Q(sqrt 2, sqrt 3, ...)."""
    total = flint.arb(0)
    for s, value in surd.items():
        total += flint.arb(value) * flint.arb(s).sqrt()
    return total


def normal_density(x: Any) -> Any:
    """phi(x) = e^(-x^2/2)/sqrt(2 pi) of a ball, or of a power series in balls."""
    return (-x * x / 2).exp() / (2 * flint.arb.pi()).sqrt()


def half_normal_mass(x: flint.arb) -> flint.arb:
    """int_0^x phi = erf(x/sqrt 2)/2."""
    return (x / flint.arb(2).sqrt()).erf() / 2


def widened(x: float, radius: float) -> flint.arb:
    """The ball of all numbers within `radius` of x."""
    return flint.arb(x, radius) if math.isfinite(radius) else flint.arb(0, math.inf)


def midpoint_and_radius(ball: flint.arb) -> tuple[Fraction, Fraction]:
    """Both exactly; the ball must be finite."""
    return _dyadic(ball.mid()), _dyadic(ball.rad())


def bounds(ball: flint.arb) -> tuple[float, float]:
    """Doubles below and above every number of the ball, those nearest to its ends (infinite where it is not finite)."""
    if not ball.is_finite():
        return -math.inf, math.inf
    return 0.0 - _double_above(-ball.lower()), _double_above(ball.upper())


def double_of(ball: flint.arb) -> tuple[float, float]:
    """A double near the midpoint, infinite beyond the doubles, and a bound on its distance from the ball's numbers."""
    value = float(ball.mid())
    if not ball.is_finite():
        return math.nan, math.inf
    if not math.isfinite(value):
        return value, math.inf
    # the difference is rounded to the working precision, which adds to its radius
    return value, _double_above((ball - flint.arb(value)).abs_upper())


def _double_above(x: flint.arb) -> float:
    """The least double that is not below this exact number: the nearest one, or its neighbour."""
    value = float(x)
    return value if flint.arb(value) >= x else math.nextafter(value, math.inf)


def ball_to_text(ball: flint.arb) -> str:
    """Midpoint and radius as exact dyadic numbers, "m*2^e +- n*2^f"."""
    (m, e), (n, f) = ball.mid().man_exp(), ball.rad().man_exp()
    return f"{int(m)}*2^{int(e)} +- {int(n)}*2^{int(f)}"


def ball_from_text(text: str) -> flint.arb:
    """A ball that contains the one written by `ball_to_text`, larger by rounding only; ValueError for other texts, and
    for more digits than exact arithmetic with the ball would end with."""
    parts = _BALL.fullmatch(text)
    if parts is None:
        raise ValueError(f"ball = {text[:60]!r}; allowed: 'm*2^e +- n*2^f' with integers")
    m, e, n, f = map(int, parts.groups())
    middle, radius = flint.arb(m) * flint.arb(2) ** e, flint.arb(n) * flint.arb(2) ** f
    return flint.arb(middle.mid(), (radius + middle.rad()).upper())


def certified_text(ball: flint.arb, digits: int | None = None) -> str:
    """Decimal digits, those that are not certain in brackets with the radius: 0.3255643149[37±6.5e-13].

    Parameters
    ----------
    ball : arb
    digits : int, optional
        Print at most this many decimal places; the radius grows by what is cut.
    """
    if not ball.is_finite():
        return "[unknown]"
    middle, radius = midpoint_and_radius(ball)
    if abs(middle) >= _LARGEST_IN_FULL:
        return ball.str(_DIGITS_OF_LARGE)
    if radius == 0 and middle.denominator == 1:
        return str(middle)
    place = 40 if radius == 0 else min(-_ceil_log10(radius), _MOST_PLACES)
    place = max(0, place if digits is None else min(place, digits))
    scaled = round(middle * 10**place)
    radius += abs(middle - Fraction(scaled, 10**place))
    text = _decimal(scaled, place)
    if radius == 0:
        return text
    low, high = middle - radius, middle + radius
    ends = [_decimal(math.floor(abs(x) * 10**place) * (1 if x >= 0 else -1), place) for x in (low, high)]
    same = 0
    if (low > 0) == (high > 0) and len({len(end) for end in ends} | {len(text)}) == 1:
        while same < len(text) and text[same] == ends[0][same] == ends[1][same]:
            same += 1
    same = 0 if not any(c.isdigit() for c in text[:same]) else same
    return f"{text[:same]}[{text[same:]}±{_rounded_up(radius)}]"


def _dyadic(x: flint.arb) -> Fraction:
    m, e = x.man_exp()
    return Fraction(int(m)) * Fraction(2) ** int(e)


def _ceil_log10(x: Fraction) -> int:
    # 10^k <= 2^(bits - 1) <= x; its digits are not written down, of which Python writes 4300 only
    k = math.floor((x.numerator.bit_length() - x.denominator.bit_length() - 1) * math.log10(2))
    while Fraction(10) ** k < x:
        k += 1
    return k


def _decimal(scaled: int, place: int) -> str:
    digits = str(abs(scaled)).rjust(place + 1, "0")
    sign = "-" if scaled < 0 else ""
    return sign + (f"{digits[:-place]}.{digits[-place:]}" if place else digits)


def _rounded_up(x: Fraction) -> str:
    """Two significant digits, not below x."""
    exponent = _ceil_log10(x) - 1
    lead = -((-x * 10) // Fraction(10) ** exponent)
    if lead == 100:
        lead, exponent = 10, exponent + 1
    return f"{lead // 10}.{lead % 10}e{exponent:+03d}"
