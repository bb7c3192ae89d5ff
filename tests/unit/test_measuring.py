"""One line for one lemma; a user's own arrays; what X looks like."""

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import mimtheory
from mimtheory.experiment import Experiment
from mimtheory.input_checks import input_findings
from mimtheory.lemmas import REGISTRY, find_claim
from mimtheory.setting import Setting

SETTING = Setting(link="h2h2", loss="huber(1)", d=12, n=3000, m=8, T1=4, eps0=1e-3, centre=0.2)


def test_measure_gives_the_rows_of_a_lemma() -> None:
    rows = mimtheory.measure("A.4", SETTING, rng=3)
    assert [row.claim for row in rows] == [f"A.4/{name}" for name in mimtheory_claims("A.4")]
    relation = find_claim("A.4/max_q").check(Experiment(SETTING, 3), 0.01)
    row = next(row for row in rows if row.claim == "A.4/max_q")
    assert row.ratio == relation.ratio == pytest.approx(row.measured / row.stated)
    assert mimtheory.measure("A.4/max_q", SETTING, rng=3) == [row]


def mimtheory_claims(label: str) -> list[str]:
    return next(list(lemma.claims) for lemma in REGISTRY if lemma.label == label)


@pytest.mark.parametrize("loss", ["log(1 + exp(u))", "u", "exp(u)"])
def test_without_a_minimiser_there_is_nothing_to_say_of_a_fitted_centre(loss: str) -> None:
    rows = mimtheory.measure("B.5", Setting(link="h2", loss=loss, d=5, n=40))
    assert [row.outcome for row in rows] == ["skipped", "skipped"]


@pytest.fixture(scope="module")
def e() -> Experiment:
    return Experiment(SETTING, 5)


def check(e: Experiment, **fields: object) -> mimtheory.DataReport:
    given = {"loss": "huber(1)", "centre": 0.2, "T1": 4, "eta1": e.population.eta1, **fields}
    return mimtheory.check_data(e.X, e.y, e.trajectory[0], **given)


def test_ones_own_arrays_give_the_same_numbers_as_the_draw_they_came_from(e: Experiment) -> None:
    rows = {row.claim: row for row in check(e).rows}
    same = [label for label, row in rows.items() if row.outcome != "skipped"]
    assert len(same) >= 9
    for label in same:
        relation = find_claim(label).check(e, 0.01)
        assert rows[label].outcome == relation.outcome == "holds"
        # |S_hat|, a^(0) and c are the same; identities divide roundoff by roundoff
        if find_claim(label).level == "D":
            assert rows[label].ratio == pytest.approx(relation.ratio, rel=1e-9)


def test_claims_that_need_the_hidden_subspace_are_skipped_with_the_reason(e: Experiment) -> None:
    rows = {row.claim: row for row in check(e).rows}
    assert rows["A.7/upper"].outcome == "skipped"
    assert "r of hidden directions is not given" in rows["A.7/upper"].reason
    assert "needs the link" in rows["A.2/block_norms"].reason
    informed = {row.claim: row for row in check(e, r=2).rows}
    assert informed["A.7/upper"].outcome == "holds"
    assert informed["A.2/block_norms"].outcome == "skipped"


def test_levels_i_and_d_hold_for_data_that_are_not_gaussian() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 6)) ** 3 + 0.5
    report = mimtheory.check_data(X, np.sin(X[:, 0]) + X[:, 1] ** 2, rng.standard_normal((4, 6)) / 100, r=1)
    assert {row.outcome for row in report.rows} <= {"holds", "vacuous", "skipped"}
    assert [row.outcome for row in report.rows].count("holds") >= 9
    assert {finding.label for finding in report.inputs if finding.status == "fails"} >= {"X centred", "X unit variance"}
    page = report._repr_html_()
    assert "<td>X centred</td><td>fails</td>" in page
    assert page.count("<tr>") == len(report.inputs) + len(report.rows)
    count = [row.outcome for row in report.rows].count("holds")
    assert repr(report).startswith("DataReport(inputs: ")
    assert f"{count} holds" in repr(report).split("claims: ")[1]


