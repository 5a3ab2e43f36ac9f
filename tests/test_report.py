"""``report``: rows are yielded while it is received, all of them or with an error."""

from __future__ import annotations

import asyncio
import gc
import pickle
import tracemalloc
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    Annotation,
    ConfigurationError,
    ConnectionLostError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    Progress,
    ProlificClient,
    ProlificError,
    Report,
    ReportRow,
    RequestTimeoutError,
    RetryPolicy,
)
from prolific_async._report import csv_parser
from prolific_async.simulator import AfterPolls, Fault, Simulator
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.file_server import SECRET, file_server
from tests.report.test_csv_parser import written
from tests.report.test_rows import FIXED, NOON_TEXT, annotators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.file_server import FileServer

STEP = 10  # bytes from one break to the next
ONCE = RetryPolicy(max_attempts=1)
HEADER = [*FIXED, "META_ROW_KEY", "text", *annotators(1)]
TEXT = 'a &lt;b&gt; "quoted", é🙂\nend'


def line(number: int, text: str = TEXT) -> list[str]:
    own = [f"k{number}", text, f"p{number}", f"&amp;{number}", NOON_TEXT]
    return [f"d{number}", "g1", "free_text", "Why?", *own]


def content(count: int) -> bytes:
    text = written([HEADER, *(line(number) for number in range(count))])
    return text.removesuffix("\r\n").encode()


SMALL = content(5)
KEYS = [f"k{number}" for number in range(5)]


@asynccontextmanager
async def serving(
    stored: bytes,
    *,
    retry: RetryPolicy = QUICK_RETRY,
    request_timeout: float = 2.0,
    handle: Callable[..., Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Report, FileServer, Simulator]]:
    """Serve a report by the simulator's API, from a storage that breaks where a test says."""
    async with Simulator(setup=AfterPolls(1)) as sim, file_server(stored, **options) as storage:
        url = storage.url
        if handle is not None:
            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        link = {"url": f"{url}/file/1?X-Amz-Signature={SECRET}", "http_method": "GET"}
        batch_id = sim.add_batch(name="Answered")
        sim.inject("GET", "/report/", Fault(status=200, body=link), times=1000)
        async with ProlificClient(
            sim.token,
            base_url=sim.url,
            retry=retry,
            poll=QUICK_POLL,
            request_timeout=request_timeout,
        ) as client:
            yield client.batches.report(batch_id), storage, sim
        if handle is not None:
            server.close()


async def read(report: Report) -> tuple[list[ReportRow], ProlificError | None]:
    rows = []
    try:
        async for row in report.rows():
            rows.append(row)  # noqa: PERF401 - what came before an error counts
    except ProlificError as error:
        return rows, error
    return rows, None


