"""The page of a report: what the template asks for, in words."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mimtheory.frontier import known
from mimtheory.registry import LEVELS
from mimtheory.reporting.dependencies import GRADES, drawing, grades
from mimtheory.reporting.mathml import formula, number
from mimtheory.reporting.plots import SYMBOLS, comparison, marker, not_drawn, overview
from mimtheory.reporting.prose import paragraphs, typeset
from mimtheory.reporting.run_plots import run_figures
from mimtheory.setting import Setting
from mimtheory.verdicts import ADVICE, PROVENANCE, CellVerdict, ClaimVerdict, ControlVerdict, Report, Status
from mimtheory.whole_files import write_whole

__all__ = ["render", "write_page"]

_MEANING: dict[Status, str] = {
    "holds": "No violation beyond what the claim allows, and its false variants were caught.",
    "refuted": "Violated: once at levels I and D; too often for its δ at levels G and P.",
    "vacuous": "The bound is infinite, or an assumption that the claim names is not met.",
    "undecided": "Neither refuted nor supported.",
    "skipped": "There was nothing to compare.",
    "error": "A computation failed or gave no finite number.",
}

_RATIO = {
    "at_most": "measured / bound",
    "at_least": "bound / measured",
    "equals": "discrepancy / allowance",
}

_DEFAULTS = {f.name: f.default for f in fields(Setting) if f.default is not MISSING} | {"activation": "1-cos"}
_MOST_CELLS = 16  # beyond, the table of a claim is folded, with a summary in its place


def write_page(report: Report, folder: Path) -> Path:
    """Write `report.html` into `folder` (made if it is missing) and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    write_whole(path, render(report))
    return path


def render(report: Report) -> str:
    """One self-contained HTML page: no script, nothing loaded from elsewhere; equal reports give equal pages."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "anchor": _anchor, "json": _json, "moment": _moment}
    environment.filters |= {"prose": paragraphs, "told": _told, "symbols": typeset, "options": _options}
    environment.globals |= {
        "levels": LEVELS,
        "meaning": _MEANING,
        "advice": ADVICE,
        "provenance": PROVENANCE,
        "symbol": SYMBOLS,
        "formula": lambda latex: Markup(formula(latex)),
        "figure": lambda claim: Markup(comparison(claim)),
        "marker": lambda i: Markup(marker(i)),
        "not_drawn": not_drawn,
        "ratio_name": _RATIO,
        "frontier": known(),
        "p_value": _p_value,
        "other_parameters": _other_parameters,
        "unproved": _unproved,
        "median_of": _median,
        "worst_of": lambda cell: max((x for x in cell.ratios if not math.isnan(x)), default=math.nan),
        "worst_cell": _worst_cell,
        "designs": _designs,
        "refuted_controls": _refuted_controls,
        "shown_cells": _shown_cells,
    }
    source = files("mimtheory.reporting")
    template = environment.from_string(source.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        verdict=_verdict(report),
        sentence=_sentence(report),
        overview=[Markup(panel) for panel in overview(report.claims)],
        graph=Markup(drawing(report.lemmas)),
        grades={grade: words for grade, words in GRADES.items() if grade in grades(report.lemmas).values()},
        run_figures=_run_figures(report),
        style=Markup(source.joinpath("page.css").read_text(encoding="utf-8")),
    )


def _told(doc: str) -> Markup:
    """A lemma in words; the page lies elsewhere than the proofs."""
    return paragraphs(re.sub(r"docs/theory/\w+\.md", r"\g<0> in the repository", doc))


def _run_figures(report: Report) -> list[tuple[Markup, str]]:
    return [(Markup(drawn), words) for drawn, words in run_figures(report.portrait)] if report.portrait else []


# The truth in one sentence


def _verdict(report: Report) -> Status:
    """The status whose colour and symbol the headline bears."""
    return "holds" if report.exit_code == 0 else "refuted" if report.exit_code == 1 else "undecided"


def _sentence(report: Report) -> str:
    claims = report.claims
    count = Counter(claim.status for claim in claims)
    others = [f"{count[status]} {status}" for status in SYMBOLS if status not in ("holds", "refuted") and count[status]]
    verb = "claim holds" if count["holds"] == 1 else "claims hold"
    parts = [f"{count['holds']} of {len(claims)} {verb}", f"{count['refuted'] or 'none'} refuted", *others]
    return f"{', '.join(parts)}; {_controls_part(claims)}; {_rows_part(report)}."


def _controls_part(claims: Sequence[ClaimVerdict]) -> str:
    controls = [control for claim in claims for control in claim.controls]
    if not controls:
        return "no control was run"
    refuted = sum(control.refuted for control in controls)
    return f"{refuted} of {len(controls)} controls, false on purpose, were refuted"


def _rows_part(report: Report) -> str:
    unexpected = sum(not cell.as_expected for claim in report.claims for cell in claim.cells)
    if report.not_run:
        return "the run is incomplete: what was not run is listed below"
    if unexpected:
        return f"{unexpected} cells are not as the plan expects"
    return "everything that was planned was run"


def _refuted_controls(claim: ClaimVerdict) -> str:
    return f"{sum(control.refuted for control in claim.controls)} of {len(claim.controls)}"


# Cells and controls


def _other_parameters(setting: dict[str, Any]) -> str:
    """The parameters of a setting beside link, loss, d and n, where they differ from their defaults."""
    named = ("link", "loss", "d", "n")
    return ", ".join(
        f"{name} = {value}"
        for name, value in setting.items()
        if name not in named and value != _DEFAULTS.get(name, MISSING)
    )


def _unproved(cell: CellVerdict) -> str:
    """Which constants of its own formulas a cell's bounds take from a search."""
    names = [f"of the {name}" for name, known in cell.constants.items() if known == "numerical"]
    return f"constants {' and '.join(names)} searched for, not proved" if names else ""


