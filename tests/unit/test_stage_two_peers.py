"""Stage two against torch's autograd, stage one against principal Hessian directions and the spectral estimator.

The peers are no dependency of the toolkit: `make peers` installs them; elsewhere only what needs them is left out.
"""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from mimtheory.experiment import Experiment
from mimtheory.losses import loss
from mimtheory.operators import EmpiricalHessian
from mimtheory.setting import Setting
from mimtheory.stage_two import OuterProblem, accelerated_descent, gradient_descent, minimise

SETTING = Setting(link="h2h2", loss="huber(1)", d=12, n=600, m=10, centre="population", eps0=1e-3)


@pytest.mark.parametrize("name", ["squared", "huber(1)", "pseudo_huber(1)", "logcosh"])
def test_outer_descent_is_that_of_autograd(name: str) -> None:
    torch = pytest.importorskip("torch")
    outer = Experiment(SETTING, 0).outer
    problem = OuterProblem(outer.Phi, outer.y, loss(name), 0.3, 0.05)
    Phi, y = torch.from_numpy(outer.Phi), torch.from_numpy(outer.y)

    def objective(a: Any) -> Any:
        u = 0.3 + Phi @ a - y
        size = u.abs()
        value = {
            "squared": u**2 / 2,
            "huber(1)": torch.where(size <= 1, u**2 / 2, size - 0.5),
            "pseudo_huber(1)": torch.sqrt(1 + u**2) - 1,
            "logcosh": size + torch.log1p(torch.exp(-2 * size)) - np.log(2),
        }[name]
        return value.mean() + 0.05 / 2 * (a @ a)

    path, a = gradient_descent(problem, 60), torch.zeros(10, dtype=torch.float64, requires_grad=True)
    for t in range(60):
        value = objective(a)
        # sixty steps, each a contraction: roundings of some 600 summands do not grow
        assert path.values[t] == pytest.approx(value.item(), rel=1e-10)
        (gradient,) = torch.autograd.grad(value, a)
        a = (a - path.eta2 * gradient).detach().requires_grad_()
    assert path.a == pytest.approx(a.detach().numpy(), rel=1e-10, abs=1e-12)
    optimiser = torch.optim.LBFGS([a], max_iter=400, tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure() -> Any:
        optimiser.zero_grad()
        value = objective(a)
        value.backward()
        return value

    optimiser.step(closure)
    assert problem.value(minimise(problem)) == pytest.approx(objective(a).item(), rel=1e-10)
    assert accelerated_descent(problem, 800).values[-1] == pytest.approx(objective(a).item(), rel=1e-10)


def test_the_squared_loss_is_principal_hessian_directions() -> None:
    dimred = pytest.importorskip("statsmodels.regression.dimred")
    e = Experiment(SETTING, 1)
    # on inputs of mean 0 and covariance I both are eigenvectors of the same matrix
    X = e.X - e.X.mean(axis=0)
    X = X @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T))).T
    T = loss("squared").dl(e.y.mean(), e.y)
    values, vectors = np.linalg.eigh(np.asarray(EmpiricalHessian(X, T).matrix))
    ours = vectors[:, np.argsort(-np.abs(values))[:2]]
    theirs = dimred.PrincipalHessianDirections(e.y, X).fit().params[:, :2]
    # an angle is known to the root of the rounding
    assert subspace_angles(ours, theirs).max() < 1e-6


def test_many_steps_reach_the_spectral_estimator() -> None:
    e = Experiment(Setting(link="h2h2", loss="huber(1)", d=20, n=4000, m=16, T1=24, centre="population", eps0=1e-5), 2)
    split, W = e.sample.split, e.trajectory[-1]
    leading = np.linalg.svd(W, full_matrices=False)[2][:2].T
    rates = np.sort(np.abs(split.signal))
    # the tangent of the angle falls by |bulk|/|signal| a step from at most smax/smin of the start
    B = split.V_hat.T @ e.run.start.T
    start = np.linalg.norm(e.run.start, 2) / np.linalg.svd(B, compute_uv=False)[-1]
    bound = start * (np.abs(split.bulk).max() / rates[0]) ** 24
    nonlinear = np.linalg.norm(e.run.final_Delta.value, 2) / np.linalg.svd(split.V_hat.T @ W.T, compute_uv=False)[-1]
    assert np.tan(subspace_angles(leading, split.V_hat).max()) <= 2 * (bound + nonlinear) + 1e-7
    assert bound < 0.01
