"""The report and the site as a reader meets them in Chromium: on a phone, on a desk in the dark, and on paper."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from docs import build
from mimtheory.lemmas import REGISTRY
from mimtheory.reporting import write_page
from mimtheory.verdicts import LemmaVerdict, Report
from tests.browser.chromium import measured, printed
from tests.unit.test_reporting import cell, claim, every_status

SHEET = (688, 1001)  # CSS pixels of A4 within the margins of the page's style, 14 and 16 mm
VIEWS = [
    {"width": 360, "scheme": "light", "media": "screen"},
    {"width": 1280, "scheme": "dark", "media": "screen"},
    {"width": SHEET[0], "scheme": "light", "media": "print"},
]
Row = dict[str, Any]


def long_report() -> Report:
    """Three lemmas of the registry with their own formulas and words; and each status once."""
    cells = tuple(cell(i, "holds", ratio=0.2 + 0.1 * i, d=50 * (i + 1)) for i in range(5))
    lemmas = [
        LemmaVerdict(
            label=lemma.label,
            title=lemma.title,
            provenance=lemma.provenance,
            doc=lemma.doc,
            uses=lemma.uses,
            claims=tuple(
                replace(
                    claim(c.name, "holds", c.level, *cells), label=c.label, statement=c.statement, summary=c.summary
                )
                for c in lemma.claims.values()
            ),
        )
        for lemma in REGISTRY[2:5]
    ]
    other = every_status()
    return replace(other, lemmas=(*lemmas, *(replace(lemma, label="X.1") for lemma in other.lemmas)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pages")
    build.build(home)
    write_page(long_report(), home)
    return home


@pytest.fixture(scope="module")
def rows(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    pages = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))
    found = measured(folder, pages, VIEWS, tmp_path_factory.mktemp("browser"))
    assert len(found) == len(pages) * len(VIEWS)
    return found


def amiss(rows: list[Row], what: Callable[[Row], Any]) -> list[Any]:
    return [(row["page"], row["width"], what(row)) for row in rows if what(row)]


def test_every_page_is_drawn_without_script_and_network(rows: list[Row]) -> None:
    assert all(row["words"] > 200 for row in rows)
    assert amiss(rows, lambda row: row["dark"] != (row["scheme"] == "dark")) == []
    for name in ("empty_pictures", "broken_images", "dead_anchors"):
        assert amiss(rows, itemgetter(name)) == []


def test_every_formula_is_visible(rows: list[Row]) -> None:
    assert amiss(rows, lambda row: row["flat_formulas"]) == []
    for row in rows:
        for lemma in REGISTRY:
            if row["page"] == f"lemmas/{lemma.label}.html":
                assert row["formulas"] >= len(lemma.claims)
        if row["page"] == "report.html":
            assert row["formulas"] == len(long_report().claims)


def test_nothing_is_wider_than_the_page_and_what_scrolls_is_reached_by_keyboard(rows: list[Row]) -> None:
    assert amiss(rows, lambda row: max(row["overflow"], 0)) == []
    assert amiss(rows, lambda row: row["sticking_out"]) == []
    assert amiss(rows, lambda row: row["cut_off"]) == []


def test_the_table_of_all_claims_fits_a_desk(rows: list[Row]) -> None:
    wide = [row for row in rows if (row["page"], row["media"]) == ("report.html", "screen") and row["width"] == 1280]
    assert wide
    assert amiss(wide, lambda row: "All claims" in row["cut_tables"]) == []


def test_the_tables_of_the_guides_fit_a_desk_and_those_of_sentences_a_phone(rows: list[Row]) -> None:
    guides = [row for row in rows if row["page"].removesuffix(".html") in build.GUIDES and row["media"] == "screen"]
    desk = [row for row in guides if row["width"] == 1280]
    phone = [row for row in guides if row["page"] == "comparison.html"]
    assert len(desk) == len(build.GUIDES)
    assert len(phone) == 2
    assert amiss([*desk, *phone], itemgetter("cut_tables")) == []


def test_text_contrasts_with_its_ground_and_is_not_too_small(rows: list[Row]) -> None:
    assert amiss(rows, lambda row: row["faint"]) == []
    assert amiss(rows, lambda row: row["small_text"]) == []


def test_no_part_that_must_not_break_is_taller_than_a_sheet(rows: list[Row]) -> None:
    assert amiss([row for row in rows if row["media"] == "print"], lambda row: row["tall"][0] > SHEET[1]) == []


def test_the_report_prints_on_a_plausible_number_of_sheets(
    folder: Path, rows: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pdf = printed(folder / "report.html", tmp_path_factory.mktemp("printer"))
    sheets = len(re.findall(rb"/Type\s*/Page\b", pdf))
    (height,) = [row["height"] for row in rows if (row["page"], row["media"]) == ("report.html", "print")]
    # a sheet ends early before what must not break, so some more than the height alone
    assert height / SHEET[1] - 1 <= sheets <= 2 * math.ceil(height / SHEET[1])


def test_the_measure_sees_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<!DOCTYPE html><body style='margin: 0; background: #fff'><p style='color: #999'>faint</p>"
        "<div style='width: 2000px'>wide</div><a href='#nowhere'>dead</a><math><mi></mi></math><img src='none.png'>"
        "<p style='font-size: 7px'>small</p><p style='overflow: hidden; width: 9px'><b>" + "cut" * 9 + "</b></p>"
    )
    home = tmp_path / "browser"
    home.mkdir()
    with pytest.raises(AssertionError):  # the picture is asked for and is not there
        measured(tmp_path, ["bad.html"], VIEWS[:1], home)
    (tmp_path / "none.png").write_text("not a picture")
    (row,) = measured(tmp_path, ["bad.html"], VIEWS[:1], home)
    for name in ("sticking_out", "cut_off", "flat_formulas", "broken_images", "dead_anchors", "small_text", "faint"):
        assert row[name], name
    assert row["overflow"] > 1000
