import itertools
from fractions import Fraction

import numpy as np
import pytest

from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.symmetries import constant_T, idle_direction, odd_but_for_a_constant, pattern

ZERO = Fraction(0)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("h4+h4", "huber(1)"),
        ("z1*z2", "l1"),
        ("z1*z2", "quantile(0.3)"),
        ("z1*z2*z3", "logcosh"),
        ("z1*z2*z3", "quantile(0.3)"),
        ("r3", "l1"),
        ("z1**2*z2 - z1*z2**2", "l1"),
        ("z1**3 + z2**2", "huber(1)"),
        ("(z1 - z2)**2 + z1 + z2", "l1"),
    ],
)
def test_what_a_pattern_says_holds_for_averages_over_the_orbit(text: str, name: str) -> None:
    # averages of T over all signed permutations of 400 random points have every symmetry exactly, up to summation
    g, points = link(text), np.random.default_rng(0).standard_normal((400, link(text).r))
    points /= np.sqrt(np.mean(points**2))  # averages of z z^T are I, as under the Gaussian law
    orbit = np.concatenate(
        [
            points[:, list(order)] * signs
            for order in itertools.permutations(range(g.r))
            for signs in itertools.product((1, -1), repeat=g.r)
        ]
    )
    t = loss(name).dl(0.0, g(orbit))
    second = (orbit * t[:, None]).T @ orbit / len(orbit)
    C, first = second - t.mean() * np.eye(g.r), orbit.T @ t / len(orbit)
    found = pattern(g, loss(name), ZERO)
    values = {(i, j): C[i, j] for i in range(g.r) for j in range(i, g.r)}
    for i, j in itertools.product(range(g.r), repeat=2):
        sign, key = found.C[i][j]
        assert C[i, j] == pytest.approx(sign * values[key], abs=1e-12)
    for i in range(g.r):
        sign, k = found.first[i]
        assert first[i] == pytest.approx(sign * first[k], abs=1e-12)
    if found.odd:
        assert t.mean() == pytest.approx(0, abs=1e-12)
    for imposed, value in zip(found.imposed(C, first), (C, first), strict=True):
        assert np.allclose(imposed, value, rtol=0, atol=1e-12)
    assert not found.vanishing or not (C.round(12).any() or first.round(12).any())


def test_symmetries_imposed_on_an_estimate_are_exact() -> None:
    noisy = np.array([[1.0, 0.1], [0.1, 3.0]]), np.array([0.25, 0.5])
    C, first = pattern(link("h4(z1) - h4(z2)"), loss("l1"), ZERO).imposed(*noisy)
    assert C.tolist() == [[-1.0, 0.0], [0.0, 1.0]]
    assert first.tolist() == [0.0, 0.0]
    C, first = pattern(link("z1 + z2"), loss("l1"), Fraction(1)).imposed(*noisy)
    assert C.tolist() == [[2.0, 0.1], [0.1, 2.0]]
    assert first.tolist() == [0.375, 0.375]
    assert pattern(link("z1*z2*z3*z4"), loss("l1"), ZERO).vanishing
    assert not pattern(link("z1*z2*z3*z4"), loss("quantile(0.2)"), ZERO).vanishing  # E T = 0.3
    assert not pattern(link("z1 + z2"), loss("l1"), ZERO).vanishing  # E[T z]


