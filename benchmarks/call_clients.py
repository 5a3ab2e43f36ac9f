"""The four clients that benchmarks.calls compares, each used in its ordinary way.

All send the token and may open a hundred connections; each provides the same two calls.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import aiohttp
import httpx
import pydantic

from benchmarks.generated_client import Generated
from prolific_async import ProlificClient

BATCHES = "/api/v1/data-collection/batches"
TOKEN = "benchmark-token"
NAME = "Round 2"
CONNECTIONS = 100
# Else httpx would close all but 20 of fifty connections, and the next turn would open them again.
LIMITS = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)

Call = Callable[[str], Awaitable[Any]]


class Calls(NamedTuple):
    get_status: Call
    duplicate: Call


@asynccontextmanager
async def prolific(url: str) -> AsyncIterator[Calls]:
    async with ProlificClient(TOKEN, base_url=url, max_connections=CONNECTIONS) as client:

        async def duplicate(batch_id: str) -> Any:
            return await client.batches.duplicate(batch_id, name=NAME)

        yield Calls(client.batches.get_status, duplicate)


@asynccontextmanager
async def raw_aiohttp(url: str) -> AsyncIterator[Calls]:
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Token {TOKEN}"},
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
    ) as session:

        async def get_status(batch_id: str) -> Any:
            async with session.get(f"{url}{BATCHES}/{batch_id}/status") as response:
                return await response.json()

        async def duplicate(batch_id: str) -> Any:
            async with session.post(
                f"{url}{BATCHES}/{batch_id}/duplicate", json={"name": NAME}
            ) as response:
                return await response.json()

        yield Calls(get_status, duplicate)


class Status(StrEnum):
    UNINITIALISED = "UNINITIALISED"
    PROCESSING = "PROCESSING"
    READY = "READY"
    ERROR = "ERROR"


class StatusModel(pydantic.BaseModel):
    status: Status


class DatasetModel(pydantic.BaseModel):
    id: UUID
    total_datapoint_count: int


class TaskDetailsModel(pydantic.BaseModel):
    task_name: str
    task_introduction: str | None = None
    task_steps: str | None = None


class BatchModel(pydantic.BaseModel):
    id: UUID
    created_at: datetime
    created_by: str
    datasets: list[DatasetModel]
    name: str
    status: Status
    total_task_count: int
    total_instruction_count: int
    workspace_id: str
    task_details: TaskDetailsModel


@asynccontextmanager
async def httpx_pydantic(url: str) -> AsyncIterator[Calls]:
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Token {TOKEN}"}, limits=LIMITS
    ) as client:

        async def get_status(batch_id: str) -> Any:
            response = await client.get(f"{BATCHES}/{batch_id}/status")
            return StatusModel.model_validate_json(response.content)

        async def duplicate(batch_id: str) -> Any:
            response = await client.post(f"{BATCHES}/{batch_id}/duplicate", json={"name": NAME})
            return BatchModel.model_validate_json(response.content)

        yield Calls(get_status, duplicate)


@asynccontextmanager
async def generated_httpx(url: str, generated: Generated) -> AsyncIterator[Calls]:
    async with generated.client(
        base_url=url, token=TOKEN, prefix="Token", httpx_args={"limits": LIMITS}
    ) as client:

        async def get_status(batch_id: str) -> Any:
            return await generated.get_batch_status(batch_id, client=client)

        async def duplicate(batch_id: str) -> Any:
            body = generated.duplicate_request(name=NAME)
            return await generated.duplicate_batch(batch_id, client=client, body=body)

        yield Calls(get_status, duplicate)
