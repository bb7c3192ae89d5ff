"""Every public function, class and method says what it takes and what it refuses.

Where a docstring has a section of parameters it is that of the signature, name by name and in order; where it has none,
as for a function of one line, its words name every parameter. Arrays come with their shapes.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

import pytest

# the package, and the modules that the guides name
DOCUMENTED = (
    *("mimtheory", "mimtheory.strategies", "mimtheory.testing", "mimtheory.concentration", "mimtheory.lemmas"),
    *("mimtheory.relations", "mimtheory.operators", "mimtheory.frontier"),
)


def public_objects() -> Iterator[tuple[str, Any]]:
    """(name, function or class) once for each public name, methods after their class."""
    seen = set()
    for module in map(import_module, DOCUMENTED):
        for name in module.__all__:
            value = getattr(module, name)
            if not callable(value) or not value.__module__.startswith("mimtheory") or id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{value.__module__}.{name}", value
            if inspect.isclass(value):
                yield from members(f"{value.__module__}.{name}", value)


def members(label: str, owner: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(owner).items():
        if name.startswith("_") or name in getattr(owner, "__dataclass_fields__", {}):
            continue
        if isinstance(value, (classmethod, staticmethod)):
            yield f"{label}.{name}", value.__func__
        elif inspect.isfunction(value):
            yield f"{label}.{name}", value
        elif isinstance(value, (property, cached_property)):
            # a symbol of the theory may be explained once, where its class lists its attributes
            source = value.fget if isinstance(value, property) else value.func
            listed = re.search(rf"\b{name}\b", inspect.getdoc(owner) or "")
            yield f"{label}.{name}", owner if listed and not inspect.getdoc(source) else source


OBJECTS = dict(public_objects())


def section(doc: str, title: str) -> str | None:
    found = re.search(rf"^{title}\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    return found[1] if found else None


def documented(doc: str) -> list[str] | None:
    """Names in the section of parameters; one line may hold several."""
    text = section(doc, "Parameters")
    if text is None:
        return None
    heads = [line for line in text.splitlines() if line and not line.startswith(" ")]
    parts = [part for head in heads for part in head.split("; ")]
    return [name.strip(" *") for part in parts for name in re.split(r" ?: ", part)[0].split(",")]


def parameters(value: Any) -> dict[str, inspect.Parameter]:
    """Those that a caller gives; a field of a dataclass that is filled in by itself is none."""
    found = inspect.signature(value).parameters
    filled = {name for name, p in found.items() if repr(p.default) == "<factory>"}
    return {
        name: p for name, p in found.items() if name not in ("self", "cls") and name[0] != "_" and name not in filled
    }


@pytest.mark.parametrize("name", OBJECTS)
def test_parameters_are_documented_as_in_the_signature(name: str) -> None:
    doc = inspect.getdoc(OBJECTS[name]) or ""
    assert doc.strip()
    asked, listed = list(parameters(OBJECTS[name])), documented(doc)
    if listed is not None:
        assert listed == asked
    else:
        assert [x for x in asked if not re.search(rf"(?<!\w){re.escape(x)}(?!\w)", doc)] == []


@pytest.mark.parametrize("name", OBJECTS)
def test_arrays_have_their_shapes(name: str) -> None:
    value = OBJECTS[name]
    if inspect.isclass(value):
        return
    doc = inspect.getdoc(value) or ""
    for parameter in parameters(value).values():
        kind = str(parameter.annotation)
        if re.search(r"Floats|NDArray|ArrayLike", kind) and "Callable" not in kind:
            assert re.search(r"\(\w+,|\(\w+, \w+\)|broadcast|any shape|elementwise", doc), parameter.name


@pytest.mark.parametrize("name", OBJECTS)
def test_what_raises_says_so(name: str) -> None:
    value = OBJECTS[name]
    # a strategy made by a decorator of Hypothesis has no source, and its draws are refused elsewhere
    if (
        inspect.isfunction(value)
        and name != "mimtheory.strategies.links"
        and "raise ValueError" in inspect.getsource(value)
    ):
        assert "ValueError" in (inspect.getdoc(value) or "")


@pytest.mark.parametrize("name", [name for name in OBJECTS if ".concentration." in name])
def test_a_concentration_bound_names_its_source(name: str) -> None:
    assert re.search(
        r"Source|by |cap|docs/theory|Chevet|Chebyshev|Hoeffding|Bernstein|Chernoff|exact|Exact|Gordon",
        inspect.getdoc(OBJECTS[name]) or "",
    )


def test_the_test_sees_what_is_missing() -> None:
    def bad(X: "NDArray", other: int) -> None:  # type: ignore[name-defined] # noqa: F821
        """Do something.

        Parameters
        ----------
        X : array
        """

    assert documented(inspect.getdoc(bad) or "") == ["X"] != list(parameters(bad))
    assert documented("One.\n\nParameters\n----------\nX : (n, d); y : (n,)\nd, n : int\n    Two.\n") == [
        "X",
        "y",
        "d",
        "n",
    ]
