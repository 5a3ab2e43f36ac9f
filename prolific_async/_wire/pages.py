"""Pages of lists: what is one, and how to decode it element by element, as it can be megabytes.

``json`` would decode them at once and hold the event loop for that long, in another thread too: it
keeps the interpreter to itself.
"""

from __future__ import annotations

import asyncio
import re
import reprlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prolific_async._wire.json import decode_at, named
from prolific_async._wire.turns import Turns, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

RESULTS = "results"
"""The key of a page's elements."""

KNOWN: Final = object()
"""Stands for an element that was not decoded, as the caller knows it."""
ARRAY: Final = object()
"""Stands for the array of the elements that come next."""

_BESIDE = frozenset({RESULTS, "meta", "_links"})
"""All keys of a page, of which none is required."""

_SHOWN = 20
"""Keys that are shown of an object that is no page."""
_short = reprlib.Repr()
_short.maxdict = _SHOWN
_short.maxstring = _short.maxother = 200

_SPACE = re.compile(r"[ \t\r\n]*")


class Part(NamedTuple):
    """A member of a page, or an element of its ``results``, whose key is None.

    Attributes:
        key: Of the member.
        start: Where the value starts in the text.
        end: Where it ends.
        value: The value, ``ARRAY`` for ``results`` themselves.

    """

    key: str | None
    start: int
    end: int
    value: Any


def page_fault(page: Mapping[str, Any]) -> str | None:
    """Return why an object is no page of a list, as "path: reason", None when it is one.

    A gateway's ``{"message": "maintenance"}`` must not be read as a list that shows nothing. So a
    page without an array of ``results`` is one only if it holds nothing but ``meta`` and
    ``_links``: the service documents all three as optional.

    Source: https://docs.prolific.com/api-reference/ai-task-builder (list batches)
    """
    results = page.get(RESULTS)
    if type(results) is list:
        return None
    if results is not None:
        return f"$.{RESULTS}: an array is needed, not {named(results)}"
    if page.keys() <= _BESIDE:
        return None
    shown = _short.repr(dict(islice(page.items(), _SHOWN)))
    return f"$: not a list, which has an array of {RESULTS!r}, but {shown}"


async def read_page(body: bytes) -> dict[str, Any]:
    """Decode a body as ``json`` would, and let the event loop have its turns.

    Raises:
        ValueError: It is no object of JSON; no other answer is ever so long that it has to be read
            in this way, and nothing else could be cut into slices.

    """
    turns = Turns()
    text = await text_of(body, turns)
    await asyncio.sleep(0)
    page: dict[str, Any] = {}
    elements: list[Any] = []
    for key, _, _, value in parts(text):
        if key is None:
            elements.append(value)
        else:
            page[key] = elements if value is ARRAY else value
        await turns.give()
    return page


def parts(text: str, known: Callable[[int], int | None] = lambda _: None) -> Iterator[Part]:
    """Yield a page's members, and the elements of its ``results``, each decoded when it is due.

    Args:
        text: An object of JSON.
        known: Is asked at the start of each element; where it tells the end, the element is taken
            for ``KNOWN`` instead of being decoded.

    Raises:
        ValueError: The text is not an object of JSON, or has ``results`` twice.

    """
    at = _expect(text, 0, "{")
    if _peek(text, at) == "}":
        at = _expect(text, at, "}")
    else:
        at = yield from _members(text, at, known)
    if _skip(text, at) != len(text):
        raise ValueError("more than one value")


def _members(text: str, at: int, known: Callable[[int], int | None]) -> Generator[Part, None, int]:
    seen = False
    while True:
        key, at = decode_at(text, _skip(text, at))
        if not isinstance(key, str):
            raise ValueError(f"a key is missing at {at}")  # noqa: TRY004 - as for all that is no JSON
        start = _skip(text, _expect(text, at, ":"))
        if key == RESULTS:
            if seen:
                raise ValueError(f"{RESULTS} twice")
            seen = True
        if key == RESULTS and text[start : start + 1] == "[":
            yield Part(key, start, start, ARRAY)
            at = yield from _elements(text, start, known)
        else:
            value, at = decode_at(text, start)
            yield Part(key, start, at, value)
        if _peek(text, at) != ",":
            return _expect(text, at, "}")
        at = _expect(text, at, ",")


def _elements(text: str, at: int, known: Callable[[int], int | None]) -> Generator[Part, None, int]:
    at = _skip(text, _expect(text, at, "["))
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        value: Any = KNOWN
        end = known(at)
        if end is None:
            value, end = decode_at(text, at)
        yield Part(None, at, end, value)
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
