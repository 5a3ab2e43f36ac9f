"""OpenTelemetry spans of waits, calls and requests."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
import tomllib
from contextlib import aclosing
from functools import partial
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from prolific_async import (
    AuthenticationError,
    BatchFailedError,
    DatasetSchema,
    Export,
    NotFoundError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    Report,
    RetryPolicy,
    StatusEvent,
    TaskDetails,
    WaitFailedError,
    WaitTimeoutError,
    otel,
)
from prolific_async import layout as ui
from prolific_async._api.batches import get_batch
from prolific_async._polling.kinds import BATCH_VERDICT, Kind
from prolific_async._polling.wait_methods import WaitMethods, awaited_job
from prolific_async._validation import wait_rules
from prolific_async.batches import Batches
from prolific_async.datasets import Datasets
from prolific_async.otel import instrument, spans
from prolific_async.simulator import Fault
from tests.stepping import Manner, cancelled_at

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from prolific_async import Batch
    from prolific_async.simulator import Simulator


class Traces:
    """Collects the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("application")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def waits(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == "prolific wait"]

    @property
    def calls(self) -> dict[str, list[ReadableSpan]]:
        """Return the spans of calls, by their verbs."""
        of: dict[str, list[ReadableSpan]] = {}
        for span in self.spans:
            if span not in self.waits and span.name.startswith("prolific "):
                of.setdefault(span.name.removeprefix("prolific "), []).append(span)
        return of

    def below(self, root: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans of requests that have a span above them."""
        of = {span.context.span_id: span for span in self.spans if span.context}

        def has(span: ReadableSpan | None) -> bool:
            if span is None or span is root:
                return span is root
            return has(of.get(span.parent.span_id) if span.parent else None)

        return [span for span in self.requests if has(span)]

    @property
    def requests(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name in ("GET", "POST", "DELETE")]


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
async def client(sim: Simulator, traces: Traces) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        sim.token,
        base_url=sim.url,
        poll=PollPolicy(initial=0.01, maximum=0.02, timeout=5),
        retry=RetryPolicy(initial=0.001, maximum=0.002),
        trace_configs=[create_trace_config(tracer_provider=traces.provider)],
    ) as quick:
        yield instrument(quick, tracer_provider=traces.provider)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def began_at(span: ReadableSpan) -> int:
    assert span.start_time is not None
    return span.start_time


def ended_at(span: ReadableSpan) -> int:
    assert span.end_time is not None
    return span.end_time


async def ended(traces: Traces, waits: int) -> list[ReadableSpan]:
    """Return the spans of waits once there are so many."""
    async with asyncio.timeout(5):
        while len(traces.waits) < waits:
            await asyncio.sleep(0.001)
    return traces.waits


def polls(span: ReadableSpan) -> list[dict[str, Any]]:
    return [dict(event.attributes or {}) for event in span.events if event.name == "poll"]


def test_without_the_extra_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['opentelemetry'] = None; import prolific_async.otel"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    needed = "needs the extra [otel]: install prolific_async with it, see README"
    assert f"ImportError: prolific_async.otel {needed}" in done.stderr


def test_the_extra_brings_what_readme_imports() -> None:
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = [each.partition(">=")[0] for each in project["optional-dependencies"]["otel"]]
    files = {str(file) for name in brought for file in metadata.files(name) or ()}
    readme = (root / "README.md").read_text(encoding="utf-8")
    modules = re.findall(r"^from (opentelemetry\S*) import", readme, re.MULTILINE)
    assert modules
    for module in modules:
        assert f"{module.replace('.', '/')}/__init__.py" in files


def names(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def parents(spans: list[ReadableSpan]) -> list[int | None]:
    return [None if span.parent is None else span.parent.span_id for span in spans]


async def test_a_wait_is_a_span_and_its_polls_are_events(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch()
    sim.inject("GET", "/status", Fault(503))
    await client.batches.setup(batch_id)
    told: list[StatusEvent] = []
    told_in: set[trace.Span] = set()

    def tell(event: StatusEvent) -> None:
        told.append(event)
        told_in.add(trace.get_current_span())

    with traces.tracer.start_as_current_span("caller") as caller:
        await client.batches.wait_until_ready(batch_id, on_event=tell)
    assert told_in == {caller}
    (span,) = traces.waits
    assert span.status.status_code is StatusCode.OK
    assert attributes(span) == {
        "prolific.batch.id": batch_id,
        "prolific.batch.status": "READY",
        "prolific.wait.polls": 4,
    }
    seen = polls(span)
    assert [poll["prolific.wait.polls"] for poll in seen] == [1, 2, 3, 4]
    statuses = [None, "PROCESSING", "PROCESSING", "READY"]
    assert [poll.get("prolific.batch.status") for poll in seen] == statuses
    assert [poll.get("error.type") for poll in seen] == ["ServerError", None, None, None]
    assert [poll["prolific.wait.elapsed"] for poll in seen] == [event.elapsed for event in told]
    assert [poll.get("prolific.wait.next_in") for poll in seen] == [event.next_in for event in told]
    assert parents([span]) == [caller.get_span_context().span_id]
    (_, *of_polls) = traces.requests
    assert ended_at(span) >= max(ended_at(request) for request in of_polls)
    assert began_at(span) <= min(began_at(request) for request in of_polls)


async def test_the_verbs_of_a_batch_are_traced_wherever_it_came_from(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    copy = await client.batches.duplicate(sim.add_batch(status="READY"))
    await copy.setup()
    ready = await copy.wait_until_ready()
    await ready.wait_until_ready()
    (again,) = await client.batches.wait_all([ready])
    async for _ in again.watch():
        pass
    assert len(traces.waits) == 4
    sim.set_status(copy.id, "ERROR")
    with pytest.raises(BatchFailedError) as caught:
        await ready.wait_until_ready()
    assert caught.value.batch is not None
    with pytest.raises(BatchFailedError):
        await caught.value.batch.wait_until_ready()
    assert len(traces.waits) == 6


async def test_a_wait_for_a_job_names_its_kind(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    kind = Kind(
        name="import",
        get_status=lambda key, prefix: get_batch(key.id, prefix=prefix),
        status_of=lambda batch: batch.status,
        verdict=BATCH_VERDICT,
    )
    state = client.batches.state
    waiter: WaitMethods[Batch] = WaitMethods(
        state.wait_runner, {}, client._transport.request_timeout, RetryPolicy()
    )
    rules = wait_rules(5, None, None, default=PollPolicy())
    job_id = sim.add_batch(status="READY")
    await waiter.wait(awaited_job(kind, job_id), rules, client.batches)
    (span,) = traces.waits
    assert attributes(span) == {
        "prolific.import.id": job_id,
        "prolific.import.status": "READY",
        "prolific.wait.polls": 1,
    }
    assert span.status.status_code is StatusCode.OK
    failed = awaited_job(kind, sim.add_batch(status="ERROR"))
    with pytest.raises(BatchFailedError):
        await waiter.wait(failed, rules, client.batches)
    assert attributes(traces.waits[1])["error.type"] == "BatchFailedError"


async def test_a_failed_wait_has_the_error(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    with pytest.raises(BatchFailedError) as caught:
        await client.batches.wait_until_ready(sim.add_batch(status="ERROR"))
    (span,) = traces.waits
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == str(caught.value)
    assert attributes(span)["error.type"] == "BatchFailedError"
    assert names(span) == ["poll", "exception"]
    recorded = dict(span.events[-1].attributes or {})
    assert recorded["exception.type"] == "prolific_async.errors.BatchFailedError"


async def test_a_wait_that_times_out_has_failed(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    (timed_out,) = await client.batches.wait_all(
        [sim.add_batch()], timeout=0.03, return_exceptions=True
    )
    assert isinstance(timed_out, WaitTimeoutError)
    (span,) = traces.waits
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "WaitTimeoutError"
    assert attributes(span)["prolific.wait.polls"] == timed_out.polls


async def test_a_cancelled_wait_has_an_event_left_and_no_status(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    waiting = asyncio.create_task(client.batches.wait_until_ready(sim.add_batch()))
    while not sim.requests:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (span,) = traces.waits
    assert span.status.status_code is StatusCode.UNSET
    assert names(span)[-1] == "left"


async def all_of(news: AsyncGenerator[object]) -> None:
    async with aclosing(news):
        async for _ in news:
            pass


CALLS: dict[str, Callable[[ProlificClient, str], Awaitable[object]]] = {
    "wait_until_ready": lambda client, batch_id: client.batches.wait_until_ready(batch_id),
    "wait_all": lambda client, batch_id: client.batches.wait_all([batch_id]),
    "as_ready": lambda client, batch_id: all_of(client.batches.as_ready([batch_id])),
    "watch": lambda client, batch_id: all_of(client.batches.watch(batch_id)),
}


@pytest.mark.parametrize("manner", get_args(Manner))
@pytest.mark.parametrize("name", CALLS)
async def test_a_wait_has_one_span_wherever_it_is_cancelled(
    client: ProlificClient,
    sim: Simulator,
    traces: Traces,
    caplog: pytest.LogCaptureFixture,
    name: str,
    manner: Manner,
) -> None:
    came_that_far, steps = True, count(1)
    while came_that_far:
        batch_id = sim.add_batch(status="READY")
        call = partial(CALLS[name], client, batch_id)
        came_that_far = await cancelled_at(next(steps), manner, call)
        span = traces.waits[-1]
        assert attributes(span)["prolific.batch.id"] == batch_id
        is_left = names(span)[-1] == "left"
        assert span.status.status_code is (StatusCode.UNSET if is_left else StatusCode.OK)
        assert came_that_far or not is_left
    assert len(traces.waits) == next(steps) - 1 > 1
    assert not caplog.records, "a span that is ended twice is warned about"


async def test_wait_all_has_a_span_for_each_batch(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    ready, failed, pending = (
        sim.add_batch(status="READY"),
        sim.add_batch(status="ERROR"),
        sim.add_batch(),
    )
    sim.inject("GET", f"/{failed}/status", Fault(503), times=2)
    with (
        traces.tracer.start_as_current_span("caller") as caller,
        pytest.raises(BatchFailedError),
    ):
        await client.batches.wait_all([pending, ready, failed, ready])
    of = {attributes(span)["prolific.batch.id"]: span for span in traces.waits}
    assert {batch_id: span.status.status_code for batch_id, span in of.items()} == {
        ready: StatusCode.OK,
        failed: StatusCode.ERROR,
        pending: StatusCode.UNSET,
    }
    assert names(of[pending])[-1] == "left"
    assert set(parents(traces.waits)) == {caller.get_span_context().span_id}
    assert [names(span) for span in traces.waits[:2]] == [["poll"]] * 2, "each of the two waits"
    assert len(traces.waits) == 4


async def test_the_span_of_a_ready_batch_ends_long_before_its_call(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    ids = [sim.add_batch(status="READY"), sim.add_batch()]
    waiting = asyncio.create_task(client.batches.wait_all(ids))
    (span,) = await ended(traces, 1)
    assert span.status.status_code is StatusCode.OK
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [names(span)[-1] for span in traces.waits] == ["poll", "left"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_as_ready_has_a_span_for_each_batch(
    client: ProlificClient, sim: Simulator, traces: Traces, *, streamed: bool
) -> None:
    ids = [sim.add_batch(status="READY"), sim.add_batch(status="ERROR"), sim.add_batch()]

    async def stream() -> AsyncIterator[str]:
        for batch_id in ids:
            yield batch_id

    told: list[StatusEvent] = []
    with traces.tracer.start_as_current_span("caller") as caller:
        outcomes = client.batches.as_ready(stream() if streamed else ids, on_event=told.append)
    with traces.tracer.start_as_current_span("reader"):
        async with aclosing(outcomes):
            first = await anext(outcomes)
            await ended(traces, 2)  # before anybody asks for it
            kinds = {type(outcome).__name__ for outcome in (first, await anext(outcomes))}
            assert kinds == {"Batch", "BatchFailedError"}
            async with asyncio.timeout(5):
                while len(told) < len(ids):
                    await asyncio.sleep(0.001)
    of = {attributes(span)["prolific.batch.id"]: span for span in traces.waits}
    codes = [of[batch_id].status.status_code for batch_id in ids]
    assert codes == [StatusCode.OK, StatusCode.ERROR, StatusCode.UNSET]
    assert {event.batch_id for event in told} == set(ids)
    assert set(parents(traces.waits)) == {caller.get_span_context().span_id}


async def test_a_slow_watcher_does_not_lengthen_the_span(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    async for _ in client.batches.watch(sim.add_batch(status="READY")):
        (span,) = await ended(traces, 1)
    assert span.status.status_code is StatusCode.OK
    assert names(span) == ["poll"]


async def test_a_watch_that_is_closed_has_an_event_left(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    async with aclosing(client.batches.watch(sim.add_batch())) as events:
        await anext(events)
    (span,) = traces.waits
    assert names(span) == ["poll", "left"]


@pytest.mark.parametrize("wrong", [{"on_event": 1}, {"timeout": -1}])
async def test_invalid_arguments_are_refused_without_a_span(
    client: ProlificClient, traces: Traces, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        client.batches.as_ready(["b1"], **wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        await client.batches.wait_all(["b1"], **wrong)
    with pytest.raises(ValueError, match="not one id"):
        await client.batches.wait_all("b1")
    with pytest.raises(ValueError, match="cannot be an id"):
        await client.batches.wait_all(["b1", ""])
    assert traces.spans == ()


async def test_a_watch_that_is_never_read_has_no_span(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    await client.batches.watch(sim.add_batch()).aclose()
    assert traces.spans == ()


async def test_instrumenting_again_changes_nothing(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    assert instrument(client) is client
    assert instrument(client, tracer_provider=traces.provider) is client
    await client.batches.wait_until_ready(sim.add_batch(status="READY"))
    assert len(traces.waits) == 1
    await client.batches.get_status(sim.add_batch())
    assert len(traces.calls["get_status"]) == 1


async def test_the_spans_of_a_client_go_to_one_provider(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    other = Traces()
    with pytest.raises(ValueError, match="another tracer provider"):
        instrument(client, tracer_provider=other.provider)
    await client.batches.wait_until_ready(sim.add_batch(status="READY"))
    assert (len(traces.waits), len(other.waits)) == (1, 0)
    async with ProlificClient(sim.token, base_url=sim.url) as usual:
        instrument(usual)
        instrument(usual, tracer_provider=trace.get_tracer_provider())
        with pytest.raises(ValueError, match="another tracer provider"):
            instrument(usual, tracer_provider=other.provider)


class Broken(SpanProcessor):
    """A span processor with a bug."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_start(self, span: object, parent_context: object = None) -> None:
        raise self.error


class BrokenAtTheEnd(SpanProcessor):
    """A span processor that raises when a span ends."""

    def on_end(self, span: object) -> None:
        raise RuntimeError("no end")


@pytest.mark.parametrize(
    "broken",
    [Broken(RuntimeError("no start")), Broken(asyncio.CancelledError()), BrokenAtTheEnd()],
    ids=["start", "cancelled", "end"],
)
async def test_errors_of_tracing_break_no_wait_and_no_call(
    sim: Simulator, traces: Traces, caplog: pytest.LogCaptureFixture, broken: SpanProcessor
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(broken)
    batch_id = sim.add_batch(status="READY")
    told: list[StatusEvent] = []
    async with ProlificClient(sim.token, base_url=sim.url) as client:
        instrument(client, tracer_provider=provider)
        async with asyncio.timeout(5):
            with traces.tracer.start_as_current_span("caller") as caller:
                assert (await client.batches.get(batch_id)).id == batch_id
                with pytest.raises(NotFoundError):
                    await client.batches.get_status("nowhere")
                assert caller.is_recording()
            ready = await client.batches.wait_until_ready(batch_id, on_event=told.append)
            assert ready.id == batch_id
            assert len(told) == 1
            async with aclosing(client.batches.watch(sim.add_batch())) as events:
                await anext(events)
            with pytest.raises(WaitTimeoutError):
                await client.batches.wait_until_ready(sim.add_batch(), timeout=0.01)
    assert f"a wait observer raised for batch {batch_id}; the wait goes on" in caplog.messages
    assert "tracing raised; the call goes on" in caplog.messages


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_pass(error: type[BaseException]) -> None:
    with pytest.raises(error), spans.log_errors():
        raise error


async def test_calls_are_children_of_their_caller_and_polls_are_roots(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch()

    async def wait() -> None:
        with traces.tracer.start_as_current_span("waiter"):
            await client.batches.wait_until_ready(batch_id)

    with traces.tracer.start_as_current_span("caller") as caller:
        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        while not sim.requests:
            await asyncio.sleep(0.001)
        client.batches.poll_now(batch_id)
        await client.batches.setup(batch_id)
    await asyncio.gather(*waiting)
    of: dict[str, set[int | None]] = {"POST": set(), "GET": set()}
    for span in traces.requests:
        of[span.name].update(parents([span]))
    (setup,) = traces.calls["setup"]
    assert setup.context is not None
    assert of == {"POST": {setup.context.span_id}, "GET": {None}}
    assert parents([setup]) == [caller.get_span_context().span_id]
    assert len(traces.requests) == len(sim.requests)


async def test_the_requests_of_a_lost_duplicate_are_one_tree(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(reset="before"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.batches.duplicate(batch_id, name="Round 2")
    (span,) = traces.calls["duplicate"]
    assert span.parent is None
    assert len(sim.requests) == 9
    assert len(traces.below(span)) == len(traces.requests) == len(sim.requests)
    assert attributes(span) == {
        "prolific.batch.id": batch_id,
        "error.type": "OutcomeUnknownError",
    }
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == str(caught.value)
    assert names(span) == ["exception"]
    recorded = dict(span.events[0].attributes or {})
    assert recorded["exception.type"] == "prolific_async.errors.OutcomeUnknownError"


async def test_the_requests_of_a_lost_setup_are_one_tree_that_ends_well(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/setup", Fault(reset="before"))
    await client.batches.setup(UUID(batch_id), tasks_per_group=2)
    (span,) = traces.calls["setup"]
    assert [request.name for request in traces.below(span)] == ["POST", "GET", "POST"]
    assert len(traces.requests) == 3
    assert attributes(span) == {"prolific.batch.id": batch_id}
    assert span.status.status_code is StatusCode.OK
    assert names(span) == []


async def test_a_copy_that_was_found_is_an_attribute(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    source = await client.batches.get(sim.add_batch())
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    copy = await source.duplicate(name="Round 2")
    (span,) = traces.calls["duplicate"]
    assert attributes(span) == {
        "prolific.batch.id": source.id,
        "prolific.copy.id": copy.id,
    }
    assert span.status.status_code is StatusCode.OK
    assert len(traces.below(span)) == len(sim.requests) - 1 == 3


async def test_a_batch_s_own_verbs_are_traced_whenever_it_was_read(
    sim: Simulator, traces: Traces
) -> None:
    async with ProlificClient(sim.token, base_url=sim.url) as plain:
        batch = await plain.batches.get(sim.add_batch())
        instrument(plain, tracer_provider=traces.provider)
        copy = await batch.duplicate()
        await copy.setup()
        await copy.refresh()
        await copy.get_status()
        await batch.find_copies(name=copy.name)
        await plain.batches.list(workspace_id=copy.workspace_id)
    assert {verb: len(spans) for verb, spans in traces.calls.items()} == {
        "duplicate": 1,
        "setup": 1,
        "get": 1,
        "get_status": 1,
        "find_copies": 1,
        "list": 1,
    }
    (searched,) = traces.calls["find_copies"]
    assert attributes(searched) == {"prolific.batch.id": batch.id}
    (listed,) = traces.calls["list"]
    assert attributes(listed) == {"prolific.workspace.id": copy.workspace_id}


async def test_a_request_that_is_sent_again_is_below_its_call(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    sim.inject("GET", "/status", Fault(503), times=2)
    await client.batches.get_status(batch=sim.add_batch())
    (span,) = traces.calls["get_status"]
    assert len(traces.below(span)) == 3


def test_every_method_that_awaits_has_a_span_of_its_own_or_one_for_each_wait() -> None:
    for owner, spanned in (
        (Batches, {*otel._CALLS, "wait_until_ready", "wait_all"}),
        (Datasets, {*otel._DATASET_CALLS, "wait_until_ready"}),
        (Report, {"rows", "download"}),
        (Export, {"wait", "download", "delete"}),
    ):
        methods = inspect.getmembers(owner, inspect.isfunction)
        awaiting = {
            name
            for name, method in methods
            if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        }
        assert {name for name in awaiting if not name.startswith("_")} == spanned


async def answered(client: ProlificClient, sim: Simulator) -> Batch:
    """Return a batch of two rows with an answer to each."""
    schema = DatasetSchema.of(prompt="text")
    dataset = await client.datasets.create(sim.workspace_id, name="Rows", schema=schema)
    await (await dataset.upload([{"prompt": "a"}, {"prompt": "b"}])).wait()
    items = [ui.Page.of(ui.FreeText("Why?"))]
    task = TaskDetails("Name", "Introduction", "Steps")
    batch = await client.batches.create(
        sim.workspace_id, name="Why", task=task, items=items, dataset=dataset
    )
    await batch.setup(tasks_per_group=2)
    ready = await batch.wait_until_ready()
    sim.answer(ready.id)
    return ready


async def test_answers_have_spans(
    client: ProlificClient, sim: Simulator, traces: Traces, tmp_path: Path
) -> None:
    batch = await answered(client, sim)
    calls, waits, requests = len(traces.calls), len(traces.waits), len(traces.requests)
    assert len([one async for one in batch.responses()]) == 2
    report = client.batches.report(batch)
    assert len([row async for row in report.rows()]) == 2
    await report.download(tmp_path / "report.csv")
    export = await batch.export()
    await batch.exports()
    await export.wait()
    await export.download(tmp_path / "export.zip")
    await export.delete()
    of_batch = {"prolific.batch.id": batch.id}
    of_export = {"prolific.export.id": export.id}
    spans = {
        name: [attributes(one) for one in found]
        for name, found in list(traces.calls.items())[calls:]
    }
    assert spans == {
        "responses": [of_batch],
        "report rows": [of_batch],
        "report download": [of_batch],
        "export": [of_batch | of_export],
        "exports": [of_batch],
        "export download": [of_batch | of_export],
        "export delete": [of_batch | of_export],
    }
    assert {one.status.status_code for one in traces.spans} == {StatusCode.OK, StatusCode.UNSET}
    (waited,) = traces.waits[waits:]
    assert attributes(waited).items() >= {**of_export, "prolific.export.status": "complete"}.items()
    # A link for each of the three transfers, which have none themselves; polls are of no call.
    assert [len(traces.below(traces.calls[name][0])) for name in spans] == [1] * 7
    polled = attributes(waited)["prolific.wait.polls"]
    assert len(traces.requests) - requests == 7 + polled


@pytest.mark.parametrize("name", ["responses", "report rows"])
async def test_a_stream_is_a_span_and_what_is_done_with_its_records_is_outside(
    client: ProlificClient, sim: Simulator, traces: Traces, name: str
) -> None:
    batch = await answered(client, sim)
    sim.inject("GET", f"/{batch.id}/{name.removesuffix(' rows')}", Fault(503))

    def stream() -> AsyncGenerator[object]:
        return batch.responses() if name == "responses" else batch.report().rows()

    with traces.tracer.start_as_current_span("caller") as caller:
        async for _ in stream():
            assert trace.get_current_span() is caller
        await stream().aclose()  # never read
        async with aclosing(stream()) as left:
            await anext(left)
            assert len(traces.calls[name]) == 1
    whole, early = traces.calls[name]
    assert parents([whole, early]) == [caller.get_span_context().span_id] * 2
    assert [span.status.status_code for span in (whole, early)] == [StatusCode.OK, StatusCode.UNSET]
    assert [names(span) for span in (whole, early)] == [[], ["left"]]
    assert len(traces.below(whole)) == 2


@pytest.mark.parametrize("name", ["responses", "report rows"])
async def test_a_stream_that_fails_has_the_error(
    client: ProlificClient, sim: Simulator, traces: Traces, name: str
) -> None:
    stream = (
        client.batches.responses("b") if name == "responses" else client.batches.report("b").rows()
    )
    with pytest.raises(NotFoundError) as caught:
        await all_of(stream)
    (span,) = traces.calls[name]
    assert attributes(span) == {"prolific.batch.id": "b", "error.type": "NotFoundError"}
    assert span.status.description == str(caught.value)
    with pytest.raises(ValueError, match="cannot be an id"):
        client.batches.responses("")
    assert len(traces.calls[name]) == 1


async def test_calls_on_datasets_and_waits_for_jobs_have_spans(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    schema = DatasetSchema.of(prompt="text")
    dataset = await client.datasets.create(sim.workspace_id, name="Rows", schema=schema)
    upload = await dataset.upload([{"prompt": "a"}])
    ready = await upload.wait()
    await ready.wait_until_ready()
    await ready.append([{"prompt": "b"}])
    migration = await ready.update_schema(DatasetSchema.of(prompt="text", strict=False))
    assert migration is not None
    await migration.wait()
    await ready.refresh()
    with pytest.raises(NotFoundError):
        await client.datasets.get_status("nobody's")
    of_datasets = {"prolific.dataset.id": dataset.id}
    spans = {name: [attributes(one) for one in found] for name, found in traces.calls.items()}
    assert spans == {
        "dataset create": [{"prolific.workspace.id": sim.workspace_id, **of_datasets}],
        "dataset upload": [of_datasets],
        "dataset append": [of_datasets],
        "dataset update_schema": [of_datasets],
        "dataset get": [of_datasets],
        "dataset get_status": [{"prolific.dataset.id": "nobody's", "error.type": "NotFoundError"}],
    }
    (uploaded,) = traces.calls["dataset upload"]
    assert len(traces.below(uploaded)) == 2  # the dataset and the address; the transfer has none
    kinds = [("import", upload.id), ("dataset", dataset.id), ("migration", migration.id)]
    of_waits = [attributes(one) for one in traces.waits]
    assert [
        one.get(f"prolific.{kind}.id") for one, (kind, _) in zip(of_waits, kinds, strict=True)
    ] == [awaited_id for _, awaited_id in kinds]
    assert [
        one[f"prolific.{kind}.status"] for one, (kind, _) in zip(of_waits, kinds, strict=True)
    ] == ["complete"] * 3


async def test_a_traced_method_keeps_its_signature(client: ProlificClient, traces: Traces) -> None:
    for verb in (*otel._CALLS, "responses", "report"):
        traced, plain = getattr(client.batches, verb), getattr(Batches, verb)
        assert inspect.iscoroutinefunction(traced) is inspect.iscoroutinefunction(plain)
        assert traced.__doc__ == plain.__doc__
        assert inspect.signature(traced) == inspect.signature(partial(plain, client.batches))
    with pytest.raises(TypeError, match="batch"):
        await client.batches.get()  # type: ignore[call-arg] # as a user without a type checker
    with pytest.raises(ValueError, match="cannot be an id"):
        await client.batches.setup("")
    codes = [span.status.status_code for span in traces.spans]
    assert codes == [StatusCode.ERROR] * 2


@pytest.mark.parametrize("manner", get_args(Manner))
@pytest.mark.parametrize("verb", ["duplicate", "setup"])
async def test_a_call_has_one_span_wherever_it_is_cancelled(
    client: ProlificClient,
    sim: Simulator,
    traces: Traces,
    caplog: pytest.LogCaptureFixture,
    verb: str,
    manner: Manner,
) -> None:
    came_that_far, steps = True, count(1)
    with traces.tracer.start_as_current_span("caller"):
        while came_that_far:
            batch_id = sim.add_batch()
            came_that_far = await cancelled_at(
                next(steps), manner, partial(getattr(client.batches, verb), batch_id)
            )
            span = traces.calls[verb][-1]
            assert attributes(span)["prolific.batch.id"] == batch_id
            is_left = names(span) == ["left"]
            assert span.status.status_code is (StatusCode.UNSET if is_left else StatusCode.OK)
            assert came_that_far or not is_left
        assert trace.get_current_span().is_recording()
    assert len(traces.calls[verb]) == next(steps) - 1 > 1
    assert not caplog.records, "a span that is ended twice is warned about"


async def test_requests_carry_the_trace_in_their_headers(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch(status="READY")
    for _ in range(2):
        await client.batches.duplicate(batch_id)
    sent = [seen.headers["traceparent"].split("-")[2] for seen in sim.requests]
    made = [f"{span.context.span_id:016x}" for span in traces.requests if span.context]
    assert sent == made
    assert len(set(sent)) == 2


async def test_no_span_shows_the_token(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(500, body={"detail": f"not {sim.token}"}))
    sim.inject("GET", "/batches", Fault(503))
    await client.batches.setup(batch_id)
    sim.inject("GET", "/status", Fault(401, body={"detail": f"not {sim.token}"}))
    with pytest.raises(WaitFailedError):
        await client.batches.wait_until_ready(batch_id)
    await client.batches.list(sim.workspace_id)
    sim.inject("POST", "/duplicate", Fault(401, body={"detail": f"not {sim.token}"}))
    with pytest.raises(AuthenticationError):
        await client.batches.duplicate(batch_id)
    assert {span.status.status_code for span in traces.requests} >= {StatusCode.ERROR}
    assert any(f"workspace_id={sim.workspace_id}" in span.to_json() for span in traces.requests)
    for span in traces.spans:
        assert sim.token not in span.to_json()


def test_nothing_else_imports_opentelemetry() -> None:
    program = "import sys, prolific_async, prolific_async.simulator; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"prolific_async.client" in ran.stdout
    assert b"opentelemetry" not in ran.stdout


async def test_a_view_is_traced_and_its_waits_once(
    client: ProlificClient, sim: Simulator, traces: Traces
) -> None:
    batch_id = sim.add_batch()
    view = instrument(client.with_options(request_timeout=5), tracer_provider=traces.provider)
    copy = await view.batches.get_or_duplicate(batch_id, name="Round 2")
    sim.set_status(copy.id, "READY")
    await view.batches.wait_until_ready(copy)
    assert len(traces.waits) == 1
    (call,) = traces.calls["get_or_duplicate"]
    assert attributes(call)["prolific.copy.id"] == copy.id
    assert len(traces.below(call)) >= 3
