"""Every public function, class and method says what it takes, in which shapes and units, what it refuses and whence
its formula is.

Where a docstring has a section of parameters it is that of the signature, name by name and in order; where it has none,
as for a function of one line, its words name every parameter. A number of another unit than 1 has an entry of its own.
"""

import inspect
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from docs import build
from mimtheory.lemmas import REGISTRY
from tests.meta import docstrings as ds

Floats = NDArray[np.float64]

OBJECTS = dict(ds.public_objects())
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
FUNCTIONS = {name: value for name, value in OBJECTS.items() if not inspect.isclass(value)}

# What evaluates a formula of the theory without calling itself a bound.
EVALUATES = (
    *("activations.Activation.kappa", "hessian.expected_hessian", "hessian_results.ExpectedHessian.T2_z4"),
    *("link_exponents.exponents", "links.Link.hermite_coefficients", "links.Link.hermite_tensor"),
    *("links.Link.mean", "links.Link.second_moment", "links.Link.mean_hessian", "links.Link.information_exponent"),
    *("population.Population.S_norm", "population.Population.V", "population.Population.gap", "rounding.gamma"),
    *("advisor.required_n", "training.train", "operators.EmpiricalHessian", "operators.extreme_eigenvalues"),
    *("operators.perp_restriction", "certificate.checking.check_certificate", "centring.population_centre"),
)
# Calls what refuses bad input, with values that were checked when the object was made or that it makes itself.
CHECKED_BEFORE = {
    "losses.Loss.odd": "the formula was read when the loss was made",
    "links.Link.canonical": "the links of the zoo are read, which are our own",
    "estimator.MultiIndexRegressor.predict": "the activation was read by fit",
    "frontier.measure": "it searches claims of level D only",
}
_BOUND = re.compile(r"\b(?:bound|deviation|quantile)s?\b", re.IGNORECASE)


# Units: one symbol or a product of powers of them, or those of a parameter or attribute of the same docstring

_FACTOR = r"(?:1|[yTwla]|C|S)(?:\^\d)?"
_UNITS = re.compile(
    rf"\b[Dd]imensionless\b|\bseconds\b|\bany units\b|\bunits of ({_FACTOR}(?:[*/]{_FACTOR})*|`\w+`)(?![\w*/^])"
)


def glossary() -> dict[str, str]:
    """Symbol -> unit, from the table of the concepts."""
    text = (build.HERE / "concepts.md").read_text(encoding="utf-8").partition("## Symbols, shapes and units")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"][2:]
    return {name: unit for symbols, _, _, unit in rows for name in re.findall(r"`([^`]+)`", symbols)}


GLOSSARY = glossary()


def unit_of(words: str, known: set[str]) -> str | None:
    """The unit that these words state; a name in backticks is one of the `known` names."""
    found = _UNITS.search(words)
    if found is None or ((named := re.fullmatch(r"`(\w+)`", found[1] or "")) and named[1] not in known):
        return None
    return found[1] or found[0].lower()


def unit_is_clear(name: str, words: str, known: set[str]) -> bool:
    """Whether an entry states its unit, the usual one where the symbol has one; pure numbers and times need not."""
    stated, usual = unit_of(words, known), GLOSSARY.get(name)
    if stated == "any units":
        return True
    if usual in ("dimensionless", "seconds"):
        return stated in (None, usual)
    return stated is not None and usual in (None, stated)


def known_names(value: Any) -> set[str]:
    owner = value if inspect.isclass(value) else ds.owner_of(value)
    return {*ds.parameters(value), *(ds.parameters(owner) if owner else ()), *(vars(owner) if owner else ())}


@pytest.mark.parametrize("name", OBJECTS)
def test_parameters_are_documented_as_in_the_signature(name: str) -> None:
    doc = inspect.getdoc(OBJECTS[name]) or ""
    assert doc.strip()
    asked, listed = list(ds.parameters(OBJECTS[name])), list(ds.entries(doc, "Parameters"))
    if listed:
        assert listed == asked
    else:
        assert [x for x in asked if not re.search(rf"(?<!\w){re.escape(x)}(?!\w)", doc)] == []


