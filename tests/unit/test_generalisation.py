"""The law of (U x, W x) and the test error, against explicit points, brute-force integrals and each other."""

import math

import mpmath
import numpy as np
import pytest
from scipy import integrate, stats

from mimtheory.activations import activation
from mimtheory.generalisation import Network, ProjectedLaw, _cosine_moments, distance, sampled_error
from mimtheory.generalisation import test_error as error_of
from mimtheory.links import link

D, R, M = 7, 2, 5


def problem(seed: int, name: str = "1-cos", scale: float = 1.0) -> tuple[Network, np.ndarray]:
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((D, R)))[0].T
    W = scale * rng.standard_normal((M, D)) / math.sqrt(D)
    return Network(W, rng.standard_normal(M), rng.standard_normal(M), 0.3, activation(name)), U


def test_the_projected_law_has_the_covariance_of_explicit_inputs() -> None:
    network, U = problem(0)
    law = ProjectedLaw(U, network.W)
    joint = np.vstack((U, network.W))
    n = 200_000
    Z, products = law.draw(n, np.random.default_rng(1))
    found = np.cov(np.hstack((Z, products)).T)
    expected = joint @ joint.T
    # entry by entry: standard deviation sqrt((s_ii s_jj + s_ij^2)/n), 49 entries, false alarms below 1e-6
    deviation = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / n)
    assert (np.abs(found - expected) < 6 * deviation).all()


def test_neurons_that_nearly_agree_keep_their_covariance_and_equal_ones_share_their_gaussians() -> None:
    rng = np.random.default_rng(2)
    U, W = np.linalg.qr(rng.standard_normal((9, 2)))[0].T, rng.standard_normal((3, 9))
    near = np.concatenate((W, W + 1e-3 * rng.standard_normal((3, 9))))
    law = ProjectedLaw(U, near)
    covariance = law.inside @ law.inside.T + law._factor.T @ law._factor
    assert covariance == pytest.approx(near @ near.T, abs=1e-13 * 30)
    assert ProjectedLaw(U, np.concatenate((W, -W[::-1])))._factor.shape == (3, 6)


def test_more_neurons_than_dimensions_have_a_law_as_well() -> None:
    rng = np.random.default_rng(3)
    U, W = np.linalg.qr(rng.standard_normal((4, 2)))[0].T, rng.standard_normal((9, 4))
    Z, products = ProjectedLaw(U, W).draw(6, rng)
    assert Z.shape == (6, 2)
    # all products lie in the range of W, of 4 dimensions
    assert np.linalg.matrix_rank(products) <= 4


@pytest.mark.parametrize("text", ["h2h2", "mixed", "z1*z2", "He2(z1)/2 + He3(z2)/6", "z1 + z1*z2", "1 + z1 + h3(z2)"])
@pytest.mark.parametrize("name", ["1-cos", "sqrt", "asymmetric", "logcosh"])
def test_the_error_lies_within_the_interval_of_a_sample(text: str, name: str) -> None:
    network, U = problem(5, name, 1.5)
    found = error_of(network, link(text), U)
    mean, deviation = sampled_error(network, link(text), ProjectedLaw(U, network.W), np.random.default_rng(2), 400_000)
    # 24 cases at five deviations: false alarms of a normal law 1.4e-5; the tails of these are near normal at this size
    assert abs(mean - float(found.value)) < 5 * deviation + found.error
    assert found.error < 1e-3 * abs(float(found.value))


def test_closed_form_and_quadrature_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    network, U = problem(7)
    closed = error_of(network, link("mixed"), U)
    same = activation("1 - cos(u)")  # read as an expression: not the built-in one
    assert same.text != "1-cos"
    other = Network(network.W, network.a, network.b, network.centre, same)
    by_nodes = error_of(other, link("mixed"), U)
    assert float(by_nodes.value) == pytest.approx(float(closed.value), abs=1e-12 + by_nodes.error)
    assert by_nodes.error < 1e-11


