"""Reads the descriptions of a class and of its fields from its docstring, for JSON Schema."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(?:Attributes|Args):\n((?:(?: {4}.*)?\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): (.*\n(?: {5,}.*\n)*)", re.MULTILINE)
_NONE = re.compile(r"\bNone\b")


def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring as Markdown, empty if it has none."""
    return _markdown(_docstring(cls).partition("\n\n")[0])


def fields(cls: type) -> dict[str, str]:
    """Return the description of each field, own or inherited, as Markdown.

    The descriptions are the entries of "Attributes" or "Args" in the docstrings.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for section in _SECTION.findall(_docstring(base)):
            found |= {name: _markdown(words) for name, words in _ENTRY.findall(section)}
    return found


def _docstring(cls: type) -> str:
    """Return a class's own docstring, empty if it has none, as under ``python -OO``."""
    return inspect.cleandoc(vars(cls).get("__doc__") or "") + "\n"


def _markdown(words: str) -> str:
    """Return text as Markdown, with "null" for None, as the reader sees JSON."""
    return " ".join(_NONE.sub("null", words.replace("``", "`")).split())
