"""Prolific in a FastAPI application; needs the extra ``[fastapi]``.

::

    from fastapi import FastAPI
    from fastapi.sse import EventSourceResponse
    from prolific_async.fastapi import BatchId, Client, WaitEvents, exception_handlers, lifespan

    app = FastAPI(lifespan=lifespan(), exception_handlers=exception_handlers)


    @app.post("/batches/{batch_id}/copies", status_code=202)
    async def start(batch_id: BatchId, name: str, client: Client) -> str:
        copy = await client.batches.duplicate(batch_id, name=name)
        await copy.setup()
        return copy.id


    @app.get("/copies/{batch_id}/events", response_class=EventSourceResponse)
    async def events(batch_id: BatchId, wait_events: WaitEvents):
        async for event in wait_events(batch_id, timeout=600):
            yield event

``lifespan`` owns one client for the process, around the application's own lifespan. ``Client``
brings it into routes, WebSocket routes and mounted applications too. ``BatchId`` refuses with 422
what can be no id. A plain route that awaits a wait goes on when its caller has gone; a stream does
not.

In tests, ``app.dependency_overrides[get_client] = lambda: prolific_client`` puts the client of the
package's pytest fixture in its place, and needs no lifespan. FastAPI's ``TestClient`` belongs into
plain ``def`` tests: ``with TestClient(app)`` runs the lifespan, whose client then speaks to the
fixture ``prolific_simulator``.

``exception_handlers`` turns what the client raises into problem documents (RFC 9457), and
``responses`` (``FastAPI(responses=…)``) puts these into the OpenAPI document. They hold fixed
sentences: nothing that Prolific sent and nothing of the token, the call or the request. The error
itself is logged as ``prolific_async``: as an error where the answer is 500, as a warning where it
is another 5xx. A mounted application needs handlers of its own.

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
``WaitFailedError``, for anything else                          as its ``failure``
======================================================  ======  ===================================

The token is this service's, so a 401 or 403 of Prolific is no 401 or 403 for whoever called this
service. A batch is named by the request when its id stands in its path, query or JSON body. 422 is
FastAPI's alone. A ``Retry-After`` of Prolific is passed on whatever the answer, up to an hour. The
candidates of an ``OutcomeUnknownError`` may be somebody else's batches, so they are not shown:
catch it where they may be. A handler of your own for one of these errors goes before this one.

``wait_events(*batches, timeout=…, poll=…)`` waits for one batch or for many over one connection, of
which a browser opens no more than six to a host over HTTP/1.1. It yields

- ``status`` for every poll, with ``batch_id``, ``status``, ``previous``, ``polls``, ``elapsed``,
  ``next_in``, as in ``StatusEvent``, and ``error``: null, or why the poll failed, in a fixed
  sentence. READY is the last of a batch. A browser that reads slowly misses polls that newer ones
  have replaced: no more than one of each batch is kept for it.
- ``failed`` when a wait ends without READY, with ``batch_id``, ``last_status``, ``polls`` and
  ``elapsed``, as in ``WaitError``, and the ``code`` and ``detail`` of the problem document that the
  error would be answered with.
- ``end`` after the last one, with the numbers of ``ready`` and ``failed``. The page should close
  its ``EventSource`` now. One that does not connects again with this event's id, and is answered
  with 204, which tells browsers to stop.

A stream that breaks, or that ends without ``end`` because the service restarts, is connected to
again by the browser after one to three seconds. Nothing is lost: the first poll tells where each
batch stands, and the timeout begins anew. Pings while there is nothing to tell are FastAPI's, every
15 s. What your own route raises after the first event can only break the stream.

A browser that goes away ends its own waits, and nobody else's for the same batch. Open streams are
requests that a server lets end before it stops: give it a bound, such as uvicorn's
``--timeout-graceful-shutdown 5``.
"""

try:
    import fastapi as _fastapi  # noqa: F401 - only to say what is missing
    import fastapi.sse as _sse  # noqa: F401 - came with the oldest version that serves
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "fastapi":
        raise
    raise ImportError(
        "prolific_async.fastapi needs the extra [fastapi]: install prolific_async with it, "
        "see README"
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
