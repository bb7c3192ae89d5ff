"""Builds the site: `python -m docs.build FOLDER`. Markdown pages, one page a lemma, the commands, the public names.

Nothing is loaded from elsewhere when the pages are read. Numbers are live: they come from the package's registry and
its stored frontier, so that a page cannot say otherwise than the code.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

import mimtheory
from docs import measured, reference
from mimtheory.frontier import Tightest, known
from mimtheory.lemmas import REGISTRY
from mimtheory.registry import LEVELS, Claim, Lemma
from mimtheory.reporting.mathml import formula, number
from mimtheory.reporting.prose import mathematics, paragraphs, typeset
from mimtheory.verdicts import PROVENANCE

_PHONE = 34  # characters of LaTeX beyond which a formula may be wider than a phone
_SHORT = 24  # characters of a cell that stay on one line
HERE = Path(__file__).parent
STYLE = HERE.parent / "mimtheory" / "reporting" / "page.css"

# in the order in which a newcomer reads
GUIDES = (
    *("index", "installation", "quickstart", "concepts"),
    *("howto/own_problem", "howto/own_lemma", "howto/test_suite", "howto/reading_a_report", "howto/own_data"),
    *("figures", "comparison", "limits", "references"),
)
NOTEBOOKS = tuple(f"notebooks/{path.stem}" for path in sorted((HERE / "notebooks").glob("*.ipynb")))
MEASURED = ("benchmarks", "certified_accuracy")
PROOFS = tuple(f"theory/{path.stem}" for path in sorted((HERE / "theory").glob("*.md")))


@dataclass(frozen=True)
class Page:
    """A page of the site: its path without suffix, title in plain text and body in HTML."""

    path: str
    title: str
    body: str

    @property
    def heading(self) -> Markup:
        """The title as the page prints it, with its mathematics."""
        found = re.search(r"<h1>(.*?)</h1>", self.body, re.DOTALL)
        assert found, self.path
        return Markup(found[1])


def pages() -> list[Page]:
    """Every page of the site, in the order of the navigation."""
    written = [_written(path) for path in (*GUIDES, *PROOFS, *MEASURED)]
    written += [_notebook(path) for path in NOTEBOOKS]
    made = [
        Page("commands", "Commands", reference.commands()),
        Page("names", "Public names", reference.names()),
        _changelog(),
    ]
    return [*written, *(_lemma_page(lemma) for lemma in REGISTRY), *made]


def build(folder: Path) -> None:
    """Write the site into `folder`, which is made if it is missing."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((HERE / "page.html.j2").read_text(encoding="utf-8"))
    site = pages()
    sections = {
        "Guides": [page for page in site if page.path in GUIDES],
        "Notebooks": [page for page in site if page.path in NOTEBOOKS],
        "Statements": [page for page in site if page.path.startswith("lemmas/")],
        "Proofs": [page for page in site if page.path in PROOFS],
        "Speed and accuracy": [page for page in site if page.path in MEASURED],
        "Reference": [page for page in site if page.path in ("commands", "names", "changelog")],
    }
    for page in site:
        target = folder / f"{page.path}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        root = "../" * page.path.count("/")
        words = {"page": page, "body": Markup(page.body), "sections": sections, "root": root}
        target.write_text(template.render(version=mimtheory.__version__, **words), encoding="utf-8")
    (folder / "style.css").write_text(STYLE.read_text(encoding="utf-8"), encoding="utf-8")
    shutil.copytree(HERE / "images", folder / "images", dirs_exist_ok=True)
    for path in NOTEBOOKS:
        shutil.copy(HERE / f"{path}.ipynb", folder / f"{path}.ipynb")


# Pages written by hand


def _written(path: str) -> Page:
    file = HERE / f"{path}.md"
    # a reader of the site sees no files: a link that shows the name of one shows its title there
    named = re.compile(r"\[([\w/]+\.md)\]\(\1\)")
    text = named.sub(lambda found: f"[{_title(file.parent / found[1])}]({found[1]})", file.read_text(encoding="utf-8"))
    return Page(path, _title(file), _html(text))


