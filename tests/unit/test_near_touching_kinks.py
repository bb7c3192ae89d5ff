"""The radius of the fast method where kink curves nearly touch: z1^2 at level 1e-14 is a strip 2e-7 wide.

Oracles are closed forms and integrals over one variable to 20 digits or more. Seeds are fixed; 160 problems in up
to two variables, 100 tiny ovals and 6 problems in three variables, each with every entry of C and, but for the ovals,
c0.
"""

import itertools
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from typing import Any

import mpmath
import numpy as np
import pytest

from mimtheory.hessian import expected_hessian
from mimtheory.line_integrals import LineIntegrals
from mimtheory.links import link
from mimtheory.losses import loss

CENTRES = [0.0, *(side * size for size in (1e-300, 1e-16, 1e-14, 1e-10, 1e-6) for side in (1, -1))]
LOSSES = {
    "l1": (lambda u: mpmath.sign(u), 0.0),
    "quantile(0.3)": (lambda u: mpmath.mpf(7) / 10 if u > 0 else mpmath.mpf(-3) / 10, 0.0),
    "huber(1)": (lambda u: max(min(u, mpmath.mpf(1)), mpmath.mpf(-1)), 1.0),
    "huber(1e-8)": (lambda u: max(min(u, mpmath.mpf(10) ** -8), -(mpmath.mpf(10) ** -8)), 1e-8),
}


def rational_turn(rng: np.random.Generator) -> tuple[list[list[Fraction]], np.ndarray]:
    """A random turn of the plane with rational entries, exactly and as doubles."""
    m, n = (int(k) for k in rng.integers(1, 12, 2))
    a, b = Fraction(m * m - n * n, m * m + n * n), Fraction(2 * m * n, m * m + n * n)
    exact = [[a, -b], [b, a]]
    return exact, np.array(exact, dtype=np.float64)


def assert_covered(found: Any, C: np.ndarray, c0: float, radius: float = 0.0) -> None:
    size = 4e-16 * max(abs(c0), np.abs(C).max())  # of the oracle in doubles
    assert np.abs(found.C - C).max() <= found.radius + radius + size
    assert abs(found.c0 - c0) <= found.radius + radius + size


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("text", "base"), [("({0})**2", 0), ("(({0})**2 - 1)**2", 0), ("(({0})**2 - 1)**2", 1), ("({0})**4", 0)]
)
def test_links_of_one_direction_in_the_plane(text: str, base: int, name: str) -> None:
    """C = C_1 v v^T with C_1 in closed form; 16 x 6 problems."""
    rng = np.random.default_rng(20)
    for centre in rng.permutation(CENTRES)[:6]:
        Q, turn = rational_turn(rng)
        line = expected_hessian(text.format("z1"), name, base + centre)
        plane = expected_hessian(text.format(f"({Q[0][0]})*z1 + ({Q[0][1]})*z2"), name, base + centre, method="fast")
        assert_covered(plane, line.C[0, 0] * np.outer(turn[0], turn[0]), line.c0, line.radius)


@pytest.mark.parametrize("centre", [1e-14, 1e-16, -1e-14, 0.0])
@pytest.mark.parametrize("name", ["l1", "huber(1)"])
def test_a_link_of_one_coordinate(name: str, centre: float) -> None:
    """8 problems; at r = 2 the other coordinate is there with coefficient 0."""
    line = expected_hessian("z1**2", name, centre)
    assert_covered(expected_hessian("z1**2", name, centre, method="fast"), line.C, line.c0, line.radius)
    plane = expected_hessian("z2**2", name, centre, method="fast")
    assert_covered(plane, np.diag([0.0, line.C[0, 0]]), line.c0, line.radius)


def average(T: Callable[[Any], Any], weight: Callable[[Any], Any], cuts: list[Any], end: int) -> Any:
    ends = [mpmath.mpf(0), *sorted({cut for cut in cuts if 0 < cut < end}), mpmath.mpf(1), mpmath.mpf(end)]
    return sum(mpmath.quad(lambda x: T(x) * weight(x), pair) for pair in itertools.pairwise(sorted(set(ends))))


