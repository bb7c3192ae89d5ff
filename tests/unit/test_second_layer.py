"""Normal equations in one pass: extended precision within the derived bound, the same bits in any way they are made."""

import numpy as np
import pytest

from mimtheory.activations import ACTIVATION_NAMES, activation
from mimtheory.kernels import Gaussians, normal_equations
from mimtheory.kernels.partition import product_roundings, roundings

SIZES = [(1, 1, 1), (40, 6, 3), (60, 33, 7), (70, 10, 16), (50, 9, 8)]


def draw(n: int, d: int, m: int, kind: type = np.float64):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(n + d)
    X: np.ndarray = rng.standard_normal((n, d)).astype(kind)
    W: np.ndarray = (rng.standard_normal((m, d)) / np.sqrt(d)).astype(kind)
    return X, rng.standard_normal(n), W, rng.standard_normal(m)


@pytest.mark.parametrize("name", [*ACTIVATION_NAMES, "log(cosh(u))"])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "d", "m"), SIZES)
def test_they_are_those_of_the_definition(name: str, kind: type, n: int, d: int, m: int) -> None:
    X, y, W, b = draw(n, d, m, kind)
    found = normal_equations(X, y, W, b, activation=name, features=True)
    u = X.astype(np.longdouble) @ W.astype(np.longdouble).T + b
    sigma, unit = activation(name), np.finfo(kind).eps / 2
    Phi = sigma.sigma(u.astype(float))
    # the inner product moves sigma by at most sup |sigma'| <= 1 + |u| of its error, and Phi is rounded once more
    sizes = np.abs(X).astype(float) @ np.abs(W).astype(float).T + np.abs(b)
    moved = (product_roundings(d) + 40) * unit * (1 + sizes) * 2.5 * (1 + np.abs(u).astype(float))
    assert found.features is not None
    assert found.features.dtype == found.gram.dtype == kind
    assert (np.abs(found.features - Phi) <= moved).all()
    relative = roundings(n, 1) * unit
    size = np.abs(Phi) + moved
    for sums, other in ((found.gram, size), (found.target[:, None], np.abs(y)[:, None])):
        exact = Phi.T @ (Phi if sums.shape[1] == m and sums is found.gram else y[:, None]) / n
        allowed = (
            moved.T @ other + (size.T @ (moved if sums is found.gram else unit * other)) + relative * size.T @ other
        )
        assert (np.abs(sums - exact) <= allowed / n).all()
    assert (found.gram == found.gram.T).all()


@pytest.mark.parametrize(("n", "d", "m"), SIZES)
def test_they_have_the_same_bits_in_any_way(n: int, d: int, m: int) -> None:
    X, y, W, b = draw(n, d, m)
    found = normal_equations(X, y, W, b, activation="sqrt")
    assert found.features is None
    for other in (
        normal_equations(X, y, W, b, activation="sqrt", threads=2, features=True),
        normal_equations(np.asfortranarray(X), y, W, b, activation="sqrt"),
    ):
        assert (other.gram == found.gram).all()
        assert (other.target == found.target).all()
    made = Gaussians(2, n, d)
    ours, stored = (normal_equations(x, y, W, activation="1-cos", threads=1) for x in (made, np.asarray(made)))
    assert (ours.gram == stored.gram).all()
    assert (ours.target == stored.target).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    X, y, W, b = draw(10, 3, 2)
    for arguments in ((X, y[1:], W, b), (X, y, W[:, 1:], b), (X, y, W, b[1:]), (X[:0], y[:0], W, b), (y, y, W, b)):
        with pytest.raises(ValueError, match="shapes"):
            normal_equations(*arguments, activation="1-cos")
    with pytest.raises(ValueError, match="threads"):
        normal_equations(X, y, W, b, activation="1-cos", threads=0)
