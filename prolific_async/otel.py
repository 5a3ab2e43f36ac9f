"""OpenTelemetry: a span for each call and each wait, its polls as events. Extra ``[otel]``.

::

    from opentelemetry.instrumentation.aiohttp_client import create_trace_config
    from prolific_async.otel import instrument

    client = instrument(ProlificClient(trace_configs=[create_trace_config()]))

The trace config, of OpenTelemetry's own package for aiohttp, which the extra brings, gives each
request a span. ``instrument`` gives one to each call and to each wait. Either works without the
other.

A span "prolific duplicate" lasts as long as the call, and the spans of all its requests are below
it: those that are sent again, and those that search for a copy whose answer was lost. So do "prolific
setup", "prolific get", "prolific get_status" and "prolific list". Such a span has

- the attribute ``prolific.batch.id``, of the batch that was given, or ``prolific.workspace.id``,
  and after a duplicate ``prolific.copy.id``;
- the status OK when the call returned, else ERROR with the exception and ``error.type``. A call
  that was cancelled has no status but an event "left".

A span "prolific wait" lasts as long as a call waits for a batch: ``wait_until_ready`` and ``watch``
have one, ``wait_all`` and ``as_ready`` one for each batch, two for one that is given twice. It is a
child of the span in which the call was made, and has

- the attributes ``prolific.batch.id``, ``prolific.batch.status`` (the newest known) and
  ``prolific.wait.polls`` (polls);
- an event "poll" for each poll, with ``prolific.batch.status``, ``prolific.wait.polls``, in seconds
  ``prolific.wait.elapsed`` and ``prolific.wait.next_in``, and ``error.type`` if it failed; of a
  long wait, OpenTelemetry keeps the last 128, unless ``OTEL_SPAN_EVENT_COUNT_LIMIT`` is set;
- the status OK when the batch is READY, else ERROR with the exception and ``error.type``. A wait
  that nobody waited for to its end, being cancelled or left, has no status but an event "left".

``error.type`` is the name of the exception's class.

A poll serves all who wait, so its request is the child of none of them: its span is a root. No span
shows the token, unless the trace config is told to capture the header ``authorization``. What
tracing raises is logged, and breaks no call and no wait.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from prolific_async._logging import log as _log

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

_CALLS = ("duplicate", "setup", "get", "get_status", "list")
_GIVEN = {"batch": "prolific.batch.id", "workspace_id": "prolific.workspace.id"}


def instrument(client: Client, *, tracer_provider: trace.TracerProvider | None = None) -> Client:
    """Trace the calls and waits that a client begins from now on, and return it. Idempotent.

    Args:
        client: The client.
        tracer_provider: Where the spans go, by default to the global one.

    Raises:
        ValueError: The client's spans go to another tracer provider already.

    """
    waits = client.batches._waits  # noqa: SLF001 - the hook is no public name
    if not isinstance(waits.observe, _Tracing):
        tracing = waits.observe = _Tracing(tracer_provider)
        for name in _CALLS:
            # On the resource, since a batch's own verbs call the resource's.
            setattr(client.batches, name, tracing.traced(name, getattr(client.batches, name)))
    elif tracer_provider not in (None, waits.observe.provider or trace.get_tracer_provider()):
        raise ValueError("the client's spans go to another tracer provider already")
    return client


class _Tracing:
    """Makes what turns a wait or a call into a span."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self.provider = provider
        self._tracer = trace.get_tracer("prolific_async", __version__, provider)

    def __call__(self, batch_id: str) -> _WaitSpan:
        return _WaitSpan(self._tracer, batch_id)

    def traced(
        self, name: str, verb: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return a verb each call of which is a span."""
        given, *_ = inspect.signature(verb).parameters

        @wraps(verb)
        async def call(*args: Any, **kwargs: Any) -> Any:
            # In place of the caller's span, which must not be ended here when tracing raises.
            span: trace.Span = trace.NonRecordingSpan(trace.get_current_span().get_span_context())
            with _harmless():
                subject = args[0] if args else kwargs.get(given)
                span = self._tracer.start_span(
                    f"prolific {name}",
                    attributes={_GIVEN[given]: str(getattr(subject, "id", subject))},
                )
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                try:
                    result = await verb(*args, **kwargs)
                except Exception as error:
                    with _harmless():
                        _fail(span, error)
                    raise
                except BaseException:
                    with _harmless():
                        _leave(span)
                    raise
            with _harmless():
                if name == "duplicate":
                    span.set_attribute("prolific.copy.id", result.id)
                _succeed(span)
            return result

        return call


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
        span.add_event("poll", seen)

    def _ended(self, span: trace.Span, outcome: Batch | WaitError | None) -> None:
        if isinstance(outcome, WaitError):
            _fail(span, outcome)
        elif outcome is not None:
            _succeed(span)
        else:
            _leave(span)


def _succeed(span: trace.Span) -> None:
    span.set_status(trace.StatusCode.OK)
    span.end()


def _fail(span: trace.Span, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.record_exception(error)
    span.set_status(trace.StatusCode.ERROR, str(error))
    span.end()


def _leave(span: trace.Span) -> None:
    span.add_event("left")
    span.end()


@contextmanager
def _harmless() -> Iterator[None]:
    """Keep what tracing raises, a CancelledError too, from ending the call that it tells of."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a bug in tracing is not the call's
        _log.exception("tracing raised; the call goes on")
