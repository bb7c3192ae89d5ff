"""The choice between the dense matrix and Lanczos, against the clock."""

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mimtheory import operators
from mimtheory.operators import EmpiricalHessian, extreme_eigenvalues
from mimtheory.spectral_costs import ends_seconds, forming_is_cheaper


def seconds_of(forming: bool, X: np.ndarray, T: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> float:
    """Least processor time of three."""
    monkeypatch.setattr(operators, "forming_is_cheaper", lambda n, d: forming)
    spent = []
    for _ in range(3):
        start = time.thread_time()
        extreme_eigenvalues(EmpiricalHessian(X, T).for_ends)
        spent.append(time.thread_time() - start)
    return min(spent)


@pytest.mark.parametrize(("n", "d", "forming"), [(4000, 60, True), (3000, 300, True), (60, 1200, False)])
def test_the_choice_is_the_cheaper_route_by_the_clock(
    n: int, d: int, forming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the two are predicted to differ at least fourfold, on any machine that runs this in vector code."""
    dense, lanczos = ends_seconds(n, d)
    assert max(dense, lanczos) >= 4 * min(dense, lanczos)
    assert forming_is_cheaper(n, d) == forming
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((n, d)), rng.uniform(-1, 1, n)
    with threadpool_limits(1):
        seconds_of(False, X[:2, :2], T[:2], monkeypatch)  # compiles
        chosen, other = (seconds_of(route, X, T, monkeypatch) for route in (forming, not forming))
    assert chosen < other


def test_costs_of_both_routes_are_their_formulas() -> None:
    dense, lanczos = ends_seconds(2000, 1000)
    assert dense == pytest.approx(4.5e-11 * 2e9 + 6e-11 * 1e9 + 2e-8 * 1e6)
    assert lanczos == pytest.approx(30 * 10 * (3.6e-10 * 2e6 + 3e-5))
    assert ends_seconds(4000, 1000)[0] > dense


def test_forming_is_cheaper_for_many_samples_and_dearer_for_few() -> None:
    assert all(forming_is_cheaper(10 * d, d) for d in (2, 40, 512, 2000))
    assert not any(forming_is_cheaper(d // 20, d) for d in (600, 2000, 10_000))
    assert [forming_is_cheaper(100 * d, d) for d in (3_600, 3_800)] == [True, False]
