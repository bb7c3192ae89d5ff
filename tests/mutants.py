"""Wrong versions of the code, each of which a named test must refuse: `python -m tests.mutants` tries them all.

`tests/mutants.toml` names them. Each is applied alone to a copy of the package, its test is run there, and the
outcome is written to `tests/MUTATIONS.md`. A mutant that survives is a hole in the tests. With words after the command
only those are tried whose file or test has one of the words in its name; the others keep what the page says of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "MUTATIONS.md"
_COPIED = ("mimtheory", "tests", "pyproject.toml", "docs", "README.md", "Makefile")
_TESTS_FAILED = 1  # pytest's exit code when tests ran and some failed


@dataclass(frozen=True)
class Mutant:
    """`old` occurs exactly once in `file`; with `new` in its place the test `killer` must fail."""

    file: str
    old: str
    new: str
    killer: str

    @property
    def path(self) -> Path:
        return Path("mimtheory") / self.file


def read_mutants() -> tuple[Mutant, ...]:
    """The table, in its order."""
    raw = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))
    return tuple(Mutant(**entry) for entry in raw["mutant"])


def chosen(mutants: tuple[Mutant, ...], words: list[str]) -> tuple[Mutant, ...]:
    """Those with one of the words in the name of their file or of their test; all if there is no word.

    Raises
    ------
    ValueError
        For a word that no mutant has.
    """
    for word in words:
        if not any(word in mutant.file or word in mutant.killer for mutant in mutants):
            raise ValueError(f"no mutant has {word!r} in the name of its file or test; --list prints all")
    return tuple(m for m in mutants if not words or any(word in m.file or word in m.killer for word in words))


def survivors(
    mutants: tuple[Mutant, ...], workers: int = 2, progress: Callable[[str], None] = lambda line: None
) -> list[Mutant]:
    """The mutants whose killer passes all the same; `progress` gets a line when one has been tried.

    Raises
    ------
    RuntimeError
        If a killer fails without any mutant: it proves nothing then.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            copies.put(_copy(Path(folder) / str(number)))
        home = copies.get()
        killers = sorted({mutant.killer for mutant in mutants})
        progress(f"first, without a mutant, the tests that must pass: {len(killers)}")
        if _run_tests(home, killers) != 0:
            raise RuntimeError("the killers fail without a mutant: run them by themselves first")
        copies.put(home)
        start, tried = time.monotonic(), count(1)

        def dies(mutant: Mutant) -> bool:
            home = copies.get()
            try:
                dead = _dies(mutant, home)
            finally:
                copies.put(home)
            done = next(tried)
            left = (time.monotonic() - start) / done * (len(mutants) - done)
            progress(_line(mutant, dead, done, len(mutants), left))
            return dead

        with ThreadPoolExecutor(workers) as pool:
            verdicts = list(pool.map(dies, mutants))
    return [mutant for mutant, dead in zip(mutants, verdicts, strict=True) if not dead]


def _line(mutant: Mutant, dead: bool, done: int, total: int, left: float) -> str:
    outcome = "dies    " if dead else "SURVIVES"
    return (
        f"{done}/{total}  about {left / 60:.1f} min left  {outcome}  {mutant.file}: {' '.join(mutant.old.split())[:50]}"
    )


def _copy(home: Path) -> Path:
    home.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, home / name, ignore=ignored)
        else:
            shutil.copy(source, home / name)
    return home


def _dies(mutant: Mutant, home: Path) -> bool:
    path = home / mutant.path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return _run_tests(home, [mutant.killer]) == _TESTS_FAILED
    finally:
        path.write_text(text, encoding="utf-8")


def _run_tests(home: Path, tests: list[str]) -> int:
    """pytest's exit code; no bytecode is written, since two mutants of one file may have one time stamp."""
    environment = os.environ | {
        "PYTHONPATH": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(home / "numba"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, check=False).returncode


def table(mutants: tuple[Mutant, ...], alive: list[Mutant], untried: tuple[Mutant, ...] = ()) -> str:
    """The outcome as a Markdown page."""
    counted = f"{len(mutants)} wrong versions of the code, {len(alive)} survive"
    lines = [
        "# Mutants",
        "",
        f"Written by `python -m tests.mutants`: {counted}{f', {len(untried)} not tried' if untried else ''}.",
        "Each was applied alone; the test named beside it failed, and passes without it.",
    ]
    for file in dict.fromkeys(mutant.file for mutant in mutants):
        lines += ["", f"## {file}", "", "| in place of | stands | killed by |", "|---|---|---|"]
        for mutant in mutants:
            if mutant.file == file:
                word = _SURVIVES if mutant in alive else _UNTRIED if mutant in untried else f"`{mutant.killer}`"
                lines.append(_row(mutant, word))
    return "\n".join(lines) + "\n"


_SURVIVES, _UNTRIED = "**survives**", "**not tried**"


def _row(mutant: Mutant, word: str) -> str:
    return f"| {_code(mutant.old)} | {_code(mutant.new)} | {word} |"


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`".replace("|", "\\|") if text.strip() else "(nothing)"


def remembered(mutants: tuple[Mutant, ...], page: str) -> tuple[list[Mutant], tuple[Mutant, ...]]:
    """Those that survive, and those that were not tried, as an earlier page says."""
    rows: dict[str, set[str]] = {}
    for part in page.split("\n## ")[1:]:
        file, _, rest = part.partition("\n")
        rows[file] = set(rest.splitlines())
    alive = [m for m in mutants if _row(m, _SURVIVES) in rows.get(m.file, ())]
    dead = [m for m in mutants if _row(m, f"`{m.killer}`") in rows.get(m.file, ())]
    return alive, tuple(m for m in mutants if m not in alive and m not in dead)


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants and write the table; exit code 1 if one survives, 2 for a word that no mutant has."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of the name of a file (suprema.py) or of a test")
    parser.add_argument("--list", action="store_true", help="print what would be tried, and try nothing")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default 2)")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers = {given.workers}; allowed: an integer from 1")
    mutants = read_mutants()
    try:
        asked = chosen(mutants, given.words)
    except ValueError as error:
        parser.error(str(error))
    if given.list:
        print(
            "\n".join(f"{m.file}: {' '.join(m.old.split())} -> {' '.join(m.new.split())}  [{m.killer}]" for m in asked)
        )
        return 0
    print(f"{len(asked)} of {len(mutants)} mutants, {given.workers} at a time", flush=True)
    alive = survivors(asked, given.workers, lambda line: print(line, flush=True))
    before, untried = remembered(mutants, TABLE.read_text(encoding="utf-8"))
    kept = [m for m in mutants if m in alive or (m in before and m not in asked)]
    TABLE.write_text(table(mutants, kept, tuple(m for m in untried if m not in asked)), encoding="utf-8")
    for mutant in alive:
        print(f"survives: {mutant}")
    print(f"{len(asked) - len(alive)} of {len(asked)} die")
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
