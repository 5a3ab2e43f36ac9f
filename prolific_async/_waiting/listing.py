"""Reads a list of batches for a few of them: in slices, and no more of each than is needed.

A list holds whole batches, so it can be megabytes; decoding it at once would block the loop. And
from one look to the next hardly any of them changes: an element whose text is the same as the last
time, by its hash, is not decoded again.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING, Any

from prolific_async._http.results import KNOWN, elements
from prolific_async._waiting.wait import Look
from prolific_async.errors import DecodeError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.models import Batch

_SLICE = 0.005  # seconds of decoding after which the loop gets its turn

_TERMINAL = (BatchStatus.READY, BatchStatus.ERROR)


class Memory:
    """The elements of a list in their order, as far as they help to read the next one.

    Attributes:
        ids: Of the batches.
        pending: What each shows, None for one at its end.
        lengths: Of their texts.
        hashes: Of their texts.

    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.pending: list[Look | None] = []
        self.lengths = array("L")
        self.hashes = array("q")


class Listing:
    """What a list shows.

    Attributes:
        looks: By id, with the batch itself where it is at its end; one at its end that nobody
            wants is left out, as its batch is not read.
        news: Ids that the list before did not show.
        memory: What helps to read the next list.

    """

    def __init__(
        self,
        text: str,
        wanted: Callable[[str], bool],
        read_batch: Callable[[Any], Batch],
        before: Memory,
    ) -> None:
        self.looks: dict[str, Look] = {}
        self.news: list[str] = []
        self.memory = Memory()
        self._text = text
        self._wanted = wanted
        self._read_batch = read_batch
        self._before = before
        self._next = 0  # of the list before, if nothing was added or taken away
        self._places: dict[str, int] | None = None
        self._shared: dict[str | None, Look] = {}

    async def fill(self) -> None:
        """Read the text, and let the loop have its turns meanwhile."""
        pause = time.perf_counter() + _SLICE
        for start, end, element in elements(self._text, self._end_of_known):
            if element is KNOWN:
                at = self._next
                self._next += 1
                before = self._before
                self._note(before.ids[at], before.pending[at], end - start, before.hashes[at])
            elif (glance := _glance(element)) is not None:
                self._take(*glance, element, self._text[start:end])
            if time.perf_counter() > pause:
                await asyncio.sleep(0)
                pause = time.perf_counter() + _SLICE

    def _end_of_known(self, start: int) -> int | None:
        """Return where the element ends that starts here, None if it must be decoded."""
        before, at = self._before, self._next
        if at == len(before.ids) or (before.pending[at] is None and self._wanted(before.ids[at])):
            return None
        end = start + before.lengths[at]
        return end if hash(self._text[start:end]) == before.hashes[at] else None

    def _take(self, batch_id: str, status: str | None, element: Any, text: str) -> None:
        self._find_place(batch_id)
        look: Look | None = None
        if status not in _TERMINAL:
            # One look for all that show the same.
            look = self._shared.get(status)
            if look is None:
                look = Look(None if status is None else BatchStatus(status))
                self._shared[status] = look
        elif self._wanted(batch_id):
            try:
                batch = self._read_batch(element)
            except DecodeError:
                pass
            else:
                self.looks[batch_id] = Look(batch.status, batch)
        self._note(batch_id, look, len(text), hash(text))

    def _note(self, batch_id: str, look: Look | None, length: int, hashed: int) -> None:
        if look is not None:
            self.looks[batch_id] = look
        memory = self.memory
        memory.ids.append(batch_id)
        memory.pending.append(look)
        memory.lengths.append(length)
        memory.hashes.append(hashed)

    def _find_place(self, batch_id: str) -> None:
        """Go on in the list before with what comes after a batch, if that was there."""
        ids = self._before.ids
        if self._next == len(ids) or ids[self._next] != batch_id:
            if self._places is None:
                self._places = {one: place for place, one in enumerate(ids)}
            place = self._places.get(batch_id)
            if place is None:
                self.news.append(batch_id)
                return
            self._next = place
        self._next += 1


async def read(
    body: bytes,
    wanted: Callable[[str], bool],
    read_batch: Callable[[Any], Batch],
    before: Memory | None = None,
) -> Listing:
    """Read a list's body, with the help of what was read of the one before.

    A malformed batch is left out, as one that the list does not show.

    Raises:
        ValueError: It is no list of batches.

    """
    listing = Listing(body.decode(), wanted, read_batch, before or Memory())
    await listing.fill()
    return listing


def _glance(element: Any) -> tuple[str, str | None] | None:
    """Return id and status of an element, None when it is malformed."""
    if not isinstance(element, dict):
        return None
    batch_id, status = element.get("id"), element.get("status")
    if not isinstance(batch_id, str) or not isinstance(status, str | None):
        return None
    return batch_id, status
