"""The graph of statements: a theorem is green only when everything that it rests on is."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from mimtheory.lemmas import REGISTRY
from mimtheory.reporting.dependencies import GRADES, drawing, grades
from mimtheory.verdicts import LemmaVerdict, Status
from tests.unit.test_reporting import cell, claim


def lemma(label: str, *uses: str, status: Status = "holds") -> LemmaVerdict:
    good = claim("good", "holds", "D", cell(0, "holds", ratio=0.5))
    return LemmaVerdict(label, label, "ours", "", uses, (good, replace(good, status=status)))


def registry(**statuses: Status) -> list[LemmaVerdict]:
    """The statements of this package, all of which hold but these."""
    return [lemma(x.label, *x.uses, status=statuses.get(x.label.replace(".", ""), "holds")) for x in REGISTRY]


def test_everything_is_green_where_everything_holds() -> None:
    assert set(grades(registry()).values()) == {"holds"}


@pytest.mark.parametrize("status", ["refuted", "error", "undecided", "vacuous", "skipped"])
def test_theorem_1_waits_for_every_statement_that_it_rests_on_however_far(status: Status) -> None:
    graded = grades(registry(A2=status))
    assert graded["A.2"] == status
    assert graded["Theorem1"] == graded["Corollary3.1"] == graded["A.1"] == "waits"
    assert graded["B.1"] == "holds"
    for label in ("A7", "A8", "B1", "B2", "B3", "B4"):
        assert grades(registry(**{label: status}))["Theorem1"] == "waits"
    assert grades(registry(B5=status))["Theorem1"] == "holds"


def test_what_was_not_run_is_not_green_and_what_rests_on_it_waits() -> None:
    assert grades([lemma("A.3", "A.2")]) == {"A.3": "waits", "A.2": "not run"}
    assert grades([replace(lemma("A.3"), claims=())]) == {"A.3": "not run"}


def test_a_lemma_is_as_good_as_its_worst_claim() -> None:
    mixed = lemma("X.1", status="vacuous")
    assert grades([mixed])["X.1"] == "vacuous"
    worse = replace(mixed, claims=(*mixed.claims, replace(mixed.claims[0], status="refuted")))
    assert grades([worse])["X.1"] == "refuted"


def test_the_drawing_names_every_statement_with_its_grade_and_lies_within_its_frame() -> None:
    svg = drawing(registry(A2="refuted"))
    root = ElementTree.fromstring(svg)
    width, height = (float(x) for x in root.attrib["viewBox"].split()[2:])
    texts = [node.text for node in root.iter("text")]
    for x in REGISTRY:
        assert x.label in texts
        assert f"{x.label}: " in root.attrib["aria-label"]
    assert {"✗ refuted", "△ waits", "✓ holds"} <= set(texts)
    boxes = [{k: float(v) for k, v in rect.attrib.items()} for rect in root.iter("rect")]
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert abs(a["x"] - b["x"]) >= a["width"] or abs(a["y"] - b["y"]) >= a["height"]


def test_lines_that_follow_from_others_are_left_out() -> None:
    three = [lemma("X"), lemma("Y", "X"), lemma("Z", "X", "Y")]
    assert drawing(three).count("<path") == 2


def test_what_a_statement_rests_on_stands_above_it() -> None:
    root = ElementTree.fromstring(drawing(registry()))
    height = {group[1].text: float(group[0].attrib["y"]) for group in root.iter("g")}
    for x in REGISTRY:
        assert all(height[used] < height[x.label] for used in x.uses)


def test_one_statement_alone_is_no_graph_and_labels_are_escaped() -> None:
    assert drawing([lemma("X")]) == ""
    assert "<b>" not in drawing([lemma("X"), lemma("<b>", "X")])
    assert set(GRADES) > {"holds", "refuted", "waits", "not run"}
