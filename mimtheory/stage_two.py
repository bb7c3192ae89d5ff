"""Stage two of Algorithm 1: fresh biases, and the outer weights by convex optimisation on fresh samples.

The problem is min_a (1/n) sum_i l(c + phi_i.a, y_i) + (beta2/2)|a|^2 with phi_ij = sigma(w_j.x_i + b_j). Gradient
descent and its accelerated form are what the theory speaks of; the ridge solution (squared loss) and SciPy's solver
(every other) are the references they are held against. Proofs: docs/theory/stage_two.md.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimtheory.generalisation import Network, ProjectedLaw
from mimtheory.losses import Loss
from mimtheory.stage_one import Run

__all__ = [
    "RIDGES",
    "Outer",
    "OuterProblem",
    "Path",
    "accelerated_descent",
    "choose_ridge",
    "draw_biases",
    "gradient_descent",
    "held_out_start",
    "minimise",
    "ridge_solution",
    "steps_to_reach",
]

Floats = NDArray[np.float64]

RIDGES = tuple(10.0**-k for k in range(1, 10))  # relative to the largest eigenvalue of Phi^T Phi/n
_HELD_OUT = 5  # one sample of so many, for the choice of the ridge
_SMOOTHING = (1e-1, 1e-2)  # of a loss with kinks, one after the other, in units of the labels' deviation


def draw_biases(m: int, rng: np.random.Generator) -> Floats:
    """b_j ~ N(0, 1): with b = 0 an even activation could not express odd terms of g."""
    return rng.standard_normal(m)


class Outer:
    """Stage two of a Run: biases, second sample, features.

    Parameters
    ----------
    run : Run
    rng : numpy Generator
        Consumed in the order b, D2.
    split : bool
        Whether D2 is fresh. It then enters only through (U x, W x), which is drawn from its exact law; else D2 = D1.

    Attributes
    ----------
    W : (m, d);  b : (m,)
    Z : (n, r);  products, Phi : (n, m);  y : (n,)
        Hidden coordinates, W x, features and labels of D2.
    """

    def __init__(self, run: Run, rng: np.random.Generator, split: bool = True) -> None:
        s, sample = run.setting, run.sample
        self.setting, self.U, self.centre = s, sample.U, sample.centre
        self.W, self.b = run.trajectory[-1], draw_biases(s.m, rng)
        self.law = ProjectedLaw(self.U, self.W)
        if split:
            self.Z, self.products = self.law.draw(s.n, rng)
            self.y = s.labels(self.Z, rng)
        else:
            self.Z, self.products, self.y = sample.Z, sample.X @ self.W.T, sample.y
        self.Phi = s.activation.sigma(self.products + self.b)
        self._seed = int(rng.integers(1 << 63))

    def fresh(self, purpose: str) -> np.random.Generator:
        """A generator of its own for test points, the same whenever it is asked for."""
        return np.random.default_rng([self._seed, *purpose.encode()])

    def problem(self, beta2: float | None = None) -> "OuterProblem":
        """The convex problem; beta2 is chosen on held-out samples if not given."""
        chosen = choose_ridge(self.Phi, self.y, self.setting.loss, self.centre) if beta2 is None else beta2
        return OuterProblem(self.Phi, self.y, self.setting.loss, self.centre, chosen)

    def network(self, a: Floats) -> Network:
        """The network with these outer weights."""
        return Network(self.W, a, self.b, self.centre, self.setting.activation)

    @cached_property
    def reference(self) -> "OuterProblem":
        """The problem on which the lemmas are measured: beta2 a thousandth of the largest eigenvalue of Phi^T Phi/n."""
        plain = self.problem(0.0)
        return plain.with_ridge(1e-3 * plain.top)

    @cached_property
    def minimiser(self) -> Floats:
        """The outer weights that solve `reference`, (m,)."""
        return minimise(self.reference)

    @cached_property
    def learned(self) -> Network:
        """The network of Theorem 1."""
        return self.ridge_network(self.y)

    def ridge_network(self, y: Floats) -> Network:
        """The network that the squared loss fits to these labels (n,), with 10^-6 times the largest eigenvalue of
        Phi^T Phi/n as ridge."""
        target = (y - self.centre) @ self.Phi / y.size
        return self.network(ridge_solution(self.reference.gram, target, 1e-3 * self.reference.beta2))


@dataclass(frozen=True, eq=False)
class OuterProblem:
    """The objective of stage two.

    Attributes
    ----------
    Phi : (n, m)
        Features.
    y : (n,)
    loss : Loss
    centre, beta2 : float
    """

    Phi: Floats
    y: Floats
    loss: Loss
    centre: float
    beta2: float

    def value(self, a: Floats) -> float:
        """The objective at a (m,)."""
        fit = self.loss.value(self.centre + self.Phi @ a, self.y).mean()
        return float(fit + self.beta2 / 2 * (a @ a))

    def gradient(self, a: Floats) -> Floats:
        """Its gradient, (m,)."""
        slopes = self.loss.dl(self.centre + self.Phi @ a, self.y)
        G: Floats = slopes @ self.Phi / self.y.size + self.beta2 * a
        return G

    @cached_property
    def gram(self) -> Floats:
        """Phi^T Phi/n."""
        gram: Floats = self.Phi.T @ self.Phi / self.y.size
        return gram

    @cached_property
    def top(self) -> float:
        """The largest eigenvalue of Phi^T Phi/n."""
        return float(np.linalg.eigvalsh(self.gram)[-1])

    def with_ridge(self, beta2: float) -> "OuterProblem":
        """The same samples with another beta2; Phi^T Phi and its largest eigenvalue are computed once."""
        other = OuterProblem(self.Phi, self.y, self.loss, self.centre, beta2)
        other.__dict__.update(gram=self.gram, top=self.top)
        return other

    @cached_property
    def smoothness(self) -> float:
        """Ls = L2 |Phi|_op^2/n + beta2, a Lipschitz constant of the gradient."""
        return self.loss.L2 * self.top + self.beta2


@dataclass(frozen=True, eq=False)
class Path:
    """Objective before every step and after the last, (T2+1,), and the last iterate."""

    values: Floats
    a: Floats
    eta2: float


def gradient_descent(problem: OuterProblem, steps: int) -> Path:
    """Plain gradient descent from a = 0 with step size 1/Ls.

    Raises
    ------
    ValueError
        For a loss whose derivative is not Lipschitz (l1, quantile).
    """
    step = _step(problem)
    a, values = np.zeros(problem.Phi.shape[1]), np.empty(steps + 1)
    for t in range(steps):
        values[t] = problem.value(a)
        a = a - step * problem.gradient(a)
    values[steps] = problem.value(a)
    return Path(values, a, step)


def accelerated_descent(problem: OuterProblem, steps: int) -> Path:
    """Nesterov's method with the momentum of a beta2-strongly convex objective, or t/(t+3) for beta2 = 0."""
    step = _step(problem)
    root = math.sqrt(step * problem.beta2)
    a = before = np.zeros(problem.Phi.shape[1])
    values = np.empty(steps + 1)
    for t in range(steps):
        values[t] = problem.value(a)
        momentum = (1 - root) / (1 + root) if problem.beta2 else t / (t + 3)
        ahead = a + momentum * (a - before)
        before, a = a, ahead - step * problem.gradient(ahead)
    values[steps] = problem.value(a)
    return Path(values, a, step)


