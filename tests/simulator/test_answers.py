"""Answers of participants, and the endpoint that lists them, over HTTP."""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from prolific_async.simulator import Immediately, Task
from prolific_async.simulator.stored_rows import StoredRows
from tests.conftest import NOON
from tests.simulator.dataset_world import LAYOUT, SCHEMA, World

YES_NO = [{"label": "Yes", "value": 1}, {"label": "No", "value": True}]
UNITS = [{"label": "Kilograms", "value": "kg"}, {"label": "Pounds", "value": "lb"}]
ITEMS: dict[str, dict[str, Any]] = {
    "free_text": {"description": "Why?"},
    "multiple_choice": {"description": "Is it?", "answer_limit": 1, "options": YES_NO},
    "multiple_choice_with_free_text": {
        "description": "Is it?",
        "answer_limit": 1,
        "options": [{**option, "heading": "Why?"} for option in YES_NO],
    },
    "free_text_with_unit": {
        "description": "How heavy?",
        "unit_options": UNITS,
        "unit_position": "suffix",
    },
    "file_upload": {"description": "A photo", "accepted_file_types": [".png"]},
    "star_rating": {"description": "How good?", "max_stars": 3},
    "video_narration": {},
}


def layout(*kinds: str) -> list[Any]:
    items = [{"type": kind, "id": f"item-{kind}", **ITEMS[kind]} for kind in kinds]
    return [{"rows": [{"columns": [{"items": items}]}]}]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately(), imports=Immediately()) as started:
        yield started


async def ready(world: World, dataset_id: str, tasks_per_group: int = 1, **fields: Any) -> str:
    """Add a batch, set it up, and return its id."""
    batch_id = world.add_batch(dataset_id=dataset_id, **fields)
    body = {"tasks_per_group": tasks_per_group}
    assert (await world.ask("POST", f"/batches/{batch_id}/setup", body))[0] == 202
    return batch_id


async def uploaded(world: World, content: str, filename: str = "rows.csv", **fields: Any) -> str:
    """Create a dataset with one upload, and return its id."""
    dataset_id = await world.create(**fields)
    await world.send(dataset_id, filename, content.encode())
    return dataset_id


async def responses(world: World, batch_id: str) -> list[Any]:
    status, document = await world.ask("GET", f"/batches/{batch_id}/responses")
    assert status == 200
    assert document["meta"] == {"count": len(document["results"])}
    results: list[Any] = document["results"]
    return results


async def test_what_a_response_shows(world: World) -> None:
    dataset_id = await uploaded(world, "q,META_ROW_KEY\nWhy <b>?,k1\n")
    batch_id = await ready(world, dataset_id, batch_items=layout("free_text"))
    assert await responses(world, batch_id) == []
    (participant,) = world.answer(batch_id, answer="Because & so")
    (response,) = await responses(world, batch_id)
    (task,) = (await world.ask("GET", f"/batches/{batch_id}/tasks"))[1]
    assert response == {
        "id": response["id"],
        "created_at": "2026-05-04T12:00:00.000000Z",
        "batch_id": batch_id,
        "participant_id": participant,
        "task_id": task,
        "submission_id": response["submission_id"],
        "correlation_id": response["correlation_id"],
        "response": {
            "instruction_id": "item-free_text",
            "type": "free_text",
            "answer": [{"value": "Because & so"}],
        },
        "metadata": {"META_ROW_KEY": "k1"},
        "schema_version": 1,
        "no_submission": False,
    }
    assert len(participant) == len(response["submission_id"]) == 24


