"""Kernels: exact rationals, NumPy within the derived bound on rounding, and the same bits for one and two threads."""

from fractions import Fraction

import numpy as np
import pytest

from mimtheory.activations import ACTIVATION_NAMES, activation
from mimtheory.kernels import first_layer_gradient, hessian_power
from mimtheory.kernels.hessian_power import LEAVES, roundings
from mimtheory.kernels.pointwise import activation_and_slope, loss_slope
from mimtheory.losses import LOSS_NAMES, loss
from mimtheory.relations import gamma

SIZES = [(1, 1, 1), (3, 2, 1), (15, 7, 2), (16, 8, 1), (17, 9, 3), (100, 33, 4), (1000, 5, 2)]


def draw(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((k, d))


def test_hessian_power_is_exact_on_small_integers() -> None:
    rng = np.random.default_rng(1)
    X, T, V = (rng.integers(-3, 4, size).astype(float) for size in ((32, 5), (32,), (2, 5)))
    for q in range(2):
        for j in range(5):
            exact = Fraction(0)
            for i in range(32):
                exact += (
                    Fraction(T[i]) * sum(Fraction(X[i, k]) * Fraction(V[q, k]) for k in range(5)) * Fraction(X[i, j])
                )
            # all sums are exact integers and 1/32 is a power of two
            assert Fraction(hessian_power(X, T, V)[q, j]) == exact / 32


@pytest.mark.parametrize(("n", "d", "k"), SIZES)
def test_hessian_power_is_within_its_rounding_of_extended_precision(n: int, d: int, k: int) -> None:
    X, T, V = draw(n, d, k)
    before = X.copy(), T.copy(), V.copy()
    found = hessian_power(X, T, V)
    long = X.astype(np.longdouble)
    exact = ((V.astype(np.longdouble) @ long.T) * T) @ long / n
    sizes = ((np.abs(V) @ np.abs(X).T) * np.abs(T)) @ np.abs(X) / n
    # the longdouble side has 2^-11 of the same bound
    assert (np.abs(found - exact) <= gamma(roundings(n, d)) * sizes * (1 + 2**-10)).all()
    for given, original in zip((X, T, V), before, strict=True):
        assert (given == original).all()


@pytest.mark.parametrize(("n", "d", "k"), SIZES)
def test_hessian_power_has_the_same_bits_for_any_number_of_threads_and_any_layout(n: int, d: int, k: int) -> None:
    X, T, V = draw(n, d, k)
    found = hessian_power(X, T, V)
    assert (hessian_power(X, T, V, threads=2) == found).all()
    assert (hessian_power(np.asfortranarray(X), T, np.asfortranarray(V)) == found).all()
    wide = np.zeros((2 * n, 2 * d))
    wide[::2, ::2] = X
    assert (hessian_power(wide[::2, ::2], T, V) == found).all()


def test_roundings_counts_at_least_the_longest_sum() -> None:
    # d/8 additions, the reduction of 8 + rest, two products, the rows of a leaf, the leaves, the division
    for n, d in ((1, 1), (1000, 100), (17, 9)):
        assert roundings(n, d) >= d // 8 + 4 + d % 8 / 8 + 2 + n / LEAVES + LEAVES - 1


def test_a_row_that_is_not_a_number_shows() -> None:
    X, T, V = draw(40, 6, 2)
    X[7, 3] = np.nan
    assert np.isnan(hessian_power(X, T, V)).all()
    assert np.isfinite(hessian_power(X[8:], T[8:], V)).all()


@pytest.mark.parametrize(
    ("X", "T", "V", "threads"),
    [
        (np.ones((3, 2)), np.ones(4), np.ones((1, 2)), 1),
        (np.ones((3, 2)), np.ones(3), np.ones((1, 3)), 1),
        (np.ones((3, 2)), np.ones(3), np.ones(2), 1),
        (np.ones((0, 2)), np.ones(0), np.ones((1, 2)), 1),
        (np.ones((3, 2)), np.ones(3), np.ones((1, 2)), 0),
    ],
)
def test_shapes_that_do_not_fit_are_refused(X, T, V, threads) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="allowed"):
        hessian_power(X, T, V, threads=threads)


