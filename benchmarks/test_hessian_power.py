"""The Hessian-power kernel against NumPy's best orientation, in one run: `make bench` prints the ratios."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from mimtheory.kernels import hessian_power


# rows of 500 and 52 numbers end in a line of the cache in which no vector starts
@pytest.mark.parametrize(("k", "d"), [(1, 500), (1, 52), (4, 500)])
@pytest.mark.parametrize("engine", ["ours", "numpy"])
def test_hessian_power(benchmark: BenchmarkFixture, engine: str, k: int, d: int) -> None:
    rng = np.random.default_rng(0)
    n = 10**7 // d
    X, T, V = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((k, d))
    benchmark.group = f"n={n}, d={d}, k={k}, one thread each"
    if engine == "ours":
        benchmark(lambda: hessian_power(X, T, V, threads=1))
    else:
        benchmark(lambda: ((V @ X.T) * T) @ X / n)
