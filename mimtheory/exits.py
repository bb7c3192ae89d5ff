"""How a command line ends: its exit code, and one line for what went wrong.

Bad input is one line on stderr and exit code 2. A defect of our own is a traceback and exit code 70, output that cannot
be written one line and 74 (as in sysexits.h), a reader that closes the pipe 141 (as of a program that SIGPIPE ends):
none of them is the 1 of a refuted claim.
"""

import codecs
import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

__all__ = ["guarded"]

_BAD_INPUT, _SOFTWARE, _OUTPUT, _PIPE = 2, 70, 74, 141
_KINDS = {"int": "an integer", "float": "a number", "bool": "true or false"}
_PLAIN = {"−": "-", "δ": "delta", "±": "+-", "≤": "<=", "≥": ">="}


def guarded(application: typer.Typer) -> None:
    """Run a command line and exit: one line for what a user can mend, a traceback only for what nobody foresaw."""
    _print_any_text()
    code = _ended(lambda: application(prog_name=application.info.name or None, standalone_mode=False))
    # an output that failed before has been told of
    flushed = code if code in (_OUTPUT, _PIPE) else _ended(_flush)
    if flushed:
        _abandon_output()
    sys.exit(code or flushed)


def _ended(run: Callable[[], Any]) -> int:
    """The exit code of what is run, whose error has been printed."""
    try:
        code = run()
    except SystemExit as end:
        # typer and rich end with 1 where the pipe is closed
        return _PIPE if isinstance(end.__context__, BrokenPipeError) else _number(end.code)
    except BrokenPipeError:
        return _PIPE
    except OSError as problem:
        where = "" if problem.filename is None else f"{str(problem.filename)!r}: "
        return _told(f"{where}{problem.strerror or problem}; allowed: files and an output that can be used", _OUTPUT)
    except ValueError as problem:
        return _told(str(problem), _BAD_INPUT)
    except Exception as problem:
        # the parser's own errors know their message
        if hasattr(problem, "format_message"):
            return _refused(problem)
        traceback.print_exc()
        return _SOFTWARE
    return _number(code)


def _number(code: Any) -> int:
    return code if isinstance(code, int) else 0


def _refused(problem: Any) -> int:
    """The end of a command line that could not be parsed."""
    if type(problem).__name__ == "NoArgsIsHelpError":
        print(problem.format_message())  # the help, line by line
        return _BAD_INPUT
    errors = getattr(problem.__cause__, "errors", None)
    if errors is None:
        return _told(problem.format_message(), _BAD_INPUT)
    # which the parser reports without the value
    wrong = errors()[0]
    allowed = _KINDS.get(wrong["type"].partition("_")[0], wrong["msg"])
    return _told(f"{problem.param.opts[0]} = {wrong['input']!r}; allowed: {allowed}", _BAD_INPUT)


def _told(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _print_any_text() -> None:
    """Let a terminal or a pipe of another encoding than UTF-8 have what it cannot show in other letters."""
    codecs.register_error("mimtheory", _in_other_letters)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="mimtheory")


def _in_other_letters(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    missing = problem.object[problem.start : problem.end]
    return "".join(_PLAIN.get(letter, "?") for letter in missing), problem.end


def _flush() -> None:
    if sys.stdout is not None:  # as it is for a program that is started without one
        sys.stdout.flush()


def _abandon_output() -> None:
    """Send to nowhere what is left in the buffer: it would raise once more when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
