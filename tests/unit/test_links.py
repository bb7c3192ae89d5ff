"""Links are read exactly and never evaluated; their Hermite calculus is exact."""

import itertools
import math
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from mimtheory import link_text
from mimtheory.links import MAX_DEGREE, ZOO, link

Z1, Z2, Z3 = sympy.symbols("z1:4")
LINKS = [*ZOO, "z1**2 + z1*z2/3", "z1*z2", "z1**3", "He2(z1)/2 + He3(z2)/6", "z1 + z1*z2 + z1*z2*z3", "h8(z1)"]


def gaussian_mean(expression: sympy.Expr, r: int) -> sympy.Expr:
    """E of a polynomial by the moments E z^(2k) = (2k-1)!!, independent of the heat flow."""
    z = sympy.symbols(f"z1:{r + 1}")
    total = sympy.Integer(0)
    for powers, coefficient in sympy.Poly(sympy.expand(expression), *z).terms():
        if all(power % 2 == 0 for power in powers):
            total += coefficient * sympy.prod([sympy.factorial2(power - 1) for power in powers if power])
    return sympy.simplify(total)


def cayley(seed: int, r: int) -> list[list[Fraction]]:
    """A rational orthogonal matrix (I - A)(I + A)^-1 of a skew A."""
    rng = np.random.default_rng(seed)
    A = sympy.zeros(r, r)
    for j, k in itertools.combinations(range(r), 2):
        A[j, k] = sympy.Rational(int(rng.integers(-3, 4)), int(rng.integers(1, 4)))
        A[k, j] = -A[j, k]
    Q = (sympy.eye(r) - A) * (sympy.eye(r) + A).inv()
    return [[Fraction(int(Q[j, k].p), int(Q[j, k].q)) for k in range(r)] for j in range(r)]


def test_numbers_are_exact() -> None:
    assert link("0.7*z1").to_sympy() == sympy.Rational(7, 10) * Z1
    assert link("1.2345678901234567890123*z1").to_sympy().coeff(Z1) == sympy.Rational("1.2345678901234567890123")
    assert link("z1**2 + z1*z2/3").to_sympy() == Z1**2 + Z1 * Z2 / 3
    assert sympy.simplify(link("z1/sqrt(8)").to_sympy() - Z1 / sympy.sqrt(8)) == 0


@pytest.mark.parametrize("k", range(1, MAX_DEGREE + 1))
def test_hermite_polynomials_are_those_of_numpy_and_normalised_ones_have_second_moment_one(k: int) -> None:
    plain = sympy.Poly(link(f"He{k}(z1)").to_sympy(), Z1).all_coeffs()[::-1]
    expected = np.polynomial.hermite_e.herme2poly([0] * k + [1])
    assert [int(c) for c in plain] == [round(c) for c in expected]
    assert link(f"h{k}(z1)").second_moment == 1
    assert link(f"He{k}(z1)").second_moment == math.factorial(k)


@pytest.mark.parametrize("text", LINKS)
def test_mean_second_moment_and_hessian_agree_with_gaussian_moments(text: str) -> None:
    g = link(text)
    expression = g.to_sympy()
    assert sympy.simplify(g.mean - gaussian_mean(expression, g.r)) == 0
    assert sympy.simplify(g.second_moment - gaussian_mean(expression**2, g.r)) == 0
    assert sympy.simplify(g.variance - gaussian_mean((expression - g.mean) ** 2, g.r)) == 0
    z = sympy.symbols(f"z1:{g.r + 1}")
    for j, k in itertools.product(range(g.r), repeat=2):
        assert sympy.simplify(g.mean_hessian[j, k] - gaussian_mean(sympy.diff(expression, z[j], z[k]), g.r)) == 0


@pytest.mark.parametrize("text", LINKS)
def test_the_hermite_expansion_adds_up_to_the_link(text: str) -> None:
    g = link(text)
    z = sympy.symbols(f"z1:{g.r + 1}")
    total = sympy.Integer(0)
    for alpha, coefficient in g.hermite_coefficients.items():
        total += coefficient * sympy.prod([sympy.hermite_prob(a, x) for a, x in zip(alpha, z, strict=True)])
    assert sympy.simplify(sympy.expand(total - g.to_sympy())) == 0