def within(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def keys(rows: list[ReportRow]) -> list[str | None]:
    return [row.key for row in rows]


async def test_rows_come_from_the_storage_without_the_token() -> None:
    async with serving(SMALL) as (report, storage, sim):
        rows, error = await read(report)
        assert error is None
        assert keys(rows) == KEYS
        assert rows[0].data == {"META_ROW_KEY": "k0", "text": 'a <b> "quoted", é🙂\nend'}
        assert rows[0].annotations[0].response == "&0"
        (head,) = storage.received
        assert sim.token not in head
        assert "authorization" not in head.lower()
        (asked,) = [each for each in sim.requests if each.method == "GET"]
        assert asked.path == f"/api/v1/data-collection/batches/{report.batch_id}/report/"
        assert SECRET not in repr(report)


@pytest.mark.parametrize(
    "content_type", ["text/csv; charset=iso-8859-1", "application/octet-stream"]
)
async def test_a_report_is_utf_8_whatever_its_headers_say(content_type: str) -> None:
    async with serving(SMALL, headers=(f"Content-Type: {content_type}",)) as (report, _, _):
        rows, _ = await read(report)
    assert rows[0].data["text"] == 'a <b> "quoted", é🙂\nend'


async def test_each_call_asks_for_the_report_as_it_is_then() -> None:
    async with serving(SMALL) as (report, storage, sim):
        await read(report)
        storage.content = content(6)
        rows, _ = await read(report)
        assert len(rows) == 6
        assert [each.path.endswith("/report/") for each in sim.requests] == [True, True]


@pytest.mark.parametrize("start", range(10))
async def test_a_report_that_breaks_is_resumed(start: int) -> None:
    cuts = range(start, len(SMALL), STEP * 10)
    async with serving(SMALL) as (report, storage, _):
        for cut in cuts:
            storage.cuts = iter([cut])
            rows, error = await read(report)
            assert (keys(rows), error) == (KEYS, None)


async def test_a_report_that_cannot_be_resumed_tells_how_many_rows_there_were() -> None:
    async with serving(SMALL, etag=None) as (report, storage, _):
        for cut in range(0, len(SMALL), STEP):
            storage.cuts = iter([cut])
            rows, error = await read(report)
            if error is None:  # broken before the first row, and begun again
                assert keys(rows) == KEYS
                continue
            assert isinstance(error, ConnectionLostError)
            assert 0 < len(rows) < 5
            assert keys(rows) == KEYS[: len(rows)]
            assert _told(len(rows)) in str(error)
            assert SECRET not in str(error)


@pytest.mark.parametrize("cut", range(0, len(SMALL), 31))
async def test_a_report_that_is_lost_for_good_tells_how_many_rows_there_were(cut: int) -> None:
    async with serving(SMALL, retry=ONCE) as (report, storage, _):
        storage.cuts = iter([cut])
        rows, error = await read(report)
        assert isinstance(error, ConnectionLostError)
        assert (_told(len(rows)) in str(error)) is bool(rows)


def _told(number: int) -> str:
    return (
        f"after {number} row{'' if number == 1 else 's'} had been yielded; another call starts over"
    )


async def test_a_report_that_changes_in_between_is_not_read_on() -> None:
    async with serving(SMALL) as (report, storage, _):

        def change(number: int) -> None:
            if number == 2:
                storage.content, storage.etag = content(9), '"v2"'

        storage.cuts, storage.before = iter([len(SMALL) - 20]), change
        rows, error = await read(report)
    assert keys(rows) == KEYS[:4]
    assert isinstance(error, ConnectionLostError)


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (b"", "the header: missing, as the report is empty"),
        (b'{"message": "maintenance"}', "the header: DataPoint_ID, Task_Group_ID, "),
        (SMALL + b'\r\n"x', "row 5 (counted from 0): a quote is never closed"),
        (SMALL.replace(b"k2", b"k\xe9"), "not UTF-8"),
    ],
)
async def test_a_malformed_report_is_a_decode_error(stored: bytes, problem: str) -> None:
    async with serving(stored) as (report, _, _):
        _, error = await read(report)
        assert isinstance(error, DecodeError)
        assert problem in error.problems[0]
        assert error.path is not None
        assert error.path.endswith(f"{report.batch_id}/report/")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "$.url: it is missing"),
        ({"url": None}, "$.url: it is missing"),
        ({"url": 3}, "$.url: a string is needed"),
        ({"url": "ftp://x/y"}, "$.url: an address"),
        ([], "$: an object is needed"),
    ],
)
async def test_a_report_without_an_address_is_a_decode_error(body: Any, problem: str) -> None:
    async with serving(SMALL) as (report, storage, sim):
        sim.clear_faults()
        sim.inject("GET", "/report/", Fault(status=200, body=body))
        _, error = await read(report)
        assert isinstance(error, DecodeError)
        assert error.problems[0].startswith(problem)
        assert error.body is None
        assert storage.received == []


