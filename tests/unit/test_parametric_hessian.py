import math
import re

import numpy as np
import pytest
import sympy

import mimtheory
from mimtheory.hessian import expected_hessian
from mimtheory.parametric_hessian import symbolic_hessian


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a*h2(z1) + b*h4(z1)", "squared"),
        ("a*z1*z2 + b*z1**2*z3 + c*h3(z3) + sqrt(2)*z2/d", "squared"),
        ("a*z1*z2 - b", "u**2/2 + u**4/12"),
        ("(alpha*z1 + z2)**2/3 - He2(z2)", "u**2/2 + u**4/12"),
    ],
)
def test_numbers_put_in_give_the_numeric_answer(text: str, name: str) -> None:
    H = symbolic_hessian(text, name, 0.25)
    values = {"a": 3, "b": sympy.Rational(-1, 2), "c": 2, "d": 5, "alpha": sympy.Rational(3, 2)}
    numeric = text
    for key, value in values.items():
        numeric = re.sub(rf"\b{key}\b", f"({value})", numeric)
    exact = expected_hessian(numeric, name, 0.25)
    assert sympy.simplify(H.subs(values) - exact.C_exact) == sympy.zeros(*exact.C.shape)
    numbers = {symbol: values[str(symbol)] for symbol in H.parameters}
    assert float(H.mean.subs(numbers)) == pytest.approx(exact.c0, abs=1e-13)
    first = [float(x.subs(numbers)) for x in H.first_moment]
    assert np.allclose(first, exact.first_moment, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["h2", "z1", "z1**2 + z1", "h4", "z1**4 - z1**2/2"])
def test_a_symbolic_delta_agrees_with_every_number(text: str) -> None:
    H = symbolic_hessian(text, "huber(delta)", 0.25)
    for delta in (0.05, 0.3, 0.7, 0.9, 2.5, 30.0):
        numeric = expected_hessian(text, f"huber({delta})", 0.25)
        assert float(H.subs({"delta": sympy.Rational(str(delta))})[0, 0]) == pytest.approx(numeric.C[0, 0], abs=1e-12)
        assert float(H.mean.subs(H.parameters[0], delta)) == pytest.approx(numeric.c0, abs=1e-12)
        assert float(H.first_moment[0].subs(H.parameters[0], delta)) == pytest.approx(
            numeric.first_moment[0], abs=1e-12
        )


def test_what_is_known_by_hand() -> None:
    a = sympy.Symbol("a", real=True)
    assert symbolic_hessian("a*h2(z1)", "squared").C_exact == sympy.ImmutableMatrix([[-sympy.sqrt(2) * a]])
    assert symbolic_hessian(a * sympy.Symbol("z1") ** 2, "squared").C_exact == sympy.ImmutableMatrix([[-2 * a]])
    line = mimtheory.symbolic_hessian("z1", "huber(delta)")
    assert line.C_exact == sympy.ImmutableMatrix([[0]])
    # E[T z] = -P(|z| < delta) for T = -clip(z, -delta, delta), by Stein
    (delta,) = line.first_moment.free_symbols
    assert float(line.first_moment[0].subs(delta, 1)) == pytest.approx(-math.erf(1 / math.sqrt(2)), abs=1e-15)
    assert "delta" in repr(symbolic_hessian("h2", "huber(delta)"))
    assert r"\delta" in symbolic_hessian("h2", "huber(delta)")._repr_latex_()


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
        ("z1*z2", "huber(delta)"),
        ("h3(z1)", "huber(delta)"),
        ("a*z1**15", "u**2/2 + u**4/12"),
        ("+".join(["a*z1"] * 200), "squared"),
    ):
        with pytest.raises(ValueError, match="allowed"):
            symbolic_hessian(text, name)
    with pytest.raises(ValueError, match="symbolic_hessian"):
        expected_hessian("a*h2(z1)", "squared")
