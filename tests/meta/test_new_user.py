"""A newcomer with the wheel, an environment of his own and the printed pages, far from the repository."""

import os
import subprocess
import venv
from pathlib import Path

import pytest

from docs import build
from tests.meta.test_own_lemma_howto import squeezed
from tests.meta.test_wheel import ROOT, pip, wheel

__all__ = ["wheel"]


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    pip(python, "install", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[report]")
    return folder


def typed(home: Path, *words: str) -> str:
    """What a command prints in the environment of the newcomer, started in his folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = f"{home / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(words, cwd=home, env=clean | {"PATH": path}, capture_output=True, text=True)
    assert run.returncode == 0, (words, run.stdout, run.stderr)
    return run.stdout


@pytest.mark.long
@pytest.mark.parametrize("page", ["quickstart", "howto/own_lemma"])
def test_the_page_works_as_printed(page: str, home: Path) -> None:
    assert str(home) in typed(home, "python", "-c", "import mimtheory; print(mimtheory.__file__)")
    printed, saved = "", None
    for language, text in build.code_blocks(page):
        if language == "python" and page == "howto/own_lemma" and saved is None:
            saved = home / "my_lemmas.py"
            saved.write_text(text, encoding="utf-8")
        elif language == "python":
            printed = typed(home, "python", "-c", text)
        elif language == "sh":
            printed = "".join(typed(home, "bash", "-ec", line) for line in text.strip().splitlines())
        elif language == "text":
            for line in text.strip().splitlines():
                assert squeezed(line) in squeezed(printed), line
    for folder in ("first",) if page == "quickstart" else ("own", "other"):
        assert (home / folder / "report.html").stat().st_size > 10_000
