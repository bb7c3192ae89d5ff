"""Answers without a draw: findings explain failures, required_n is a threshold, draws confirm the window."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import mimtheory
from mimtheory import advisor
from mimtheory.experiment import Experiment
from mimtheory.lemmas import find_claim
from mimtheory.population import Population
from mimtheory.setting import Setting

HARD = {
    # link, loss: the finding that explains why the theory says nothing, and a word of its reason
    ("z1**3", "l1"): ("assumption_cov", "odd"),
    ("h4+h4", "squared"): ("assumption_cov", "information exponent is 4"),
    ("z1+z1*z2+z1*z2*z3", "squared"): ("assumption_cov", "2 of 3"),
}


@pytest.mark.parametrize(("problem", "expected"), HARD.items(), ids=[" ".join(problem) for problem in HARD])
def test_the_failures_of_the_zoo_are_explained_by_the_right_finding(
    problem: tuple[str, str], expected: tuple[str, str]
) -> None:
    found = {
        finding.label: finding for finding in mimtheory.findings(Setting(link=problem[0], loss=problem[1], d=20, n=400))
    }
    assert found[expected[0]].status == "fails"
    assert expected[1] in found[expected[0]].reason


def test_the_assumptions_hold_where_the_theory_works() -> None:
    setting = Setting(link="h4+h4", loss="huber(1)", d=50, n=2000, centre="population", eps0=1e-12)
    statuses = {finding.label: finding.status for finding in mimtheory.findings(setting)}
    assert set(statuses.values()) == {"holds"}


def test_the_condition_on_eps0_is_where_a5_stops_to_speak() -> None:
    setting = Setting(link="h4+h4", loss="huber(1)", d=4, n=10**8, centre="population", T1=3)
    finding = {f.label: f for f in mimtheory.findings(setting)}["ass:epsilon0"]
    largest = finding.numbers["largest"]
    for factor, speaks in ((0.99, True), (1.01, False)):
        population = Population(dataclasses.replace(setting, eps0=factor * largest))
        forms = [find_claim(f"A.5/{form}").stated(population, 0.01) for form in ("step_size", "even_step_size")]
        assert bool(np.isfinite(forms).any()) == speaks


@pytest.mark.parametrize("label", ["A.3/prior", "A.7/prior", "A.2/total_prior"])
def test_required_n_is_the_threshold_of_its_bound(label: str) -> None:
    setting = Setting(link="h2", loss="huber(1)", d=10, n=100, eps0=1e-4, centre="population")
    n = mimtheory.required_n(label, setting)
    assert n is not None

    def speaks(n: int) -> bool:
        stated = find_claim(label).stated(Population(dataclasses.replace(setting, n=n)), 0.01)
        return math.isfinite(float(np.min(stated)))

    assert speaks(n)
    assert n == 1 or not speaks(n - 1)


def test_required_n_is_found_where_a_claim_speaks_of_a_window_of_n_only() -> None:
    """Of N <= n <= 2N, N = 30 d E T^2/l(C)^2 with E T^2 = 1, wherever the powers of 4 lie."""
    for d in (40, 60, 120, 240):
        setting = Setting(link="h2", loss="l1", d=d, n=10, centre="population")
        n, population = mimtheory.required_n("Corollary3.1/complexity", setting), Population(setting)
        assert n == math.ceil(30 * d / population.gap**2)


def test_required_n_refuses_a_claim_that_needs_a_draw_and_knows_when_no_n_serves() -> None:
    setting = Setting(link="h4+h4", loss="squared", d=10, n=100)
    assert mimtheory.required_n("A.3/prior", setting) is None
    with pytest.raises(ValueError, match=r"label = 'A.3/weyl' has level"):
        mimtheory.required_n("A.3/weyl", setting)


def test_what_is_no_setting_has_no_required_n() -> None:
    with pytest.raises(ValueError, match="setting = 'h2'; allowed: a Setting, not str"):
        mimtheory.required_n("A.7/prior", "h2")


def test_the_window_is_computed_from_the_rates() -> None:
    # C = diag(-2, -1.4), c0 = 0, E T^2 = E g^2 = 2 (1 + 0.49); eta1 = 1/2 makes rho_1 = 1
    setting = Setting(link="h2h2", loss="squared", d=102, n=102 * 400, eta1=0.5)
    found = advisor.window(setting)
    rho_b = 0.5 * 2 * math.sqrt(2 * (1 + 0.49) / 400)
    assert (found.rho_1, found.rho_r, found.rho_b) == pytest.approx((1.0, 0.7, rho_b), rel=1e-12)
    steps = np.arange(1, 60)
    assert found.T_min == steps[(rho_b / 0.7) ** steps * math.sqrt(50) <= 1][0]
    assert found.T_max == steps[(1 / 0.7) ** steps <= 10][-1]
    assert not found.empty


def test_rates_that_nearly_agree_still_end_the_window() -> None:
    # C = diag(-2, -2.06), as E[g z z^T] = diag(2, 2.06)
    found = advisor.window(Setting(link="h2(z1) + 1.03*h2(z2)", loss="squared", d=100, n=4000, eta1=0.5))
    assert found.rho_1 / found.rho_r == pytest.approx(1.03, rel=1e-12)
    assert found.T_max == math.floor(math.log(10) / math.log(1.03)) == 77
    # by symmetry both eigenvalues are the same; the quadrature finds them up to its error
    assert advisor.window(Setting(link="h4+h4", loss="huber(1)", d=100, n=4000)).T_max is None


def test_with_memory_each_sign_of_a_has_a_window_of_its_own() -> None:
    # gamma = 1 - 0.5 * 0.4 = 0.8; C = diag(-2, -1.4), which a > 0 amplifies and a < 0 shrinks
    setting = Setting(link="h2h2", loss="squared", d=102, n=102 * 400, eta1=0.5, beta1=0.4)
    edge = 0.5 * 2 * math.sqrt(2 * (1 + 0.49) / 400)
    up, down = advisor.window(setting), advisor.window(setting, -1)
    assert (up.rho_1, up.rho_r, up.rho_b) == pytest.approx((1.8, 1.5, 0.8 + edge), rel=1e-12)
    assert (down.rho_1, down.rho_r, down.rho_b) == pytest.approx((0.2, 0.1, 0.8 + edge), rel=1e-12)
    assert up.T_min is not None
    assert down.T_min is None


def test_no_eps0_is_named_where_a5_has_none() -> None:
    for fields in ({"loss": "squared"}, {"loss": "l1", "beta1": 0.0}):
        setting = Setting(**({"link": "h2h2", "d": 20, "n": 4000} | fields))
        finding = {f.label: f for f in mimtheory.findings(setting)}["ass:epsilon0"]
        assert finding.status == "undecided"
        assert "allows no eps0" in finding.reason


def test_inside_the_window_a_run_aligns_and_covers_before_it_does_not() -> None:
    setting = Setting(link="h2h2", loss="squared", d=102, n=102 * 30, m=64, eps0=1e-6)
    found = advisor.window(setting)
    assert found.T_min is not None
    assert found.T_max is not None
    assert 1 < found.T_min < found.T_max

    def tan_and_condition(T: int) -> tuple[float, float]:
        e = Experiment(dataclasses.replace(setting, T1=T), 1)
        cos = e.alignments[-1]
        singular = np.linalg.svd(e.trajectory[-1, :32] @ e.U.T, compute_uv=False)
        return float(np.median(np.sqrt(1 - cos**2) / cos)), float(singular[0] / singular[-1])

    early, inside, late = (tan_and_condition(T) for T in (1, found.T_max, 3 * found.T_max))
    assert early[0] > 1 > inside[0]
    assert inside[1] < 30 < late[1]


def test_there_is_no_window_without_a_signal() -> None:
    found = advisor.window(Setting(link="h4+h4", loss="squared", d=100, n=4000))
    assert found.T_min is None
    assert found.empty


def test_one_coordinate_is_never_lost() -> None:
    assert advisor.window(Setting(link="h2", loss="squared", d=100, n=40000)).T_max is None


def test_an_exploration_has_everything() -> None:
    found = mimtheory.explore("h4+h4", "huber(1)", d=50, centre="population", delta=0.1)
    assert found.setting.n == 2000
    assert found.hessian.C.shape == (2, 2)
    assert {bound.claim.label for bound in found.bounds} == set(found.required_n)
    assert all(bound.claim.level == "P" for bound in found.bounds)
    assert "assumption_cov" in found._repr_html_()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"delta": 2}, "delta = 2"),
        ({"d": 1}, "d = 1"),
        ({"nn": 3}, "nn"),
        ({"m": 3}, "m = 3"),
        ({"d": None}, "d = None"),
    ],
)
def test_bad_input_is_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        mimtheory.explore("h4+h4", **fields)


@pytest.mark.parametrize("delta", [0, 1, -1, 2, math.nan, "0.1"])
def test_what_is_no_probability_is_refused(delta: object) -> None:
    s = Setting(link="h2", loss="huber(1)", d=5, n=50)
    for ask in (lambda: advisor.findings(s, delta), lambda: advisor.required_n("A.7/prior", s, delta)):
        with pytest.raises(ValueError, match=r"delta = .*; allowed: a number with 0 < delta < 1"):
            ask()


@pytest.mark.parametrize(
    "fields",
    [
        *({"T1": 1000}, {"T1": 100_000}, {"eta1": 1e200}, {"label_noise": 1e200}, {"eps0": 1e300}, {"eps0": 1e40}),
        *({"n": 1}, {"eta1": 1e-300}, {"eta1": 1e154, "beta1": 1.0}, {"d": 10**9, "n": 10**9}, {"a_scale": 1e100}),
    ],
    ids=str,
)
@pytest.mark.parametrize("delta", [0.01, 1e-300])
def test_bounds_that_overflow_say_nothing(fields: dict[str, Any], delta: float) -> None:
    """Infinite, and neither an exception nor a warning, which the suite makes an error, nor something that is no
    number."""
    setting = Setting(**({"link": "h2", "loss": "huber(1)", "d": 50, "n": 2000} | fields))
    assert len(mimtheory.findings(setting, delta)) > 3
    assert not any(math.isnan(value) for bound in advisor.bounds(setting, delta) for value in bound.values)
    assert advisor.window(setting).rho_1 >= 0
    for label in ("A.4/prior", "A.7/prior", "A.6/prior"):
        n = mimtheory.required_n(label, setting, delta)
        assert n is None or n >= 1
