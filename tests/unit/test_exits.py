"""How a command line ends: no code of a verdict for what is no verdict, one line that names what was wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from mimtheory.exits import guarded

COMMAND = [sys.executable, "-m", "mimtheory"]


def ended(run: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr of a command that does this."""
    application = typer.Typer(name="example", add_completion=False)
    application.command()(lambda: run())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["example"])
        with pytest.raises(SystemExit) as end:
            guarded(application)
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize("words", [("list",), ("explore", "h2"), ("--version",), ("explain", "A.2")])
def test_a_reader_that_closes_the_pipe_ends_the_command_as_sigpipe_would(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (run.returncode, run.stderr) == (141, "")


@pytest.mark.parametrize("words", [("list",), ("explore", "h2"), ("--version",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])  # with a buffer the end of it may fail once more
def test_a_full_disk_is_one_line_and_no_verdict(words: tuple[str, ...], unbuffered: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert run.returncode == 74
    assert run.stderr.startswith("error: No space left on device")
    assert run.stderr.count("\n") == 1


def test_a_file_that_cannot_be_used_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, told = ended((tmp_path / "nothing").read_text, capsys)
    assert code == 74
    assert told.startswith(f"error: {str(tmp_path / 'nothing')!r}: No such file or directory; allowed: ")


def test_a_command_without_an_output_does_its_work(tmp_path: Path) -> None:
    # as under pythonw: the file is there, and nobody reads the rest
    words = f"{sys.executable} -m mimtheory certify h2 --out {tmp_path / 'c.json'} >&-"
    assert subprocess.run(words, shell=True).returncode == 0
    assert (tmp_path / "c.json").stat().st_size > 0


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_output_of_another_encoding_has_other_letters(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    run = subprocess.run([*COMMAND, "explain", "A.2/perp_edge"], capture_output=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert "probability at least 1 - delta over the rest" in run.stdout.decode(encoding)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("verify", "--d", "2.5"), "--d = '2.5'; allowed: an integer"),
        (("verify", "--n", "1e5"), "--n = '1e5'; allowed: an integer"),
        (("certify", "h2", "--centre", "population"), "--centre = 'population'; allowed: a number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_argument(words: tuple[str, ...], told: str) -> None:
    run = subprocess.run([*COMMAND, *words], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (2, f"error: {told}\n")


def test_a_folder_that_no_page_can_name_is_refused_before_the_run(tmp_path: Path) -> None:
    out = os.fsencode(tmp_path) + b"/\xfcb"
    run = subprocess.run(
        [*map(os.fsencode, COMMAND), b"verify", b"A.3", b"--d", b"9", b"--out", out], capture_output=True
    )
    assert run.returncode == 2
    assert run.stderr.decode().endswith("b'; allowed: a path that is text in UTF-8\n")
    assert not Path(os.fsdecode(out)).exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", "/nowhere/x"), "path = '/nowhere/x' is not a certificate (No such file or directory); allowed"),
        (
            ("report", "diff", "/nowhere/x", "/nowhere/y"),
            "first = '/nowhere/x' cannot be read: No such file or directory;",
        ),
    ],
)
def test_an_argument_is_called_as_by_its_command_and_its_path_once(words: tuple[str, ...], told: str) -> None:
    run = subprocess.run([*COMMAND, *words], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {told}")
    usage = subprocess.run([*COMMAND, *words[:-1], "--help"], capture_output=True, text=True).stdout
    assert told.partition(" ")[0].upper() in usage.upper()
