"""The workload of the soak test: rounds of duplicate, setup and wait, and their outcomes.

A round may cancel any of its calls, and its client may be closed and replaced meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

import aiohttp
import attrs

from benchmarks.soak_server import REQUEST_TIMEOUT, TOKEN, UNSPOILT, key_of
from prolific_async import (
    Batch,
    BatchFailedError,
    BatchNotSetUpError,
    BatchStatus,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    ProlificError,
    RetryPolicy,
    StatusEvent,
    WaitError,
    WaitTimeoutError,
)
from prolific_async.simulator.models import ERROR, READY

T = TypeVar("T")

WAIT = 5.0  # seconds for a wait; a set-up is over in a tenth of a second, or after four polls
LOST = 15.0  # seconds after which a call counts as hanging
CLIENTS = 4
IMPATIENT = 0.15  # share of calls that are cancelled if they take long
PATIENCE = 0.05  # mean seconds until they are cancelled
_POLL = PollPolicy(initial=0.01, maximum=0.05, timeout=WAIT, not_found_grace=0.2)
_RETRY = RetryPolicy(initial=0.005, maximum=0.05, retry_after_cap=0.1)

# URLs of the list requests of the current duplicate that met no fault.
_lists: ContextVar[list[str]] = ContextVar("_lists")


async def _note_list(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, ended: aiohttp.TraceRequestEndParams
) -> None:
    if ended.url.path.endswith("/batches") and UNSPOILT in ended.response.headers:
        _lists.get([]).append(str(ended.url))


class Clients:
    """A few clients with various settings that rounds share; any may be closed at any time."""

    def __init__(self, url: str, draw: Random) -> None:
        self._url = url
        self._draw = draw
        self._open = [self._make() for _ in range(CLIENTS)]
        self.made = CLIENTS

    def pick(self) -> ProlificClient:
        return self._draw.choice(self._open)[0]

    def has(self, client: ProlificClient) -> bool:
        """Tell whether a client is still open."""
        return any(client is one for one, _ in self._open)

    async def replace(self) -> None:
        """Close a client while it is in use, and put a new one in its place."""
        place = self._draw.randrange(CLIENTS)
        old, self._open[place] = self._open[place], self._make()
        self.made += 1
        await _close(*old)

    async def close(self) -> None:
        while self._open:
            await _close(*self._open.pop())

    def _make(self) -> tuple[ProlificClient, aiohttp.ClientSession | None]:
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(_note_list)
        borrows = self._draw.random() < 0.25
        session = aiohttp.ClientSession(trace_configs=[trace]) if borrows else None
        client = ProlificClient(
            TOKEN,
            base_url=self._url,
            session=session,
            request_timeout=REQUEST_TIMEOUT,
            retry=_RETRY,
            poll=_POLL,
            strategy=self._draw.choice(("auto", "status", "list")),
            max_requests_per_second=self._draw.choice((None, None, 500.0)),
            max_connections=self._draw.choice((2, 10, 100)),
            trace_configs=() if session else (trace,),
        )
        return client, session


async def _close(client: ProlificClient, session: aiohttp.ClientSession | None) -> None:
    await client.close()
    if session is not None:
        await session.close()


@attrs.define
class CallerRecord:
    """The results of an epoch's calls; a key is a source and the name of its copy."""

    rounds: int = 0
    outcomes: Counter[str] = attrs.field(factory=Counter)
    calls: Counter[str] = attrs.field(factory=Counter)
    returned: Counter[str] = attrs.field(factory=Counter)
    candidates: set[str] = attrs.field(factory=set)
    cancelled: Counter[str] = attrs.field(factory=Counter)
    # Calls that could not know of their copy, since no list request succeeded.
    unlisted: Counter[str] = attrs.field(factory=Counter)
    accepted: set[str] = attrs.field(factory=set)
    ends: dict[str, str] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)


@attrs.frozen
class Outcome(Generic[T]):
    """The outcome of a call: its result, its error, or neither when it was cancelled."""

    result: T | None = None
    failure: ProlificError | None = None
    was_cancelled: bool = False

    @property
    def name(self) -> str:
        if self.was_cancelled:
            return "cancelled"
        return "done" if self.failure is None else type(self.failure).__name__


