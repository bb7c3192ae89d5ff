"""pytest plugin: `--mim-trials`, `--mim-report`, and a header. It imports nothing heavy, for every run of pytest in an
environment with this package loads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mimtheory import __version__, environment

__all__ = ["asked_trials", "observe"]

SCHEMA = 1
_KEY = "mimtheory"
_asked: dict[str, int | None] = {"trials": None}
_observed: list[dict[str, Any]] = []


def asked_trials() -> int | None:
    """The number that `--mim-trials` asks for."""
    return _asked["trials"]


def observe(row: dict[str, Any]) -> None:
    """Note what a claim showed, for the file of `--mim-report`; plain values only."""
    _observed.append(row)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mimtheory", "claims of mimtheory")
    group.addoption("--mim-trials", metavar="N", help="draws a setting in assert_holds, in place of its own number")
    group.addoption("--mim-report", metavar="FILE", help="write what every claim showed to FILE, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("mim_trials")
    if given is not None and not (given.isdecimal() and int(given)):
        raise pytest.UsageError(f"--mim-trials = {given!r}; allowed: an integer from 1")
    _asked["trials"] = None if given is None else int(given)
    file = config.getoption("mim_report")
    if file is not None and not hasattr(config, "workerinput"):  # workers of xdist hand their rows to the controller
        if not Path(file).absolute().parent.is_dir():
            raise pytest.UsageError(f"--mim-report = {file!r}; allowed: a file in a folder that exists")
        config.pluginmanager.register(_Report(Path(file).absolute()), "mimtheory-report")


def pytest_report_header() -> str:
    names = environment.versions()
    libraries = ", ".join(f"{name} {names[name]}" for name in ("numpy", "scipy", "numba"))
    return f"mimtheory {__version__}: {libraries}, {environment.processors()} processors, BLAS {environment.blas()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    _observed.clear()
    try:
        return (yield)
    finally:
        item.user_properties += [(_KEY, row) for row in _observed]
        _observed.clear()


class _Report:
    """Collects the rows of all tests and writes them at the end."""

    def __init__(self, file: Path) -> None:
        self.file, self.rows = file, list[dict[str, Any]]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            rows = [row for key, row in report.user_properties if key == _KEY and isinstance(row, dict)]
            self.rows += [{"test": report.nodeid} | row for row in rows]

    def pytest_sessionfinish(self) -> None:
        page = {"schema": SCHEMA, "version": __version__, "environment": environment.versions(), "claims": self.rows}
        self.file.write_text(json.dumps(page, indent=1), encoding="utf-8")
