"""Lemmas from outside this package: a module of the user's, or an installed package with an entry point.

A module brings every `Lemma` that it defines at its top level. Rows of such a lemma are keyed by the source of its
module as well, so that a changed statement is never judged by rows of its former self.
"""

import ast
import hashlib
import importlib
import sys
import traceback
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from mimtheory.registry import Lemma

__all__ = ["ENTRY_POINTS", "Home", "fault", "home_of", "installed_modules", "load", "loaded"]

ENTRY_POINTS = "mimtheory.lemmas"
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Home:
    """Where a lemma comes from.

    Attributes
    ----------
    module : str
        Name under which it is imported.
    code : str
        Hash of the source of that module, or of its whole package, and of what these import from beside them.
    """

    module: str
    code: str


_HOMES: dict[Lemma, Home] = {}


def loaded() -> tuple[Lemma, ...]:
    """The lemmas from outside, in the order in which they were loaded."""
    return tuple(_HOMES)


def home_of(lemma: Lemma) -> Home | None:
    """Where a lemma from outside comes from; None for this package's own."""
    return _HOMES.get(lemma)


def installed_modules() -> tuple[str, ...]:
    """Modules that installed packages name in the entry point group `mimtheory.lemmas`."""
    return tuple(sorted({entry.value.partition(":")[0] for entry in entry_points(group=ENTRY_POINTS)}))


def load(module: str, taken: tuple[Lemma, ...]) -> tuple[Lemma, ...]:
    """Import a module and register the lemmas it defines; loading it again changes nothing.

    Parameters
    ----------
    module : str
        Such as "my_lemmas"; the working directory is searched first.
    taken : tuple of Lemma
        Lemmas whose labels are in use.

    Raises
    ------
    ValueError
        In one line, if it cannot be imported, defines no lemma, or defines one that is not fit.
    """
    if not isinstance(module, str):
        raise ValueError(f"module = {module!r}; allowed: the name of a module, not {type(module).__name__}")
    known = tuple(lemma for lemma, home in _HOMES.items() if home.module == module)
    if known:
        return known
    imported = _import(module)
    found = [x for x in vars(imported).values() if isinstance(x, Lemma) and x not in taken and x not in _HOMES]
    if not found:
        raise ValueError(f"module = {module!r} defines no lemma; allowed: a module with lemma = Lemma(...) at its top")
    labels = {lemma.label.lower() for lemma in (*taken, *_HOMES)}
    for lemma in found:
        _check(lemma, module, labels)
        labels.add(lemma.label.lower())
    home = Home(module, _code(module))
    _HOMES.update(dict.fromkeys(found, home))
    return tuple(found)


def _import(module: str) -> object:
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"module = {module!r}; allowed: the name of a module, such as my_lemmas for my_lemmas.py")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except Exception as problem:
        raise ValueError(f"module = {module!r} cannot be imported: {fault(problem)}") from problem


def fault(problem: Exception) -> str:
    """An exception in one line, with the place in the file where it arose."""
    frames = traceback.extract_tb(problem.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    if isinstance(problem, SyntaxError) or (frames and frames[-1].filename.startswith("<frozen")):
        where = ""  # the message names the place itself
    return f"{type(problem).__name__}: {problem}{where}"


def _check(lemma: Lemma, module: str, labels: set[str]) -> None:
    where = f"lemma {lemma.label!r} of module {module!r}"
    if not lemma.label or any(c.isspace() or c == "/" for c in lemma.label):
        raise ValueError(f"{where}: its label is not fit; allowed: a name without spaces and /, such as X.1")
    if lemma.label.lower() in labels:
        raise ValueError(f"{where}: there is a lemma of this label already; allowed: another label")
    if lemma.provenance != "own":
        raise ValueError(f"{where} has provenance = {lemma.provenance!r}; allowed outside mimtheory: 'own'")
    if not lemma.claims:
        raise ValueError(f"{where} has no claim; allowed: at least one function under @lemma.claim(...)")


def _code(module: str) -> str:
    """Hash of the sources that decide what the lemmas of `module` state."""
    digest = hashlib.sha256()
    for path in _sources(module.partition(".")[0]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sources(top: str) -> list[Path]:
    """The files of the top-level module, and of those it imports from the same folder unless that is where
    installed packages are."""
    module = sys.modules[top]
    own = Path(next(iter(module.__path__)) if hasattr(module, "__path__") else str(module.__file__))
    todo, found = [own], list[Path]()
    while todo:
        for path in _files(todo.pop()):
            if path not in found:
                found.append(path)
                if own.parent.name not in _INSTALLED:
                    todo += [own.parent / name for name in _imported(path) if (own.parent / name).exists()]
    return sorted(found)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _imported(path: Path) -> set[str]:
    """File and folder names that the imports of a source could mean."""
    tops = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            tops.add(node.module.partition(".")[0])
    tops.discard("mimtheory")  # whose own fingerprint is part of every key
    return {f"{top}.py" for top in tops} | tops
