"""Decoding of JSON, as RFC 8259 defines it."""

from __future__ import annotations

import codecs
import json
from typing import Any, NoReturn

TOO_DEEP = "nested too deep"


def decode(body: bytes | str) -> Any:
    """Decode one value, from UTF-8 or from text.

    Raises:
        ValueError: It is no JSON (NaN and Infinity are none), is nested deeper than Python's stack
            bears, or holds a number that is out of Python's range.

    """
    if isinstance(body, bytes):
        # The codec that takes a byte order mark away costs eight times as much.
        body = body.decode("utf-8-sig" if body.startswith(codecs.BOM_UTF8) else "utf-8")
    # JSONDecoder.decode searches for white space with patterns, which takes as long as all else.
    text = body.strip(" \t\r\n")
    value, end = decode_at(text, 0)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """Decode the value that starts at a place, and return it and where it ends.

    Raises:
        ValueError: As ``decode``.

    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


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