def _changelog() -> Page:
    """The changelog of the repository, whose links start one folder above those of the site."""
    text = (HERE.parent / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    return Page("changelog", "Changelog", _html(text))


def _title(file: Path) -> str:
    """The heading of a page up to its mathematics."""
    return file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(" $")[0]


def _notebook(path: str) -> Page:
    """The cells of a notebook as a page, with the notebook itself to be loaded."""
    cells = json.loads((HERE / f"{path}.ipynb").read_text(encoding="utf-8"))["cells"]
    title = "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")
    name = path.partition("/")[2]
    load = (
        f'<p class="note"><a href="{name}.ipynb">The notebook itself</a>; a test runs it and compares the answers.</p>'
    )
    return Page(path, title, "".join(map(_notebook_cell, cells)).replace("</h1>", f"</h1>{load}", 1))


def _notebook_cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return _html(text)
    return _html(f"```python\n{text}\n```") + "".join(map(_output, cell["outputs"]))


def _output(output: dict[str, Any]) -> str:
    """What a cell answered: HTML as it is, else LaTeX, else text."""
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="scroll output" tabindex="0">{"".join(data["text/html"])}</div>'
    if "text/latex" in data:
        latex = "".join(data["text/latex"]).strip("$").removeprefix(r"\displaystyle ")
        return f'<div class="formula output" tabindex="0">{formula(latex)}</div>'
    text = "".join(data.get("text/plain") or output["text"])
    return f'<pre class="output" tabindex="0">{escape(text)}</pre>'


def _html(text: str) -> str:
    """Markdown with $formulas$ as MathML; code keeps its dollars, and links to .md lead to the page made of it."""
    formulas: list[str] = []
    wide: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if found["code"]:
            return found["code"]
        latex = found["block"] or found["inline"]
        drawn = formula(latex)
        if len(latex) > _PHONE:
            wide.append(f"FORMULA{len(formulas)}X")
        formulas.append(drawn if found["block"] else drawn.replace('display="block"', 'display="inline"'))
        return f"FORMULA{len(formulas) - 1}X"

    pattern = r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$"
    marked = re.sub(pattern, keep, text, flags=re.DOTALL)
    html: str = _MARKDOWN.render(marked)
    html = re.sub(r'href="(?!https?:)([^"#]*)\.md(#[^"]*)?"', r'href="\1.html\2"', html)
    html = re.sub(r'href="(?!https?:)([^"#]*)\.ipynb"', r'href="\1.html"', html)
    html = re.sub(r"<h([23])>(.*?)</h\1>", _heading, html)
    html = re.sub(
        r"<table>.*?</table>", lambda t: f'<div class="scroll" tabindex="0">{t[0]}</div>', html, flags=re.DOTALL
    )
    html = html.replace("<th>", '<th scope="col">').replace("<pre>", '<pre tabindex="0">')
    html = re.sub(r"<p>(<img [^>]*>)</p>", r'<figure class="overview">\1</figure>', html)
    html = re.sub(r"<p>(FORMULA\d+X)</p>", r'<div class="formula" tabindex="0">\1</div>', html)
    html = re.sub(r"<(p|li|td)>((?:(?!</?(?:p|li|td)>).)*)", lambda found: _scrolling(found, wide), html, flags=re.S)
    html = re.sub(r"<td>(.*?)</td>", _cell, html)
    return re.sub(r"FORMULA(\d+)X", lambda found: formulas[int(found[1])], html)


