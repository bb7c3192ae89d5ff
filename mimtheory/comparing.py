"""Two reports side by side: which claims changed their status, and which bounds became tighter or looser."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimtheory.verdicts import check_schema

__all__ = ["Change", "Difference", "differences", "read_report"]

_NOTICED = 1.2  # a factor by which a ratio changes


@dataclass(frozen=True)
class Change:
    """What is said of one claim (or of the run) in the first and in the second report; None where it is absent."""

    name: str
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Difference:
    """Between two reports.

    Attributes
    ----------
    statuses : tuple of Change
        Of claims, their cells and controls: what makes the reports disagree.
    ratios : tuple of Change
        The worst measured/bound ratio of a claim, where it changed by more than a fifth.
    surroundings : tuple of Change
        Plan, seed, code, versions and machine.
    """

    statuses: tuple[Change, ...]
    ratios: tuple[Change, ...]
    surroundings: tuple[Change, ...]


def read_report(path: "str | Path", argument: str = "path") -> dict[str, Any]:
    """The report that `verify` wrote to a JSON file; of an older schema, in the form of today.

    Parameters
    ----------
    path : str or Path
    argument : str
        How an error calls the path.

    Raises
    ------
    ValueError
        If it is no such file, or a later version wrote it.
    """
    name = f"{argument} = {str(path)!r}"
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        # which would repeat the path
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise ValueError(f"{name} cannot be read: {why}; allowed: a report.json of verify") from None
    if not isinstance(report, dict) or "lemmas" not in report:
        what = "is a certificate" if isinstance(report, dict) and "digest" in report else "is no report"
        raise ValueError(f"{name} {what}; allowed: a report.json of verify")
    check_schema(name, report.get("schema"), report.get("version"))
    if report["schema"] == 1:
        for lemma in report["lemmas"]:
            lemma["module"] = None
    return report


def differences(first: dict[str, Any], second: dict[str, Any]) -> Difference:
    """What the second report says otherwise than the first, both as `read_report` gives them."""
    before, after = _claims(first), _claims(second)
    labels = list(dict.fromkeys([*before, *after]))
    pairs = [(label, before.get(label), after.get(label)) for label in labels]
    return Difference(
        statuses=tuple(change for label, a, b in pairs for change in _statuses(label, a, b)),
        ratios=tuple(change for label, a, b in pairs if a and b for change in _ratios(label, a, b)),
        surroundings=tuple(_surroundings(first, second)),
    )


def _claims(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {claim["label"]: claim for lemma in report["lemmas"] for claim in lemma["claims"]}


def _statuses(label: str, a: dict[str, Any] | None, b: dict[str, Any] | None) -> Iterator[Change]:
    if a is None or b is None:
        yield Change(label, "status", a["status"] if a else None, b["status"] if b else None)
        return
    yield from _differ(label, {"status": a["status"]}, {"status": b["status"]})
    yield from _differ(label, _controls(a), _controls(b))
    yield from _differ(label, _cells(a), _cells(b))


def _controls(claim: dict[str, Any]) -> dict[str, str]:
    return {f"control {c['name']}": "refuted" if c["refuted"] else "survived" for c in claim["controls"]}


def _cells(claim: dict[str, Any]) -> dict[str, str]:
    return {
        ", ".join(f"{name} = {value}" for name, value in cell["setting"].items()): cell["status"]
        for cell in claim["cells"]
    }


def _ratios(label: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Change]:
    x, y = a["ratio_worst"], b["ratio_worst"]
    comparable = x is not None and y is not None and min(x, y) > 0
    if x != y and not (comparable and max(x, y) <= _NOTICED * min(x, y)):
        yield Change(label, "worst ratio", _number(x), _number(y))


def _number(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3g}"


def _surroundings(first: dict[str, Any], second: dict[str, Any]) -> Iterator[Change]:
    names = ("profile", "rng", "version", "code", "schema")
    yield from _differ("run", {n: str(first[n]) for n in names}, {n: str(second[n]) for n in names})
    yield from _differ("environment", first["environment"], second["environment"])


def _differ(name: str, before: dict[str, str], after: dict[str, str]) -> Iterator[Change]:
    for what in dict.fromkeys([*before, *after]):
        if before.get(what) != after.get(what):
            yield Change(name, what, before.get(what), after.get(what))
