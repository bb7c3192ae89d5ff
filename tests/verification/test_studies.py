"""What single studies compute, against a second computation; one study as a reader would run it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimtheory.population import Population
from verification.studies import STUDIES, fig1, fig2, losses
from verification.study import Options, Study, Table
from verification.two_stages import condition, direct_network, error_of, linearised_network, prepared

ROOT = Path(__file__).parents[2]


def test_the_first_order_constant_is_that_of_explicit_perturbation() -> None:
    # 1 - cos^2 of the leading eigenvector of many samples, twelve draws: a mean of 12 values with 12 per cent spread
    population = prepared(link="h2", loss="huber(1)", d=40, n=40 * 400)
    seen = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((population.n, 40))
        T = population.setting.loss.dl(0.0, population.setting.link(X[:, :1]))
        values, vectors = np.linalg.eigh((T[:, None] * X).T @ X / population.n)
        u = vectors[0, np.argmax(np.abs(values))]
        seen.append((1 - u**2) * 400)
    assert np.mean(seen) == pytest.approx(fig2.first_order(population), rel=0.25)


def test_the_engine_without_data_agrees_with_explicit_data() -> None:
    fields = {"link": "h2h2", "loss": "huber(2)", "d": 30, "n": 3000, "m": 32, "centre": "population", "eps0": 1e-3}
    population = prepared(**fields)

    def median(engine: Any) -> float:
        networks = (engine(population, np.random.default_rng(seed)) for seed in range(15))
        return float(np.median([error_of(network, population, U) for network, U in networks]))

    # errors scatter by 18 per cent, medians of 15 by 6, their ratio by 8: five standard deviations
    assert 0.65 < median(linearised_network) / median(direct_network) < 1.5


def test_alpha_and_its_curve_are_read_from_rows() -> None:
    rows = [
        {"link": "h2h2", "d": d, "engine": "linearised", "ratio": 2**k, "index": i, "error": 20 / 2**k}
        for d in (50, 100)
        for k in range(3, 12)
        for i in range(3)
    ]
    found, low, high = fig1.samples(Table(rows), "h2h2", 100, 0.1)
    assert found == low == high == pytest.approx(200)
    assert fig1._alpha(np.array([100.0]), np.array([100])) == pytest.approx([2.0])


def test_a_prediction_of_the_theory_is_the_finding() -> None:
    assert losses.predicted({"link": "h4+h4", "loss": "huber(1)", "d": 10, "ratio": 5})
    assert not losses.predicted({"link": "h4+h4", "loss": "squared", "d": 10, "ratio": 5})


def test_a_condition_number_is_that_of_the_singular_values() -> None:
    W = np.diag([3.0, 1.0, 7.0])
    assert condition(np.eye(2, 3), W) == pytest.approx(3.0)


def test_settings_are_prepared_once() -> None:
    assert prepared(link="h2", loss="l1", d=5, n=9) is prepared(link="h2", loss="l1", d=5, n=9)
    assert isinstance(prepared(link="h2", loss="l1", d=5, n=9), Population)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "verification", *words], cwd=ROOT, capture_output=True, text=True, timeout=500
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("fig3",), ("fig3", "fig1")),
        (("fig2", "--profile", "huge"), ("profile", "quick")),
        (("theorem1", "--link", "h2"), ("link", "theorem1")),
        (("fig2", "--loss", "hubert(1)"), ("hubert", "huber")),
        (("fig2", "--rng", "-1"), ("rng = -1",)),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2(words: tuple[str, ...], named: tuple[str, ...]) -> None:
    found = run(*words)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1, found.stderr
    assert found.stderr.startswith("error: ")
    for word in named:
        assert word in found.stderr


@pytest.mark.long
@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_quick_study_holds(study: Study, tmp_path: Path) -> None:
    assert study.points(Options())
    assert run(study.name, "--out", str(tmp_path)).returncode == 0
