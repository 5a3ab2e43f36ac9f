"""Files of records: whole or not at all."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from prolific_async import TaskResponse
from prolific_async.cli.record_output import RecordOutput
from prolific_async.cli.record_text import Format
from tests import samples


def response(number: int, text: str = "good") -> TaskResponse:
    return TaskResponse.from_dict(samples.task_response(answer=[{"value": text}], id=f"r{number}"))


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def write(path: Path, records: AsyncGenerator[TaskResponse], form: Format) -> None:
    output = RecordOutput(str(path), overwrite=False, given=form, as_json=True)
    await output.write(
        records, "responses", lambda one: [{"value": one.answers[0].value}], ["value"]
    )


async def test_a_long_file_is_written_in_parts(tmp_path: Path) -> None:
    async def records() -> AsyncGenerator[TaskResponse]:
        for number in range(300):
            yield response(number, "é" * 2000)
            if number == 299:
                (part,) = left(tmp_path)
                assert part.suffix == ".part"
                assert part.stat().st_size > 250 * 4000

    await write(tmp_path / "a.csv", records(), Format.CSV)
    assert left(tmp_path) == [tmp_path / "a.csv"]
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text == "value\n" + ("é" * 2000 + "\n") * 300


async def test_half_of_a_surrogate_pair_ends_nothing(tmp_path: Path) -> None:
    async def records() -> AsyncGenerator[TaskResponse]:
        yield response(1, "\ud800")

    await write(tmp_path / "a.csv", records(), Format.CSV)
    assert (tmp_path / "a.csv").read_bytes() == b"value\n\\ud800\n"
    await write(tmp_path / "a.jsonl", records(), Format.JSONL)
    (line,) = (tmp_path / "a.jsonl").read_text().splitlines()
    assert TaskResponse.from_dict(json.loads(line)) == response(1, "\ud800")


async def test_a_cancelled_command_leaves_no_file_and_closes_the_records(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def records() -> AsyncGenerator[TaskResponse]:
        try:
            yield response(1)
            task.cancel()
            await asyncio.Event().wait()
        finally:
            closed.set()

    task = asyncio.ensure_future(write(tmp_path / "a.csv", records(), Format.CSV))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    assert left(tmp_path) == []


async def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    async def records() -> AsyncGenerator[TaskResponse]:
        yield response(1)
        (tmp_path / "a.csv").write_text("mine")

    with pytest.raises(ValueError, match=r"a\.csv' cannot be written \(there is a file already"):
        await write(tmp_path / "a.csv", records(), Format.CSV)
    assert (tmp_path / "a.csv").read_text() == "mine"
    assert left(tmp_path) == [tmp_path / "a.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
async def test_a_device_is_no_file(tmp_path: Path) -> None:
    async def records() -> AsyncGenerator[TaskResponse]:
        yield response(1)

    with pytest.raises(ValueError, match="'/dev/full' cannot be written"):
        await write(Path("/dev/full"), records(), Format.CSV)
