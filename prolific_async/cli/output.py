"""What the commands write: text as it is, lines, JSON, and errors."""

import json
import os
import re
import sys

import typer

__all__ = ["complain", "error_document", "is_terminal", "literal", "print_json", "print_line"]

_CANNOT_REDRAW = ("dumb", "unknown")  # as rich has it, too
# An attribute of an error, as its sentence names it at the end, and one of a policy.
_ATTRIBUTES = re.compile(
    r"; see \.\w+(?: and \.\w+| for what the service said)?"
    r"|, or if that was done allow a longer uninitialised_grace"
)


def literal(value: object) -> str:
    """Return text that a terminal shows as it is: what could steer it is spelled out."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def is_terminal() -> bool:
    """Tell whether stdout is a terminal that can redraw, so that a person is likely to watch."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    return os.environ.get("TERM", "").lower() not in _CANNOT_REDRAW


def print_line(*cells: object) -> None:
    """Write one line, its cells parted by tabs."""
    typer.echo("\t".join(literal(cell) for cell in cells))


def print_json(document: object) -> None:
    """Write one JSON document in one line."""
    typer.echo(json.dumps(document))


def complain(sentence: object) -> None:
    """Write a sentence, such as an error's, to stderr."""
    typer.echo(literal(_without_code(sentence)), err=True)


def error_document(error: Exception | None) -> dict[str, str] | None:
    """Return an error for JSON, None when there is none."""
    if error is None:
        return None
    return {"type": type(error).__name__, "message": _without_code(error)}


def _without_code(sentence: object) -> str:
    """Return a sentence without advice that can be followed in Python only."""
    return _ATTRIBUTES.sub("", str(sentence)).replace("base_url", "--url")
