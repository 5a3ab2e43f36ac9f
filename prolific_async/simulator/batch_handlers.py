"""Paths of the batch endpoints, and their handlers' search for the batch."""

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from prolific_async.simulator.models import Batch
from prolific_async.simulator.request_body import Body, read_body
from prolific_async.simulator.responses import RefusedError
from prolific_async.simulator.state import State

__all__ = ["BATCH", "BATCHES", "on_batch"]

BATCHES = "/api/v1/data-collection/batches"
BATCH = f"{BATCHES}/{{batch_id:[^/]+}}"


def on_batch(state: State, respond: Callable[[web.Request, Body, Batch], web.Response]) -> Handler:
    """Make a handler that reads the body, finds the batch, and responds under the lock."""

    async def handle(request: web.Request) -> web.Response:
        body = await read_body(request)
        with state.lock:
            batch = state.batches.get(request.match_info["batch_id"])
            if batch is None:
                raise RefusedError(404, "There is no such batch.")
            return respond(request, body, batch)

    return handle