async def test_a_function_answers_by_the_row_and_the_item(world: World) -> None:
    rows = "".join(f'{number},"{number} ""&amp;\nä"\n' for number in range(20))
    dataset_id = await uploaded(world, "id,META_ROW_KEY\n" + rows)
    kinds = layout("free_text", "star_rating")
    batch_id = await ready(world, dataset_id, 8, batch_items=kinds)
    groups = (await world.ask("GET", f"/batches/{batch_id}/task-groups"))[1]
    seen: list[Task] = []

    def answer(task: Task, item: Mapping[str, Any]) -> str:
        seen.append(task)
        return f"{task.data['id']} {item['type']}"

    participants = world.answer(batch_id, participants=5, answer=answer)
    assert len(groups) == 5
    assert list(dict.fromkeys(task.group_id for task in seen)) == groups
    assert list(dict.fromkeys(task.participant_id for task in seen)) == participants
    assert [task.id for task in seen] == (await world.ask("GET", f"/batches/{batch_id}/tasks"))[1]
    assert [task.datapoint for task in seen] == sorted(2 * list(range(20)))
    assert len({task.datapoint_id for task in seen}) == 20
    for response in await responses(world, batch_id):
        key = response["metadata"]["META_ROW_KEY"]
        assert key.endswith(' "&amp;\nä')
        (entry,) = response["response"]["answer"]
        assert entry["value"] == f"{key.split()[0]} {response['response']['type']}"


@pytest.mark.parametrize(
    ("kind", "given", "entries"),
    [
        ("free_text", "", [{"value": ""}]),
        ("free_text", 1.5, [{"value": 1.5}]),
        ("free_text", False, [{"value": False}]),
        ("free_text", {"value": "x", "more": 1}, [{"value": "x", "more": 1}]),
        ("video_narration", "x", [{"value": "x"}]),
        ("multiple_choice", True, [{"value": True}]),
        ("multiple_choice", [1, True], [{"value": 1}, {"value": True}]),
        ("multiple_choice_with_free_text", 1, [{"value": 1, "explanation": ""}]),
        (
            "multiple_choice_with_free_text",
            {"value": 1, "explanation": "So"},
            [{"value": 1, "explanation": "So"}],
        ),
        ("free_text_with_unit", 7, [{"value": 7, "unit": "kg"}]),
        ("free_text_with_unit", {"value": 7, "unit": "lb"}, [{"value": 7, "unit": "lb"}]),
        ("star_rating", 2, [{"value": 2}]),
    ],
)
async def test_answers_that_a_test_gives(
    world: World, kind: str, given: Any, entries: list[Any]
) -> None:
    batch_id = world.add_batch(status="READY", datapoints=1, batch_items=layout(kind))
    world.answer(batch_id, answer=given)
    (response,) = await responses(world, batch_id)
    assert response["response"]["answer"] == entries
    assert list(map(type, map(dict.values, entries))) == list(
        map(type, map(dict.values, response["response"]["answer"]))
    )


async def test_files_that_participants_upload(world: World) -> None:
    batch_id = world.add_batch(status="READY", datapoints=1, batch_items=layout("file_upload"))
    world.answer(batch_id, answer=["a.png", {"file_name": "b", "file_size_mb": 2}])
    (response,) = await responses(world, batch_id)
    folder = f"{response['submission_id']}/0"
    assert response["response"]["answer"] == [
        {
            "file_key": f"{folder}/a.png",
            "file_name": "a.png",
            "file_size_mb": 0.1,
            "content_type": "image/png",
        },
        {
            "file_key": f"{folder}/b",
            "file_name": "b",
            "file_size_mb": 2,
            "content_type": "application/octet-stream",
        },
    ]


async def test_answers_by_default_go_with_the_items_and_differ(world: World) -> None:
    batch_id = world.add_batch(status="READY", datapoints=4, batch_items=layout(*ITEMS))
    assert world.batches[batch_id].total_instruction_count == len(ITEMS)
    groups = world.batches[batch_id].total_task_groups
    world.answer(batch_id, participants=groups)
    given: dict[str, list[Any]] = {}
    for response in await responses(world, batch_id):
        given.setdefault(response["response"]["type"], []).extend(response["response"]["answer"])
    assert given.keys() == ITEMS.keys()
    assert all(len(entries) == 4 for entries in given.values())
    texts = {entry["value"] for entry in given["free_text"]}
    assert len(texts) == 4
    assert {repr(entry["value"]) for entry in given["multiple_choice"]} == {"1", "True"}
    assert {entry["value"] for entry in given["star_rating"]} <= {1, 2, 3}
    assert {entry["unit"] for entry in given["free_text_with_unit"]} == {"kg"}
    assert all(entry["file_name"].endswith(".png") for entry in given["file_upload"])


