"""Answers are joined to their rows by the key that the rows were uploaded with."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import Batch, DatasetSchema, ProlificClient, TaskDetails
from prolific_async import layout as ui
from prolific_async.simulator import Immediately, Simulator
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.report.test_rows import PARTS, annotators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from prolific_async.simulator import Task

COUNT = 2000
PEOPLE = 130  # of 100 groups, so that some have two
KEY = "sample_id"
# Names of the report's own, too, and some that it makes for annotators.
COLUMNS = [KEY, "Question", "question", "DataPoint_ID", "text", *annotators(1)]


def rows() -> list[dict[str, str]]:
    """Return rows of hard texts, many of which are in several rows."""
    draw = random.Random(7)
    texts = ["".join(draw.choices(PARTS, k=draw.randint(1, 6))) for _ in range(COUNT // 10)]
    found = [{name: draw.choice(texts) for name in COLUMNS} for _ in range(COUNT)]
    for number, row in enumerate(found):
        row[KEY] = f"{number} {draw.choice(texts)}"
    return found


ROWS = rows()
BY_KEY = {row[KEY]: row for row in ROWS}


def said(row: Mapping[str, Any]) -> str:
    """Return the answers of the participants to a row."""
    return f"{row['text']} & {row[KEY]}"


def answer(task: Task, _: Mapping[str, Any]) -> str:
    return said(task.data)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(setup=Immediately(), imports=Immediately()) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        sim.token, base_url=sim.url, poll=QUICK_POLL, retry=QUICK_RETRY
    ) as quick:
        yield quick


async def answered(client: ProlificClient, sim: Simulator, schema: DatasetSchema | None) -> Batch:
    """Upload the rows, make a batch of them, and let participants answer it."""
    dataset = await client.datasets.create(sim.workspace_id, name="Rows", schema=schema)
    await (await dataset.upload(ROWS, key=KEY)).wait()
    batch = await client.batches.create(
        sim.workspace_id,
        name="Answered",
        task=TaskDetails("n", "i", "s"),
        items=[ui.Page.of(ui.FreeText("Which & why?"))],
        dataset=dataset,
    )
    await batch.setup(tasks_per_group=20)
    ready = await batch.wait_until_ready()
    assert ready.total_task_count == COUNT
    sim.answer(batch.id, participants=PEOPLE, answer=answer)
    return ready


SCHEMA = DatasetSchema.of(dict.fromkeys(COLUMNS, "text") | {"META_ROW_KEY": "metadata"})
EACH = pytest.mark.parametrize("schema", [None, SCHEMA], ids=["v3", "v4"])


def test_the_rows_are_hard_ones() -> None:
    assert len(BY_KEY) == COUNT
    assert max(Counter(row["text"] for row in ROWS).values()) > 5
    everything = "".join(text for row in ROWS for text in row.values())
    assert all(part in everything for part in PARTS)


@EACH
async def test_report_and_responses_have_every_answer_at_its_row(
    client: ProlificClient, sim: Simulator, schema: DatasetSchema | None
) -> None:
    batch = await answered(client, sim, schema)
    found = Counter[str]()
    async for row in batch.report().rows():
        assert row.key is not None
        own = BY_KEY[row.key]
        assert row.data == own | {"META_ROW_KEY": own[KEY]}
        assert (row.question, row.task_type) == ("Which & why?", "free_text")
        assert [one.response for one in row.annotations] == [said(own)] * len(row.annotations)
        assert all(one.at is not None for one in row.annotations)
        found[row.key] += len(row.annotations)
    assert found.keys() == BY_KEY.keys()
    assert found.total() == PEOPLE * 20

    given = Counter[str]()
    async for response in batch.responses():
        assert response.key is not None
        assert [answer.value for answer in response.answers] == [said(BY_KEY[response.key])]
        given[response.key] += 1
    assert given == found


GROUPED = DatasetSchema.of(strict=False, id="text", group="task_group_id", META_ROW_KEY="metadata")
QUESTIONS = ["First?", "Second & last?"]


@pytest.mark.parametrize(
    ("schema", "column"), [(None, "META_TASK_GROUP_ID"), (GROUPED, "group")], ids=["v3", "v4"]
)
@pytest.mark.parametrize("key", ["id", None])
async def test_tasks_that_some_leave_out_are_joined_as_well(
    client: ProlificClient,
    sim: Simulator,
    schema: DatasetSchema | None,
    column: str,
    key: str | None,
) -> None:
    rows = [{"id": str(number), column: f"group {number % 4}"} for number in range(12)]
    dataset = await client.datasets.create(sim.workspace_id, name="Rows", schema=schema)
    await (await dataset.upload(rows, key=key)).wait()
    items = [ui.Page.of(*map(ui.FreeText, QUESTIONS))]
    task = TaskDetails("n", "i", "s")
    batch = await client.batches.create(
        sim.workspace_id, name="Grouped", task=task, items=items, dataset=dataset
    )
    await batch.setup()
    batch = await batch.wait_until_ready()
    assert batch.total_task_groups == 4

    left_out = Counter[str]()

    def answer(task: Task, item: Mapping[str, Any]) -> str | None:
        if item["description"] == QUESTIONS[1] and int(task.data["id"]) % 3 == len(left_out) % 3:
            left_out[task.participant_id] += 1
            return None
        return f"{task.participant_id} {item['description']} {task.data['id']}"

    people = sim.answer(batch.id, participants=10, answer=answer)  # three or two of each group
    found = Counter[str]()
    async for row in batch.report().rows():
        assert row.key == (row.data["id"] if key else None)
        for one in row.annotations:
            expected = f"{one.participant_id} {row.question} {row.data['id']}"
            assert one.response in {expected, ""}
            assert (one.at is None) is (one.response == "")
            found[one.response and one.participant_id] += 1
    empty = found.pop("")
    assert 0 < empty <= left_out.total()  # tasks that nobody has answered are not in the report
    assert found == {person: 2 * 3 - left_out[person] for person in people}
    given = Counter([one.participant_id async for one in batch.responses()])
    assert given == found
    assert {one.key async for one in batch.responses()} == (
        {row["id"] for row in rows} if key else {None}
    )
