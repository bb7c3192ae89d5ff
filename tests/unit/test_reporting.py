"""The report: one self-contained page that says what was found, in words, whatever was found."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from mimtheory.portrait import portrait
from mimtheory.registry import Level
from mimtheory.relations import Relation, at_most
from mimtheory.reporting import drawing, mathml, plots, render, run_plots, write_page
from mimtheory.reporting import page as page_module
from mimtheory.reporting.mathml import formula, number
from mimtheory.reporting.prose import typeset
from mimtheory.setting import Setting
from mimtheory.verdicts import (
    ADVICE,
    PROVENANCE,
    CellVerdict,
    ClaimVerdict,
    ControlVerdict,
    LemmaVerdict,
    Report,
    Status,
)

NASTY_LINK = "h4(z1) + <script>alert('&')</script>"
STATEMENT = r"\|\hat S - S\| \le \sqrt{\frac{d}{n}}"


def setting(**changes: Any) -> dict[str, Any]:
    plain = {"link": "h4(z1) + h4(z2)", "loss": "huber(1)", "d": 100, "n": 4000, "centre": 0.0, "label_noise": 0.0}
    return plain | {"eta1": None, "beta1": None, "a_scale": 1.0} | changes


def cell(
    row: int, status: Status, *, ratio: float, expected: Status = "holds", trials: int = 24, **changes: Any
) -> CellVerdict:
    """A cell whose trials scatter around `ratio` (none if it is nan); ratios are made by the division of Relation."""
    draws = np.random.default_rng(row).lognormal(0.0, 0.15, (2, trials))
    relations: list[Relation] = []
    if not math.isnan(ratio):
        bounds = 0.1 * (row + 1) * draws[0]
        relations = [
            at_most(ratio * bound * draw if math.isfinite(ratio) else draw, bound if math.isfinite(ratio) else 0.0)
            for bound, draw in zip(bounds, draws[1], strict=True)
        ]
    ratios = tuple(relation.ratio for relation in relations)
    values = setting(**changes)
    return CellVerdict(
        row=row,
        setting=values,
        delta=0.01,
        trials=trials,
        planned=24,
        failures=sum(relation.outcome == "violated" for relation in relations),
        status=status,
        expected=expected,
        ratios=ratios,
        measured=tuple(float(relation.measured[0]) for relation in relations),
        stated=tuple(float(relation.stated[0]) for relation in relations),
        worst_trial=int(np.argmax(ratios)) if ratios else None,
        command=f"mimtheory verify A.2 --link '{values['link']}' --d {values['d']} --trials {row + 1} --rng 0",
    )


def control(refuted: bool = True) -> ControlVerdict:
    return ControlVerdict(
        name="without_dimension" if refuted else "halved_and_survived",
        why="the dimension term sqrt(K p/n) dropped" if refuted else "K halved where K < 1 & n > d",
        design=(setting(d=50), setting(d=200, label_noise=0.5)),
        delta=0.01,
        trials=24,
        failures=24 if refuted else 1,
        refuted=refuted,
        p_value=1e-48 if refuted else 0.21,
        ratio_worst=2.7 if refuted else 1.02,
        ratio_median=1.9 if refuted else 0.8,
    )


def claim(name: str, status: Status, level: Level, *cells: CellVerdict, **changes: Any) -> ClaimVerdict:
    ratios = [ratio for c in cells for ratio in c.ratios]
    verdict = ClaimVerdict(
        label=f"A.2/{name}",
        level=level,
        kind="equals" if level == "I" else "at_most",
        statement=STATEMENT,
        summary=f"The norm of S_hat - S, case {name}: it is < 1 & stays there.",
        status=status,
        advice=ADVICE[status],
        delta=0.01 if level in ("G", "P") else None,
        trials=len(ratios),
        failures=sum(c.failures for c in cells),
        p_value=1.0 if level in ("G", "P") else None,
        detectable_rate=0.0995 if level in ("G", "P") else None,
        ratio_worst=max(ratios, default=math.nan),
        ratio_median=float(np.median(ratios)) if ratios else math.nan,
        searched=0 if level in ("G", "P") else 60,
        counterexample=None,
        cells=cells,
        controls=(control(),),
    )
    return replace(verdict, **changes)


def report(*claims: ClaimVerdict, not_run: tuple[str, ...] = ()) -> Report:
    doc = "Lemma A.2: H_j = gamma I - eta a_j S_hat,\nwith x_i^T above.\n\nProofs: docs/theory/a2.md & 1 < 2."
    lemma = LemmaVerdict("A.2", "Operator Norm Bound for H_l", "title", doc, ("A.1",), claims)
    return Report(
        command="mimtheory verify --profile quick",
        profile="quick",
        rng=0,
        started="2026-01-02T03:04:05+00:00",
        seconds=61.25,
        rows_computed=400,
        rows_reused=60,
        lemmas=(lemma,),
        not_run=not_run,
        environment={"python": "3.11.2", "platform": "Linux <x86>", "numpy": "2.2.0"},
        version="0.1.0",
        code="abc123",
    )


def every_status() -> Report:
    """A run in which each status occurs, as do infinite ratios, a counterexample, a control that survived, HTML."""
    wide = [
        cell(i, "holds", ratio=0.3 + 0.06 * i, d=50 * (i + 1), link=NASTY_LINK if i == 1 else "h2") for i in range(9)
    ]
    sides = {"measured": (1.0, 2.0, 3.0), "stated": (1.0, 2.0, 3.0)}
    identity = replace(cell(0, "holds", ratio=math.nan), ratios=(0.0, 3e-6, 2e-2), **sides)
    return report(
        claim("identity", "holds", "I", identity),
        claim("perp", "holds", "G", *wide),
        claim(
            "broken",
            "refuted",
            "D",
            *(cell(0, "refuted", ratio=1.4), cell(1, "holds", ratio=0.5)),
            counterexample={"d": 3, "link": NASTY_LINK},
        ),
        claim("infinite", "refuted", "D", cell(0, "refuted", ratio=math.inf)),
        claim("prior", "vacuous", "P", cell(0, "vacuous", ratio=math.nan, expected="vacuous", loss="squared")),
        claim(
            "weak",
            "undecided",
            "P",
            *(cell(0, "holds", ratio=0.2), cell(1, "undecided", ratio=math.nan, centre="population")),
            controls=(control(), control(refuted=False)),
        ),
        claim("nothing", "skipped", "G", cell(0, "skipped", ratio=math.nan, expected="skipped", d=2), controls=()),
        claim("broke_down", "error", "D", cell(0, "error", ratio=math.nan, trials=20)),
        not_run=("A.2 trial: h2, huber(1), d=2000, n=<many>: 4 rows",),
    )


class Page(HTMLParser):
    """Tags with their attributes, the nesting of a page, and its words."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is given twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return render(every_status())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_loads_nothing_and_runs_nothing(page: Page, text: str) -> None:
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "image"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert name not in ("src", "srcset")
            assert not name.startswith("on")
            if name in ("href", "xlink:href"):
                assert (value or "").startswith("#"), value
    assert "@import" not in text
    assert all(target.startswith("#") for target in text.split("url(")[1:])