async def test_each_participant_gets_a_group_that_has_the_fewest(world: World) -> None:
    batch_id = world.add_batch(status="READY", datapoints=5, tasks_per_group=2)
    world.answer(batch_id)
    world.answer(batch_id, participants=2)
    tasks = (await world.ask("GET", f"/batches/{batch_id}/tasks"))[1]
    assert [each["task_id"] for each in await responses(world, batch_id)] == tasks
    world.answer(batch_id, participants=4)
    counts = Counter(each["task_id"] for each in await responses(world, batch_id))
    assert [counts[task] for task in tasks] == [3, 3, 2, 2, 2]


async def test_groups_that_the_rows_name(world: World) -> None:
    rows = "q,META_TASK_GROUP_ID\n1,b\n2,a\n3,b\n4,\n"
    batch_id = await ready(world, await uploaded(world, rows))
    groups = (await world.ask("GET", f"/batches/{batch_id}/task-groups"))[1]
    asked: list[tuple[str, str]] = []
    world.answer(
        batch_id,
        participants=3,
        answer=lambda task, _: asked.append((task.group_id, task.data["q"])),
    )
    b, a, empty = groups
    assert asked == [(b, "1"), (b, "3"), (a, "2"), (empty, "4")]
    assert await responses(world, batch_id) == []