def test_one_neuron_against_integration() -> None:
    # x in two dimensions, g = h3(z1): brute force over the plane
    w, a, b = np.array([[0.8, -0.5]]), np.array([1.3]), np.array([0.4])
    network, g = Network(w, a, b, 0.1, activation("1-cos")), link("h3(z1) + z1")

    def integrand(x1: float, x2: float) -> float:
        f = 0.1 + 1.3 * (1 - math.cos(0.8 * x1 - 0.5 * x2 + 0.4))
        target = (x1**3 - 3 * x1) / math.sqrt(6) + x1
        return (f - target) ** 2 * stats.norm.pdf(x1) * stats.norm.pdf(x2)

    expected = integrate.dblquad(integrand, -11, 11, -11, 11, epsabs=1e-11)[0]
    found = error_of(network, g, np.array([[1.0, 0.0]]))
    assert float(found.value) == pytest.approx(expected, abs=1e-9)


def test_the_distance_of_two_networks_is_a_norm() -> None:
    first, U = problem(9)
    second = Network(first.W @ U.T @ U, first.a, first.b, first.centre, first.activation)
    found = distance(first, second)
    X = np.random.default_rng(0).standard_normal((300_000, D))
    squares = (first(X) - second(X)) ** 2
    deviation = squares.std() / math.sqrt(squares.size)
    assert abs(squares.mean() - float(found.value) ** 2) < 5 * deviation
    assert float(distance(first, first).value) < 1e-6


def test_the_fourth_moment_is_exact() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    z1, z2 = np.meshgrid(nodes, nodes)
    g = z1**2 - 1 + 0.7 * (z2**2 - 1)
    assert float(link("h2h2").fourth_moment) == pytest.approx(float(weights @ g**4 @ weights), rel=1e-12)


def test_points_are_placed_as_they_are_drawn() -> None:
    """`draw` takes all of Z first, then the Gaussians across U; `place` is given both for each point."""
    rng = np.random.default_rng(4)
    U, W = np.linalg.qr(rng.standard_normal((7, 2)))[0].T, rng.standard_normal((3, 7))
    law = ProjectedLaw(U, np.concatenate((W, -W[::-1])))
    assert law.coordinates == 5
    Z, products = law.draw(11, np.random.default_rng(6))
    again = np.random.default_rng(6)
    each = np.concatenate((again.standard_normal((11, 2)), again.standard_normal((11, 3))), axis=1)
    placed = law.place(each)
    assert (placed[0] == Z).all()
    assert placed[1] == pytest.approx(products, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("scale", [1e-4, 0.1, 1.0, 5.0, 100.0, 1e4])
def test_the_covariance_of_cosines_is_that_of_fifty_digits(scale: float) -> None:
    # for neurons in all directions, and for pairs that are equal, opposite or near each other
    rng = np.random.default_rng(4)
    W = scale * rng.standard_normal((3, 4))
    near = W[:1] + 0.5 * min(scale, 1.0) * rng.standard_normal(4)
    W, b = np.concatenate((W, -W[:1], W[:1], near)), rng.standard_normal(6)
    found = _cosine_moments(W, b, [], np.empty((6, 0))).covariance
    with mpmath.workdps(50):
        for i in range(6):
            for j in range(6):
                w, v = (mpmath.matrix(W[k].tolist()) for k in (i, j))
                G, damping = (w.T * v)[0], mpmath.exp(-((w.T * w)[0] + (v.T * v)[0]) / 2)
                first, second = mpmath.mpf(b[i]), mpmath.mpf(b[j])
                terms = [damping * mpmath.expm1(s * G) * mpmath.cos(first - s * second) / 2 for s in (1, -1)]
                # each of the two carries some ten roundings; those of an exponent x weigh x e^-x, less than 1/2
                size = max(mpmath.fabs(damping * G), *map(mpmath.fabs, terms)) if abs(G) < 1 else 1
                assert mpmath.fabs(sum(terms) - found[i, j]) <= 20 * 2.0**-52 * size


@pytest.mark.parametrize("name", ["1-cos", "sqrt", "asymmetric", "logcosh", "tanh", "relu"])
@pytest.mark.parametrize("scale", [1e3, 1e150])
def test_large_neurons_have_a_finite_distance(name: str, scale: float) -> None:
    network, _ = problem(8, name, scale)
    other = Network(network.W[::-1].copy(), network.a, network.b, network.centre, network.activation)
    with np.errstate(over="ignore"):  # of the Gram matrix, whose exponentials are 0
        assert math.isfinite(float(distance(network, other).value))
