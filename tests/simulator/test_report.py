"""The report of a batch, over HTTP."""

import csv
import html
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from prolific_async.simulator import Fault, Immediately
from tests.simulator.dataset_world import LAYOUT, SCHEMA, World
from tests.simulator.test_answers import layout, ready, uploaded

HARD = (
    "<b>bold</b>",
    "&amp; typed",
    'say "so"',
    "one\ntwo",
    "one\r\ntwo",
    "it's ;",
    "👍🏽 é",
    " ,",
    "",
    "same",
    "same",
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately(), imports=Immediately()) as started:
        yield started


async def report(world: World, batch_id: str) -> bytes:
    status, link = await world.ask("GET", f"/batches/{batch_id}/report/")
    assert (status, link["http_method"]) == (200, "GET")
    assert link["expires_at"] == "2026-05-04T13:00:00.000000Z"
    assert link["url"].startswith(world.storage_url)
    async with aiohttp.request("GET", link["url"]) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/csv")
        return await response.read()


def parsed(content: bytes) -> tuple[list[str], list[list[str]]]:
    """Return the columns and the rows with the escaping undone."""
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    return header, [[html.unescape(cell) for cell in row] for row in rows]


async def test_every_byte_of_a_report(world: World) -> None:
    dataset_id = await uploaded(world, 'q,META_ROW_KEY\n"a ""&"" <b>\nä",k1\n')
    batch_id = await ready(world, dataset_id, batch_items=layout("multiple_choice"))
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    first, second = world.answer(batch_id, participants=2, answer=True, at=at)
    (group,) = (await world.ask("GET", f"/batches/{batch_id}/task-groups"))[1]
    content = await report(world, batch_id)
    datapoint = content.split(b'"')[25].decode()
    expected = (
        '"DataPoint_ID","Task_Group_ID","Task_Type","Question","q","META_ROW_KEY",'
        '"Annotator1_ID","Annotator1_Response","Annotator1_Timestamp",'
        '"Annotator2_ID","Annotator2_Response","Annotator2_Timestamp"\r\n'
        f'"{datapoint}","{group}","multiple_choice","Is it?",'
        '"a &quot;&amp;&quot; &lt;b&gt;\nä","k1",'
        f'"{first}","No","2026-01-02T03:04:05.678901Z",'
        f'"{second}","No","2026-01-02T03:04:05.678901Z"'
    )
    assert content.decode() == expected
    assert len(datapoint) == 36


async def test_quotes_are_doubled_where_they_are_not_escaped(world: World) -> None:
    dataset_id = await uploaded(world, "q\n1\n")
    batch_id = await ready(world, dataset_id)
    world._state.batches[batch_id].batch_items = [
        {"rows": [{"columns": [{"items": [{"type": 'a "type"', "description": None}]}]}]}
    ]
    world.answer(batch_id)
    assert b',"a ""type""","",' in await report(world, batch_id)


async def test_hard_texts_and_columns_named_as_those_of_the_report(world: World) -> None:
    columns = ["Question", "question", "Annotator1_ID", "DataPoint_ID", "A & B", "META_ROW_KEY"]
    file = io.StringIO(newline="")
    csv.writer(file).writerows(
        [columns, *([text] * 5 + [f"k{at}"] for at, text in enumerate(HARD))]
    )
    dataset_id = await uploaded(world, file.getvalue())
    batch_id = await ready(world, dataset_id, 4, batch_items=layout("free_text", "star_rating"))
    groups = world.batches[batch_id].total_task_groups
    world.answer(
        batch_id,
        participants=groups,
        answer=lambda task, item: 3 if item["type"] == "star_rating" else task.data["question"],
    )
    header, rows = parsed(await report(world, batch_id))
    assert [html.unescape(column) for column in header[4:10]] == columns
    assert header[10:] == ["Annotator1_ID", "Annotator1_Response", "Annotator1_Timestamp"]
    assert len(rows) == 2 * len(HARD)
    order = []
    for row in rows:
        place = int(row[9].removeprefix("k"))
        order.append((place, row[2]))
        assert row[4:9] == [HARD[place]] * 5
        assert row[11] == ("3" if row[2] == "star_rating" else HARD[place])
        assert row[3] == {"free_text": "Why?", "star_rating": "How good?"}[row[2]]
    assert order != sorted(order)
    assert len(set(order)) == len(order)
    assert [row[1] for row in rows] != sorted(row[1] for row in rows)
    ids = (await world.ask("GET", f"/batches/{batch_id}/task-groups"))[1]
    by_task = {(int(row[9][1:]), row[2]): row[1] for row in rows}
    tasks = [(at, kind) for at in range(len(HARD)) for kind in ("free_text", "star_rating")]
    assert [by_task[task] for task in tasks] == [ids[index // 4] for index in range(len(tasks))]


async def test_slots_stay_and_only_tasks_with_an_answer_are_shown(world: World) -> None:
    batch_id = world.add_batch(status="READY", datapoints=3)
    (early,) = world.answer(batch_id, answer=lambda *_: None)
    assert parsed(await report(world, batch_id)) == (
        ["DataPoint_ID", "Task_Group_ID", "Task_Type", "Question", "prompt"],
        [],
    )
    world.answer(batch_id)
    world.answer(batch_id, answer=lambda *_: None)
    (late,) = world.answer(batch_id, answer="so")
    header, rows = parsed(await report(world, batch_id))
    assert header[5::3] == ["Annotator1_ID", "Annotator2_ID"]
    one, two = sorted(rows, key=lambda row: row[4])
    assert one[4:] == ["prompt 1", early, "", "", late, "so", "2026-05-04T12:00:00.000000Z"]
    assert two[4] == "prompt 2"
    assert two[8:] == ["", "", ""]


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("free_text", 1.5, "1.5"),
        ("free_text", False, "false"),
        ("free_text", "<&>", "<&>"),
        ("multiple_choice", [1, True], "Yes, No"),
        ("multiple_choice", 1.0, "Yes"),
        ("multiple_choice_with_free_text", {"value": 1, "explanation": "So"}, "Yes: So"),
        ("multiple_choice_with_free_text", 1, "Yes"),
        ("free_text_with_unit", {"value": "7", "unit": "lb"}, "7 Pounds"),
        ("free_text_with_unit", {"value": "7", "unit": "st"}, "7 st"),
        ("file_upload", ["a.png", "b.png"], "a.png, b.png"),
        ("star_rating", 2, "2"),
    ],
)
async def test_the_text_of_answers(world: World, kind: str, given: Any, text: str) -> None:
    batch_id = world.add_batch(status="READY", datapoints=1, batch_items=layout(kind))
    world.answer(batch_id, answer=given)
    assert parsed(await report(world, batch_id))[1][0][6] == text


