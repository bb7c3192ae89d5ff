"""Arguments of public functions, refused where they are not allowed.

Every message is one line with the name of the argument, its value and what is allowed. What passes is used as it was
given, or made what it is to be by the caller; numbers are those of Python, NumPy, SymPy or `fractions`.
"""

import math
import sys
from fractions import Fraction
from numbers import Integral, Rational, Real
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "check_centre",
    "check_delta",
    "check_file",
    "check_flag",
    "check_integer",
    "check_noise",
    "check_real",
    "check_text",
    "check_time",
    "check_trials",
    "exactly",
    "generator_of",
]

_LARGEST = 10**9
_MOST_TRIALS = 10**6
_LEAST_DELTA = 1e-300
_LARGEST_DOUBLE = sys.float_info.max  # an integer beyond it is no double either


def check_integer(name: str, value: Any, least: int, allowed: str, most: float = _LARGEST) -> None:
    """Refuse, with a ValueError that names it, what is not an integer from `least` to `most`, which may be infinite;
    `allowed` says the kind and the least, such as "None or an integer from 1"."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        end = {_LARGEST: " to 10^9", _MOST_TRIALS: " to 10^6", math.inf: ""}.get(most, f" to {most}")
        raise ValueError(f"{name} = {value!r}; allowed: {allowed}{end}")


def check_real(name: str, value: Any, least: float, allowed: str, most: float = _LARGEST_DOUBLE) -> None:
    """Refuse, with a ValueError that names it, what is not a finite number from `least` to `most`."""
    if not _is_number(value) or not max(least, -_LARGEST_DOUBLE) <= _plain(value) <= most:
        raise ValueError(f"{name} = {value!r}; allowed: {allowed}")


def check_flag(name: str, value: Any) -> None:
    """Refuse, with a ValueError that names it, what is neither true nor false."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} = {value!r}; allowed: True or False")


def check_file(name: str, path: Path | None) -> None:
    """Refuse, with a ValueError that names it, a path at which no file can be written; None is no path."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ValueError(f"{name} = {str(path)!r}; allowed: a file, which need not exist, in a folder that exists")


def check_text(name: str, path: Path) -> None:
    """Refuse, with a ValueError that names it, a path that cannot be written into a page."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} = {str(path)!r}; allowed: a path that is text in UTF-8") from None


def check_centre(centre: Any) -> None:
    """Refuse, with a ValueError, what is not a centring constant given as a number."""
    check_real("centre", centre, -math.inf, "a finite number")


def check_noise(label_noise: Any) -> None:
    """Refuse, with a ValueError, what is not a standard deviation of label noise."""
    check_real("label_noise", label_noise, 0.0, "a finite number >= 0")


def check_delta(delta: Any) -> None:
    """Refuse, with a ValueError, what is not a failure probability, or one whose inverse is hardly a double."""
    if not _is_number(delta) or not 0 < delta < 1:
        raise ValueError(f"delta = {delta!r}; allowed: a number with 0 < delta < 1")
    if delta < _LEAST_DELTA:
        raise ValueError(f"delta = {delta!r}; allowed: at least {_LEAST_DELTA:g}")


def check_trials(trials: Any, delta: Any) -> None:
    """Refuse, with a ValueError, trials that are no number from 1 to 10^6 and a delta outside (0, 1)."""
    check_integer("trials", trials, 1, "an integer from 1", _MOST_TRIALS)
    check_delta(delta)


def check_time(time_limit: Any) -> None:
    """Refuse, with a ValueError, what is not a positive number of seconds; infinity is one."""
    if not _is_number(time_limit) or not time_limit > 0:
        raise ValueError(f"time_limit = {time_limit!r}; allowed: a positive number of seconds")


def exactly(value: Any) -> Fraction:
    """A finite number as a fraction, without rounding."""
    return Fraction(value) if isinstance(value, Rational) else Fraction(float(value))


def generator_of(rng: Any) -> np.random.Generator:
    """The generator of a seed, or itself; ValueError for what `numpy.random.default_rng` refuses."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        allowed = "an integer from 0, or what else numpy.random.default_rng takes"
        raise ValueError(f"rng = {rng!r}; allowed: {allowed}") from None


def _plain(value: Any) -> Any:
    """A number that can be compared with any double: one of single precision cannot."""
    return value if isinstance(value, Rational) else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
