"""The table of mutants is up to date and every mutant dies."""

import ast
from pathlib import Path

import pytest

from tests import mutants as program
from tests.mutants import ROOT, TABLE, Mutant, chosen, main, read_mutants, remembered, survivors, table

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.old[:30]}")
def test_the_text_to_be_replaced_occurs_exactly_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.new != mutant.old


def test_the_test_that_must_fail_exists() -> None:
    functions = {}
    for killer in {mutant.killer for mutant in MUTANTS}:
        path, _, name = killer.partition("::")
        if path not in functions:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions[path] = {"", *(node.name for node in tree.body if isinstance(node, ast.FunctionDef))}
        assert name.partition("[")[0] in functions[path], killer


def test_the_page_lists_exactly_these_mutants_and_no_survivor() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(MUTANTS, [])


def test_a_harmless_change_survives_and_progress_says_how_many_are_left() -> None:
    harmless = Mutant("concentration.py", "import math\n", "import math  # a comment\n", MUTANTS[1].killer)
    lines: list[str] = []
    assert survivors((harmless,), 1, lines.append) == [harmless]
    assert lines[0] == "first, without a mutant, the tests that must pass: 1"
    assert lines[1].startswith("1/1  about 0.0 min left  SURVIVES  concentration.py: import math")


def test_help_is_printed_and_nothing_is_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "survivors", lambda *_: pytest.fail("ran"))
    for words in (["--help"], ["no_such_file.py"], ["--workers", "0"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == (0 if words == ["--help"] else 2)
    assert main(["--list", "concentration.py"]) == 0
    printed = capsys.readouterr()
    assert "suprema.py" in printed.out
    assert "no mutant has 'no_such_file.py' in the name" in printed.err
    assert "[tests/unit/test_concentration.py::test_wishart" in printed.out


def test_a_part_is_chosen_by_file_or_by_test() -> None:
    assert chosen(MUTANTS, []) == MUTANTS
    part = chosen(MUTANTS, ["search.py"])
    assert {m.file for m in part} | {m.killer.partition("::")[0] for m in part} >= {"search.py"}
    assert all("search.py" in m.file or "search.py" in m.killer for m in part)
    assert 0 < len(part) < len(MUTANTS)


def test_what_is_not_tried_keeps_what_the_page_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "MUTATIONS.md"
    one, two, new = MUTANTS[0], MUTANTS[1], Mutant("search.py", "never there", "new", "tests/unit/test_search.py")
    page.write_text(table((one, two), [two]))
    assert remembered((one, two, new), page.read_text()) == ([two], (new,))
    monkeypatch.setattr(program, "TABLE", page)
    monkeypatch.setattr(program, "read_mutants", lambda: (one, two, new))
    monkeypatch.setattr(program, "survivors", lambda asked, *_: [] if asked == (new,) else pytest.fail("others ran"))
    assert main(["search.py"]) == 0
    assert page.read_text() == table((one, two, new), [two])
    page.write_text(table((one, two), []))
    monkeypatch.setattr(program, "survivors", lambda asked, *_: [])
    assert main(["concentration.py"]) == 0
    assert page.read_text() == table((one, two, new), [], (new,))


@pytest.mark.long
def test_every_mutant_dies() -> None:
    assert survivors(MUTANTS) == []
