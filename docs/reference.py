"""The reference pages of the site, made from the code: the public names and the commands."""

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from html import escape
from inspect import isclass
from types import FunctionType
from typing import Any

import numpy as np
import typer
from numpy.typing import ArrayLike, NDArray

import mimtheory
from mimtheory.cli import app
from mimtheory.reporting.prose import typeset
from verification.__main__ import app as studies

__all__ = ["commands", "names"]


# Public names


def names() -> str:
    """Every public name with its signature, its docstring, and the methods and properties of classes."""
    body = "".join(_name(name) for name in mimtheory.__all__ if name != "__version__")
    return (
        "<h1>Public names</h1><p>All are loaded from <code>mimtheory</code> on first use. The symbols, with "
        f'<a href="concepts.html#symbols-shapes-and-units">shapes and units</a>.</p>{body}'
    )


def _name(name: str) -> str:
    value = getattr(mimtheory, name)
    doc = inspect.getdoc(value) or ""
    words = f'<h2 id="{name}">{name}</h2><pre tabindex="0">{escape(name + _signature(value))}\n\n{escape(doc)}</pre>'
    members = "".join(_member(value, member) for member in _members(value))
    return f'{words}<dl class="terms">{members}</dl>' if members else words


def _members(value: object) -> list[str]:
    """Names of the public methods and properties of a class; its attributes stand in its own docstring."""
    others = {getattr(mimtheory, name) for name in mimtheory.__all__} - {value}
    bases = [base for base in getattr(value, "__mro__", ()) if base.__module__.startswith("mimtheory.")]
    names = dict.fromkeys(name for base in bases if base not in others for name in vars(base))
    kinds = (FunctionType, classmethod, property, cached_property)
    found = [name for name in names if isinstance(inspect.getattr_static(value, name), kinds)]
    return [name for name in found if not name.startswith("_") and getattr(value, name).__doc__]


def _member(value: object, name: str) -> str:
    member = getattr(value, name)
    doc = (inspect.getdoc(member) or "").partition("\n\n")[0]
    return f"<div><dt><code>{escape(name + _signature(member))}</code></dt><dd>{typeset(doc)}</dd></div>"


def _signature(value: Any) -> str:
    """The arguments as one types them: types without their modules, nothing private."""
    try:
        full = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    arguments = [x for x in full.parameters.values() if x.name != "self" and not x.name.startswith("_")]
    result = full.empty if isclass(value) else full.return_annotation
    text = str(full.replace(parameters=arguments, return_annotation=result))
    for kind in (NDArray[np.float64], NDArray[np.bool_]):
        text = text.replace(inspect.formatannotation(kind), "NDArray")
    text = text.replace(inspect.formatannotation(ArrayLike), "ArrayLike").replace("Floats", "NDArray")
    text = re.sub(r"(: |-> )'([^']*)'|'(\w+ \| [^']*)'", r"\1\2\3", re.sub(r"<[^<>]+>", "...", text))
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text)


# Commands


def commands() -> str:
    """Every command with its help, arguments, options and exit codes, as the command line itself knows them."""
    group: Any = typer.main.get_command(app)
    listed = [*_each(group, "mimtheory"), *_each(typer.main.get_command(studies), "python -m verification")]
    body = "".join(_command(name, command) for name, command in listed)
    return (
        "<h1>Commands</h1><p>Every command prints its part of this page with <code>--help</code>, and "
        "<code>mimtheory --version</code> the version. What cannot be read or is not allowed is named in one line on "
        f"standard error, with exit code 2; the exit code is 0 where nothing else is said.</p>{body}"
    )


def _each(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(what is typed, command) of a command, or of all within a group."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from _each(inner, f"{name} {word}")


def _command(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = command.get_usage(context).partition(": ")[2]
    help_ = "".join(f"<p>{_help(part)}</p>" for part in command.help.split("\n\n"))
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = "".join(_argument(*record) for record in records)
    head = '<thead><tr><th scope="col">argument or option</th><th scope="col">meaning</th></tr></thead>'
    table = f'<div class="scroll" tabindex="0"><table>{head}<tbody>{rows}</tbody></table></div>' if rows else ""
    anchor = name.replace(" ", "-")
    return f'<h2 id="{anchor}">{name}</h2><pre tabindex="0">{escape(" ".join(usage.split()))}</pre>{help_}{table}'


def _argument(typed: str, words: str) -> str:
    return f'<tr><td><code>{escape(typed)}</code></td><td class="sentence">{_help(words)}</td></tr>'


def _help(text: str) -> str:
    """A help text; what it quotes is typed as it stands."""
    return typeset(re.sub(r"(?<!\w)'([^']*)'", r"`\1`", text))
