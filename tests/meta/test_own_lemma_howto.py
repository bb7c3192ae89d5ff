"""The how-to on a lemma of one's own works as printed, from an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mimtheory
from tests.meta.test_wheel import pip

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


def test_the_declaration_of_a_package_brings_its_lemmas(tmp_path: Path) -> None:
    """A package of the named module and the page's lines, installed as a reader would."""
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "my_package").mkdir(parents=True)
    (source / "my_package" / "__init__.py").touch()
    (source / "my_package" / "lemmas.py").write_text(blocks("python")[0], encoding="utf-8")
    head = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
    head += '[project]\nname = "my_package"\nversion = "1.0"\n\n'
    (source / "pyproject.toml").write_text(head + blocks("toml")[0], encoding="utf-8")
    pip(sys.executable, "install", "--no-deps", "--no-build-isolation", "--target", str(site), str(source))
    path = os.pathsep.join((str(site), ENVIRONMENT["PYTHONPATH"]))
    words = [sys.executable, "-m", "mimtheory", "explain", "X.1"]
    environment = ENVIRONMENT | {"PYTHONPATH": path}
    run = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Where the bulk sits" in run.stdout
