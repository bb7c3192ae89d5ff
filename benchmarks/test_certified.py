"""The exact and certified engines against their targets: `make bench` prints the times."""

import time
from fractions import Fraction

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from mimtheory.certificate import certify
from mimtheory.enclosures import Problem, enclose
from mimtheory.hessian import expected_hessian
from mimtheory.links import link
from mimtheory.losses import loss
from mimtheory.polynomials import Polynomial
from mimtheory.rank_bounds import spectrum_bounds

ZERO = Fraction(0)
DENSE = "(1 + z1 - z2/2 + z3/3 - z4/4 + z5/5 - z6/6)**8"


def problem(text: str, name: str) -> Problem:
    return Problem(link(text), loss(name), ZERO, ZERO)


@pytest.mark.benchmark(group="Hermite expansion, r = 6, degree 8, all 3,003 monomials: target 50 ms")
def test_hermite(benchmark: BenchmarkFixture) -> None:
    polynomial = link(DENSE).polynomial
    result: Polynomial = benchmark(lambda: polynomial.heat(1))
    assert len(result.terms) == 3003


@pytest.mark.benchmark(group="r = 1 certificate at 30 digits: target 5 ms")
def test_line(benchmark: BenchmarkFixture) -> None:
    p = problem("h4", "l1")
    assert benchmark(lambda: certify(p, digits=30)).status == "proved"


@pytest.mark.parametrize("text", ["h4+h4", "mixed", "skewed", "h2h2", "product", "staircase2", "octic"])
@pytest.mark.parametrize("name", ["l1", "huber(1)"])
@pytest.mark.benchmark(group="r = 2 kinked certificate: target 5 s, 30 s for the zoo")
def test_plane(benchmark: BenchmarkFixture, text: str, name: str) -> None:
    p = problem(text, name)
    benchmark.extra_info["status"] = benchmark.pedantic(lambda: certify(p), rounds=1).status


@pytest.mark.parametrize("digits", [4, 6])
@pytest.mark.parametrize("name", ["l1", "huber(1)"])
@pytest.mark.benchmark(group="r = 2 kinked, h4 + h4, certified digits")
def test_plane_digits(benchmark: BenchmarkFixture, name: str, digits: int) -> None:
    p = problem("h4+h4", name)
    found = benchmark.pedantic(lambda: enclose(p, 10.0**-digits / 2), rounds=1)
    assert found.radius <= 10.0**-digits / 2


@pytest.mark.parametrize("text", ["h4+h4", "mixed"])
@pytest.mark.parametrize("name", ["logcosh", "pseudo_huber(1)"])
@pytest.mark.benchmark(group="r = 2 smooth to 1e-12: target 2 s")
def test_smooth_plane(benchmark: BenchmarkFixture, text: str, name: str) -> None:
    p = problem(text, name)
    found = benchmark.pedantic(lambda: enclose(p, 1e-12), rounds=1)
    assert found.radius <= 1e-12


@pytest.mark.benchmark(group="r = 3 clip to 1e-2: target 5 s")
def test_space(benchmark: BenchmarkFixture) -> None:
    p = problem("r3", "huber(1)")
    found = benchmark.pedantic(lambda: enclose(p, 1e-2), rounds=1)
    assert found.radius <= 1e-2


@pytest.mark.benchmark(group="r = 3 smooth to 1e-5: target 20 s")
def test_smooth_space(benchmark: BenchmarkFixture) -> None:
    p = problem("r3", "logcosh")
    found = benchmark.pedantic(lambda: enclose(p, 1e-5), rounds=1)
    assert found.radius <= 1e-5


@pytest.mark.parametrize("name", ["l1", "huber(1)"])
@pytest.mark.benchmark(group="r = 2 kinked, fast: target 0.5 s")
def test_fast_plane(benchmark: BenchmarkFixture, name: str) -> None:
    assert benchmark(lambda: expected_hessian("h4+h4", name, method="fast")).radius < 2e-11


@pytest.mark.benchmark(group="rank certificate of a 4 x 4 ball matrix: target 1 ms")
def test_rank(benchmark: BenchmarkFixture) -> None:
    start = time.monotonic()
    found = enclose(problem("h4(z1) + h3(z2) + z3*z4 + h2(z3)", "squared"), 1e-12)
    assert found is not None
    assert time.monotonic() - start < 5
    benchmark(lambda: spectrum_bounds(found.C))