async def test_refusals_are_those_of_the_api_and_of_the_storage() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with serving(SMALL, answers=[refusal], retry=ONCE) as (report, _, sim):
        _, error = await read(report)
        assert isinstance(error, PermissionDeniedError)
        sim.clear_faults()
        sim.inject("GET", "/report/", Fault(status=404))
        _, error = await read(report)
        assert isinstance(error, NotFoundError)


class Endless:
    """A storage that sends one text again and again, until the client disconnects.

    Attributes:
        ended: Set when a connection has ended.

    """

    def __init__(self, head: bytes, text: bytes, pause: float | None = None) -> None:
        self.head, self.text, self.pause = head, text, pause
        self.ended = asyncio.Event()
        self.sent = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n" + self.head)
            while True:
                writer.write(self.text)
                await writer.drain()
                self.sent += len(self.text)
                if self.pause is not None:
                    await asyncio.wait_for(reader.read(), self.pause)
                    break
        except ConnectionError:
            pass
        finally:
            self.ended.set()
            writer.transport.abort()


class Slow:
    """A storage that sends a file in pieces, with pauses."""

    def __init__(self, stored: bytes, *, pieces: int, pause: float) -> None:
        self._stored = stored
        self._pieces = pieces
        self._pause = pause

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._stored))
        size = len(self._stored) // self._pieces + 1
        for start in range(0, len(self._stored), size):
            await asyncio.sleep(self._pause)
            writer.write(self._stored[start : start + size])
        writer.close()


FIRST_LINES = written([HEADER, line(0)]).encode()


async def test_an_endless_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_parser, "MAX_RECORD", 1_000_000)
    storage = Endless(FIRST_LINES + b'"', b"x" * 65_536)
    async with serving(b"", handle=storage) as (report, _, _):
        rows, error = await read(report)
        assert keys(rows) == ["k0"]
        assert isinstance(error, DecodeError)
        assert error.problems == ("row 1 (counted from 0): longer than 1000000 characters",)
        await asyncio.wait_for(storage.ended.wait(), 5)
        assert storage.sent < 20_000_000


async def test_a_loop_that_is_left_gives_the_connection_back() -> None:
    storage = Endless(FIRST_LINES, written([line(1)]).encode() * 500)
    async with serving(b"", handle=storage) as (report, _, _):
        async with aclosing(report.rows()) as rows:
            async for row in rows:
                if row.key == "k1":
                    break
        await asyncio.wait_for(storage.ended.wait(), 5)


async def left_by_break(report: Report) -> None:
    async for row in report.rows():
        if row.key == "k1":
            break


async def left_by_an_error(report: Report) -> None:
    with suppress(ValueError):
        async for row in report.rows():
            raise ValueError(f"of the loop: {row.key}")


async def dropped(report: Report) -> None:
    rows = report.rows()
    await anext(rows)


async def dropped_in_a_cycle(report: Report) -> None:
    kept: list[Any] = [report.rows()]
    kept.append(kept)
    await anext(kept[0])
    del kept
    gc.collect()


@pytest.mark.parametrize("leave", [left_by_break, left_by_an_error, dropped, dropped_in_a_cycle])
async def test_rows_that_nobody_closes_give_the_connection_back(leave: Any) -> None:
    storage = Endless(FIRST_LINES, written([line(1)]).encode() * 500)
    async with serving(b"", handle=storage) as (report, _, _):
        await leave(report)
        await asyncio.wait_for(storage.ended.wait(), 5)


async def test_rows_may_take_longer_than_a_request() -> None:
    lines = written(line(number) for number in range(1, 13)).encode()
    storage = Slow(FIRST_LINES + lines, pieces=12, pause=0.02)
    async with serving(b"", handle=storage, retry=ONCE, request_timeout=0.1) as (report, _, _):
        began = asyncio.get_running_loop().time()
        rows, error = await read(report)
        assert error is None
        assert keys(rows) == [f"k{number}" for number in range(13)]
        assert asyncio.get_running_loop().time() - began > 0.2


