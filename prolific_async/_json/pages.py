"""Decoding of a list's pages element by element, since a page can be megabytes.

``json`` would decode a page at once and block the event loop for that long, even from another
thread, as it holds the GIL. One reader serves whole texts and texts that arrive in pieces; of the
latter, only the value that is being read is kept.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from prolific_async._json.decoding import json_type_name
from prolific_async._json.long_bodies import decode_text
from prolific_async._json.text_buffer import TextBuffer, skip
from prolific_async._time_slices import TimeSlices

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
"""Key of the array of a page's elements."""

KNOWN: Final = object()
"""Value of an element that was not decoded, because the caller knows it already."""
ARRAY: Final = object()
"""Value of ``results`` if it is an array; its elements follow as parts of their own."""

_PAGE_KEYS = frozenset({RESULTS, "meta", "_links"})
"""All documented keys of a page, each of them optional."""

_MAX_KEYS = 1000
"""Keys that a page in pieces may have: without a limit, a page might never end."""

_MAX_SHOWN_KEYS = 20
"""Keys that an error shows of an object that is no page."""
_PLAIN_KEY = re.compile("[A-Za-z_]{1,32}")


class Part(NamedTuple):
    """A member of a page, or an element of its ``results``.

    Attributes:
        key: Key of the member, None for an element.
        start: Index in the text where the value starts.
        end: Index where the value ends.
        value: The decoded value, ``ARRAY`` or ``KNOWN``.

    """

    key: str | None
    start: int
    end: int
    value: Any


def page_fault(page: Mapping[str, Any]) -> str | None:
    """Return why an object is no page of a list, as "path: reason"; None if it is a page.

    The service documents ``results``, ``meta`` and ``_links`` as optional, so an object without
    ``results`` may be an empty page. With any other key it is none: a gateway's
    ``{"message": "maintenance"}`` must not be read as an empty list.

    Source: https://docs.prolific.com/api-reference/ai-task-builder (list batches)
    """
    results = page.get(RESULTS)
    if type(results) is list:
        return None
    if results is not None:
        return f"$.{RESULTS}: an array is needed, not {json_type_name(results)}"
    if page.keys() <= _PAGE_KEYS:
        return None
    # Values, and keys that are not plain names, may echo the token, so they are not shown.
    keys = ", ".join(
        repr(key) if _PLAIN_KEY.fullmatch(key) else "'…'" for key in islice(page, _MAX_SHOWN_KEYS)
    )
    return f"$: not a list, which has an array of {RESULTS!r}, but an object with {keys}"


def add_member(page: dict[str, Any], key: str, value: Any) -> None:
    """Add a member to a page, ``ARRAY`` as ``[]``; drop unknown keys beyond what an error shows."""
    if key in _PAGE_KEYS or len(page) < _MAX_SHOWN_KEYS:
        page[key] = [] if value is ARRAY else value


async def read_page(body: bytes) -> dict[str, Any]:
    """Decode a body that is a JSON object, in slices between which the event loop runs.

    Responses of other kinds are never long enough to need slices.

    Raises:
        ValueError: The body is not a JSON object, or has ``results`` twice.

    """
    slices = TimeSlices()
    text = await decode_text(body, slices)
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
    """Yield a page's members and the elements of its ``results``, each when it is decoded.

    Args:
        text: A JSON object.
        known: Called with the index where an element starts; if it returns the index where the
            element ends, the element is not decoded, and its value is ``KNOWN``.

    Raises:
        ValueError: The text is not a JSON object, or has ``results`` twice.

    """
    # _page() yields None to ask for more text, which does not happen with a whole text.
    return cast("Iterator[Part]", _page(TextBuffer(text, is_whole=True), known))


async def parts_of_stream(pieces: AsyncIterator[bytes], max_chars: int) -> AsyncGenerator[Part]:
    """Yield the parts of a page that arrives in pieces, each as soon as it is complete.

    Args:
        pieces: A JSON object, in UTF-8.
        max_chars: The most characters of one value, or of white space in a row.

    Raises:
        TruncatedJson: The pieces end before the object does.
        ValueError: As ``parts``, a value is longer than ``max_chars``, or the object has more than
            1,000 keys.

    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    text = TextBuffer("", is_whole=False)
    keys = 0
    for part in _page(text, lambda _: None):
        if part is None:
            await text.fill(pieces, decoder, max_chars)
            continue
        if part.key is not None:
            keys += 1
            if keys > _MAX_KEYS:
                raise ValueError(f"more than {_MAX_KEYS} keys")
        yield part


def _page(text: TextBuffer, known: Callable[[int], int | None]) -> Iterator[Part | None]:
    """Yield the parts of a page, and None to ask for more text."""
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
                at = yield from text.ask_for_more(at)
                continue
            value, end = decoded
        yield Part(None, at, end, value)
        here = text.text
        at = end
        if here[at : at + 1] != ",":  # seldom: compact JSON has no white space
            at = yield from text.space(at)
            here = text.text
            if here[at : at + 1] != ",":
                text.check(at, "]")
                return at + 1
        at += 1
        if here[at : at + 1] != "{":
            at = skip(here, at)
            if at == len(here):  # seldom, and `space` takes twice as long
                at = yield from text.space(at)
