"""The two-stage algorithm as a scikit-learn regressor for real arrays. Needs scikit-learn."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimtheory.activations import Activation, activation
from mimtheory.arguments import check_flag, check_integer, check_real
from mimtheory.generalisation import Network
from mimtheory.links import link
from mimtheory.losses import Loss, loss
from mimtheory.measuring import data_experiment
from mimtheory.setting import MOST_STEPS, Setting
from mimtheory.stage_one import symmetric_start
from mimtheory.stage_two import OuterProblem, choose_ridge, draw_biases, minimise

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as missing:
    if (missing.name or "").split(".")[0] != "sklearn":
        raise
    raise ImportError(
        "the estimator needs the extra [estimator]: pip install '.[estimator]' in a checkout", name="sklearn"
    ) from missing

__all__ = ["MultiIndexRegressor"]

Floats = NDArray[np.float64]
_FEWEST = 40  # rows from which on each stage gets half of them
_RANK = 1e-10  # directions with less than this share of the largest variance are dropped


# scikit-learn has no types, and its classes are Any
class MultiIndexRegressor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Regression on a few unknown directions: a two-layer network trained layer by layer (Algorithm 1).

    The inputs are centred and whitened, since the theory is about N(0, I) inputs, and the labels standardised. Stage
    one is a power iteration of the first layer on one half of the rows; stage two fits the outer layer to the other
    half, a convex problem whose ridge is chosen on held-out rows. The theory is about links without a linear part,
    which an even activation cannot see: here a linear part is fitted first, and its direction joins the subspace.

    Parameters
    ----------
    n_components : int
        Number of directions in `subspace_`, at most the number of features; prediction does not depend on it.
    m : int
        Number of neurons, even.
    loss : str or Loss
        On standardised labels. A squared loss cannot see a link of information exponent above 2.
    activation : str or Activation
        Within assumption_activation.
    linear : bool
        Whether a linear part is fitted first, by least squares on the rows of stage one, shrunk by the positive-part
        rule of James and Stein.
    steps : int
        Steps of stage one (T1); None: ceil(2 sqrt(log d)), at least 2.
    eps0 : float
        Norm of a neuron at the start, in units of w.
    beta2 : float
        Ridge of stage two on standardised labels, in units of T*w^4/y; None chooses it on held-out rows.
    random_state : int, RandomState or None
        Of the start, the biases and the split of the rows.

    Attributes
    ----------
    subspace_ : (n_components, n_features)
        Orthonormal rows: the directions in which the neurons of the first layer move the prediction most.
    singular_values_ : (at most n_features,)
        Of the trained first layer and the linear part in whitened coordinates, in decreasing order; a gap after the
        r-th speaks for r directions.
    weights_ : (m, n_features);  biases_, outer_ : (m,);  linear_ : (n_features,);  intercept_, scale_ : float
        prediction = intercept_ + linear_ . x + scale_ sum_j outer_j sigma(weights_j . x + biases_j).
    n_features_in_ : int

    Raises
    ------
    ValueError
        When fitted: naming the parameter, its value and what is allowed.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        m: int = 64,
        loss: "str | Loss" = "huber(1)",
        activation: "str | Activation" = "1-cos",
        linear: bool = True,
        steps: int | None = None,
        eps0: float = 1e-3,
        beta2: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.m = m
        self.loss = loss
        self.activation = activation
        self.linear = linear
        self.steps = steps
        self.eps0 = eps0
        self.beta2 = beta2
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "MultiIndexRegressor":
        """Train both layers.

        Parameters
        ----------
        X : (n, d)
            In any units: the columns are whitened.
        y : (n,)
            In units of y, whatever they are.

        Raises
        ------
        ValueError
            Naming the parameter, its value and what is allowed.
        """
        X, y = self._validated(X, y)
        check_integer("n_components", self.n_components, 1, "an integer from 1", X.shape[1])
        check_flag("linear", self.linear)
        if self.steps is not None:
            check_integer("steps", self.steps, 1, "None or an integer from 1", MOST_STEPS)
        if self.beta2 is not None:
            check_real("beta2", self.beta2, 0.0, "None or a finite number >= 0")
        rng = self._generator()
        mean, whiten = _whitening(X)
        white = (X - mean) @ whiten
        first, second = _halves(len(y), rng)
        setting = self._setting(len(first), white.shape[1])
        level, size = float(y.mean()), float(y.std()) or 1.0
        slope = _shrunk_slope(white[first], (y[first] - level) / size) if self.linear else np.zeros(white.shape[1])
        rest = y - level - size * (white @ slope)
        spread = float(rest.std()) or 1.0
        labels = rest / spread
        W, centre = self._stage_one(setting, white[first], labels[first], rng)
        b = draw_biases(self.m, rng)
        self.outer_ = self._stage_two(setting, white[second], labels[second], W, b, centre)
        self.weights_, self.linear_ = W @ whiten.T, size * (whiten @ slope)
        self.biases_ = b - self.weights_ @ mean
        self.intercept_, self.scale_ = level + spread * centre - float(self.linear_ @ mean), spread
        # neurons have norms of order 1; each part weighs as much as its share of the labels' standard deviation
        moved = np.vstack((spread / size * W, np.sqrt(self.m) * slope))
        _, self.singular_values_, directions = np.linalg.svd(moved, full_matrices=False)
        self.subspace_ = _orthonormal(directions[: self.n_components] @ whiten.T, X.shape[1], self.n_components)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The network at the rows of X.

        Parameters
        ----------
        X : (n, d)
            In any units, those of `fit`.

        Returns
        -------
        (n,) array
            In units of y.
        """
        rows = self._rows(X)
        network = Network(self.weights_, self.outer_, self.biases_, 0.0, activation(self.activation))
        predicted: Floats = self.intercept_ + rows @ self.linear_ + self.scale_ * network(rows)
        return predicted

    def transform(self, X: ArrayLike) -> Floats:
        """The rows of X along the directions that were found.

        Parameters
        ----------
        X : (n, d)
            In any units, those of `fit`.

        Returns
        -------
        (n, n_components) array
            In any units, those of X.
        """
        along: Floats = self._rows(X) @ self.subspace_.T
        return along

    @property
    def _n_features_out(self) -> int:
        return len(self.subspace_)

    def _rows(self, X: ArrayLike) -> Floats:
        """X as `fit` saw it, or refused."""
        check_is_fitted(self)
        rows: Floats = validate_data(self, X, reset=False, dtype=np.float64)
        return rows

    def _generator(self) -> np.random.Generator:
        try:
            return np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        except ValueError:
            allowed = "an integer from 0, a numpy.random.RandomState or None"
            raise ValueError(f"random_state = {self.random_state!r}; allowed: {allowed}") from None

    def _validated(self, X: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        return np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)

    def _setting(self, n: int, d: int) -> Setting:
        """The parameters, validated: a Setting of any link serves, of which only the start is asked."""
        return Setting(
            link=link("z1"),
            loss=loss(self.loss),
            activation=activation(self.activation),
            d=d,
            n=n,
            m=self.m,
            T1=self.steps,
            eps0=self.eps0,
        )

    def _stage_one(self, setting: Setting, X: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
        """The trained first layer (m, k) and the fitted centring constant."""
        start = symmetric_start(setting, rng)[1]
        e = data_experiment(X, y, start, loss=setting.loss, activation=setting.activation, T1=setting.steps)
        W = e.run.trajectory[-1]
        # labels without a signal (constant ones, say) give no gradient: the start serves then
        return (W if W.any() else start / setting.eps0), e.sample.centre

    def _stage_two(self, setting: Setting, X: Floats, y: Floats, W: Floats, b: Floats, centre: float) -> Floats:
        Phi = setting.activation.sigma(X @ W.T + b)
        beta2 = choose_ridge(Phi, y, setting.loss, centre) if self.beta2 is None else self.beta2
        return minimise(OuterProblem(Phi, y, setting.loss, centre, beta2))


def _whitening(X: Floats) -> tuple[Floats, Floats]:
    """Mean (d,) and a (d, k) matrix after which the centred rows have covariance I on the k directions that vary."""
    mean = X.mean(axis=0)
    values, vectors = np.linalg.eigh((X - mean).T @ (X - mean) / len(X))
    kept = values > _RANK * max(values[-1], np.finfo(np.float64).tiny)
    if not kept.any():
        return mean, np.eye(X.shape[1])
    return mean, np.ascontiguousarray(vectors[:, kept] / np.sqrt(values[kept]))


def _shrunk_slope(X: Floats, y: Floats) -> Floats:
    """X^T y/n shrunk towards 0, (d,): least squares for whitened X, whose noise has the squared norm d/n for labels of
    variance 1."""
    (n, d), slope = X.shape, X.T @ y / len(y)
    square = float(slope @ slope)
    shrunk: Floats = slope * (max(0.0, 1 - d / (n * square)) if square > 0 else 0.0)
    return shrunk


def _halves(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for each stage: half of them, or all for both where they are few."""
    order = rng.permutation(n)
    return (order, order) if n < _FEWEST else (order[: n // 2], order[n // 2 :])


def _orthonormal(rows: Floats, d: int, k: int) -> Floats:
    """k orthonormal rows of R^d whose first span the given ones."""
    basis: Floats = np.linalg.qr(np.concatenate((rows, np.eye(d)))[:d].T)[0].T[:k]
    return basis
