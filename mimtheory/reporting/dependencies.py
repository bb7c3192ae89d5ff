"""The graph of the statements: what rests on what, and whether it was seen to hold.

A statement counts as `holds` only if each of its claims does and so does everything that it rests on; with claims that
hold above something that does not, it `waits`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from mimtheory.verdicts import LemmaVerdict, Status

__all__ = ["GRADES", "drawing", "grades"]

# from worst to best: a lemma is as good as its worst claim
_ORDER: tuple[Status, ...] = ("refuted", "error", "undecided", "vacuous", "skipped", "holds")
GRADES: dict[str, tuple[str, str]] = {
    "holds": ("✓", "every claim holds, and so does all that it rests on"),
    "waits": ("△", "every claim holds, but something that it rests on does not, or was not run"),
    "refuted": ("✗", "a claim is refuted"),
    "error": ("!", "a computation failed"),
    "undecided": ("?", "a claim is undecided"),
    "vacuous": ("○", "a claim says nothing on this design"),
    "skipped": ("–", "a claim had nothing to compare"),
    "not run": ("·", "not part of this run"),
}
_WIDTH, _LAYER, _BOX, _HEIGHT = 340.0, 62.0, 66.0, 36.0  # 340: a phone, on which no text shrinks then
_Spot = tuple[float, float]


def grades(lemmas: Sequence[LemmaVerdict]) -> dict[str, str]:
    """The grade of every lemma and of every label that one uses, a key of `GRADES`."""
    own = {lemma.label: _own(lemma) for lemma in lemmas}
    uses = {lemma.label: lemma.uses for lemma in lemmas}

    def rests(label: str) -> bool:
        return own.get(label) == "holds" and all(rests(used) for used in uses[label])

    labels = dict.fromkeys([*own, *(used for lemma in lemmas for used in lemma.uses)])
    return {
        label: own.get(label, "not run") if own.get(label) != "holds" or rests(label) else "waits" for label in labels
    }


def _own(lemma: LemmaVerdict) -> str:
    statuses = {claim.status for claim in lemma.claims}
    return next((status for status in _ORDER if status in statuses), "not run")


def drawing(lemmas: Sequence[LemmaVerdict]) -> str:
    """Inline SVG of the graph; what a statement rests on stands above it. Empty for fewer than two statements."""
    graded = grades(lemmas)
    if len(graded) < 2:
        return ""
    edges = _reduced({lemma.label: lemma.uses for lemma in lemmas})
    depths = _depths(list(graded), edges)
    chains = [_chain(low, high, depths) for low, high in edges]
    rows = _rows(depths, chains)
    page = max(_WIDTH, (_BOX + 6) * max(len(row) for row in rows))
    spots = {
        node: (page * (i + 0.5) / len(row), _LAYER * level + _HEIGHT / 2 + 2)
        for level, row in enumerate(rows)
        for i, node in enumerate(row)
    }
    lines = [_line([spots[node] for node in chain]) for chain in chains]
    boxes = [_box(label, grade, spots[label]) for label, grade in graded.items()]
    height = _LAYER * (len(rows) - 1) + _HEIGHT + 4
    words = "What rests on what. " + "; ".join(f"{label}: {grade}" for label, grade in graded.items())
    return (
        f'<svg class="figure graph" role="img" aria-label="{escape(words)}" viewBox="0 0 {page:g} {height:g}">'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _reduced(uses: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(used, user) without those that follow from others."""

    def below(label: str) -> set[str]:
        return {x for used in uses.get(label, ()) for x in (used, *below(used))}

    return [
        (used, label)
        for label, direct in uses.items()
        for used in direct
        if not any(used in below(other) for other in direct)
    ]


def _depths(labels: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """Layer of every label, as late as what rests on it allows."""
    users: dict[str, list[str]] = {label: [] for label in labels}
    for low, high in edges:
        users[low].append(high)

    def height(label: str) -> int:
        return 1 + max((height(user) for user in users[label]), default=-1)

    heights = {label: height(label) for label in labels}
    top = max(heights.values())
    joined = {label for edge in edges for label in edge}
    return {label: top - heights[label] if label in joined else 0 for label in labels}


def _chain(low: str, high: str, depths: Mapping[str, int]) -> list[str]:
    """The edge as a path with a place in every layer that it crosses, so that it passes beside boxes."""
    return [low, *(f"{low} to {high}, {level}" for level in range(depths[low] + 1, depths[high])), high]


def _rows(depths: Mapping[str, int], chains: list[list[str]]) -> list[list[str]]:
    """The nodes of every layer, each under the middle of what it rests on."""
    above: dict[str, list[str]] = {}
    for chain in chains:
        for first, second in pairwise(chain):
            above.setdefault(second, []).append(first)
    rows: list[list[str]] = [[] for _ in range(max(depths.values()) + 1)]
    for label, depth in depths.items():
        rows[depth].append(label)
    for chain in chains:
        for step, node in enumerate(chain[1:-1], 1):
            rows[depths[chain[0]] + step].append(node)
    place: dict[str, float] = {}
    for row in rows:
        row.sort(key=lambda node: sum(place[x] for x in above[node]) / len(above[node]) if node in above else 0.5)
        place |= {node: (i + 0.5) / len(row) for i, node in enumerate(row)}
    return rows


def _line(spots: Sequence[_Spot]) -> str:
    (x, y), *rest = spots
    path = [f"M{x:.1f} {y:.1f}"]
    for x1, y1 in rest:
        middle = (y + y1) / 2
        path.append(f"C{x:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
        x, y = x1, y1
    return f'<path d="{" ".join(path)}" fill="none" stroke="var(--soft)" stroke-width="1.2"/>'


def _box(label: str, grade: str, spot: _Spot) -> str:
    width = max(_BOX, 8.4 * len(label) + 10)
    x, y = spot[0] - width / 2, spot[1] - _HEIGHT / 2
    name = grade.replace(" ", "-")
    return (
        f'<g class="{name}"><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HEIGHT:g}" rx="7"/>'
        f'<text x="{spot[0]:.1f}" y="{y + 15:.1f}">{escape(label)}</text>'
        f'<text class="grade" x="{spot[0]:.1f}" y="{y + 29:.1f}">{GRADES[grade][0]} {grade}</text></g>'
    )
