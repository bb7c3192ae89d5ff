"""Settings are checked before any work."""

import dataclasses
import math
import re
from fractions import Fraction

import numpy as np
import pytest

from mimtheory.setting import Setting
from mimtheory.tasks import Task, execute, seed_of

GOOD = {"link": "h2h2", "loss": "huber(1)", "d": 20, "n": 100}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"d": 1}, "d = 1; allowed: an integer from r = 2"),
        ({"d": 20.0}, "d = 20.0"),
        ({"d": True}, "d = True"),
        ({"n": 0}, "n = 0; allowed: an integer from 1"),
        ({"n": 10**10}, "n = "),
        ({"m": 3}, "m = 3; allowed: an even"),
        ({"m": 0}, "m = 0"),
        ({"T1": 0}, "T1 = 0"),
        ({"eps0": 0.0}, "eps0 = 0.0"),
        ({"eps0": math.nan}, "eps0 = nan"),
        ({"eta1": -1.0}, "eta1 = -1.0"),
        ({"eta1": 0.0}, "eta1 = 0.0"),
        ({"eta_last": math.inf}, "eta_last = inf"),
        ({"beta1": -0.1}, "beta1 = -0.1"),
        ({"a_scale": 0}, "a_scale = 0"),
        ({"centre": math.nan}, "centre = nan"),
        ({"centre": "mean"}, "centre = 'mean'; allowed: a finite number, 'population' or 'fitted'"),
        ({"centre": np.array([1.0, 2.0])}, "centre = array([1., 2.]); allowed: a finite number"),
        ({"beta1": 1e308}, "beta1 = 1e+308, a_scale = 1.0; allowed: beta1/a_scale up to 1e+100 where eta1 is not"),
        ({"label_noise": -1}, "label_noise = -1"),
        ({"loss": "hubert"}, "did you mean 'huber'"),
        ({"activation": "rely"}, "did you mean 'relu'"),
        ({"link": "z9"}, "z9"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        Setting(**(GOOD | change))
    assert "\n" not in str(caught.value)


def test_a_setting_is_frozen_hashable_and_survives_json() -> None:
    s = Setting(**GOOD, activation="sqrt", T1=7, eps0=0.5, centre="fitted", beta1=0.25)
    assert Setting.from_json(s.to_json()) == s
    assert hash(Setting.from_json(s.to_json())) == hash(s)
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.d = 3  # type: ignore[misc]  # as mypy says too
    # every field is in the text: changing any changes it
    for field in dataclasses.fields(s):
        assert f'"{field.name}"' in s.to_json()


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(ValueError, match="'D' of a setting is unknown"):
        Setting.from_dict(GOOD | {"D": 3})
    with pytest.raises(ValueError, match="'n' of a setting is missing"):
        Setting.from_dict({key: value for key, value in GOOD.items() if key != "n"})


@pytest.mark.parametrize("text", ["3", "x", '["d"]', None])
def test_what_is_no_json_of_a_setting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(text|values) = .*; allowed: the (JSON|fields) of a setting"):
        Setting.from_json(text)


def test_a_zero_has_no_sign_and_so_the_same_text() -> None:
    plain, signed = (Setting(**GOOD, centre=zero, label_noise=zero, beta1=zero) for zero in (0.0, -0.0))
    assert signed.to_json() == plain.to_json()
    assert "-0.0" not in signed.to_json()


def test_the_default_number_of_steps_grows_like_the_root_of_log_d() -> None:
    assert Setting(**(GOOD | {"d": 800})).steps == math.ceil(2 * math.sqrt(math.log(800)))
    assert Setting(**(GOOD | {"d": 2})).steps == 2
    assert Setting(**GOOD, T1=9).steps == 9


def test_labels_are_those_of_the_link_and_of_the_generators_noise() -> None:
    Z = np.random.default_rng(0).standard_normal((50, 2))
    noisy, rng = Setting(**GOOD, label_noise=0.3), np.random.default_rng(1)
    expected = noisy.link(Z) + 0.3 * np.random.default_rng(1).standard_normal(50)
    assert (noisy.labels(Z, np.random.default_rng(1)) == expected).all()
    assert (Setting(**GOOD).labels(Z, rng) == noisy.link(Z)).all()
    assert rng.random() == np.random.default_rng(1).random()  # without noise nothing is drawn


def test_predicted_memory_covers_the_arrays_of_a_draw() -> None:
    s = Setting(**(GOOD | {"d": 300, "n": 5000}), m=32, T1=5)
    assert s.peak_bytes >= 8 * (2 * 5000 * 300 + 6 * 32 * 300 * 3)
    assert s.peak_bytes <= 8 * (4 * 5000 * 300 + 10 * 300**2 + 50 * 32 * 300 + 200 * 5000)


def test_a_setting_says_how_its_constants_are_known() -> None:
    fields = {"link": "h4", "d": 20, "n": 100}
    assert Setting(loss="huber(1)", **fields).constants == {"loss": "exact", "activation": "exact"}
    own = Setting(loss="log(1 + exp(u))", activation="1 - exp(-u**2/2)", **fields)
    assert own.constants == {"loss": "certified", "activation": "certified"}
    task = Task("trial", "A.3", ("weyl",), Setting(loss="Abs(u)", link="h4", d=6, n=30), 0.01, 0, 0)
    (row,) = execute((task,))
    assert row["constants"] == {"loss": "exact", "activation": "exact"}


def test_numbers_of_numpy_and_whole_numbers_are_the_same_setting() -> None:
    plain = Setting(link="h2", loss="huber(1)", d=50, n=100, m=4, T1=3, eps0=1.0, label_noise=1.0, eta1=2.0)
    numbers = {"d": np.int64(50), "n": np.int32(100), "m": np.int16(4), "T1": np.int8(3)}
    reals = {"eps0": np.float32(1), "label_noise": 1, "eta1": Fraction(2), "centre": np.int64(0)}
    assert Setting(link="h2", loss="huber(1)", **(numbers | reals)).to_json() == plain.to_json()
    for name, value in (("d", np.float64(50)), ("m", np.True_), ("eps0", np.float32("nan")), ("eta1", "1")):
        with pytest.raises(ValueError, match=f"{name} = "):
            dataclasses.replace(plain, **{name: value})


def test_a_memory_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"eta1 = 1e\+300, beta1 = 1e\+300; allowed: a product below 1e308"):
        Setting(link="h2", loss="huber(1)", d=5, n=9, eta1=1e300, beta1=1e300)