def test_every_internal_link_has_one_target(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("href", "xlink:href"):
            if name in attributes:
                assert (attributes[name] or "")[1:] in ids


def test_every_statement_is_mathml_with_its_latex_as_alternative(page: Page) -> None:
    formulas = page.all("math")
    assert len(formulas) == len(every_status().claims)
    assert {attributes["alttext"] for attributes in formulas} == {STATEMENT}


def test_every_status_is_a_word_beside_its_symbol(page: Page) -> None:
    words = " ".join(page.words.split())
    for status in get_args(Status):
        assert f"{plots.SYMBOLS[status]} {status}" in words


def test_every_claim_has_its_status_and_advice_in_its_section(text: str) -> None:
    for verdict in every_status().claims:
        name = verdict.label.replace("/", "-")
        section = text.split(f'<article id="{name}"')[1].split("</article>")[0]
        words = " ".join(Page(f"<article{section}</article>").words.split())
        assert f"{plots.SYMBOLS[verdict.status]} {verdict.status}" in words
        assert verdict.advice in unescape(section)


def test_the_headline_counts_what_was_found(page: Page) -> None:
    words = " ".join(page.words.split())
    assert "2 of 8 claims hold, 2 refuted, 1 vacuous, 1 undecided, 1 skipped, 1 error" in words
    assert "7 of 8 controls, false on purpose, were refuted" in words
    assert "the run is incomplete" in words


def test_a_run_without_fault_says_so() -> None:
    words = Page(render(report(claim("perp", "holds", "G", cell(0, "holds", ratio=0.5))))).words
    assert "1 of 1 claim holds, none refuted; 1 of 1 controls, false on purpose, were refuted; " in words
    assert "everything that was planned was run." in words
    assert "Nothing was left out" in words


def test_text_from_the_run_is_escaped(page: Page, text: str) -> None:
    assert "<script" not in text
    assert NASTY_LINK in page.words
    assert "Linux <x86>" in page.words
    assert "it is < 1 & stays there" in page.words
    assert "K halved where K < 1 & n > d" in page.words


def test_what_was_not_run_is_listed(page: Page) -> None:
    assert every_status().not_run[0] in page.words


def test_provenance_commands_environment_and_counterexample_are_printed(page: Page) -> None:
    run = every_status()
    words = page.words
    assert PROVENANCE["title"] in words
    assert "The wording of every statement here is this project's." in words
    assert run.command in words
    assert all(name in words and value in words for name, value in run.environment.items())
    assert '"d": 3' in words
    assert "mimtheory verify A.2 --link 'h4(z1) + h4(z2)' --d 100 --trials 1 --rng 0" in words


def test_all_numbers_of_an_axis_are_written_in_the_same_way() -> None:
    def ticks(low: float, high: float) -> list[str]:
        ax = Figure().subplots()
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        drawing.log_ticks(ax, "y")
        return [ax.yaxis.get_major_formatter()(x) for x in ax.get_yticks() if low <= x <= high]

    assert ticks(1e-5, 1e-1)[-2:] == ["10⁻²", "10⁻¹"]
    assert "1" in ticks(1e-5, 10.0)
    assert ticks(1e-2, 10.0)[0] == "0.01"


def test_the_triangles_of_a_spectrum_leave_the_numbers_below_free(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def keep(figure: Figure, *_: str) -> str:
        drawn.append(figure)
        return ""

    monkeypatch.setattr(run_plots, "svg", keep)
    run_plots._spectrum(portrait(Setting(link="h4+h4", loss="huber(1)", d=20, n=400), 0))
    figure = drawn[0]
    figure.draw_without_rendering()
    (ax,) = figure.axes
    (line,) = (line for line in ax.lines if line.get_marker() == "^")
    heights = line.get_transform().transform(line.get_xydata())[:, 1]
    assert (heights - line.get_markersize() / 2 * figure.dpi / 72 >= ax.bbox.y0).all()
    assert ax.get_ylabel() == "number of eigenvalues"


def test_where_a_proof_is_and_what_bound_over_measured_means_is_said(page: Page) -> None:
    words = " ".join(page.words.split())
    assert "docs/theory/a2.md in the repository & 1 < 2." in words
    assert "“Bound over measured” in the words about a lemma is the other way round" in words


def test_a_control_that_survived_is_shown_as_such(page: Page) -> None:
    assert "✗ no" in " ".join(page.words.split())
    assert "1 of 2" in page.words


def test_a_cell_that_differs_from_the_plan_is_named(text: str) -> None:
    assert "≠ undecided" in text
    assert "20 of 24" in text
    assert "centre = population" in text


def test_numbers_that_are_not_finite_have_signs_a_reader_knows(page: Page) -> None:
    assert "∞" in page.words
    assert not {"nan", "inf", "None"} & set(page.words.split())


def test_tables_have_headers_with_a_scope_and_figures_a_text(page: Page) -> None:
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    figures = [a for a in page.all("svg") if "figure" in (a.get("class") or "").split()]
    assert all(a.get("role") == "img" and a.get("aria-label") for a in figures)
    # both panels of the overview, the graph, and the claims with trials to draw: identity, perp, broken, weak
    assert len(figures) == 7
    assert all(a.get("aria-hidden") == "true" for a in page.all("svg") if a.get("class") == "marker")


def test_equal_reports_give_equal_bytes(tmp_path: Path, text: str) -> None:
    path = write_page(every_status(), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "report.html"
    assert path.read_bytes() == text.encode("utf-8")


def test_drawing_leaves_the_settings_of_matplotlib_alone(text: str) -> None:
    import matplotlib

    assert text
    assert matplotlib.rcParams["svg.fonttype"] == matplotlib.rcParamsDefault["svg.fonttype"]
    assert "matplotlib.pyplot" not in subprocess.run(
        [sys.executable, "-c", "import mimtheory.reporting, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_the_figure_keeps_its_text_and_takes_its_colours_from_the_page() -> None:
    svg = plots.comparison(every_status().claims[1])
    ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))
    for word in ("failure", "bound (stated)", "measured"):
        assert f">{word}</text>" in svg
    assert ">refutes</text>" in plots.comparison(every_status().claims[2])
    assert "#0000" not in svg
    assert "var(--series6)" in svg


def test_every_positive_trial_is_one_marker() -> None:
    verdict = every_status().claims[1]
    svg = plots.comparison(verdict)
    assert svg.count("fill: var(--series") >= verdict.trials
    assert f"{verdict.trials} trials in 9 cells" in svg


def test_trials_that_a_log_scale_cannot_show_are_counted() -> None:
    mixed = replace(
        cell(0, "holds", ratio=math.nan), measured=(0.5, -0.5, 0.0), stated=(1.0, 1.0, 1.0), ratios=(0.5, -0.5, 0.0)
    )
    verdict = claim("mixed", "holds", "D", mixed)
    assert plots.not_drawn(verdict) == 2
    assert "Not drawn: 2 trials" in Page(render(report(verdict))).words
    infinite = every_status().claims[3]
    assert plots.not_drawn(infinite) == infinite.trials
    assert plots.comparison(infinite) == ""


def test_the_overview_places_infinite_and_missing_ratios() -> None:
    svg = "".join(plots.overview(every_status().claims))
    assert "nothing could be compared" in svg
    assert "✗ refuted: A.2/infinite" in svg
    assert "infinite refuted, median ∞, worst ∞" in svg


def test_the_overview_has_panels_of_a_dozen_on_one_scale() -> None:
    verdicts = [claim(f"claim{k}", "holds", "D", cell(0, "holds", ratio=10.0**-k)) for k in range(5)] * 5
    panels = plots.overview(verdicts)
    assert [panel.count("✓ holds: ") for panel in panels] == [8, 8, 9]
    ticks = [re.findall(r">([\d.·⁻⁰-⁹]+)</text>", panel) for panel in panels]
    assert ticks[0] == ticks[1] == ticks[2]


def test_many_cells_are_folded_and_one_that_differs_stands_open() -> None:
    cells = [cell(k, "holds", ratio=0.5) for k in range(30)] + [cell(30, "undecided", ratio=0.5)]
    few, many = (render(report(claim("perp", "holds", "G", *some))) for some in (cells[:16], cells))
    assert "<details>" not in few
    assert "30 cells, as expected: 30 holds" in many
    opened = many[: many.index("<details>")]
    assert opened.count("≠ undecided") == 1
    assert many.count('class="setting"') == 31


def test_a_parameter_at_its_default_is_not_printed() -> None:
    for name, shown in (("1-cos", False), ("sqrt", True)):
        own = cell(0, "holds", ratio=0.5, activation=name)
        assert (f"activation = {name}" in render(report(claim("perp", "holds", "G", own)))) == shown


def test_the_tightest_known_ratio_stands_beside_what_was_found() -> None:
    from mimtheory.frontier import known

    drawn = render(report(claim("cross_block", "holds", "G", cell(0, "holds", ratio=0.5))))
    assert f"<dt>tightest quantile</dt><dd>{number(known()['A.2/cross_block'].ratio)}</dd>" in drawn


def test_a_report_without_claims_is_still_a_page() -> None:
    assert "0 of 0 claims hold" in Page(render(report())).words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.09951, "0.0995"),
        (-1.5, "−1.5"),
        (1234.0, "1234"),
        (3.12e-6, "3.12·10⁻⁶"),
        (1e-300, "10⁻³⁰⁰"),
        (-2.5e10, "−2.5·10¹⁰"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_numbers_are_short_and_signed_as_in_print(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("latex", [r"\left( x", "", r"a \le \begin{pmatrix}"])
def test_a_formula_that_cannot_be_converted_is_shown_as_latex(latex: str) -> None:
    assert mathml.formula(latex) == f'<code class="latex">{latex}</code>'


def test_every_statement_of_the_registry_becomes_mathml() -> None:
    from mimtheory.lemmas import REGISTRY

    for lemma in REGISTRY:
        for registered in lemma.claims.values():
            root = ElementTree.fromstring(formula(registered.statement))
            assert root.tag == "math"
            # a command that the converter does not know stays in the text with its backslash
            assert "\\" not in "".join(root.itertext())


@pytest.mark.parametrize("library", ["jinja2", "matplotlib", "latex2mathml"])
def test_a_missing_library_is_one_line_that_names_the_extra(library: str) -> None:
    script = f"import sys; sys.modules[{library!r}] = None\nfrom mimtheory.reporting import write_page"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last == "ImportError: the report needs the extra [report]: pip install '.[report]' in a checkout"


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb as WCAG 2 defines it."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_contrast_with_their_ground_in_both_schemes(text: str, scheme: int) -> None:
    colours = dict(re.findall(r"--(\w+): (#\w{6});", text.split(":root {")[1 + scheme].split("}")[0]))
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= set(colours)
    decoration = {"paper", "card", "band", "grid", "rule"}
    for name, colour in colours.items():
        if name in decoration:
            continue
        # WCAG AA: 4.5 for text, 3 for graphical objects
        needed = 3.0 if name.startswith("series") else 4.5
        for ground in ("paper", "card", "band"):
            low, high = sorted((luminance(colour), luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= needed, (name, ground)


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("S_hat", "S\u0302"),
        ("w_j^(t+1)", "w<sub>j</sub><sup>(t+1)</sup>"),
        ("rho_1/rho_r a step", "ρ<sub>1</sub>/ρ<sub>r</sub> a step"),
        ("|H^T w|^2/eps0^2", "|H<sup>T</sup> w|<sup>2</sup>/ε<sub>0</sub><sup>2</sup>"),
        ("H^{2T} <= |X|_{2->4}^4", "H<sup>2T</sup> ≤ |X|<sub>2→4</sub><sup>4</sup>"),
        ("beta1, eta_last and T1 of A.2", "β<sub>1</sub>, η<sub>last</sub> and T<sub>1</sub> of A.2"),
        ("|Tbar - c0| and lmax", "|T\u0304 - c<sub>0</sub>| and λ<sub>max</sub>"),
        ("(1/n) sum_i T_i x_i x_i^T", "(1/n) ∑<sub>i</sub> T<sub>i</sub> x<sub>i</sub> x<sub>i</sub><sup>T</sup>"),
        ("sum |a_j| |P_perp w_j|", "∑ |a<sub>j</sub>| |P<sub>⊥</sub> w<sub>j</sub>|"),
        ("a <= b, c and d >= 4, s < t, u > 1", "a ≤ b, c and d ≥ 4, s &lt; t, u &gt; 1"),
        ("<x_i, w>^2 where s < t", "⟨x<sub>i</sub>, w⟩<sup>2</sup> where s &lt; t"),
        (
            "|X|_op^2/n, (|f|_4 + |g|_4)^4",
            "|X|<sub>op</sub><sup>2</sup>/n, (|f|<sub>4</sub> + |g|<sub>4</sub>)<sup>4</sup>",
        ),
        ("h^T eps0 and e^theta", "h<sup>T</sup> ε<sub>0</sub> and e<sup>θ</sup>"),
        ("sin 2Theta, an r x m block, a 2 x 2 matrix", "sin 2Θ, an r × m block, a 2 × 2 matrix"),
        ("1/sqrt(delta) and O~(d^2)", "1/√(δ) and Õ(d<sup>2</sup>)"),
        ("`python -m x_i` of my_lemmas and a_scale", "<code>python -m x_i</code> of my_lemmas and a_scale"),
        ("docs/theory/a2_operator_norm.md, A.2/perp_edge", "docs/theory/a2_operator_norm.md, A.2/perp_edge"),
        ("<script>a_1</script>", "&lt;script&gt;a<sub>1</sub>&lt;/script&gt;"),
    ],
)
def test_plain_text_is_printed_as_mathematics(plain: str, printed: str) -> None:
    assert str(typeset(plain)) == printed


def test_options_of_a_command_are_not_broken_after_their_hyphens() -> None:
    words = page_module._options("mimtheory verify A.2 --eta-last '<2>' -m 4")
    assert words.count('<span class="option">--eta-last</span>') == words.count('<span class="option">-m</span>') == 1
    assert "&lt;2&gt;" in words


def test_a_cell_says_which_constants_were_searched_for_and_not_proved() -> None:
    plain = cell(0, "holds", ratio=0.5)
    for constants, said in (
        ({"loss": "exact", "activation": "certified"}, ""),
        ({"loss": "exact", "activation": "numerical"}, "constants of the activation searched for, not proved"),
        ({"loss": "numerical", "activation": "numerical"}, "constants of the loss and of the activation searched for"),
    ):
        shown = render(report(claim("perp", "holds", "G", replace(plain, constants=constants))))
        assert ("searched for, not proved" in shown) == bool(said)
        assert said in shown