def _step(problem: OuterProblem) -> float:
    if not math.isfinite(problem.smoothness):
        raise ValueError(
            f"loss = {problem.loss.text!r} has a derivative that jumps; allowed for gradient descent: a loss with "
            "finite L2; solver='exact' serves every loss"
        )
    # a constant objective has no curvature to fit a step to, and no gradient either
    return 1 / problem.smoothness if problem.smoothness else 1.0


def steps_to_reach(path: Path, least: float, left: float) -> int | None:
    """First step at which the gap to `least` is at most `left` of the gap at the start; None if never."""
    reached = path.values - least <= left * (path.values[0] - least)
    return int(np.argmax(reached)) if reached.any() else None


# The minimiser


def minimise(problem: OuterProblem) -> Floats:
    """The outer weights that minimise the objective: ridge for the squared loss, else SciPy's L-BFGS on coordinates
    in which the quadratic model is round.

    A loss with kinks is replaced by its Moreau envelope, which is below it by at most mu max(K_+, K_-)^2/2 with mu a
    hundredth of the labels' standard deviation.
    """
    if problem.loss.text == "squared":
        return ridge_solution(problem.gram, (problem.y - problem.centre) @ problem.Phi / problem.y.size, problem.beta2)
    return _minimise_smooth(problem)


def ridge_solution(gram: Floats, target: Floats, beta2: float) -> Floats:
    """(gram + beta2 I)^-1 target, (m,), for gram = Phi^T Phi/n (m, m) and target = Phi^T y/n (m,)."""
    values, vectors = np.linalg.eigh(gram)
    # directions that rounding cannot tell from 0 carry no information
    kept = values > 1e-14 * values[-1]
    a: Floats = vectors[:, kept] @ ((vectors[:, kept].T @ target) / (values[kept] + beta2))
    return a