@pytest.mark.parametrize("text", LINKS)
def test_tensors_are_means_of_derivatives(text: str) -> None:
    g = link(text)
    z = sympy.symbols(f"z1:{g.r + 1}")
    for position in itertools.product(range(g.r), repeat=3):
        derivative = sympy.diff(g.to_sympy(), *(z[axis] for axis in position))
        assert sympy.simplify(g.hermite_tensor(3)[position] - gaussian_mean(derivative, g.r)) == 0


@given(st.sampled_from([text for text in LINKS if link(text).r > 1]), st.integers(0, 10**6))
def test_rotation_rotates_tensors_and_keeps_moments_and_exponent(text: str, seed: int) -> None:
    g = link(text)
    Q = cayley(seed, g.r)
    rotated = g.rotate(Q)
    q = sympy.Matrix(g.r, g.r, lambda j, k: sympy.Rational(Q[j][k].numerator, Q[j][k].denominator))
    if rotated.r == g.r:
        assert sympy.simplify(rotated.mean_hessian - q * sympy.Matrix(g.mean_hessian) * q.T) == sympy.zeros(g.r)
    assert sympy.simplify(rotated.second_moment - g.second_moment) == 0
    assert sympy.simplify(rotated.mean - g.mean) == 0
    assert rotated.information_exponent == g.information_exponent


def test_rotation_turns_the_argument_by_the_transpose() -> None:
    quarter = [[0, -1], [1, 0]]
    assert link("z1 + z2**2").rotate(quarter) == link("z2 + z1**2")
    assert link("z1*z2**2").rotate(quarter).to_sympy() == sympy.expand(Z2 * Z1**2)


@pytest.mark.parametrize("Q", [[[1, 1], [0, 1]], [[1, 0]], [[0.6, 0.8], [0.8, 0.6]], [["x", 0], [0, 1]]])
def test_matrices_that_are_not_orthogonal_are_refused(Q: list[list[object]]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        link("z1*z2").rotate(Q)


@pytest.mark.parametrize(
    ("text", "exponent"),
    [
        ("h4", 4),
        ("z1*z2", 2),
        ("He2(z1)/2 + He3(z2)/6", 2),
        ("He3(z1)", 3),
        ("z1**3", 1),
        ("z1*z2*z3", 3),
        ("h4+h4", 4),
    ],
)
def test_the_information_exponent_is_that_of_the_lowest_component(text: str, exponent: int) -> None:
    assert link(text).information_exponent == exponent


@pytest.mark.parametrize("text", LINKS)
def test_float_values_agree_with_exact_ones(text: str) -> None:
    g = link(text)
    Z = np.random.default_rng(1).integers(-8, 9, size=(20, g.r)) / 4
    values = g(Z)
    z = sympy.symbols(f"z1:{g.r + 1}")
    for row, value in zip(Z, values, strict=True):
        point = {symbol: sympy.Rational(float(x)) for symbol, x in zip(z, row, strict=True)}
        exact = sympy.N(g.to_sympy().subs(point), 30)
        # degree products and terms sums per monomial: at most this many roundings of the absolute terms
        terms = g.polynomial.terms
        size = sum(
            abs(c) * math.prod(abs(float(x)) ** e for x, e in zip(row, index, strict=True))
            for index, c in g.polynomial._float_terms
        )
        assert abs(value - float(exact)) <= (g.degree + len(terms) + 4) * 2.3e-16 * size


@pytest.mark.parametrize("text", LINKS)
def test_the_text_of_a_link_makes_it_again(text: str) -> None:
    g = link(text)
    assert link(g.text) == g
    assert hash(link(g.text)) == hash(g)
    noisy = g.with_noise(0.3)
    assert link(noisy.text) == noisy
    assert noisy.r == g.r + 1
    assert link(g) is g
    assert link(g.to_sympy()) == g


@pytest.mark.parametrize("number", [0.5, np.float64(0.5), np.float32(0.5), Fraction(1, 2), "1/2", "0.5"])
def test_numbers_of_numpy_are_the_decimals_that_they_are_printed_as(number: Any) -> None:
    assert link("z1") * number == link("z1/2")
    assert link("z1").with_noise(number) == link("z1 + z2/2")


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), np.float64("nan"), "x", 1j, "1e999999999", "1E-999999999"]
)
def test_what_is_no_rational_number_is_refused(number: Any) -> None:
    for call in (link("z1").with_noise, link("z1").__mul__):
        with pytest.raises(ValueError, match="not rational; allowed: finite integers"):
            call(number)


