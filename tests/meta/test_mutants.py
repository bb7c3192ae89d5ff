"""The table of mutants is up to date and every mutant dies."""

import pytest

from tests.mutants import ROOT, TABLE, Mutant, read_mutants, survivors, table

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.old[:30]}")
def test_the_text_to_be_replaced_occurs_exactly_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.new != mutant.old


def test_the_page_lists_exactly_these_mutants_and_no_survivor() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(MUTANTS, [])


def test_a_harmless_change_survives() -> None:
    harmless = Mutant("concentration.py", "import math\n", "import math  # a comment\n", MUTANTS[0].killer)
    assert survivors((harmless,), workers=1) == [harmless]


@pytest.mark.long
def test_every_mutant_dies() -> None:
    assert survivors(MUTANTS) == []
