"""``client.workspaces``: every page of the list, and malformed pages."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import AuthenticationError, DecodeError, ProlificClient, Workspace
from prolific_async._api import pagination
from prolific_async.simulator import Fault

if TYPE_CHECKING:
    from prolific_async.simulator import Simulator

ROUTE = "/workspaces/"
# As "get-workspaces" under https://docs.prolific.com/api-reference/workspaces documents it.
WIRE = {
    "id": "62fce6fff0a78eb4f3ebc09c",
    "title": "My workspace",
    "description": "This workspace does...",
    "owner": "60a42f4c693c29420793cb73",
    "users": [{"id": "60a42f4c693c29420793cb73", "name": "Joe", "email": "joe@example.com"}],
    "naivety_distribution_rate": 0.5,
}


def pages(sim: Simulator) -> list[tuple[str, str]]:
    return [(one.query["limit"], one.query["offset"]) for one in sim.requests]


async def test_list_returns_all_workspaces_with_one_request(
    sim: Simulator, client: ProlificClient
) -> None:
    other = sim.add_workspace(title="Pilot studies")
    first, second = await client.workspaces.list()
    assert (first.id, first.title) == (sim.workspace_id, "Workspace 1")
    assert (second.id, second.title) == (other, "Pilot studies")
    assert await client.batches.list(second.id) == []
    (seen, _) = sim.requests
    assert (seen.method, seen.path) == ("GET", "/api/v1/workspaces/")


async def test_what_has_no_name_is_kept(sim: Simulator, client: ProlificClient) -> None:
    sim.inject("GET", ROUTE, Fault(body={"results": [WIRE]}))
    (workspace,) = await client.workspaces.list()
    assert workspace.owner == WIRE["owner"]
    assert workspace.extra["naivety_distribution_rate"] == 0.5
    assert workspace.to_dict() == json.loads(json.dumps(WIRE))
    assert Workspace.from_dict(workspace.to_dict()) == workspace
    assert pickle.loads(pickle.dumps(workspace)) == workspace
    assert repr(workspace) == "<Workspace 62fce6fff0a78eb4f3ebc09c 'My workspace'>"


async def test_list_reads_every_page(sim: Simulator, client: ProlificClient) -> None:
    for _ in range(449):
        sim.add_workspace()
    assert len({one.id for one in await client.workspaces.list()}) == 450
    assert pages(sim) == [("200", "0"), ("200", "200"), ("200", "400")]


def wires(start: int, end: int) -> list[Any]:
    return [{"id": f"w-{number}", "title": ""} for number in range(start, end)]


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        ([{}], 0),
        ([{"results": None}], 0),
        ([{"results": wires(0, 3)}], 3),
        ([{"results": wires(0, 200)}, {"results": []}], 200),
        # A service that knows no offset.
        ([{"results": wires(0, 300)}, {"results": wires(0, 300)}], 300),
        # One with pages of its own.
        ([{"results": wires(n, n + 2), "meta": {"count": 4}} for n in (0, 2)], 4),
    ],
    ids=["empty", "null", "without a count", "full page", "no offset", "small pages"],
)
async def test_a_list_ends(
    sim: Simulator, client: ProlificClient, answers: list[Any], number: int
) -> None:
    for body in answers:
        sim.inject("GET", ROUTE, Fault(body=body))
    assert len(await client.workspaces.list()) == number
    assert len(sim.requests) == len(answers)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"message": "maintenance"}, "not a list"),
        ([], "an object is needed"),
        ({"results": [{"id": "w-1"}]}, r"\$\.results\[0\]\.title: it is missing"),
        ({"results": [{"id": 5, "title": ""}]}, r"\$\.results\[0\]\.id"),
        ({"results": wires(0, 2), "meta": {"count": 5}}, "2 of 5 workspaces"),
    ],
)
async def test_a_bad_list_is_refused(
    sim: Simulator, client: ProlificClient, body: Any, problem: str
) -> None:
    sim.inject("GET", ROUTE, Fault(body=body, headers={"X-Request-Id": "r-1"}), times=2)
    with pytest.raises(DecodeError, match=problem) as caught:
        await client.workspaces.list()
    assert caught.value.request_id == "r-1"


async def test_a_list_that_never_ends_is_refused(
    sim: Simulator, client: ProlificClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "_MAX_PAGES", 5)
    for number in range(8):
        body = {"results": wires(number, number + 1), "meta": {"count": 10**6}}
        sim.inject("GET", ROUTE, Fault(body=body))
    with pytest.raises(DecodeError, match="more than 5 pages"):
        await client.workspaces.list()
    assert len(sim.requests) == 5


async def test_it_is_a_get_like_others(sim: Simulator, client: ProlificClient) -> None:
    sim.inject("GET", ROUTE, Fault(503), times=2)
    assert len(await client.workspaces.list()) == 1
    sim.inject("GET", ROUTE, Fault(401))
    with pytest.raises(AuthenticationError):
        await client.workspaces.list()


async def test_a_gateways_path_comes_first(sim: Simulator) -> None:
    async with ProlificClient(sim.token, base_url=f"{sim.url}/gateway/api/v1") as client:
        sim.inject("GET", "/gateway/api/v1/workspaces/", Fault(body={"results": [WIRE]}))
        assert len(await client.workspaces.list()) == 1
