"""The workspace endpoint, as a client in any language sees it."""

from typing import Any

import aiohttp
import pytest

from prolific_async.simulator import Simulator


async def get(sim: Simulator, path: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Token {sim.token}"}
    async with aiohttp.ClientSession(sim.url, headers=headers) as session, session.get(path) as got:
        return got.status, await got.json()


@pytest.mark.parametrize("path", ["/api/v1/workspaces", "/api/v1/workspaces/"])
async def test_the_endpoint_lists_all_workspaces(sim: Simulator, path: str) -> None:
    added = sim.add_workspace(title="Pilot studies")
    status, body = await get(sim, path)
    assert (status, body["meta"]) == (200, {"count": 2})
    assert [(one["id"], one["title"]) for one in body["results"]] == [
        (sim.workspace_id, "Workspace 1"),
        (added, "Pilot studies"),
    ]


@pytest.mark.parametrize(
    ("query", "shown"),
    [("limit=1", [0]), ("offset=1", [1, 2]), ("limit=1&offset=2", [2]), ("offset=9", [])],
)
async def test_limit_and_offset(sim: Simulator, query: str, shown: list[int]) -> None:
    ids = [sim.workspace_id, sim.add_workspace(), sim.add_workspace()]
    _, body = await get(sim, f"/api/v1/workspaces/?{query}")
    assert [one["id"] for one in body["results"]] == [ids[index] for index in shown]
    assert body["meta"] == {"count": 3}


@pytest.mark.parametrize("query", ["limit=x", "offset=-1", "limit=²"])
async def test_what_is_no_number_is_refused(sim: Simulator, query: str) -> None:
    status, body = await get(sim, f"/api/v1/workspaces/?{query}")
    assert status == 400
    assert query.partition("=")[0] in body["error"]["detail"]


async def test_it_needs_the_token(sim: Simulator) -> None:
    async with aiohttp.ClientSession(sim.url) as session, session.get("/api/v1/workspaces/") as got:
        assert got.status == 401
