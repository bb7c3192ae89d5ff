"""The site builds, every link of it leads somewhere, it loads nothing, and every block of code prints what it says."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from markdown_it import MarkdownIt

import mimtheory
from docs import build, measured
from mimtheory.cli import app
from mimtheory.lemmas import REGISTRY
from mimtheory.registry import Lemma
from mimtheory.reporting.prose import typeset

ROOT = Path(__file__).parents[2]
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


def test_no_link_shows_the_name_of_a_file(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert re.findall(r">[^<>]*\.md</a>", path.read_text(encoding="utf-8")) == [], path.name
    assert (
        "Stage one: proofs of" in re.findall(r'stage_one.html">([^<]*)', (site / "lemmas" / "A.1.html").read_text())[0]
    )


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
            assert typeset(claim.controls[0].why) in page
        levels = [claim.level for claim in lemma.claims.values() if claim.kind != "equals"]
        # a quantile over draws is no largest value: single draws may lie above it
        assert page.count("Tightest known: ") == levels.count("D")
        assert page.count(" quantile of measured/bound over 40 draws at ") == levels.count("G") + levels.count("P")
        for level, words in (("D", "a search has found"), ("GP", "1 − δ quantile")):
            assert (words in page) == any(own in level for own in levels), lemma.label


def test_no_page_prints_mathematics_as_it_is_typed(site: Path) -> None:
    # a caption within a notebook is what the package itself prints
    names = r"<(svg|math|code|pre|title|caption)\b.*?</\1>|<h2 id[^>]*>[AB]\.\d/\w+</h2>|<[^>]+>|https?:\S+"
    # names of code have more than one letter before a stroke
    raw = r"\S*(?:(?<![A-Za-z]{2})[^\W_]'*_\w|\b(?:sum|prod|max|min)_|[\^$]|sqrt[ (]|\beps0|\bTbar|\b[cT]\d\b)\S*"
    for path in site.rglob("*.html"):
        if path.name == "names.html":
            continue  # docstrings, as they stand in the code
        words = re.sub(names, " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(raw, words) == [], path.name


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


def test_every_command_has_its_help_its_options_and_their_defaults(site: Path) -> None:
    page = (site / "commands.html").read_text(encoding="utf-8")
    group: Any = typer.main.get_command(app)
    commands = {name: command for name, command in group.commands.items() if name != "report"}
    commands["report diff"] = group.commands["report"].commands["diff"]
    for name, command in commands.items():
        part = page.partition(f'<h2 id="mimtheory-{name.replace(" ", "-")}">')[2].partition("<h2")[0]
        assert f"mimtheory {name}" in part
        assert ("Exit code 0: " in part) == ("Exit code 0: " in command.help)
        for parameter in command.params:
            assert f"<code>{parameter.opts[0]}" in part, (name, parameter.opts)
    assert "[default: mimtheory-out]" in page
    assert '<h2 id="python--m-verification">' in page


def test_public_methods_are_documented_and_nothing_private_is(site: Path) -> None:
    page = (site / "names.html").read_text(encoding="utf-8")
    for signature in (
        "from_sympy(expression: Expr | str) -&gt; Activation",
        "certificate(time_limit",
        "rotate(Q: ",
        "fit(X",
        "predict(X",
        "second_moment",
    ):
        assert f"<dt><code>{signature}" in page, signature
    signatures = re.findall(r"<dt><code>(.*?)</code>|<pre[^>]*>(\w+\(.*)", page)
    assert len(signatures) > 100
    for words in map("".join, signatures):
        assert not re.search(r"[(, ]_\w+:|self|ndarray|Floats|numpy|mimtheory\.|0x|&lt;", words), words


def test_the_page_of_installation_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    page = (build.HERE / "installation.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|(?:[^|]*\|)(.*)\|$", page, re.MULTILINE)
    assert {name for name, _ in named} == set(extras)
    for name, added in named:
        # an extra that holds another one says so
        held = {part for wanted in extras[name] for part in re.findall(r"mimtheory\[(.*)\]", wanted)}
        assert set(re.findall(r"`(\w+)`", added)) == {part for parts in held for part in parts.split(",")}, name


def test_the_page_of_figures_says_what_the_accepted_runs_found() -> None:
    page = (build.HERE / "figures.md").read_text(encoding="utf-8")
    found: dict[str, float] = {}
    for study in ("fig1", "fig2"):
        verdict = json.loads((ROOT / "verification" / "expected" / study / "verdict.json").read_text(encoding="utf-8"))
        assert verdict["command"] in page
        found |= {criterion["name"]: criterion["value"] for criterion in verdict["criteria"]}
    words = " ".join(page.split())
    assert f"at most {found['collapse']:.2f} times the smallest" in words
    assert f"up to {round(found['per_cent'], -1):,.0f} samples" in words
    assert f"{1 / found['bias'] - 1:.0%}".replace("%", " per cent larger") in words
    assert f"at least {found['robust_at_40']:.2f} at n/d = 40 and {found['robust_at_100']:.2f} at" in words
    assert f"at most {found['squared']:.2f} at every n/d" in words
    assert f"Measured is {found['first_order']:.1f} to " in words


def test_formulas_become_mathml_and_code_keeps_its_dollars() -> None:
    html = build._html("# x\n\nA $\\hat S$ and `$HOME`.\n\n$$a \\le b$$\n")
    assert html.count("<math") == 2
    assert 'display="inline"' in html
    assert "$HOME" in html
    assert "FORMULA" not in html


@pytest.mark.parametrize("path", EXECUTED)
def test_python_blocks_print_the_text_after_them(path: str) -> None:
    blocks = list(build.code_blocks(path))
    for i, (language, code) in enumerate(blocks):
        if language != "python":
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, f"{path}, block {i}", "exec"), {"__name__": "page"})
        language, follows = blocks[i + 1] if i + 1 < len(blocks) else ("", "")
        assert output.getvalue() == (follows if language == "text" else "")


@pytest.mark.parametrize("path", EXECUTED)
def test_commands_succeed(path: str, tmp_path: Path) -> None:
    """Line by line in one folder; what is for pytest finds the first block of Python in the file that it names."""
    blocks = list(build.code_blocks(path))
    for language, block in blocks:
        for line in block.strip().splitlines() if language == "sh" else []:
            tool, *words = shlex.split(line)
            if tool == "make":  # what it makes takes minutes, and other tests run it
                assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
                continue
            assert tool in ("mimtheory", "pytest")
            if tool == "pytest":
                (tmp_path / words[0]).write_text(next(code for name, code in blocks if name == "python"))
            run = subprocess.run([sys.executable, "-m", tool, *words], cwd=tmp_path, capture_output=True, text=True)
            assert run.returncode == 0, (line, run.stdout, run.stderr)


def written_pages() -> list[Path]:
    return sorted(path for pattern in ("*.md", "docs/**/*.md", "tests/**/*.md") for path in ROOT.glob(pattern))


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_code_is_one_that_a_test_runs(page: Path) -> None:
    """Of every page of the repository: Python and commands in pages whose blocks are run, and text as their output."""
    tokens = [token for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")) if token.content]
    assert not any(token.type == "code_block" for token in tokens)
    languages = [token.info for token in tokens if token.type == "fence"]
    run = {ROOT / "README.md", *(build.HERE / f"{path}.md" for path in build.GUIDES)}
    assert not languages or page in run
    own_lemma = page == build.HERE / "howto" / "own_lemma.md"  # its declaration of a package is installed
    assert set(languages) <= {"python", "sh", "text"} | ({"toml"} if own_lemma else set())
    assert all(before in ("python", "sh") for before, language in pairwise(["", *languages]) if language == "text")


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_within_sentences_exist(page: Path) -> None:
    """`make target`, `mimtheory command`, `python -m module`, each with the options that it names."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    group: Any = typer.main.get_command(app)
    commands = group.commands
    found = re.findall(r"`((?:make|mimtheory|python -m|pytest) [^`]+)`", page.read_text(encoding="utf-8"))
    for line in found:
        tool, *words = shlex.split(line)
        if tool == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), line
        elif tool == "python":
            assert find_spec(words[1]) is not None, line
            assert all((ROOT / word).exists() for word in words[2:] if "/" in word), line
        elif tool == "mimtheory":
            assert words[0] in ("--version", "--help") or words[0] in commands, line
            known = {option for p in getattr(commands.get(words[0]), "params", ()) for option in p.opts} | {"--help"}
            assert words[0].startswith("--") or {word for word in words[1:] if word.startswith("--")} <= known, line


@pytest.mark.parametrize("lemma", REGISTRY, ids=lambda lemma: lemma.label)
def test_a_lemma_says_of_its_bounds_what_the_quick_run_measured(lemma: Lemma) -> None:
    paragraph = " ".join(lemma.doc.partition("Tightness: ")[2].partition("\n\n")[0].split())
    said = paragraph.partition("at the median cell of the quick run: ")[2].rstrip(".").replace("`", "")
    stored = json.loads(measured.STORED.read_text(encoding="utf-8"))["claims"]
    found = {}
    for claim in lemma.claims.values():
        cells = [cell[2] for cell in stored.get(claim.label, [])]
        if claim.level != "I" and cells:
            found[claim.name] = f"{float(f'{1 / np.median(cells):.2g}'):g}"
    assert dict(words.split() for words in said.split(", ")) == found
