"""Reads the JSON of a long list in slices, so that it never holds the event loop for long.

``json`` would decode megabytes at once, in another thread too: it keeps the interpreter to itself.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
import time
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Iterator

T = TypeVar("T")

LONG = 256 * 1024
"""Bytes from which on a body is worth slices."""
LIST = "results"
"""The key whose array is read element by element."""

_SLICE = 0.005  # seconds of work after which the loop gets its turn
_PIECE = 1024 * 1024  # bytes of text that are decoded at once


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Made once: ``json.loads`` would make one at each call that wants its own ``parse_constant``."""

_SPACE = re.compile(r"[ \t\r\n]*")


async def paced(items: Iterable[T]) -> AsyncGenerator[T]:
    """Yield items, and give the loop its turn whenever a slice of time is over."""
    pause = time.perf_counter() + _SLICE
    for item in items:
        yield item
        if time.perf_counter() > pause:
            await asyncio.sleep(0)
            pause = time.perf_counter() + _SLICE


async def read(body: bytes) -> Any:
    """Return what ``json`` would make of a body.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.

    """
    text = await _text(body)
    await asyncio.sleep(0)
    if _peek(text, 0) != "{":
        return DECODER.decode(text)  # what is no page is no answer that is ever long
    page: dict[str, Any] = {}
    elements: list[Any] = []
    async for key, value, is_element in paced(members(text)):
        if is_element:
            elements.append(value)
        page[key] = elements if is_element else value
    return page


async def _text(body: bytes) -> str:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    view = memoryview(body)
    starts = paced(range(0, len(body), _PIECE))
    pieces = [decoder.decode(bytes(view[at : at + _PIECE])) async for at in starts]
    pieces.append(decoder.decode(b"", final=True))
    await asyncio.sleep(0)
    return "".join(pieces)


def members(text: str) -> Iterator[tuple[str, Any, bool]]:
    """Yield the members of an object, each decoded when it is asked for.

    An array under ``LIST`` comes as its elements, which the flag tells.

    Raises:
        ValueError: The text is not an object of JSON.

    """
    at = _expect(text, 0, "{")
    if _peek(text, at) == "}":
        at = _expect(text, at, "}")
    else:
        at = yield from _members(text, at)
    if _skip(text, at) != len(text):
        raise ValueError(f"more than one value at {at}")


def _members(text: str, at: int) -> Generator[tuple[str, Any, bool], None, int]:
    while True:
        key, at = _value(text, at)
        if not isinstance(key, str):
            raise ValueError(f"a key is missing at {at}")  # noqa: TRY004 - as for all that is no JSON
        at = _expect(text, at, ":")
        if key == LIST and _peek(text, at) == "[":
            at = yield from _elements(text, at)
        else:
            value, at = _value(text, at)
            yield key, value, False
        if _peek(text, at) != ",":
            return _expect(text, at, "}")
        at = _expect(text, at, ",")


def _elements(text: str, at: int) -> Generator[tuple[str, Any, bool], None, int]:
    at = _expect(text, at, "[")
    if _peek(text, at) == "]":
        return _expect(text, at, "]")
    while True:
        element, at = _value(text, at)
        yield LIST, element, True
        if _peek(text, at) != ",":
            return _expect(text, at, "]")
        at = _expect(text, at, ",")


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
    return DECODER.raw_decode(text, _skip(text, at))
