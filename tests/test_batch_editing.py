"""Making and changing batches, over a real connection to scripted answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from prolific_async import (
    UNSET,
    BadRequestError,
    Batch,
    BatchSync,
    JobStatus,
    OutcomeUnknownError,
    TaskDetails,
    TransportError,
    Unset,
    ValidationError,
)
from prolific_async import layout as ui
from tests import samples
from tests.http.test_trace_configs import trace
from tests.scripted import TOKEN, scripted

TASK = TaskDetails("Rate", "Read both.", "Choose one.")
TASK_JSON = {"task_name": "Rate", "task_introduction": "Read both.", "task_steps": "Choose one."}
NEW = samples.batch("UNINITIALISED", "b-9", created_at="2026-03-04T05:06:07Z").to_dict()
PAGE = ui.Page.of(ui.FreeText("Why?"))
SYNC = {"sync_id": "s-1", "batch_id": "b-1", "status": "queued"}
LATER: dict[str, Any] = {"created_at": "2026-03-04T05:06:08Z"}


async def test_create_sends_what_was_given() -> None:
    async with scripted((201, NEW), (201, NEW)) as (client, service):
        batch = await client.batches.create("w1", name=" Round 1", task=TASK)
        assert batch == Batch.from_dict(NEW)
        await client.batches.create(
            "w1", name="R", task=TASK, items=[PAGE], dataset=samples.dataset(), auto_sync=False
        )
    assert service.calls == [("POST", "/batches")] * 2
    first, second = (one.json for one in service.received)
    assert first == {"workspace_id": "w1", "name": " Round 1", "task_details": TASK_JSON}
    assert second == first | {
        "name": "R",
        "dataset_id": "d1",
        "batch_items": [PAGE.to_dict()],
        "auto_sync_enabled": False,
    }
    assert service.received[0].headers["content-type"] == "application/json"


async def test_what_is_created_is_bound_and_counts_as_made_by_this_client() -> None:
    async with scripted((201, NEW), (200, "READY")) as (client, service):
        batch = await client.batches.create("w1", name="R", task=TASK)
        assert client._state.pending.is_taken("b-9")
        assert client._state.workspaces.of("b-9") == "w1"
        service.answers[0] = (200, {"status": "READY"})
        assert await batch.get_status() == "READY"


async def test_a_layout_may_be_the_services_own_json() -> None:
    pages = [PAGE.to_dict()]
    async with scripted(*[(201, NEW)] * 2) as (client, service):
        await client.batches.create("w1", name="R", task=TASK, items=pages)
        await client.batches.create("w1", name="R2", task=TASK, items={"batch_items": pages})
    assert [one.json["batch_items"] for one in service.received] == [pages] * 2


INVALID: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": ""}, ValueError, "name must not be blank"),
    ({"name": None}, ValueError, "name must be text"),
    ({"task": {"task_name": "T"}}, ValueError, "task must be a TaskDetails, not dict"),
    ({"task": None}, ValueError, "task must be a TaskDetails"),
    ({"dataset": ""}, ValueError, "cannot be an id"),
    ({"dataset": 5}, ValueError, "an id must be text or a UUID, not int"),
    ({"auto_sync": 1}, ValueError, "auto_sync must be a bool: 1"),
    ({"items": 5}, TypeError, "items must be pages"),
    ({"items": {"pages": []}}, ValueError, "items must be pages"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), INVALID)
async def test_invalid_arguments_are_refused_before_anything_is_sent(
    wrong: dict[str, Any], kind: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"name": "R", "task": TASK}
    async with scripted() as (client, service):
        with pytest.raises(kind, match=message):
            await client.batches.create("w1", **given | wrong)
        with pytest.raises(kind, match=message):
            await client.batches.update("b-1", **wrong)
    assert service.received == []


@pytest.mark.parametrize("bad", ["", "..", "w 1", None, 5])
async def test_invalid_ids_are_refused_before_anything_is_sent(bad: Any) -> None:
    async with scripted() as (client, service):
        batches = client.batches
        calls = [batches.sync, batches.task_ids, batches.task_group_ids, batches.preview_url]
        for call in calls:
            with pytest.raises(ValueError, match="id"):
                await call(bad)
        with pytest.raises(ValueError, match="id"):
            await batches.create(bad, name="R", task=TASK)
        with pytest.raises(ValueError, match="id"):
            await batches.update(bad, name="R")
    assert service.received == []


async def test_update_sends_only_what_changes() -> None:
    wire = NEW | {"name": "Other"}
    async with scripted(*[(200, wire)] * 6) as (client, service):
        batch = await client.batches.update("b-9", name="Other")
        assert batch.name == "Other"
        dataset = UUID("6f0c1d2e-0000-4000-8000-0000000000ff")
        await batch.update(task=TASK, dataset=dataset, auto_sync=True)
        await batch.update(items=None)
        await batch.update(items=[])
        await batch.update(items=[PAGE], name=UNSET)
        await batch.update(dataset=samples.dataset())
    assert service.calls == [("PATCH", "/batches/b-9")] * 6
    assert [one.json for one in service.received] == [
        {"name": "Other"},
        {"task_details": TASK_JSON, "dataset_id": str(dataset), "auto_sync_enabled": True},
        {"batch_items": None},
        {"batch_items": []},
        {"batch_items": [PAGE.to_dict()]},
        {"dataset_id": "d1"},
    ]


@pytest.mark.parametrize("argument", ["name", "task", "dataset", "auto_sync"])
async def test_only_items_may_be_none(argument: str) -> None:
    nothing: dict[str, Any] = {argument: None}
    async with scripted() as (client, _):
        with pytest.raises(ValueError, match="must be"):
            await client.batches.update("b-1", **nothing)


async def test_update_without_a_change_is_refused() -> None:
    async with scripted() as (client, _):
        with pytest.raises(ValueError, match="change: name, task, dataset, items or auto_sync"):
            await client.batches.update("b-1")
        with pytest.raises(ValueError, match="dataset must be another one, or left out"):
            await client.batches.update("b-1", dataset=None)  # type: ignore[arg-type]  # as it says


def test_unset_shows_its_name() -> None:
    given: str | Unset = UNSET
    assert repr(given) == "UNSET"


async def test_setup_takes_a_dataset() -> None:
    async with scripted((202, {}), (202, {})) as (client, service):
        await client.batches.setup("b-1", dataset_id=samples.dataset())
        await samples.batch().bind(client.batches).setup(dataset_id="d2")
    assert [one.json for one in service.received] == [{"dataset_id": "d1"}, {"dataset_id": "d2"}]


async def test_a_sync_is_returned_as_it_is_then() -> None:
    async with scripted((202, SYNC), (200, SYNC | {"status": "complete"})) as (client, service):
        sync = await client.batches.sync("b-1")
        assert sync == BatchSync("s-1", "b-1", JobStatus.QUEUED)
        assert (await samples.batch().bind(client.batches).sync()).status == "complete"
    assert service.calls == [("POST", "/batches/b-1/sync"), ("POST", "/batches/b1/sync")]
    assert [one.body for one in service.received] == [b"", b""]
    assert service.received[0].headers["content-length"] == "0"


async def test_ids_of_tasks_and_groups() -> None:
    async with scripted((200, ["t-1", "t-2"]), (200, ["g-1"])) as (client, service):
        assert await client.batches.task_ids("b-1") == ["t-1", "t-2"]
        assert await client.batches.task_group_ids("b-1") == ["g-1"]
    assert service.calls == [("GET", "/batches/b-1/tasks"), ("GET", "/batches/b-1/task-groups")]


@pytest.mark.parametrize(
    ("address", "application"),
    [
        (None, "https://app.prolific.com"),
        ("", "https://app.prolific.com"),
        ("https://staging.example/x/", "https://staging.example/x"),
    ],
)
async def test_the_preview_is_of_the_first_group(
    monkeypatch: pytest.MonkeyPatch, address: str | None, application: str
) -> None:
    monkeypatch.delenv("PROLIFIC_APPLICATION_URL", raising=False)
    if address is not None:
        monkeypatch.setenv("PROLIFIC_APPLICATION_URL", address)
    async with scripted((200, ["g/1", "g-2"])) as (client, _):
        url = await client.batches.preview_url("b?1")
    path = "/data-collection-tool/batches/b%3F1/task-groups/g%2F1?preview=true"
    assert url == application + path


async def test_a_batch_without_groups_has_no_preview() -> None:
    async with scripted((200, [])) as (client, _):
        with pytest.raises(ValueError, match="batch b-1 has no task group to show"):
            await client.batches.preview_url("b-1")


# --- What is repeated -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lost", [None, (503, ""), pytest.param((429, ""), marks=pytest.mark.slow), (500, "")]
)
async def test_update_and_sync_are_repeated_as_a_get_is(lost: tuple[int, str] | None) -> None:
    async with scripted(lost, (200, NEW), lost, lost, (202, SYNC)) as (client, service):
        assert (await client.batches.update("b-9", name="R")).id == "b-9"
        assert (await client.batches.sync("b-1")).id == "s-1"
    assert [method for method, _ in service.calls] == ["PATCH"] * 2 + ["POST"] * 3
    assert [one.body for one in service.received[:2]] == [b'{"name": "R"}'] * 2


async def test_what_the_service_refuses_is_not_repeated() -> None:
    issues = [{"page": 0, "row": 1, "column": 0, "item": 2, "type": "x", "message": "odd"}]
    refusal = {"type": "INVALID_BATCH_ITEMS", "message": "invalid", "issues": issues}
    async with scripted((400, {}), (422, refusal), (422, refusal)) as (client, _):
        with pytest.raises(BadRequestError):
            await client.batches.sync("b-1")
        for call in (client.batches.update("b-1", items=[]), _create(client)):
            with pytest.raises(ValidationError, match="page 0, row 1, column 0, item 2: odd"):
                await call


def _create(client: Any) -> Any:
    return client.batches.create("w1", name="Round 1", task=TASK)


@pytest.mark.parametrize("lost", [None, (503, ""), (500, ""), (408, ""), (201, b"<html>")])
async def test_a_lost_create_is_found_in_its_workspace(lost: Any) -> None:
    listed = {"results": [NEW | {"id": "old", "created_at": "2026-03-04T05:06:05Z"}, NEW | LATER]}
    async with scripted(lost, (200, listed)) as (client, service):
        batch = await _create(client)
        assert batch.id == "b-9"
        assert client._state.pending.is_taken("b-9")
    assert service.calls == [("POST", "/batches"), ("GET", "/batches?workspace_id=w1")]


async def test_a_lost_create_that_may_be_one_of_two_is_unknown() -> None:
    listed = {"results": [NEW, NEW | LATER | {"id": "b-8"}]}
    async with scripted(None, (200, listed)) as (client, _):
        with pytest.raises(OutcomeUnknownError) as caught:
            await _create(client)
        assert [batch.id for batch in caught.value.candidates] == ["b-9", "b-8"]
        assert caught.value.candidates[0]._batches is client.batches
    assert "POST /api/v1/data-collection/batches may or may not have run" in str(caught.value)
    assert "look for the batch in the workspace before you send it again" in str(caught.value)
    assert "(candidates: b-9, b-8)" in str(caught.value)


async def test_a_lost_create_that_is_not_found_is_unknown() -> None:
    async with scripted(None, *[(200, {"results": []})] * 4) as (client, _):
        with pytest.raises(OutcomeUnknownError, match="candidates: none was seen"):
            await _create(client)


async def test_a_create_that_did_not_run_is_sent_again() -> None:
    async with scripted((429, ""), (201, NEW)) as (client, service):
        assert (await _create(client)).id == "b-9"
    assert [method for method, _ in service.calls] == ["POST"] * 2


async def test_the_token_is_sent_with_every_method() -> None:
    async with scripted((200, NEW), (202, SYNC)) as (client, service):
        await client.batches.update("b-9", name="R")
        await client.batches.sync("b-1")
    assert {one.headers["authorization"] for one in service.received} == {f"Token {TOKEN}"}


async def test_a_callback_that_raises_in_a_sync_counts_as_a_lost_response() -> None:
    config = trace("on_request_end", lambda: RuntimeError("of the trace"), "POST")
    answers = [(202, SYNC)] * 4
    async with scripted(*answers, trace_configs=[config]) as (client, _):
        with pytest.raises(TransportError, match="RuntimeError: of the trace") as caught:
            await client.batches.sync("b-1")
    assert caught.value.attempts == 4
    assert "; try again" in str(caught.value)
