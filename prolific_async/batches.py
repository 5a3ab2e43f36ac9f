"""``client.batches``: the verbs of Prolific's Task Builder batches."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from contextvars import Context, copy_context
from functools import partial
from types import EllipsisType
from typing import Any, Literal, TypeAlias, cast, overload
from uuid import UUID

from prolific_async import _validation
from prolific_async._api.batches import BatchesAPI
from prolific_async._http.transport import Transport
from prolific_async._json.slices import TimeSlices
from prolific_async._polling.deadline import Deadline
from prolific_async._polling.poll_history import PollHistory, WaitObservation
from prolific_async._polling.status_source import StatusSource
from prolific_async._polling.wait import Wait
from prolific_async._polling.waits import Waits
from prolific_async._polling.workspaces import Workspaces
from prolific_async._recovery.copy_search import CopySearch, copies_of
from prolific_async._recovery.duplicate import Duplicator, PendingDuplicates
from prolific_async._recovery.setup import set_up
from prolific_async._tracebacks import without_frames
from prolific_async.errors import (
    BatchFailedError,
    ConfigurationError,
    OutcomeUnknownError,
    WaitError,
)
from prolific_async.models import Batch, BatchStatus, Copies, StatusEvent
from prolific_async.policies import PollPolicy, RetryPolicy

BatchOrId: TypeAlias = Batch | str | UUID
"""A batch, or its id as text or as a UUID; for signatures of your own helpers."""
WaitListener: TypeAlias = Callable[[StatusEvent | Batch | WaitError | None], object]
WaitObserver: TypeAlias = Callable[[str], WaitListener | None]
_Rules: TypeAlias = tuple[PollPolicy, float | None]  # of a wait: its policy and its timeout


def batch_id_of(batch: BatchOrId) -> str:
    """Return a batch's id as text, checked as every call of ``Batches`` does before any I/O.

    Raises:
        ValueError: It cannot be an id: it is empty, "." or "..", holds white space or an invisible
            character, or is neither text nor a UUID nor a ``Batch``.

    """
    return _validation.batch_id(batch)


class Batches:
    """Duplicates batches, sets them up, reads them and waits for them.

    Wherever a batch is asked for, a ``Batch``, its id as text, or a ``uuid.UUID`` will do.

    Every verb may raise ConfigurationError (the client is closed, or used from a second loop),
    TransportError, APIStatusError and DecodeError, and ValueError before any I/O for an argument
    that makes no sense; below, only what a verb adds is listed.
    """

    def __init__(
        self, transport: Transport, retry: RetryPolicy, poll: PollPolicy, few: float
    ) -> None:
        self._check_usable = transport.check_usable
        self._pause = transport.pause
        self._request_timeout = transport.request_timeout
        self._prefix = transport.prefix
        self._retry = retry
        self._poll = poll
        self._api = BatchesAPI(transport, retry)
        self._pending = PendingDuplicates()
        self._search = CopySearch(self._api)
        self._duplicator = Duplicator(
            self._api, self._search, self._pending, retry=retry, sleep=transport.pause
        )
        self._workspaces = Workspaces()
        source = StatusSource(self._api, self._workspaces, retry)
        self._waits = Waits(source, self._workspaces, few=few, at_once=transport.polls_at_once)

    async def duplicate(
        self, batch: BatchOrId, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Batch:
        """Make a copy of a batch and return it, UNINITIALISED; call ``setup`` on it next.

        The POST is sent again only if it surely did not run. If its response is lost, the copy is
        searched for instead, ``RetryPolicy.max_attempts`` times: **with a unique name, a lost copy
        is found and returned**; with the default name it cannot be told from somebody else's.
        Whether a batch is new is judged by the service's clock (``Date``), or by the clock of this
        machine if the responses carry none.

        A call that is cancelled leaves open whether there is a copy, and does not search for one;
        ``find_copies`` does. For an hour, a later call with the same name whose own response is
        lost raises OutcomeUnknownError, since a batch of that name may be the cancelled call's.

        Args:
            batch: The batch to copy; its dataset may be in any state.
            name: Name of the copy; by default the service takes "<name of the batch> (Copy)".
            upload_new_dataset: Whether the copy has no dataset, for one to be uploaded; by
                default it shares the batch's own.

        Returns:
            The copy, bound to this client.

        Raises:
            OutcomeUnknownError: The POST may have run, and no batch is surely its copy. It names
                the candidates, and those that cannot be read by their ids. Two calls never return
                the same copy.

        Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/duplicate-task-builder-batch

        """
        batch_id, name = _validation.duplicate(batch, name, upload_new_dataset)
        try:
            copy = await self._duplicator.duplicate(
                batch_id, name=name, upload_new_dataset=upload_new_dataset
            )
        except OutcomeUnknownError as error:
            for candidate in error.candidates:
                self._bind(candidate)
            raise
        self._workspaces.learn(copy.id, copy.workspace_id)
        return copy.bind(self)

    async def find_copies(self, batch: BatchOrId, *, name: str) -> Copies:
        """Return the other batches of a batch's workspace that bear a name, in the list's order.

        It tells what became of a duplicate that was cancelled, or that ended in
        OutcomeUnknownError, if nobody else gives that name to a batch. The workspace's whole list
        is read, one batch at a time. Calls that are made at the same time share the requests.

        Args:
            batch: The batch that was copied, which is left out. Given as an id, it is read first.
            name: Name of the copies; space around it is ignored.

        Returns:
            Those that can be read, bound to this client, and the ids of the others, which may be
            copies, too.

        Raises:
            DecodeError: Among others, when a batch of that name has no id, or when the response is
                no list.

        """
        batch_id = _validation.batch_id(batch)
        name = _validation.unique_name(name)
        source = batch if isinstance(batch, Batch) else (await self._search.source(batch_id)).source
        copies = copies_of(await self._search.named(source, name))
        for copy in copies.batches:
            self._bind(copy)
        return copies

    async def setup(
        self,
        batch: BatchOrId,
        *,
        dataset_id: str | UUID | None = None,
        tasks_per_group: int | None = None,
    ) -> None:
        """Have a batch's tasks built in the background; ``wait_until_ready`` awaits the end.

        If the response is lost, the batch's status is read: PROCESSING or READY means that the
        setup was accepted, UNINITIALISED that it may be sent again.

        A call that is cancelled leaves open whether the setup was accepted: the status tells.

        Args:
            batch: The batch to set up; its dataset must be READY.
            dataset_id: The dataset to use; not needed if one was attached before.
            tasks_per_group: Tasks in each group, 1 by default. A ``META_TASK_GROUP_ID`` column of
                the dataset takes precedence.

        Raises:
            OutcomeUnknownError: The POST may have run, and the status does not tell.

        Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/setup-task-builder-batch

        """
        await set_up(
            self._api,
            _validation.batch_id(batch),
            dataset_id=_validation.optional_identifier(dataset_id),
            tasks_per_group=_validation.tasks_per_group(tasks_per_group),
            retry=self._retry,
            sleep=self._pause,
        )

    async def get_status(self, batch: BatchOrId) -> BatchStatus | None:
        """Return a batch's status, None when the service gave none.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-status
        """
        return await self._api.get_status(_validation.batch_id(batch))

    async def get(self, batch: BatchOrId) -> Batch:
        """Return a batch as it is now, bound to this client."""
        return self._bind(await self._api.get(_validation.batch_id(batch)))

    async def list(self, workspace_id: str) -> builtins.list[Batch]:
        """Return every batch of a workspace, in the service's order, bound to this client.

        The answer holds whole batches, so it may be large. The service documents no pages; where
        it links to a next one, that is read too.

        Raises:
            DecodeError: Among others, when a batch cannot be read (the problem names its id), when
                the answer is no list, when fewer batches come than the service counts, or more
                than a thousand pages.

        """
        found: builtins.list[Batch] = []
        async with aclosing(self._api.pages(_validation.identifier(workspace_id))) as pages:
            async for page in pages:
                found += map(self._bind, page)
        return found

    async def wait_until_ready(
        self,
        batch: BatchOrId,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Batch:
        """Return a batch once it is READY.

        Failures that pass (lost connections, time-outs, 408, 425, 429, 5xx, unreadable answers)
        are survived. Cancelling ends this wait alone and never touches the batch.

        Args:
            batch: The batch to wait for.
            timeout: Seconds for everything, the request in flight included; by default the
                policy's, None for no limit, 0 for one poll within ``request_timeout``, which no
                earlier one stands for. The last poll comes min(1 s, 5 %) before the end; another
                wait's stands for it in the second (or 25 %) before that. When the loop was blocked
                past the end, the last poll still gets up to a second.
            poll: Gaps and graces, by default the client's. After a failed poll nobody polls the
                batch for the shortest pause of those who wait for it, whoever comes meanwhile.
            on_event: A plain function that is told of every poll; what it raises is logged. It
                runs in no task: ``asyncio.current_task()`` is None.

        Returns:
            The batch as it is when READY, bound to this client.

        Raises:
            BatchFailedError: It ended in ERROR.
            BatchNotSetUpError: It stayed UNINITIALISED for ``uninitialised_grace``.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The time is over.

        """
        tell = _validation.on_event(on_event)
        wait = self._wait(batch, _validation.poll_rules(timeout, poll, self._poll), tell)
        await self._waits.run(wait)
        self._bind_outcome(wait)
        return wait.result()

    @overload
    async def wait_all(
        self,
        batches: Iterable[BatchOrId],
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: Literal[False] = False,
    ) -> builtins.list[Batch]: ...
    @overload
    async def wait_all(
        self,
        batches: Iterable[BatchOrId],
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool,
    ) -> builtins.list[Batch | WaitError]: ...
    async def wait_all(
        self,
        batches: Iterable[BatchOrId],
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool = False,
    ) -> builtins.list[Batch] | builtins.list[Batch | WaitError]:
        """Return many batches once all are READY, in the order given; one may be given twice.

        Args:
            batches: The batches to wait for, any number.
            timeout: Seconds for each wait, as in ``wait_until_ready``.
            poll: Gaps and graces, by default the client's.
            on_event: A plain function that is told of each poll of every wait.
            return_exceptions: Whether a wait's error takes its batch's place in the list; by
                default the first error ends the other waits and is raised.

        Raises:
            WaitError: As in ``wait_until_ready``, unless ``return_exceptions``.

        """
        tell = _validation.on_event(on_event)
        rules = _validation.poll_rules(timeout, poll, self._poll)
        given = builtins.list(_validation.batches(batches))
        waits = await self._waits_of(given, rules, tell, self._deadline(rules), copy_context())
        async with aclosing(self._waits.ended(waits)) as ended:
            async for wait in ended:
                self._bind_outcome(wait)
                if not return_exceptions:
                    wait.result()
        outcomes: Any = [wait.outcome for wait in waits]
        return cast("builtins.list[Batch]", outcomes)

    def as_ready(
        self,
        batches: Iterable[BatchOrId] | AsyncIterable[BatchOrId],
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> AsyncGenerator[Batch | WaitError]:
        """Yield each batch when it is READY, or its WaitError when its wait ends otherwise.

        One failure never ends the other waits. Leaving the loop early ends them; close the
        generator (``contextlib.aclosing``) to have that happen at once.

        Args:
            batches: The batches to wait for, any number; one may be given twice. An async iterable
                is read as it goes, never far ahead, so it may have no end; what it brings that
                can be no id is a WaitFailedError in its place, its cause the ValueError.
            timeout: Seconds for each wait, as in ``wait_until_ready``, from this call or from when
                the async iterable brought the batch.
            poll: Gaps and graces, by default the client's.
            on_event: A plain function that is told of each poll of every wait.

        """
        tell = _validation.on_event(on_event)
        rules = _validation.poll_rules(timeout, poll, self._poll)
        if isinstance(batches, AsyncIterable):
            stream = self._waits_of_stream(batches, rules, tell)
            return self._outcomes(self._waits.ended_of_stream(stream, copy_context()))
        given = builtins.list(_validation.batches(batches))
        for batch in given:
            if not isinstance(batch, UUID):
                _validation.batch_id(batch)
        if given:
            self._check_usable()
        # The rest is sliced, as to make 30,000 waits would hold the loop for long.
        build = partial(
            self._waits_of,
            given,
            rules,
            tell,
            self._deadline(rules),
            copy_context(),
        )
        return self._outcomes_of(build)

    def watch(
        self,
        batch: BatchOrId,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
    ) -> AsyncGenerator[StatusEvent]:
        """Yield each poll of a batch, the one that shows READY last.

        The wait goes on while an event is worked on, so none is lost on a slow consumer.

        Args:
            batch: The batch to wait for.
            timeout: Seconds, as in ``wait_until_ready``.
            poll: Gaps and graces, by default the client's.

        Raises:
            WaitError: As ``wait_until_ready`` would, after the last event.

        """
        events: asyncio.Queue[StatusEvent | None] = asyncio.Queue()
        wait = self._wait(
            batch, _validation.poll_rules(timeout, poll, self._poll), events.put_nowait
        )
        return self._watched(wait, events)

    def poll_now(self, batch: BatchOrId) -> None:
        """Make the next poll of a batch due now, because something says that it may be READY.

        A webhook of yours, a button: the poll keeps to the rate limit and to the service's pauses,
        and many calls before it make one poll. After a failed poll it waits for the end of the
        pause. Does nothing when nobody waits for the batch.

        It is no coroutine, but belongs to the client's event loop. From another thread, such as
        that of a plain ``def`` route of FastAPI, have ``loop.call_soon_threadsafe`` call it.

        Args:
            batch: The batch to poll.

        """
        self._check_usable()
        self._waits.poll_now(_validation.batch_id(batch))

    def add_wait_observer(self, observer: WaitObserver) -> None:
        """Report every wait of this client that begins from now on, for tracing and metrics.

        The observer is called with the batch's id when a wait begins, and returns a listener for
        that wait, or None to ignore it. The listener is called with each ``StatusEvent``, then once
        with the outcome: the READY batch, the WaitError, or None if the wait was cancelled or its
        generator was closed. Both run in the context of the call that waits, but in no task. What
        they raise is logged and changes nothing. ``wait_all`` and ``as_ready`` begin a wait for
        each batch. An observer that is added twice is called once.

            def observe(batch_id):
                waits_in_progress.inc()

                def listen(news):
                    if not isinstance(news, StatusEvent):
                        waits_in_progress.dec()

                return listen

            client.batches.add_wait_observer(observe)

        Args:
            observer: A plain function.

        Raises:
            ValueError: It is no plain function.

        """
        if not callable(observer) or inspect.iscoroutinefunction(observer):
            raise ValueError(f"observer must be a plain function: {observer!r}")
        if observer not in self._waits.observers:
            self._waits.observers += (observer,)

    def remove_wait_observer(self, observer: WaitObserver) -> None:
        """Report no wait that begins from now on to an observer; does nothing if it is not added.

        Args:
            observer: A function that was given to ``add_wait_observer``.

        """
        self._waits.observers = tuple(one for one in self._waits.observers if one != observer)

    async def close(self, reason: ConfigurationError) -> None:
        """End every pending wait with WaitFailedError from ``reason``; the client calls this."""
        await self._waits.close(reason)

    def _bind(self, batch: Batch) -> Batch:
        self._workspaces.learn(batch.id, batch.workspace_id)
        return batch.bind(self)

    def _bind_outcome(self, wait: Wait) -> None:
        outcome = wait.outcome
        if isinstance(outcome, BatchFailedError):
            outcome = outcome.batch
        if isinstance(outcome, Batch):
            self._bind(outcome)

    async def _watched(
        self, wait: Wait, events: asyncio.Queue[StatusEvent | None]
    ) -> AsyncGenerator[StatusEvent]:
        async with aclosing(self._waits.watch(wait, events)) as watched:
            async for event in watched:
                yield event
        self._bind_outcome(wait)
        wait.result()

    async def _waits_of(
        self,
        batches: builtins.list[BatchOrId],
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None,
        time: Deadline,
        context: Context,
    ) -> builtins.list[Wait]:
        """Make the waits of many batches, in slices; all share a start and a context."""
        waits: builtins.list[Wait] = []
        slices = TimeSlices()
        for batch in batches:
            waits.append(context.run(self._wait, batch, rules, on_event, time))
            await slices.yield_if_due()
        return waits

    async def _outcomes_of(
        self, build: Callable[[], Awaitable[builtins.list[Wait]]]
    ) -> AsyncGenerator[Batch | WaitError]:
        outcomes = self._outcomes(self._waits.ended(await build()))
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    async def _outcomes(self, ended: AsyncGenerator[Wait]) -> AsyncGenerator[Batch | WaitError]:
        async with aclosing(ended):
            async for wait in ended:
                self._bind_outcome(wait)
                if wait.outcome is not None:
                    yield wait.outcome

    async def _waits_of_stream(
        self,
        batches: AsyncIterable[BatchOrId],
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None,
    ) -> AsyncGenerator[Wait]:
        """Yield a wait for each batch that comes; one that can be no id must not end the others."""
        async for batch in batches:
            try:
                wait = self._wait(batch, rules, on_event)
            except ValueError as error:
                wait = self._new_wait(str(batch.id if isinstance(batch, Batch) else batch), rules)
                wait.fail(without_frames(error), asyncio.get_running_loop().time())
            yield wait

    def _wait(
        self,
        batch: BatchOrId,
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None = None,
        time: Deadline | None = None,
    ) -> Wait:
        batch_id = _validation.batch_id(batch)
        self._check_usable()
        workspace_id = batch.workspace_id if isinstance(batch, Batch) else None
        return self._new_wait(batch_id, rules, on_event, workspace_id, time)

    def _deadline(self, rules: _Rules) -> Deadline:
        now = asyncio.get_running_loop().time()
        return Deadline.after(now, rules[1], self._request_timeout)

    def _new_wait(
        self,
        batch_id: str,
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None = None,
        workspace_id: str | None = None,
        time: Deadline | None = None,
    ) -> Wait:
        policy = rules[0]
        observers = self._waits.observers
        observation = WaitObservation(batch_id, observers) if observers else None
        made_at = self._pending.given_at(batch_id)
        return Wait(
            key=batch_id,
            workspace_id=workspace_id,
            time=time or self._deadline(rules),
            history=PollHistory(batch_id, on_event, observation),
            policy=policy,
            retry=self._retry,
            found_by=-math.inf if made_at is None else made_at + policy.not_found_grace,
        )
