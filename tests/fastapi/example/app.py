"""The backend: routes that start copies of a batch, list them, and stream their progress.

On the real service: `PROLIFIC_TOKEN=… WORKSPACE_ID=… BATCH_ID=… uvicorn --factory
tests.fastapi.example.app:create_app`.
"""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Response, WebSocket
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from prolific_async import Batch, PollPolicy, ProlificClient
from prolific_async.fastapi import (
    BatchId,
    Client,
    WaitEvents,
    exception_handlers,
    lifespan,
    responses,
)

_PAGE = Path(__file__).with_name("page.html")


class NewCopy(BaseModel):
    """The body of a request for a new copy."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """Unique, so that a copy whose answer was lost is found again."""
    tasks_per_group: Annotated[int, Field(ge=1)] = 1


class Copy(BaseModel):
    """The fields of a batch that callers see."""

    id: str
    name: str
    status: str
    tasks: int

    @classmethod
    def of(cls, batch: Batch) -> "Copy":
        return cls(id=batch.id, name=batch.name, status=batch.status, tasks=batch.total_task_count)


def create_app(
    poll: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
    client: Callable[[], ProlificClient] = ProlificClient,
) -> FastAPI:
    app = FastAPI(
        title="Copies of a batch",
        lifespan=lifespan(client=client),
        exception_handlers=exception_handlers,
        responses=responses,
    )

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE)

    @app.get("/source")
    async def source(client: Client) -> Copy:
        return Copy.of(await client.batches.get(os.environ["BATCH_ID"]))

    @app.post("/batches/{batch_id}/copies", status_code=202)
    async def start(batch_id: BatchId, new: NewCopy, client: Client, response: Response) -> Copy:
        copy = await client.batches.duplicate(batch_id, name=new.name)
        response.headers["Location"] = f"/copies/{copy.id}"
        await copy.setup(tasks_per_group=new.tasks_per_group)
        return Copy.of(copy)

    @app.get("/copies")
    async def copies(client: Client) -> list[Copy]:
        found = await client.batches.list(os.environ["WORKSPACE_ID"])
        found.sort(key=lambda batch: batch.created_at)
        return [Copy.of(batch) for batch in found if batch.id != os.environ["BATCH_ID"]]

    # For a table of many: a browser opens six connections to a host, not one for each row.
    @app.get("/copies/events", response_class=EventSourceResponse)
    async def events_of_many(
        batch: Annotated[list[BatchId], Query()], wait_events: WaitEvents
    ) -> AsyncIterator[ServerSentEvent]:
        async for event in wait_events(*batch, poll=poll):
            yield event

    @app.get("/copies/{batch_id}")
    async def copy(batch_id: BatchId, client: Client) -> Copy:
        return Copy.of(await client.batches.get(batch_id))

    @app.get("/copies/{batch_id}/events", response_class=EventSourceResponse)
    async def events(batch_id: BatchId, wait_events: WaitEvents) -> AsyncIterator[ServerSentEvent]:
        async for event in wait_events(batch_id, poll=poll):
            yield event

    @app.websocket("/copies/{batch_id}/status")
    async def status(websocket: WebSocket, batch_id: BatchId, client: Client) -> None:
        await websocket.accept()
        async for event in client.batches.watch(batch_id, poll=poll):
            await websocket.send_json({"batch_id": event.batch_id, "status": event.status})

    return app