class Rounds:
    """The rounds of one epoch, in which the service has one rate of faults."""

    def __init__(
        self, record: CallerRecord, plan: dict[str, Any], clients: Clients, draw: Random
    ) -> None:
        self._record = record
        self._slows: bool = plan["slows"]
        self._crowded: Sequence[str] = plan["crowded"]
        self._alone: list[str] = plan["alone"]
        self._clients = clients
        self._draw = draw
        self._numbers = count()
        self._set_up: list[Batch] = []

    async def play(self) -> None:
        """Make one round: duplicate, setup and a wait, up to the first failure."""
        self._record.rounds += 1
        client = self._clients.pick()
        copy = await self._duplicate(client)
        if copy is None or not await self._setup(client, copy):
            return
        self._set_up.append(copy)
        waits = (self._wait, self._share, self._wait_all, self._as_ready, self._watch)
        await self._draw.choice(waits)(client, copy)

    async def _duplicate(self, client: ProlificClient) -> Batch | None:
        source, name = self._source_and_name(client)
        key = key_of(source, name)
        record = self._record
        record.calls[key] += 1
        _lists.set([])
        outcome = await self._try("duplicate", client.batches.duplicate(source, name=name))
        if outcome.was_cancelled:
            record.cancelled[key] += 1
        elif outcome.result is not None:
            record.returned[outcome.result.id] += 1
        elif isinstance(outcome.failure, OutcomeUnknownError):
            record.candidates.update(candidate.id for candidate in outcome.failure.candidates)
            if not (_lists.get() and self._clients.has(client)):
                record.unlisted[key] += 1
        return outcome.result

    def _source_and_name(self, client: ProlificClient) -> tuple[str, str | None]:
        """Draw a source and a name; some sources are used once, some names by several calls."""
        chance = self._draw.random()
        if chance < 0.2 and self._alone:
            return self._alone.pop(), None
        source = self._draw.choice(self._crowded)
        number = next(self._numbers)
        if chance > 0.9:
            # No client can tell its copy from one of the same name that another client made.
            return source, f"Pair {number // 16} of {id(client)}"
        return source, f"Round {number}"

    async def _setup(self, client: ProlificClient, copy: Batch) -> bool:
        tasks = self._draw.choice((None, 1, 5))
        outcome = await self._try("setup", client.batches.setup(copy, tasks_per_group=tasks))
        if outcome.name == "done":
            self._record.accepted.add(copy.id)
        return outcome.name == "done"

    async def _wait(self, client: ProlificClient, copy: Batch) -> None:
        self._judge(copy.id, await self._try("wait", client.batches.wait_until_ready(copy)))

    async def _share(self, client: ProlificClient, copy: Batch) -> None:
        """Wait several times for one batch; cancelling one wait must not end the others."""
        await asyncio.gather(*(self._wait(client, copy) for _ in range(3)))

    async def _wait_all(self, client: ProlificClient, copy: Batch) -> None:
        copies = [copy, *self._set_up[-10:]]
        outcome = await self._try(
            "wait_all", client.batches.wait_all(copies, return_exceptions=True)
        )
        for one, end in zip(copies, outcome.result or (), strict=False):
            self._judge(one.id, _as_outcome(end))

    async def _as_ready(self, client: ProlificClient, copy: Batch) -> None:
        copies = {one.id for one in (copy, *self._set_up[-10:])}

        async def collect() -> dict[str, Batch | WaitError]:
            async with aclosing(client.batches.as_ready(copies)) as ready:
                return {end.id: end async for end in ready}

        outcome = await self._try("as_ready", collect())
        if outcome.result is not None and outcome.result.keys() != copies:
            self._record.problems.append("as_ready forgot a wait")
        for batch_id, end in (outcome.result or {}).items():
            self._judge(batch_id, _as_outcome(end))

    async def _watch(self, client: ProlificClient, copy: Batch) -> None:
        async def last() -> StatusEvent:
            async with aclosing(client.batches.watch(copy)) as events:
                return [event async for event in events][-1]

        outcome = await self._try("watch", last())
        if outcome.result is not None and outcome.result.status is not BatchStatus.READY:
            self._record.problems.append(f"watch ended with {outcome.result}")
        self._judge(copy.id, outcome)

    def _judge(self, batch_id: str, outcome: Outcome[Any]) -> None:
        """Record how a wait for a set-up batch ended; an end that must not happen is a problem."""
        match outcome.failure:
            case None if not outcome.was_cancelled:
                self._record.ends[batch_id] = READY
            case BatchFailedError():
                self._record.ends[batch_id] = ERROR
            case BatchNotSetUpError():
                self._record.problems.append(f"{batch_id} was set up, but {outcome.failure}")
            # If the newest poll failed, the wait could not know: a client with two connections
            # makes one poll at a time, so few succeed in an outage.
            case WaitTimeoutError(__cause__=None) if not self._slows:
                self._record.problems.append(f"the end was missed: {outcome.failure}")

    async def _try(self, verb: str, call: Awaitable[T]) -> Outcome[T]:
        """Await a call, which may be cancelled early and is never awaited for ever."""
        draw = self._draw
        impatient = draw.random() < IMPATIENT
        patience = draw.expovariate(1 / PATIENCE) if impatient else LOST
        try:
            async with asyncio.timeout(patience):
                outcome = Outcome(await call)
        except ProlificError as failure:
            outcome = Outcome(failure=failure)
        except TimeoutError:
            outcome = Outcome(was_cancelled=True)
            if not impatient:
                self._record.problems.append(f"{verb} hung for {LOST} s")
        self._record.outcomes[f"{verb}: {outcome.name}"] += 1
        return outcome


def _as_outcome(end: Batch | WaitError) -> Outcome[Batch]:
    return Outcome(failure=end) if isinstance(end, WaitError) else Outcome(end)
