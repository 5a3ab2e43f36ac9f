"""The responses of the batch endpoints."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from prolific_async.simulator import Immediately, Simulator
from tests.conftest import NOON

BATCHES = "/api/v1/data-collection/batches"
# The fields that the endpoint document of "duplicate" requires.
REQUIRED_FIELDS = {
    "id",
    "created_at",
    "created_by",
    "datasets",
    "name",
    "status",
    "total_task_count",
    "total_instruction_count",
    "workspace_id",
    "task_details",
}


class World(Simulator):
    """A simulator with a client that sends paths as they are given."""

    async def ask(self, method: str, path: str, body: Any = b"", **options: Any) -> tuple[int, Any]:
        authorization = options.get("authorization", f"Token {self.token}")
        headers = {} if authorization is None else {"Authorization": authorization}
        url = URL(self.url + options.get("root", BATCHES) + path, encoded=True)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with aiohttp.request(method, url, data=data, headers=headers) as response:
            self.allow = response.headers.get("Allow")
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def list(self, workspace_id: str | None = None) -> Any:
        query = f"?workspace_id={workspace_id or self.workspace_id}"
        status, document = await self.ask("GET", query)
        assert status == 200
        return document


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(token="right") as started:
        yield started


def detail(response: tuple[int, Any], status: int) -> Any:
    """Check the shape of an error and return its detail."""
    assert response[0] == status
    error = response[1].pop("error")
    assert response[1] == {}
    assert error["status"] == status
    assert isinstance(error["error_code"], int)
    assert isinstance(error["title"], str)
    return error["detail"]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Token ",
        "right",
        "Token wrong",
        "token right",
        "Bearer right",
        "Token  right",
        "Token right, Token right",
    ],
)
@pytest.mark.parametrize("path", ["", "/x", "/x/status", "/x/elsewhere"])
async def test_requests_without_the_token_get_401(
    world: World, authorization: str | None, path: str
) -> None:
    assert detail(await world.ask("GET", path, authorization=authorization), 401)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_route_works_with_and_without_a_trailing_slash(
    world: World, slash: str
) -> None:
    batch_id = world.add_batch()
    query = f"?workspace_id={world.workspace_id}"
    assert (await world.ask("GET", slash + query))[0] == 200
    assert (await world.ask("GET", f"/{batch_id}{slash}"))[0] == 200
    assert (await world.ask("GET", f"/{batch_id}/status{slash}"))[0] == 200
    assert (await world.ask("POST", f"/{batch_id}/duplicate{slash}", {}))[0] == 201
    assert (await world.ask("POST", f"/{batch_id}/setup{slash}", {}))[0] == 202


@pytest.mark.parametrize(
    "path",
    ["//", "/ID//", "/ID/status//", "//status", "/ID/Status", "/ID/setup/x", "/ID/reports/", "x"],
)
async def test_unknown_paths_get_404(world: World, path: str) -> None:
    path = path.replace("ID", world.add_batch())
    assert "such" in detail(await world.ask("GET", path), 404)


@pytest.mark.parametrize("root", ["", "/", "/api/v2/data-collection/batches", "/x" + BATCHES])
async def test_unknown_roots_get_404(world: World, root: str) -> None:
    assert "no such page" in detail(await world.ask("GET", "", root=root), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "GET,POST"),
        ("DELETE", "/ID", "GET,PATCH"),
        ("GET", "/ID/setup", "POST"),
        ("PUT", "/ID/duplicate", "POST"),
    ],
)
async def test_a_wrong_method_gets_405_with_allow(
    world: World, method: str, path: str, allowed: str
) -> None:
    path = path.replace("ID", world.add_batch())
    assert method in detail(await world.ask(method, path), 405)
    assert world.allow == allowed


@pytest.mark.parametrize("verb", ["", "/status"])
async def test_a_removed_batch_gets_404(world: World, verb: str) -> None:
    batch_id = world.add_batch()
    assert (await world.ask("GET", f"/{batch_id}{verb}"))[0] == 200
    world.remove(batch_id)
    assert detail(await world.ask("GET", f"/{batch_id}{verb}"), 404) == "There is no such batch."
    assert await world.list() == {"results": [], "meta": {"count": 0}}


@pytest.mark.parametrize("batch_id", ["a/b", "a%2Fb", "..", "é ?#", "status", "a/status", "%"])
async def test_an_id_is_decoded_exactly_once_and_is_never_a_route(
    world: World, batch_id: str
) -> None:
    world.add_batch(batch_id=batch_id, status="READY")
    world.add_batch(batch_id="a")
    encoded = quote(batch_id, safe="")
    assert (await world.ask("GET", f"/{encoded}"))[1]["id"] == batch_id
    assert await world.ask("GET", f"/{encoded}/status") == (200, {"status": "READY"})


async def test_a_plus_in_a_path_is_a_plus(world: World) -> None:
    world.add_batch(batch_id="a+b")
    assert (await world.ask("GET", "/a+b"))[0] == 200


async def test_get_shows_the_newer_fields_too(world: World) -> None:
    batch_id = world.add_batch("Mine", instructions=2, created_at=NOON, auto_sync_enabled=True)
    status, document = await world.ask("GET", f"/{batch_id}")
    assert status == 200
    assert document.keys() - REQUIRED_FIELDS == {
        "schema_version",
        "total_task_groups",
        "batch_items",
        "auto_sync_enabled",
    }
    assert document["created_at"] == "2026-05-04T12:00:00.000000Z"
    assert document["datasets"] == [
        {
            "id": world.batches[batch_id].dataset_id,
            "total_datapoint_count": 200,
            "filename": "datapoints.csv",
        }
    ]
    assert (document["name"], document["status"]) == ("Mine", "UNINITIALISED")
    assert (document["total_task_count"], document["total_instruction_count"]) == (0, 2)
    assert (document["batch_items"], document["auto_sync_enabled"]) == (None, True)
    assert set(document["task_details"]) == {"task_name", "task_introduction", "task_steps"}


async def test_unusual_values_and_extra_keys_are_shown(world: World) -> None:
    batch_id = world.add_batch(
        status=None, task_details=None, batch_items=[{"rows": []}], schema_version="4", colour="red"
    )
    document = (await world.ask("GET", f"/{batch_id}"))[1]
    assert (document["status"], document["task_details"]) == (None, None)
    assert (document["schema_version"], document["colour"]) == ("4", "red")
    assert document["batch_items"] == [{"rows": []}]
    assert await world.ask("GET", f"/{batch_id}/status") == (200, {"status": None})


async def test_a_setup_from_start_to_end(world: World) -> None:
    batch_id = world.add_batch(datapoints=10, instructions=2)
    assert await world.ask("POST", f"/{batch_id}/setup", {"tasks_per_group": 6}) == (202, {})
    processing = (await world.ask("GET", f"/{batch_id}"))[1]
    assert (processing["status"], processing["total_task_count"]) == ("PROCESSING", 0)
    ready = (await world.ask("GET", f"/{batch_id}"))[1]
    assert ready["status"] == "READY"
    assert (ready["total_task_count"], ready["total_task_groups"]) == (20, 4)
    assert ready["tasks_per_group"] == 6
    assert (await world.list())["results"] == [ready]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"newer": 1}', b'{"tasks_per_group": 1}'])
async def test_every_field_of_a_setup_is_optional(world: World, body: bytes) -> None:
    batch_id = world.add_batch()
    assert await world.ask("POST", f"/{batch_id}/setup", body) == (202, {})
    assert world.batches[batch_id].tasks_per_group == 1


@pytest.mark.parametrize(
    ("number", "value"), [(b"3.0", 3), (b"3e2", 300), (b"9223372036854775807", 2**63 - 1)]
)
async def test_a_number_is_an_integer_by_its_value(world: World, number: bytes, value: int) -> None:
    batch_id = world.add_batch()
    body = b'{"tasks_per_group": ' + number + b"}"
    assert await world.ask("POST", f"/{batch_id}/setup", body) == (202, {})
    chosen = world.batches[batch_id].tasks_per_group
    assert (chosen, type(chosen)) == (value, int)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e400", b"1" + b"0" * 5000])
async def test_a_number_without_an_integer_value_is_refused(world: World, number: bytes) -> None:
    batch_id = world.add_batch()
    body = b'{"tasks_per_group": ' + number + b"}"
    assert detail(await world.ask("POST", f"/{batch_id}/setup", body), 400)


@pytest.mark.parametrize(
    ("path", "status_in"),
    [
        ("/ID", lambda shown: shown["status"]),
        ("/ID/status", lambda shown: shown["status"]),
        ("?workspace_id=WORKSPACE", lambda shown: shown["results"][0]["status"]),
    ],
)
async def test_every_response_that_shows_the_status_is_a_poll(
    world: World, path: str, status_in: Callable[[Any], str]
) -> None:
    batch_id = world.add_batch()
    await world.ask("POST", f"/{batch_id}/setup", {})
    await world.ask("POST", f"/{batch_id}/setup", {})  # 400, and no poll
    await world.ask("POST", f"/{batch_id}/duplicate", {})  # shows the copy's status
    await world.list(world.add_workspace())
    path = path.replace("ID", batch_id).replace("WORKSPACE", world.workspace_id)
    polls = [status_in((await world.ask("GET", path))[1]) for _ in range(2)]
    assert polls == ["PROCESSING", "READY"]


BROKEN = [b"{", b"[]", b"null", b'"x"', b"3", b"\xff", b"{'a': 1}", b"[" * 100_000, b"{} {}"]


@pytest.mark.parametrize("verb", ["setup", "duplicate"])
@pytest.mark.parametrize("body", BROKEN)
async def test_a_body_that_is_not_a_json_object_is_refused(
    world: World, verb: str, body: bytes
) -> None:
    batch_id = world.add_batch()
    assert "JSON" in detail(await world.ask("POST", f"/{batch_id}/{verb}", body), 400)
    assert len(world.batches) == 1
    assert world.batches[batch_id].status == "UNINITIALISED"


WRONG_KINDS: dict[tuple[str, str], list[Any]] = {
    ("setup", "tasks_per_group"): [0, -1, 0.0, 2.5, 2**63, 10**19, 1e19, True, "2", None, []],
    ("setup", "dataset_id"): [1, None, {}, True, "", "unknown"],
    ("duplicate", "name"): [1, None, ["x"], False],
    ("duplicate", "upload_new_dataset"): [1, 0, "true", None, {}],
}


@pytest.mark.parametrize(
    ("verb", "field", "value"),
    [(*where, value) for where, values in WRONG_KINDS.items() for value in values],
)
async def test_a_field_of_the_wrong_kind_is_refused_by_name(
    world: World, verb: str, field: str, value: Any
) -> None:
    batch_id = world.add_batch()
    complaints = detail(await world.ask("POST", f"/{batch_id}/{verb}", {field: value}), 400)
    assert list(complaints) == [field]
    assert all(isinstance(text, str) for text in complaints[field])
    assert len(world.batches) == 1
    assert world.batches[batch_id].status == "UNINITIALISED"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"datapoints": None}, "dataset_id"),
        ({"dataset_status": "PROCESSING"}, "dataset_id"),
        ({"status": "PROCESSING"}, "status"),
        ({"status": "READY"}, "status"),
    ],
)
async def test_a_setup_in_a_wrong_state_is_refused(
    world: World, options: dict[str, Any], field: str
) -> None:
    batch_id = world.add_batch(**options)
    before = world.batches[batch_id]
    assert list(detail(await world.ask("POST", f"/{batch_id}/setup", {}), 400)) == [field]
    assert world.batches[batch_id] == before


async def test_a_duplicate_has_the_required_fields_and_the_additive_ones(world: World) -> None:
    source = world.add_batch("Original", colour="red", dataset_status="ERROR")
    status, copy = await world.ask("POST", f"/{source}/duplicate", {})
    assert status == 201
    assert copy.keys() - REQUIRED_FIELDS == {"auto_sync_enabled", "total_task_groups"}
    assert copy.keys() >= REQUIRED_FIELDS
    original = (await world.ask("GET", f"/{source}"))[1]
    same = ("workspace_id", "created_by", "task_details", "total_instruction_count")
    assert all(copy[key] == original[key] for key in same)
    assert copy["datasets"] == [{"id": original["datasets"][0]["id"], "total_datapoint_count": 200}]
    assert (copy["name"], copy["status"]) == ("Original (Copy)", "UNINITIALISED")
    assert copy["created_at"] == "2026-05-04T12:00:00.000000Z"
    assert world.batches[copy["id"]].source_id == source
    shown = (await world.ask("GET", f"/{copy['id']}"))[1]
    assert all(shown[key] == copy[key] for key in copy.keys() - {"datasets"})
    assert "colour" not in shown
    assert [batch["id"] for batch in (await world.list())["results"]] == [source, copy["id"]]


async def test_a_duplicate_takes_a_name_and_can_leave_the_dataset_out(world: World) -> None:
    source = world.add_batch(batch_items=[{"rows": []}])
    body = {"name": "Zweite Runde é", "upload_new_dataset": True, "newer": 1}
    status, copy = await world.ask("POST", f"/{source}/duplicate", body)
    assert (status, copy["name"], copy["datasets"]) == (201, "Zweite Runde é", [])
    assert copy["batch_items"] == [{"rows": []}]
    assert (await world.ask("POST", f"/{source}/duplicate", {"upload_new_dataset": False}))[1][
        "datasets"
    ]


async def test_every_duplicate_is_another_batch(world: World) -> None:
    source = world.add_batch()
    copies = [
        (await world.ask("POST", f"/{source}/duplicate", {"name": "Same"}))[1] for _ in range(3)
    ]
    assert len({copy["id"] for copy in copies}) == 3
    assert len(world.batches) == 4


async def test_a_list_shows_all_batches_of_one_workspace(world: World) -> None:
    other = world.add_workspace()
    here = [world.add_batch(str(number)) for number in range(3)]
    there = world.add_batch(workspace_id=other)
    assert [batch["id"] for batch in (await world.list())["results"]] == here
    assert (await world.list())["meta"] == {"count": 3}
    assert [batch["id"] for batch in (await world.list(other))["results"]] == [there]
    assert (await world.list())["results"][1] == (await world.ask("GET", f"/{here[1]}"))[1]


@pytest.mark.parametrize("query", ["", "?workspace_id=", "?workspace=x"])
async def test_a_list_needs_a_workspace_id(world: World, query: str) -> None:
    assert list(detail(await world.ask("GET", query), 400)) == ["workspace_id"]


async def test_a_list_of_an_unknown_workspace_gets_404(world: World) -> None:
    assert detail(await world.ask("GET", f"?workspace_id={'0' * 24}"), 404)


async def test_get_and_list_show_every_change() -> None:
    async with World(setup=Immediately()) as world:
        batch_id = world.add_batch(datapoints=None)

        async def shown() -> Any:
            batch = (await world.ask("GET", f"/{batch_id}"))[1]
            assert (await world.list())["results"] == [batch]
            return batch["status"], len(batch["datasets"]), batch.get("tasks_per_group")

        assert await shown() == ("UNINITIALISED", 0, None)
        for status in (None, "ERROR"):
            world.set_status(batch_id, status)
            assert await shown() == (status, 0, None)
        await world.ask("POST", f"/{batch_id}/setup", {"dataset_id": world.add_dataset()})
        assert await shown() == ("READY", 1, 1)