async def test_a_unit_before_the_value(world: World) -> None:
    pages = layout("free_text_with_unit")
    pages[0]["rows"][0]["columns"][0]["items"][0] |= {
        "unit_position": "prefix",
        "default_unit": "lb",
    }
    batch_id = world.add_batch(status="READY", datapoints=1, batch_items=pages)
    world.answer(batch_id, answer=7)
    assert parsed(await report(world, batch_id))[1][0][6] == "Pounds 7"


async def test_the_fields_of_a_schema_are_the_columns(world: World) -> None:
    lines = '{"a": 1, "other": "x"}\n{"q": true}\n{"a": "t", "q": null}\n'
    dataset_id = await uploaded(world, lines, "r.jsonl", schema={**SCHEMA, "strict": False})
    batch_id = await ready(world, dataset_id, 3, batch_items=LAYOUT)
    world.answer(batch_id)
    header, rows = parsed(await report(world, batch_id))
    assert header[4:6] == ["q", "a"]
    assert sorted(row[4:6] for row in rows) == [["", "1"], ["", "t"], ["true", ""]]


async def test_reports_of_batches_without_answers(world: World) -> None:
    fixed = ["DataPoint_ID", "Task_Group_ID", "Task_Type", "Question"]
    for batch_id, columns in (
        (world.add_batch(datapoints=None), []),
        (world.add_batch(datapoints=0), []),
        (world.add_batch(), ["prompt"]),
        (world.add_batch(dataset_id=world.add_dataset(schema=SCHEMA)), ["q", "a"]),
    ):
        assert parsed(await report(world, batch_id)) == (fixed + columns, [])
    assert (await world.ask("GET", "/batches/b/report/"))[0] == 404


async def test_a_report_is_of_the_moment_at_which_its_link_was_made(world: World) -> None:
    batch_id = world.add_batch(status="READY", datapoints=1)

    async def link() -> str:
        return str((await world.ask("GET", f"/batches/{batch_id}/report/"))[1]["url"])

    async def got(url: str, **headers: str) -> tuple[int, str, bytes]:
        async with aiohttp.request("GET", url, headers=headers) as response:
            return response.status, response.headers["ETag"], await response.read()

    world.answer(batch_id)
    first, again = await link(), await link()
    world.answer(batch_id)
    second = await link()
    assert len({first, again, second}) == 3
    status, etag, content = await got(first)
    assert (status, await got(again)) == (200, (200, etag, content))
    other = await got(second)
    assert other[1] != etag
    assert b"Annotator2" in other[2]
    headers = {"Range": "bytes=9-", "If-Range": etag}
    assert await got(first, **headers) == (206, etag, content[9:])
    assert await got(again, **headers) == (206, etag, content[9:])
    assert await got(second, **headers) == other


async def test_answers_stay_as_they_are_when_the_layout_changes(world: World) -> None:
    pages = layout("star_rating", "free_text")
    batch_id = world.add_batch(status="READY", datapoints=2, tasks_per_group=4, batch_items=pages)
    world.answer(batch_id, answer="x")
    before = await report(world, batch_id)
    for items in (layout("free_text"), None):
        status, _ = await world.ask("PATCH", f"/batches/{batch_id}", {"batch_items": items})
        assert status == 200
        assert await report(world, batch_id) == before


async def test_a_link_that_has_expired_lets_go_of_its_report() -> None:
    async with World(url_lifetime=0) as world:
        batch_id = world.add_batch(status="READY")
        urls = [(await world.ask("GET", f"/batches/{batch_id}/report/"))[1]["url"] for _ in "123"]
        links = list(world._uploads.urls._by_path.values())
        assert [link.target is None for link in links] == [True, True, False]
        for url in urls:
            async with aiohttp.request("GET", url) as response:
                assert response.status == 403
                assert "Request has expired" in await response.text()


async def test_a_download_is_cut_and_sent_slowly(world: World) -> None:
    batch_id = world.add_batch(status="READY")
    world.answer(batch_id)
    whole = await report(world, batch_id)
    world.inject("GET", "/report.csv", Fault(cut=100))
    with pytest.raises(aiohttp.ClientPayloadError):
        await report(world, batch_id)
    world.inject("GET", "/report.csv", Fault(drip=0))
    assert await report(world, batch_id) == whole
    world.inject("GET", "/report", Fault(503))
    assert (await world.ask("GET", f"/batches/{batch_id}/report/"))[0] == 503
