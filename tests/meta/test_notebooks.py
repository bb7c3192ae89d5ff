"""Every code cell of every notebook in docs runs, in order, in one namespace, and answers what the notebook stores."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs import build
from docs.run_notebooks import NOTEBOOKS, answers

_NUMBER = r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?"


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"link_to_certificate", "best_loss", "own_lemma", "own_problem"}


def texts(outputs: list[dict[str, Any]]) -> str:
    """What a cell answers, each kind of it."""
    kinds = [{"text/plain": output["text"]} if "text" in output else output["data"] for output in outputs]
    return "\n".join(f"{kind}: {''.join(lines)}" for kind_of in kinds for kind, lines in sorted(kind_of.items()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_answers_what_is_stored(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert any(cell["outputs"] for cell in cells)
    for cell, found in zip(cells, answers(notebook), strict=True):
        stored, now = texts(cell["outputs"]), texts(found)
        assert re.sub(_NUMBER, "#", now) == re.sub(_NUMBER, "#", stored)
        # the last digits are another machine's own
        numbers = [[float(x) for x in re.findall(_NUMBER, text)] for text in (now, stored)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("path", build.NOTEBOOKS)
def test_the_page_of_a_notebook_shows_what_its_cells_answer(path: str) -> None:
    cells = json.loads((build.HERE / f"{path}.ipynb").read_text(encoding="utf-8"))["cells"]
    body = build._notebook(path).body
    shown = sum(len(cell["outputs"]) for cell in cells if cell["cell_type"] == "code")
    assert shown > 0
    assert len(re.findall(r'class="(?:\w+ )?output"', body)) == shown


def test_of_an_answer_the_page_shows_the_richest_form() -> None:
    plain = {"text/plain": ["C <"], "text/latex": [r"$\displaystyle x^2$"], "text/html": ["<table></table>"]}
    assert "<table></table>" in build._output({"data": plain})
    del plain["text/html"]
    assert '<math display="block" alttext="x^2">' in build._output({"data": plain})
    del plain["text/latex"]
    assert "C &lt;" in build._output({"data": plain})
    assert "C &lt;" in build._output({"text": ["C <"]})


def test_an_answer_holds_no_time() -> None:
    def stored(source: str) -> str:
        (found,) = answers({"cells": [{"cell_type": "code", "source": [source]}]})
        return texts(found)

    assert stored('print("proved (radius 1e-5, 0.0022 s).")') == "text/plain: proved (radius 1e-5).\n"
    assert stored("x = 1\nx + 1") == "text/plain: 2"
    assert stored("x = 1") == ""