def _median(cell: CellVerdict) -> float:
    values = sorted(x for x in cell.ratios if not math.isnan(x))
    if not values:
        return math.nan
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return low if low == high else (low + high) / 2


def _shown_cells(claim: ClaimVerdict) -> list[tuple[str, list[tuple[int, CellVerdict]]]]:
    """(heading, numbered cells) of each table: one with all cells, or, where they are many, one with those that are
    not as expected, which stands open, and one with the others, which is folded under its heading."""
    numbered = list(enumerate(claim.cells))
    if len(numbered) <= _MOST_CELLS:
        return [("", numbered)]
    unexpected = [(i, cell) for i, cell in numbered if not cell.as_expected]
    others = [(i, cell) for i, cell in numbered if cell.as_expected]
    heading = f"{len(others)} cells, as expected: {', '.join(_counted(cell.status for _, cell in others))}"
    return [*([("", unexpected)] if unexpected else []), *([(heading, others)] if others else [])]


def _counted(words: Iterable[str]) -> list[str]:
    return [f"{count} {word}" for word, count in Counter(words).most_common()]


def _worst_cell(claim: ClaimVerdict) -> CellVerdict | None:
    """The cell with the largest ratio; a cell that is not as expected comes first, and one without ratios last."""
    if not claim.cells:
        return None
    return max(
        claim.cells,
        key=lambda cell: (not cell.as_expected, max((x for x in cell.ratios if not math.isnan(x)), default=-1.0)),
    )


def _p_value(control: ControlVerdict) -> str:
    """The p-value, which underflows where a control fails in many trials."""
    return "< 10⁻³⁰⁰" if control.p_value == 0 else number(control.p_value, 2)


def _designs(control: ControlVerdict) -> list[str]:
    """The settings of a control, those that differ in d only on one line."""
    lines: dict[str, list[str]] = {}
    for setting in control.design:
        other = _other_parameters(setting)
        line = f"{setting['link']}, {setting['loss']}, n = {setting['n']}{', ' if other else ''}{other}"
        lines.setdefault(line, []).append(str(setting["d"]))
    return [f"{line}, d = {' and '.join(ds)}" for line, ds in lines.items()]


# Text


def _anchor(label: str) -> str:
    return re.sub(r"[^\w.-]", "-", label)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _moment(started: str) -> str:
    return re.sub(r"(\d)T(\d\d:\d\d)", r"\1 \2", started).replace("+00:00", " UTC")


def _options(command: str) -> Markup:
    """A command whose options are not broken after their hyphens."""
    return Markup(re.sub(r"--?\w[\w-]*", lambda found: f'<span class="option">{found[0]}</span>', str(escape(command))))