def _minimise_smooth(problem: OuterProblem) -> Floats:
    scale = float(problem.y.std()) or 1.0
    curvature = problem.loss.L2 if math.isfinite(problem.loss.L2) else 1 / scale
    values, vectors = np.linalg.eigh(problem.gram)
    kept = values > 1e-14 * values[-1]
    if not kept.any():
        return np.zeros(values.size)  # no feature moves a prediction, and L-BFGS knows no problem without variables
    # in these coordinates the Hessian is near the identity wherever l'' is near `curvature`
    basis = vectors[:, kept] / np.sqrt(curvature * values[kept] + problem.beta2)
    features, v = problem.Phi @ basis, np.zeros(int(kept.sum()))
    for mu in (0.0,) if math.isfinite(problem.loss.L2) else tuple(scale * mu for mu in _SMOOTHING):
        v = _lbfgs(problem, basis, features, v, mu)
    a: Floats = basis @ v
    return a


def _lbfgs(problem: OuterProblem, basis: Floats, features: Floats, start: Floats, mu: float) -> Floats:
    from scipy.optimize import minimize  # takes longer to import than everything else here

    def objective(v: Floats) -> tuple[float, Floats]:
        a, prediction = basis @ v, problem.centre + features @ v
        value, slope = _envelope(problem.loss, prediction, problem.y, mu)
        gradient = slope @ features / problem.y.size + problem.beta2 * (a @ basis)
        return float(value.mean() + problem.beta2 / 2 * (a @ a)), gradient

    options = {"maxiter": 1000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 30}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    # in these coordinates the objective has curvature near 1: the gradient is the distance to the minimum
    if not np.abs(found.jac).max() <= 1e-3 * (1 + np.abs(found.x).max()):
        raise ArithmeticError(f"the convex solver stopped at a gradient of {np.abs(found.jac).max():.2g}")
    a: Floats = found.x
    return a


def _envelope(loss: Loss, t: Floats, y: Floats, mu: float) -> tuple[Floats, Floats]:
    """Value and derivative in t of the loss or, for mu > 0, of its envelope min_x l(x) + (t - y - x)^2/(2 mu)."""
    if mu == 0:
        return loss.value(t, y), loss.dl(t, y)
    if loss.code < 0:
        return _envelope_by_bisection(loss, t - y, mu)
    slope = np.clip((t - y) / mu, -loss.K_minus, loss.K_plus)
    return slope * (t - y) - mu / 2 * slope**2, slope


def _envelope_by_bisection(loss: Loss, u: Floats, mu: float) -> tuple[Floats, Floats]:
    """The envelope at u: x + mu l'(x) increases, and passes u where the minimum is; its derivative is (u - x)/mu."""
    # l' increases, so x lies between u - mu l'(u) and u
    shift = mu * loss.dl(u, 0.0)
    low, high = np.minimum(u, u - shift), np.maximum(u, u - shift)
    for _ in range(60):
        x = (low + high) / 2
        above = x + mu * loss.dl(x, 0.0) > u
        low, high = np.where(above, low, x), np.where(above, x, high)
    slope: Floats = (u - high) / mu
    return loss.value(high, 0.0) + mu / 2 * slope**2, slope


def held_out_start(n: int) -> int:
    """Where the samples begin that are held out to choose a ridge: the last fifth of n, rounded down, but at least one
    where n >= 2, so that there are samples on both sides; n = 1 is not divided."""
    return n - max(1, n // _HELD_OUT) if n >= 2 else n


def choose_ridge(Phi: Floats, y: Floats, loss: Loss, centre: float) -> float:
    """beta2 among 10^-1 ... 10^-9 times max(1, L2) times the largest eigenvalue of Phi^T Phi/n, by the loss on the last
    20 per cent of the samples (never on test data); for a derivative that jumps the factor is 1.

    The eigenvalue is that of the other samples.
    """
    cut = held_out_start(y.size)
    kept = OuterProblem(Phi[:cut], y[:cut], loss, centre, 0.0)
    top = kept.top * max(1.0, loss.L2 if math.isfinite(loss.L2) else 1.0)
    if cut == y.size or top == 0:
        return top or 1.0

    def held_out(beta2: float) -> float:
        a = minimise(kept.with_ridge(beta2))
        return float(loss.value(centre + Phi[cut:] @ a, y[cut:]).mean())

    return min((ridge * top for ridge in RIDGES), key=held_out)
