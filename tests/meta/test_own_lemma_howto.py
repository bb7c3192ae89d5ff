"""The how-to on a lemma of one's own works as printed, from an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mimtheory

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "own_lemma.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(mimtheory.__file__).parents[1])}


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("reader")
    (home / "my_lemmas.py").write_text(blocks("python")[0], encoding="utf-8")
    return home


def squeezed(text: str) -> str:
    """Words with single spaces: a table is drawn with more."""
    return " ".join(re.sub(r"[│┃]", " ", text).split())


def test_the_page_has_the_blocks_that_are_tried_here() -> None:
    assert [language for language, _ in BLOCKS] == ["python", "sh", "text", "sh", "toml", "python", "text"]


def test_every_command_succeeds_and_prints_what_the_page_says(folder: Path) -> None:
    printed = ""
    commands = [line for block in blocks("sh") for line in block.strip().splitlines()]
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "mimtheory"
        run = subprocess.run(
            [sys.executable, "-m", "mimtheory", *words[1:]], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert run.returncode == 0, (line, run.stdout, run.stderr)
        printed += run.stdout
    for line in blocks("text")[0].strip().splitlines():
        assert squeezed(line) in squeezed(printed), line
    for name in ("report.html", "report.json", "rows.sqlite"):
        assert (folder / "own" / name).is_file()
    assert "defined in the module my_lemmas" in (folder / "own" / "report.html").read_text(encoding="utf-8")


def test_the_lines_of_python_print_what_the_page_says(folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", blocks("python")[1]], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert run.stdout == blocks("text")[1], run.stderr
