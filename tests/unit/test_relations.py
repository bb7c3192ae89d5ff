"""Relations: what each outcome means, and that rounding neither hides nor makes a violation."""

from fractions import Fraction

import numpy as np
import pytest

from mimtheory.relations import Rounded, at_least, at_most, equals, gamma, says_nothing

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("relation", "outcome"),
    [
        (at_most(1.0, 2.0), "holds"),
        (at_most(2.0, 1.0), "violated"),
        (at_least(1.0, 2.0), "violated"),
        (at_least(2.0, 1.0), "holds"),
        (equals(1.0, 1.0), "holds"),
        (equals(1.0, 1.001), "violated"),
        (equals(1.001, 1.0), "violated"),
        (at_most(1.0, INF), "vacuous"),
        (at_least(1.0, -INF), "vacuous"),
        (at_most([1.0, 1.0], [INF, 2.0]), "holds"),
        (at_most([1.0, 3.0], [INF, 2.0]), "violated"),
        (at_most(NAN, 1.0), "error"),
        (at_most(INF, 1.0), "error"),
        (at_most(1.0, NAN), "error"),
        (at_most(1.0, Rounded(2.0, NAN)), "error"),
        (at_most([], []), "skipped"),
        (at_most(Rounded(1.0, 0.01), 2.0), "undecided"),
        (at_most(Rounded(1.0, 0.001), 2.0), "holds"),
        (at_most(Rounded([1.0, 1.0], np.array([1.0, 0.0])), [INF, 2.0]), "holds"),
        (says_nothing(), "vacuous"),
    ],
)
def test_the_outcome_is(relation, outcome) -> None:  # type: ignore[no-untyped-def]
    assert relation.outcome == outcome


def test_a_violation_within_the_allowance_does_not_count_and_one_beyond_does() -> None:
    assert at_most(Rounded(1.0 + 0.9e-6, 1e-6), Rounded(1.0)).outcome == "holds"
    assert at_most(Rounded(1.0 + 1.1e-6, 1e-6), Rounded(1.0)).outcome == "violated"
    assert at_most(Rounded(1.0 + 1.1e-6, 1e-6), Rounded(1.0, 1e-6)).outcome == "holds"  # the errors add up


def test_a_violation_comes_before_vacuous_and_undecided() -> None:
    assert at_most(Rounded([5.0, 1.0], np.array([0.0, 1.0])), [1.0, 1.0]).outcome == "violated"


def test_the_resolution_is_a_thousandth_of_the_larger_side() -> None:
    assert at_most(Rounded(1e-9, 0.9e-3), Rounded(1.0)).outcome == "holds"
    assert at_most(Rounded(1e-9, 1.1e-3), Rounded(1.0)).outcome == "undecided"


def test_ratios_are_tightness_whatever_the_direction() -> None:
    assert at_most(1.0, 4.0).ratio == 0.25
    assert at_least(4.0, 1.0).ratio == 0.25
    assert at_most(0.0, 0.0).ratio == 0.0
    assert at_most(1.0, 0.0).ratio == INF
    assert at_most(Rounded(4e-19, 3e-16), Rounded(0.0)).ratio == 0.0  # 0 <= 0 but for rounding
    assert at_most(Rounded(4e-16, 3e-16), Rounded(0.0)).ratio == INF
    assert equals(Rounded(1.5, 1.0), Rounded(1.0)).ratio == 0.5  # in units of the allowance
    assert at_most([1.0, 3.0, 2.0], [4.0, 4.0, 4.0]).worst == 1
    assert at_most([], []).worst is None


def test_a_scalar_is_compared_with_every_entry() -> None:
    assert at_most([1.0, 3.0], 2.0).outcome == "violated"
    assert at_most([1.0, 1.5], 2.0).measured.shape == (2,)


def test_gamma_is_k_u_over_one_minus_k_u() -> None:
    u, k = Fraction(1, 2**53), 100
    exact = k * u / (1 - k * u)
    # three roundings on the way
    assert abs(Fraction(gamma(k)) - exact) <= 3 * u * exact
    assert gamma(k) > 0.999 * 100 * 2**-53


def test_a_bare_number_carries_a_few_roundings_of_its_size() -> None:
    assert at_most(1.0 + 4 * 2**-53, 1.0).outcome == "holds"
    assert at_most(1.0 + 64 * 2**-53, 1.0).outcome == "violated"


def test_resolved_keeps_what_a_comparison_can_decide() -> None:
    side = Rounded([1.0, 1e-6], 1e-5)
    assert side.resolved().tolist() == [True, False]
    assert Rounded([1e-6, 1e-7], 1e-5).resolved().tolist() == [True, True]  # nothing to choose from: all stay
    assert side.error == 1e-5


@pytest.mark.parametrize(
    ("measured", "stated", "outcome", "ratio"),
    [(-3, -2, "holds", 2 / 3), (-1, -2, "violated", 2), (1, -2, "violated", np.inf), (-1, 2, "holds", -0.5)],
)
def test_a_ratio_is_at_most_1_where_a_claim_about_negative_numbers_holds(
    measured: float, stated: float, outcome: str, ratio: float
) -> None:
    for relation in (at_most(measured, stated), at_least(-measured, -stated), at_least(stated, measured)):
        assert relation.outcome == outcome
    assert at_most(measured, stated).ratio == at_least(stated, measured).ratio == pytest.approx(ratio)
    assert (at_least(-measured, -stated).ratio <= 1) == (outcome == "holds")


def test_sides_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="measured has 3 entries, stated 2"):
        at_most([1, 2, 3], [1, 2])
    assert at_most([1, 2, 3], 3).outcome == "holds"
