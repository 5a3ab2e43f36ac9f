"""Text of the service in our messages: one line, printable, not too long."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

_SHOWN = 500  # characters of the service's own words in a message: a detail can be very long
_LEVELS = 6  # of nesting that people can follow
_PICKLED = 100  # levels of nesting, which pickle bears on a stack that is two thirds full

_POSITION = ("page", "row", "column", "item")
"""Where an issue of a layout is, from the outside in; counted from 0."""


def brief(words: str) -> str:
    """Shorten text of the service to fit a sentence: one line, printable, not too long."""
    cut = words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
    return " ".join("".join(one if one.isprintable() else " " for one in cut).split())


def plain(value: Any, levels: int = _LEVELS) -> str:
    """Return decoded JSON as people write it: "name: too long, too odd; id: This is required.".

    What is empty is left out, and so is most of what ``brief`` would cut off.
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
    """Return decoded JSON, or its text where it is nested too deep to be pickled."""
    level = {id(value): value}
    for _ in range(_PICKLED):
        # By id, as a mapping given to from_dict may hold itself many times.
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
    """Return the issues of a refused layout as people write them, empty if there are none.

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
