"""JSON as RFC 8259 has it, within bounds that all that is done with it later can bear."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 128
"""Arrays and objects inside one another; the layout of a batch has about a dozen.

Copying, comparing, pickling and telling a value go down its levels with Python's stack, so what
could be read at the stack's own limit would break there.
"""

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

_CONTAINERS = frozenset({dict, list})


def decode(text: str) -> Any:
    """Decode one value.

    Raises:
        ValueError: It is no JSON (NaN and Infinity are none), nested deeper than MAX_DEPTH, or
            holds a number that is out of Python's range.

    """
    if text.startswith(("{", "[")):
        # Most answers begin and end with their JSON, and need no look for space around it.
        try:
            value, end = _DECODER.raw_decode(text)
        except RecursionError:
            raise ValueError(TOO_DEEP) from None
        if end == len(text):
            # To count is a tenth of the walk, and most answers have fewer levels than that at all.
            if text.count("{") + text.count("[") > MAX_DEPTH and is_deep(value):
                raise ValueError(TOO_DEEP)
            return value
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if is_deep(value):
        raise ValueError(TOO_DEEP)
    return value


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """Decode the value that starts at a place, and return it and where it ends.

    Raises:
        ValueError: As ``decode``.

    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if is_deep(value):
        raise ValueError(TOO_DEEP)
    return value, end


def is_deep(value: Any) -> bool:
    """Tell whether a value is nested deeper than MAX_DEPTH, as one that holds itself is."""
    level = {id(value): value} if type(value) in _CONTAINERS else {}
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        # By id, since a value that does not come from JSON may hold another one many times.
        level = {
            id(inner): inner
            for outer in level.values()
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        }
    return bool(level)


def named(value: Any) -> str:
    """Name the JSON type of a value."""
    if value is None:
        return "null"
    return {
        bool: "a boolean",
        dict: "an object",
        float: "a number with a fraction",
        int: "an integer",
        list: "an array",
        str: "a string",
    }.get(type(value), type(value).__name__)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError("a number is out of range")
    return number


# Made once: json.loads would make one at each call that wants its own hooks.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
