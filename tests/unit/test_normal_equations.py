"""Stage two in one pass against the same samples kept in memory."""

import numpy as np
import pytest

from mimtheory import normal_equations
from mimtheory.generalisation import ProjectedLaw
from mimtheory.normal_equations import NormalEquations, ridge_network, ridge_weights
from mimtheory.setting import Setting
from mimtheory.stage_two import RIDGES

SETTING = Setting(link="h2h2", loss="huber(1)", d=12, n=700, m=10, label_noise=0.2)


def weights() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return np.eye(2, 12), rng.standard_normal((10, 12)) / 4


def test_sums_do_not_know_the_blocks() -> None:
    rng = np.random.default_rng(0)
    Phi, y = rng.standard_normal((50, 6)), rng.standard_normal(50)
    whole, part, rest = NormalEquations(6), NormalEquations(6), NormalEquations(6)
    whole.add(Phi, y)
    part.add(Phi[:20], y[:20])
    rest.add(Phi[20:], y[20:])
    both, a = part.joined(rest), rng.standard_normal(6)
    assert both.gram == pytest.approx(whole.gram, rel=1e-13, abs=1e-13)
    assert both.mean_square(a) == pytest.approx(((y - Phi @ a) ** 2).mean(), rel=1e-12)
    top = np.linalg.norm(Phi, 2) ** 2 / 50
    expected = np.linalg.solve(Phi.T @ Phi / 50 + 1e-3 * top * np.eye(6), Phi.T @ y / 50)
    assert both.solution(1e-3) == pytest.approx(expected, rel=1e-11)


def test_the_network_is_the_ridge_solution_on_the_samples_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    U, W = weights()
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    add = NormalEquations.add

    def keep(self: NormalEquations, Phi: np.ndarray, y: np.ndarray) -> None:
        seen.append((Phi.copy(), y.copy()))
        add(self, Phi, y)

    monkeypatch.setattr(NormalEquations, "add", keep)
    monkeypatch.setattr(normal_equations, "_ROWS", 64)
    network = ridge_network(SETTING, U, W, 0.4, np.random.default_rng(5))
    Phi, y = np.concatenate([part[0] for part in seen]), np.concatenate([part[1] for part in seen])
    assert y.size == 700

    def solve(Phi: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
        gram = Phi.T @ Phi / y.size
        scale = ridge * np.linalg.eigvalsh(gram)[-1]
        return np.linalg.solve(gram + scale * np.eye(10), Phi.T @ y / y.size)

    cut = 560
    errors = [((y[cut:] - Phi[cut:] @ solve(Phi[:cut], y[:cut], ridge)) ** 2).mean() for ridge in RIDGES]
    best = RIDGES[int(np.argmin(errors))]
    # the smallest ridge leaves a condition number of at most 1e9
    assert network.a == pytest.approx(solve(Phi, y, best), rel=1e-5)
    assert network.centre == 0.4


def test_labels_are_those_of_the_link_less_the_centre() -> None:
    U, W = weights()
    quiet = Setting(link="h2h2", loss="huber(1)", d=12, n=400, m=10)
    rng = np.random.default_rng(8)
    b = rng.standard_normal(10)
    Z, products = ProjectedLaw(U, W).draw(320, rng)
    sums = NormalEquations(10)
    sums.add(1 - np.cos(products + b), quiet.link(Z) - 0.4)
    again = normal_equations._accumulated(quiet, ProjectedLaw(U, W), b, 0.4, 320, _after(8))
    assert again.target == pytest.approx(sums.target, rel=1e-10)
    assert again.square == pytest.approx(sums.square, rel=1e-12)


def test_of_two_samples_one_is_held_out_to_choose_the_ridge() -> None:
    Phi = np.ones((2, 1))
    # fitted to the first alone a is 1/(1 + ridge): labels that agree ask for the smallest ridge, not for the largest
    assert ridge_weights(Phi, np.ones(2)) == pytest.approx([1 / (1 + 1e-9)], rel=1e-13)
    assert ridge_weights(Phi[:1], np.ones(1)) == pytest.approx([1 / 1.1], rel=1e-13)


def _after(seed: int) -> np.random.Generator:
    rng = np.random.default_rng(seed)
    rng.standard_normal(10)
    return rng
