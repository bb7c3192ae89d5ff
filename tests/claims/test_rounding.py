"""Where both sides of a claim are equal in exact arithmetic, nothing but the allowance for rounding keeps it true."""

from typing import Any

import pytest

from mimtheory.experiment import Experiment
from mimtheory.lemmas import find_claim
from mimtheory.setting import Setting

SEEDS = range(40)
# One input dimension and one step: matrices are numbers, and a norm of a sum is the sum of the norms.
ONE = {"link": "h2", "loss": "huber(1)", "d": 1, "n": 3, "m": 2, "T1": 1, "eps0": 0.1}
ANY = {"link": "h2h2", "loss": "huber(1)", "d": 8, "n": 200, "m": 4, "T1": 3, "eps0": 0.1, "centre": "fitted"}
FITTED = {**ONE, "n": 40, "centre": "fitted"}
EQUAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("A.1/sum_of_products", "A.1/sum_of_norms", "A.1/product", "A.2/block_norms", "A.3/weyl"), ONE),
    "A.4/max_q": {**ONE, "n": 1},
    **dict.fromkeys(("B.5/lipschitz", "B.5/centred"), FITTED),
    # identities, on any draw
    **dict.fromkeys(("A.1/expansion", "A.2/eigenvalue_form", "A.4/exact_update", "A.6/mean_square"), ANY),
}


@pytest.mark.parametrize("label", EQUAL)
def test_an_equality_holds_within_its_allowance_and_not_without(label: str) -> None:
    relations = [find_claim(label).check(Experiment(Setting(**EQUAL[label]), seed), 0.5) for seed in SEEDS]
    assert {relation.outcome for relation in relations} == {"holds"}
    # rounding falls on the wrong side about every other time; that of 40 draws none does would be chance of 1e-12
    assert any((relation.excess > 0).any() for relation in relations)


@pytest.mark.parametrize("fields", [{"d": 1, "eta1": 1e-9}, {"d": 2, "eta1": 0.3}, {"d": 4, "eta1": 0.1}])
def test_the_mean_square_of_many_steps_is_that_of_the_trace(fields: dict[str, Any]) -> None:
    values = {"link": "z1**2", "loss": "huber(1)", "n": 20, "m": 2, "T1": 5000, "beta1": 0.0} | fields
    relations = [find_claim("A.6/mean_square").check(Experiment(Setting(**values), seed), 0.5) for seed in range(8)]
    assert {relation.outcome for relation in relations} == {"holds"}
    assert max(float(relation.allowance.max()) for relation in relations) < 1e-9
    assert any((relation.excess > 1e-14).any() for relation in relations)


# Losses that are not smallest at the error 0: c - y_i is far larger than l' at the fitted constant
STEEP = "Piecewise((-1e6*(u-1000)-5e5, u<999), (1e6*(u-1000)**2/2, u<1001), (1e6*(u-1000)-5e5, True))"
FAR = {
    "few": {"link": "z1-1000", "loss": "(u-1000)**2/2", "n": 2},
    "many": {"link": "z1-1000", "loss": "(u-1000)**2/2", "n": 300},
    "farther": {"link": "z1**2-1000000", "loss": "(u-1000000)**2/2", "n": 2, "centre": "fitted"},
    "rounded": {"link": "z1-1000", "loss": "sqrt(1+(u-1000)**2)", "n": 2, "label_noise": 0.5},
    "steep": {"link": "z1/8", "loss": STEEP, "n": 40, "centre": 1000.1},
}


@pytest.mark.parametrize("label", ["B.5/centred", "B.5/lipschitz"])
@pytest.mark.parametrize("name", FAR)
def test_a_fitted_constant_far_from_the_labels_keeps_its_claims(name: str, label: str) -> None:
    settings = Setting(**{"d": 3, "m": 2, **FAR[name]})
    relations = [find_claim(label).check(Experiment(settings, seed), 0.5) for seed in SEEDS]
    assert {relation.outcome for relation in relations} == {"holds"}


def test_the_error_of_a_constant_fitted_to_equal_labels_is_that_of_the_first_step() -> None:
    # one label near 0: the search begins with a step of 1, and its root is known to that only
    settings = Setting(link="1e-20*z1**2", loss="(u-1e-20)**2/2", d=3, n=1, m=2)
    relations = [find_claim("B.5/centred").check(Experiment(settings, seed), 0.5) for seed in SEEDS]
    assert {relation.outcome for relation in relations} <= {"holds", "undecided"}


@pytest.mark.parametrize("label", ["B.5/centred", "B.5/lipschitz"])
@pytest.mark.parametrize("scale", ["1e-20", "1e20"])
def test_the_unit_of_the_loss_decides_nothing_about_a_fitted_constant(label: str, scale: str) -> None:
    # T and its errors have the unit of the loss, the constants that of y
    settings = Setting(link="h2", loss=f"{scale}*u**2/2", d=3, n=40, m=2, centre=0.5)
    assert {find_claim(label).check(Experiment(settings, seed), 0.5).outcome for seed in SEEDS} == {"holds"}
