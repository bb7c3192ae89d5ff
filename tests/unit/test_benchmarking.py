"""The benchmark at sizes that take no time: every case is there, and what is computed of the timings is right."""

import json
import math
from pathlib import Path

import pytest

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
    assert len(yardsticks) == 4
    for timing in yardsticks:
        assert tiny.work >= timing.operations / timing.least
        assert tiny.bandwidth >= timing.bytes / timing.least
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


def test_shares_and_ratios_are_those_of_their_definition() -> None:
    ours = Timing("gradient", "mimtheory", {"n": 1}, 2.0, 1.0, 3.0, 8.0, 100.0)
    other = Timing("gradient", "numpy", {"n": 1}, 3.0, 3.0, 3.0, 8.0, 100.0)
    result = Benchmark((ours, other), work=10.0, bandwidth=100.0, exponents={}, machine={"processor": "one"})
    # 0.8 s of arithmetic, 1 s of memory
    assert result.share(ours) == pytest.approx(0.5)
    assert "| n = 1 | numpy | 3 s (3 s to 3 s) | 1.50 | 0.33 |" in markdown(result)


def test_a_benchmark_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats = 0; allowed"):
        benchmark(repeats=0)