def test_a_setting_shows_what_it_was_told_and_is_made_again_from_that() -> None:
    plain = Setting(link="h2", loss="huber(1)", d=50, n=100)
    assert repr(plain) == "Setting(link='h2(z1)', loss='huber(1)', d=50, n=100)"
    other = dataclasses.replace(plain, activation="logcosh", T1=3, centre="population")
    assert repr(other) == (
        "Setting(link='h2(z1)', loss='huber(1)', d=50, n=100, activation='logcosh', T1=3, centre='population')"
    )
    assert eval(repr(other)) == other


@pytest.mark.parametrize("text", ["h4+h4", "h4(z1)+h4(z2)", "h4(z2) + h4(z1)", " h4(z1) + He4(z2)/sqrt(24)"])
def test_equal_settings_have_equal_seeds_and_keys_however_the_link_is_written(text: str) -> None:
    named, spelled = (Setting(link=given, loss="huber(1)", d=5, n=9) for given in ("h4+h4", text))
    assert named == spelled
    assert named.canonical == spelled.canonical == named.to_json()  # what is in the zoo keeps its text
    assert spelled.to_dict()["link"] == spelled.link.text
    assert seed_of(named, 0, 0).spawn_key == seed_of(spelled, 0, 0).spawn_key
    keys = {Task("trial", "A.2", (), setting, 0.01, 0, 0).key for setting in (named, spelled)}
    assert len(keys) == 1
    assert Task("trial", "A.2", (), Setting(link="h4", loss="huber(1)", d=5, n=9), 0.01, 0, 0).key not in keys


def test_a_setting_with_very_many_monomials_survives_json() -> None:
    s = Setting(link="(1 + z1 + z2 + z3 + z4 + z5)**7", loss="huber(1)", d=5, n=9)
    assert Setting.from_json(s.to_json()) == s
    assert len(s.canonical) > 2000
