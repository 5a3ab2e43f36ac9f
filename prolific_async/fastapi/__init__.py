"""Prolific in a FastAPI application; needs the extra ``[fastapi]``.

::

    from collections.abc import AsyncIterator

    from fastapi import FastAPI, Response
    from fastapi.sse import EventSourceResponse, ServerSentEvent
    from prolific_async.fastapi import BatchId, Client, WaitEvents, exception_handlers, lifespan

    app = FastAPI(lifespan=lifespan(), exception_handlers=exception_handlers)

    @app.post("/batches/{batch_id}/copies", status_code=202)
    async def start(batch_id: BatchId, name: str, client: Client, response: Response) -> None:
        copy = await client.batches.duplicate(batch_id, name=name)
        await copy.setup()
        response.headers["Location"] = f"/copies/{copy.id}/events"

    @app.get("/copies/{batch_id}/events", response_class=EventSourceResponse)
    async def events(batch_id: BatchId, wait_events: WaitEvents) -> AsyncIterator[ServerSentEvent]:
        async for event in wait_events(batch_id, timeout=600):
            yield event

``lifespan`` owns one client for the process, around the application's own lifespan. ``Client``
brings it into routes, WebSocket routes and mounted applications too. ``BatchId`` refuses with 422
what can be no id. ``WaitEvents`` turns waits into server-sent events, see there; a plain route that
awaits a wait goes on when its caller has gone.

In tests, ``app.dependency_overrides[get_client] = lambda: prolific_client`` puts the client of the
package's pytest fixture in its place, and needs no lifespan.

``exception_handlers`` turns what the client raises into problem documents (RFC 9457), and
``responses`` (``FastAPI(responses=…)``) puts these into the OpenAPI document. They hold fixed
sentences: nothing that Prolific sent and nothing of the token, the call or the request. The error
itself is logged as ``prolific_async``. A mounted application needs handlers of its own.

======================================================  ======  ===================================
error                                                   answer  ``code``
======================================================  ======  ===================================
``BadRequestError``, ``ValidationError``                400     ``refused``
``NotFoundError`` of a batch that the request names     404     ``no_such_batch``
``NotFoundError`` of any other                          500     ``misconfigured``
``AuthenticationError``, ``PermissionDeniedError``      500     ``misconfigured``
``ConfigurationError``                                  500     ``misconfigured``
``ConflictError``                                       409     ``conflict``
``RateLimitedError``                                    503     ``busy``, with ``Retry-After``
``ConnectError``, ``ConnectionLostError``               502     ``unreachable``
``ServerError``, ``DecodeError``, ``APIStatusError``    502     ``unusable_answer``
``RequestTimeoutError``                                 504     ``no_answer_in_time``
``OutcomeUnknownError``, after a time-out               504     ``outcome_unknown``
``OutcomeUnknownError``, after anything else            502     ``outcome_unknown``
``BatchFailedError``                                    409     ``batch_failed``
``BatchNotSetUpError``                                  409     ``not_set_up``
``WaitTimeoutError``                                    504     ``not_ready_in_time``
``WaitFailedError``, the client was closed              503     ``restarting``, with ``Retry-After``
``WaitFailedError``, for anything else                          as its ``__cause__``
======================================================  ======  ===================================

The token is this service's, so a 401 or 403 of Prolific is no 401 or 403 for whoever called this
service. A batch is named by the request when its id stands in its path, query or JSON body. 422 is
FastAPI's alone. A ``Retry-After`` of Prolific is passed on whatever the answer, up to an hour. The
candidates of an ``OutcomeUnknownError`` may be somebody else's batches, so they are not shown:
catch it where they may be. A handler of your own for one of these errors goes before this one.
"""

try:
    import fastapi as _fastapi  # noqa: F401 - only to say what is missing
    import fastapi.sse as _sse  # noqa: F401 - came with the oldest version that serves
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "fastapi":
        raise
    raise ImportError(
        "prolific_async.fastapi needs its extra: pip install 'prolific-async[fastapi]'"
    ) from error

from prolific_async.fastapi.client import BatchId, Client, get_client, lifespan
from prolific_async.fastapi.events import WaitEvents
from prolific_async.fastapi.problems import exception_handlers, responses

__all__ = [
    "BatchId",
    "Client",
    "WaitEvents",
    "exception_handlers",
    "get_client",
    "lifespan",
    "responses",
]
