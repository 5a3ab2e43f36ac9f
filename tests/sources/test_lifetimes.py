"""Sources leave nothing behind, hold neither the loop nor memory, and read files in threads."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, get_args

import pytest

from prolific_async._sources import contents, csv_rows, payload, text_checks
from prolific_async._sources.source import Source
from prolific_async._sources.threaded_file import ThreadedFile
from tests.conftest import HANGS
from tests.costs import LIMIT, held_by
from tests.sources.reading import csv_rows as read_csv
from tests.sources.reading import sent
from tests.stepping import Manner, cancelled_at

MANNERS = [
    pytest.param(manner, marks=() if manner == "woken" else pytest.mark.slow)
    for manner in get_args(Manner)
]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of temporary files, which may have one only while it is open."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def open_in(directory: Path) -> list[str]:
    """Return the open files of a directory, and those that have no name any more."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:  # that of the listing itself
            continue
        if target.startswith(str(directory)):
            found.append(target)
    return found


def named_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Switch garbage collection off, as it would close a forgotten file."""
    gc.disable()
    yield
    gc.enable()


async def all_closed(directory: Path) -> None:
    """Wait until the threads that cancelled calls left are done."""
    async with asyncio.timeout(HANGS):
        while open_in(directory):
            await asyncio.sleep(0.001)
    assert set(named_in(directory)) <= {"x.csv"}


async def pieces(number: int) -> AsyncIterator[bytes]:
    yield b"k,b\n"
    for one in range(number):
        await asyncio.sleep(0)
        yield b"%d,2\n" % one


async def used(given: Any, **options: Any) -> None:
    async with Source(given, **options) as source:
        made = await source.payload(3)
        async for _ in made.chunks():
            await asyncio.sleep(0)


SOURCES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "rows": lambda _: used([{"a": "x" * 40}] * 30),
    "late columns": lambda _: used([{"a": "x" * 40}] * 30 + [{"b": 1}]),
    "byte stream": lambda _: used(pieces(20), filename="x.csv"),
    "file": used,
    "file with key": lambda path: used(path, key="k"),
}


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("source", SOURCES)
async def test_cancelling_at_any_await_leaves_no_file(
    source: str, manner: Manner, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = temporary / "x.csv"
    path.write_bytes(b"k,b\n" + b"".join(b"%d,2\n" % one for one in range(60)))
    for module in (contents, payload, text_checks):
        monkeypatch.setattr(module, "PIECE", 256)
    for step in count(1):
        if not await cancelled_at(step, manner, lambda: SOURCES[source](path)):
            break
        await all_closed(temporary)
    assert step > 3
    await all_closed(temporary)


@pytest.mark.usefixtures("no_collection")
async def test_a_file_is_closed_though_its_closing_is_cancelled(temporary: Path) -> None:
    path = temporary / "x.csv"
    path.write_bytes(b"k,b\n1,2\n")
    for step in count(1):
        if not await cancelled_at(step, "twice", lambda: used(path)):
            break
        await all_closed(temporary)
    assert step > 3


async def test_a_temporary_file_is_there_while_it_is_used(temporary: Path) -> None:
    async with Source([{"a": "x" * 1000}] * 2000) as source:
        made = await source.payload(3)
        assert len(open_in(temporary)) == 1
        assert [chunk async for chunk in made.chunks()]
        assert named_in(temporary) == []
    assert open_in(temporary) == []


async def test_what_fits_into_a_piece_needs_no_file(temporary: Path) -> None:
    async with Source([{"a": "x" * 1000}] * 200) as source:
        await source.payload(3)
        assert open_in(temporary) == []


async def test_a_source_that_is_only_dropped_leaves_no_file(temporary: Path) -> None:
    path = temporary / "x.csv"
    path.write_bytes(b"a\n1\n")
    file = await Source(path).__aenter__()
    rows = await Source([{"a": "x" * 1000}] * 2000).__aenter__()
    made = await rows.payload(3)
    assert len(open_in(temporary)) == 2
    del file, rows, made
    gc.collect()
    assert open_in(temporary) == []


async def test_a_source_that_is_refused_when_it_is_entered_leaves_no_file(temporary: Path) -> None:
    path = temporary / "x.csv"
    path.touch()
    items: list[Any] = [b"x" * 1_000_000, None]
    for source in (Source(path), Source(items, filename="x.csv")):
        with pytest.raises((TypeError, ValueError), match="source"):
            await source.__aenter__()
        assert open_in(temporary) == []


async def test_an_error_leaves_no_file(temporary: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": "x" * 1000}] * 2000
    with pytest.raises(ValueError, match="a container"):
        await used([*rows, {"a": []}])
    assert open_in(temporary) == []


def full_disk() -> BinaryIO:
    return Path("/dev/full").open("w+b", buffering=0)


async def test_a_full_disk_is_the_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_temporary_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        await used([{"a": "x" * 1000}] * 2000)


KILLED = """
import asyncio, os, signal
from prolific_async._sources.source import Source
async def main():
    async with Source([{"a": "x" * 1000}] * 2000) as source:
        await source.payload(3)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def test_a_killed_process_leaves_no_file(temporary: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "TMPDIR": str(temporary)},
        check=False,
        timeout=HANGS,
    )
    assert done.returncode == -signal.SIGKILL
    assert list(temporary.iterdir()) == []


