"""List parser: reads the statuses of batches from a workspace's list, in slices.

A list holds whole batches, so it may have megabytes: decoding it at once would block the loop. As
few batches change from one poll to the next, an element whose text has the same hash as in the
previous list is not decoded again.
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import define, field

from prolific_async._json.long_bodies import decode_text, hashes
from prolific_async._json.pages import ARRAY, KNOWN, page_fault, parts
from prolific_async._polling.poll_results import PollResult
from prolific_async._time_slices import TimeSlices
from prolific_async.errors import DecodeError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from prolific_async.models import Batch

_TERMINAL = (BatchStatus.READY, BatchStatus.ERROR)


@define(eq=False, repr=False)
class ListMemory:
    """Hashes and results of a list, which make reading the workspace's next list faster.

    Attributes:
        body_hashes: Hashes of the pieces of the body.
        pending: Results of batches with any status but READY and ERROR, by id.
        ended: Ids of all other batches, including batches without a status.
        ids: Ids of all batches, in the order of the list.
        lengths: Lengths of the elements' texts, in the same order.
        hashes: Hashes of the elements' texts, in the same order.

    """

    body_hashes: list[int] = field(factory=list)
    pending: dict[str, PollResult] = field(factory=dict, init=False)
    ended: list[str] = field(factory=list, init=False)
    ids: list[str] = field(factory=list, init=False)
    lengths: array[int] = field(factory=partial(array, "L"), init=False)
    hashes: array[int] = field(factory=partial(array, "q"), init=False)


class Listing(NamedTuple):
    """The content of a list.

    Attributes:
        results: Results by id. A READY or ERROR result includes the batch; it is left out for a
            batch that is not wanted.
        new_ids: Ids of batches that the previous list did not show.
        memory: Memory for reading the next list.
        size: Bytes of the body.

    """

    results: dict[str, PollResult]
    new_ids: list[str]
    memory: ListMemory
    size: int


async def read(
    body: bytes,
    wanted: Container[str],
    read_batch: Callable[[Any], Batch],
    before: ListMemory | None = None,
) -> Listing:
    """Read a list's body with the memory of the previous list.

    A batch that is malformed or has no status gets no result.

    Args:
        body: The response's body, which is dropped as soon as it is decoded.
        wanted: Ids of the batches to read whole when they are READY or ERROR.
        read_batch: Makes a ``Batch`` of decoded JSON; a DecodeError counts as malformed.
        before: Memory of the previous list, None for none.

    Raises:
        ValueError: The body is not a list of batches.

    """
    slices = TimeSlices()
    size = len(body)
    body_hashes = await hashes(body, slices)
    if before is None:
        before = ListMemory()
    elif body_hashes == before.body_hashes and not any(one in wanted for one in before.ended):
        return Listing(before.pending, [], before, size)
    text = await decode_text(body, slices)
    del body  # frees megabytes, as the caller keeps no reference
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
    # A batch in both is listed twice, with two statuses: its result would vary between reads.
    for batch_id in memory.pending.keys() & memory.ended:
        del memory.pending[batch_id]
    results = memory.pending | reading.ended if reading.ended else memory.pending
    return Listing(results, reading.new_ids, memory, size)


@define(eq=False, repr=False)
class _Reading:
    """Parser state, compared with the previous list.

    Attributes:
        ended: Results of wanted batches that are READY or ERROR, by id.
        new_ids: Ids of batches that the previous list did not show.
        memory: Memory of this list.

    """

    _text: str
    _wanted: Container[str]
    _read_batch: Callable[[Any], Batch]
    _before: ListMemory
    memory: ListMemory
    ended: dict[str, PollResult] = field(factory=dict, init=False)
    new_ids: list[str] = field(factory=list, init=False)
    _next: int = field(default=0, init=False)  # index in the previous list
    _places: dict[str, int] | None = field(default=None, init=False)  # such indexes, by id
    _shared: dict[str, PollResult] = field(factory=dict, init=False)  # one result for each status

    def end_of_known(self, start: int) -> int | None:
        """Return the end of an unchanged element at ``start``, None if it must be decoded."""
        before, at = self._before, self._next
        if at == len(before.ids):
            return None
        end = start + before.lengths[at]
        if hash(self._text[start:end]) != before.hashes[at]:
            return None
        batch_id = before.ids[at]
        return end if batch_id in before.pending or batch_id not in self._wanted else None

    def take(self, start: int, end: int, element: Any) -> None:
        """Read an element of the list; ``KNOWN`` stands for an element that did not change."""
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
                self.new_ids.append(batch_id)
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
