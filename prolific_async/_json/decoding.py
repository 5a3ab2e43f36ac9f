"""Decoding of JSON, as RFC 8259 defines it."""

from __future__ import annotations

import codecs
import json
from typing import Any, NoReturn

TOO_DEEP = "nested too deep"

MAX_PROBLEMS = 100
"""Faults after which the rest of an array is not checked: describing each takes 0.1 ms."""


def decode(body: bytes | str) -> Any:
    """Decode one JSON value from UTF-8 or from text.

    Raises:
        ValueError: The body is not JSON (NaN and Infinity are not), is nested too deep for Python's
            stack, or has a number out of Python's range.

    """
    if isinstance(body, bytes):
        # "utf-8-sig", which drops a byte order mark, takes eight times as long as "utf-8".
        body = body.decode("utf-8-sig" if body.startswith(codecs.BOM_UTF8) else "utf-8")
    # JSONDecoder.decode skips white space with a regular expression, which doubles the time.
    text = body.strip(" \t\r\n")
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """Decode the JSON value at an index of a text; return the value and the index of its end.

    Raises:
        ValueError: As ``decode``.

    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def json_type_name(value: Any) -> str:
    """Return the JSON type of a value in words, such as "an object"."""
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


# Made once: given parse hooks, json.loads makes a decoder for each call.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
