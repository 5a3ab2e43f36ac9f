"""OpenTelemetry: a span for each wait, its looks as events. It needs the extra ``[otel]``.

::

    from opentelemetry.instrumentation.aiohttp_client import create_trace_config
    from prolific_async.otel import instrument

    client = instrument(ProlificClient(trace_configs=[create_trace_config()]))

The trace config, of the package ``opentelemetry-instrumentation-aiohttp-client``, gives each
request a span of its own, ``instrument`` each wait. Either works without the other.

A span "prolific wait" lasts as long as a call waits for a batch: ``wait_until_ready`` and ``watch``
have one, ``wait_all`` and ``as_ready`` one for each batch. It is a child of the span in which the
call was made, and has

- the attributes ``prolific.batch.id``, ``prolific.batch.status`` (the newest known) and
  ``prolific.wait.polls`` (looks);
- an event "look" for each look, with ``prolific.batch.status``, ``prolific.wait.polls``, in seconds
  ``prolific.wait.elapsed`` and ``prolific.wait.next_in``, and ``error.type`` if it failed;
- the status OK when the batch is READY, else ERROR with the exception and ``error.type``. A wait
  that nobody waited for to its end, being cancelled or left, has no status but an event "left".

A look serves all who wait, so its request is the child of none of them: its span is a root. No span
shows the token, unless the trace config is told to capture the header ``authorization``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any, Self, TypeVar

from opentelemetry import context, trace

from prolific_async._version import __version__
from prolific_async.batches import Batches, BatchOrId, checked_on_event
from prolific_async.errors import BatchFailedError, WaitError
from prolific_async.models import Batch, BatchStatus, StatusEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
    from types import TracebackType

    from prolific_async.client import ProlificClient

__all__ = ["instrument"]

Client = TypeVar("Client", bound="ProlificClient")
Outcome = TypeVar("Outcome", bound=Batch | WaitError)

_NANOSECONDS = 1_000_000_000  # in a second


def instrument(client: Client, *, tracer_provider: trace.TracerProvider | None = None) -> Client:
    """Have all waits of a client from now on told as spans, and return it. Again changes nothing.

    Args:
        client: The client, best before anything else has its ``batches``.
        tracer_provider: Where the spans go, by default to the global one.

    """
    if not isinstance(client.batches, _TracedBatches):
        tracer = trace.get_tracer("prolific_async", __version__, tracer_provider)
        client.batches = _TracedBatches(client.batches, tracer)
    return client


class _TracedBatches(Batches):
    """The same resource, whose calls that wait have spans."""

    def __init__(self, batches: Batches, tracer: trace.Tracer) -> None:
        vars(self).update(vars(batches))  # one engine, one budget, and what either has learnt
        self._tracer = tracer

    async def wait_until_ready(
        self,
        batch: BatchOrId,
        *,
        timeout: Any = ...,
        poll: Any = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Batch:
        with _Spans(self, self._tracer) as spans:
            ready = await super().wait_until_ready(
                spans.begin(batch), timeout=timeout, poll=poll, on_event=spans.telling(on_event)
            )
            return spans.end(ready)

    async def wait_all(
        self,
        batches: Iterable[BatchOrId],
        *,
        timeout: Any = ...,
        poll: Any = None,
        on_event: Callable[[StatusEvent], object] | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        with _Spans(self, self._tracer) as spans:
            outcomes = await super().wait_all(
                spans.begin_each(batches),
                timeout=timeout,
                poll=poll,
                on_event=spans.telling(on_event),
                return_exceptions=return_exceptions,
            )
            return [spans.end(outcome) for outcome in outcomes]

    def as_ready(
        self,
        batches: Iterable[BatchOrId] | AsyncIterable[BatchOrId],
        *,
        timeout: Any = ...,
        poll: Any = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> AsyncGenerator[Batch | WaitError]:
        with ExitStack() as stack:
            spans = stack.enter_context(_Spans(self, self._tracer))
            outcomes = super().as_ready(
                spans.begin_each(batches),
                timeout=timeout,
                poll=poll,
                on_event=spans.telling(on_event),
            )
            return self._traced_outcomes(outcomes, spans, stack.pop_all())

    def watch(
        self, batch: BatchOrId, *, timeout: Any = ..., poll: Any = None
    ) -> AsyncGenerator[StatusEvent]:
        with ExitStack() as stack:
            spans = stack.enter_context(_Spans(self, self._tracer))
            events = super().watch(spans.begin(batch), timeout=timeout, poll=poll)
            return self._traced_events(events, spans, stack.pop_all())

    async def _traced_outcomes(
        self,
        outcomes: AsyncGenerator[Batch | WaitError],
        spans: _Spans,
        open_spans: ExitStack,
    ) -> AsyncGenerator[Batch | WaitError]:
        with open_spans:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    yield spans.end(outcome)

    async def _traced_events(
        self, events: AsyncGenerator[StatusEvent], spans: _Spans, open_spans: ExitStack
    ) -> AsyncGenerator[StatusEvent]:
        with open_spans:
            async with aclosing(events):
                async for event in events:
                    spans.saw(event)
                    yield event


class _Spans:
    """The spans of one call, by batch; those that are left at its end are ended with it."""

    def __init__(self, batches: Batches, tracer: trace.Tracer) -> None:
        self._batches = batches
        self._tracer = tracer
        self._parent = context.get_current()  # a stream of batches is read by a task of its own
        self._going: dict[str, _WaitSpan] = {}

    def begin(self, batch: BatchOrId) -> BatchOrId:
        """Begin a batch's span, unless it has one, and return the batch."""
        batch_id = str(batch.id if isinstance(batch, Batch) else batch)
        if batch_id not in self._going:
            self._going[batch_id] = _WaitSpan(self._tracer, self._parent, batch_id)
        return batch

    def begin_each(self, batches: Any) -> Any:
        """Begin a span with each batch of an iterable, as it is read."""
        if isinstance(batches, str):  # a mistake, which is not ours to tell
            return batches
        if hasattr(batches, "__aiter__"):
            return (self.begin(batch) async for batch in batches)
        return map(self.begin, batches)

    def telling(
        self, on_event: Callable[[StatusEvent], object] | None
    ) -> Callable[[StatusEvent], object]:
        """Return what is to be called with each look, for the spans and for the caller."""
        tell = checked_on_event(on_event)
        if tell is None:
            return self.saw

        def saw(event: StatusEvent) -> None:
            self.saw(event)
            tell(event)

        return saw

    def saw(self, event: StatusEvent) -> None:
        """Take in a look."""
        if event.batch_id in self._going:
            self._going[event.batch_id].saw(event)

    def end(self, outcome: Outcome) -> Outcome:
        """End the span of the batch that an outcome is about, and return the outcome."""
        if isinstance(outcome, WaitError):
            key, error = outcome.batch_id, outcome
            batch = outcome.batch if isinstance(outcome, BatchFailedError) else None
        else:
            key, error, batch = outcome.id, None, outcome
        if batch is not None:
            batch.bind(self._batches)  # its own verbs are traced, too
        if key in self._going:
            self._going.pop(key).end(error)
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, WaitError):
            self.end(error)
            error = None  # of no other batch
        for span in self._going.values():
            span.end(error)
        self._going.clear()