def undocumented_arguments(value: Any) -> list[str]:
    """Arrays without a shape, and numbers without a unit, among the arguments of a function."""
    doc = inspect.getdoc(value) or ""
    told = ds.entries(doc, "Parameters")
    bad = []
    for name, parameter in ds.parameters(value).items():
        kind = str(parameter.annotation)
        words = told.get(name, "")
        if ds.is_array(kind) and not (ds.SHAPE.search(words) or ds.ANY_SHAPE.search(words)):
            bad.append(f"{name}: shape")
        if ds.is_number(kind) and not unit_is_clear(name, words, known_names(value)):
            bad.append(f"{name}: unit")
    return bad


def undocumented_result(value: Any) -> list[str]:
    """The same of what it returns: said in the section of that name, or where there is none in the first paragraph."""
    doc = inspect.getdoc(value) or ""
    kind, words = ds.annotation(value), ds.section(doc, "Returns") or doc.partition("\n\n")[0]
    bad = []
    if ds.is_array(kind) and not (ds.SHAPE.search(words) or ds.ANY_SHAPE.search(words)):
        bad.append("result: shape")
    if ds.is_result(kind) and not unit_is_clear(value.__name__, words, known_names(value)):
        bad.append("result: unit")
    return bad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arrays_have_shapes_and_numbers_have_units(name: str) -> None:
    assert undocumented_arguments(FUNCTIONS[name]) + undocumented_result(FUNCTIONS[name]) == []


@pytest.mark.parametrize("name", CLASSES)
def test_attributes_have_shapes_and_units(name: str) -> None:
    value = CLASSES[name]
    docs = [inspect.getdoc(kind) or "" for kind in value.__mro__[::-1] if kind.__module__.startswith("mimtheory")]
    told = {
        name: words
        for doc in docs
        for title in ("Parameters", "Attributes")
        for name, words in ds.entries(doc, title).items()
    }
    asked = ds.attributes(value) | {name: str(p.annotation) for name, p in ds.parameters(value).items()}
    bad = []
    for attribute, kind in asked.items():
        words = told.get(attribute)
        if words is None:
            bad.append(f"{attribute}: no entry")
        elif ds.is_array(kind) and not (ds.SHAPE.search(words) or ds.ANY_SHAPE.search(words)):
            bad.append(f"{attribute}: shape")
        elif ds.is_number(kind) and not unit_is_clear(attribute, words, known_names(value)):
            bad.append(f"{attribute}: unit")
    assert bad == []


@pytest.mark.parametrize("name", OBJECTS)
def test_what_refuses_has_a_section_that_says_so(name: str) -> None:
    told = ds.entries(inspect.getdoc(OBJECTS[name]) or "", "Raises")
    if ds.refuses(OBJECTS[name]) and name.removeprefix("mimtheory.") not in CHECKED_BEFORE:
        assert len(told.get("ValueError", "")) > 10


def test_no_exception_of_this_test_is_stale() -> None:
    for name in CHECKED_BEFORE:
        assert ds.refuses(OBJECTS[f"mimtheory.{name}"])
    assert {f"mimtheory.{name}" for name in EVALUATES} <= set(OBJECTS)


def calls_itself_a_bound(value: Any) -> bool:
    summary = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return not inspect.isclass(value) and ds.is_number(ds.annotation(value)) and bool(_BOUND.search(summary))


@pytest.mark.parametrize("name", OBJECTS)
def test_a_formula_has_a_source_that_exists(name: str) -> None:
    value = OBJECTS[name]
    named = ds.sources(inspect.getdoc(value) or "")
    formula = ".concentration." in name or name.removeprefix("mimtheory.") in EVALUATES or calls_itself_a_bound(value)
    assert named or not formula
    assert [source for source in named if not resolves(source)] == []


