"""The models in an application's routes and in its OpenAPI document."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import Body, FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.sse import EventSourceResponse, ServerSentEvent

from prolific_async import (
    Batch,
    BatchStatus,
    Export,
    PollPolicy,
    ReportRow,
    StatusEvent,
    TaskResponse,
)
from prolific_async.fastapi import BatchId, Client, lifespan
from prolific_async.simulator import Simulator
from tests import samples
from tests.fastapi.conftest import Make
from tests.fastapi.serving import Browser, serving


def application(make_client: Make) -> FastAPI:
    app = FastAPI(lifespan=lifespan(client=make_client))

    @app.get("/batches/{batch_id}")
    async def one(batch_id: BatchId, client: Client) -> Batch:
        return await client.batches.get(batch_id)

    @app.get("/batches")
    async def many(
        workspace_id: str, client: Client, status: BatchStatus | None = None
    ) -> list[Batch]:
        found = await client.batches.list(workspace_id)
        return [batch for batch in found if status in (None, batch.status)]

    @app.get("/untyped/{batch_id}")
    async def untyped(batch_id: BatchId, client: Client):  # type: ignore[no-untyped-def] # noqa: ANN202 - it is the point
        return {"it": [await client.batches.get(batch_id)]}

    @app.get(
        "/short/{batch_id}",
        response_model=Batch,
        response_model_include={"id", "batch_items", "schema_version"},
        response_model_exclude_none=True,
    )
    async def short(batch_id: BatchId, client: Client) -> Any:
        return await client.batches.get(batch_id)

    @app.get("/wire/{batch_id}", response_model=Batch)
    async def wire(batch_id: BatchId, client: Client) -> Any:
        return (await client.batches.get(batch_id)).to_dict()

    @app.put("/batches")
    async def put(
        batch: Annotated[Batch, Body()], poll: Annotated[PollPolicy, Body()]
    ) -> tuple[Batch, PollPolicy]:
        return batch, poll

    @app.get("/batches/{batch_id}/events", response_class=EventSourceResponse)
    async def events(batch_id: BatchId, client: Client) -> AsyncIterator[StatusEvent]:
        async for event in client.batches.watch(batch_id):
            yield event

    @app.get("/batches/{batch_id}/named-events", response_class=EventSourceResponse)
    async def named_events(batch_id: BatchId, client: Client) -> AsyncIterator[ServerSentEvent]:
        async for event in client.batches.watch(batch_id):
            yield ServerSentEvent(event="status", data=event)

    @app.get("/batches/{batch_id}/responses")
    async def responses(batch_id: BatchId, client: Client) -> AsyncIterator[TaskResponse]:
        async with aclosing(client.batches.responses(batch_id)) as responses:
            async for response in responses:
                yield response

    @app.get("/batches/{batch_id}/rows")
    async def rows(batch_id: BatchId, client: Client) -> AsyncIterator[ReportRow]:
        async with aclosing(client.batches.report(batch_id).rows()) as rows:
            async for row in rows:
                yield row

    @app.get("/batches/{batch_id}/exports")
    async def exports(batch_id: BatchId, client: Client) -> list[Export]:
        return await client.batches.exports(batch_id)

    return app


@pytest.fixture
async def url(make_client: Make, source: str) -> AsyncIterator[str]:
    async with serving(application(make_client)) as served:
        yield served


async def test_a_batch_is_answered_in_its_wire_form(
    sim: Simulator, url: str, source: str, make_client: Make, session: aiohttp.ClientSession
) -> None:
    async with make_client() as client:
        wire = (await client.batches.get(source)).to_dict()
    expected = {
        f"/batches/{source}": wire,
        f"/batches?workspace_id={sim.workspace_id}": [wire],
        f"/batches?workspace_id={sim.workspace_id}&status=READY": [wire],
        f"/batches?workspace_id={sim.workspace_id}&status=QUEUED": [],
        f"/untyped/{source}": {"it": [wire]},
        f"/wire/{source}": wire,
        f"/short/{source}": {"id": source, "schema_version": 3},
    }
    for path, document in expected.items():
        async with session.get(url + path) as answer:
            assert answer.status == 200, path
            assert await answer.json() == document


async def test_a_body_may_hold_a_batch_and_a_policy(
    url: str, session: aiohttp.ClientSession
) -> None:
    wire = samples.batch("QUEUED", news={"of": [None, 1]}, auto_sync_enabled=None).to_dict()
    body = {"batch": wire, "poll": {"initial": 2}}
    async with session.put(f"{url}/batches", json=body) as answer:
        assert answer.status == 200
        assert await answer.json() == [wire, PollPolicy(initial=2).to_dict()]


async def test_a_bad_body_is_answered_with_the_places_of_its_faults(
    url: str, session: aiohttp.ClientSession
) -> None:
    wire = samples.batch(datasets=[{"id": "d1", "total_datapoint_count": 1}]).to_dict()
    wire["datasets"][0]["id"] = 1
    del wire["name"]
    async with session.put(f"{url}/batches", json={"batch": wire, "poll": {"x": 1}}) as answer:
        assert answer.status == 422
        told = (await answer.json())["detail"]
    assert [(one["type"], one["loc"]) for one in told] == [
        ("decode_error", ["body", "batch", "datasets", 0, "id"]),
        ("missing", ["body", "batch", "name"]),
        ("decode_error", ["body", "poll"]),
    ]


@pytest.mark.parametrize("path", ["events", "named-events"])
async def test_events_can_be_streamed_as_they_are(
    path: str, url: str, source: str, session: aiohttp.ClientSession
) -> None:
    browser = Browser(session, f"{url}/batches/{source}/{path}")
    await browser.until("message" if path == "events" else "status")
    event = StatusEvent.from_dict(browser.events[0].data)
    assert (event.batch_id, event.status, event.next_in) == (source, BatchStatus.READY, None)


async def test_answers_are_answered_in_their_wire_form(
    sim: Simulator, url: str, source: str, make_client: Make, session: aiohttp.ClientSession
) -> None:
    sim.answer(source, participants=3, answer="<é> & \N{PILE OF POO}\n")
    async with make_client() as client:
        export = await (await client.batches.export(source)).wait()
        exports = [one.to_dict() for one in await client.batches.exports(source)]
        expected = {
            "responses": [one.to_dict() async for one in client.batches.responses(source)],
            "rows": [one.to_dict() async for one in client.batches.report(source).rows()],
        }
    for path, documents in expected.items():
        async with session.get(f"{url}/batches/{source}/{path}") as answer:
            assert answer.content_type == "application/jsonl"
            lines = (await answer.text()).splitlines()
        assert len(lines) == 3
        assert [json.loads(line) for line in lines] == documents
    async with session.get(f"{url}/batches/{source}/exports") as answer:
        assert await answer.json() == exports
    assert [one["export_id"] for one in exports] == [export.id]


def test_the_models_of_answers_are_components_of_openapi(make_client: Make) -> None:
    document = application(make_client).openapi()
    components = document["components"]["schemas"]
    nested = {"Answer", "InstructionResponse", "Annotation", "JobStatus"}
    assert {"TaskResponse", "ReportRow", "Export"} | nested <= set(components)
    for path, name in (("responses", "TaskResponse"), ("rows", "ReportRow"), ("exports", "Export")):
        answer = document["paths"][f"/batches/{{batch_id}}/{path}"]["get"]["responses"]["200"]
        assert f'"#/components/schemas/{name}"' in json.dumps(answer)
    told = components["Answer"]["properties"]["unit"]["description"]
    assert told == "The unit of the value, null if the question has none."
    assert "url" not in json.dumps(components["Export"]).lower()


def test_the_models_are_components_of_openapi(make_client: Make) -> None:
    app = application(make_client)
    document = app.openapi()
    components = document["components"]["schemas"]
    models = {"Batch", "BatchStatus", "DatasetRef", "TaskDetails", "StatusEvent", "PollPolicy"}
    assert models <= set(components)  # one each: Batch-Input and Batch-Output would be two
    answer = document["paths"]["/batches/{batch_id}"]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Batch"}
    batch = components["Batch"]
    assert batch["properties"]["name"]["description"] == "Its name; need not be unique."
    assert "READY" in components["BatchStatus"]["anyOf"][0]["enum"]
    assert "_batches" not in json.dumps(batch)


def test_the_encoder_knows_the_models() -> None:
    batch = samples.batch(news=1)
    assert jsonable_encoder({"it": [batch, batch.status]}) == {"it": [batch.to_dict(), "READY"]}