def test_patterns_that_are_known() -> None:
    assert pattern(link("z1*z2*z3"), loss("l1"), ZERO).degenerate
    assert pattern(link("z1 + z1*z2 + z1*z2*z3"), loss("huber(1)"), ZERO).degenerate
    assert pattern(link("z1**3"), loss("l1"), ZERO).degenerate
    assert not pattern(link("z1**3"), loss("l1"), Fraction(1)).degenerate
    assert pattern(link("z1**3"), loss("quantile(0.3)"), ZERO).degenerate
    assert not pattern(link("z1**3"), loss("Max(u, 0) + Max(2*u - 2, 0)"), ZERO).degenerate
    assert pattern(link("z1**3 + 1"), loss("l1"), Fraction(1)).used == ("g(-z1) = 2 - g(z)",)
    assert not pattern(link("h4+h4"), loss("l1"), ZERO).degenerate
    assert not pattern(link("z1*z2"), loss("l1"), ZERO).degenerate
    assert pattern(link("h4+h4"), loss("l1"), ZERO).C[0][1][0] == 0
    assert pattern(link("h4+h4"), loss("l1"), ZERO).C[0][0] == pattern(link("h4+h4"), loss("l1"), ZERO).C[1][1]
    assert pattern(link("h4(z1) - h4(z2)"), loss("l1"), ZERO).C[0][0][0] == -1  # exchange turns T into -T
    assert pattern(link("h4(z1) + 2*h4(z2)"), loss("l1"), ZERO).C[0][0] == (1, (0, 0))
    sixfold = pattern(link(" + ".join(f"z{k}**2" for k in range(1, 7))), loss("l1"), Fraction(3))
    assert len({sixfold.C[i][i] for i in range(6)}) == 1
    assert all(sixfold.C[i][j][0] == 0 for i in range(6) for j in range(6) if i != j)


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("l1", True),
        ("quantile(0.2)", True),
        ("Max(u, 0)", True),
        ("Abs(u) + u**3*sign(u)/3 + u", True),
        ("log(exp(u) + 1)", True),
        ("log(exp(u) + 1) + u**2", True),
        ("log(exp(u) + 1) + Max(u, 0)", False),  # true, but not looked for beside a kink
        ("log(exp(u) + 1) + exp(u)", False),
        ("u**4/4 + u**3/3 + u**2/2", False),
        ("Max(u - 1, 0)", False),
        ("Max(u, 0) + Max(u, 0)**2", False),
        ("Max(u + 1, 0) + Max(2*u - 2, 0)", False),
        ("Max(u + 1, 0) + Max(u - 1, 0)", True),
    ],
)
def test_a_derivative_that_is_odd_but_for_a_constant_is_recognised(text: str, odd: bool) -> None:
    l, u = loss(text), np.linspace(0.03, 4, 97)  # noqa: E741 - the theory's symbol
    sums = l.dl(u, 0.0) + l.dl(-u, 0.0)
    assert odd_but_for_a_constant(l) == odd
    assert not odd or np.ptp(sums) < 1e-12
    assert pattern(link("z1**3"), l, ZERO).odd == l.odd


@pytest.mark.parametrize(
    ("text", "name", "centre", "constant"),
    [
        ("z1**2*(z1 - 1)**2", "l1", 0, True),
        ("z1**2*(z1 - 1)**2", "l1", 1, False),
        ("z1**2*(z1 - 1)**2", "huber(1)", 0, False),
        ("z1**2 + z2**4", "quantile(0.2)", 0, True),
        ("z1**2 + z2**4", "l1", -1, True),
        ("-(z1*z2 - z3)**2*3", "l1", 0, True),
        ("z1**2 - z2**2", "l1", 0, False),
        ("(z1 + z2)**2*(z1 - 1)", "l1", 0, False),
        ("z1**2", "huber(1)", -1, True),
        ("-(z1 - z2)**2", "huber(1)", 1, True),
        ("z1**2", "huber(1)", 0, False),
        ("-z1**2", "huber(1)", 0, False),
    ],
)
def test_constant_T_is_seen_and_true(text: str, name: str, centre: int, constant: bool) -> None:
    g = link(text)
    reason = constant_T(g, loss(name), Fraction(centre))
    t = loss(name).dl(centre, g(np.random.default_rng(0).standard_normal((20_000, g.r))))
    assert (reason is not None) == constant == (np.ptp(t) == 0)


def test_idle_directions() -> None:
    assert idle_direction(link("(z1 + z2)**2")) == (Fraction(-1), Fraction(1))
    assert idle_direction(link("h4(z1) + sqrt(2)*z2")) is None
    v = idle_direction(link("h4(z1 - 2*z2) + (z1 - 2*z2)*z3"))
    assert v is not None
    assert v[0] == 2 * v[1] != 0
    assert v[2] == 0
