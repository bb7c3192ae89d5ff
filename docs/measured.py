"""What the quick verification measured, as pictures for the pages of the statements.

`python -m docs.measured out/quick/report.json` stores the ratios of a report, cell by cell, in `measured.json`; the
pages are built from that, so that building takes seconds.
"""

import json
import math
import sys
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mimtheory.reporting.mathml import number

__all__ = ["figure", "store"]

STORED = Path(__file__).parent / "measured.json"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 190, 46, 12, 12, 34
_LOWEST = 1e-9  # a ratio below is drawn here


def store(report: Path) -> None:
    """Keep (d, n, median, worst) of every cell of a report, by label of the claim, and where they come from."""
    found = json.loads(report.read_text(encoding="utf-8"))
    claims = {
        claim["label"]: sorted(filter(None, map(_cell, claim["cells"])))
        for lemma in found["lemmas"]
        for claim in lemma["claims"]
    }
    head = {name: found[name] for name in ("version", "code", "profile", "rng")}
    lines = ",\n".join(f'  "{label}": {json.dumps(cells)}' for label, cells in claims.items())
    STORED.write_text(f'{{\n "run": {json.dumps(head)},\n "claims": {{\n{lines}\n }}\n}}\n', encoding="utf-8")


def _cell(cell: dict[str, Any]) -> list[float] | None:
    ratios = [x for x in cell["ratios"] if x is not None]
    if not ratios:
        return None
    middle, worst = float(np.median(ratios)), max(ratios)
    return [cell["setting"]["d"], cell["setting"]["n"], float(f"{middle:.3g}"), float(f"{worst:.3g}")]


@lru_cache(maxsize=1)
def _stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return found


def figure(label: str, identity: bool) -> str:
    """The ratios of a claim against d, an svg element with its caption; empty where none was compared."""
    cells, run = _stored()["claims"].get(label, []), _stored()["run"]
    if not cells:
        return ""
    what = "discrepancy/allowance" if identity else "measured/bound"
    worst = max(cell[3] for cell in cells)
    words = (
        f"{label}: {what} in {len(cells)} cells, d from {cells[0][0]} to {cells[-1][0]}; "
        f"median {number(float(np.median([cell[2] for cell in cells])))}, worst {number(worst)}"
    )
    drawn = "".join((*_axes(cells, what), *_marks(cells)))
    return (
        f'<figure><svg class="figure" role="img" aria-label="{escape(words)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"{drawn}</svg>"
        f"<figcaption>{what} against d in the cells of the {run['profile']} plan (seed {run['rng']}, version "
        f"{run['version']}). Dot: the median trial; diamond: the worst. Above the line at 1 a trial breaks the bound; "
        "at levels G and P few may.</figcaption>"
        "</figure>"
    )


def _scales(cells: list[list[float]]) -> tuple[float, float, int, int]:
    """Ends of log10 d, and the decades of the ratio."""
    sizes = [math.log10(cell[0]) for cell in cells]
    ratios = [max(x, _LOWEST) for cell in cells for x in cell[2:]]
    low, high = math.floor(math.log10(min(ratios))), max(1, math.ceil(math.log10(max(ratios))))
    return min(sizes) - 0.15, max(sizes) + 0.15, min(low, -1), high


def _place(cells: list[list[float]], size: float, ratio: float) -> tuple[float, float]:
    left, right, low, high = _scales(cells)
    x = _LEFT + (size - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - (math.log10(max(ratio, _LOWEST)) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
    return x, y


def _axes(cells: list[list[float]], what: str) -> Iterator[str]:
    _, _, low, high = _scales(cells)
    step = max(1, math.ceil((high - low) / 6))
    for power in [*range(0, low - 1, -step), *range(step, high + 1, step)]:
        _, y = _place(cells, 0, 10.0**power)
        colour, width = ("ink", 1.2) if power == 0 else ("grid", 0.7)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="var(--{colour})" stroke-width="{width}"/>'
        yield _text(_LEFT - 5, y + 4, "end", number(10.0**power))
    last = -math.inf
    for size in sorted({cell[0] for cell in cells}):
        x, _ = _place(cells, math.log10(size), 1)
        if x - last > 26:  # as many names as there is room for
            yield _text(x, _HEIGHT - _BOTTOM + 15, "middle", f"{size:g}")
            last = x
    yield _text(_WIDTH - _RIGHT, _HEIGHT - 4, "end", f"d; upward: {what}")


def _marks(cells: list[list[float]]) -> Iterator[str]:
    """Cells of one d side by side."""
    for i, (size, _, middle, worst) in enumerate(cells):
        same = [k for k, cell in enumerate(cells) if cell[0] == size]
        shift = min(3.0, 26 / len(same)) * (same.index(i) - (len(same) - 1) / 2)
        x, y = _place(cells, math.log10(size), middle)
        _, top = _place(cells, math.log10(size), worst)
        x += shift
        yield f'<path d="M{x:.1f} {y:.1f}V{top:.1f}" stroke="var(--soft)" stroke-width="0.8"/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="var(--series0)"/>'
        yield f'<path d="M{x:.1f} {top - 3:.1f}l2.6 3l-2.6 3l-2.6 -3Z" fill="var(--series1)"/>'


def _text(x: float, y: float, anchor: str, words: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="var(--ink)">{escape(words)}</text>'
    )


if __name__ == "__main__":
    store(Path(sys.argv[1]))
