"""Exact polynomials over Q with square roots, against SymPy."""

from fractions import Fraction

import numpy as np
import pytest
import sympy

from mimtheory.links import link
from mimtheory.polynomials import Polynomial, hermite_polynomial, squarefree_root, surd_to_float, surd_to_sympy

z1, z2 = sympy.symbols("z1 z2", real=True)
TEXTS = ["z1**3 - z2/3 + 0.7", "sqrt(2)*z1*z2 + sqrt(8)*z1**2 - 1", "h4(z1) + h6(z2)*z1", "(z1 + sqrt(3)*z2)**4"]


def polynomial(text: str) -> Polynomial:
    return link(text).polynomial


def expanded(value: sympy.Expr) -> sympy.Expr:
    symbols = {str(s): s for s in (z1, z2)}
    return sympy.expand(value.subs({s: symbols[str(s)] for s in value.free_symbols}))


@pytest.mark.parametrize("a", TEXTS)
@pytest.mark.parametrize("b", TEXTS)
def test_sums_products_and_powers_are_exact(a: str, b: str) -> None:
    p, q = polynomial(a).extended(2), polynomial(b).extended(2)
    P, Q = expanded(p.to_sympy()), expanded(q.to_sympy())
    assert sympy.expand(expanded((p + q).to_sympy()) - P - Q) == 0
    assert sympy.expand(expanded((p - q).to_sympy()) - P + Q) == 0
    assert sympy.expand(expanded((p * q).to_sympy()) - P * Q) == 0
    assert sympy.expand(expanded((p**3).to_sympy()) - P**3) == 0
    assert (p == q) == (a == b)


@pytest.mark.parametrize("text", TEXTS)
def test_derivatives_heat_and_means_are_those_of_calculus(text: str) -> None:
    p = polynomial(text).extended(2)
    P = expanded(p.to_sympy())
    for k, z in enumerate((z1, z2)):
        assert sympy.expand(expanded(p.derivative(k).to_sympy()) - sympy.diff(P, z)) == 0
    for sign in (1, -1):
        flow, term = P, P
        for order in range(1, 8):
            term = sign * (sympy.diff(term, z1, 2) + sympy.diff(term, z2, 2)) / (2 * order)
            flow += term
        assert sympy.expand(expanded(p.heat(sign).to_sympy()) - flow) == 0
    assert p.heat(1).heat(-1) == p
    mean = flow_at_zero = expanded(p.heat(1).to_sympy()).subs({z1: 0, z2: 0})
    assert sympy.simplify(surd_to_sympy(p.gaussian_mean()) - mean) == 0
    assert surd_to_float(p.gaussian_mean()) == pytest.approx(float(flow_at_zero), rel=1e-14)


@pytest.mark.parametrize("text", TEXTS)
def test_evaluation_is_that_of_the_formula(text: str) -> None:
    p = polynomial(text).extended(2)
    Z = np.random.default_rng(0).standard_normal((50, 2)) * 2
    exact = sympy.lambdify((z1, z2), expanded(p.to_sympy()), "numpy")(Z[:, 0], Z[:, 1])
    size = sympy.lambdify(
        (z1, z2),
        sum(abs(c) * abs(z1) ** i * abs(z2) ** j for (i, j), c in sympy.Poly(expanded(p.to_sympy()), z1, z2).terms()),
        "numpy",
    )(Z[:, 0], Z[:, 1])
    # both sides: at most 60 roundings of the sum of absolute values
    assert (np.abs(p(Z) - exact) <= 120 * 2**-53 * size).all()
    assert p(Z[:0]).shape == (0,)


def test_square_roots_are_reduced() -> None:
    assert squarefree_root(Fraction(8)) == (Fraction(2), 2)
    assert squarefree_root(Fraction(1, 2)) == (Fraction(1, 2), 2)
    assert squarefree_root(Fraction(9, 4)) == (Fraction(3, 2), 1)
    assert polynomial("sqrt(8)*z1") == polynomial("2*sqrt(2)*z1")
    assert polynomial("sqrt(2)*sqrt(3)*z1") == polynomial("sqrt(6)*z1")


@pytest.mark.parametrize("k", range(9))
def test_hermite_polynomials_are_those_of_sympy(k: int) -> None:
    plain = expanded(hermite_polynomial(k, normalised=False).to_sympy())
    # SymPy has the physicists': He_k(x) = 2^{-k/2} H_k(x/sqrt 2)
    expected = sympy.expand(sympy.hermite(k, z1 / sympy.sqrt(2)) / sympy.sqrt(2) ** k)
    assert sympy.simplify(plain - expected) == 0
    normalised = hermite_polynomial(k, normalised=True)
    square = surd_to_sympy((normalised * normalised).gaussian_mean())
    assert square == 1


def test_substitution_composes() -> None:
    p, a, b = (polynomial(text).extended(2) for text in (TEXTS[0], "z1 + z2", "z1*z2 - 1"))
    composed = expanded(p.to_sympy()).subs({z1: z1 + z2, z2: z1 * z2 - 1}, simultaneous=True)
    assert sympy.expand(expanded(p.substitute([a, b]).to_sympy()) - sympy.expand(composed)) == 0


def test_degree_and_terms() -> None:
    p = polynomial("z1**3*z2 + 1")
    assert p.degree == 4
    assert set(p.terms) == {(3, 1), (0, 0)}
