import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import mimtheory
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.transitions import transitions


@pytest.mark.parametrize("places", [(0.0,), (0.3,), (-2.0, 0.3), (-0.5, 1.0), (-7.9, -7.0, 5.0)])
@pytest.mark.parametrize("width", [1e-2, 1e-5, 1e-9])
def test_every_narrow_change_is_found_where_it_is_and_as_narrow_as_it_is(
    places: tuple[float, ...], width: float
) -> None:
    found = sorted(
        transitions(lambda u: u + sum(np.tanh((u - at) / width) for at in places), (-170.0, 9.0), (-6.0, 2.0))
    )
    assert len(found) == len(places)
    for (where, wide), at in zip(found, places, strict=True):
        assert abs(where - at) <= 4 * width
        assert width / 10 <= wide <= 4 * width


def test_two_equal_changes_are_both_found() -> None:
    """The chord over both meets the function in the middle."""
    found = transitions(lambda u: np.tanh(300 * (u - 1)) + np.tanh(300 * (u + 1)), (-16.0, 16.0), (-4.0, 4.0))
    assert np.allclose(sorted(where for where, _ in found), [-1, 1], rtol=0, atol=0.01)


def test_what_is_wide_or_small_is_no_transition() -> None:
    for function in (lambda u: np.tanh(u / 8), lambda u: 3 * u, lambda u: u + 1e-3 * np.tanh(1e3 * u), lambda u: 0 * u):
        assert transitions(function, (-170.0, 9.0), (-6.0, 2.0)) == ()
    # a jump between the ends of two parts is none either
    assert transitions(lambda u: np.sign(u), (-5.0, 0.0, 5.0), (-5.0, 5.0)) == ()


@pytest.mark.parametrize(
    ("text", "name", "centre"),
    [
        ("300*h4(z1)", "logcosh", 0.0),
        ("300*h4(z1) + 300*h4(z2)", "logcosh", 0.0),
        ("1e4*z1", "logcosh", 1.0),
        ("1e6*z1**2", "logcosh", 0.0),
        ("1e5*h4(z1)", "pseudo_huber(1)", 0.0),
        ("1e2*z1*z2", "pseudo_huber(1)", 1.0),
        *((f"1e{k}*h4(z1)", "logcosh", 0.25) for k in range(7)),
        *(("z1**3 - z1", f"pseudo_huber(1e-{k})", 0.125) for k in range(7)),
    ],
)
def test_a_loss_steep_beside_the_link_agrees_with_proven_balls(text: str, name: str, centre: float) -> None:
    fast = mimtheory.expected_hessian(text, name, centre, method="fast")
    proved = mimtheory.expected_hessian(text, name, centre, method="certified", digits=5, time_limit=20)
    assert proved.status == "certified"
    assert fast.radius <= 1e-7
    assert np.abs(fast.C - proved.C).max() <= fast.radius + proved.radius
    assert abs(fast.c0 - proved.c0) <= fast.radius + proved.radius


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("log(cosh(300*u))/300", 300.0),
        ("log(cosh(1e4*u))/1e4", 1e4),
    ],
)
def test_a_steep_formula_agrees_with_the_loss_of_the_zoo(name: str, factor: float) -> None:
    own = mimtheory.expected_hessian("h4(z1)", name, method="fast")
    same = mimtheory.expected_hessian(f"{factor}*h4(z1)", "logcosh", method="fast")
    assert abs(own.C[0, 0] - same.C[0, 0]) <= own.radius + same.radius <= 1e-9


def test_a_steep_change_away_from_zero_and_beside_a_kink_is_seen() -> None:
    """Against integrals of many digits, cut where the change is."""
    for name, slope in (
        ("log(cosh(500*(u - 1)))/500", lambda u: mpmath.tanh(500 * (u - 1))),
        ("Abs(u) + log(cosh(500*u))/500", lambda u: mpmath.sign(u) + mpmath.tanh(500 * u)),
    ):
        found = mimtheory.expected_hessian("z1**2", name, 1.5, method="fast")
        at = mpmath.sqrt(1.5 if "Abs" in name else 0.5)
        beside = [at + side * mpmath.mpf(2) ** -k for side in (-1, 1) for k in range(2, 16)]
        cuts = sorted([0, *beside, at, 12])

        def integrand(z: Any, slope: Callable[[Any], Any] = slope) -> Any:
            return slope(1.5 - z * z) * (z * z - 1) * mpmath.npdf(z)

        exact = 2 * sum(mpmath.quad(integrand, pair) for pair in itertools.pairwise(cuts))
        assert abs(found.C[0, 0] - float(exact)) <= found.radius <= 1e-10


def test_no_cut_is_added_where_nothing_is_steep() -> None:
    for name, centre in (("logcosh", 0.0), ("pseudo_huber(1)", 0.5), ("huber(1e-3)", 0.0)):
        lines = LineIntegrals(link("h4(z1) + z1*z2"), loss(name), centre, moments=False)
        rays, doubts = lines.rays_and_doubts(np.array([[0.6, 0.8]]))
        cuts, _ = lines._cuts(rays, doubts)
        assert np.count_nonzero(np.diff(cuts[0])) <= 16 + 4 * len(lines.levels)
