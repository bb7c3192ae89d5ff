"""Settings are checked before any work; populations are the expectations they claim to be."""

import dataclasses
import math
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mimtheory import hessian as hessian_module
from mimtheory import population as population_module
from mimtheory.centring import population_centre
from mimtheory.hessian import expected_hessian, gaussian_moments
from mimtheory.links import Link
from mimtheory.losses import Loss
from mimtheory.population import Population
from mimtheory.setting import Setting
from mimtheory.tasks import Task, execute

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
        s.d = 3  # type: ignore[misc]
    # every field is in the text: changing any changes it
    for field in dataclasses.fields(s):
        assert f'"{field.name}"' in s.to_json()


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(ValueError, match="'D' of a setting is unknown"):
        Setting.from_dict(GOOD | {"D": 3})
    with pytest.raises(ValueError, match="'n' of a setting is missing"):
        Setting.from_dict({key: value for key, value in GOOD.items() if key != "n"})


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


def test_errors_of_one_sign_in_every_entry_move_a_matrix_by_its_radius() -> None:
    p = Population(Setting(link="h4+h4", loss="logcosh", d=10, n=100))
    assert p.radius > 0
    moved = np.diag([p.radius] * 10)  # c0
    moved[:2, :2] += p.radius  # C
    assert np.linalg.norm(moved, 2) == pytest.approx(p.matrix_radius, rel=1e-12)


def test_the_population_of_the_squared_loss_has_its_closed_forms() -> None:
    # T = -g for centre 0, g = He2(z): C = -2, c0 = 0, E T^2 = 2; E T^2 z^4 = E (z^2-1)^2 z^4 = 105 - 30 + 3
    p = Population(Setting(link="He2(z1)", loss="squared", d=10, n=100))
    assert p.C == pytest.approx(np.array([[-2.0]]))
    assert p.c0 == pytest.approx(0.0, abs=1e-12)
    assert p.moments.mean_T2 == pytest.approx(2.0)
    assert p.variance_T == pytest.approx(2.0)
    assert p.V == pytest.approx(105 - 30 + 3 - 4)
    assert p.S_norm == pytest.approx(2.0)
    assert p.S_ends == pytest.approx([-2.0, 0.0])
    assert p.gap == pytest.approx(2.0)
    assert p.eta1 == pytest.approx(0.5)
    assert p.gamma1 == 0.0
    assert p.K == math.inf


def test_the_norm_of_s_counts_the_bulk() -> None:
    wide, narrow = (Population(Setting(link="He2(z1)", loss="squared", d=d, n=9, centre=5.0)) for d in (4, 1))
    # c0 = 5 and C = -2: the signal is at 3, the bulk at 5
    assert wide.S_norm == pytest.approx(5.0)
    assert narrow.S_norm == pytest.approx(3.0)
    assert wide.S_ends == pytest.approx([3.0, 5.0])


def test_step_size_and_decay_follow_the_setting() -> None:
    p = Population(Setting(**GOOD, eta1=0.5, beta1=0.5, a_scale=2.0))
    assert p.eta1 == 0.5
    assert p.gamma1 == 0.75
    assert p.T == p.T1 - 1
    assert not p.f_stays_zero
    free = Population(Setting(**GOOD, a_scale=2.0))
    assert free.eta1 * 2.0 * free.S_norm == pytest.approx(1.0)
    assert free.T == free.T1
    assert free.f_stays_zero
    assert not Population(Setting(**GOOD, activation="asymmetric")).f_stays_zero
    # S = 0: the root of E T^2 stands in
    null = Population(Setting(link="h4", loss="squared", d=10, n=9))
    assert null.eta1 == pytest.approx(1.0)


def test_the_population_centre_makes_t_mean_zero() -> None:
    p = Population(Setting(**GOOD, centre="population"))
    assert abs(p.c0) <= 1e-9
    fitted = Population(Setting(**GOOD, centre="fitted"))
    assert fitted.centre == p.centre


def test_predicted_memory_covers_the_arrays_of_a_draw() -> None:
    s = Setting(**(GOOD | {"d": 300, "n": 5000}), m=32, T1=5)
    assert s.peak_bytes >= 8 * (2 * 5000 * 300 + 6 * 32 * 300 * 3)
    assert s.peak_bytes <= 8 * (4 * 5000 * 300 + 10 * 300**2 + 50 * 32 * 300 + 200 * 5000)


def test_remembered_expectations_are_those_of_their_own_problem() -> None:
    """Settings that differ in one field each from the first; what is shared must not be shared between them."""
    base = Setting(link="h2", loss="huber(1)", d=9, n=100, centre=0.25)
    changes: list[dict[str, Any]] = [{}, {"link": "h4"}, {"loss": "l1"}, {"centre": 0.5}, {"label_noise": 0.5}]
    settings = [dataclasses.replace(base, **change) for change in changes]
    for s in settings + settings[::-1]:
        population = Population(s)
        expected = gaussian_moments(s.link, s.loss, float(s.centre), s.label_noise)
        assert population.moments.mean_T2 == expected.mean_T2
        assert population.moments.mean_T == expected.mean_T
        assert (population.C == expected_hessian(s.link, s.loss, float(s.centre), s.label_noise).C).all()
    assert len({Population(s).moments.mean_T2 for s in settings}) == len(settings)
    centred = [dataclasses.replace(s, centre="population") for s in settings]
    for s in centred:
        assert Population(s).centre == population_centre(s.link, s.loss, s.label_noise)


def test_moments_wait_until_they_are_asked_for_and_threads_compute_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []

    def slowly(link: Link, loss: Loss, centre: float, label_noise: float) -> object:
        computed.append(link.text)
        time.sleep(0.2)
        return object()

    monkeypatch.setattr(hessian_module, "gaussian_moments", slowly)
    # a link that no other test asks for
    setting = Setting(link="h2(z1) + 7/11*z1*z2", loss="huber(1)", d=9, n=100)
    Population(setting).prepare()
    assert not computed
    together = threading.Barrier(4)

    def asked(_: int) -> object:
        together.wait(60)
        # not by the property: up to Python 3.11 `cached_property` has a lock of its own, later ones have not
        return population_module._moments(setting.link, setting.loss, 0.0, 0.0)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(asked, range(4)))
    assert len(computed) == 1
    assert all(value is found[0] for value in found)


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


def test_a_population_needs_a_setting() -> None:
    text: Any = "h2"  # what a user may pass
    with pytest.raises(ValueError, match="setting = 'h2'; allowed: a Setting, not str"):
        Population(text)
