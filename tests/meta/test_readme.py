"""Every Python block of README runs, and prints what README says it prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def test_every_block_has_a_language_that_a_test_runs() -> None:
    assert {language for language, _ in BLOCKS} <= {"python", "text", "sh"}


@pytest.mark.parametrize("number", [i for i, (language, _) in enumerate(BLOCKS) if language == "python"])
def test_python_block_prints_the_text_block_after_it(number: int) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(BLOCKS[number][1], f"README block {number}", "exec"), {})
    language, expected = BLOCKS[number + 1]
    assert language == "text"
    assert output.getvalue().strip() == expected.strip()


def test_shell_blocks_name_make_targets_and_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = [line for language, block in BLOCKS if language == "sh" for line in block.strip().splitlines()]
    assert commands
    for line in commands:
        tool, *words = line.split("#")[0].split()
        if tool == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), line


def test_readme_shell_commands_of_mimtheory_run(tmp_path: Path) -> None:
    import shlex
    import subprocess
    import sys

    for language, block in BLOCKS:
        for line in block.strip().splitlines() if language == "sh" else []:
            words = shlex.split(line, comments=True)
            if words and words[0] == "mimtheory":
                run = subprocess.run(
                    [sys.executable, "-m", "mimtheory", *words[1:]], cwd=tmp_path, capture_output=True, text=True
                )
                assert run.returncode == 0, (line, run.stdout, run.stderr)


def test_the_readmes_study_runs_and_its_criteria_hold(tmp_path: Path) -> None:
    import json
    import subprocess
    import sys

    lines = [
        line.split("#")[0].split() for language, block in BLOCKS if language == "sh" for line in block.splitlines()
    ]
    studies = [words[3] for words in lines if words[:3] == ["python", "-m", "verification"]]
    assert studies
    for study in studies:
        command = [sys.executable, "-m", "verification", study, "--rng", "3", "--out", str(tmp_path)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        verdict = json.loads((tmp_path / study / "verdict.json").read_text())
        assert {criterion["status"] for criterion in verdict["criteria"]} == {"holds"}
        assert (tmp_path / study / f"{study}.svg").stat().st_size > 10_000


def test_pictures_and_links_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
