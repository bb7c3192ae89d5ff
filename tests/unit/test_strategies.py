"""Each strategy reaches the corners that it promises, is not secretly trivial, and shrinks to readable examples."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.strategies import SearchStrategy
from scipy.linalg import eigh

from mimtheory import strategies
from mimtheory.hessian import expected_hessian
from mimtheory.links import Link, link
from mimtheory.losses import loss
from mimtheory.operators import extreme_eigenvalues, spectral_norm
from mimtheory.setting import Setting
from mimtheory.strategies import Rotation, Symmetric

PROFILE = settings(
    max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def simplest(strategy: SearchStrategy[Any], condition: Callable[[Any], bool]) -> Any:
    """The shrunk example; hypothesis raises where there is none."""
    return find(strategy, condition, settings=PROFILE)


def reached(strategy: SearchStrategy[Any], condition: Callable[[Any], bool]) -> Any:
    """The first example, as it was drawn; shrinking takes most of the time of `simplest`."""
    return find(strategy, condition, settings=settings(PROFILE, phases=[Phase.generate]))


def drawn(strategy: SearchStrategy[Any], count: int = 200) -> list[Any]:
    found: list[Any] = []

    @settings(PROFILE, max_examples=count)
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


def _of_degree(k: int) -> Callable[[Link], bool]:
    return lambda g: g.degree == k


def rank_of_C(g: Link, name: str = "squared") -> int:
    return int(np.linalg.matrix_rank(expected_hessian(g, loss(name)).C, tol=1e-9))


def test_links_are_of_the_size_that_is_asked_and_read_back() -> None:
    for g in drawn(strategies.links(r=2, degree=5, size=4)):
        assert g.r == 2
        assert 1 <= g.degree <= 5
        for c in g.hermite_coefficients.values():
            assert abs(c) <= 4
        assert Link(g.text, g.polynomial) == g
    assert {g.r for g in drawn(strategies.links())} == {1, 2}
    assert {g.r for g in drawn(strategies.links(r=3), 20)} == {3}


@pytest.mark.parametrize("exponent", [1, 2, 3, 4])
def test_links_have_the_information_exponent_that_is_asked(exponent: int) -> None:
    found = drawn(strategies.links(exponent=exponent), 60)
    assert {g.information_exponent for g in found} == {exponent}


def test_symmetric_links_do_not_change_when_coordinates_are_exchanged() -> None:
    for g in drawn(strategies.links(r=2, symmetric=True), 60):
        assert g.rotate([[0, 1], [1, 0]]).polynomial == g.polynomial


def test_odd_links_are_odd_and_their_C_is_zero_for_an_odd_loss() -> None:
    for g in drawn(strategies.links(odd=True), 30):
        assert g.odd
        assert np.abs(expected_hessian(g, loss("l1")).C).max() < 1e-8


@pytest.mark.parametrize("symmetric", [False, True])
def test_links_that_are_degenerate_on_purpose_have_a_C_of_lower_rank(symmetric: bool) -> None:
    found = drawn(strategies.links(r=2, degenerate=True, symmetric=symmetric), 60)
    assert all(rank_of_C(g) < 2 for g in found)
    if not symmetric:
        assert rank_of_C(reached(strategies.links(r=2, degenerate=True), lambda g: rank_of_C(g) == 1)) == 1
    # the links themselves are not of lower dimension: other losses see all of them
    asked = strategies.links(r=2, degenerate=True, symmetric=symmetric)
    assert reached(asked, lambda g: rank_of_C(g, "huber(1)") == 2).r == 2


def test_links_reach_degenerate_full_odd_and_equal() -> None:
    plain = strategies.links(r=2)
    assert reached(plain, lambda g: rank_of_C(g) == 0).r == 2
    assert reached(plain, lambda g: rank_of_C(g) == 1).r == 2
    assert reached(plain, lambda g: g.odd).odd

    def equal(g: Link) -> bool:
        low, high = np.linalg.eigvalsh(expected_hessian(g, loss("squared")).C)
        return bool(low == high != 0)

    assert simplest(strategies.links(r=2, symmetric=True), equal).text == "He2(z1) + He2(z2)"


def test_links_are_not_secretly_trivial() -> None:
    found = drawn(strategies.links())
    assert len({g.text for g in found}) > len(found) / 2
    assert sum(len(g.hermite_coefficients) > 1 for g in found) > len(found) / 3
    assert sum(g.degree > 2 for g in found) > len(found) / 3
    assert {rank_of_C(g) for g in found} == {0, 1, 2}


def test_links_shrink_to_one_plain_term() -> None:
    assert simplest(strategies.links(), lambda g: True).text == "z1"
    for degree in (2, 3, 4):
        g = simplest(strategies.links(), _of_degree(degree))
        assert list(g.hermite_coefficients.values()) == [1], g.text


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"r": 0}, "r = 0"),
        ({"r": 7}, "r = 7"),
        ({"degree": 21}, "degree = 21"),
        ({"exponent": 5, "degree": 4}, "exponent = 5"),
        ({"size": 0}, "size = 0"),
        ({"exponent": 2, "odd": True}, "no odd link"),
        ({"exponent": 2, "r": 1, "degenerate": True}, "no degenerate link"),
    ],
)
def test_links_that_do_not_exist_are_refused(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}.*allowed"):
        drawn(strategies.links(**asked), 1)


def test_losses_cover_the_zoo_and_bounded_ones_are_bounded() -> None:
    names = {found.text.partition("(")[0] for found in drawn(strategies.losses(), 300)}
    assert names == {"squared", "l1", "huber", "pseudo_huber", "logcosh", "quantile"}
    assert all(math.isfinite(found.K) for found in drawn(strategies.losses(bounded=True)))
    assert simplest(strategies.losses(), lambda found: True).text == "squared"


def test_activations_are_within_the_assumption_and_not_all_even() -> None:
    found = drawn(strategies.activations(), 60)
    assert all(sigma.reason is None for sigma in found)
    assert {sigma.even for sigma in found} == {True, False}
    # formulas too, which lose what a kernel of the zoo does not
    assert {sigma.even for sigma in found if sigma.code < 0} == {True, False}


CORNERS: dict[str, Callable[[Setting], bool]] = {
    "d = r": lambda s: s.d == s.link.r,
    "n = 1": lambda s: s.n == 1,
    "n < d": lambda s: 1 < s.n < s.d,
    "n > 10 d": lambda s: s.n > 10 * s.d > 20,
    "two hidden directions": lambda s: s.link.r == 2,
    "no decay": lambda s: s.beta1 == 0,
    "fitted centre": lambda s: s.centre == "fitted",
    "one step": lambda s: s.T1 == 1,
    "an odd link": lambda s: s.link.odd,
    "not even": lambda s: not s.activation.even,
    "degenerate": lambda s: s.link.r == 2 and rank_of_C(s.link) < 2,
}


@pytest.mark.parametrize("corner", CORNERS)
def test_settings_reach_their_corners(corner: str) -> None:
    assert CORNERS[corner](reached(strategies.settings(), CORNERS[corner]))


def test_settings_shrink_to_the_smallest_and_take_the_links_that_are_given() -> None:
    s = simplest(strategies.settings(), lambda s: True)
    assert (s.link.text, s.d, s.n, s.T1) == ("h2(z1)", 1, 1, 1)
    given_links = strategies.settings(
        links=strategies.links(r=3, odd=True), losses=strategies.losses(bounded=True), p=2
    )
    for s in drawn(given_links, 20):
        assert (s.link.r, s.link.odd) == (3, True)
        assert s.d <= 5
        assert math.isfinite(s.loss.K)


def test_settings_are_not_secretly_trivial() -> None:
    found = drawn(strategies.settings())
    assert len(set(found)) > 0.9 * len(found)
    assert sum(s.n > s.d > s.link.r for s in found) > len(found) / 3
    assert len({s.link for s in found}) > 15


def test_rotations_are_exactly_orthogonal_and_turn_links_without_changing_their_size() -> None:
    found = drawn(strategies.rotations(2), 60)
    for Q in found:
        gram = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in Q.exact] for x in Q.exact]
        assert gram == [[1, 0], [0, 1]]
        np.testing.assert_array_equal(Q.matrix, [[float(x) for x in row] for row in Q.exact])
    g = link("z1**3 + z1*z2")
    for Q in found[:12]:
        assert g.rotate(Q.exact).second_moment == g.second_moment
    assert {round(float(np.linalg.det(Q.matrix))) for Q in found} == {1, -1}
    assert sum(len(Q.turns) > 0 for Q in found) > len(found) / 3
    assert simplest(strategies.rotations(3), lambda Q: True) == Rotation(3)
    assert Rotation(2, ((0, 1, 0),)).exact == [[Fraction(3, 5), Fraction(-4, 5)], [Fraction(4, 5), Fraction(3, 5)]]
    assert {Q.flipped for Q in drawn(strategies.rotations(1), 20)} == {(), (0,)}


def test_symmetric_matrices_have_their_spectrum_and_reach_equal_eigenvalues() -> None:
    found = drawn(strategies.symmetric_matrices(5))
    for S in found:
        values = eigh(S.matrix, eigvals_only=True)
        np.testing.assert_allclose(values, sorted(S.spectrum), atol=1e-13)
        assert (S.matrix == S.matrix.T).all()
    assert any(len(set(S.spectrum)) == 1 for S in found)
    assert any(len(set(S.spectrum)) == 5 for S in found)
    assert any(1 < len(set(S.spectrum)) < 5 and S.seed for S in found)
    assert sum(S.seed > 0 for S in found) > len(found) / 4
    assert simplest(strategies.symmetric_matrices(2), lambda S: True) == Symmetric((0.0, 0.0))
    asked = drawn(strategies.symmetric_matrices(3, spectrum=(1, 1, -2)), 20)
    assert {S.spectrum for S in asked} == {(1, 1, -2)}
    with pytest.raises(ValueError, match="spectrum has 2 entries; allowed: d = 3"):
        strategies.symmetric_matrices(3, spectrum=(1, 2))


@given(strategies.symmetric_matrices(6))
def test_solvers_find_the_ends_of_a_given_spectrum(S: Symmetric) -> None:
    ends = extreme_eigenvalues(S.matrix).value
    size = max(abs(x) for x in S.spectrum)
    np.testing.assert_allclose(ends, [min(S.spectrum), max(S.spectrum)], atol=1e-13)
    np.testing.assert_allclose(spectral_norm(S.matrix).value, size, atol=1e-13)
