"""List parser: reads the status of wanted batches from a workspace's list, in slices.

A list holds whole batches, so it can be megabytes; decoding it at once would block the loop. And
from one poll to the next hardly any of them changes: an element whose text is the same as the last
time, by its hash, is not decoded again.
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import define, field

from prolific_async._json.pages import ARRAY, KNOWN, page_fault, parts
from prolific_async._json.slices import TimeSlices, hashes, text_of
from prolific_async._polling.poll_results import PollResult
from prolific_async.errors import DecodeError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from prolific_async.models import Batch

_TERMINAL = (BatchStatus.READY, BatchStatus.ERROR)


@define(eq=False, repr=False)
class ListMemory:
    """What is kept of a list, so that the next one is read faster.

    Attributes:
        body_hashes: Hashes of the pieces of its whole text.
        pending: Results of batches that were neither READY nor ERROR, by id; without those that
            are in ``ended``, too.
        ended: Ids of all others, those without a status among them.
        ids: All ids, in order.
        lengths: Lengths of the elements' texts, in the same order.
        hashes: Hashes of the elements' texts, likewise.

    """

    body_hashes: list[int] = field(factory=list)
    pending: dict[str, PollResult] = field(factory=dict, init=False)
    ended: list[str] = field(factory=list, init=False)
    ids: list[str] = field(factory=list, init=False)
    lengths: array[int] = field(factory=partial(array, "L"), init=False)
    hashes: array[int] = field(factory=partial(array, "q"), init=False)


class Listing(NamedTuple):
    """What a list shows.

    Attributes:
        results: Results by id; READY and ERROR come with the batch, and are left out where nobody
            wants the batch, since it is not read then.
        news: Ids that the previous list did not show.
        memory: Helps to read the next list.
        size: Bytes of the body.

    """

    results: dict[str, PollResult]
    news: list[str]
    memory: ListMemory
    size: int


async def read(
    body: bytes,
    wanted: Container[str],
    read_batch: Callable[[Any], Batch],
    before: ListMemory | None = None,
) -> Listing:
    """Read a list's body with the memory of the previous list.

    A malformed batch, or one without a status, counts as not shown.

    Args:
        body: The response's body, which is dropped as soon as it is decoded.
        wanted: Ids of the batches to read whole when they are READY or ERROR.
        read_batch: Makes a batch of its JSON.
        before: Memory of the previous list, None for none.

    Raises:
        ValueError: It is no list of batches.

    """
    slices = TimeSlices()
    size = len(body)
    body_hashes = await hashes(body, slices)
    if before is None:
        before = ListMemory()
    elif body_hashes == before.body_hashes and not any(one in wanted for one in before.ended):
        return Listing(before.pending, [], before, size)
    text = await text_of(body, slices)
    del body  # megabytes, and the caller keeps none
    reading = _Reading(text, wanted, read_batch, before, ListMemory(body_hashes))
    page: dict[str, Any] = {}
    for key, start, end, value in parts(text, reading.end_of_known):
        if key is None:
            reading.take(start, end, value)
        else:
            page[key] = [] if value is ARRAY else value
        await slices.yield_if_due()
    if (fault := page_fault(page)) is not None:
        raise ValueError(fault)
    memory = reading.memory
    # A batch that is shown twice counts as ended, or its results would differ from read to read.
    for batch_id in memory.pending.keys() & memory.ended:
        del memory.pending[batch_id]
    results = memory.pending | reading.ended if reading.ended else memory.pending
    return Listing(results, reading.news, memory, size)


@define(eq=False, repr=False)
class _Reading:
    """Parser state, compared with the previous list.

    Attributes:
        ended: Results of wanted batches that are READY or ERROR, by id.
        news: Ids that the previous list did not show.
        memory: Memory of this list.

    """

    _text: str
    _wanted: Container[str]
    _read_batch: Callable[[Any], Batch]
    _before: ListMemory
    memory: ListMemory
    ended: dict[str, PollResult] = field(factory=dict, init=False)
    news: list[str] = field(factory=list, init=False)
    _next: int = field(default=0, init=False)  # index in the previous list
    _places: dict[str, int] | None = field(default=None, init=False)  # likewise, by id
    _shared: dict[str, PollResult] = field(factory=dict, init=False)  # one result for each status

    def end_of_known(self, start: int) -> int | None:
        """Return the end of the element that starts here, None if it must be decoded."""
        before, at = self._before, self._next
        if at == len(before.ids):
            return None
        end = start + before.lengths[at]
        if hash(self._text[start:end]) != before.hashes[at]:
            return None
        batch_id = before.ids[at]
        return end if batch_id in before.pending or batch_id not in self._wanted else None

    def take(self, start: int, end: int, element: Any) -> None:
        """Read an element of the list; KNOWN stands for one that is the same as before."""
        if element is KNOWN:
            batch_id = self._before.ids[self._next]
            hashed = self._before.hashes[self._next]
            self._next += 1
            result = self._before.pending.get(batch_id)
        else:
            if (found := _id_and_status(element)) is None:
                return
            batch_id, status = found
            hashed = hash(self._text[start:end])
            self._move_behind(batch_id)
            result = None
            if status in _TERMINAL:
                if batch_id in self._wanted:
                    self._read_ended(batch_id, element)
            elif status is not None:
                result = self._pending(status)
        memory = self.memory
        if result is None:
            memory.ended.append(batch_id)
        else:
            memory.pending[batch_id] = result
        memory.ids.append(batch_id)
        memory.lengths.append(end - start)
        memory.hashes.append(hashed)

    def _pending(self, status: str) -> PollResult:
        result = self._shared.get(status)
        if result is None:
            result = self._shared[status] = PollResult(BatchStatus(status))
        return result

    def _read_ended(self, batch_id: str, element: Any) -> None:
        try:
            batch = self._read_batch(element)
        except DecodeError:
            return
        self.ended[batch_id] = PollResult(batch.status, batch)

    def _move_behind(self, batch_id: str) -> None:
        """Move the cursor in the previous list behind this batch."""
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


def _id_and_status(element: Any) -> tuple[str, str | None] | None:
    """Return the id and the status of an element, None when it is malformed."""
    if not isinstance(element, dict):
        return None
    batch_id, status = element.get("id"), element.get("status")
    if not isinstance(batch_id, str) or not isinstance(status, str | None):
        return None
    return batch_id, status
