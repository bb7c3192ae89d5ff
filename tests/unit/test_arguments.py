"""What is refused is named with its value and with what is allowed; what is allowed passes."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

from mimtheory.arguments import (
    check_centre,
    check_delta,
    check_file,
    check_flag,
    check_integer,
    check_noise,
    check_real,
    check_time,
    check_trials,
    exactly,
    generator_of,
)
from mimtheory.experiment import Experiment
from mimtheory.setting import Setting
from mimtheory.training import train

SIX = ("k", 1, "an integer from 1", 6)


def six(value: Any) -> None:
    name, least, allowed, most = SIX
    check_integer(name, value, least, allowed, most)


def positive(value: Any) -> None:
    check_real("eta1", value, 5e-324, "a finite number > 0")


WHOLE, NUMBERS = (
    [1, 6, np.int64(6), sympy.Integer(2)],
    [1, 0.5, np.float64(2), np.float32(2), np.int8(3), Fraction(1, 3)],
)
CHECKS: list[tuple[Callable[[Any], None], list[Any], list[Any], str]] = [
    (
        six,
        [1, 6, np.int64(6), sympy.Integer(2)],
        [0, 7, 2.0, True, "2", None, math.nan],
        "k = {}; allowed: an integer from 1 to 6",
    ),
    (
        positive,
        [1, 0.5, np.float64(2), np.float32(2), np.int8(3), Fraction(1, 3)],
        [0.0, math.inf, 10**400, True, "1"],
        "eta1 = {}; allowed: a finite number > 0",
    ),
    (check_centre, [-1, 0.5], [-math.inf, math.nan, -(10**400), "middle"], "centre = {}; allowed: a finite number"),
    (check_noise, [0, 0.5], [-0.1, math.inf, "a"], "label_noise = {}; allowed: a finite number >= 0"),
    (check_delta, [0.5], [0, 1, math.nan, "0.1", True], "delta = {}; allowed: a number with 0 < delta < 1"),
    (
        lambda value: check_flag("split", value),
        [True, np.False_],
        [0, 1, "no", None],
        "split = {}; allowed: True or False",
    ),
    (check_delta, [1e-300], [1e-320], "delta = {}; allowed: at least 1e-300"),
    (
        lambda value: check_real("left", value, 0.0, "a number from 0 to 1", most=1.0),
        [0, 0.5, 1],
        [-1, 2, math.nan, "x"],
        "left = {}; allowed: a number from 0 to 1",
    ),
    (check_time, [1, 0.5, math.inf], [0, -1, math.nan, True], "time_limit = {}; allowed: a positive number of seconds"),
]


@pytest.mark.parametrize(("check", "good", "bad", "says"), CHECKS, ids=[check.__name__ for check, *_ in CHECKS])
def test_a_value_passes_or_is_named(check: Callable[[Any], None], good: list[Any], bad: list[Any], says: str) -> None:
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ValueError, match=re.escape(says.format(repr(value))) + "$"):
            check(value)


def test_a_file_can_be_written_where_its_folder_exists_and_it_is_none(tmp_path: Path) -> None:
    for path in (None, tmp_path / "new.json", Path("new.json")):
        check_file("out", path)
    for path in (tmp_path, Path(), tmp_path / "no" / "new.json"):
        says = f"out = {str(path)!r}; allowed: a file, which need not exist, in a folder that exists"
        with pytest.raises(ValueError, match=re.escape(says) + "$"):
            check_file("out", path)


def test_integers_end_where_they_are_said_to_end() -> None:
    with pytest.raises(ValueError, match=re.escape("n = 1000000001; allowed: an integer from 1 to 10^9") + "$"):
        check_integer("n", 10**9 + 1, 1, "an integer from 1")
    check_integer("rng", 10**30, 0, "an integer from 0", math.inf)
    with pytest.raises(ValueError, match=r"rng = -1; allowed: an integer from 0$"):
        check_integer("rng", -1, 0, "an integer from 0", math.inf)


def test_trials_are_checked_with_their_delta() -> None:
    check_trials(10**6, 0.01)
    with pytest.raises(ValueError, match=re.escape("trials = 1000001; allowed: an integer from 1 to 10^6") + "$"):
        check_trials(10**6 + 1, 0.01)
    with pytest.raises(ValueError, match="delta = 2;"):
        check_trials(1, 2)


def test_numbers_become_fractions_without_rounding() -> None:
    given = (3, 0.1, Fraction(1, 3), np.float32(0.1), np.int64(2**53 + 1), sympy.Rational(2, 7))
    wanted = (3, Fraction(0.1), Fraction(1, 3), Fraction(float(np.float32(0.1))), 2**53 + 1, Fraction(2, 7))
    assert tuple(map(exactly, given)) == wanted


@pytest.mark.parametrize("bad", [-1, 0.5, "seed", [1, -2]])
def test_a_seed_that_numpy_refuses_is_named(bad: Any) -> None:
    says = f"rng = {bad!r}; allowed: an integer from 0, or what else numpy.random.default_rng takes"
    setting = Setting(link="h2", loss="l1", d=5, n=40)
    for refuse in (generator_of, lambda rng: Experiment(setting, rng), lambda rng: train(setting, rng=rng)):
        with pytest.raises(ValueError, match=re.escape(says) + "$"):
            refuse(bad)


def test_a_seed_makes_the_generator_of_numpy() -> None:
    for seed in (3, [1, 2], np.random.SeedSequence(5)):
        assert generator_of(seed).random() == np.random.default_rng(seed).random()
    generator = np.random.default_rng(0)
    assert generator_of(generator) is generator
