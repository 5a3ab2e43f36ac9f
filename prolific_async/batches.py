"""``client.batches``: the calls on Prolific's Task Builder batches, and the waits for them."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from types import EllipsisType
from typing import Any, Literal, TypeAlias, cast, overload
from uuid import UUID

# For annotations with classes that are imported on their first use.
import prolific_async
from prolific_async import _validation
from prolific_async._api.batches import BatchesAPI
from prolific_async._http.transport import Transport
from prolific_async._numbers import number
from prolific_async._polling.wait_methods import Awaited, WaitMethods, result_of
from prolific_async._recovery.copying import Copying
from prolific_async._recovery.setup import set_up
from prolific_async._resources.batch_answers import BatchAnswers
from prolific_async._resources.batch_editing import BatchEditing
from prolific_async._resources.client_state import ClientState
from prolific_async._resources.duplicate_and_wait import (
    CopyPlan,
    duplicate_and_wait,
    duplicate_and_wait_all,
)
from prolific_async._resources.job_waits import JobWaits
from prolific_async.errors import (
    OutcomeUnknownError,
    ProlificError,
    WaitError,
)
from prolific_async.models import Batch, BatchStatus, Copies, StatusEvent
from prolific_async.policies import PollPolicy, RetryPolicy

BatchOrId: TypeAlias = Batch | str | UUID
"""A batch, or its id as text or as a UUID; for the signatures of your own helpers."""
WaitListener: TypeAlias = Callable[[StatusEvent | Batch | WaitError | None], object]
WaitObserver: TypeAlias = Callable[[str], WaitListener | None]


def batch_id_of(batch: BatchOrId) -> str:
    """Return a batch's id as text, after the check that every call makes before it sends anything.

    Raises:
        ValueError: It is neither text nor a UUID nor a ``Batch``, or the id is empty, "." or "..",
            or contains white space or an invisible character.

    """
    return _validation.batch_id(batch)


class Batches(BatchEditing, BatchAnswers):
    """Makes batches, sets them up, waits for them, and reads and exports the answers.

    A batch is given as a ``Batch``, as its id in text, or as a ``uuid.UUID``.

    Every call may raise ConfigurationError (the client is closed, or used from a second loop),
    TransportError, APIStatusError and DecodeError, and, before anything is sent, ValueError for an
    invalid argument. The methods list only further errors.

    Attributes:
        state: The state that a client shares with its views.
        job_waits: Waits for the jobs that it began, for their own ``wait``.

    """

    # Named again here, as pdoc shows no inherited methods.
    create = BatchEditing.create
    update = BatchEditing.update
    sync = BatchEditing.sync
    task_ids = BatchEditing.task_ids
    task_group_ids = BatchEditing.task_group_ids
    preview_url = BatchEditing.preview_url
    responses = BatchAnswers.responses
    report = BatchAnswers.report
    export = BatchAnswers.export
    exports = BatchAnswers.exports

    def __init__(
        self, transport: Transport, retry: RetryPolicy, poll: PollPolicy, state: ClientState
    ) -> None:
        api = BatchesAPI(transport, retry)
        copying = Copying(
            api,
            state.pending,
            state.named_copy_calls,
            retry=retry,
            poll=poll,
            sleep=transport.sleep,
        )
        BatchEditing.__init__(self, transport, state.workspaces, copying, state.job_starts)
        self._wait_methods: WaitMethods[Batch] = WaitMethods(
            state.wait_runner, state.pending.returned_at, transport.request_timeout, retry
        )
        job_waits = JobWaits(self._wait_methods, state.job_starts, poll)
        BatchAnswers.__init__(self, transport, state.job_starts, job_waits)
        self._check_usable = transport.check_usable
        self._sleep = transport.sleep
        self._prefix = transport.prefix
        self._retry = retry
        self._poll = poll
        self._api = api
        self.state = state

    async def duplicate(
        self, batch: BatchOrId, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Batch:
        """Make a copy of a batch and return it, UNINITIALISED; call ``setup`` on it next.

        The POST is repeated only if it surely did not run. If its response is lost, the copy is
        searched for instead, ``RetryPolicy.max_attempts`` times: **with a unique name, a lost copy
        is found and returned**. With the default name it may be somebody else's. A batch counts as
        new by the service's clock (``Date``), or by this machine's if the responses have no date.

        If the call is cancelled, there may or may not be a copy; ``find_copies`` tells. For an
        hour, a later call with the same name whose response is lost raises OutcomeUnknownError,
        since the cancelled call may have made the batch of that name.

        Args:
            batch: The batch to copy; its dataset may be in any state.
            name: Name of the copy; by default the service takes "<name of the batch> (Copy)".
            upload_new_dataset: Whether the copy has no dataset, so that a new one can be uploaded;
                by default it shares the batch's own.

        Returns:
            The copy, bound to this client.

        Raises:
            OutcomeUnknownError: The POST may have run, and no batch is surely its copy. The error
                names the candidates. Two calls never return the same copy.

        Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/duplicate-task-builder-batch

        """
        batch_id, name = _validation.duplicate(batch, name, upload_new_dataset)
        try:
            copy = await self._copying.duplicate(
                batch_id, name=name, upload_new_dataset=upload_new_dataset
            )
        except OutcomeUnknownError as error:
            error.candidates = tuple(map(self._bind, error.candidates))
            raise
        self._workspaces.learn(copy.id, copy.workspace_id)
        return copy.bind(self)

    async def get_or_duplicate(
        self, batch: BatchOrId, *, name: str, settle_seconds: float = 30.0
    ) -> Batch:
        """Return the one copy of a batch under a unique name; it is made if there is none.

        Safe to call again, after a failure, a cancellation or a crash: a job that is run twice
        makes one copy. Any batch of the workspace with that name is taken for the copy, even if
        somebody else made it or it is not a copy, and in any ``status``.

        The name is searched for first. A duplicate whose response is lost is searched for, and sent
        again when it has not shown after ``settle_seconds``: ``RetryPolicy.max_attempts`` times in
        all. A copy that was made is searched for as well, to see that it is the only one. Searches
        are repeated as the ``RetryPolicy`` says.

        Calls of this client that give the same batch and name at the same time share one attempt,
        the first one's, which goes on until all of them are cancelled.

        It takes three or four requests when nothing fails. A lost duplicate adds its
        ``request_timeout`` at most, its searches, and ``settle_seconds``: some two minutes with the
        defaults if every response is refused at once, four if each one times out.
        ``asyncio.timeout`` bounds it.

        The service knows no idempotency key, so several processes can each make a copy at the same
        time. At most one of them is then given its copy, if the list shows each copy within
        ``settle_seconds``; the others get an OutcomeUnknownError that names all there are. A second
        copy is also made if a duplicate takes effect more than ``settle_seconds`` after its
        response was lost, or while its process has died and another one calls this. Once two
        batches bear the name, each call raises and sends nothing.

        Args:
            batch: The batch to copy; its dataset may be in any state.
            name: Name of the copy, which nobody else gives to a batch of the workspace; space
                around it is dropped.
            settle_seconds: Seconds in which a lost duplicate must show in the workspace's list.
                Make them longer than the service, and any proxy before it, can hold a request.

        Returns:
            The copy, bound to this client.

        Raises:
            OutcomeUnknownError: More than one batch bears the name, or a copy may have been made
                that was not found. It names the candidates; another call goes on from there.
            ProlificError: The search failed before anything was sent, or the service refused.

        """
        batch_id = _validation.batch_id(batch)
        name = _validation.unique_name(name)
        seconds = number("settle_seconds", settle_seconds)
        self._check_usable()
        source = batch if isinstance(batch, Batch) else None
        try:
            return self._bind(
                await self._copying.get_or_duplicate(
                    batch_id, name, settle_seconds=seconds, source=source
                )
            )
        except OutcomeUnknownError as error:
            error.candidates = tuple(map(self._bind, error.candidates))
            raise

    async def duplicate_and_wait(
        self,
        batch: BatchOrId,
        *,
        name: str | None = None,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Batch:
        """Duplicate a batch, set the copy up, and return it once it is READY.

        With a name it is safe to call again: as ``get_or_duplicate`` it makes one copy, and one
        that was set up before, perhaps with other options, is only waited for.

        Args:
            batch: The batch to copy.
            name: Unique name of the copy, as in ``get_or_duplicate``. By default the service names
                it, and the copy is made as by ``duplicate``: with every call a new one.
            dataset_id: The dataset to use, as in ``setup``.
            tasks_per_group: Tasks in each group, as in ``setup``.
            timeout: Seconds for all of it, None for no limit; by default the policy's, for the wait
                alone.
            on_event: A plain function that is called with every poll, as in ``wait_until_ready``.

        Raises:
            WaitError: As in ``wait_until_ready``. A WaitTimeoutError whose ``step`` is not "wait"
                has an OutcomeUnknownError as its ``failure``, as that step's POST may have run.
            ProlificError: As in ``duplicate``, ``get_or_duplicate`` and ``setup``. Every error has
                ``step``, the step that failed, and ``copy``, None if no copy is known.

        """
        plan = self._copy_plan(batch, dataset_id, tasks_per_group, timeout, on_event)
        name = None if name is None else _validation.unique_name(name)
        return await duplicate_and_wait(self, self.state.setups, plan, name)

    @overload
    async def duplicate_and_wait_all(
        self,
        batch: BatchOrId,
        names: Iterable[str],
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: Literal[False] = False,
    ) -> builtins.list[Batch]: ...
    @overload
    async def duplicate_and_wait_all(
        self,
        batch: BatchOrId,
        names: Iterable[str],
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool,
    ) -> builtins.list[Batch | ProlificError]: ...
    async def duplicate_and_wait_all(
        self,
        batch: BatchOrId,
        names: Iterable[str],
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | EllipsisType | None = ...,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool = False,
    ) -> builtins.list[Batch] | builtins.list[Batch | ProlificError]:
        """Return a READY copy of a batch for each name, in the order given: ``duplicate_and_wait``.

        Args:
            batch: The batch to copy.
            names: Unique names of the copies; one that is given twice stands for one copy.
            dataset_id: The dataset that all use, as in ``setup``.
            tasks_per_group: Tasks in each group, as in ``setup``.
            timeout: Seconds for all of it, None for no limit; by default the policy's, for each
                wait alone.
            on_event: A plain function that is called with every poll of every wait.
            return_exceptions: Whether an error takes its copy's place in the list; by default the
                first error ends the others and is raised. Called again with the same names, this
                goes on with the copies that were made.

        Raises:
            ProlificError: As ``duplicate_and_wait``, unless ``return_exceptions``.

        """
        plan = self._copy_plan(batch, dataset_id, tasks_per_group, timeout, on_event)
        outcomes: Any = await duplicate_and_wait_all(
            self,
            self.state.setups,
            plan,
            _validation.unique_names(names),
            return_exceptions=return_exceptions,
        )
        return cast("builtins.list[Batch]", outcomes)

    async def find_copies(self, batch: BatchOrId, *, name: str) -> Copies:
        """Return the other batches in a batch's workspace that have a name, in the list's order.

        Use it after a ``duplicate`` that was cancelled or raised OutcomeUnknownError. It finds the
        copy if nobody else gives a batch that name. The workspace's whole list is read, one batch
        at a time; calls at the same time share the requests.

        Args:
            batch: The batch that was copied, which is left out. Its workspace is searched; if only
                its id is given, the batch is read first.
            name: Name of the copies; white space around it is ignored.

        Returns:
            The batches that can be read, bound to this client, and the ids of those that cannot.

        Raises:
            DecodeError: Also when a batch of that name has no id, or the response is not a list.

        """
        batch_id = _validation.batch_id(batch)
        name = _validation.unique_name(name)
        source = batch if isinstance(batch, Batch) else None
        copies = await self._copying.find_copies(batch_id, name, source=source)
        for copy in copies.batches:
            self._bind(copy)
        return copies

    async def setup(
        self,
        batch: BatchOrId,
        *,
        dataset_id: prolific_async.Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
    ) -> None:
        """Start to build a batch's tasks; ``wait_until_ready`` waits until they are built.

        If the response is lost, the batch's status is read: PROCESSING or READY means that the
        setup was accepted, UNINITIALISED that it may be sent again. After a cancelled call, read
        the status in the same way.

        Args:
            batch: The batch to set up; its dataset must be READY.
            dataset_id: The dataset to use, or its id; not needed if one was attached before.
            tasks_per_group: Tasks in each group, 1 by default. A ``META_TASK_GROUP_ID`` column of
                the dataset takes precedence.

        Raises:
            OutcomeUnknownError: The POST may have run, and the status does not show whether it did.

        Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/setup-task-builder-batch

        """
        await set_up(
            self._api,
            _validation.batch_id(batch),
            dataset_id=_validation.optional_dataset_id(dataset_id),
            tasks_per_group=_validation.tasks_per_group(tasks_per_group),
            retry=self._retry,
            sleep=self._sleep,
        )

    async def get_status(self, batch: BatchOrId) -> BatchStatus | None:
        """Return a batch's status, None if the service sends none.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-status
        """
        return await self._api.get_status(_validation.batch_id(batch))

    async def get(self, batch: BatchOrId) -> Batch:
        """Read a batch and return it, bound to this client."""
        return self._bind(await self._api.get(_validation.batch_id(batch)))

    async def list(self, workspace_id: str) -> builtins.list[Batch]:
        """Return every batch of a workspace, in the service's order, bound to this client.

        The response holds whole batches, so it may be large. The service documents no pages; if
        it links to a next page, that is read too, up to a thousand pages.

        Raises:
            DecodeError: Also when a batch cannot be read (the problem names its id), the response
                is not a list, fewer batches come than the service counts, or there are too many
                pages.

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
        """Wait until a batch is READY and return it.

        Passing failures (lost connections, time-outs, 408, 425, 429, 5xx, unreadable responses) do
        not end the wait. Cancelling ends this wait alone and never touches the batch.

        Args:
            batch: The batch to wait for.
            timeout: Seconds for everything, the request in flight included; by default the
                policy's. None is no limit; 0 is one poll, made now, of at most ``request_timeout``.
                A last poll is made min(1 s, 5 %) before the end, unless another wait polled the
                batch within the second (or 25 %) before that. If the loop was blocked past the end,
                the last poll is made afterwards and takes up to a second.
            poll: How often to poll and what to tolerate; by default the client's policy. After a
                failed poll nothing polls the batch until the shortest pause of its waits is over.
            on_event: A plain function that is called with every poll; what it raises is logged. It
                runs in no task: ``asyncio.current_task()`` is None.

        Returns:
            The batch as it was when READY, bound to this client.

        Raises:
            BatchFailedError: The batch ended in ERROR.
            BatchNotSetUpError: The batch stayed UNINITIALISED for ``uninitialised_grace``.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The timeout is over.

        """
        wait, over = self._wait_methods.start(
            self._awaited(batch),
            _validation.wait_rules(timeout, poll, on_event, default=self._poll),
        )
        try:
            await over
        finally:
            if wait.outcome is None:
                await self._wait_methods.leave(wait, over)
        ready: Batch = result_of(wait, self)
        return ready

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
        """Wait until many batches are READY and return them in the order given.

        Args:
            batches: The batches to wait for, any number; one may be given twice.
            timeout: Seconds for each wait, as in ``wait_until_ready``.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll of every wait.
            return_exceptions: Whether to return a wait's error in place of its batch; by default
                the first error ends the other waits and is raised.

        Raises:
            WaitError: As in ``wait_until_ready``, unless ``return_exceptions``.

        """
        rules = _validation.wait_rules(timeout, poll, on_event, default=self._poll)
        given = builtins.list(_validation.batches(batches))
        outcomes = await self._wait_methods.wait_all(
            map(self._awaited, given),
            rules,
            self,
            return_exceptions=return_exceptions,
        )
        return cast("builtins.list[Batch]", outcomes)

    def as_ready(
        self,
        batches: Iterable[BatchOrId] | AsyncIterable[BatchOrId],
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> AsyncGenerator[Batch | WaitError]:
        """Yield each batch as soon as it is READY, or its WaitError if its wait ends otherwise.

        A failure does not end the other waits. Leaving the loop early does; close the generator
        (``contextlib.aclosing``) to end them at once.

        Args:
            batches: The batches to wait for, any number; one may be given twice. An async iterable
                is read only a little ahead, so it may be endless. An invalid id from it yields a
                WaitFailedError that was caused by the ValueError.
            timeout: Seconds for each wait, as in ``wait_until_ready``, from this call or from when
                the async iterable yielded the batch.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll of every wait.

        """
        rules = _validation.wait_rules(timeout, poll, on_event, default=self._poll)
        if isinstance(batches, AsyncIterable):
            stream = self._awaited_of_stream(batches)
            return self._wait_methods.as_ready_of_stream(stream, rules, self)
        given = builtins.list(_validation.batches(batches))
        for batch in given:
            if not isinstance(batch, UUID):
                _validation.batch_id(batch)
        if given:
            self._check_usable()
        return self._wait_methods.as_ready(map(self._awaited, given), rules, self)

    def watch(
        self,
        batch: BatchOrId,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
    ) -> AsyncGenerator[StatusEvent]:
        """Yield every poll of a batch, up to the one that shows READY.

        Polling goes on while you handle an event, and no event is lost.

        Args:
            batch: The batch to wait for.
            timeout: Seconds, as in ``wait_until_ready``.
            poll: How often to poll and what to tolerate; by default the client's policy.

        Raises:
            WaitError: After the last event, as in ``wait_until_ready``.

        """
        awaited = self._awaited(batch)
        rules = _validation.wait_rules(timeout, poll, None, default=self._poll)
        self._check_usable()
        return self._wait_methods.watch(awaited, rules, self)

    def poll_now(self, batch: BatchOrId) -> None:
        """Make the next poll of a batch due now; does nothing if no wait is for this batch.

        Call it when something else, such as a webhook of yours, says that the batch may be READY.
        The poll respects the rate limit, the pauses that the service asked for, and the pause after
        a failed poll. Several calls before the poll make one poll.

        It is not a coroutine, but must be called in the client's event loop. From another thread,
        such as that of a plain ``def`` route of FastAPI, use ``loop.call_soon_threadsafe``.

        Args:
            batch: The batch to poll.

        """
        self._check_usable()
        self.state.wait_runner.poll_now(_validation.batch_id(batch))

    def add_wait_observer(self, observer: WaitObserver) -> None:
        """Report every wait for a batch that begins from now on, for tracing and metrics.

        When a wait begins, the observer is called with the batch's id, and returns a listener for
        that wait, or None to ignore it. The listener is called with each ``StatusEvent``, then once
        with the outcome: the READY batch, the WaitError, or None if the wait was cancelled or its
        generator was closed. Both run in the context of the call that waits, but in no task; what
        they raise is logged. ``wait_all`` and ``as_ready`` begin a wait for each batch. An observer
        that is added twice is called once.

            def observe(batch_id):
                waits_in_progress.inc()

                def listen(event_or_outcome):
                    if not isinstance(event_or_outcome, StatusEvent):
                        waits_in_progress.dec()

                return listen

            client.batches.add_wait_observer(observe)

        Args:
            observer: A plain function.

        Raises:
            ValueError: It is not a plain function.

        """
        if not callable(observer) or inspect.iscoroutinefunction(observer):
            raise ValueError(f"observer must be a plain function: {observer!r}")
        wait_runner = self.state.wait_runner
        if observer not in wait_runner.observers:
            wait_runner.observers += (observer,)

    def remove_wait_observer(self, observer: WaitObserver) -> None:
        """Stop reporting new waits to an observer; does nothing if it was not added.

        Args:
            observer: A function that was given to ``add_wait_observer``.

        """
        wait_runner = self.state.wait_runner
        wait_runner.observers = tuple(one for one in wait_runner.observers if one != observer)

    def _copy_plan(
        self,
        batch: BatchOrId,
        dataset_id: prolific_async.Dataset | str | UUID | None,
        tasks_per_group: int | None,
        timeout: float | EllipsisType | None,
        on_event: Callable[[StatusEvent], object] | None,
    ) -> CopyPlan:
        _validation.wait_rules(timeout, None, on_event, default=self._poll)
        if timeout is not ... and _validation.timeout(timeout) == 0:
            raise ValueError("timeout must be above 0: it bounds the duplicate, too")
        self._check_usable()
        return CopyPlan(
            source=batch,
            source_id=_validation.batch_id(batch),
            prefix=self._prefix,
            dataset_id=_validation.optional_dataset_id(dataset_id),
            tasks_per_group=_validation.tasks_per_group(tasks_per_group),
            timeout=timeout if timeout is ... else _validation.timeout(timeout),
            on_event=on_event,
        )

    def _awaited(self, batch: BatchOrId) -> Awaited:
        """Check a batch to wait for, and remember its workspace."""
        batch_id = _validation.batch_id(batch)
        if not isinstance(batch, Batch):
            return Awaited(batch_id)
        workspace_id = batch.workspace_id
        if batch._batches is not self:  # noqa: SLF001 - else it was learnt when it was bound
            self._workspaces.learn(batch_id, workspace_id)
        return Awaited(batch_id, workspace_id)

    async def _awaited_of_stream(
        self, batches: AsyncIterable[BatchOrId]
    ) -> AsyncGenerator[Awaited]:
        async for batch in batches:
            try:
                awaited = self._awaited(batch)
            except ValueError as error:
                shown = str(batch.id if isinstance(batch, Batch) else batch)
                awaited = Awaited(shown, error=error)
            yield awaited
