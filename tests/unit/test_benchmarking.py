"""The benchmark at sizes that take no time: every case is there, and what is computed of the timings is right."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mimtheory import benchmarking
from mimtheory.benchmark_page import markdown, write_page
from mimtheory.benchmarking import Benchmark, Timing, benchmark
from mimtheory.kernels.roofline import peak_work


@pytest.fixture(scope="module")
def tiny() -> Benchmark:
    return benchmark(repeats=1, sizes=((8, 64, 2), (16, 80, 4)), verification=False)


def test_every_case_is_measured(tiny: Benchmark) -> None:
    cases = {timing.case for timing in tiny.timings}
    assert {"gradient", "threads", "partition", "hessian power", "stage two", "arithmetic", "memory"} <= cases
    assert {"gaussians, float64", "gaussians, float32", "scaling in n", "scaling in d", "scaling in m"} <= cases
    assert sum(case.startswith("expected Hessian") for case in cases) == 3
    assert {"mimtheory", "numpy", "numpy, plain", "mimtheory, float32", "mimtheory, X made again"} <= {
        timing.engine for timing in tiny.timings if timing.case == "gradient"
    }
    assert all(timing.least <= timing.median <= timing.most for timing in tiny.timings)
    yardsticks = [timing for timing in tiny.timings if timing.case in ("arithmetic", "memory")]
    assert len(yardsticks) == 2 * (2 + 2 + 6 + 1)  # each race of gradients, threads, partition, vectors and stage two
    for timing in yardsticks:
        assert tiny.work >= timing.operations / timing.least
        # the largest X is read the fastest here, or alone counts
        assert timing.bytes < 8 * 16 * 80 or tiny.bandwidth >= timing.bytes / timing.least
    assert all((timing.share or 0) > 0 for timing in tiny.timings if timing.case in ("gradient", "hessian power"))
    assert set(tiny.exponents) == {"n", "d", "m"}
    assert tiny.median("gradient", "mimtheory", d=8, n=64, m=2) > 0
    assert math.isnan(tiny.median("gradient", "nobody", d=8, n=64, m=2))


def test_the_report_can_be_read_again(tiny: Benchmark, tmp_path: Path) -> None:
    read = json.loads(tiny.to_json())
    assert len(read["timings"]) == len(tiny.timings)
    page = tmp_path / "page.md"
    write_page(tiny, page)
    assert "## Hessian power" in page.read_text()
    assert "exponents" in markdown(tiny)
    assert (tmp_path / "images" / "roofline.svg").read_text().startswith("<?xml")


def test_a_share_is_the_median_of_rounds_each_with_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # three rounds after one that warms up: seconds of the yardsticks, and of the call
    rounds = iter([(9.0, 9.0), (0.5, 2.0), (1.0, 3.0), (4.0, 0.1)])
    times = iter([0.0, 9.0, 0.0, 4.0, 0.0, 6.0, 0.0, 8.0])
    monkeypatch.setattr(benchmarking, "_yardsticks", lambda X: next(rounds))
    watch, work = benchmarking._Stopwatch(3), peak_work(1) * benchmarking._TILES
    # twice the arithmetic of the yardstick, and X: at least 2 of 4, 3 of 6 and 8 of 8 seconds
    watch.race("gradient", {"mimtheory": lambda: None}, {"n": 1}, 2 * work, np.ones(5), lambda: next(times))
    ours, arithmetic, memory = watch.timings
    assert (ours.median, ours.least, ours.most, ours.share) == (6.0, 4.0, 8.0, 0.5)
    assert (arithmetic.least, arithmetic.most, memory.least, memory.most) == (0.5, 4.0, 0.1, 3.0)
    assert watch.limits() == (work / 0.5, 40 / 0.1)


def test_ratios_are_those_of_the_medians() -> None:
    ours = Timing("gradient", "mimtheory", {"n": 1}, 2.0, 1.0, 3.0, 8.0, 100.0, 0.5)
    other = Timing("gradient", "numpy", {"n": 1}, 3.0, 3.0, 3.0, 8.0, 100.0, 0.33)
    result = Benchmark((ours, other), work=10.0, bandwidth=100.0, exponents={}, machine={"processor": "one"})
    assert "| n = 1 | mimtheory | 2 s (1 s to 3 s) |  | 0.50 |" in markdown(result)
    assert "| n = 1 | numpy | 3 s (3 s to 3 s) | 1.50 | 0.33 |" in markdown(result)


def test_a_benchmark_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats = 0; allowed"):
        benchmark(repeats=0)
