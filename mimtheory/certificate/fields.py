"""What a certificate's file may hold: kind and range of every field, asked before anything is computed from it."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mimtheory.arguments import check_centre, check_noise
from mimtheory.balls import ball_from_text

__all__ = ["fault_in"]

_STATUS = ("proved", "degenerate", "undecided")
_MOST_DIGITS = 4000  # of a numerator or denominator: what Python reads at once


def fault_in(fields: dict[str, Any], schema: int) -> str | None:
    """Why these cannot be the fields of a certificate of this schema, naming the first that is wrong; None if they can.

    A number has to be of its exact type: 2.0 or true is no rank.
    """
    if type(fields["schema"]) is not int or fields["schema"] != schema:
        return _refused("schema", fields["schema"], str(schema))
    for name, (allows, allowed) in _KINDS.items():
        if not allows(fields[name]):
            return _refused(name, fields[name], allowed)
    if fields["C"] is not None and len(fields["C"]) != fields["r"]:
        return f"C has {len(fields['C'])} rows; allowed: r = {fields['r']}"
    if fields["status"] == "undecided":
        return _claim_of_undecided(fields)
    return None


def _claim_of_undecided(fields: dict[str, Any]) -> str | None:
    for name, empty in (("rank", None), ("inertia", None), ("lambda_min_abs_lower", 0.0)):
        if fields[name] != empty:
            return f"it is undecided and yet claims {name} = {fields[name]!r}"
    return None


def _refused(name: str, value: Any, allowed: str) -> str:
    return f"{name} = {repr(value)[:60]}; allowed: {allowed}"


def _text(x: Any) -> bool:
    return type(x) is str


def _texts(x: Any) -> bool:
    return type(x) is list and all(map(_text, x))


def _integer(x: Any) -> bool:
    return type(x) is int and x >= 0


def _size(x: Any) -> bool:
    return type(x) is float and x >= 0  # not a number is not


def _signs(x: Any) -> bool:
    return type(x) is list and len(x) == 2 and all(map(_integer, x))


def _balls(x: Any) -> bool:
    return _square(x) and all(_accepted(ball_from_text, ball) for row in x for ball in row)


def _square(x: Any) -> bool:
    return type(x) is list and len(x) > 0 and all(_texts(row) and len(row) == len(x) for row in x)


def _rational(check: Callable[[Fraction], None]) -> Callable[[Any], bool]:
    """Texts that `str` writes of a fraction: an exponent could ask for an integer that fills the memory."""
    pattern = re.compile(rf"-?[0-9]{{1,{_MOST_DIGITS}}}(/[1-9][0-9]{{0,{_MOST_DIGITS}}})?")

    def allows(x: Any) -> bool:
        if not _text(x) or pattern.fullmatch(x) is None:
            return False
        return str(Fraction(x)) == x and _accepted(check, Fraction(x))

    return allows


def _accepted(check: Callable[[Any], Any], value: Any) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


def _or_none(allows: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda x: x is None or allows(x)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("link", "loss", "method", "argument"), (_text, "a text")),
    "centre": (_rational(check_centre), "a finite number p or p/q in lowest terms"),
    "label_noise": (_rational(check_noise), "a finite number p or p/q in lowest terms, not negative"),
    "r": (lambda x: _integer(x) and x > 0, "an integer from 1"),
    "status": (lambda x: _text(x) and x in _STATUS, ", ".join(_STATUS)),
    "rank": (_or_none(_integer), "null or an integer from 0"),
    "inertia": (_or_none(_signs), "null or two integers from 0"),
    **dict.fromkeys(
        ("lambda_min_abs_lower", "lambda_max_abs_upper", "radius", "seconds"), (_size, "a number from 0 with a point")
    ),
    "C": (_or_none(_balls), "null or a square matrix of balls 'm*2^e +- n*2^f'"),
    "symmetries": (_texts, "a list of texts"),
    "balls": (lambda x: x == [] or _square(x), "a list of rows of texts"),
}
