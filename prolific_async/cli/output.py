"""Output of the commands: lines, JSON, and errors."""

import json
import os
import re
import stat
import sys
from typing import TextIO

import typer

__all__ = [
    "error_document",
    "is_error_terminal",
    "is_pipe",
    "is_terminal",
    "print_error",
    "print_json",
    "print_line",
    "printable",
]

_CANNOT_REDRAW = ("dumb", "unknown")  # values of TERM, the same as rich's
# Advice at the end of an error's message that is of use only in Python.
_PYTHON_ADVICE = re.compile(
    r"(?<=; )see \.errors, and (?=upload)"
    r"|; see (?!\.errors, and upload)\.\w+(?: and \.\w+| for what the service said)?"
    r"|, or if that was done allow a longer uninitialised_grace"
    r"|; in code, ProlificClient\(token=…\) does as well"
)


def printable(value: object) -> str:
    """Return text with escapes for the characters that could control a terminal."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def is_terminal() -> bool:
    """Return whether stdout is a terminal that can redraw lines."""
    return _can_redraw(sys.stdout)


def is_error_terminal() -> bool:
    """Return whether stderr is a terminal that can redraw lines."""
    return _can_redraw(sys.stderr)


def is_pipe(stream: TextIO) -> bool:
    """Return whether a stream is a pipe to another program."""
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # not a file of the operating system
        return False


def _can_redraw(stream: TextIO | None) -> bool:
    if stream is None or not stream.isatty():
        return False
    return os.environ.get("TERM", "").lower() not in _CANNOT_REDRAW


def print_line(*cells: object, err: bool = False) -> None:
    """Print one line of cells separated by tabs, by default to stdout."""
    typer.echo("\t".join(printable(cell) for cell in cells), err=err)


def print_json(document: object) -> None:
    """Print a JSON document in one line."""
    typer.echo(json.dumps(document))


def print_error(error: object) -> None:
    """Print an error, or a sentence about one, to stderr."""
    typer.echo(printable(_without_python_advice(error)), err=True)


def error_document(error: Exception | None) -> dict[str, str] | None:
    """Return the JSON document of an error, None for None."""
    if error is None:
        return None
    return {"type": type(error).__name__, "message": _without_python_advice(error)}


def _without_python_advice(error: object) -> str:
    return _PYTHON_ADVICE.sub("", str(error)).replace("base_url", "--url")
