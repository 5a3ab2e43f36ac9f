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
as "prolific dataset upload". What a call returns has spans for its own calls: "prolific report
rows", "prolific report download", "prolific export download" and "prolific export delete". The span
of a stream, ``responses`` or ``rows``, lasts from the moment in which its first record is asked for
to its end. The spans of its requests are a call's children, repeated requests and the search for a
lost copy included; the transfer of a file, whose address is a secret, has none. A call's span has

- the attribute ``prolific.batch.id`` or ``prolific.dataset.id`` (what was given) or
  ``prolific.workspace.id``, after a duplicate ``prolific.copy.id``, after a create the id of the
  new batch or dataset, and for an export ``prolific.export.id``;
- the status OK when the call returned or the stream was read to its end, else ERROR with the
  exception and ``error.type``. A call that was cancelled, or a stream that was closed early, has no
  status, but an event "left".

A wait's span is named "prolific wait" and lasts as long as the wait. For a batch,
``wait_until_ready`` and ``watch`` have one, ``wait_all`` and ``as_ready`` one for each batch, two
for a batch that is given twice; a dataset, an import or another job has one as well. It is a child
of the span in which the call was made, and has

- the attributes ``prolific.batch.id``, ``prolific.batch.status`` (the newest known) and
  ``prolific.wait.polls`` (the number of polls); for a dataset or a job its kind takes the place of
  "batch", as in ``prolific.import.id``;
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
from collections.abc import AsyncGenerator, Callable
from functools import partial, wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from attrs import frozen

try:
    from opentelemetry import trace
except ImportError as error:  # other packages of the namespace may be there without it
    raise ImportError(
        "prolific_async.otel needs the extra [otel]: install prolific_async with it, see README"
    ) from error

from prolific_async import Export, ProlificClient, Report, __version__
from prolific_async.batches import Batches, WaitListener
from prolific_async.extensions import observe_other_waits
from prolific_async.otel.spans import ending, log_errors, read, record, within

__all__ = ["instrument"]

Client = TypeVar("Client", bound=ProlificClient)

_CALLS = (
    "duplicate",
    "get_or_duplicate",
    "duplicate_and_wait",
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
    "export": "prolific.export.id",
    "dataset": "prolific.dataset.id",
    "workspace_id": "prolific.workspace.id",
}
# The attribute that holds the id of a call's result, by the call's title.
_RESULT_ATTRIBUTES = {
    **dict.fromkeys(("duplicate", "get_or_duplicate", "duplicate_and_wait"), "prolific.copy.id"),
    "create": "prolific.batch.id",
    "export": "prolific.export.id",
    "dataset create": "prolific.dataset.id",
}


def instrument(client: Client, *, tracer_provider: trace.TracerProvider | None = None) -> Client:
    """Trace the calls and waits that a client begins from now on; return the client. Idempotent.

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
        if client.batches.state not in _TRACED_WAITS:  # views share their waits
            _TRACED_WAITS.add(client.batches.state)
            client.batches.add_wait_observer(partial(tracing.observe_wait, "batch"))
            observe_other_waits(client.batches, tracing.observe_wait)
        # On the resources, since the methods of batches and datasets call those of the resources.
        for name in (*_CALLS, "responses"):
            tracing.trace(client.batches, name, name)
        for name in _DATASET_CALLS:
            tracing.trace(client.datasets, name, f"dataset {name}")
        for name in ("download", "delete"):
            tracing.trace(client.batches.export_jobs, name, f"export {name}")
        tracing.trace_reports(client.batches)
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
        return partial(record, self._tracer.start_span("prolific wait", attributes=attributes))

    def trace_reports(self, batches: Batches) -> None:
        """Trace ``rows`` and ``download`` of each report that the batches return."""
        report = batches.report

        @wraps(report)
        def call(*args: Any, **kwargs: Any) -> Report:
            made = report(*args, **kwargs)
            for name in ("rows", "download"):
                self.trace(made, name, f"report {name}", {"prolific.batch.id": made.batch_id})
            return made

        setattr(batches, report.__name__, call)

    def trace(
        self, owner: object, name: str, title: str, about: dict[str, str] | None = None
    ) -> None:
        """Replace a method of an object by one that runs in a span.

        Args:
            owner: The object.
            name: Name of the method, which returns a coroutine or an asynchronous generator.
            title: Name of the span, without "prolific".
            about: Attributes of the span; by default the id of the method's first argument.

        """
        method: Callable[..., Any] = getattr(owner, name)
        parameter = next(iter(inspect.signature(method).parameters), "")

        def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> trace.Span:
            # Used if the new span cannot be started: ending this one is harmless.
            span: trace.Span = trace.NonRecordingSpan(trace.get_current_span().get_span_context())
            with log_errors():
                attributes = about or _ids(parameter, args[0] if args else kwargs.get(parameter))
                span = self._tracer.start_span(f"prolific {title}", attributes=attributes)
            return span  # noqa: RET504 - either of the two

        @wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            span = start(args, kwargs)
            with ending(span), within(span):
                result = await method(*args, **kwargs)
                with log_errors():
                    span.set_attributes(_ids_of_result(title, result))
            return result

        @wraps(method)
        def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            return read(partial(start, args, kwargs), method(*args, **kwargs))

        setattr(owner, name, call if inspect.iscoroutinefunction(method) else stream)


_INSTRUMENTED: WeakKeyDictionary[ProlificClient, _Tracing] = WeakKeyDictionary()
_TRACED_WAITS: WeakSet[object] = WeakSet()


def _ids(parameter: str, subject: object) -> dict[str, str]:
    """Return the attributes with the ids of a call's first argument."""
    ids = {_SUBJECTS[parameter]: str(getattr(subject, "id", subject))}
    if isinstance(subject, Export):
        ids["prolific.batch.id"] = subject.batch_id
    return ids


def _ids_of_result(title: str, result: Any) -> dict[str, str]:
    """Return the attribute with the id of a call's result, if the call makes something."""
    attribute = _RESULT_ATTRIBUTES.get(title)
    return {} if attribute is None else {attribute: result.id}
