"""What the tests read of the public functions: their docstrings by entry, their signatures, and what they refuse."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

ROOT = Path(__file__).parents[2]

# the package, and the modules that the guides name
DOCUMENTED = (
    *("mimtheory", "mimtheory.strategies", "mimtheory.testing", "mimtheory.concentration", "mimtheory.lemmas"),
    *("mimtheory.relations", "mimtheory.operators", "mimtheory.frontier", "mimtheory.centring"),
    "mimtheory.hessian",
)

_ARRAY = re.compile(r"Floats|Bools|NDArray|ndarray|ArrayLike|_array_like|Matrix\b|NDimArray")
_NUMBER = re.compile(rf"{_ARRAY.pattern}|\bfloat\b|Rounded|arb\b|arb_mat")
_EXACT = re.compile(r"\bExpr\b|Matrix\b|NDimArray")
_SIZE = r"(?:[drnmpks]|\d|\d [dk]|T1\+1|r\+1|n_components|n_features|at most n_features)"
SHAPE = re.compile(rf"\((?:{_SIZE},|(?:\*s, )?{_SIZE}(?:, {_SIZE})+)\)|\({_SIZE},\)\*k|\br x r\b|shape \(r,\)\*k")
ANY_SHAPE = re.compile(r"\b(?:any|same|common) shape\b|\bshape of `\w+`")


# Objects


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
                yield from _members(f"{value.__module__}.{name}", value)


def _members(label: str, owner: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties; a property without words of its own is an entry of its class (`attributes`)."""
    for name, value in vars(owner).items():
        if name.startswith("_") or name in getattr(owner, "__dataclass_fields__", {}):
            continue
        if isinstance(value, (classmethod, staticmethod)):
            yield f"{label}.{name}", value.__func__
        elif inspect.isfunction(value):
            yield f"{label}.{name}", value
        elif isinstance(value, (property, cached_property)) and (source := _getter(value)).__doc__:
            yield f"{label}.{name}", source


def _getter(value: "property | cached_property[Any]") -> Any:
    return value.fget if isinstance(value, property) else value.func


def owner_of(value: Any) -> "type | None":
    """The class of a method."""
    parts = value.__qualname__.split(".")
    return getattr(sys.modules[value.__module__], parts[0], None) if len(parts) > 1 else None


# Signatures


def parameters(value: Any) -> dict[str, inspect.Parameter]:
    """Those that a caller gives; a field of a dataclass that is filled in by itself is none."""
    found = inspect.signature(value).parameters
    filled = {name for name, p in found.items() if repr(p.default) == "<factory>"}
    return {
        name: p for name, p in found.items() if name not in ("self", "cls") and name[0] != "_" and name not in filled
    }


def attributes(owner: type) -> dict[str, str]:
    """Annotations of the public fields and of the properties that have no docstring of their own."""
    found = {name: str(kind) for name, kind in vars(owner).get("__annotations__", {}).items()}
    for name, value in vars(owner).items():
        if isinstance(value, (property, cached_property)) and not _getter(value).__doc__:
            found[name] = str(_getter(value).__annotations__.get("return", ""))
    return {name: kind for name, kind in found.items() if not name.startswith("_")}


def annotation(value: Any, name: str = "return") -> str:
    return str(value.__annotations__.get(name, ""))


def is_array(kind: str) -> bool:
    return bool(_ARRAY.search(kind)) and "Callable" not in kind


def is_number(kind: str) -> bool:
    """A number that could have units, or an array of such; counts and seeds have none."""
    return bool(_NUMBER.search(kind)) and not re.search(r"Callable|Bools|bool\b|dict", kind)


def is_result(kind: str) -> bool:
    """The same of what is returned, where an expression is a number."""
    return is_number(kind) or (bool(_EXACT.search(kind)) and "Callable" not in kind)


# Docstrings


def section(doc: str, title: str) -> str | None:
    found = re.search(rf"^{title}\n-+\n(.*?)(?=\n\n\w+\n-+\n|\n\nSource: |\Z)", doc, re.DOTALL | re.MULTILINE)
    return found[1] if found else None


def entries(doc: str, title: str) -> dict[str, str]:
    """Name -> its own words: its type and the lines indented below. One line may hold several names."""
    found: dict[str, str] = {}
    last: list[str] = []
    for line in (section(doc, title) or "").splitlines():
        if line.startswith(" "):
            for name in last:
                found[name] += " " + line.strip()
            continue
        last = []
        for part in filter(None, re.split(r"; +", line)):
            names, _, words = part.partition(" : ")
            for name in names.split(","):
                found[name.strip(" *")] = words
                last.append(name.strip(" *"))
    return found


def sources(doc: str) -> list[str]:
    """What a docstring names as the source of its formula, `Source: one; another.` at the start of a line."""
    found = re.search(r"^Source: (.*?)\.$(?=\n\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    return re.split(r"; ", " ".join(found[1].split())) if found else []


# What is refused


def refuses(value: Any) -> bool:
    """Whether a function, or the making of a class, raises ValueError by itself or by what it calls directly.

    A private function is followed as if its text stood in the place of the call; a call within a `try` that
    catches ValueError is not counted.
    """
    return any(_raises(function, {function}, public=True) for function in _functions(value))


def _functions(value: Any) -> list[Any]:
    """Those with a source: what a decorator or a dataclass wrote at run time has none."""
    made = [vars(value).get(name) for name in ("__init__", "__post_init__")] if inspect.isclass(value) else [value]
    made = [inspect.unwrap(f) for f in made if callable(f)]
    return [f for f in made if isinstance(f, FunctionType) and Path(f.__code__.co_filename).exists()]


def _raises(function: Any, seen: set[Any], public: bool) -> bool:
    """Calls of public functions are followed once, those of private ones always."""
    nodes = list(_reached(ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]))
    if any(isinstance(node, ast.Raise) and node.exc and _names(node.exc, "ValueError") for node in nodes):
        return True
    scope = {**function.__globals__, **_imported(nodes)}
    for node in nodes:
        callee = _callee(node.func, scope, owner_of(function)) if isinstance(node, ast.Call) else None
        if not str(getattr(callee, "__module__", "")).startswith("mimtheory"):
            continue
        callee = getattr(callee, "__func__", callee)
        private = callee.__name__.startswith("_")  # type: ignore[union-attr]  # a class or a function by now
        for follows in _functions(callee) if private or public else []:
            if follows not in seen and _raises(follows, seen | {follows}, public=public and private):
                return True
    return False


def _reached(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Try) and any(_catches(handler) for handler in child.handlers):
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield part
                yield from _reached(part)
        elif not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield child
            yield from _reached(child)


def _catches(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(_names(handler.type, name) for name in ("ValueError", "Exception"))


def _names(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))


def _imported(nodes: list[ast.AST]) -> dict[str, Any]:
    """Names that a function imports when it is called."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mimtheory"):
            module = import_module(node.module or "")
            found.update({alias.asname or alias.name: getattr(module, alias.name) for alias in node.names})
    return found


def _callee(func: ast.expr, scope: dict[str, Any], owner: "type | None") -> Any:
    if isinstance(func, ast.Name):
        return scope.get(func.id)
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        home = owner if func.value.id in ("self", "cls") else scope.get(func.value.id)
        return getattr(home, func.attr, None)
    return None
