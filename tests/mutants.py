"""Wrong versions of the code, each of which a named test must refuse: `python -m tests.mutants` tries them all.

`tests/mutants.toml` names them. Each is applied alone to a copy of the package, its test is run there, and the
outcome is written to `tests/MUTATIONS.md`. A mutant that survives is a hole in the tests.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


def survivors(mutants: tuple[Mutant, ...], workers: int = 2) -> list[Mutant]:
    """The mutants whose killer passes all the same.

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
        if _run_tests(home, killers) != 0:
            raise RuntimeError("the killers fail without a mutant: run them by themselves first")
        copies.put(home)

        def dies(mutant: Mutant) -> bool:
            home = copies.get()
            try:
                return _dies(mutant, home)
            finally:
                copies.put(home)

        with ThreadPoolExecutor(workers) as pool:
            verdicts = list(pool.map(dies, mutants))
    return [mutant for mutant, dead in zip(mutants, verdicts, strict=True) if not dead]


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


def table(mutants: tuple[Mutant, ...], alive: list[Mutant]) -> str:
    """The outcome as a Markdown page."""
    lines = [
        "# Mutants",
        "",
        f"Written by `python -m tests.mutants`: {len(mutants)} wrong versions of the code, {len(alive)} survive.",
        "Each was applied alone; the test named beside it failed, and passes without it.",
    ]
    for file in dict.fromkeys(mutant.file for mutant in mutants):
        lines += ["", f"## {file}", "", "| in place of | stands | killed by |", "|---|---|---|"]
        for mutant in mutants:
            if mutant.file == file:
                killer = "**survives**" if mutant in alive else f"`{mutant.killer}`"
                lines.append(f"| {_code(mutant.old)} | {_code(mutant.new)} | {killer} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`".replace("|", "\\|") if text.strip() else "(nothing)"


def main() -> int:
    """Try every mutant and write the table; exit code 1 if one survives."""
    mutants = read_mutants()
    alive = survivors(mutants)
    TABLE.write_text(table(mutants, alive), encoding="utf-8")
    for mutant in alive:
        print(f"survives: {mutant}")
    print(f"{len(mutants) - len(alive)} of {len(mutants)} die")
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