def test_noise_is_named_where_it_is_no_standard_deviation() -> None:
    for sigma, says in ((-1, "sigma = -1; allowed: a finite number >= 0"), ("x", "sigma = 'x' is not rational")):
        with pytest.raises(ValueError, match=says):
            link("z1").with_noise(sigma)


def test_capitals_do_not_hide_what_was_meant_and_a_difference_that_is_0_is_named() -> None:
    for typed, meant in (("Z1", "z1"), ("H4", "h4"), ("Staircase2", "staircase2")):
        with pytest.raises(ValueError, match=f"link = '{typed}' is unknown; did you mean '{meant}'[?] allowed: h2"):
            link(typed)
    with pytest.raises(ValueError, match=r"'z' is unknown; did you mean 'z.'[?] allowed: z1"):
        link("z + z1")
    with pytest.raises(ValueError, match="link = '0' is constant"):
        link("h2") - link("h2")


def test_equal_polynomials_are_equal_links_and_different_ones_are_not() -> None:
    assert link("h2(z1)*sqrt(2)") == link("z1**2 - 1")
    assert link("z1**2 - 1") != link("z1**2 + 1")
    assert link("z1") != "z1"


REFUSED = [
    ("h4(x1)", "did you mean 'z1'"),
    ("z7", "z1 ... z6"),
    ("sin(z1)", "'sin(z1)'"),
    ("He4", "did you mean"),
    ("h21(z1)", "degree up to 20"),
    ("h4(z1**6)", "degree up to 20"),
    ("z1**21", "0 to 20"),
    ("(z1*z2)**11", "degree up to 20"),
    ("z1**(10**9)", "0 to 20"),
    ("z1**0.5", "0 to 20"),
    ("z1**-1", "0 to 20"),
    ("z1**z2", "0 to 20"),
    ("z1/z2", "division by a number"),
    ("z1/0", "divides by 0"),
    ("sqrt(z1)", "sqrt of a rational"),
    ("sqrt(-1)*z1", "sqrt"),
    ("3", "constant"),
    ("z1 - z1", "constant"),
    ("", "characters"),
    ("z1 +", "cannot be read"),
    ("((((z1", "cannot be read"),
    ("z1 < 2", "is not part"),
    ("'z1'", "is not part"),
    ("True*z1", "is not part"),
    ("1j*z1", "is not part"),
    ("lambda: z1", "is not part"),
    ("[z1]", "is not part"),
    ("z1.real", "is not part"),
    ("__import__('os').system('true')", "is not part"),
    ("h4(z1, z2)", "is not part"),
    ("1e999*z1", "out of range"),
    ("1e-999*z1", "out of range"),
    ("0x10*z1", "out of range"),
    ("nan*z1", "'nan' is unknown; allowed: a polynomial in z1 ... z6, with h<k>"),
    ("tanh(z1)", "link: 'tanh(z1)' is not a polynomial; allowed: a polynomial in z1 ... z6, with h<k>(...), He<k>"),
    ("abs(z1)", "'abs(z1)' is not a polynomial; allowed"),
    ("sqr(2)*z1", "did you mean 'sqrt'?"),
    ("pi*z1", "'pi' is not rational; allowed: rational numbers and their square roots"),
    ("h4+h5", "'h4' needs an argument: write h4(z1)"),
    ("z1^2", "write ** for powers"),
    ("h4h4", "did you mean 'h4+h4'? allowed: h2, h4"),
    ("foo", "or a polynomial in z1 ... z6"),
    ("z9", "did you mean 'z"),
    ("2z1", "* between factors"),
    ("z1\u00b2", "** before powers"),
    ("z1*1e300", "below 1e300"),
    ("(((9**20)**20)**20)**20*z1", "bits"),
    ("1e299*1e299*z1", "a coefficient beyond 1e308"),
    ("\ud800z1", "link: '\\ud800z1' cannot be read"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[ascii(text) for text, _ in REFUSED])
def test_what_is_no_polynomial_is_refused_at_once_in_one_line(text: str, message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"allowed|link") as caught:
        link(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("value", [3, None, 2.5, ["z1"]])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="allowed"):
        link(value)


def test_latex_is_offered_to_notebooks() -> None:
    assert link("z1**2/3")._repr_latex_() == r"$\frac{z_{1}^{2}}{3}$"


def test_links_add_scale_differentiate_and_become_functions() -> None:
    g, f = link("h4(z1) + z1*z2"), link("z3**2/3 - z1")
    Z = np.random.default_rng(0).standard_normal((50, 3))
    assert np.allclose((g + f)(Z), g(Z[:, :2]) + f(Z), rtol=1e-13, atol=1e-13)
    assert np.allclose((g - 2 * f * Fraction(1, 7))(Z), g(Z[:, :2]) - 2 * f(Z) / 7, rtol=1e-13, atol=1e-13)
    assert (-g) + 2 * g == g
    assert g.derivative(2) == link("z1")
    assert g.derivative(1).to_sympy().expand() == sympy.diff(g.to_sympy(), sympy.Symbol("z1")).expand()
    assert np.allclose(g.lambdify()(Z[:, 0], Z[:, 1]), g(Z[:, :2]), rtol=1e-13, atol=1e-13)
    assert sympy.sympify(g) == g.to_sympy()
    assert "z\u2081" in g.pretty()
    for bad in (0, 3, True):
        with pytest.raises(ValueError, match="k = "):
            g.derivative(bad)
    with pytest.raises(ValueError, match="constant"):
        g - g
    with pytest.raises(ValueError, match="rational"):
        g * "a"
    with pytest.raises(TypeError):
        g * f


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("(z1+z2+z3+z4+z5+z6)**20", "53,130"),
        ("((z1+z2+z3+z4+z5+z6)**4)**5", "53,130"),
        ("h20(z1+z2+z3+z4+z5+z6)", "230,230"),
        ("(z1+z2+z3+z4+z5+z6)**10*(1+z1+z2+z3+z4+z5+z6)**10", "225,225"),
    ],
)
def test_too_many_terms_are_refused_before_they_are_made(text: str, terms: str) -> None:
    """C(25, 5), C(26, 6) and their sums: binomials counted by hand."""
    start = time.process_time()
    with pytest.raises(ValueError, match=f"as many as {terms} terms; allowed: up to 20,000 terms"):
        link(text)
    assert time.process_time() - start < 5  # more than 20 s to make them; 0.2 s as seen