# False alarms: four findings at 1e-4 each, for each of 20 fixed draws: below 1 per cent for the whole test.
@given(seed=st.integers(0, 19), shape=st.sampled_from([(50, 1), (300, 5), (400, 60), (200, 200), (2000, 30)]))
def test_gaussian_inputs_look_gaussian(seed: int, shape: tuple[int, int]) -> None:
    found = [finding.status for finding in looks(np.random.default_rng([seed, *shape]).standard_normal(shape))]
    assert "fails" not in found
    assert found == ["holds"] * 4 or shape != (2000, 30)


def test_small_samples_raise_no_false_alarm_either() -> None:
    """Four findings at 1e-4 each of 3000 draws: more than 6 of 12,000 have probability 2e-4; a normal law of the fourth
    moment raises some 15."""
    rng = np.random.default_rng(5)
    drawn = [input_findings(rng.standard_normal(shape)) for shape in ((5, 2), (50, 1), (50, 5)) for _ in range(1000)]
    assert sum(finding.status == "fails" for found in drawn for finding in found) <= 6


def departed(kind: int, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Means of +-0.2, a variance of 1.2, correlations of +-0.2, or a fourth moment of 4 = 3 (1 + 1/3)."""
    X, signs = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], d)
    if kind == 0:
        return X + 0.2 * signs
    if kind == 1:
        return np.sqrt(1.2) * X
    if kind == 2:
        return np.sqrt(0.8) * X + np.sqrt(0.2) * rng.standard_normal((n, 1)) * signs
    return X * np.sqrt(1 + rng.choice([-1.0, 1.0], (n, d)) / np.sqrt(3))


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("d", [2, 20])
def test_nothing_is_said_to_hold_where_a_departure_would_be_missed(d: int, kind: int) -> None:
    """At the least n that is enough, where the power is 0.95: below 48 of 60 has probability 3e-5."""
    rng = np.random.default_rng([d, kind])
    enough = next(n for n in range(10, 4000, 10) if input_findings(rng.standard_normal((n, d)))[kind].status == "holds")
    assert enough > 20
    missed = input_findings(rng.standard_normal((enough // 2, d)))[kind]
    assert missed.status in ("undecided", "fails")
    assert sum(input_findings(departed(kind, enough, d, rng))[kind].status == "fails" for _ in range(60)) >= 48


def looks(X: np.ndarray) -> tuple[mimtheory.Finding, ...]:
    return mimtheory.check_data(X, X[:, 0] ** 2, np.full((2, X.shape[1]), 1e-3)).inputs


def far(X: np.ndarray) -> set[str]:
    return {finding.label for finding in looks(X) if finding.status == "fails"}


def test_each_departure_is_seen_by_its_own_finding() -> None:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((2000, 10))
    assert far(X + 0.1) == {"X centred"}
    assert "X unit variance" in far(1.05 * X)
    mixed = X.copy()
    mixed[:, 1] = 0.8 * X[:, 1] + 0.6 * X[:, 0]
    assert far(mixed) == {"X uncorrelated"}
    assert far(rng.choice([-1.0, 1.0], (2000, 10))) >= {"X fourth moment of a Gaussian"}
    assert far(rng.standard_t(8, (2000, 10)) / np.sqrt(8 / 6)) >= {"X fourth moment of a Gaussian"}


def test_a_run_that_diverges_is_an_error_of_its_rows_only() -> None:
    setting = Setting(link="h2", loss="huber(1)", d=5, n=40, m=4, T1=4, eta1=1.0, beta1=1e200)
    rows = {row.claim: row for row in mimtheory.measure("A.4", setting)}
    assert rows["A.4/max_q"].outcome == "error"
    assert rows["A.4/max_q"].reason.startswith("FloatingPointError: stage one diverges")
    rng = np.random.default_rng(0)
    X, start = rng.standard_normal((40, 5)), rng.standard_normal((4, 5)) / 100
    report = mimtheory.check_data(X, X[:, 0] ** 2, start, eta1=1.0, beta1=1e200, T1=9)
    outcomes = {row.claim: row.outcome for row in report.rows}
    assert outcomes["A.4/max_q"] == "error"
    assert outcomes["B.5/centred"] == "holds"


def test_inputs_that_are_all_0_are_checked() -> None:
    report = mimtheory.check_data(np.zeros((9, 3)), np.arange(9.0), np.ones((2, 3)))
    outcomes = {row.claim: row.outcome for row in report.rows}
    assert "violated" not in outcomes.values()
    assert outcomes["B.5/centred"] == "holds"


def test_inputs_that_are_shifted_or_scaled_are_as_uncorrelated_as_before() -> None:
    X = np.random.default_rng(7).standard_normal((2000, 10))
    plain = {finding.label: finding for finding in looks(X)}["X uncorrelated"]
    for moved in (X + 3, 5 * X, X * np.arange(1, 11) - np.arange(10)):
        found = {finding.label: finding for finding in looks(moved)}["X uncorrelated"]
        assert found.status == "holds"
        assert found.numbers["p"] == pytest.approx(plain.numbers["p"], rel=1e-9)
    assert {f.label: f for f in looks(X * np.array([0, *[1] * 9]))}["X uncorrelated"].status == "holds"


BAD = [
    ({"X": np.ones(3)}, r"X has shape \(3,\)"),
    ({"y": np.ones(4)}, r"y \(4,\); allowed"),
    ({"W": np.ones((3, 2))}, r"W has shape \(3, 2\)"),
    ({"W": np.ones((2, 3))}, r"W has shape \(2, 3\); allowed: \(m, 2\)"),
    ({"X": np.array([[1.0, np.nan]] * 5)}, r"X\[0, 1\] = nan"),
    ({"X": np.ones((5, 0))}, r"X has shape \(5, 0\), .* n and d at least 1"),
    ({"X": [[1.0, 2.0], [1.0]]}, "X is no array of numbers; allowed: rows of one length"),
    ({"y": ["a"] * 5}, "y is no array of numbers"),
    ({"X": np.full((5, 2), 1e200)}, r"X has an entry of size 1e\+200; allowed: up to 1e\+50"),
    ({"y": np.full(5, -1e308)}, r"y has an entry of size 1e\+308"),
    ({"T1": 10**9}, "T1 = 1000000000; allowed: an integer from 1 to 100000"),
    ({"loss": "hubr(1)"}, "hubr"),
    ({"activation": "relu"}, "relu"),
    ({"T1": 0}, "T1 = 0"),
    ({"centre": "middle"}, "centre = 'middle'"),
    ({"a_scale": 0.0}, r"a_scale = 0.0"),
    ({"eta1": -1.0}, r"eta1 = -1.0"),
    ({"r": 3}, "r = 3; allowed: None or an integer from 1 to 2"),
    ({"r": 1.5}, r"r = 1\.5; allowed: None or an integer from 1 to 2"),
    ({"r": True}, "r = True"),
]


@pytest.mark.parametrize(("fields", "named"), BAD, ids=[str(named) for _, named in BAD])
def test_bad_arrays_are_named(fields: dict[str, object], named: str) -> None:
    given = {"X": np.ones((5, 2)), "y": np.ones(5), "W": np.ones((2, 2)), **fields}
    with pytest.raises(ValueError, match=named):
        mimtheory.check_data(**given)


def test_what_is_no_setting_or_no_probability_is_refused() -> None:
    s = Setting(link="h2", loss="huber(1)", d=5, n=50)
    with pytest.raises(ValueError, match="setting = 'h2'; allowed: a Setting"):
        mimtheory.measure("A.2", "h2")
    with pytest.raises(ValueError, match="delta = 2; allowed: a number with 0 < delta < 1"):
        mimtheory.measure("A.2", s, delta=2)


def test_what_numpy_would_drop_is_refused() -> None:
    X, y, W = np.ones((9, 3)), np.ones(9), np.ones((2, 3))
    labels: Any = ["A.2"]  # no text, as a user may pass it
    with pytest.raises(ValueError, match="X has complex entries"):
        mimtheory.check_data(X + 1j, y, W)
    with pytest.raises(ValueError, match="y has masked entries"):
        mimtheory.check_data(X, np.ma.masked_equal(np.arange(9.0), 3), W)
    with pytest.raises(ValueError, match=r"lemma = \['A.2'\]; allowed: a label such as 'A.2', not list"):
        mimtheory.measure(labels, Setting(link="h2", loss="huber(1)", d=5, n=50))


@pytest.mark.parametrize("name", ["l1", "squared", "huber(1)"])
@pytest.mark.parametrize("centre", [0.0, "population", "fitted"])
def test_no_claim_holds_of_labels_that_are_infinite(name: str, centre: float | str) -> None:
    """Two of the 200 labels are. The draw is made once: another one of the same generator might have none."""
    setting = Setting(link="1e299*z1**20", loss=name, d=20, n=200, m=4, centre=centre)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what overflows in a link
        found = [row for label in ("A.1", "A.2", "A.4") for row in mimtheory.measure(label, setting, rng=1)]
    # for a fitted centre claims of independent T are vacuous before anything is drawn
    assert {row.outcome for row in found} <= {"error", "vacuous"}
    of_draws = {row.reason for row in found if "samples" in row.reason}
    assert of_draws == {"FloatingPointError: labels of 2 samples leave the range of doubles"}


def test_a_draw_that_fails_is_not_drawn_again() -> None:
    e = Experiment(Setting(link="1e299*z1**20", loss="l1", d=20, n=200, m=4, centre=0.0), 1)
    for _ in range(3):
        with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match="labels of 2 samples"):
            _ = e.sample


def test_labels_whose_products_are_lost_have_a_fitted_centre() -> None:
    X, y = np.random.default_rng(0).standard_normal((31, 5)), np.random.default_rng(1).standard_normal(31)
    small, one = (mimtheory.check_data(X, size * y, X[:4], r=1, T1=3, loss="huber(1)") for size in (1e-160, 1.0))
    assert [row.claim for row in small.rows] == [row.claim for row in one.rows]


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("y", np.ones(8), r"y \(8,\); allowed: \(n, d\) and \(n,\), the same n, with n and d at least 1$"),
        ("y", np.ones((9, 1)), r"y\.ravel\(\) has one axis$"),
        ("X", scipy.sparse.eye_array(9, 3), r"X is sparse; allowed: a dense array, such as X\.toarray\(\)"),
        ("X", None, "X is no array of numbers, it has None; allowed: real numbers"),
        ("X", np.ones((9, 3)).astype(str), "X is no array of numbers, it has text"),
        ("y", np.array(["1"] * 9, dtype=object), "y is no array of numbers, it has text"),
        ("y", np.zeros(9, "datetime64[s]"), "y is no array of numbers, it has dates"),
    ],
)
def test_what_only_looks_like_numbers_or_has_another_shape_is_refused_with_the_way_out(
    name: str, given: Any, told: str
) -> None:
    arrays: dict[str, Any] = {"X": np.ones((9, 3)), "y": np.ones(9), "W": np.ones((2, 3))} | {name: given}
    with pytest.raises(ValueError, match=told):
        mimtheory.check_data(**arrays)


def test_a_row_that_says_nothing_names_the_need_that_is_not_met() -> None:
    rows = mimtheory.measure("A.4", Setting(link="h2", loss="huber(1)", activation="relu", d=10, n=50, eta1=1.0))
    reasons = [row.reason for row in rows if row.outcome == "vacuous"]
    assert "assumption_activation fails: relu: not in C^3 (a kink at 0)" in reasons
    fitted = mimtheory.measure("A.2/mean", Setting(link="h2", loss="huber(1)", d=10, n=50, centre="fitted"))
    assert [row.reason for row in fitted] == ["a centre that is fitted to the draw promises nothing before it"]
