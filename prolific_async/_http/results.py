"""The elements of a list's ``results``, decoded one by one, as a list can be megabytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from prolific_async._json import decode_at

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

KNOWN: Final = object()
"""Stands for an element that was not decoded, as the caller knows it."""

_SPACE = re.compile(r"[ \t\r\n]*")


def elements(
    text: str, known: Callable[[int], int | None] = lambda _: None
) -> Iterator[tuple[int, int, Any]]:
    """Yield where each element of ``results`` starts and ends, and its value.

    Args:
        text: An object of JSON.
        known: Is asked at the start of each element; where it tells the end, the element is taken
            for ``KNOWN`` instead of being decoded.

    Raises:
        ValueError: The text is not an object of JSON, or ``results`` no array, or there twice.

    """
    at = _expect(text, 0, "{")
    seen = False
    if _peek(text, at) != "}":
        while True:
            key, at = _value(text, at)
            if not isinstance(key, str):
                raise ValueError(f"a key is missing at {at}")  # noqa: TRY004 - as for all that is no JSON
            at = _expect(text, at, ":")
            if key == "results" and seen:
                raise ValueError("results twice")
            seen = seen or key == "results"
            if key == "results" and _peek(text, at) == "[":
                at = yield from _array(text, at, known)
            else:
                value, at = _value(text, at)
                if key == "results" and value is not None:
                    raise ValueError("results is no array")
            if _peek(text, at) != ",":
                break
            at = _expect(text, at, ",")
    at = _expect(text, at, "}")
    if _skip(text, at) != len(text):
        raise ValueError("more than one value")


def _array(
    text: str, at: int, known: Callable[[int], int | None]
) -> Generator[tuple[int, int, Any], None, int]:
    """Yield an array's elements, and return where it ends."""
    at = _skip(text, _expect(text, at, "["))
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        end = known(at)
        value = KNOWN
        if end is None:
            value, end = decode_at(text, at)
        yield at, end, value
        at = _skip(text, end)
        if text[at : at + 1] != ",":
            return _expect(text, at, "]")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _peek(text: str, at: int) -> str:
    at = _skip(text, at)
    return text[at : at + 1]


def _expect(text: str, at: int, what: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != what:
        raise ValueError(f"{what} is missing at {at}")
    return at + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    return decode_at(text, _skip(text, at))
