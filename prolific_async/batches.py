"""``client.batches``: the verbs of Prolific's Task Builder batches."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from contextvars import Context, copy_context
from functools import partial
from types import EllipsisType
from typing import Any, Literal, TypeAlias, cast, overload
from uuid import UUID

from prolific_async._frames import without_frames
from prolific_async._http import endpoints
from prolific_async._http.endpoints import Request
from prolific_async._http.links import every_page
from prolific_async._http.retry import did_not_run, get_again, retrying
from prolific_async._http.transport import Transport
from prolific_async._numbers import number, whole
from prolific_async._posts.claims import Claims
from prolific_async._posts.duplicate import duplicate_once
from prolific_async._posts.search import Search, odd_batch
from prolific_async._posts.setup import set_up_once
from prolific_async._waiting.looks import Looks
from prolific_async._waiting.wait import Wait
from prolific_async._waiting.waits import ObservedWait, Waits
from prolific_async._wire.arrays import MAX_PROBLEMS
from prolific_async._wire.converter import load
from prolific_async._wire.pages import RESULTS
from prolific_async._wire.turns import Turns
from prolific_async._wording import brief
from prolific_async.errors import ConfigurationError, DecodeError, WaitError
from prolific_async.models import Batch, BatchStatus, StatusEvent
from prolific_async.policies import PollPolicy, RetryPolicy

BatchOrId: TypeAlias = Batch | str | UUID
_Rules: TypeAlias = tuple[PollPolicy, float | None]  # of a wait: how it looks, and its timeout


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
        self._prefix = transport.prefix
        self._send = transport.send
        self._pause = transport.pause
        self._get = retrying(transport.send, retry, get_again, sleep=transport.pause)
        self._post = retrying(transport.send, retry, did_not_run, sleep=transport.pause)
        self._retry = retry
        self._poll = poll
        self._claims = Claims()
        self._search = Search(transport, retry, self._read)
        self._looks = Looks(transport, retry, self._read, _status)
        self._request_timeout = transport.request_timeout
        self._waits = Waits(self._looks, few, transport.looks_at_once)

    async def duplicate(
        self, batch: BatchOrId, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Batch:
        """Make a copy of a batch and return it, UNINITIALISED; call ``setup`` on it next.

        The POST is sent again only when it surely did not run. When its answer is lost, the copy
        is looked for instead, ``RetryPolicy.max_attempts`` times: **with a unique name, a lost copy
        is found and returned**; with the default name it cannot be told from somebody else's.
        Whether a batch is new shows by the service's clock (``Date``), or by the clock of this
        machine where the service's answers do not tell theirs.

        Cancelling it leaves open whether there is a copy, and nobody looks for one: look yourself,
        by its name. A later call with that name says so when its own answer is lost, for an hour.

        Args:
            batch: The batch to copy; its dataset may be in any state.
            name: Name of the copy; by default the service takes "<name of the batch> (Copy)".
            upload_new_dataset: Whether the copy has no dataset, for one to be uploaded; by
                default it shares the batch's own.

        Returns:
            The copy, bound to this client.

        Raises:
            OutcomeUnknownError: The POST may have run, and no copy is surely its own; the
                candidates are named, those that cannot be read by their ids. Two calls are never
                given the same copy.

        Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/duplicate-task-builder-batch

        """
        batch_id = _given_id(batch)
        if name is not None and not isinstance(name, str):
            raise ValueError(f"name must be text: {name!r}")
        if not isinstance(upload_new_dataset, bool):
            raise ValueError(f"upload_new_dataset must be a bool: {upload_new_dataset!r}")  # noqa: TRY004 - by design
        request = endpoints.change(
            batch_id,
            "duplicate",
            prefix=self._prefix,
            name=name,
            upload_new_dataset=upload_new_dataset or None,
        )
        copy = await duplicate_once(
            request,
            name,
            post=self._post,
            claims=self._claims,
            retry=self._retry,
            get_source=lambda: self._search.source(batch_id),
            batches_of=self._search.batches_of,
            sleep=self._pause,
        )
        return self._known(copy)

    async def setup(
        self,
        batch: BatchOrId,
        *,
        dataset_id: str | UUID | None = None,
        tasks_per_group: int | None = None,
    ) -> None:
        """Have a batch's tasks built in the background; ``wait_until_ready`` awaits the end.

        When the answer is lost, the batch's status is read: PROCESSING or READY means that the
        setup was accepted, UNINITIALISED that it may be sent again.

        Cancelling it leaves open whether it was accepted: the status tells.

        Args:
            batch: The batch to set up; its dataset must be READY.
            dataset_id: The dataset to use; not needed if one was attached before.
            tasks_per_group: Tasks in each group, 1 by default. A ``META_TASK_GROUP_ID`` column of
                the dataset takes precedence.

        Raises:
            OutcomeUnknownError: The POST may have run, and the status does not tell.

        Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/setup-task-builder-batch

        """
        batch_id = _given_id(batch)
        if tasks_per_group is not None:
            tasks_per_group = whole("tasks_per_group", tasks_per_group, least=1)
        request = endpoints.change(
            batch_id,
            "setup",
            prefix=self._prefix,
            dataset_id=None if dataset_id is None else endpoints.checked_id(dataset_id),
            tasks_per_group=tasks_per_group,
        )
        await set_up_once(
            request,
            send=self._send,
            retry=self._retry,
            get_status=lambda: self.get_status(batch_id),
            sleep=self._pause,
        )

    async def get_status(self, batch: BatchOrId) -> BatchStatus | None:
        """Return a batch's status, None when the service gave none.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-status
        """
        request = endpoints.look(_given_id(batch), whole=False, prefix=self._prefix)
        return _status(request, (await self._get(request)).data)

    async def get(self, batch: BatchOrId) -> Batch:
        """Return a batch as it is now, bound to this client."""
        request = endpoints.look(_given_id(batch), whole=True, prefix=self._prefix)
        return self._read(request, (await self._get(request)).data)

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
        first = endpoints.list_batches(workspace_id, prefix=self._prefix)
        async with aclosing(every_page(first, self._get)) as pages:
            async for request, page in pages:
                found += await self._read_all(request, page)
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
                policy's, None for no limit, 0 for one look within ``request_timeout``, which no
                earlier one stands for. The last poll comes min(1 s, 5 %) before the end; another
                wait's stands for it in the second (or 25 %) before that. When the loop was blocked
                past the end, the last poll still gets up to a second.
            poll: Gaps and graces, by default the client's. After a failed poll nobody polls the
                batch for the shortest pause of those who wait for it, whoever comes meanwhile.
            on_event: A plain function that is told of every look; what it raises is logged. It
                runs in no task: ``asyncio.current_task()`` is None.

        Returns:
            The batch as it is when READY, bound to this client.

        Raises:
            BatchFailedError: It ended in ERROR.
            BatchNotSetUpError: It stayed UNINITIALISED for ``uninitialised_grace``.
            WaitFailedError: Looking failed for good, or the client was closed.
            WaitTimeoutError: The time is over.

        """
        tell = _checked_on_event(on_event)
        return await self._waits.run(self._wait(batch, self._rules(timeout, poll), tell))

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
            on_event: A plain function that is told of every look of every wait.
            return_exceptions: Whether a wait's error takes its batch's place in the list; by
                default the first error ends the other waits and is raised.

        Raises:
            WaitError: As in ``wait_until_ready``, unless ``return_exceptions``.

        """
        tell = _checked_on_event(on_event)
        rules = self._rules(timeout, poll)
        given = builtins.list(_iterable(batches))
        now = asyncio.get_running_loop().time()
        waits = await self._waits_of(given, rules, tell, now, copy_context())
        async with aclosing(self._waits.ended(waits)) as ended:
            async for wait in ended:
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
            on_event: A plain function that is told of every look of every wait.

        """
        tell = _checked_on_event(on_event)
        rules = self._rules(timeout, poll)
        if isinstance(batches, AsyncIterable):
            stream = self._waits_of_stream(batches, rules, tell)
            return self._outcomes(self._waits.ended_of_stream(stream, copy_context()))
        given = builtins.list(_iterable(batches))
        for batch in given:
            if not isinstance(batch, UUID):
                endpoints.checked_id(_given_id(batch))
        if given:
            self._check_usable()
        now = asyncio.get_running_loop().time()
        # The rest is sliced, as to make 30,000 waits would hold the loop for long.
        build = partial(self._waits_of, given, rules, tell, now, copy_context())
        return self._outcomes_of(build)

    def watch(
        self,
        batch: BatchOrId,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
    ) -> AsyncGenerator[StatusEvent]:
        """Yield each look at a batch, the one that shows READY last.

        The wait goes on while an event is worked on, so none is lost on a slow consumer.

        Args:
            batch: The batch to wait for.
            timeout: Seconds, as in ``wait_until_ready``.
            poll: Gaps and graces, by default the client's.

        Raises:
            WaitError: As ``wait_until_ready`` would, after the last event.

        """
        events: asyncio.Queue[StatusEvent | None] = asyncio.Queue()
        wait = self._wait(batch, self._rules(timeout, poll), events.put_nowait)
        return self._waits.watch(wait, events)

    def look_now(self, batch: BatchOrId) -> None:
        """Make the next look at a batch due now, because something says that it may be READY.

        A webhook of yours, a button: the look keeps to the budget and to the service's pauses, and
        many calls before it make one look. After a failed poll it waits for the end of the pause.
        Does nothing when nobody waits for the batch.

        It is no coroutine, but belongs to the client's event loop. From another thread, such as
        that of a plain ``def`` route of FastAPI, have ``loop.call_soon_threadsafe`` call it.

        Args:
            batch: The batch to look at.

        """
        self._check_usable()
        self._waits.look_now(endpoints.checked_id(_given_id(batch)))

    async def close(self, reason: ConfigurationError) -> None:
        """End every pending wait with WaitFailedError from ``reason``; the client calls this."""
        await self._waits.close(reason)

    def _known(self, batch: Batch) -> Batch:
        self._looks.learn(batch.id, batch.workspace_id)
        return batch.bind(self)

    def _read(self, request: Request, data: Any) -> Batch:
        return self._known(load(Batch, data, request.method, request.path))

    async def _read_all(self, request: Request, page: dict[str, Any]) -> builtins.list[Batch]:
        """Read the batches of a list's page, which may be so many that they are read in slices."""
        call = (request.method, request.path)
        found: builtins.list[Batch] = []
        problems: builtins.list[str] = []
        turns = Turns()
        for index, data in enumerate(page.get(RESULTS) or ()):
            try:
                batch = load(Batch, data, *call, at=f"$.{RESULTS}[{index}]")
            except DecodeError as error:
                batch_id = odd_batch(data).id
                whose = "" if batch_id is None else f" (batch {brief(batch_id)})"
                problems += [problem + whose for problem in error.problems]
            else:
                found.append(self._known(batch))
            if len(problems) >= MAX_PROBLEMS:
                break
            await turns.give()
        if problems:
            raise DecodeError(tuple(problems), page, *call)
        return found

    async def _waits_of(
        self,
        batches: builtins.list[BatchOrId],
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None,
        now: float,
        context: Context,
    ) -> builtins.list[Wait]:
        """Make the waits of a crowd, in slices, as if at a time and in a context."""
        waits: builtins.list[Wait] = []
        turns = Turns()
        for batch in batches:
            waits.append(context.run(self._wait, batch, rules, on_event, now))
            await turns.give()
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
                wait = self._new_wait(str(_given_id(batch)), rules)
                wait.fail(without_frames(error), asyncio.get_running_loop().time())
            yield wait

    def _rules(self, timeout: float | EllipsisType | None, poll: PollPolicy | None) -> _Rules:
        policy = self._poll if poll is None else poll
        if not isinstance(policy, PollPolicy):
            raise ValueError(f"poll must be a PollPolicy: {poll!r}")  # noqa: TRY004 - by design
        limit = policy.timeout if timeout is ... else timeout
        if limit is not None:
            limit = number("timeout", limit, infinite=True, or_none=True)
        return policy, limit

    def _wait(
        self,
        batch: BatchOrId,
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None = None,
        now: float | None = None,
    ) -> Wait:
        batch_id = endpoints.checked_id(_given_id(batch))
        self._check_usable()
        workspace_id = batch.workspace_id if isinstance(batch, Batch) else None
        return self._new_wait(batch_id, rules, on_event, workspace_id, now)

    def _new_wait(
        self,
        batch_id: str,
        rules: _Rules,
        on_event: Callable[[StatusEvent], object] | None = None,
        workspace_id: str | None = None,
        now: float | None = None,
    ) -> Wait:
        policy, limit = rules
        observe = self._waits.observe
        new = Wait if observe is None else partial(ObservedWait, observe(batch_id))
        return new(
            batch_id,
            poll=policy,
            retry=self._retry,
            prefix=self._prefix,
            workspace_id=workspace_id,
            timeout=limit,
            request_timeout=self._request_timeout,
            now=asyncio.get_running_loop().time() if now is None else now,
            made_at=self._claims.given_at(batch_id),
            on_event=on_event,
        )