def of_the_norm(T: Callable[[Any], Any], cuts: list[Any]) -> tuple[np.ndarray, float]:
    """z1^2 + z2^2 = x has density exp(-x/2)/2, and each square is x/2 on average."""
    c0 = average(T, lambda x: mpmath.exp(-x / 2) / 2, cuts, 90)
    second = average(T, lambda x: x * mpmath.exp(-x / 2) / 4, cuts, 90)
    return np.eye(2) * float(second - c0), float(c0)


@cache
def bessel(order: int, x: Any) -> Any:
    """K_order(x), for which several integrands ask at the same nodes, to the 20 digits of its only test."""
    return mpmath.besselk(order, x)


def of_the_product(T: Callable[[Any], Any], cuts: list[Any]) -> tuple[np.ndarray, float]:
    """z1 z2 = x has density K0(|x|)/pi, and E[z1^2 | x] = |x| K1(|x|)/K0(|x|)."""
    cuts = [abs(cut) for cut in cuts]
    c0 = average(lambda x: T(x) + T(-x), lambda x: bessel(0, x) / mpmath.pi, cuts, 50)
    second = average(lambda x: T(x) + T(-x), lambda x: x * bessel(1, x) / mpmath.pi, cuts, 50)
    mixed = average(lambda x: T(x) - T(-x), lambda x: x * bessel(0, x) / mpmath.pi, cuts, 50)
    off, diagonal = float(mixed), float(second - c0)
    return np.array([[diagonal, off], [off, diagonal]]), float(c0)


FAMILIES = {
    "z1**2 + z2**2": (of_the_norm, lambda x: x, lambda y: y),
    "z1*z2": (of_the_product, lambda x: x, lambda y: y),
    "z1**2*z2**2": (of_the_product, lambda x: x * x, lambda y: mpmath.sqrt(abs(y))),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("text", FAMILIES)
def test_circles_and_hyperbolas(text: str, name: str) -> None:
    """12 x 2 problems, turned at random."""
    rng = np.random.default_rng(21)
    (oracle, inner, back), (derivative, kink) = FAMILIES[text], LOSSES[name]
    with mpmath.workdps(20):
        for centre in rng.permutation(CENTRES)[:2]:
            Q, turn = rational_turn(rng)
            c = mpmath.mpf(float(centre))
            cuts = [back(c - side * mpmath.mpf(kink)) for side in (0, 1, -1)]
            C, c0 = oracle(partial(lambda c, x: derivative(c - inner(x)), c), cuts)
            found = expected_hessian(link(text).rotate(Q), name, float(centre), method="fast")
            assert_covered(found, turn @ C @ turn.T, c0)


@pytest.mark.parametrize(("name", "below"), [("l1", -1.0), ("quantile(0.3)", -0.3)])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-8, 1e-14])
def test_a_parabola_that_is_nearly_a_double_line(epsilon: float, name: str, below: float) -> None:
    """T is `below` + 1(epsilon z2 < c - z1^2); given z1 that is Phi(s), s = (c - z1^2)/epsilon; 6 x 4 problems."""
    rng = np.random.default_rng(22)
    with mpmath.workdps(30):
        for centre in rng.permutation(CENTRES)[:4]:
            Q, turn = rational_turn(rng)
            c, eps = mpmath.mpf(float(centre)), mpmath.mpf(epsilon)
            scale = mpmath.sqrt(eps + abs(c))
            cuts = [0, *(scale * k for k in (0.25, 0.5, 1, 2, 4)), 1, 12]
            cuts += [mpmath.sqrt(c + k * eps) for k in range(-12, 13, 3) if c + k * eps > 0]

            def mean(f: Callable[[Any, Any], Any], c: Any = c, eps: Any = eps, cuts: Any = tuple(cuts)) -> Any:
                def along(x: Any) -> Any:
                    return 2 * mpmath.npdf(x) * f(x, (c - x * x) / eps)

                pairs = itertools.pairwise(sorted({x for x in cuts if x <= 12}))
                return sum(mpmath.quad(along, pair) for pair in pairs)

            jump = 1.0 if name != "l1" else 2.0
            c0 = below + jump * mean(lambda x, s: mpmath.ncdf(s))
            first = jump * mean(lambda x, s: (x * x - 1) * mpmath.ncdf(s))
            second = jump * mean(lambda x, s: -s * mpmath.npdf(s))
            g = link(f"z1**2 + ({Fraction(epsilon)})*z2").rotate(Q)
            found = expected_hessian(g, name, float(centre), method="fast")
            assert_covered(found, turn @ np.diag([float(first), float(second)]) @ turn.T, float(c0))


