"""The estimator does what scikit-learn asks of one, finds hidden directions, and predicts by the formula it prints."""

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from mimtheory import MultiIndexRegressor, link
from mimtheory.estimator import _shrunk_slope

Floats = NDArray[np.float64]
D, N = 12, 3000


def problem(name: str, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Correlated inputs off the origin, labels, and an orthonormal basis (d, r) of the hidden subspace."""
    rng = np.random.default_rng(seed)
    g = link(name)
    U = np.linalg.qr(rng.standard_normal((D, g.r)))[0].T
    A = np.eye(D) + rng.standard_normal((D, D)) / 5
    Z = rng.standard_normal((2 * N, D))
    return Z @ A + 3, g(Z @ U.T), np.linalg.qr(np.linalg.solve(A, U.T))[0]


def test_every_check_of_scikit_learn_passes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(MultiIndexRegressor(), on_fail=None, on_skip=None)
    status = {(result["check_name"], result["status"]) for result in results}
    assert {name for name, state in status if state == "failed"} == set()
    # these ask for libraries or settings of their own
    skipped = {name for name, state in status if state == "skipped"}
    assert skipped <= {"check_array_api_input", "check_regressor_data_not_an_array"}
    assert len(results) > 45


@pytest.mark.parametrize("name", ["h4+h4", "h2h2", "z1*z2", "z1 + z1*z2"])
def test_hidden_directions_are_found_under_correlated_inputs(name: str) -> None:
    X, y, truth = problem(name)
    model = MultiIndexRegressor(n_components=2, random_state=0).fit(X[:N], y[:N])
    cosines = np.linalg.svd(model.subspace_ @ truth)[1]
    assert cosines.min() > 0.95
    assert model.score(X[N:], y[N:]) > 0.6
    assert model.singular_values_[1] > 3 * model.singular_values_[2]
    np.testing.assert_allclose(model.subspace_ @ model.subspace_.T, np.eye(2), atol=1e-12)


def test_a_linear_link_is_seen_by_the_linear_part_only() -> None:
    X, y, truth = problem("z1")
    linear = MultiIndexRegressor(random_state=0).fit(X[:N], y[:N])
    assert linear.score(X[N:], y[N:]) > 0.95
    assert abs(linear.subspace_ @ truth).item() > 0.95
    without = MultiIndexRegressor(random_state=0, linear=False).fit(X[:N], y[:N])
    assert not without.linear_.any()
    assert without.score(X[N:], y[N:]) < 0.9


def test_the_prediction_is_the_formula_of_the_attributes() -> None:
    X, y, _ = problem("h2h2")
    model = MultiIndexRegressor(m=8, random_state=1).fit(X[:400], y[:400])
    features = 1 - np.cos(X @ model.weights_.T + model.biases_)
    by_hand = model.intercept_ + X @ model.linear_ + model.scale_ * (features @ model.outer_)
    np.testing.assert_allclose(model.predict(X), by_hand, rtol=1e-10, atol=1e-10)
    assert model.weights_.shape == (8, D)


def test_inputs_are_given_along_the_directions_that_were_found() -> None:
    X = np.random.default_rng(5).standard_normal((300, 4))
    model = MultiIndexRegressor(n_components=2, random_state=0).fit(X, X[:, 0] * X[:, 1])
    assert model.transform(X) == pytest.approx(X @ model.subspace_.T)
    assert list(model.get_feature_names_out()) == ["multiindexregressor0", "multiindexregressor1"]


def test_labels_in_other_units_give_the_prediction_in_these() -> None:
    X, y, _ = problem("h2h2")
    plain, scaled = (MultiIndexRegressor(random_state=0).fit(X[:400], labels) for labels in (y[:400], 7 * y[:400] - 5))
    np.testing.assert_allclose(scaled.predict(X), 7 * plain.predict(X) - 5, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaled.subspace_, plain.subspace_, atol=1e-8)


def test_a_feature_that_is_constant_or_repeated_changes_nothing() -> None:
    X, y, _ = problem("h2h2")
    more = np.column_stack((X, np.full(len(X), 2.0), X[:, 0]))
    plain = MultiIndexRegressor(random_state=0).fit(X[:N], y[:N])
    other = MultiIndexRegressor(random_state=0).fit(more[:N], y[:N])
    assert other.score(more[N:], y[N:]) > 0.9
    assert plain.score(X[N:], y[N:]) > 0.9
    assert abs(other.subspace_[0, D]) < 1e-6


def test_the_same_state_gives_the_same_model_and_parameters_survive_cloning() -> None:
    X, y, _ = problem("h4")
    first = MultiIndexRegressor(m=16, loss="logcosh", random_state=5).fit(X[:200], y[:200])
    again = clone(first).fit(X[:200], y[:200])
    np.testing.assert_array_equal(first.predict(X), again.predict(X))
    assert not hasattr(clone(first), "weights_")


def test_labels_without_a_signal_are_predicted_by_their_value() -> None:
    X, _, _ = problem("h4")
    model = MultiIndexRegressor(random_state=0).fit(X[:100], np.full(100, 4.0))
    np.testing.assert_allclose(model.predict(X), 4.0, atol=1e-9)


def test_the_slope_is_least_squares_shrunk_as_james_and_stein_do() -> None:
    rng = np.random.default_rng(0)
    X = np.linalg.qr(rng.standard_normal((500, 7)))[0] * np.sqrt(500)  # X^T X/n = I
    y = X[:, 0] / 2 + rng.standard_normal(500)
    plain = np.linalg.lstsq(X, y)[0]
    np.testing.assert_allclose(_shrunk_slope(X, y), plain * (1 - 7 / (500 * plain @ plain)), rtol=1e-10)
    noise = rng.standard_normal(500)
    noise -= X @ np.linalg.lstsq(X, noise)[0]
    assert not _shrunk_slope(X, noise).any()
    assert not _shrunk_slope(X, np.zeros(500)).any()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"m": 3}, "m = 3"),
        ({"n_components": 13}, "n_components = 13; allowed: an integer from 1 to 12"),
        ({"n_components": 0}, "n_components = 0"),
        ({"n_components": True}, "n_components = True"),
        ({"linear": "no"}, "linear = 'no'; allowed: True or False"),
        ({"steps": 0}, "steps = 0; allowed: None or an integer from 1"),
        (
            {"random_state": np.random.default_rng(0)},
            r"random_state = Generator\(.*; allowed: an integer from 0, a numpy",
        ),
        ({"eps0": 0.0}, "eps0 = 0"),
        ({"beta2": -1.0}, "beta2 = -1"),
        ({"loss": "hubr(1)"}, "hubr"),
        ({"activation": "relu"}, "activation = 'relu'"),
        ({"loss": "log(1 + exp(u))"}, "has no fitted centre"),
        ({"loss": "u"}, "has no fitted centre"),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters: dict[str, Any], named: str) -> None:
    X, y, _ = problem("h2")
    with pytest.raises(ValueError, match=named):
        MultiIndexRegressor(**parameters).fit(X[:100], y[:100])


def test_numbers_of_numpy_are_parameters() -> None:
    X, y, _ = problem("h2")
    model = MultiIndexRegressor(np.int64(2), linear=np.bool_(False), steps=np.int8(2), random_state=0).fit(
        X[:60], y[:60]
    )
    assert model.subspace_.shape == (2, D)


def test_without_scikit_learn_one_line_names_the_extra() -> None:
    script = "import sys; sys.modules['sklearn'] = None\nimport mimtheory; mimtheory.MultiIndexRegressor"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last == "ImportError: the estimator needs the extra [estimator]: pip install '.[estimator]' in a checkout"
