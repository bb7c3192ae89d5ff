"""The site builds, every link of it leads somewhere, it loads nothing, and every block of code prints what it says."""

import contextlib
import io
import shlex
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

import mimtheory
from docs import build, measured
from mimtheory.lemmas import REGISTRY

EXECUTED = [path for path in build.GUIDES if path != "howto/own_lemma"]  # which has a test of its own


class Links(HTMLParser):
    """Targets and anchors of a page, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors += [values["id"] or ""] if "id" in values else []
        self.targets += [values["href"] or ""] if tag == "a" else []
        self.loaded += [values[name] or "" for name in ("src", "href") if name in values and tag != "a"]
        assert tag != "script"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build.build(folder)
    return folder


def test_every_page_is_linked_and_no_link_is_dead(site: Path) -> None:
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    reached = {site / "index.html"}
    for path, links in pages.items():
        assert len(links.anchors) == len(set(links.anchors)), path
        for target in links.targets:
            if target.startswith("https://"):
                continue
            file, _, anchor = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            if there.suffix == ".ipynb":
                assert there.is_file()
                continue
            assert there in pages, f"{path.name} links to {target}"
            assert not anchor or anchor in pages[there].anchors, f"{path.name} links to {target}"
            reached.add(there)
    assert reached == set(pages)


def test_pages_load_nothing_but_the_style_of_the_site(site: Path) -> None:
    for path in site.rglob("*.html"):
        for loaded in Links(path.read_text(encoding="utf-8")).loaded:
            assert (path.parent / loaded).is_file(), f"{path.name} loads {loaded}"
    assert "url(" not in (site / "style.css").read_text()


def test_every_statement_has_a_page_with_its_claims_and_their_tightness(site: Path) -> None:
    for lemma in REGISTRY:
        page = (site / "lemmas" / f"{lemma.label}.html").read_text(encoding="utf-8")
        for claim in lemma.claims.values():
            assert f'id="{claim.name}"' in page
            assert escape(claim.controls[0].why) in page
        bounds = sum(claim.kind != "equals" for claim in lemma.claims.values())
        assert page.count("Tightest known: ") == bounds


def test_every_claim_has_a_picture_of_what_the_quick_run_measured(site: Path) -> None:
    for lemma in REGISTRY:
        path = site / "lemmas" / f"{lemma.label}.html"
        assert path.stat().st_size < 150_000
        for claim in lemma.claims.values():
            assert f'aria-label="{claim.label}: ' in path.read_text(encoding="utf-8")
    assert measured._cell({"setting": {"d": 3, "n": 9}, "ratios": [0.5, None, 1.0, 0.25]}) == [3, 9, 0.5, 1.0]
    assert measured._cell({"setting": {"d": 3, "n": 9}, "ratios": [None]}) is None
    # the worst stands above the median, and the line at 1 above a ratio below it
    cells = [[10, 100, 0.01, 0.1], [100, 100, 0.2, 0.5]]
    assert measured._place(cells, 1, 0.1)[1] < measured._place(cells, 1, 0.01)[1]
    assert measured._place(cells, 1, 1.0)[1] < measured._place(cells, 1, 0.5)[1]
    assert measured._place(cells, 1, 0.1)[0] < measured._place(cells, 2, 0.1)[0]


def test_every_public_name_is_documented(site: Path) -> None:
    page = (site / "names.html").read_text(encoding="utf-8")
    for name in mimtheory.__all__:
        if name != "__version__":
            assert f'<h2 id="{name}">' in page
            assert (getattr(mimtheory, name).__doc__ or "").strip(), name


def test_formulas_become_mathml_and_code_keeps_its_dollars() -> None:
    html = build._html("# x\n\nA $\\hat S$ and `$HOME`.\n\n$$a \\le b$$\n")
    assert html.count("<math") == 2
    assert 'display="inline"' in html
    assert "$HOME" in html
    assert "FORMULA" not in html


@pytest.mark.parametrize("path", EXECUTED)
def test_python_blocks_print_the_text_after_them(path: str) -> None:
    blocks = list(build.code_blocks(path))
    assert {language for language, _ in blocks} <= {"python", "text", "sh"}
    for i, (language, code) in enumerate(blocks):
        if language != "python":
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, f"{path}, block {i}", "exec"), {"__name__": "page"})
        follows = blocks[i + 1] if i + 1 < len(blocks) else ("", "")
        if output.getvalue():
            assert follows == ("text", output.getvalue())


@pytest.mark.parametrize("path", EXECUTED)
def test_commands_succeed(path: str, tmp_path: Path) -> None:
    for language, block in build.code_blocks(path):
        for line in block.strip().splitlines() if language == "sh" else []:
            words = shlex.split(line)
            assert words[0] == "mimtheory"
            run = subprocess.run(
                [sys.executable, "-m", "mimtheory", *words[1:]], cwd=tmp_path, capture_output=True, text=True
            )
            assert run.returncode == 0, (line, run.stdout, run.stderr)
