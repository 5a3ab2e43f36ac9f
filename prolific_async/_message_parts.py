"""Parts of error messages, above all the service's own words: one line, printable, not too long."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

_SHOWN = 500  # characters of the service's own words in a message: a detail can be very long
_NAMED = 10  # ids in a message
_LEVELS = 6  # levels of nesting that people can follow
_PICKLED = 100  # levels of nesting that pickle manages on a stack that is two thirds full
_REPLACED = "\ufffd"  # stands for bytes that are not UTF-8

_POSITION = ("page", "row", "column", "item")
"""Keys that say where in a layout an issue is, from the outside in; their values count from 0."""


def brief(words: str) -> str:
    """Shorten text of the service to fit a sentence: one line, printable, not too long."""
    cut = words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
    return " ".join("".join(one if one.isprintable() else " " for one in cut).split())


def seconds(value: float) -> str:
    """Return seconds as text with at most one decimal, such as "1.5 s"."""
    return f"{str(round(value, 1)).removesuffix('.0')} s"


def named_ids(ids: list[str]) -> str:
    """Return ids as a list for a sentence, cut after ten."""
    named = brief(", ".join(ids[:_NAMED])) or "none was seen"
    return named if len(ids) <= _NAMED else f"{named} and {len(ids) - _NAMED} more"


def place(row: int, column: object = None) -> str:
    """Return "row N (counted from 0), column C", for the start of an error message."""
    where = f"row {row} (counted from 0)"
    return where if column is None else f"{where}, column {brief(repr(column))}"


def service_words(error_code: int | str | None, title: str | None, detail: Any, body: Any) -> str:
    """Return what the service said about an error, briefly; empty if it said nothing."""
    told = (title, plain(detail) if detail else None, issues(body))
    parts = (error_code, *(told if any(told) else (_free_form(body, error_code),)))
    return brief(": ".join(str(part) for part in parts if part))


def _free_form(body: Any, error_code: int | str | None) -> str:
    """Return the text of a body of unknown form, empty for HTML and binary data."""
    if isinstance(body, str):
        is_page = body.lstrip().startswith("<")
        return "" if is_page or _REPLACED in body else body
    if isinstance(body, dict):
        return plain({key: value for key, value in body.items() if value != error_code})
    return plain(body)


def plain(value: Any, levels: int = _LEVELS) -> str:
    """Return decoded JSON as people write it: "name: too long, too odd; id: This is required.".

    Empty values are left out, and so is most of the text that ``brief`` would cut off.
    """
    if isinstance(value, str):
        return value[: _SHOWN + 1]
    if not isinstance(value, dict | list):
        return "" if value is None else json.dumps(value, default=str)
    if levels == 0:
        return "…"
    if isinstance(value, list):
        told = (plain(one, levels - 1) for one in islice(value, _SHOWN))
        return ", ".join(filter(None, told))
    named = ((key, plain(one, levels - 1)) for key, one in islice(value.items(), _SHOWN))
    return "; ".join(f"{key}: {told}" for key, told in named if told)


def shallow(value: Any) -> Any:
    """Return decoded JSON, or its text if it is nested too deep to be pickled."""
    level = {id(value): value}
    for _ in range(_PICKLED):
        # By id, as a mapping given to from_dict may contain itself many times.
        level = {
            id(inner): inner
            for outer in level.values()
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        }
        if not level:
            return value
    return plain(value)


def issues(body: Any) -> str:
    """Return the issues of a refused layout as text, empty if there are none.

    Shape: ``{"issues": [{"page", "row", "column", "item", "field", "type", "message"}]}``, each key
    optional here: https://docs.prolific.com/api-reference/ai-task-builder (create a batch).
    """
    found = body.get("issues") if isinstance(body, dict) else None
    if not isinstance(found, list):
        return ""
    told = "; ".join(filter(None, map(_issue, islice(found, _SHOWN))))
    placed = any(isinstance(one, dict) and _places(one) for one in found)
    return f"counting from 0, {told}" if placed else told


def _issue(issue: Any) -> str:
    if not isinstance(issue, dict):
        return plain(issue)
    where = _places(issue)
    if isinstance(field := issue.get("field"), str) and field:
        where.append(f"field {field!r}")
    what = issue.get("message") or issue.get("type")
    if not what:
        return plain(issue)
    return ": ".join(filter(None, (", ".join(where), plain(what))))


def _places(issue: dict[str, Any]) -> list[str]:
    return [f"{name} {issue[name]}" for name in _POSITION if type(issue.get(name)) is int]
