"""The endpoints under `/_simulator/` that control the simulator."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import attrs
import pytest

from prolific_async.simulator import Fault, Simulator
from prolific_async.simulator.request_body import MAX_BODY

BATCHES = "/api/v1/data-collection/batches"


@attrs.frozen
class Heard:
    status: int
    body: Any
    headers: Any = attrs.field(eq=False)


Send = Callable[..., Awaitable[Heard]]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def send(sim: Simulator) -> AsyncIterator[Send]:
    async with aiohttp.ClientSession(sim.url) as session:

        async def sent(method: str, path: str, body: Any = None, **headers: str) -> Heard:
            is_raw = body is None or isinstance(body, bytes | io.BytesIO)
            data = body if is_raw else json.dumps(body).encode()
            headers = {"Authorization": f"Token {sim.token}"} | headers
            async with session.request(method, path, data=data, headers=headers) as response:
                text = await response.read()
                return Heard(response.status, json.loads(text) if text else None, response.headers)

        yield sent


def refusal(heard: Heard) -> Any:
    assert heard.body["error"]["status"] == heard.status
    return heard.body["error"]["detail"]


async def test_faults_are_used_in_order_and_counted(sim: Simulator, send: Send) -> None:
    path = f"{BATCHES}/{sim.add_batch(status='READY')}/status"
    fault = {"method": "GET", "route": "/status"}
    again = {**fault, "status": 429, "headers": {"Retry-After": "7"}, "body": {"a": 1}, "times": 2}
    for script in (again, {**fault, "status": 503}):
        assert await send("POST", "/_simulator/faults", script) == Heard(204, None, None)
    heard = [await send("GET", path) for _ in range(4)]
    assert [each.status for each in heard] == [429, 429, 503, 200]
    assert heard[0].body == {"a": 1}
    assert heard[0].headers["Retry-After"] == "7"


async def test_a_fault_without_a_limit_lasts_until_it_is_cleared(
    sim: Simulator, send: Send
) -> None:
    path = f"{BATCHES}/{sim.add_batch()}"
    fault = {"method": "GET", "route": "/batches", "status": 500, "times": None}
    await send("POST", "/_simulator/faults", fault | {"route": path})
    assert [(await send("GET", path)).status for _ in range(5)] == [500] * 5
    assert (await send("DELETE", "/_simulator/faults/")).status == 204
    assert (await send("GET", path)).status == 200


@pytest.mark.parametrize(
    ("fault", "statuses", "copies"),
    [
        ({"reset": "before"}, [None], 0),
        ({"reset": "after"}, [None], 1),
        ({"status": 502, "applied": True}, [502], 1),
        ({"cut": 3}, [201], 1),
        ({"delay": 0.01, "drip": 0}, [201], 1),
    ],
)
async def test_every_kind_of_fault_can_be_scripted(
    sim: Simulator, send: Send, fault: dict[str, Any], statuses: list[int | None], copies: int
) -> None:
    path = f"{BATCHES}/{sim.add_batch()}/duplicate"
    await send("POST", "/_simulator/faults", {"method": "post", "route": "/duplicate", **fault})
    try:
        await send("POST", path)
    except aiohttp.ClientError:
        assert "reset" in fault or "cut" in fault
    assert [seen.status for seen in sim.requests] == statuses
    assert len(sim.batches) == 1 + copies


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - its text is what is compared
        call()
    return str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"status": 99},
        {"status": "503"},
        {"delay": -1},
        {"delay": "1"},
        {"delay": True},
        {"delay": 10**400},
        {"drip": []},
        {"cut": 1.5},
        {"reset": "during"},
        {"reset": ["before"]},
        {"reset": "after", "status": 500},
        {"applied": "no", "status": 500},
        {"headers": {"A": 1}},
        {"headers": "A: b"},
        {"headers": [1]},
    ],
)
async def test_an_invalid_fault_gets_the_message_of_python(
    sim: Simulator, send: Send, options: dict[str, Any]
) -> None:
    script = {"method": "GET", "route": "/status", **options}
    heard = await send("POST", "/_simulator/faults", script)
    assert (heard.status, refusal(heard)) == (400, reason_of(lambda: Fault(**options)))


@pytest.mark.parametrize(
    "options",
    [
        {"route": "status"},
        {"route": 5},
        {"method": None},
        {"times": 0},
        {"times": True},
        {"times": "1"},
    ],
)
async def test_an_invalid_route_or_times_gets_the_message_of_python(
    sim: Simulator, send: Send, options: dict[str, Any]
) -> None:
    script = {"method": "GET", "route": "/status", "times": 1, **options}
    heard = await send("POST", "/_simulator/faults", {**script, "status": 500})
    told = reason_of(
        lambda: sim.inject(script["method"], script["route"], Fault(500), times=script["times"])
    )
    assert (heard.status, refusal(heard)) == (400, told)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "The body is not JSON"),
        (b"{", "The body is not JSON"),
        (b"\xff", "The body is not JSON"),
        (b"[" * 100_000, "The body is not JSON"),
        (b'{"delay": NaN}', "The body is not JSON"),
        ([1], "The body is not a JSON object"),
        ({"method": "GET"}, "method and route are needed"),
        ({"route": "/status"}, "method and route are needed"),
        ({"method": "GET", "route": "/status", "state": 503}, "unknown: state; known: applied, "),
    ],
)
async def test_a_body_without_a_json_object_is_refused(
    sim: Simulator, send: Send, body: Any, told: str
) -> None:
    heard = await send("POST", "/_simulator/faults", body)
    assert heard.status == 400
    assert refusal(heard).startswith(told)
    assert (await send("GET", f"{BATCHES}/{sim.add_batch()}/status")).status == 200


async def test_a_body_that_is_too_long_is_refused(sim: Simulator, send: Send) -> None:
    body = io.BytesIO(b" " * (MAX_BODY + 1))  # aiohttp warns of as many bytes
    heard = await send("POST", "/_simulator/faults", body)
    told = f"The body has {MAX_BODY + 1} bytes, more than the {MAX_BODY} allowed."
    assert (heard.status, refusal(heard)) == (413, told)


async def test_requests_are_listed(sim: Simulator, send: Send) -> None:
    path = f"{BATCHES}/{sim.add_batch()}/duplicate"
    await send("POST", path, {"name": "Round 2"}, **{"X-Mine": "yes"})
    await send("GET", f"{BATCHES}/?workspace_id={sim.workspace_id}")
    copied, listed = (await send("GET", "/_simulator/requests")).body
    assert (copied["method"], copied["path"], copied["status"]) == ("POST", path, 201)
    assert copied["body"] == {"name": "Round 2"}
    assert copied["at"] == sim.requests[0].at
    assert copied["headers"]["x-mine"] == "yes"
    assert "authorization" not in copied["headers"]
    assert listed["query"] == {"workspace_id": sim.workspace_id}
    assert listed["body"] is None


async def test_control_requests_meet_no_faults_and_are_not_logged(
    sim: Simulator, send: Send
) -> None:
    for method, route in (("GET", "/requests"), ("POST", "/faults"), ("DELETE", "/faults")):
        sim.inject(method, route, Fault(500), times=None)
    assert (await send("GET", "/_simulator/requests")).body == []
    for fault in ({"method": "GET", "route": "/x"}, {}):
        await send("POST", "/_simulator/faults", fault)
    assert (await send("DELETE", "/_simulator/faults")).status == 204
    assert (sim.requests, sim.in_flight) == ((), ())


@pytest.mark.parametrize("authorization", ["", "Token wrong", "Bearer x"])
async def test_control_requests_need_the_token(
    sim: Simulator, send: Send, authorization: str
) -> None:
    batch_id = sim.add_batch(status="PROCESSING")
    for method, path in (
        ("POST", "faults"),
        ("GET", "requests"),
        ("POST", f"batches/{batch_id}/fail"),
        ("GET", "nothing"),
    ):
        heard = await send(method, f"/_simulator/{path}", {}, Authorization=authorization)
        assert heard.status == 401
        assert sim.token not in refusal(heard)


async def test_a_batch_can_be_added_and_made_to_fail(sim: Simulator, send: Send) -> None:
    fields = {
        "name": "Two",
        "batch_id": "a/b",
        "workspace_id": sim.workspace_id,
        "status": "PROCESSING",
        "datapoints": 7,
        "instructions": 2,
        "tasks_per_group": None,
        "dataset_status": "READY",
    }
    heard = await send("POST", "/_simulator/batches", fields)
    assert (heard.status, heard.body) == (201, {"id": "a/b"})
    batch = sim.batches["a/b"]
    assert (batch.name, batch.status, batch.workspace_id) == ("Two", "PROCESSING", sim.workspace_id)
    assert (await send("POST", "/_simulator/batches/a%2Fb/fail")).status == 204
    path = f"{BATCHES}/a%2Fb/status"
    assert [(await send("GET", path)).body["status"] for _ in range(2)] == ["PROCESSING", "ERROR"]
    assert (await send("POST", "/_simulator/batches", {})).body["id"] in sim.batches


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"workspace_id": "nowhere"}, 404, "there is no workspace 'nowhere'"),
        ({"batch_id": ""}, 400, "add_batch: give an id that is not empty as batch_id"),
        ({"batch_id": "taken"}, 400, "there is a batch 'taken' already"),
        ({"datapoints": -1}, 400, "datapoints must be a whole number from 0"),
        ({"datapoints": "7"}, 400, "datapoints must be a whole number or null"),
        ({"datapoints": True}, 400, "datapoints must be a whole number or null"),
        ({"name": None}, 400, "name must be text"),
        ({"title": "x"}, 400, "unknown: title; known: auto_sync_enabled, batch_id, "),
    ],
)
async def test_an_invalid_batch_is_refused(
    sim: Simulator, send: Send, fields: dict[str, Any], status: int, told: str
) -> None:
    sim.add_batch(batch_id="taken")
    heard = await send("POST", "/_simulator/batches", fields)
    assert heard.status == status
    assert refusal(heard).startswith(told)
    assert list(sim.batches) == ["taken"]


async def test_datasets_are_added_and_their_imports_fail(sim: Simulator, send: Send) -> None:
    schema = {"strict": False, "fields": {"q": {"type": "text"}}}
    fields = {"name": "D", "datapoints": 3, "filename": "a.csv", "schema": schema}
    heard = await send("POST", "/_simulator/datasets", fields)
    dataset_id = heard.body["id"]
    assert (heard.status, list(sim.datasets)) == (201, [dataset_id])
    dataset = sim.datasets[dataset_id]
    assert (dataset.name, dataset.schema_version, dataset.total_datapoint_count) == ("D", 4, 3)
    batch = {"dataset_id": dataset_id, "auto_sync_enabled": True, "batch_items": []}
    heard = await send("POST", "/_simulator/batches", batch)
    assert sim.batches[heard.body["id"]].dataset_id == dataset_id
    ((import_id, _),) = dataset.imports
    shown = {"status": "partial", "rejected_count": 2}
    assert (await send("POST", f"/_simulator/imports/{import_id}", shown)).status == 204
    path = f"/api/v1/data-collection/datasets/{dataset_id}/imports/{import_id}"
    job = (await send("GET", path)).body
    assert (job["status"], job["rejected_count"]) == ("partial", 2)
    fail = f"/_simulator/datasets/{dataset_id}/fail"
    assert (await send("POST", fail)).status == 204
    assert sim._state.datasets[dataset_id].import_failure == "The import failed."
    assert (await send("POST", fail, {"reason": None})).status == 204
    assert sim._state.datasets[dataset_id].import_failure is None


@pytest.mark.parametrize(
    ("path", "fields", "status", "told"),
    [
        ("datasets", {"schema": []}, 400, "schema must be an object or null"),
        ("datasets", {"datapoints": None}, 400, "datapoints must be a whole number"),
        ("datasets", {"rows": 1}, 400, "unknown: rows; known: datapoints, filename, "),
        ("datasets", {"workspace_id": "nowhere"}, 404, "there is no workspace 'nowhere'"),
        ("datasets/x/fail", {}, 404, "there is no dataset 'x'"),
        ("datasets/x/fail", {"reason": 1}, 400, "reason must be text or null"),
        ("imports/x", {"status": "failed"}, 404, "there is no import 'x'"),
        ("imports/x", {}, 400, "status must be text"),
        ("batches", {"batch_items": {}}, 400, "batch_items must be a list or null"),
        ("batches", {"dataset_id": "x"}, 404, "there is no dataset 'x'"),
    ],
)
async def test_invalid_datasets_and_imports_are_refused(
    sim: Simulator, send: Send, path: str, fields: dict[str, Any], status: int, told: str
) -> None:
    heard = await send("POST", f"/_simulator/{path}", fields)
    assert heard.status == status
    assert refusal(heard).startswith(told)
    assert not sim.datasets


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "faults", 405),
        ("DELETE", "requests", 405),
        ("GET", "batches", 405),
        ("GET", "batches/x/fail", 405),
        ("POST", "batches/x/fail", 404),
        ("GET", "batches/x", 404),
        ("GET", "", 404),
        ("GET", "fault", 404),
    ],
)
async def test_unknown_endpoints_get_404_and_wrong_methods_405(
    sim: Simulator, send: Send, method: str, path: str, status: int
) -> None:
    heard = await send(method, f"/_simulator/{path}")
    assert heard.status == status
    assert refusal(heard)


async def test_a_broken_body_is_refused(sim: Simulator) -> None:
    # Not by aiohttp's client, which would compress the body itself.
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sim.url.rpartition(":")[2]))
    head = ["POST /_simulator/faults HTTP/1.1", "Host: localhost", "Content-Encoding: gzip"]
    head += [f"Authorization: Token {sim.token}", "Content-Length: 7", "Connection: close", "", ""]
    writer.write("\r\n".join(head).encode() + b"no gzip")
    assert b" 400 " in await reader.readline()
    assert b"The body is broken" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_other_paths_belong_to_the_service(sim: Simulator, send: Send) -> None:
    assert (await send("GET", "/_simulators/faults")).status == 404
    assert [seen.path for seen in sim.requests] == ["/_simulators/faults"]
