"""What a reader of the repository may rely on."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = project["project"]["dependencies"] + [name for names in extras.values() for name in names]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {re.split(r"[\[<>=]", name)[0].lower() for name in wanted} - {"mimtheory"}
    assert names <= pinned


def test_every_proof_that_a_file_names_exists() -> None:
    for path in (ROOT / "mimtheory").rglob("*.py"):
        for name in re.findall(r"docs/theory/\w+\.md", path.read_text()):
            assert (ROOT / name).is_file(), f"{path.name} names {name}"


def test_no_file_is_larger_than_a_reader_would_load() -> None:
    assert [path.name for path in tracked() if path.stat().st_size > 512 * 1024] == []
