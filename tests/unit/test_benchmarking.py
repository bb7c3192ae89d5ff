"""The benchmark at sizes that take no time: every case is there, and what is computed of the timings is right."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mimtheory import benchmarking
from mimtheory.benchmark_page import markdown, write_page
from mimtheory.benchmarking import Benchmark, Timing, benchmark


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
        # the largest X alone counts
        assert timing.bytes < max(other.bytes for other in yardsticks) or tiny.bandwidth >= timing.bytes / timing.least
    limited = {timing.engine for timing in tiny.timings if timing.case == "gradient" and (timing.share or 0) > 0}
    assert {"mimtheory", "numpy", "numpy, plain"} <= limited
    assert not {"mimtheory, float32", "mimtheory, X made again"} & limited
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
    # seconds of the yardsticks and of the call: each engine once to warm up, and three rounds
    ours, numpy = [(9.0, 9.0), (0.5, 2.0), (1.0, 3.0), (4.0, 0.1)], [(9.0, 9.0), (3.0, 0.2), (3.0, 0.2), (3.0, 0.2)]
    rounds = iter([limit for pair in zip(ours, numpy, strict=True) for limit in pair])
    spent = iter([9.0, 9.0, 4.0, 8.0, 12.0, 24.0, 8.0, 12.0])
    clock = iter([time for seconds in spent for time in (0.0, seconds)])
    monkeypatch.setattr(benchmarking, "_yardsticks", lambda X: next(rounds))
    watch, X = benchmarking._Stopwatch(3), np.ones(5)
    engines = dict.fromkeys(("mimtheory", "numpy"), lambda: None)
    # twice the arithmetic of the yardstick, or X: at least 2 of 4, 3 of 12 and 8 of 8 seconds; 6 of 8, 24 and 12
    watch.race("gradient", engines, {"n": 1}, 2 * benchmarking._WORK, X, lambda: next(clock))
    first, second, arithmetic, memory = watch.timings
    assert (first.median, first.least, first.most, first.share) == (8.0, 4.0, 12.0, 0.5)
    assert (second.median, second.share) == (12.0, 0.5)
    assert (arithmetic.least, arithmetic.most, memory.least, memory.most) == (0.5, 4.0, 0.1, 3.0)
    assert watch.at_best() == (benchmarking._WORK / 0.5, 40 / 0.1)


def test_ratios_are_those_of_the_medians_and_limits_those_of_the_roof() -> None:
    ours = Timing("gradient", "mimtheory", {"n": 1}, 2.0, 1.0, 3.0, 8.0, 100.0, 0.5)
    other = Timing("gradient", "numpy", {"n": 1}, 3.0, 3.0, 3.0, 8.0, 100.0, 0.33)
    result = Benchmark((ours, other), work=10.0, bandwidth=100.0, exponents={}, machine={"processor": "one"})
    assert "| n = 1 | mimtheory | 2 s (1 s to 3 s) |  |  | 0.50 |" in markdown(result)
    assert "| n = 1 | numpy | 3 s (3 s to 3 s) | 1.50 | 3.03 | 0.33 |" in markdown(result)


def test_a_benchmark_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats = 0; allowed"):
        benchmark(repeats=0)
