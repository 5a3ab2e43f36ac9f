"""OpenTelemetry tracing: a span for each call and each wait of a client. Extra ``[otel]``.

```python
import asyncio

from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from prolific_async import ProlificClient
from prolific_async.otel import instrument  # extra [otel]
from prolific_async.simulator import Simulator


async def main() -> None:
    async with Simulator() as sim:
        traces = [create_trace_config()]
        client = ProlificClient(sim.token, base_url=sim.url, trace_configs=traces)
        async with instrument(client):
            print(await client.batches.get(sim.add_batch()))


asyncio.run(main())
```

``instrument`` makes a span for each call and each wait. The trace config comes from OpenTelemetry's
own package for aiohttp, which the extra installs, and makes a span for each request. Either works
without the other.

A call's span is named after its method, such as "prolific duplicate", and lasts as long as the
call. Every call on batches that does not wait has one, and so has every one on datasets, named such
as "prolific dataset upload". The spans of its requests are its children, repeated requests and the
search for a lost copy included; the transfer of a file, whose address is a secret, has none. It has

- the attribute ``prolific.batch.id`` or ``prolific.dataset.id`` (what was given) or
  ``prolific.workspace.id``, after a duplicate ``prolific.copy.id``, and after a create the id of
  the new batch or dataset;
- the status OK when the call returned, else ERROR with the exception and ``error.type``. A
  cancelled call has no status, but an event "left".

A wait's span is named "prolific wait" and lasts as long as the wait for one thing. For a batch,
``wait_until_ready`` and ``watch`` have one, ``wait_all`` and ``as_ready`` one for each batch, two
for a batch that is given twice; a dataset, an import or another job has one as well. It is a child
of the span in which the call was made, and has

- the attributes ``prolific.batch.id``, ``prolific.batch.status`` (the newest known) and
  ``prolific.wait.polls`` (the number of polls), and for another kind that kind's name in the place
  of "batch", such as ``prolific.import.id``;
- an event "poll" for each poll, with ``prolific.batch.status``, ``prolific.wait.polls``,
  ``prolific.wait.elapsed`` and ``prolific.wait.next_in`` in seconds, and ``error.type`` if the poll
  failed. OpenTelemetry keeps the last 128 of them unless ``OTEL_SPAN_EVENT_COUNT_LIMIT`` is set;
- the status OK when the wait ended well, else ERROR with the exception and ``error.type``. A wait
  that was cancelled, or whose generator was closed, has no status, but an event "left".

``error.type`` is the name of the exception's class.

A poll serves every wait for the same thing, so the span of its request has no parent. No span shows
the token, unless the trace config is told to capture the header ``authorization``. Errors of
tracing are logged and break no call and no wait.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from attrs import frozen

from prolific_async import ProlificClient, StatusEvent, WaitError, __version__
from prolific_async.batches import WaitListener
from prolific_async.extensions import log, observe_other_waits

try:
    from opentelemetry import trace
except ImportError as error:  # other packages of the namespace may be there without it
    raise ImportError(
        "prolific_async.otel needs the extra [otel]: install prolific_async with it, see README"
    ) from error

__all__ = ["instrument"]

Client = TypeVar("Client", bound=ProlificClient)

_MAKE_A_COPY = ("duplicate", "get_or_duplicate", "duplicate_and_wait")
_CALLS = (
    *_MAKE_A_COPY,
    "duplicate_and_wait_all",
    "find_copies",
    "setup",
    "get",
    "get_status",
    "list",
    "create",
    "update",
    "sync",
    "task_ids",
    "task_group_ids",
    "preview_url",
    "export",
    "exports",
)
_DATASET_CALLS = ("create", "get", "get_status", "upload", "append", "update_schema")
_SUBJECTS = {
    "batch": "prolific.batch.id",
    "dataset": "prolific.dataset.id",
    "workspace_id": "prolific.workspace.id",
}


def instrument(client: Client, *, tracer_provider: trace.TracerProvider | None = None) -> Client:
    """Trace the calls and waits that a client begins from now on, and return it. Idempotent.

    A view that ``with_options`` made has to be given, too, for its calls to be traced; the waits of
    both are traced once.

    Args:
        client: The client.
        tracer_provider: Receives the spans; by default the global one.

    Raises:
        ValueError: The client's spans go to another tracer provider already.

    """
    tracing = _INSTRUMENTED.get(client)
    if tracing is None:
        tracer = trace.get_tracer("prolific_async", __version__, tracer_provider)
        tracing = _INSTRUMENTED[client] = _Tracing(tracer_provider, tracer)
        if client.batches.shared not in _TRACED_WAITS:  # views share their waits
            _TRACED_WAITS.add(client.batches.shared)
            client.batches.add_wait_observer(partial(tracing.observe_wait, "batch"))
            observe_other_waits(client.batches, tracing.observe_wait)
        # On the resources, since the verbs of a batch or a dataset call the resource's.
        for name in _CALLS:
            tracing.trace(client.batches, name, "batch")
        for name in _DATASET_CALLS:
            tracing.trace(client.datasets, name, "dataset")
    elif tracer_provider not in (None, tracing.provider or trace.get_tracer_provider()):
        raise ValueError("the client's spans go to another tracer provider already")
    return client


@frozen(eq=False)
class _Tracing:
    """Makes spans of one client's calls and waits."""

    provider: trace.TracerProvider | None
    _tracer: trace.Tracer

    def observe_wait(self, kind: str, awaited_id: str) -> WaitListener:
        """Start the span of a wait, and return its listener."""
        attributes = {f"prolific.{kind}.id": awaited_id}
        return partial(_record, self._tracer.start_span("prolific wait", attributes=attributes))

    def trace(self, resource: object, name: str, kind: str) -> None:
        """Make a resource call one of its verbs in a span.

        Args:
            resource: The resource.
            name: Name of the verb.
            kind: What the verbs of the resource are for: "batch" or "dataset".

        """
        verb: Callable[..., Coroutine[Any, Any, Any]] = getattr(resource, name)
        parameter, *_ = inspect.signature(verb).parameters
        title = f"prolific {name}" if kind == "batch" else f"prolific {kind} {name}"

        @wraps(verb)
        async def call(*args: Any, **kwargs: Any) -> Any:
            # Used if the new span cannot be started: ending this one is harmless.
            span: trace.Span = trace.NonRecordingSpan(trace.get_current_span().get_span_context())
            with _log_errors():
                subject = args[0] if args else kwargs.get(parameter)
                span = self._tracer.start_span(
                    title,
                    attributes={_SUBJECTS[parameter]: str(getattr(subject, "id", subject))},
                )
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                try:
                    result = await verb(*args, **kwargs)
                except Exception as error:
                    with _log_errors():
                        _end_failed(span, error)
                    raise
                except BaseException:
                    with _log_errors():
                        _end_left(span)
                    raise
            with _log_errors():
                if name in _MAKE_A_COPY:
                    span.set_attribute("prolific.copy.id", result.id)
                if name == "create":
                    span.set_attribute(_SUBJECTS[kind], result.id)
                _end_ok(span)
            return result

        setattr(resource, name, call)


