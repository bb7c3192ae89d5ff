import math

import numpy as np
import pytest
import sympy

from mimtheory.activations import _EXPRESSIONS, ACTIVATION_NAMES, activation
from mimtheory.expressions import read_expression
from mimtheory.losses import loss
from mimtheory.suprema import analytic, certified_supremum

U = sympy.Symbol("u", real=True)


@pytest.mark.parametrize("name", [name for name in ACTIVATION_NAMES if name in _EXPRESSIONS])
def test_the_constants_of_the_zoo_are_suprema(name: str) -> None:
    sigma, expression = activation(name), read_expression(_EXPRESSIONS[name], "u")
    for k, constant in ((1, sigma.Lip), (3, sigma.M3), (4, sigma.M4)):
        found = certified_supremum(expression.diff(U, k))
        assert found.proved
        if math.isinf(constant):
            assert math.isinf(found.lower)
        else:
            # where the supremum is approached at infinity its lower bound is the value at 32
            assert found.lower <= constant * (1 + 1e-12)
            assert constant <= found.upper * (1 + 1e-7) + 1e-30
            assert found.upper <= constant * (1 + 1e-6) + 1e-30


@pytest.mark.parametrize(
    ("text", "order", "exact"),
    [
        ("exp(-u**2/2)", 1, math.exp(-0.5)),
        ("exp(-u**2/2)", 2, 1.0),
        ("log(1 + exp(u))", 1, 1.0),
        ("log(1 + exp(u))", 2, 0.25),
        ("log(1 + exp(u))", 3, math.sqrt(3) / 18),
        ("u**2/(1 + u**2)", 1, 3 * math.sqrt(3) / 8),
        ("atan(u)", 1, 1.0),
        ("sin(u) + cos(u)", 2, math.sqrt(2)),
        ("u*exp(-u**2)", 0, math.exp(-0.5) / math.sqrt(2)),
        ("u**3 + tanh(u)", 1, math.inf),
        ("exp(u)", 3, math.inf),
        ("cosh(u)/exp(u)", 0, math.inf),
        ("sqrt(1 + u**4)/(1 + u**2)", 0, 1.0),
    ],
)
def test_known_suprema(text: str, order: int, exact: float) -> None:
    found = certified_supremum(
        sympy.diff(read_expression(text, "u"), U, order) if order else read_expression(text, "u")
    )
    assert found.proved
    assert found.lower <= exact * (1 + 1e-12)
    if math.isfinite(exact):
        assert exact <= found.upper <= exact * (1 + 1e-5)
    else:
        assert found.lower == math.inf


def test_signed_suprema() -> None:
    expression = read_expression("tanh(u) + exp(-u**2)/2", "u")
    above, below = certified_supremum(expression, 1), certified_supremum(expression, -1)
    values = np.tanh(np.linspace(-30, 30, 100_001)) + np.exp(-(np.linspace(-30, 30, 100_001) ** 2)) / 2
    assert values.max() <= above.upper <= values.max() + 1e-5
    assert -values.min() <= below.upper <= -values.min() + 1e-5


def test_bounds_hold_at_random_points_of_random_formulas() -> None:
    rng = np.random.default_rng(0)
    parts = ["tanh({}*u)", "sin({}*u)", "exp(-{}*u**2)", "1/(1 + {}*u**2)", "u/sqrt({} + u**2)", "atan({}*u)"]
    for _ in range(4):
        chosen = rng.choice(len(parts), 2, replace=False)
        a, b = rng.integers(1, 4, 2)
        expression = read_expression(f"{parts[chosen[0]].format(a)} * {parts[chosen[1]].format(b)}", "u")
        for order in (0, 1, 2):
            f = sympy.diff(expression, U, order) if order else expression
            found = certified_supremum(f)
            points = np.concatenate([rng.standard_normal(2000), 30 * rng.standard_normal(2000)])
            values = np.abs(np.broadcast_to(sympy.lambdify(U, f, "numpy")(points), points.shape))
            assert found.proved
            assert values.max() <= found.upper * (1 + 1e-12)
            assert found.lower <= found.upper


def test_what_cannot_be_proved_is_said() -> None:
    found = certified_supremum(sympy.tan(U))
    assert not found.proved
    assert not certified_supremum(sympy.asinh(U) / U).proved


def test_losses_and_activations_of_ones_own_have_certified_constants() -> None:
    own = loss("sqrt(4 + u**2)")
    assert own.constants == "certified"
    assert 1 <= own.K_plus <= 1 + 1e-5
    assert 0.5 <= own.L2 <= 0.5 * (1 + 1e-6)
    lopsided = loss("log(1 + exp(u)) + u*0")
    assert 1 <= lopsided.K_plus <= 1 + 1e-5
    assert 0 <= lopsided.K_minus <= 1e-8
    assert activation("u*tanh(u)/2").constants == "certified"
    assert loss("huber(1)").constants == activation("utanh").constants == "exact"


@pytest.mark.parametrize(
    ("text", "proved"),
    [
        ("log(cosh(u))", True),
        ("sqrt(1 + u**2)", True),
        ("u*atan(u) - log(1 + u**2)/2", True),
        ("u**2/(1 + u**2)", True),
        ("log(cosh(u)) + sqrt(u**2 - 2*u/3 + 1/9)", False),  # log cosh u + |u - 1/3|, whose l'' simplifies to sech^2
        ("u*atan(1/u)", False),
        ("log(u)", False),
        ("tan(u)", False),
    ],
)
def test_a_kink_that_simplifying_hides_is_not_analytic(text: str, proved: bool) -> None:
    u = sympy.Symbol("u", real=True)
    assert analytic(sympy.sympify(text, {"u": u}, rational=True)) == proved


def test_constants_of_a_hidden_kink_are_not_called_certified() -> None:
    assert loss("log(cosh(u))").constants == "certified"
    assert loss("log(cosh(u)) + sqrt(u**2 - 2*u/3 + 1/9)").constants == "numerical"
