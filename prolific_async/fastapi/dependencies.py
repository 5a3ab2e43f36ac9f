"""FastAPI lifespan that owns one client, and dependencies for routes."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection
from pydantic import AfterValidator

from prolific_async.batches import batch_id_of
from prolific_async.client import ProlificClient
from prolific_async.errors import ConfigurationError
from prolific_async.fastapi.server_stop import ServerStop, server_stop

__all__ = ["BatchId", "Client", "get_client", "get_server_stop", "lifespan"]

_KEY = "prolific_client"
_STOP_KEY = "prolific_server_stop"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]
OwnLifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def lifespan(
    own: OwnLifespan | None = None, *, client: Callable[[], ProlificClient] = ProlificClient
) -> Lifespan:
    """Return a lifespan that owns one client, for ``FastAPI(lifespan=…)``.

    The client is made when the application starts and closed when it ends. Until its first request
    it has no session, no task and no connection. Event streams end when the server begins to stop,
    see ``prolific_async.fastapi``.

    A lifespan of your own that needs the client makes one, and yields
    ``{"prolific_client": client}`` for ``Client``, in place of this one; event streams then end
    when that client is closed.

    Args:
        own: The application's own lifespan. It starts after the client is made and ends before the
            client is closed, and the state that it yields is kept.
        client: Function that makes the client, by default ``ProlificClient()`` with the
            environment's token. It is called at each start, as a closed client cannot be reused.

    Raises:
        ValueError: ``own`` is an application, as in ``FastAPI(lifespan=lifespan)``, or ``client``
            cannot be called.
        ConfigurationError: When the application starts, as ``ProlificClient`` does.

    """
    if isinstance(own, FastAPI):
        raise ValueError("lifespan makes a lifespan, so call it: FastAPI(lifespan=lifespan())")
    if not callable(client):
        raise ValueError(f"client must be a function that makes a ProlificClient: {client!r}")

    @asynccontextmanager
    async def owning(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with (
            client() as owned,
            server_stop() as stop,
            own(app) if own else nullcontext() as state,
        ):
            yield {**(state or {}), _KEY: owned, _STOP_KEY: stop}

    return owning


async def get_client(connection: HTTPConnection) -> ProlificClient:
    """Return the client that the lifespan owns; the dependency of ``Client``.

    Raises:
        ConfigurationError: The application's lifespan has no client.

    """
    client = getattr(connection.state, _KEY, None)
    if not isinstance(client, ProlificClient):
        raise ConfigurationError(
            "no client in the lifespan's state: FastAPI(lifespan=prolific_async.fastapi.lifespan())"
        )
    return client


async def get_server_stop(connection: HTTPConnection) -> ServerStop:
    """Return the lifespan's ``ServerStop``, or a new ``ServerStop`` if there is no lifespan."""
    stop = getattr(connection.state, _STOP_KEY, None)
    return stop if isinstance(stop, ServerStop) else ServerStop()


Client = Annotated[ProlificClient, Depends(get_client)]
"""The application's client, as a parameter of a route or WebSocket route."""

BatchId = Annotated[str, AfterValidator(batch_id_of)]
"""A batch's id, as a parameter; an invalid id, such as "..", is answered with 422."""