def test_a_file_that_a_thread_uses_is_closed_when_that_is_done(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    began, go_on = threading.Event(), threading.Event()
    seen: list[Any] = []

    def slow(file: BinaryIO) -> None:
        seen.append(file)
        began.set()
        assert go_on.wait(HANGS)
        seen.append(file.read())

    file = ThreadedFile(lambda: path.open("rb"))
    thread = threading.Thread(target=file._use, args=(slow,))
    thread.start()
    assert began.wait(HANGS)
    file.close()
    assert not seen[0].closed
    go_on.set()
    thread.join()
    assert seen[1] == b"abc"
    assert seen[0].closed
    with pytest.raises(ValueError, match="the file was closed"):
        file._use(lambda one: one.read())


# --- The loop, threads and memory --------------------------------------------------------------


ROWS = [{"id": number, "a": "x" * 100, "b": "y", "c": number / 7} for number in range(20_000)]


@pytest.mark.parametrize("generation", [pytest.param(3, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("key", [pytest.param(None, marks=pytest.mark.slow), "id"])
async def test_rows_are_encoded_in_short_turns(generation: int, key: str | None) -> None:
    assert await held_by(lambda: sent(iter(ROWS), generation, key=key)) < LIMIT


@pytest.mark.slow
async def test_files_are_worked_on_in_short_turns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(await sent(ROWS, 3))
    assert await held_by(lambda: sent(path, 3)) < LIMIT
    assert await held_by(lambda: sent(path, 3, key="id")) < LIMIT
    late = [*ROWS, {"late": 1}]
    assert await held_by(lambda: sent(late, 3)) < LIMIT


async def test_files_are_touched_in_threads_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    use = ThreadedFile._use

    def noted(file: ThreadedFile, work: Any) -> Any:
        threads.add(threading.current_thread())
        return use(file, work)

    monkeypatch.setattr(ThreadedFile, "_use", noted)
    path = tmp_path / "x.csv"
    path.write_bytes(await sent(ROWS, 3))
    await sent(path, 3, key="id")
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("generation", [3, 4])
async def test_an_iterable_is_read_in_the_thread_that_it_may_be_bound_to(generation: int) -> None:
    database = sqlite3.connect(":memory:")
    database.row_factory = lambda cursor, row: {"a": row[0], "b": row[1]}
    database.execute("create table rows (a, b)")
    database.executemany("insert into rows values (?, ?)", [(n, "x" * 500) for n in range(3000)])
    data = await sent(database.execute("select a, b from rows"), generation)
    assert len(data) > 3000 * 500
    database.close()


async def test_a_late_column_is_no_reason_to_hold_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_rows, "PIECE", 1000)
    rows = [{"a": f'{number}"\r\n"'} for number in range(3000)]
    header, *found = read_csv(await sent([*rows, {"b": "late"}], 3))
    assert header == ["a", "b"]
    assert found == [*([row["a"], ""] for row in rows), ["", "late"]]


async def test_large_items_of_a_stream_are_not_copied_as_a_whole() -> None:
    item = bytearray(b"a,b\n" + b"1,2\n" * 10_000_000)
    tracemalloc.start()
    items: list[Any] = [item, memoryview(item)]
    async with Source(items, filename="x.csv") as source:
        assert (await source.payload(3)).size == 2 * len(item)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.slow
async def test_a_stream_is_not_kept_in_memory() -> None:
    def produced() -> Iterator[bytes]:
        yield b"a,b\n"
        for number in range(10_000):
            yield b"%d," % number + b"x" * 4000 + b"\n"

    for key in (None, "a"):
        tracemalloc.start()
        async with Source(produced(), filename="x.csv", key=key) as source:
            made = await source.payload(3)
            async for _ in made.chunks():
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert made.size > 40_000_000
        assert peak < (8 << 20) + (10_000 * 100 if key else 0)
