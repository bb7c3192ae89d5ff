"""Compiled activations on arrays against those of NumPy, which are held against many digits elsewhere."""

import numpy as np
import pytest

from mimtheory.activations import ACTIVATION_NAMES, Activation, activation
from mimtheory.kernels import activated, network_outputs, s_minus_1

EPS = 2.0**-52
# no multiple of a block; every size, both signs, both sides of the end of the series
POINTS = np.concatenate(
    [sign * np.geomspace(1e-300, 30, 1201) for sign in (1, -1)]
    + [np.array([0.0, -0.0, 0.2, -0.2, np.nextafter(0.2, 0)]), np.linspace(-0.3, 0.3, 701)]
)
WITH_S = [name for name in ACTIVATION_NAMES if activation(name).reason is None]


@pytest.mark.parametrize("name", WITH_S)
def test_s_minus_1_is_that_of_the_activation(name: str) -> None:
    """Below 0.2 both sum the same 20 terms, at most 2 roundings each of 1.25 times the value; beyond, sigma' is
    within 8 units in both and so is the difference of 1 and sigma'/u, up to a few more of the larger of them."""
    sigma = activation(name)
    found, expected = s_minus_1(sigma, POINTS), sigma.s_minus_1(POINTS)
    near = np.abs(POINTS) < 0.2
    assert (np.abs(found - expected)[near] <= 100 * EPS * np.abs(expected)[near] + 1e-300).all()
    assert (np.abs(found - expected)[~near] <= 20 * EPS * (1 + np.abs(expected)[~near])).all()
    assert found.shape == expected.shape
    assert (s_minus_1(sigma, POINTS[:6].reshape(2, 3)) == found[:6].reshape(2, 3)).all()
    assert s_minus_1(sigma, POINTS[:0]).size == 0


def test_s_minus_1_of_what_is_not_a_number_or_has_no_value_is_not_a_number() -> None:
    assert np.isnan(s_minus_1(activation("1-cos"), np.array([np.nan]))).all()
    assert np.isnan(s_minus_1(activation("relu"), np.array([0.5, 0.0]))).all()
    assert s_minus_1(activation("sqrt"), np.array([np.inf, -np.inf])).tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (31, 3), (32, 2), (100, 7)])
def test_outputs_are_those_of_numpy(name: str, n: int, m: int) -> None:
    """sigma is within 8 units; a sum of m terms in two orders is off by at most 2 m units of its absolute terms."""
    rng = np.random.default_rng(n)
    products, a, b = 2 * rng.standard_normal((n, m)), rng.standard_normal(m), rng.standard_normal(m)
    sigma = activation(name)
    values = sigma.sigma(products + b)
    found = network_outputs(sigma, products, a, b)
    assert found.shape == (n,)
    # what cancels in sigma itself is of the size of u
    sizes = (np.abs(values) + np.abs(products + b)) @ np.abs(a)
    assert (np.abs(found - values @ a) <= (16 + 2 * m) * EPS * sizes).all()
    assert (network_outputs(sigma, np.asfortranarray(products), a, b) == found).all()


def test_activations_of_your_own_are_called() -> None:
    sigma = Activation.from_sympy("u**2/2 - u**4/24")
    products, a, b = np.linspace(-1, 1, 12).reshape(4, 3), np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.0, -0.2])
    assert (network_outputs(sigma, products, a, b) == sigma.sigma(products + b) @ a).all()
    assert np.array_equal(s_minus_1(sigma, products), sigma.s_minus_1(products), equal_nan=True)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes products \(2, 3\), a \(2,\), b \(3,\)"):
        network_outputs(activation("1-cos"), np.ones((2, 3)), np.ones(2), np.ones(3))


@pytest.mark.parametrize("wrong", [np.array([0.5j]), np.ma.array([0.5], mask=[True])])
@pytest.mark.parametrize("text", ["1-cos", "u**2/2 - u**4/24"])
def test_what_numpy_would_drop_is_refused_by_name(text: str, wrong: np.ndarray) -> None:
    sigma, one = activation(text), np.ones(1)
    for function in (s_minus_1, activated):
        with pytest.raises(ValueError, match=r"^u has (complex|masked) entries; allowed: real numbers"):
            function(sigma, wrong)
    for name in ("products", "a", "b"):
        given = {"products": np.ones((1, 1)), "a": one, "b": one}
        given[name] = wrong.reshape(given[name].shape)
        with pytest.raises(ValueError, match=rf"^{name} has (complex|masked) entries"):
            network_outputs(sigma, **given)


def test_a_number_gives_a_number_and_a_list_an_array() -> None:
    sigma = activation("1-cos")
    for function, other in ((s_minus_1, sigma.s_minus_1), (activated, sigma.sigma)):
        assert function(sigma, 0.5).shape == ()
        assert function(sigma, [[0.5, 1]]) == pytest.approx(other([[0.5, 1]]), rel=16 * EPS, abs=0)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_activated_is_the_activation(name: str) -> None:
    """sigma is within 8 units, relative to itself or to u where it cancels; any layout, no input changed."""
    sigma, points = activation(name), POINTS.copy()
    points.flags.writeable = False
    found, expected = activated(sigma, points), sigma.sigma(points)
    assert (np.abs(found - expected) <= 16 * EPS * (np.abs(expected) + np.abs(points)) + 1e-300).all()
    table = points[:300].reshape(2, 3, 50)
    assert (activated(sigma, table) == found[:300].reshape(table.shape)).all()
    assert (activated(sigma, np.asfortranarray(table)) == activated(sigma, table)).all()
    assert activated(sigma, points[:0]).size == 0


def test_blocks_meet() -> None:
    """35,000 numbers are more than two blocks; any part of them alone is one."""
    sigma, rng = activation("sqrt"), np.random.default_rng(0)
    products, a, b = rng.standard_normal((7000, 5)), rng.standard_normal(5), rng.standard_normal(5)
    whole, s, values = network_outputs(sigma, products, a, b), s_minus_1(sigma, products), activated(sigma, products)
    for row in (0, 3275, 3276, 3277, 6552, 6999):
        assert network_outputs(sigma, products[row : row + 1], a, b)[0] == pytest.approx(whole[row], rel=1e-14)
        assert (s_minus_1(sigma, products[row]) == s[row]).all()
        assert (activated(sigma, products[row]) == values[row]).all()
