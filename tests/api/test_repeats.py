"""A call whose response is lost is sent again only if its error would say "try again"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from prolific_async import RetryPolicy, TransportError
from prolific_async._api.batch_editing import BatchEditingAPI
from prolific_async._api.batches import BatchesAPI
from prolific_async._api.datasets import DatasetsAPI
from prolific_async._api.exports import ExportsAPI
from prolific_async._api.workspaces import WorkspacesAPI
from prolific_async._http.request import Request


class LostError(Exception):
    pass


class Losing:
    """A transport that loses each request, and records what would have it sent again."""

    prefix = "/gateway"
    sleep = stream = None

    def __init__(self) -> None:
        self.sent: list[tuple[Request, bool]] = []

    async def send(
        self, request: Request, _poll: object = None, again: Any = None, *, raw: bool = False
    ) -> Any:
        lost = TransportError(request.method, request.path, "the connection was lost")
        self.sent.append((request, again is not None and again(lost)))
        raise LostError


def calls(transport: Any) -> dict[str, Callable[[], Any]]:
    batches, datasets = BatchesAPI(transport, RetryPolicy()), DatasetsAPI(transport)
    editing, exports = BatchEditingAPI(transport), ExportsAPI(transport)
    return {
        "get": lambda: batches.get("b"),
        "get_status": lambda: batches.get_status("b"),
        "get_source": lambda: batches.get_source("b"),
        "duplicate": lambda: batches.duplicate("b"),
        "set_up": lambda: batches.set_up("b"),
        "create": lambda: editing.create("w", {"name": "n"}),
        "update": lambda: editing.update("b", {"name": "n"}),
        "sync": lambda: editing.sync("b"),
        "task_ids": lambda: editing.task_ids("b"),
        "task_group_ids": lambda: editing.task_group_ids("b"),
        "dataset create": lambda: datasets.create("w", name="n"),
        "dataset get": lambda: datasets.get("d"),
        "dataset get_status": lambda: datasets.get_status("d"),
        "dataset update_schema": lambda: datasets.update_schema("d", {}),
        "dataset upload_url": lambda: datasets.upload_url("d", "rows.csv"),
        "dataset append": lambda: datasets.append("d", b"{}", first=0),
        "export create": lambda: exports.create("b", {}),
        "export list": lambda: exports.list("b"),
        "export url": lambda: exports.url("b", "e"),
        "export delete": lambda: exports.delete("b", "e"),
        "workspaces": lambda: WorkspacesAPI(transport).list(),
    }


ADVICE = "; try again"


@pytest.mark.parametrize("name", list(calls(Losing())))
def test_a_lost_call_is_repeated_where_its_error_says_so(name: str) -> None:
    transport = Losing()

    async def main() -> None:
        with pytest.raises(LostError):
            await calls(transport)[name]()

    asyncio.run(main())
    ((request, is_repeated),) = transport.sent
    error = TransportError(request.method, request.path, "the connection was lost")
    assert str(error).endswith(ADVICE) is is_repeated, str(error)
