"""Verdicts: exact binomial tests, the power of a design, statuses in their order, exit codes."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import pytest

from mimtheory.relations import Outcome
from mimtheory.verdicts import (
    ADVICE,
    SCHEMA,
    CellVerdict,
    ClaimVerdict,
    ControlVerdict,
    LemmaVerdict,
    Report,
    Status,
    Tally,
    advice,
    cell_status,
    claim_status,
    detectable_rate,
    p_value,
)

ALPHA = 1e-9


def exact_tail(failures: int, trials: int, delta: Fraction) -> Fraction:
    return sum(
        (math.comb(trials, k) * delta**k * (1 - delta) ** (trials - k) for k in range(failures, trials + 1)),
        Fraction(0),
    )


@pytest.mark.parametrize(("failures", "trials"), [(0, 10), (1, 10), (3, 50), (10, 10), (7, 200)])
def test_the_p_value_is_the_exact_binomial_tail(failures: int, trials: int) -> None:
    exact = float(exact_tail(failures, trials, Fraction(1, 100)))
    assert p_value(failures, trials, 0.01) == pytest.approx(exact, rel=1e-10)


def test_the_detectable_rate_is_the_least_that_is_refuted_with_95_per_cent() -> None:
    trials, delta = 60, 0.01
    rate = detectable_rate(trials, delta, ALPHA)
    assert rate is not None
    k = next(k for k in range(1, trials + 1) if p_value(k, trials, delta) <= ALPHA)
    assert float(exact_tail(k, trials, Fraction(rate))) == pytest.approx(0.95, rel=1e-9)
    assert p_value(k - 1, trials, delta) > ALPHA


def test_a_design_that_can_never_refute_has_no_detectable_rate() -> None:
    assert detectable_rate(3, 0.01, ALPHA) is None  # 10^-6 is the smallest p-value of three trials
    assert detectable_rate(5, 0.01, ALPHA) is not None
    assert detectable_rate(0, 0.01, ALPHA) is None


def tally(delta: float = 0.01, **counts: int) -> Tally:
    outcomes: tuple[Outcome, ...] = tuple(name for name, count in counts.items() for _ in range(count))  # type: ignore[misc]
    return Tally(outcomes, (0.5,) * len(outcomes), delta)


@pytest.mark.parametrize(
    ("counts", "level", "status"),
    [
        ({"holds": 5}, "D", "holds"),
        ({"holds": 5, "violated": 1}, "D", "refuted"),
        ({"holds": 5, "violated": 1}, "I", "refuted"),
        ({"holds": 5, "violated": 1}, "G", "holds"),
        ({"holds": 1, "violated": 5}, "G", "refuted"),
        ({"violated": 1}, "P", "holds"),
        ({"violated": 3}, "P", "undecided"),
        ({"violated": 3, "holds": 97}, "P", "holds"),
        ({"violated": 4, "undecided": 9}, "P", "undecided"),
        ({"violated": 5}, "P", "refuted"),
        ({"error": 1, "violated": 9}, "D", "error"),
        ({"undecided": 1, "violated": 9}, "D", "refuted"),
        ({"undecided": 1, "vacuous": 1, "holds": 9}, "D", "undecided"),
        ({"vacuous": 1, "holds": 9}, "D", "vacuous"),
        ({"skipped": 4}, "P", "skipped"),
        ({}, "P", "skipped"),
    ],
)
def test_the_status_of_a_cell(counts: dict[str, int], level: str, status: Status) -> None:
    assert cell_status(tally(**counts), level, ALPHA) == status


@pytest.mark.parametrize(
    ("tallies", "level", "controls", "status"),
    [
        ([tally(holds=10)], "G", True, "holds"),
        ([tally(holds=10)], "G", False, "undecided"),
        ([tally(holds=3)], "G", True, "undecided"),
        ([tally(holds=3)], "D", True, "holds"),
        ([tally(holds=3), tally(holds=3)], "G", True, "holds"),
        ([tally(violated=3, holds=1), tally(violated=3)], "G", True, "refuted"),
        ([tally(violated=3), tally(holds=97)], "G", True, "undecided"),
        ([tally(violated=5, undecided=195), tally(holds=3)], "G", True, "holds"),
        ([tally(violated=1, holds=100)], "D", True, "refuted"),
        ([tally(vacuous=3), tally(holds=9)], "P", True, "holds"),
        ([tally(undecided=3), tally(holds=9)], "P", True, "holds"),
        ([tally(vacuous=3), tally(undecided=1)], "P", True, "undecided"),
        ([tally(vacuous=3)], "P", True, "vacuous"),
        ([tally(skipped=3)], "P", True, "skipped"),
        ([tally(error=1), tally(holds=99)], "D", True, "error"),
        ([], "P", True, "skipped"),
    ],
)
def test_the_status_of_a_claim(tallies: list[Tally], level: str, controls: bool, status: Status) -> None:
    assert claim_status(tallies, level, ALPHA, controls) == status


def test_cells_with_a_larger_delta_decide_the_pooled_test() -> None:
    # 9 failures of 12: refuted at 0.01, not at 0.3
    mixed = [tally(violated=9, holds=3, delta=0.01), tally(holds=1, delta=0.3)]
    assert claim_status(mixed[:1], "G", ALPHA, True) == "refuted"
    assert claim_status(mixed, "G", ALPHA, True) != "refuted"


def test_a_draw_that_is_counted_elsewhere_is_not_counted_again() -> None:
    again = replace(tally(violated=3), pooled=False)
    # 3 failures of 3 have p-value 1e-6, 6 of 6 have 1e-12; at level D one violation refutes wherever it is seen
    assert claim_status([tally(violated=3), again], "G", ALPHA, True) == "undecided"
    assert claim_status([tally(violated=3), tally(violated=3)], "G", ALPHA, True) == "refuted"
    assert claim_status([tally(holds=3), again], "D", ALPHA, True) == "refuted"
    assert claim_status([tally(holds=3), replace(tally(holds=3), pooled=False)], "G", ALPHA, True) == "undecided"
    # 3 failures of 10 have p-value 1.1e-4, and 6 of 10 2e-10
    few = tally(violated=3, holds=7)
    assert claim_status([few, replace(few, pooled=False)], "G", ALPHA, True) == "holds"


CELL = CellVerdict(0, {}, 0.01, 5, 5, 0, "holds", "holds", (0.5,), (1.0,), (2.0,), 0, "mimtheory verify")
CONTROL = ControlVerdict("control", "why", (), 0.01, 5, 5, True, 0.0, 2.0, 1.5)
CLAIM = ClaimVerdict(
    *("A.0/claim", "D", "at_most", "", "", "holds", ADVICE["holds"]),
    *(None, 5, 0, None, None, 0.5, 0.5, 10, None, (CELL,), (CONTROL,)),
)


def report(claim: ClaimVerdict, not_run: tuple[str, ...] = ()) -> Report:
    lemma = LemmaVerdict("A.0", "Title", "ours", "doc", (), (claim,))
    return Report("mimtheory verify", "quick", 0, "now", 1.0, 5, 0, (lemma,), not_run, {}, "0", "code")


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (CLAIM, 0),
        (replace(CLAIM, status="refuted"), 1),
        (replace(CLAIM, cells=(replace(CELL, status="refuted"),)), 1),
        (replace(CLAIM, cells=(replace(CELL, status="refuted", expected="refuted"),)), 0),
        (replace(CLAIM, status="refuted", cells=(replace(CELL, status="refuted", expected="refuted"),)), 0),
        (replace(CLAIM, status="refuted", cells=(replace(CELL, status="refuted", expected="refuted"), CELL)), 0),
        (replace(CLAIM, status="undecided"), 3),
        (replace(CLAIM, status="error"), 3),
        (replace(CLAIM, status="vacuous", cells=(replace(CELL, status="vacuous", expected="vacuous"),)), 0),
        (replace(CLAIM, cells=(replace(CELL, status="vacuous"),)), 3),
        (replace(CLAIM, cells=(replace(CELL, expected="vacuous"),)), 3),
        (replace(CLAIM, cells=(replace(CELL, trials=4),)), 3),
        (replace(CLAIM, controls=(replace(CONTROL, refuted=False),)), 3),
    ],
)
def test_the_exit_code_is(claim: ClaimVerdict, code: int) -> None:
    assert report(claim).exit_code == code


def test_rows_that_were_not_run_are_not_green() -> None:
    assert report(CLAIM, ("A.0: 3 rows",)).exit_code == 3


def test_the_json_is_strict() -> None:
    text = report(replace(CLAIM, ratio_worst=math.nan, ratio_median=math.inf)).to_json()
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert value["lemmas"][0]["claims"][0]["ratio_worst"] is None
    assert value["schema"] == SCHEMA


def test_every_status_has_a_sentence_of_advice() -> None:
    assert set(ADVICE) == {"holds", "refuted", "vacuous", "undecided", "skipped", "error"}
    assert all(text.endswith(".") for text in ADVICE.values())
    assert "one violation" in advice("holds", "D")
    assert "rate" not in advice("holds", "I")
    assert "failure rate printed" in advice("holds", "G")
    assert advice("vacuous", "P") == ADVICE["vacuous"]
