import itertools
from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import fmpq

from mimtheory.hessian import expected_hessian
from mimtheory.links import ZOO, link
from mimtheory.losses import loss
from mimtheory.polynomial_derivatives import ExactMatrix, exact_moments, exact_moments_by_monomials
from mimtheory.polynomials import surd_to_float, surd_to_sympy


@pytest.mark.parametrize("text", [*ZOO, "z1*z2*z3*z4 + h2(z4)", "sqrt(2)*z1 + sqrt(3)*z1*z2 - 1"])
@pytest.mark.parametrize("name", ["squared", "u**2/2 + u**4/12"])
def test_the_two_routes_agree_exactly(text: str, name: str) -> None:
    arguments = link(text), loss(name), Fraction(1, 3), Fraction(1, 2)
    assert exact_moments(*arguments) == exact_moments_by_monomials(*arguments)


def test_gauss_hermite_agrees_where_it_is_exact() -> None:
    # degree 3 * 4 + 2 = 14 in each variable: 8 nodes an axis are exact, and one more for the noise
    g, shape, centre, noise = link("z1**2*z2**2 + z1/3 - 1"), loss("u**2/2 + u**4/12"), 0.5, 0.25
    x, w = np.polynomial.hermite_e.hermegauss(10)
    w = w / np.sqrt(2 * np.pi)
    z = np.array(list(itertools.product(x, x, x)))
    weights = np.array([a * b * c for a, b, c in itertools.product(w, w, w)])
    t = shape.dl(centre, g(z[:, :2]) + noise * z[:, 2]) * weights
    found = exact_moments(g, shape, Fraction(1, 2), Fraction(1, 4))
    assert found is not None
    assert surd_to_float(found.mean) == pytest.approx(t.sum(), rel=1e-11)
    for i in range(2):
        assert surd_to_float(found.first[i]) == pytest.approx(t @ z[:, i], rel=1e-10, abs=1e-10)
        for j in range(2):
            direct = t @ (z[:, i] * z[:, j] - (i == j))
            assert surd_to_float(found.C.rows[i][j]) == pytest.approx(direct, rel=1e-10, abs=1e-10)


def test_rank_and_signs_are_those_of_sympy() -> None:
    rng = np.random.default_rng(0)
    for r in (1, 2, 3, 4):
        for _ in range(6):
            half = rng.integers(-2, 3, (r, r))
            # of low rank half of the time, with square roots in it
            M = sympy.Matrix(half + half.T) if rng.random() < 0.5 else sympy.Matrix(half[:, :1] @ half[:, :1].T)
            s = [[sympy.sqrt(2) if (i + j) % 2 else sympy.Integer(1) for j in range(r)] for i in range(r)]
            rows = tuple(
                tuple({2 if (i + j) % 2 else 1: fmpq(int(M[i, j]))} if M[i, j] else {} for j in range(r))
                for i in range(r)
            )
            exact = ExactMatrix(rows)
            S = sympy.Matrix(r, r, lambda i, j, M=M, s=s: M[i, j] * s[i][j])
            assert exact.to_sympy() == S
            assert exact.rank == S.rank(simplify=True)
            eigenvalues = np.linalg.eigvalsh(np.array(S.evalf(), dtype=float))
            assert exact.inertia == ((eigenvalues > 1e-9).sum(), (eigenvalues < -1e-9).sum())


def test_squared_loss_by_hand() -> None:
    found = exact_moments(link("z1**2*z2 + 3*z1**2 + z1*z2/7 + z2"), loss("squared"), Fraction(2), Fraction(1))
    assert found is not None
    assert found.C.to_sympy() == sympy.Matrix([[-6, -sympy.Rational(1, 7)], [-sympy.Rational(1, 7), 0]])
    assert surd_to_sympy(found.mean) == -1
    assert [surd_to_sympy(x) for x in found.first] == [0, -2]


def test_what_is_no_polynomial_or_too_large_has_no_exact_moments() -> None:
    assert exact_moments(link("h4"), loss("l1"), Fraction(0), Fraction(0)) is None
    assert exact_moments(link("h20(z1)*1 + z2*z3*z4*z5*z6"), loss("u**10"), Fraction(0), Fraction(0)) is None


def test_few_terms_in_many_variables_are_exact() -> None:
    # six variables with the noise, of which three occur: fewer than 120 products of three of its seven terms
    g, l, c = link("1e-9*He4(z1)*z1 + He2(z5)"), loss("u**4/4"), Fraction(-1)  # noqa: E741 - the theory's symbol
    found = exact_moments(g, l, c, Fraction(1, 2))
    assert found is not None
    assert found == exact_moments_by_monomials(g, l, c, Fraction(1, 2))
    # without the first term T = (c - He_2 - xi/2)^3: E T = -1 - 3 (2 + 1/4) - 8
    assert surd_to_float(found.mean) == pytest.approx(-15.75, rel=1e-12)


def test_what_is_too_large_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match="at most 20,000 terms"):
        expected_hessian("(1 + z1 + z2 + z3 + z4 + z5 + z6)**6", "u**4/4", method="exact")
