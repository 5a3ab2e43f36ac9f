"""Pages of lists, decoded element by element, as one can be megabytes.

``json`` would decode them at once and hold the event loop for that long, in another thread too: it
keeps the interpreter to itself. One reader serves all: it reads a whole text, or one that comes in
pieces, of which it keeps no more than one value.
"""

from __future__ import annotations

import asyncio
import codecs
import reprlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from prolific_async._json.decoding import named
from prolific_async._json.slices import TimeSlices, text_of
from prolific_async._json.text_buffer import TextBuffer, skip

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
        Mapping,
    )

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


def add_member(page: dict[str, Any], key: str, value: Any) -> None:
    """Add a member to a page without its elements, unless it has more than is ever shown."""
    if key in _BESIDE or len(page) < _SHOWN:
        page[key] = [] if value is ARRAY else value


async def read_page(body: bytes) -> dict[str, Any]:
    """Decode a body as ``json`` would, and let the event loop have its turns.

    Raises:
        ValueError: It is no object of JSON; no other response is ever so long that it has to be
            read in this way, and nothing else could be cut into slices.

    """
    slices = TimeSlices()
    text = await text_of(body, slices)
    await asyncio.sleep(0)
    page: dict[str, Any] = {}
    elements: list[Any] = []
    for key, _, _, value in parts(text):
        if key is None:
            elements.append(value)
        else:
            page[key] = elements if value is ARRAY else value
        await slices.yield_if_due()
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
    # None is yielded only where more may come.
    return cast("Iterator[Part]", _page(TextBuffer(text, is_whole=True), known))


async def parts_as_they_come(pieces: AsyncIterator[bytes], most: int) -> AsyncGenerator[Part]:
    """Yield the parts of a page that comes in pieces, each as soon as it is there.

    Args:
        pieces: An object of JSON, in UTF-8.
        most: Characters of one value, or of white space in a row, above which it is given up.

    Raises:
        ValueError: As ``parts``, or a value is longer.

    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    text = TextBuffer("", is_whole=False)
    for part in _page(text, lambda _: None):
        if part is None:
            await text.fill(pieces, decoder, most)
        else:
            yield part


def _page(text: TextBuffer, known: Callable[[int], int | None]) -> Iterator[Part | None]:
    """Yield the parts of a page; None asks for more text."""
    at = yield from text.expect(0, "{")
    at = yield from text.space(at)
    if text.text[at : at + 1] == "}":
        at += 1
    else:
        at = yield from _members(text, at, known)
    at = yield from text.space(at)
    if at != len(text.text):
        raise ValueError("more than one value")


def _members(
    text: TextBuffer, at: int, known: Callable[[int], int | None]
) -> Generator[Part | None, None, int]:
    seen = False
    while True:
        at = yield from text.space(at)
        key, at = yield from text.whole_value(at)
        if not isinstance(key, str):
            raise ValueError(f"a key is missing at {at}")
        at = yield from text.expect(at, ":")
        at = yield from text.space(at)
        if key == RESULTS:
            if seen:
                raise ValueError(f"{RESULTS} twice")
            seen = True
        if key == RESULTS and text.text[at : at + 1] == "[":
            yield Part(key, at, at, ARRAY)
            at = yield from _elements(text, at, known)
        else:
            value, end = yield from text.whole_value(at)
            yield Part(key, at, end, value)
            at = end
        at = yield from text.space(at)
        if text.text[at : at + 1] != ",":
            text.check(at, "}")
            return at + 1
        at += 1


def _elements(
    text: TextBuffer, at: int, known: Callable[[int], int | None]
) -> Generator[Part | None, None, int]:
    at = yield from text.space(at + 1)
    if text.text[at : at + 1] == "]":
        return at + 1
    while True:
        value: Any = KNOWN
        end = known(at)
        if end is None:
            decoded = text.value(at)
            if decoded is None:
                at = yield from text.more(at)
                continue
            value, end = decoded
        yield Part(None, at, end, value)
        here = text.text
        at = skip(here, end)
        if at == len(here):  # rarely, and what asks for more costs as much as all else here
            at = yield from text.space(at)
            here = text.text
        if here[at : at + 1] != ",":
            text.check(at, "]")
            return at + 1
        at = skip(here, at + 1)
        if at == len(here):
            at = yield from text.space(at)
