"""Prolific in a FastAPI application; needs the extra ``[fastapi]``.

```python
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from prolific_async import Batch, TaskResponse
from prolific_async.fastapi import BatchId, Client, WaitEvents, exception_handlers, lifespan

app = FastAPI(lifespan=lifespan(), exception_handlers=exception_handlers)


@app.post("/batches/{batch_id}/copies", status_code=202)
async def start(batch_id: BatchId, name: str, client: Client) -> Batch:
    copy = await client.batches.duplicate(batch_id, name=name)
    await copy.setup()
    return await copy.refresh()


@app.get("/copies/{batch_id}/events", response_class=EventSourceResponse)
async def events(batch_id: BatchId, wait_events: WaitEvents) -> AsyncIterator[ServerSentEvent]:
    async for event in wait_events(batch_id, timeout=600):
        yield event


async def open_answers(
    batch_id: BatchId, client: Client
) -> AsyncIterator[AsyncIterator[TaskResponse]]:
    batch = await client.batches.get(batch_id)  # before a stream begins, errors have their status
    async with aclosing(batch.responses()) as responses:
        yield responses  # closed here once the caller has them, or has left


@app.get("/batches/{batch_id}/responses")
async def answers(
    responses: Annotated[AsyncIterator[TaskResponse], Depends(open_answers)],
) -> AsyncIterator[TaskResponse]:
    async for response in responses:  # a line of JSON each, as soon as it has come
        yield response
```

``lifespan`` owns one client for the process, around the application's own lifespan. ``Client`` is
that client as a parameter of routes, also of WebSocket routes and of mounted applications.
``BatchId`` is an id as a parameter; an invalid one is answered with 422. A plain route that waits
goes on when its caller has gone; a stream does not.

A route that yields models sends them as JSON lines, each as soon as it has come. Its status is sent
before the first of them, so an error can only break the stream: let a dependency read the batch,
whose errors are answered as those of other routes. Let it open ``responses``, too: FastAPI ends
dependencies when a caller leaves, but leaves a route's generator to the garbage collection. Each
caller that reads ``responses`` occupies one of the client's ``max_connections`` until it has the
last, or leaves.

Routes return models, as in ``-> Batch`` or ``-> list[Batch]``, and streams send them, as in
``-> AsyncIterator[StatusEvent]``. They are sent as ``to_dict`` gives them, without their client,
and the OpenAPI document describes their fields. The ``error`` of a ``StatusEvent`` is then its
whole text, where ``wait_events`` sends a fixed sentence. A model in a request is read as by
``from_dict``; a bad one is answered with 422, which names the place of each fault. Declare it as
``Annotated[Batch, Body()]``: FastAPI takes other classes than pydantic's for query parameters.

In tests, ``app.dependency_overrides[get_client] = lambda: prolific_client`` replaces it with the
client of the package's pytest fixture, and needs no lifespan. FastAPI's ``TestClient`` belongs in
plain ``def`` tests: ``with TestClient(app)`` runs the lifespan, whose client then uses the fixture
``prolific_simulator``.

``exception_handlers`` answers the client's errors with problem documents (RFC 9457), and
``responses`` (``FastAPI(responses=…)``) adds these to the OpenAPI document. They hold fixed
sentences: nothing that Prolific sent, and nothing of the token, the call or the request. The error
is logged as ``prolific_async``: as an error where the response is 500, as a warning where it is
another 5xx. A mounted application needs handlers of its own.

| error                                                | status | ``code`` |
| ---------------------------------------------------- | ------ | ------------------------------- |
| ``BadRequestError``, ``ValidationError``             | 400    | ``refused`` |
| ``NotFoundError`` of a batch that the request names  | 404    | ``no_such_batch`` |
| ``NotFoundError`` of a dataset that it names         | 404    | ``no_such_dataset`` |
| ``NotFoundError`` of an import or of another job      | 404    | ``no_such_job`` |
| that it names, or whose dataset or batch it names    |        | |
| ``NotFoundError`` of any other                       | 500    | ``misconfigured`` |
| ``AuthenticationError``, ``PermissionDeniedError``   | 500    | ``misconfigured`` |
| ``ConfigurationError``                               | 500    | ``misconfigured`` |
| ``ConflictError``                                    | 409    | ``conflict`` |
| ``RateLimitedError``                                 | 503    | ``busy``, ``Retry-After`` |
| ``ConnectError``, ``ConnectionLostError``            | 502    | ``unreachable`` |
| ``ServerError``, ``DecodeError``, ``APIStatusError`` | 502    | ``unusable_answer`` |
| ``RequestTimeoutError``                              | 504    | ``no_answer_in_time`` |
| ``OutcomeUnknownError``, after a time-out            | 504    | ``outcome_unknown`` |
| ``OutcomeUnknownError``, after anything else         | 502    | ``outcome_unknown`` |
| ``BatchFailedError``                                 | 409    | ``batch_failed`` |
| ``BatchNotSetUpError``                               | 409    | ``not_set_up`` |
| ``NothingUploadedError``                             | 409    | ``nothing_uploaded`` |
| ``SchemaNeededError``                                | 409    | ``schema_needed`` |
| ``JobFailedError``                                   | 409    | ``job_failed`` |
| ``PartialImportError``                               | 409    | ``partial_import`` |
| ``PartialMigrationError``                            | 409    | ``partial_migration`` |
| ``WaitTimeoutError``                                 | 504    | ``not_ready_in_time`` |
| ``WaitFailedError``, the client was closed           | 503    | ``restarting``, ``Retry-After`` |
| ``WaitFailedError``, for anything else               |        | as its ``failure`` |
| ``durable.OrderNotFoundError``                       | 404    | ``no_such_order`` |
| ``durable.OrderCancelledError``                      | 409    | ``order_cancelled`` |
| ``durable.DatabaseUnavailableError``                 | 503    | ``database_unavailable``, |
|                                                      |        | ``Retry-After`` |

The token belongs to this service, so Prolific's 401 or 403 is no 401 or 403 for this service's
callers. A request names a batch, dataset or job if its path, query or JSON body has the id. 422 is
FastAPI's alone. ``responses`` leaves out the errors of ``prolific_async.durable``, which most
applications do not use. A ``Retry-After`` of Prolific's is passed on with every response, up to an
hour. The candidates of an ``OutcomeUnknownError`` may be somebody else's batches, so they are not
shown: catch the error where they may be. A handler of your own for one of these errors takes
precedence.

``wait_events(*batches, timeout=…, poll=…)`` waits for one batch or many over one connection;
browsers open no more than six to a host over HTTP/1.1. It yields

- ``status`` for every poll, with ``batch_id``, ``status``, ``previous``, ``polls``, ``elapsed``,
  ``next_in``, as in ``StatusEvent``, and ``error``: null, or a fixed sentence about why the poll
  failed. READY is the last of a batch. A browser that reads slowly misses polls: only the newest of
  each batch is kept for it.
- ``failed`` when a wait ends without READY, with ``batch_id``, ``last_status``, ``polls`` and
  ``elapsed``, as in ``WaitError``, and the ``code`` and ``detail`` of the error's problem document.
- ``incomplete`` when an async iterable of batches raises, see below, with ``code`` and ``detail``.
- ``end`` after the last one, with the numbers of ``ready`` and ``failed``. The page should close
  its ``EventSource`` now. Otherwise it reconnects with this event's id, and is answered with 204,
  which tells browsers to stop.

A page may connect before its batches exist. Give ``wait_events`` an async iterable of batches or
ids, such as an async generator that yields each copy once it is made:

    async for event in wait_events(copies(), timeout=600):
        yield event

It is read while waits go on. ``end`` comes when it is exhausted and all waits are over. An invalid
id from it is reported as ``failed`` with the code ``no_such_batch``. If it raises, no wait ends:
``incomplete`` has the code of the error's problem document, ``source_failed`` for an error that is
not the client's, which is logged with its traceback; then the waits go on until ``end``. A
generator is closed when the browser leaves or the server stops. A browser that reconnects runs
your route again, so a generator that makes copies must find those that it made before, by a unique
name.

When a stream breaks, or ends without ``end`` because the service restarts, the browser reconnects
after one to three seconds. Nothing is lost: the first poll shows the status of each batch, and the
timeout begins anew. While there is no event, FastAPI sends a ping every 15 s. An exception in your
own route after the first event can only break the stream.

A browser that goes away ends its own waits, and no others for the same batch.

Servers wait for open streams before they stop. With ``lifespan``, the streams end by themselves
within 0.1 s when uvicorn, alone or as gunicorn's worker, begins to stop: by SIGTERM, Ctrl-C, a
reload, ``--limit-max-requests`` or ``Server.should_exit``. This relies on uvicorn's signal handler,
so it works where uvicorn runs in the main thread, version 0.29 or later. Otherwise (another server,
uvicorn in a thread, a signal handler of your own in place of uvicorn's) streams end when the client
is closed: ``await client.close()`` when your program decides to stop, or set a limit, such as
``--timeout-graceful-shutdown 5``. That limit also helps with plain routes that wait: these do not
end by themselves. Hypercorn cancels streams after its ``--graceful-timeout``, 3 s by default.
``kill -INT`` or ``-QUIT`` of gunicorn's main process alone stops no uvicorn worker in time, with
or without streams: use SIGTERM.
"""

try:
    import fastapi.encoders as _encoders
    import fastapi.sse as _sse  # noqa: F401 - absent from versions that are too old
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "fastapi":
        raise
    raise ImportError(
        "prolific_async.fastapi needs the extra [fastapi]: install prolific_async with it, "
        "see README"
    ) from error

from prolific_async.extensions import JsonModel
from prolific_async.fastapi.dependencies import BatchId, Client, get_client, lifespan
from prolific_async.fastapi.problem_documents import exception_handlers, responses
from prolific_async.fastapi.server_sent_events import WaitEvents

# Routes without a return type, jsonable_encoder and the data of server-sent events ask this table.
_encoders.encoders_by_class_tuples[JsonModel.to_dict] = (JsonModel,)

__all__ = [
    "BatchId",
    "Client",
    "WaitEvents",
    "exception_handlers",
    "get_client",
    "lifespan",
    "responses",
]
