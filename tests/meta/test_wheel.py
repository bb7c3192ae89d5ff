"""The built wheel carries everything it needs, outside the repository."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pip(python: "str | Path", *words: str) -> None:
    subprocess.run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), ".")
    return next(folder.glob("*.whl"))


def verify(python: "str | Path", folder: Path, **environment: str) -> None:
    words = ("verify", "A.2", "--d", "12", "--n", "400", "--trials", "20", "--out", str(folder / "out"))
    run = subprocess.run(
        [str(python), "-m", "mimtheory", *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_wheel_works_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip(sys.executable, "install", "--no-deps", "--target", str(site), str(wheel))
    where = [sys.executable, "-c", "import mimtheory; print(mimtheory.__file__)"]
    found = subprocess.run(
        where, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(site))
    verify(sys.executable, tmp_path, PYTHONPATH=str(site))
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.long
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip(python, "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    verify(python, tmp_path)
    assert (tmp_path / "out" / "report.json").is_file()