async def test_a_cancelled_loop_gives_the_connection_back() -> None:
    storage = Endless(FIRST_LINES, b'"', pause=5)
    async with serving(b"", handle=storage) as (report, _, _):
        first = asyncio.Event()

        async def use() -> None:
            async for _ in report.rows():
                first.set()

        task = asyncio.create_task(use())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(storage.ended.wait(), 5)


async def test_a_report_that_stands_still_times_out() -> None:
    storage = Endless(FIRST_LINES, b'"', pause=5)
    async with serving(b"", handle=storage, retry=ONCE, request_timeout=0.03) as (report, _, _):
        rows, error = await read(report)
        assert keys(rows) == ["k0"]
        assert isinstance(error, RequestTimeoutError)


async def test_closing_the_client_ends_the_rows() -> None:
    storage = Endless(FIRST_LINES, written([line(1)]).encode() * 500)
    async with serving(b"", handle=storage, retry=ONCE) as (report, _, sim):
        async with ProlificClient(sim.token, base_url=sim.url, retry=ONCE) as other:
            rows = other.batches.report(report.batch_id).rows()
            await anext(rows)
        with pytest.raises((ConnectionLostError, ConfigurationError), match="closed"):
            async for _ in rows:
                pass


async def test_a_long_report_takes_little_memory() -> None:
    part, parts = written(line(number, TEXT * 40) for number in range(100)).encode(), 60

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = len(FIRST_LINES) + parts * len(part)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + FIRST_LINES)
        for _ in range(parts):
            writer.write(part)
            await writer.drain()
        writer.close()

    async with serving(b"", handle=send) as (report, _, _):
        rows = report.rows()
        await anext(rows)
        gc.collect()
        tracemalloc.start()
        count = 0
        async for _ in rows:
            count += 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 100 * parts
    assert len(part) * parts > 8_000_000
    assert peak < 5_000_000


async def test_others_run_while_rows_are_read() -> None:
    async with serving(content(20_000)) as (report, _, _):
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count_turns())
        await read(report)
        other.cancel()
    assert turns > 20


async def test_a_report_is_saved_as_the_service_has_written_it(tmp_path: Path) -> None:
    file, told = tmp_path / "report.csv", list[Progress]()
    async with serving(SMALL) as (report, storage, _):
        storage.cuts = iter([50])
        assert await report.download(file, on_progress=told.append) == file
        assert file.read_bytes() == SMALL
        assert (told[-1].step, told[-1].done, told[-1].total) == ("download", *[len(SMALL)] * 2)
        with pytest.raises(FileExistsError):
            await report.download(str(file))
        storage.content = b"new"
        await report.download(str(file), overwrite=True)
        assert file.read_bytes() == b"new"
        assert within(tmp_path) == [file]


async def test_a_batch_has_its_report(client: ProlificClient, sim: Simulator) -> None:
    batch_id = sim.add_batch(name="Answered", datapoints=2)
    await client.batches.setup(batch_id)
    batch = await client.batches.wait_until_ready(batch_id)
    assert await read(batch.report()) == ([], None)
    people = sim.answer(batch_id, participants=2, answer="<b> & &amp;")
    rows, _ = await read(batch.report())
    found = [one for row in rows for one in row.annotations]
    assert {one.participant_id for one in found} == set(people)
    assert {one.response for one in found} == {"<b> & &amp;"}
    assert all(isinstance(one, Annotation) and one.at is not None for one in found)
    assert repr(batch.report()) == f"<Report of batch {batch_id}>"


def test_a_report_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match=r"a Report cannot be pickled: .* batch_id"):
        pickle.dumps(ProlificClient("token").batches.report("b1"))


def test_an_id_that_cannot_be_one_is_refused_at_once() -> None:
    client = ProlificClient("token")
    with pytest.raises(ValueError, match="id"):
        client.batches.report("..")
