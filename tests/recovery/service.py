"""A service of one workspace without HTTP, for the rules of ``duplicate`` in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

from attrs import define, field

from prolific_async import Batch, BatchStatus, RetryPolicy
from prolific_async._api.batch_lists import ServiceTime
from prolific_async._api.batches import BatchesAPI, SourceBatchRead
from prolific_async._api.partial_batches import PartialBatch, SourceBatch
from prolific_async._http.request import Request
from prolific_async._http.responses import Response, http_date
from prolific_async._json.converter import load
from prolific_async._recovery.batch_search import BatchSearch, Found, namesakes, wanted_name
from prolific_async._recovery.duplicate import Duplicator, PendingDuplicates
from prolific_async._recovery.unknown_outcome import call_of
from prolific_async._validation import identifier
from prolific_async.errors import OutcomeUnknownError, ProlificError
from tests.recovery.failures import AT_ONCE, DUPLICATE, LOST
from tests.virtual_time import run

# The service's clock, which is years ahead of ours.
THEIR_START = datetime(2031, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)

Post = Callable[[Request], Awaitable[Response]]


def their_now() -> datetime:
    return THEIR_START + timedelta(seconds=asyncio.get_running_loop().time())


def a_batch(batch_id: str, name: str, created_at: datetime, workspace_id: str = "w-1") -> Batch:
    return Batch(
        id=batch_id,
        created_at=created_at,
        created_by="u-1",
        datasets=(),
        name=name,
        status=BatchStatus.UNINITIALISED,
        total_task_count=0,
        total_instruction_count=1,
        workspace_id=workspace_id,
    )


@define
class _Posting:
    """The typed calls, with ``duplicate`` alone."""

    post: Post
    given: list[dict[str, object]]

    async def duplicate(self, batch_id: str, **given: object) -> Batch:
        assert batch_id == "b-1"
        self.given.append(given)
        response = await self.post(DUPLICATE)
        return load(Batch, response.data, DUPLICATE.method, DUPLICATE.path)


@define
class Service:
    """One workspace with the source batch b-1, and one client's pending duplicates.

    Attributes:
        source_name: The name of b-1.
        pending_duplicates: The ledger.
        batches: What is in the workspace, oldest first.
        unread: What reading the source or the list fails with, by either word.
        failures: What the next reads fail with, each once.
        odd: What is in the workspace and cannot be read whole.
        date: The Date of responses, None for the clock of responses.
        ahead: Seconds by which the clock of responses is ahead of that of batches.
        ours_ahead: Seconds that the clock of this machine is.
        hides: How many lists still leave out what was made.
        slowness: Seconds that a read takes.
        seen: What was read.
        given: The arguments of each duplicate.

    """

    source_name: str = "Original"
    pending_duplicates: PendingDuplicates = field(factory=PendingDuplicates)
    batches: list[Batch] = field(factory=list)
    unread: dict[str, ProlificError] = field(factory=dict)
    failures: list[ProlificError] = field(factory=list)
    odd: list[PartialBatch] = field(factory=list)
    date: str | None = None
    ahead: float = 0.0
    ours_ahead: float = -1e8
    hides: int = 0
    slowness: float = 0.0
    seen: list[str] = field(factory=list)
    given: list[dict[str, object]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.batches.append(a_batch("b-1", self.source_name, THEIR_START - timedelta(days=9)))

    def make(self, name: str, *, age: float = 0.0) -> Batch:
        created = their_now() - timedelta(seconds=age)
        batch = a_batch(f"c-{len(self.batches)}", name, created)
        self.batches.append(batch)
        return batch

    async def source(self, batch_id: str) -> SourceBatchRead:
        assert batch_id == "b-1"
        self.seen.append("source")
        await asyncio.sleep(self.slowness)
        self._fail("source")
        # HTTP knows whole seconds, and cuts off the rest.
        now = (their_now() + timedelta(seconds=self.ahead)).replace(microsecond=0)
        date = format_datetime(now, usegmt=True) if self.date is None else self.date
        source = self.batches[0]
        return SourceBatchRead(
            SourceBatch(source.id, source.name, source.workspace_id), http_date(date)
        )

    def utc_now(self) -> float:
        return their_now().timestamp() + self.ours_ahead

    async def named(
        self, source: SourceBatch, name: str, since: float = -math.inf
    ) -> dict[str, Found]:
        self.seen.append(identifier(source.workspace_id))
        await asyncio.sleep(self.slowness / 2)
        self._fail("list")
        batches = list(self.batches)
        if self.hides > 0:
            self.hides -= 1
            del batches[1:]
        await asyncio.sleep(self.slowness / 2)
        found: list[Found] = [*self.odd, *batches]
        wanted = [one for one in found if wanted_name(_wire(one), {name: since}) is not None]
        return namesakes(wanted, name, source)

    async def named_in_workspace(
        self, workspace_id: str, name: str
    ) -> tuple[dict[str, Found], ServiceTime]:
        now = (their_now() + timedelta(seconds=self.ahead)).replace(microsecond=0)
        date = format_datetime(now, usegmt=True) if self.date is None else self.date
        time = ServiceTime(http_date(date), asyncio.get_running_loop().time())
        nothing = SourceBatch("none", "", workspace_id)
        return await self.named(nothing, name), time

    def _fail(self, read: str) -> None:
        if read in self.unread:
            raise self.unread[read]
        if self.failures:
            raise self.failures.pop(0)

    def duplicator(
        self, post: Post, search: Any = None, *, retry: RetryPolicy = AT_ONCE
    ) -> Duplicator:
        return Duplicator(
            cast("BatchesAPI", _Posting(post, self.given)),
            cast("BatchSearch", self if search is None else search),
            self.pending_duplicates,
            retry=retry,
            sleep=asyncio.sleep,
            utc_now=self.utc_now,
        )

    async def duplicate(self, name: str | None, post: Post) -> Batch:
        return await self.duplicator(post).duplicate("b-1", name=name)

    async def create(self, name: str, post: Post) -> Batch:
        async def send() -> Batch:
            response = await post(DUPLICATE)
            return load(Batch, response.data, DUPLICATE.method, DUPLICATE.path)

        return await self.duplicator(post).create("w-1", name, send)

    def answering(self, name: str) -> Post:
        async def post(request: Request) -> Response:
            assert request is DUPLICATE
            await asyncio.sleep(0.1)
            return Response({}, self.make(name).to_dict())

        return post

    def losing(self, *names: str, error: ProlificError = LOST, takes: float = 0.1) -> Post:
        """Return a POST that makes batches of these names and loses its response."""

        async def post(request: Request) -> Response:
            assert request is DUPLICATE
            await asyncio.sleep(takes / 2)
            for name in names:
                self.make(name)
            await asyncio.sleep(takes / 2)
            raise error

        return post


def _wire(batch: Found) -> dict[str, Any]:
    made = batch.created_at and batch.created_at.isoformat()
    return {"name": batch.name, "created_at": made}


def unknown(
    outcome: Batch | ProlificError,
    *candidates: str,
    cause: Any = LOST,
    unreadable: tuple[str, ...] = (),
) -> None:
    assert isinstance(outcome, OutcomeUnknownError)
    assert [batch.id for batch in outcome.candidates] == list(candidates)
    assert isinstance(outcome.candidates, tuple)
    assert outcome.unreadable == unreadable
    assert outcome.__cause__ is cause
    outcome.__cause__ = None  # as others do to it
    assert outcome.failure is cause
    assert (outcome.method, outcome.path) == call_of(outcome.failure)
    for batch_id in (*candidates, *unreadable):
        assert batch_id in str(outcome)


def given_back(outcome: Batch | ProlificError) -> str:
    assert isinstance(outcome, Batch), repr(outcome)
    return outcome.id


def in_virtual_time(
    test: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    def sync() -> None:
        run(test(Service()))

    sync.__name__ = test.__name__
    return sync
