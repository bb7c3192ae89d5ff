"""Populations are the expectations they claim to be."""

import dataclasses
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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

GOOD = {"link": "h2h2", "loss": "huber(1)", "d": 20, "n": 100}


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


def test_a_population_needs_a_setting() -> None:
    text: Any = "h2"  # what a user may pass
    with pytest.raises(ValueError, match="setting = 'h2'; allowed: a Setting, not str"):
        Population(text)