async def test_rows_of_both_generations_and_of_appends_and_syncs(world: World) -> None:
    line = '{"q": "1", "a": 2, "more": [1]}\n'
    lines = line + '{"a": null, "q": "2"}\n' + line
    dataset_id = await uploaded(world, lines, "rows.jsonl", schema={**SCHEMA, "strict": False})
    batch_id = await ready(world, dataset_id, batch_items=LAYOUT)
    await world.send(dataset_id, "more.csv", b"q,a\n3,x\n")
    append = b'{"q": "4", "a": 1}\n{"q": "2", "a": null}\n{"q": "5", "a": 1}\n'
    assert (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", append))[0] == 200

    def rows() -> list[Mapping[str, Any]]:
        seen: list[Mapping[str, Any]] = []
        world.answer(
            batch_id,
            participants=world.batches[batch_id].total_task_groups,
            answer=lambda task, _: seen.append(task.data),
        )
        return seen

    first = [{"q": "1", "a": 2, "more": [1]}, {"a": None, "q": "2"}]
    assert rows() == first
    started = (await world.ask("POST", f"/batches/{batch_id}/sync"))[1]
    await world.ended(f"/batches/{batch_id}/syncs/{started['sync_id']}")
    more = [{"q": "3", "a": "x"}, {"q": "4", "a": 1}, {"q": "5", "a": 1}]
    assert sorted(rows(), key=lambda row: row["q"]) == [*first, *more]


async def test_rows_that_no_file_has_brought_are_made_up(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=1, schema=SCHEMA)
    body = b'{"q": "real", "a": "row"}'
    assert (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", body))[0] == 200
    batch_id = await ready(world, dataset_id, 2)
    seen: list[Mapping[str, Any]] = []
    world.answer(batch_id, answer=lambda task, _: seen.append(task.data))
    assert seen == [{"q": "q 1", "a": "a 1"}, {"q": "real", "a": "row"}]
    other = world.add_batch(status="READY")
    world.answer(other, answer=lambda task, _: seen.append(task.data))
    assert seen[2] == {"prompt": "prompt 1"}


async def test_metadata_of_a_schema(world: World) -> None:
    schema = {"strict": True, "fields": {"q": {"type": "text"}, "m": {"type": "metadata"}}}
    dataset_id = await uploaded(world, "q,m\n1,2\n", schema=schema)
    batch_id = await ready(world, dataset_id)
    world.answer(batch_id)
    assert (await responses(world, batch_id))[0]["metadata"] == {"m": "2"}
    plain = world.add_batch(status="READY")
    world.answer(plain)
    assert "metadata" not in (await responses(world, plain))[0]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"participants": 0}, ValueError, "participants must be a whole number from 1"),
        ({"participants": True}, ValueError, "participants must be"),
        ({"answer": 2}, ValueError, r"2 is the value of no option: \[1, True\]"),
        ({"answer": "Yes"}, ValueError, "'Yes' is the value of no option"),
        ({"answer": {"unit": "kg"}}, TypeError, "text, a number, true or false is needed"),
        ({"answer": b"1"}, TypeError, "text, a number"),
        ({"answer": [[1]]}, TypeError, "text, a number"),
        ({"at": NOON.replace(tzinfo=None)}, ValueError, "time zone"),
        ({"answer": lambda *_: 1 / 0}, ZeroDivisionError, "division"),
    ],
)
async def test_answers_that_are_refused_change_nothing(
    world: World, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    batch_id = world.add_batch(status="READY", batch_items=layout("multiple_choice"))
    with pytest.raises(error, match=words):
        world.answer(batch_id, **options)
    assert await responses(world, batch_id) == []


async def test_batches_that_have_no_tasks_to_answer(world: World) -> None:
    for batch_id in (
        world.add_batch(),
        world.add_batch(status="READY", datapoints=0),
        world.add_batch(status="READY", datapoints=None),
    ):
        with pytest.raises(ValueError, match="with 0 tasks"):
            world.answer(batch_id)
        assert await responses(world, batch_id) == []
    with pytest.raises(KeyError, match="no batch 'b'"):
        world.answer("b")
    assert (await world.ask("GET", "/batches/b/responses"))[0] == 404


async def test_a_copy_has_no_answers(world: World) -> None:
    batch_id = world.add_batch(status="READY")
    world.answer(batch_id, at=datetime(2026, 1, 1, 13, tzinfo=UTC))
    assert (await responses(world, batch_id))[0]["created_at"] == "2026-01-01T13:00:00.000000Z"
    copy = (await world.ask("POST", f"/batches/{batch_id}/duplicate"))[1]["id"]
    assert (await world.ask("POST", f"/batches/{copy}/setup"))[0] == 202
    assert await responses(world, copy) == []


def test_stored_rows_go_to_the_disk_and_their_file_is_closed() -> None:
    rows, more = StoredRows(), StoredRows()
    for number in range(300):
        rows.add({"n": number, "text": "ä" * 5000})
    more.add({"other": None})
    more.add({"n": 2**80})
    more.extend(rows, [299, 7])
    file: Any = rows._file
    assert file._rolled
    assert len(rows) == 300
    assert rows[7] == more[3] == {"n": 7, "text": "ä" * 5000}
    assert [more[0], more[1], more[2]["n"]] == [{"other": None}, {"n": 2**80}, 299]
    assert list(more.columns) == ["other", "n", "text"]
    del rows
    gc.collect()
    assert file.closed


async def test_answers_over_the_control_endpoint(world: World) -> None:
    batch_id = world.add_batch(status="READY")

    async def control(path: str, body: Any = None) -> tuple[int, Any]:
        return await world.ask("POST", f"/../../../_simulator{path}", body)

    path = f"/batches/{batch_id}/answers"
    status, document = await control(path)
    assert (status, len(document["participants"])) == (201, 1)
    body = {"participants": 2, "answer": "x", "study_id": "s", "at": NOON.isoformat()}
    status, document = await control(path, body)
    assert (status, len(document["participants"])) == (201, 2)
    values = [each["response"]["answer"][0]["value"] for each in await responses(world, batch_id)]
    assert values[1:] == ["x", "x"]
    for wrong in ({"participants": "2"}, {"answers": 1}, {"at": "soon"}, {"at": "2026-05-04"}):
        assert (await control(path, wrong))[0] == 400
    assert (await control("/batches/b/answers"))[0] == 404