class _WaitSpan:
    """The span of one wait. Its times are those of the wait, however late they are told."""

    def __init__(self, tracer: trace.Tracer, parent: context.Context, batch_id: str) -> None:
        self._began = time.time_ns()
        self._span = tracer.start_span(
            "prolific wait",
            parent,
            attributes={"prolific.batch.id": batch_id},
            start_time=self._began,
        )
        self._polls = 0
        self._ready_after: float | None = None

    def saw(self, event: StatusEvent) -> None:
        if event.polls <= self._polls:  # the batch was given twice, and both waits tell
            return
        self._polls = event.polls
        is_ready = event.status is BatchStatus.READY and event.next_in is None
        self._ready_after = event.elapsed if is_ready and event.error is None else None
        if not self._span.is_recording():
            return
        seen: dict[str, str | int | float] = {"prolific.wait.polls": event.polls}
        if event.status is not None:
            seen["prolific.batch.status"] = str(event.status)
        self._span.set_attributes(seen)
        seen["prolific.wait.elapsed"] = event.elapsed
        if event.next_in is not None:
            seen["prolific.wait.next_in"] = event.next_in
        if event.error is not None:
            seen["error.type"] = type(event.error).__name__
        self._span.add_event("look", seen, self._after(event.elapsed))

    def end(self, error: BaseException | None) -> None:
        """End it with an error that is the wait's own; else it is READY, or was left."""
        at = self._after(error.elapsed) if isinstance(error, WaitError) else time.time_ns()
        if isinstance(error, Exception):
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.record_exception(error, timestamp=at)
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
        elif self._ready_after is not None:
            at = self._after(self._ready_after)
            self._span.set_status(trace.Status(trace.StatusCode.OK))
        else:
            self._span.add_event("left")
        self._span.end(at)

    def _after(self, seconds: float) -> int:
        return self._began + int(seconds * _NANOSECONDS)