@pytest.mark.parametrize(
    "text",
    [
        "(z1+z2+z3)**5",
        "(1+z1)**9*(z2-z1)**3",
        "(z1**2+z2*z3+2)**4",
        "h6(z1+z2*z3)",
        "(z1-z2)**4*(z1+z2)**4",
        "(sqrt(2)*z1+z2)**6",
    ],
)
def test_a_link_of_more_terms_than_allowed_is_never_read(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is never below the true number of terms: with the limit one below that, the link is refused."""
    count = len(link(text).polynomial.terms)
    assert count == len(sympy.Poly(link(text).to_sympy(), *sympy.symbols("z1:4")).terms())
    monkeypatch.setattr(link_text, "_MAX_TERMS", count - 1)
    with pytest.raises(ValueError, match="expands to as many as"):
        link(text)


def test_a_dense_link_within_the_limit_is_the_multinomial_expansion() -> None:
    g = link("(z1+z2+z3+z4)**12").polynomial.terms
    assert len(g) == math.comb(15, 3)
    for index, surd in list(g.items())[::37]:
        assert surd == {1: math.factorial(12) // math.prod(map(math.factorial, index[:4]))}


@pytest.mark.parametrize("Z", [np.zeros((3, 2)), [1.0, 2.0], np.zeros((1, 3, 1)), np.zeros((2, 0))])
def test_points_of_another_dimension_are_refused(Z: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Z has shape .*; allowed: \(n, 1\)"):
        link("h2")(Z)
