"""The envelope of stage one: its recursion again at 40 digits, and its truth on runs."""

import math

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from mimtheory.experiment import Experiment
from mimtheory.growth import DataBounds, envelope, h_of_ends, q_bound, raised
from mimtheory.lemmas.a4_q_norm import data_prior
from mimtheory.lemmas.a6_norm_after_t1 import data_given
from mimtheory.population import Population
from mimtheory.setting import Setting

pytestmark = pytest.mark.usefixtures("sixty_digits")


def population(**fields: object) -> Population:
    values = {"link": "h2h2", "loss": "huber(1)", "d": 30, "n": 3000, "m": 8, "eta1": 1.5} | fields
    return Population(Setting(**values))


def test_h_counts_both_signs_of_a_and_both_ends() -> None:
    p = population(beta1=0.4, a_scale=0.5)  # gamma = 0.4, step 0.75
    for ends in ([-0.2, 0.9], [-0.9, 0.2]):
        explicit = max(abs(0.4 - s * 0.75 * end) for s in (1, -1) for end in ends)
        assert h_of_ends(p, np.array(ends)) == pytest.approx(explicit, rel=1e-14)


@pytest.mark.parametrize("name", ["1-cos", "asymmetric", "quadratic"])
@pytest.mark.parametrize("loss", ["huber(2)", "squared", "l1"])
def test_the_bound_on_q_is_the_smaller_of_its_two_forms(name: str, loss: str) -> None:
    p = population(activation=name, loss=loss, a_scale=0.5)
    s, u, T_max = p.setting, mpf("0.3"), mpf("1.7")
    constants = {"1-cos": (0, 1, 1), "asymmetric": (1, mpmath.sqrt(2), mpmath.sqrt(2)), "quadratic": (0, 0, 0)}[name]
    d3, M3, M4 = map(mpf, constants)
    kappa = min(M3 * u / 2, d3 * u / 2 + M4 * u**2 / 6)
    F = 8 * mpf("0.5") * (u**2 / 2 + min(M3 * u**3 / 6, d3 * u**3 / 6 + M4 * u**4 / 24))
    for zero in (True, False):
        moved = mpf(0) if zero else (mpmath.inf if loss == "l1" else F)
        K = {"huber(2)": mpf(2), "squared": mpmath.inf, "l1": mpf(1)}[loss]
        by_K = mpmath.inf if loss == "squared" else K * kappa + min(2 * K, moved)
        by_T = T_max * kappa + (moved * (1 + kappa) if moved else 0)
        assert q_bound(p, float(u), float(T_max), zero) == pytest.approx(float(min(by_K, by_T)), rel=1e-14)
        assert q_bound(p, float(u), math.inf, zero) == pytest.approx(float(by_K), rel=1e-14)
    assert s.loss.text == loss


def test_the_envelope_is_its_recursion() -> None:
    p = population(eps0=0.01, activation="1-cos")
    data = DataBounds(np.array([-0.8, 0.6]), s_X=1.2, R=7.0, spread=5.0)
    found = envelope(p, data, 4)
    h, omega, Delta, linear = mpf("1.2"), mpf("0.01"), mpf(0), mpf("0.01") * 7
    for t in range(4):
        u = min(omega * 7, linear * 5 / mpmath.sqrt(30) + 7 * Delta)
        Q = mpf("1.5") * mpf("1.44") * u**2 / 6  # f stays 0, and M4 u^2/6 < M3 u/2
        assert found.Q[t] == pytest.approx(float(Q), rel=1e-13)
        omega, Delta, linear = (h + Q) * omega, h * Delta + Q * omega, linear * h
        assert found.omega[t + 1] == pytest.approx(float(omega), rel=1e-13)
        assert found.Delta[t + 1] == pytest.approx(float(Delta), rel=1e-13)
    assert found.h == pytest.approx(1.2)


def test_the_envelope_takes_the_smallest_bound_on_the_first_and_on_the_carried_products() -> None:
    p = population(eps0=0.01, activation="1-cos")
    ends, reach = np.array([-0.8, 0.6]), np.array([7.0, 3.0])
    for spread, factor in ((3.0, mpf(3) / mpmath.sqrt(30)), (50.0, mpf(1))):  # Cauchy's inequality is the limit
        for first in (2.0, math.inf):
            found = envelope(p, DataBounds(ends, s_X=1.2, R=7.0, spread=spread, first=first, reach=reach), 2)
            u = min(mpf("0.07"), mpf("0.07") * factor, mpf("0.01") * mpf(first))
            Q = [mpf("1.5") * mpf("1.44") * u**2 / 6]
            omega, Delta = (mpf("1.2") + Q[0]) * mpf("0.01"), Q[0] * mpf("0.01")
            u = min(omega * 7, mpf("0.03") * factor + 7 * Delta)
            Q.append(mpf("1.5") * mpf("1.44") * u**2 / 6)
            assert found.Q == pytest.approx([float(q) for q in Q], rel=1e-13)


def test_an_envelope_that_overflows_is_infinite_from_there() -> None:
    p = population(loss="squared", eps0=10.0, activation="quadratic", beta1=0.0)
    found = envelope(p, DataBounds(np.array([-50.0, 50.0]), 2.0, 20.0, T_max=50.0), 40)
    assert np.isinf(found.omega[-1])
    assert not np.isnan(found.omega).any()
    assert not np.isnan(found.Delta).any()


@pytest.mark.parametrize(
    "fields", [{}, {"activation": "asymmetric"}, {"beta1": 0.3}, {"loss": "logcosh", "link": "mixed"}]
)
def test_runs_stay_under_both_envelopes(fields: dict[str, object]) -> None:
    # every one of the 5 runs stays under bounds that fail with probability at most 0.001 each: false alarms 1%
    for seed in range(5):
        e = Experiment(population(eps0=0.01, T1=4, eta1=None, **fields).setting, seed)
        given, prior = (
            envelope(e.population, data, e.run.T)
            for data in (data_given(e.sample, 0.001), data_prior(e.population, "A.4/prior", 0.001))
        )
        norms = np.linalg.norm(e.run.final.value, axis=1).max()
        Delta = np.linalg.norm(e.run.final_Delta.value, axis=1).max()
        assert norms <= given.omega[-1] <= prior.omega[-1]
        assert Delta <= given.Delta[-1] <= prior.Delta[-1]


def test_a_power_beyond_all_doubles_is_infinite() -> None:
    assert (raised(2.0, 10), raised(0.5, 10**5), raised(1.0, 10**9)) == (1024, 0, 1)
    assert raised(10.0, 308) < raised(10.0, 309) == raised(np.float64(1.1), 10**5) == np.inf