@pytest.mark.parametrize("name", [name for name in LOSS_NAMES if name != "squared"] + ["squared"])
def test_compiled_losses_are_those_of_the_zoo(name: str) -> None:
    candidate = loss(name)
    parameter = 0.0 if candidate.parameter is None else float(candidate.parameter)
    u = np.concatenate((np.linspace(-5, 5, 2001), [0.0, 1e-9, -1e-9, 1e3, -1e3]))
    compiled = np.array([loss_slope(candidate.code, x, parameter) for x in u])
    # tanh, hypot and the division differ by a few units in the last place between libraries
    assert np.abs(compiled - candidate.dl(u, 0.0)).max() <= 8 * 2**-53 * max(1.0, np.abs(candidate.dl(u, 0.0)).max())


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_compiled_activations_are_those_of_the_zoo(name: str) -> None:
    candidate = activation(name)
    for u in np.concatenate((np.linspace(-6, 6, 1201), [1e-3, -1e-3, 1e-8, 30.0, -30.0])):
        value, slope = activation_and_slope(candidate.code, float(u))
        # relative inside the assumptions, where nothing may cancel near 0; libraries differ by a few last places
        inside, ulps = candidate.reason is None, 16 * 2**-53 * max(1.0, abs(u))
        assert abs(value - float(candidate.sigma(u))) <= ulps * (abs(value) if inside else 1.0), u
        assert abs(slope - float(candidate.d1(u))) <= ulps * (max(abs(slope), 1e-9) if inside else 1.0), u


def plain_gradient(X, y, W, a, c, l, sigma):  # type: ignore[no-untyped-def]  # noqa: E741
    Z = W @ X.T
    f = a @ sigma.sigma(Z)
    return (a[:, None] * sigma.d1(Z) * l.dl(c + f, y)) @ X / len(y), f


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 2), (19, 7, 4), (200, 30, 10)])
def test_the_fused_gradient_is_the_plain_one(name: str, n: int, d: int, m: int) -> None:
    X, y, W = draw(n, d, m, seed=3)
    a = np.random.default_rng(4).standard_normal(m)
    sigma = activation(name)
    for l in map(loss, LOSS_NAMES):  # noqa: E741
        parameter = 0.0 if l.parameter is None else float(l.parameter)
        codes = {"loss_code": l.code, "loss_parameter": parameter, "activation_code": sigma.code}
        G, f = first_layer_gradient(X, y, W, a, centre=0.3, **codes)
        plain, f_plain = plain_gradient(X, y, W, a, 0.3, l, sigma)
        assert np.abs(f - f_plain).max() <= 1e-12 * (1 + np.abs(f_plain).max())
        assert np.abs(G - plain).max() <= 1e-12 * np.abs(plain).max()
        again = first_layer_gradient(X, y, W, a, centre=0.3, threads=2, **codes)
        assert (again[0] == G).all()
        assert (again[1] == f).all()


def test_mirrored_neurons_cancel_exactly() -> None:
    X, y, W = draw(50, 9, 3, seed=5)
    W, a = np.concatenate((W, W[::-1])), np.array([0.7, 0.7, 0.7, -0.7, -0.7, -0.7])
    _, f = first_layer_gradient(X, y, W, a, centre=0.0, loss_code=0, loss_parameter=0.0, activation_code=1)
    assert (f == 0).all()


def test_the_gradient_refuses_shapes_and_codes_that_do_not_fit() -> None:
    X, y, W = draw(10, 4, 2)
    good = {"centre": 0.0, "loss_code": 0, "loss_parameter": 0.0, "activation_code": 0}
    with pytest.raises(ValueError, match="m even"):
        first_layer_gradient(X, y, W[:1], np.ones(1), **good)
    with pytest.raises(ValueError, match="shapes"):
        first_layer_gradient(X, y[:-1], W, np.ones(2), **good)
    with pytest.raises(ValueError, match="codes"):
        first_layer_gradient(X, y, W, np.ones(2), **(good | {"loss_code": -1}))
    with pytest.raises(ValueError, match="threads"):
        first_layer_gradient(X, y, W, np.ones(2), threads=0, **good)