def _text(self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
    return mathematics(tokens[i].content)


_MARKDOWN = MarkdownIt("commonmark").enable("table")
_MARKDOWN.add_render_rule("text", _text)


def _scrolling(found: re.Match[str], wide: list[str]) -> str:
    """A paragraph that holds a formula wider than a phone, as a part that scrolls by itself."""
    held = any(mark in found[2] for mark in wide)
    return f'<{found[1]} class="formula" tabindex="0">{found[2]}' if held else found[0]


def _cell(found: re.Match[str]) -> str:
    """A cell of a table; words run over lines, so that no column is out of sight, sizes and times do not."""
    text = re.sub(r"<[^>]+>", "", found[1])
    words = len(text) > _SHORT and re.search(r"[a-z]{4}", text)
    return f'<td class="sentence">{found[1]}</td>' if words else found[0]


def _heading(found: re.Match[str]) -> str:
    words = re.sub(r"<[^>]+>", "", found[2])
    anchor = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return f'<h{found[1]} id="{anchor}">{found[2]}</h{found[1]}>'


# Pages made from the code


def _lemma_page(lemma: Lemma) -> Page:
    words = re.sub(r"docs/(theory/\w+)\.md", _proof, str(paragraphs(lemma.doc)))
    uses = ", ".join(f'<a href="{label}.html">{label}</a>' for label in lemma.uses) or "nothing else"
    provenance = f"{lemma.label} is {PROVENANCE[lemma.provenance]}."
    head = (
        f"<h1>{escape(lemma.label)} {typeset(lemma.title)}</h1>"
        f'<p class="note">{escape(provenance)} It rests on {uses}.</p>{words}'
    )
    claims = "".join(_claim(claim) for claim in lemma.claims.values())
    command = f'<h2 id="check">Check it</h2><pre tabindex="0">mimtheory verify {escape(lemma.label)}</pre>'
    return Page(f"lemmas/{lemma.label}", f"{lemma.label} {lemma.title}", head + _tightness(lemma) + claims + command)


def _proof(found: re.Match[str]) -> str:
    return f'<a href="../{found[1]}.html">{typeset(_title(HERE / f"{found[1]}.md"))}</a>'


def _tightness(lemma: Lemma) -> str:
    """A picture of the stored frontier: one bar a bound, full where the bound is reached."""
    entries = [known()[claim.label] for claim in lemma.claims.values() if claim.label in known()]
    if not entries:
        return ""
    height = 34 * len(entries) + 8
    words = "; ".join(f"{entry.claim} {number(entry.ratio)}" for entry in entries)
    bars = "".join(_bar(entry, 34 * i + 4) for i, entry in enumerate(entries))
    searched = "At level D the largest measured/bound that a search has found. "
    drawn = (
        "At levels G and P the 1 − δ quantile of measured/bound over draws, at the tightest of some fixed designs: "
        "single draws, and other designs, can lie above it. "
    )
    levels = {entry.level for entry in entries}
    caption = searched * ("D" in levels) + drawn * bool(levels & {"G", "P"})
    return (
        f'<figure><svg class="figure" role="img" viewBox="0 0 340 {height}" '
        f'aria-label="Measured over bound: {escape(words)}">{bars}</svg>'
        f"<figcaption>{caption}A full bar: the bound is "
        "reached. The factors in the text above are the other way round, bound/measured, and of the median cell."
        "</figcaption></figure>"
    )


def _bar(entry: Tightest, y: float) -> str:
    full, name = 280, escape(entry.claim.partition("/")[2])
    return (
        f'<text x="0" y="{y + 11}" font-size="11.5" fill="var(--ink)">{name}</text>'
        f'<rect x="0" y="{y + 16}" width="{full}" height="9" fill="var(--grid)"/>'
        f'<rect x="0" y="{y + 16}" width="{full * min(1.0, entry.ratio):.1f}" height="9" fill="var(--series0)"/>'
        f'<text x="{full + 6}" y="{y + 25}" font-size="11.5" fill="var(--ink)">{number(entry.ratio)}</text>'
    )


def _claim(claim: Claim) -> str:
    controls = "".join(f"<li>{typeset(control.why)}</li>" for control in claim.controls)
    return (
        f'<h2 id="{escape(claim.name)}">{escape(claim.label)}</h2><p class="summary">{typeset(claim.summary)}</p>'
        f'<div class="statement" tabindex="0">{formula(claim.statement)}</div>'
        f"<p><strong>Level {claim.level}.</strong> {escape(LEVELS[claim.level])}</p>{_known(claim)}"
        f"{measured.figure(claim.label, claim.kind == 'equals')}"
        f"<p>Made false on purpose, and to be refuted:</p><ul>{controls}</ul>"
    )


def _known(claim: Claim) -> str:
    if claim.label not in known():
        return "<p>An identity: both sides are compared up to derived rounding.</p>"
    entry = known()[claim.label]
    where = "<code>{link}</code>, <code>{loss}</code>, d = {d}, n = {n}".format(**entry.setting)
    ratio = f"<strong>{number(entry.ratio)}</strong>"
    if entry.level == "D":
        return f"<p>Tightest known: {ratio} of the bound, by search, at {where}.</p>"
    return (
        f"<p>The {1 - entry.delta:.0%} quantile of measured/bound over {entry.trials} draws at {where}, the tightest "
        f"of the designs that are fixed for this: {ratio}. Single draws, and other designs, can lie above it.</p>"
    )


def code_blocks(path: str) -> Iterator[tuple[str, str]]:
    """(language, text) of every fenced block of a written page."""
    yield from re.findall(r"```(\w+)\n(.*?)```", (HERE / f"{path}.md").read_text(encoding="utf-8"), re.DOTALL)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
