"""OpenTelemetry: a span for each wait, its looks as events. It needs the extra ``[otel]``.

::

    from opentelemetry.instrumentation.aiohttp_client import create_trace_config
    from prolific_async.otel import instrument

    client = instrument(ProlificClient(trace_configs=[create_trace_config()]))

The trace config, of the package ``opentelemetry-instrumentation-aiohttp-client``, gives each
request a span of its own, ``instrument`` each wait. Either works without the other.

A span "prolific wait" lasts as long as a call waits for a batch: ``wait_until_ready`` and ``watch``
have one, ``wait_all`` and ``as_ready`` one for each batch, two for one that is given twice. It is a
child of the span in which the call was made, and has

- the attributes ``prolific.batch.id``, ``prolific.batch.status`` (the newest known) and
  ``prolific.wait.polls`` (looks);
- an event "look" for each look, with ``prolific.batch.status``, ``prolific.wait.polls``, in seconds
  ``prolific.wait.elapsed`` and ``prolific.wait.next_in``, and ``error.type`` if it failed; of a
  long wait, OpenTelemetry keeps the last 128, unless ``OTEL_SPAN_EVENT_COUNT_LIMIT`` is set;
- the status OK when the batch is READY, else ERROR with the exception and ``error.type``. A wait
  that nobody waited for to its end, being cancelled or left, has no status but an event "left".

``error.type`` is the name of a class of ``prolific_async``, of a WaitError for a wait.

A look serves all who wait, so its request is the child of none of them: its span is a root. No span
shows the token, unless the trace config is told to capture the header ``authorization``.
"""

from __future__ import annotations

import time
from typing import TypeVar

try:
    from opentelemetry import context, trace
except ImportError as error:  # other packages of the namespace may be there without it
    raise ImportError(
        "prolific_async.otel needs the extra [otel]: install prolific_async with it, see README"
    ) from error

from prolific_async._version import __version__
from prolific_async.client import ProlificClient
from prolific_async.errors import WaitError
from prolific_async.models import Batch, StatusEvent

__all__ = ["instrument"]

Client = TypeVar("Client", bound=ProlificClient)


def instrument(client: Client, *, tracer_provider: trace.TracerProvider | None = None) -> Client:
    """Have the waits that a client begins from now on told as spans, and return it.

    Again changes nothing.

    Args:
        client: The client.
        tracer_provider: Where the spans go, by default to the global one.

    Raises:
        ValueError: The client's spans go to another tracer provider already.

    """
    waits = client.batches._waits  # noqa: SLF001 - the hook is no public name
    if not isinstance(waits.observe, _Tracing):
        waits.observe = _Tracing(tracer_provider)
    elif tracer_provider not in (None, waits.observe.provider or trace.get_tracer_provider()):
        raise ValueError("the client's spans go to another tracer provider already")
    return client


class _Tracing:
    """Makes what turns a wait into a span."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self.provider = provider
        self._tracer = trace.get_tracer("prolific_async", __version__, provider)

    def __call__(self, batch_id: str) -> _WaitSpan:
        return _WaitSpan(self._tracer, batch_id)


class _WaitSpan:
    """The span of one wait.

    It is that of the call, but made with the first news: a call that waits for nothing has none.
    """

    def __init__(self, tracer: trace.Tracer, batch_id: str) -> None:
        self._tracer = tracer
        self._batch_id = batch_id
        self._began = time.time_ns()
        self._parent = context.get_current()
        self._span: trace.Span | None = None

    def __call__(self, news: StatusEvent | Batch | WaitError | None) -> None:
        if self._span is None:
            self._span = self._tracer.start_span(
                "prolific wait",
                self._parent,
                attributes={"prolific.batch.id": self._batch_id},
                start_time=self._began,
            )
        if isinstance(news, StatusEvent):
            self._saw(self._span, news)
        else:
            self._ended(self._span, news)

    def _saw(self, span: trace.Span, event: StatusEvent) -> None:
        seen: dict[str, str | int | float] = {"prolific.wait.polls": event.polls}
        if event.status is not None:
            seen["prolific.batch.status"] = str(event.status)
        span.set_attributes(seen)
        seen["prolific.wait.elapsed"] = event.elapsed
        if event.next_in is not None:
            seen["prolific.wait.next_in"] = event.next_in
        if event.error is not None:
            seen["error.type"] = type(event.error).__qualname__
        span.add_event("look", seen)

    def _ended(self, span: trace.Span, outcome: Batch | WaitError | None) -> None:
        if isinstance(outcome, WaitError):
            span.set_attribute("error.type", type(outcome).__qualname__)
            span.record_exception(outcome)
            span.set_status(trace.StatusCode.ERROR, str(outcome))
        elif outcome is not None:
            span.set_status(trace.StatusCode.OK)
        else:
            span.add_event("left")
        span.end()