def _given_id(batch: BatchOrId) -> str | UUID:
    return batch.id if isinstance(batch, Batch) else batch


def _status(request: Request, data: Any) -> BatchStatus | None:
    if type(data) is dict and type(data.get("status")) is str:
        return BatchStatus(data["status"])
    call = (request.method, request.path)
    status = load(dict, data, *call).get("status")
    return None if status is None else load(BatchStatus, status, *call, at="$.status", within=data)


def _iterable(batches: Iterable[BatchOrId]) -> Iterable[BatchOrId]:
    if isinstance(batches, Batch | UUID | str):
        raise ValueError(f"an iterable of batches is needed, not one id: {_given_id(batches)!r}")  # noqa: TRY004 - by design
    if not isinstance(batches, Iterable):
        raise ValueError(f"an iterable of batches is needed, not {type(batches).__name__}")  # noqa: TRY004 - by design
    return batches


def _checked_on_event(
    on_event: Callable[[StatusEvent], object] | None,
) -> Callable[[StatusEvent], object] | None:
    """Return a callback in the context that it was given in.

    Raises:
        ValueError: It is no plain function.

    """
    if on_event is None:
        return None
    is_awaited = inspect.iscoroutinefunction
    # An object may be called as a coroutine function is.
    if not callable(on_event) or is_awaited(on_event) or is_awaited(type(on_event).__call__):
        raise ValueError(f"on_event must be a plain function, not a coroutine's: {on_event!r}")
    # What it logs or traces belongs to whoever waits, not to whatever makes the look.
    context = copy_context()
    return lambda event: context.run(on_event, event)
