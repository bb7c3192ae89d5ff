"""What the command line prints on a narrow terminal: names stay whole, lines stay within the width."""

import io
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import ProgressSample, Task, TaskID

from mimtheory import terminal
from mimtheory.exploration import Exploration
from mimtheory.frontier import known
from mimtheory.lemmas import REGISTRY, find_claim, find_lemma
from mimtheory.plan import read_plan
from mimtheory.setting import Setting
from mimtheory.verdicts import ADVICE, ClaimVerdict, LemmaVerdict, Report

LABELS = tuple(claim.label for lemma in REGISTRY for claim in lemma.claims.values())


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed on a terminal of 80 columns."""
    text = io.StringIO()
    monkeypatch.setattr(terminal, "_console", lambda *_: Console(width=80, file=text, highlight=False))
    return text


def widest(label: str) -> ClaimVerdict:
    """A claim with the longest words and numbers that a table shows."""
    fields = ("P", "at_most", "", "", "undecided", ADVICE["undecided"])
    return ClaimVerdict(label, *fields, 0.01, 600, 599, 1e-4, 0.000123, 0.0000123, 1.23e-10, 0, None, (), ())


def test_every_claim_and_status_of_a_report_is_printed_whole(printed: io.StringIO) -> None:
    lemmas = tuple(
        LemmaVerdict(x.label, x.title, x.provenance, "", (), tuple(map(widest, (c.label for c in x.claims.values()))))
        for x in REGISTRY
    )
    report = Report("mimtheory verify", "quick", 0, "now", 1.0, 5, 0, lemmas, (), {}, "0", "code")
    terminal.print_report(report, Path("out"), "out/report.html")
    rows = {line.split()[0]: line for line in printed.getvalue().splitlines() if line.split()[1:2] == ["P"]}
    assert set(rows) == set(LABELS)
    assert all("undecided" in row and len(row.rstrip()) <= 80 for row in rows.values())


def test_every_bound_of_the_frontier_is_printed_whole(printed: io.StringIO) -> None:
    terminal.print_frontier(known().values())
    first = {line.split()[0] for line in printed.getvalue().splitlines() if line.strip()}
    assert set(known()) <= first


def test_rows_of_a_plan_that_differ_do_not_look_the_same(printed: io.StringIO) -> None:
    plan = read_plan("quick")
    terminal.print_plan(plan)
    for name in {row.setting.activation.text for row in plan.rows}:
        assert name in printed.getvalue()


def test_a_claim_is_explained_with_its_provenance_its_symbols_and_where_its_proof_is(printed: io.StringIO) -> None:
    terminal.print_claim(find_claim("A.2/perp_edge"))
    words = " ".join(printed.getvalue().split())
    for part in (
        "the sharp bulk edge".capitalize(),
        "named in arXiv",
        "S_hat = (1/n) sum_i",
        "docs/theory/a2_operator",
    ):
        assert part in words


def test_a_bound_that_speaks_at_any_n_needs_any_n(printed: io.StringIO) -> None:
    terminal.print_exploration(Exploration(Setting(link="h2", loss="huber(1)", d=10, n=1000), 0.01))
    lines = [line for line in printed.getvalue().splitlines() if "A.2/mean" in line]
    assert [line.split("│")[-2].strip() for line in lines] == ["any"]


def test_words_are_wrapped_at_the_width_of_the_terminal_only(printed: io.StringIO) -> None:
    terminal.print_lemma(find_lemma("A.2"))
    lines = printed.getvalue().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Tightness: "))
    paragraph = lines[first : lines.index("", first)]
    # a line ends where the next word has no room
    for line, following in pairwise(paragraph):
        assert len(line.rstrip()) + 1 + len(following.split()[0]) > 80
    assert "docs/theory/a2_operator_norm.md in the repository." in " ".join(printed.getvalue().split())


def test_an_indented_block_keeps_its_lines(printed: io.StringIO) -> None:
    assert list(terminal._lines_joined("one\ntwo\n\n  a\n  b")) == ["one two", "  a\n  b"]


def test_a_pipe_gets_sentences_of_the_width_of_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_registry()
    terminal.print_lemma(find_lemma("A.2"))
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_no_time_left_is_shown_before_it_is_known() -> None:
    task = Task(TaskID(0), "", total=None, completed=4, _get_time=lambda: 2.0)
    task.start_time = 0.0
    task._progress.extend((ProgressSample(0.0, 0), ProgressSample(2.0, 4)))
    assert str(terminal._Left().render(task)) == ""
    task.total = 10
    assert str(terminal._Left().render(task)) == "0:00:03 left"


def test_a_ratio_of_the_search_alone_is_marked(printed: io.StringIO) -> None:
    found = replace(widest("A.3/half_angle"), status="vacuous", trials=0, failures=0, ratio_worst=0.4, searched=60)
    assert terminal._cells(found)[3] == "0.4*"
    assert terminal._cells(replace(found, trials=4))[3] == "0.4"
    assert terminal._cells(replace(found, ratio_worst=math.nan))[3] == "-"


def test_one_is_singular() -> None:
    assert terminal._counted(1, "row", "rows") == "1 row"
    assert terminal._counted(2, "row", "rows") == "2 rows"


def test_no_number_of_a_table_is_printed_as_nan(printed: io.StringIO) -> None:
    assert terminal._number(math.nan) == terminal._number(None) == "-"
