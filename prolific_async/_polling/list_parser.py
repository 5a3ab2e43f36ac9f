"""Reads a list of batches for a few of them: in slices, and no more of each than is needed.

A list holds whole batches, so it can be megabytes; decoding it at once would block the loop. And
from one poll to the next hardly any of them changes: an element whose text is the same as the last
time, by its hash, is not decoded again.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from prolific_async._json.pages import ARRAY, KNOWN, page_fault, parts
from prolific_async._json.slices import TimeSlices, hashes, text_of
from prolific_async._polling.poll_result import PollResult
from prolific_async.errors import DecodeError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.models import Batch

_TERMINAL = (BatchStatus.READY, BatchStatus.ERROR)


class Memory:
    """What is kept of a list to read the next one.

    Attributes:
        pending: What it showed of batches that were not at their end, by id.
        ended: Ids of the others, those without a status among them.
        body_hashes: Of its whole text.
        ids: Of all, in their order.
        lengths: Of their texts, likewise.
        hashes: Of their texts, likewise.

    """

    def __init__(self, body_hashes: list[int]) -> None:
        self.pending: dict[str, PollResult] = {}
        self.ended: list[str] = []
        self.body_hashes = body_hashes
        self.ids: list[str] = []
        self.lengths = array("L")
        self.hashes = array("q")


class Listing(NamedTuple):
    """What a list shows.

    Attributes:
        polls: By id, with the batch itself where it is at its end; one at its end that nobody
            wants is left out, as its batch is not read.
        news: Ids that the list before did not show.
        memory: What helps to read the next list.

    """

    polls: dict[str, PollResult]
    news: list[str]
    memory: Memory


async def read(
    body: bytes,
    wanted: Callable[[str], bool],
    read_batch: Callable[[Any], Batch],
    before: Memory | None = None,
) -> Listing:
    """Read a list's body, with the help of what was kept of the one before.

    A malformed batch, or one without a status, is left out, as one that the list does not show.

    Raises:
        ValueError: It is no list of batches.

    """
    slices = TimeSlices()
    body_hashes = await hashes(body, slices)
    if before is None:
        before = Memory([])
    elif body_hashes == before.body_hashes and not any(map(wanted, before.ended)):
        return Listing(before.pending, [], before)
    reading = _Reading(await text_of(body, slices), wanted, read_batch, before, Memory(body_hashes))
    page: dict[str, Any] = {}
    for key, start, end, value in parts(reading.text, reading.end_of_known):
        if key is None:
            reading.take(start, end, value)
        else:
            page[key] = [] if value is ARRAY else value
        await slices.yield_if_due()
    if (fault := page_fault(page)) is not None:
        raise ValueError(fault)
    memory = reading.memory
    polls = memory.pending | reading.ended if reading.ended else memory.pending
    return Listing(polls, reading.news, memory)


class _Reading:
    """A list on its way, beside what was kept of the one before."""

    def __init__(
        self,
        text: str,
        wanted: Callable[[str], bool],
        read_batch: Callable[[Any], Batch],
        before: Memory,
        memory: Memory,
    ) -> None:
        self.text = text
        self.ended: dict[str, PollResult] = {}
        self.news: list[str] = []
        self.memory = memory
        self._wanted = wanted
        self._read_batch = read_batch
        self._before = before
        self._next = 0  # of those before, if none was added or taken away
        self._places: dict[str, int] | None = None
        self._shared: dict[str, PollResult] = {}  # one search for all that show the same

    def end_of_known(self, start: int) -> int | None:
        """Return where the element ends that starts here, None if it must be decoded."""
        before, at = self._before, self._next
        if at == len(before.ids):
            return None
        end = start + before.lengths[at]
        if hash(self.text[start:end]) != before.hashes[at]:
            return None
        batch_id = before.ids[at]
        return end if batch_id in before.pending or not self._wanted(batch_id) else None

    def take(self, start: int, end: int, element: Any) -> None:
        """Take in an element, or that it is the same as before."""
        if element is KNOWN:
            batch_id = self._before.ids[self._next]
            hashed = self._before.hashes[self._next]
            self._next += 1
            poll = self._before.pending.get(batch_id)
        else:
            glance = _glance(element)
            if glance is None:
                return
            batch_id, status = glance
            hashed = hash(self.text[start:end])
            self._find_place(batch_id)
            poll = None
            if status in _TERMINAL:
                if self._wanted(batch_id):
                    self._read_ended(batch_id, element)
            elif status is not None:
                poll = self._pending(status)
        memory = self.memory
        if poll is None:
            memory.ended.append(batch_id)
        else:
            memory.pending[batch_id] = poll
        memory.ids.append(batch_id)
        memory.lengths.append(end - start)
        memory.hashes.append(hashed)

    def _pending(self, status: str) -> PollResult:
        poll = self._shared.get(status)
        if poll is None:
            poll = self._shared[status] = PollResult(BatchStatus(status))
        return poll

    def _read_ended(self, batch_id: str, element: Any) -> None:
        try:
            batch = self._read_batch(element)
        except DecodeError:
            return
        self.ended[batch_id] = PollResult(batch.status, batch)

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


def _glance(element: Any) -> tuple[str, str | None] | None:
    """Return id and status of an element, None when it is malformed."""
    if not isinstance(element, dict):
        return None
    batch_id, status = element.get("id"), element.get("status")
    if not isinstance(batch_id, str) or not isinstance(status, str | None):
        return None
    return batch_id, status
