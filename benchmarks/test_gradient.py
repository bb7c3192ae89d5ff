"""Gradient and Gaussians against NumPy, in one run; `mimtheory bench` has the full comparison."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from mimtheory.kernels import Gaussians, gradient


# rows of 512 numbers lie a page apart and share places of the first cache
@pytest.mark.parametrize(("m", "d"), [(8, 500), (8, 512), (32, 500)])
@pytest.mark.parametrize("engine", ["ours", "numpy"])
def test_gradient(benchmark: BenchmarkFixture, engine: str, m: int, d: int) -> None:
    n = 5000
    rng = np.random.default_rng(0)
    X, y = np.asarray(Gaussians(0, n, d)), rng.standard_normal(n)
    W, a = rng.standard_normal((m, d)) / np.sqrt(d), np.ones(m)

    def plain() -> np.ndarray:
        Z = W @ X.T
        return (a[:, None] * np.sin(Z) * np.clip(a @ (1 - np.cos(Z)) - y, -1, 1)) @ X / n

    benchmark.group = f"gradient, n={n}, d={d}, m={m}, one thread each"
    if engine == "ours":
        benchmark(lambda: gradient(X, y, W, a, activation="1-cos", loss="huber(1)", threads=1))
    else:
        benchmark(plain)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("engine", ["ours", "numpy"])
def test_gaussians(benchmark: BenchmarkFixture, engine: str, kind: type) -> None:
    made, rng, place = Gaussians(0, 400, 2048, kind), np.random.default_rng(0), np.empty((400, 2048), kind)
    benchmark.group = f"Gaussians, {np.dtype(kind)}, one thread each"
    if engine == "ours":
        benchmark(lambda: made.rows(0, 400, threads=1))
    else:
        benchmark(lambda: rng.standard_normal(out=place, dtype=kind))
