"""The source distribution is enough for every command of the Makefile and every link of README."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.meta.test_repository import ROOT, tracked


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Files and folders of the source distribution, from its root."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        files = [Path(*Path(name).parts[1:]) for name in opened.getnames()]
    return {path.as_posix() for file in files for path in (file, *file.parents)}


def test_it_holds_every_file_that_a_command_of_the_makefile_names(packed: set[str]) -> None:
    words = set(re.findall(r"(?<![\w./])\w[\w./]*", (ROOT / "Makefile").read_text(encoding="utf-8")))
    made = {"out", "dist", "site"}  # by the commands
    named = {word for word in words if (ROOT / word).exists() and word.partition("/")[0] not in made}
    assert {"constraints.txt", "pyproject.toml", "benchmarks", "verification", "docs"} <= named
    assert named <= packed


def test_it_holds_what_readme_links_to(packed: set[str]) -> None:
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {target for target in targets if not target.startswith("http")} <= packed


def test_it_holds_every_file_of_the_repository(packed: set[str]) -> None:
    assert {path.relative_to(ROOT).as_posix() for path in tracked()} <= packed
