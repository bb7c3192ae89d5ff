import math
import re
import time
from fractions import Fraction

import numpy as np
import pytest
import sympy

from mimtheory.hessian import expected_hessian
from mimtheory.hessian_results import ExpectedHessian, ParametricHessian

VALUES = {"a": 3, "b": Fraction(-1, 2), "c": 2, "d": 5, "k": 0.75, "alpha": sympy.Rational(3, 2)}


def _forms(H: ExpectedHessian) -> tuple[sympy.Expr, sympy.ImmutableMatrix, sympy.ImmutableMatrix]:
    assert H.C_exact is not None
    assert H.mean_exact is not None
    assert H.first_moment_exact is not None
    return H.mean_exact, H.first_moment_exact, H.C_exact


def _numeric(text: str) -> str:
    for key, value in VALUES.items():
        text = re.sub(rf"\b{key}\b", f"({value})", text)
    return text


def _at(expression: sympy.Expr, H: ExpectedHessian) -> float:
    return float(expression.subs({s: sympy.Rational(str(VALUES[s.name])) for s in H.parameters}))


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a*h2(z1) + b*h4(z1)", "squared"),
        ("a*z1*z2 + b*z1**2*z3 + c*h3(z3) + sqrt(2)*z2/d", "squared"),
        ("a*z1*z2 - b", "u**2/2 + u**4/12"),
        ("(alpha*z1 + z2)**2/3 - He2(z2)", "u**2/2 + u**4/12"),
        ("h2(z1) + a*z2", "u**2/2 + k*u**4/12"),
        ("h2", "u**2/d + k*u**4/12"),
    ],
)
def test_numbers_put_in_give_the_numeric_answer(text: str, name: str, noise: float) -> None:
    """Against quadrature, which knows nothing of expressions, and against the exact numbers of the substituted link."""
    H = expected_hessian(text, name, 0.25, noise)
    assert isinstance(H, ParametricHessian)
    mean, first_moment, C = _forms(H)
    r = C.shape[0]
    got = np.array([[_at(C[i, j], H) for j in range(r)] for i in range(r)])
    first = [_at(x, H) for x in first_moment]
    quadrature = expected_hessian(_numeric(text), _numeric(name), 0.25, noise, method="fast")
    scale = float(np.abs(quadrature.C).max()) + abs(quadrature.c0)
    # r = 4 with the noise: Student's interval over the scramblings
    assert np.allclose(got, quadrature.C, rtol=0, atol=quadrature.radius + 1e-9 * scale)
    assert np.allclose(first, quadrature.first_moment, rtol=0, atol=quadrature.radius + 1e-9 * scale)
    assert _at(mean, H) == pytest.approx(quadrature.c0, abs=quadrature.radius + 1e-9 * scale)
    put = H.subs({s: VALUES[s.name] for s in H.parameters})
    assert put.parameters == ()
    assert put.status == "exact"
    assert np.allclose(put.C, got, rtol=1e-13, atol=1e-13)
    assert np.allclose(H.lambdify()(*(float(VALUES[s.name]) for s in H.parameters)), got, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", ["h2", "z1", "z1**2 + z1", "h4", "z1**4 - z1**2/2"])
def test_a_symbolic_delta_agrees_with_every_number(text: str) -> None:
    H = expected_hessian(text, "huber(delta)", 0.25)
    mean, first, C = _forms(H)
    deltas = (0.05, 0.3, 0.7, 0.9, 2.5, 30.0)
    curve = H.lambdify()(np.array(deltas))
    for k, delta in enumerate(deltas):
        numeric = expected_hessian(text, f"huber({delta})", 0.25)
        assert curve[k, 0, 0] == pytest.approx(numeric.C[0, 0], abs=1e-12)
        at = {H.parameters[0]: sympy.Rational(str(delta))}
        assert float(C[0, 0].subs(at)) == pytest.approx(numeric.C[0, 0], abs=1e-12)
        assert float(mean.subs(at)) == pytest.approx(numeric.c0, abs=1e-12)
        assert float(first[0].subs(at)) == pytest.approx(numeric.first_moment[0], abs=1e-12)
        assert np.array_equal(H.subs({"delta": delta}).C, numeric.C)


@pytest.mark.parametrize("text", ["h2", "z1**3 - z1/2", "h4"])
def test_a_symbolic_tau_agrees_with_every_number(text: str) -> None:
    H = expected_hessian(text, "quantile(tau)", 0.25)
    mean, first, C = _forms(H)
    for tau in (0.1, 0.5, 0.8):
        numeric = expected_hessian(text, f"quantile({tau})", 0.25, method="fast")
        at = {H.parameters[0]: sympy.Rational(str(tau))}
        assert float(C[0, 0].subs(at)) == pytest.approx(numeric.C[0, 0], abs=1e-11)
        assert float(mean.subs(at)) == pytest.approx(numeric.c0, abs=1e-11)
        assert float(first[0].subs(at)) == pytest.approx(numeric.first_moment[0], abs=1e-11)


def test_what_is_known_by_hand() -> None:
    a = sympy.Symbol("a", real=True)
    assert expected_hessian("a*h2(z1)", "squared").C_exact == sympy.ImmutableMatrix([[-sympy.sqrt(2) * a]])
    assert expected_hessian(a * sympy.Symbol("z1") ** 2, "squared").C_exact == sympy.ImmutableMatrix([[-2 * a]])
    line = expected_hessian("z1", "huber(delta)")
    assert line.C_exact == sympy.ImmutableMatrix([[0]])
    # E[T z] = -P(|z| < delta) for T = -clip(z, -delta, delta), by Stein
    (delta,) = line.parameters
    first = _forms(line)[1][0]
    assert float(first.subs(delta, 1)) == pytest.approx(-math.erf(1 / math.sqrt(2)), abs=1e-15)
    # y = a z + noise: E (c - y)^3 = c^3 + 3 c (a^2 + s^2)
    cubic = expected_hessian("a*z1", "u**2/2 + u**4/4", 2.0, 0.5)
    assert sympy.expand(cubic.mean_exact - (2 + 8 + 6 * (a**2 + sympy.Rational(1, 4)))) == 0


def test_it_prints_as_mathematics() -> None:
    H = expected_hessian("a*h2(z1) + b*z1*z2", "squared")
    assert repr(H) == "C = [[-sqrt(2)*a, -b], [-b, 0]], c0 = 0, exact in a, b"
    assert r"- \sqrt{2} a" in H._repr_latex_()
    assert H._repr_latex_() in H._repr_html_()
    assert r"\delta" in expected_hessian("h2", "huber(delta)")._repr_latex_()


def test_parameters_are_put_in_one_by_one() -> None:
    H = expected_hessian("a*h2(z1) + b*z1*z2", "squared")
    partly = H.subs({"a": 2})
    assert [s.name for s in partly.parameters] == ["b"]
    assert [s.name for s in H.subs({"a": sympy.Symbol("c") ** 2}).parameters] == ["b", "c"]
    assert partly.subs({"b": sympy.sqrt(2)}).C_exact == expected_hessian("2*h2(z1) + sqrt(2)*z1*z2", "squared").C_exact
    certificate = partly.subs({"b": 0.1}).certificate()
    assert certificate.inertia == (1, 1)
    curve = H.lambdify()(np.array([[1.0], [2.0]]), np.array([0.5, 1.0, 4.0]))
    assert curve.shape == (2, 3, 2, 2)
    assert curve[1, 2].tolist() == [[-2 * math.sqrt(2), -4.0], [-4.0, 0.0]]
    numbers = expected_hessian("h2", "squared")
    assert numbers.parameters == ()
    assert numbers.subs({}) is numbers
    assert np.array_equal(numbers.lambdify()(), numbers.C)


def test_what_needs_numbers_names_the_parameters() -> None:
    H = expected_hessian("a*h2(z1) + b*h4(z1)", "squared")
    for use in (
        lambda: H.C,
        lambda: H.c0,
        lambda: H.first_moment,
        lambda: H.T2_z4,
        lambda: H.certificate(),
        lambda: H.is_degenerate(),
    ):
        with pytest.raises(ValueError, match=r"parameters a, b; allowed: \.subs\(\{'a': 1.5"):
            use()
    assert H.C_ball is None


def test_bad_input_is_refused_with_what_is_allowed() -> None:
    for text, name in (
        ("a*sin(z1)", "squared"),
        ("a*x1", "squared"),
        ("z1/(a - a)", "squared"),
        ("a*z1/z2", "squared"),
        ("a", "squared"),
        ("h21(a*z1)", "squared"),
        ("a*(", "squared"),
        ("a*z1", "huber(1)"),
        ("a*z1", "huber(delta)"),
        ("z1*z2", "huber(delta)"),
        ("z1*z2", "quantile(tau)"),
        ("h3(z1)", "huber(delta)"),
        ("a*z1**15", "u**2/2 + u**4/12"),
        ("z1", "k*exp(u)"),
        ("z1", "k"),
        ("z1", "u**2/z1"),
        ("z1", "pseudo_huber(delta)"),
        ("+".join(["a*z1"] * 200), "squared"),
    ):
        with pytest.raises(ValueError, match="allowed"):
            expected_hessian(text, name)
    with pytest.raises(ValueError, match="allowed"):
        expected_hessian("h2", "huber(delta)", label_noise=0.5)
    with pytest.raises(ValueError, match="'auto', 'exact'"):
        expected_hessian("a*z1", "squared", method="certified")
    H = expected_hessian("a*z1", "squared")
    for values in ({"b": 1}, {"a": "1"}, {"a": math.inf}, {"a": True}, {"a": sympy.pi}):
        with pytest.raises(ValueError, match="allowed"):
            H.subs(values)
    with pytest.raises(ValueError, match="allowed: nothing"):
        expected_hessian("h2", "squared").subs({"a": 1})
    with pytest.raises(ValueError, match="out of range"):
        expected_hessian("h2", "huber(delta)").subs({"delta": -1})


@pytest.mark.parametrize(
    ("text", "name"), [("(a*z1+z2+z3+z4)**5", "u**2/2 + u**4/12"), ("(a*z1+z2+z3+z4+z5+z6)**20", "squared")]
)
def test_expressions_of_too_many_terms_are_refused_before_they_are_made(text: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"as many as [\d,]+ terms; allowed: up to 5,000"):
        expected_hessian(text, name)


@pytest.mark.parametrize(
    ("text", "part", "problem"),
    [
        ("1e99999999*a*z1", "1e99999999", "out of range"),
        ("((((((9**20)**20)**20)**20)**20)**20)*a*z1", "((9**20)**20)**20", "too long a number"),
        ("((((((9*a)**20)**20)**20)**20)**20)*z1", "(((9*a)**20)**20)**20", "too long a number"),
        ("1e1000*a*z1*1e1000", "1e1000*a*z1*1e1000", "too long a number"),
        ("He20(He20(He20(He20(He20(9)))))*a*z1", "He20(He20(He20(9)))", "too long a number"),
        ("He20(He20(He20(He20(He20(a)))))*z1", "He20(He20(a))", "terms"),
        ("((1/a)**20)**20*z1", "((1/a)**20)**20*z1", "degree 401"),
    ],
)
def test_what_would_grow_without_limit_is_refused_before_it_is_made(text: str, part: str, problem: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=re.escape(f"link = {text[:60]!r}: {part[:40]!r}")) as refused:
        expected_hessian(text, "squared")
    assert problem in str(refused.value)
    assert time.process_time() - started < 1


def test_what_is_large_and_not_too_large_is_read() -> None:
    H = expected_hessian("a**20*b**20*(z1 + z1**2) + He20(a*z1)/7 + h20(z1)*b", "squared")
    assert isinstance(H, ParametricHessian)
    assert H.mean_exact is not None
    a, b = sympy.symbols("a b", real=True)
    # E He_20(a z) = 19!! (a^2 - 1)^10, by the generating function
    expected = -(a**20) * b**20 - sympy.factorial2(19) * (a**2 - 1) ** 10 / 7
    assert sympy.expand(H.mean_exact - expected) == 0