def over_an_ellipse(centre: tuple[float, float], a: float, b: float, c: float) -> np.ndarray:
    """2 E[(z z^T - I) 1{a (z1 - p)^2 + b (z2 - q)^2 < c}], the C of the loss l1, by 20 Gauss nodes along the radius and
    64 equal angles: the integrand is a polynomial of degree 2 times a Gaussian over at most 0.1."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    angles = 2 * np.pi * (np.arange(64) + 0.5) / 64
    radius, angle = np.meshgrid((1 + nodes) / 2, angles, indexing="ij")
    z = np.stack(
        [
            centre[0] + radius * np.cos(angle) * np.sqrt(c / a),
            centre[1] + radius * np.sin(angle) * np.sqrt(c / b),
        ]
    )
    weight = weights[:, None] / 128 * radius * c / np.sqrt(a * b) * np.exp(-np.sum(z * z, axis=0) / 2)
    return 2 * (np.einsum("ajk,bjk,jk->ab", z, z, weight) - weight.sum() * np.eye(2))


@pytest.mark.parametrize(("p", "q"), [("1", "1"), ("2", "-1/2"), ("1/3", "7/4"), ("-1/10", "1/5"), ("3", "0")])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (9, 1), (1, 100), (2500, 1)])
def test_an_oval_between_two_angles_of_the_grid(p: str, q: str, a: int, b: int) -> None:
    """20 x 5 problems: ellipses off the origin with half axes from 0.1 down to 2e-8."""
    for c in (1e-2, 1e-4, 1e-6, 1e-9, 1e-12):
        found = expected_hessian(f"{a}*(z1 - ({p}))**2 + {b}*(z2 - ({q}))**2", "l1", c, method="fast")
        exact = over_an_ellipse((float(Fraction(p)), float(Fraction(q))), a, b, c)
        assert np.abs(found.C - exact).max() <= found.radius
        if a == b and c >= 1e-9:
            assert found.radius <= 1e-12  # what the method promises where an oval is neither long nor rounding


@pytest.mark.parametrize(
    ("text", "name", "centre"),
    [
        ("({0})**2", "l1", 1e-14),
        ("({0})**2", "l1", 0.0),
        ("({0})**2", "huber(1e-8)", 1e-10),
        ("({0})**2", "quantile(0.3)", 1e-6),
        ("(({0})**2 - 1)**2", "l1", 1e-14),
        ("(({0})**2 - 1)**2", "l1", 1 - 1e-14),
    ],
)
def test_links_of_one_direction_in_space(text: str, name: str, centre: float) -> None:
    v = np.array([2.0, -3.0, 6.0]) / 7
    line = expected_hessian(text.format("z1"), name, centre)
    space = expected_hessian(text.format("(2*z1 - 3*z2 + 6*z3)/7"), name, centre, method="fast")
    assert_covered(space, line.C[0, 0] * np.outer(v, v), line.c0, line.radius)


def test_what_rounding_misplaces_along_a_line_is_the_width_where_g_is_rounding() -> None:
    """(z^2 - 1)^2 within eps of 0 is two intervals of width sqrt(eps) about +-1, with a jump of 2 and phi(1)."""
    lines = LineIntegrals(link("(z1**2 - 1)**2"), loss("l1"), 0.0, moments=False)
    moved = lines.with_rounding(np.ones((1, 1)))[1][0]
    least = 2 * 2 * np.sqrt(np.finfo(np.float64).eps) * np.exp(-0.5) / np.sqrt(2 * np.pi)
    assert np.all(moved >= least)
    assert np.all(moved <= 100 * least)


def test_the_rounding_of_a_lipschitz_T_is_at_most_that_of_g() -> None:
    """E|z1 z2| = 2/pi; 6.5 roundings of eps (2 powers, 2.5 for products, coefficient and sum, 2 of Horner's scheme)."""
    lines = LineIntegrals(link("z1*z2"), loss("huber(1)"), 0.0, moments=False)
    change = 6.5 * np.finfo(np.float64).eps * 2 / np.pi * np.array([1.0, 4.0])  # E|z1 z2| |z|^2 = 4 E|z1 z2|
    sums = 4 * np.finfo(np.float64).eps * lines.size
    assert np.allclose(lines.rounding, change + sums, rtol=1e-9, atol=0)