_INSTRUMENTED: WeakKeyDictionary[ProlificClient, _Tracing] = WeakKeyDictionary()
_TRACED_WAITS: WeakSet[object] = WeakSet()


def _record(span: trace.Span, news: object) -> None:
    """Record a wait's poll as an event of its span, or end the span with the wait's outcome."""
    match news:
        case StatusEvent():
            _add_poll(span, news)
        case WaitError():
            _end_failed(span, news)
        case None:
            _end_left(span)
        case _:
            _end_ok(span)


def _add_poll(span: trace.Span, event: StatusEvent) -> None:
    attributes: dict[str, str | int | float] = {"prolific.wait.polls": event.polls}
    if event.status is not None:
        attributes[f"prolific.{event.kind}.status"] = str(event.status)
    span.set_attributes(attributes)
    attributes["prolific.wait.elapsed"] = event.elapsed
    if event.next_in is not None:
        attributes["prolific.wait.next_in"] = event.next_in
    if event.error is not None:
        attributes["error.type"] = type(event.error).__qualname__
    span.add_event("poll", attributes)


def _end_ok(span: trace.Span) -> None:
    span.set_status(trace.StatusCode.OK)
    span.end()


def _end_failed(span: trace.Span, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.record_exception(error)
    span.set_status(trace.StatusCode.ERROR, str(error))
    span.end()


def _end_left(span: trace.Span) -> None:
    span.add_event("left")
    span.end()


@contextmanager
def _log_errors() -> Iterator[None]:
    """Log every exception, also a CancelledError, so that tracing does not end the traced call."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a bug in tracing is not the call's
        log.exception("tracing raised; the call goes on")
