"""One client for the process: who owns it, and how routes get at it."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection
from pydantic import AfterValidator

from prolific_async.batches import batch_id_of
from prolific_async.client import ProlificClient
from prolific_async.errors import ConfigurationError

__all__ = ["BatchId", "Client", "get_client", "lifespan"]

_KEY = "prolific_client"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]
OwnLifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def lifespan(
    own: OwnLifespan | None = None, *, client: Callable[[], ProlificClient] = ProlificClient
) -> Lifespan:
    """Return a lifespan that owns one client, for ``FastAPI(lifespan=…)``.

    The client is made when the application starts and closed when it has ended. Until its first
    request it has no session, no task and no connection. A lifespan that uses the client itself
    makes it itself, and yields ``{"prolific_client": client}`` for ``Client``.

    Args:
        own: The application's own lifespan. It starts after the client is made and ends before the
            client is closed, and what it yields is kept.
        client: Makes the client, by default ``ProlificClient()`` with the environment's token. A
            function, as a client that was closed is of no use to an application started again.

    Raises:
        ValueError: ``own`` is an application, as in ``FastAPI(lifespan=lifespan)``, or ``client``
            is no function.
        ConfigurationError: When the application starts, as ``ProlificClient`` does.

    """
    if isinstance(own, FastAPI):
        raise ValueError("lifespan makes a lifespan, so call it: FastAPI(lifespan=lifespan())")
    if not callable(client):
        raise ValueError(f"client must be a function that makes a ProlificClient: {client!r}")

    @asynccontextmanager
    async def owning(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with client() as owned, own(app) if own else nullcontext() as state:
            yield {**(state or {}), _KEY: owned}

    return owning


async def get_client(connection: HTTPConnection) -> ProlificClient:
    """Return the client that the lifespan owns; ``Client`` depends on it.

    Raises:
        ConfigurationError: The application was given no such lifespan.

    """
    client = getattr(connection.state, _KEY, None)
    if not isinstance(client, ProlificClient):
        raise ConfigurationError(
            "no client in the lifespan's state: FastAPI(lifespan=prolific_async.fastapi.lifespan())"
        )
    return client


Client = Annotated[ProlificClient, Depends(get_client)]
"""The application's client, as a parameter of a route or WebSocket route."""

BatchId = Annotated[str, AfterValidator(batch_id_of)]
"""A batch's id, as a parameter; what can be none, such as "..", is a 422."""