def resolves(source: str) -> bool:
    """A statement (`A.2`, `A.2/perp_edge`), a heading of a proof page, or an entry of the list of references."""
    labels = {lemma.label for lemma in REGISTRY} | {c.label for lemma in REGISTRY for c in lemma.claims.values()}
    if source in labels:
        return True
    if page := re.fullmatch(r"docs/(theory/\w+)\.md, (.+)", source):
        path = build.HERE / f"{page[1]}.md"
        return path.is_file() and page[2] in headings(path.read_text(encoding="utf-8"))
    work = re.fullmatch(r"([A-Z][\w, -]+? \(\d{4}\))(?:, (?:Lemma|Theorem|section|chapter) [\d.]+)?", source)
    listed = (build.HERE / "references.md").read_text(encoding="utf-8")
    return work is not None and f"- **{work[1]}**" in listed


def headings(text: str) -> set[str]:
    """Each heading of a page as it stands, its part before a colon, and the names in backticks within it."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    names = {name for heading in found for name in re.findall(r"`(\w+)`", heading)}
    return {heading.replace("`", "") for heading in found} | {h.partition(":")[0] for h in found} | names


def test_every_module_that_the_guides_import_is_documented() -> None:
    pages = [(build.HERE / f"{path}.md").read_text(encoding="utf-8") for path in build.GUIDES]
    pages += [(build.HERE / f"{path}.ipynb").read_text(encoding="utf-8") for path in build.NOTEBOOKS]
    pages.append((ds.ROOT / "README.md").read_text(encoding="utf-8"))
    named = {module for page in pages for module in re.findall(r"(?:from|import) (mimtheory(?:\.\w+)*)", page)}
    assert named - set(ds.DOCUMENTED) == set()


# The test itself: what it must not let pass


def _bad(X: Floats, scale: float) -> Floats:
    """A bound on something (see A.2, the units of measure, shape and all).

    Parameters
    ----------
    X : array
        Of some shape (z_i, T_i).
    scale : float
        Units of `nothing`.
    """
    if scale < 0:
        raise ValueError("scale")
    return X


def _good(X: Floats, scale: float) -> Floats:
    """A bound on something.

    Parameters
    ----------
    X : (n, d)
    scale : float
        In units of T/y.

    Returns
    -------
    (n,) array
        In units of `scale`.
    """
    return _checked(X, scale)


def _checked(X: Any, scale: float) -> Any:
    try:
        return loss_of(X)
    except ValueError:
        return X * scale


def loss_of(X: Any) -> Any:
    raise ValueError(X)


def test_what_is_missing_is_seen() -> None:
    assert undocumented_arguments(_bad) == ["X: shape", "scale: unit"]
    assert undocumented_result(_bad) == ["result: shape", "result: unit"]
    assert ds.refuses(_bad)
    assert calls_itself_a_bound(_bad)
    assert undocumented_arguments(_good) + undocumented_result(_good) == []
    assert not ds.refuses(_good)
    doc = "One.\n\nParameters\n----------\nX : (n, d); y : (n,)\nd, n : int\n    Two.\n\nSource: A.2; A.3."
    assert ds.entries(doc, "Parameters") == {"X": "(n, d)", "y": "(n,)", "d": "int Two.", "n": "int Two."}
    assert ds.sources(doc) == ["A.2", "A.3"]


def test_only_sources_that_exist_resolve() -> None:
    good = ("A.2", "A.2/perp_edge", "docs/theory/concentration.md, chevet_excess", "Higham (2002), section 3.1")
    bad = ("A.9", "A.2/none", "docs/theory/concentration.md, chevet", "docs/theory/none.md, A.1", "Nobody (2000)")
    assert [resolves(source) for source in (*good, *bad)] == [True] * len(good) + [False] * len(bad)


def test_units_are_products_of_known_ones_or_those_of_an_argument() -> None:
    assert unit_of("in units of T*y/w^2, at most", set()) == "T*y/w^2"
    assert unit_of("in units of `mean`.", {"mean"}) == "`mean`"
    assert [unit_of(words, set()) for words in ("units of `mean`", "units of measure", "units of Ty", "unit T")] == [
        None
    ] * 4
    assert unit_is_clear("delta", "Failure probability.", set())
    assert not unit_is_clear("delta", "In units of T.", set())
    assert not unit_is_clear("T", "In units of y.", set())
