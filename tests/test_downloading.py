"""Downloads to a path, where only a whole file ever appears."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

import pytest

from prolific_async import ConnectionLostError, NotFoundError, Progress, RetryPolicy, _part_file
from prolific_async._http.transport import Transport
from prolific_async._part_file import PartFile
from prolific_async._resources.downloading import DownloadTarget
from tests.conftest import HANGS
from tests.file_server import FileServer, file_server
from tests.http.raw import plain
from tests.http.test_download import LONG, PATH, TEXT, changing, sender
from tests.stepping import Manner, cancelled_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._http.presigned import PresignedUrl

OLD = b"what stood there before"
THREADS = 3


async def download(
    server: FileServer,
    path: Any,
    *,
    overwrite: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
    get_url: Callable[[], Awaitable[PresignedUrl]] | None = None,
    **settings: Any,
) -> Path:
    target = DownloadTarget(path, overwrite=overwrite, on_progress=on_progress)
    async with sender(**settings) as made:
        return await target.fetch(made, PATH, get_url or server.get_url)


def names(directory: Path) -> list[str]:
    return sorted(one.name for one in directory.iterdir())


@pytest.mark.parametrize("content", [b"", TEXT, LONG])
@pytest.mark.parametrize("as_text", [True, False])
async def test_a_file_stands_under_its_path(
    tmp_path: Path, content: bytes, *, as_text: bool
) -> None:
    path = tmp_path / "answers.zip"
    async with file_server(content) as server:
        returned = await download(server, str(path) if as_text else path)
    assert returned == path
    assert path.read_bytes() == content
    assert names(tmp_path) == ["answers.zip"]


async def test_nothing_stands_there_before_it_is_whole(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    async with file_server(TEXT, cuts=iter([50])) as server:
        server.before = lambda _: seen.append(names(tmp_path))
        await download(server, tmp_path / "x.csv")
    for [name] in seen:
        assert name.startswith("x.csv.")
        assert name.endswith(".part")
    assert len(seen) == 2


async def test_a_long_file_cut_at_many_places_is_whole(tmp_path: Path) -> None:
    async with file_server(LONG, cuts=itertools.repeat(602_014)) as server:
        path = await download(server, tmp_path / "x")
    assert path.read_bytes() == LONG
    assert len(server.received) == 6


@pytest.mark.parametrize("to", [LONG[::-1], LONG * 2, LONG[:1_200_000], TEXT, b""])
async def test_a_file_that_changes_has_nothing_of_the_old_one(tmp_path: Path, to: bytes) -> None:
    async with file_server(LONG, cuts=iter([1_900_000])) as server:
        changing(server, to)
        path = await download(server, tmp_path / "x")
    assert path.read_bytes() == to


async def test_on_progress_gets_rising_bytes_across_a_lost_connection(tmp_path: Path) -> None:
    told: list[Progress] = []
    async with file_server(LONG, cuts=iter([1_900_000])) as server:
        await download(server, tmp_path / "x", on_progress=told.append)
    assert {(one.step, one.total, one.unit) for one in told} == {("download", len(LONG), "bytes")}
    done = [one.done for one in told]
    assert done == sorted(done)
    assert done[-1] == len(LONG)
    assert len(done) > 3
    assert told[-1].elapsed >= told[0].elapsed >= 0


@pytest.mark.parametrize("kind", [ZeroDivisionError, OSError, asyncio.CancelledError])
async def test_what_on_progress_raises_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def fail(_: Progress) -> None:
        raise kind

    async with file_server(TEXT) as server:
        await download(server, tmp_path / "x", on_progress=fail)
    assert "on_progress raised" in caplog.text


async def test_files_are_used_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, set[int]] = {}

    def noting(name: str) -> Callable[..., Any]:
        method = getattr(PartFile, name)

        def note(*args: Any) -> Any:
            used.setdefault(name, set()).add(threading.get_ident())
            return method(*args)

        return note

    for name in ("check", "open", "write", "place", "discard"):
        monkeypatch.setattr(PartFile, name, noting(name))
    async with file_server(LONG) as server:
        await download(server, tmp_path / "x")
        server.answers = [plain(b"", status="404 X")]
        with pytest.raises(NotFoundError):
            await download(server, tmp_path / "y")
        await DownloadTarget(tmp_path / "z", overwrite=False, on_progress=None).check()
    assert len(used) == 5
    assert threading.get_ident() not in set().union(*used.values())


@pytest.mark.parametrize("overwrite", [True, False])
async def test_a_file_is_on_the_disk_before_it_stands_under_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    path = tmp_path / "x"
    seen: list[tuple[int, bool]] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    async with file_server(TEXT) as server:
        await download(server, path, overwrite=overwrite)
    assert seen == [(len(TEXT), False)]


def send_once(listening: socket.socket, content: memoryview) -> None:
    """Answer one request without copying the body."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        connection.sendall(content)


async def test_a_disk_that_is_slow_holds_the_download_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = PartFile.write

    def slow(*args: Any) -> None:
        time.sleep(0.005)
        write(*args)

    monkeypatch.setattr(PartFile, "write", slow)
    content = bytes(40_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = FileServer(b"", url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        sending = asyncio.to_thread(send_once, listening, memoryview(content))
        async with asyncio.TaskGroup() as group:
            group.create_task(sending)
            await asyncio.sleep(0)
            tracemalloc.start()
            path = await download(server, tmp_path / "x")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert path.stat().st_size == len(content)
    assert peak < 8 * 1024 * 1024


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "options", "kind"),
    [
        (5, {}, TypeError),
        (b"x", {}, TypeError),
        (None, {}, TypeError),
        ("", {}, ValueError),
        ("a\0b", {}, ValueError),
        ("x", {"overwrite": 1}, ValueError),
        ("x", {"on_progress": 5}, ValueError),
    ],
)
def test_a_wrong_argument_is_refused(
    path: Any, options: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        DownloadTarget(path, **({"overwrite": False, "on_progress": None} | options))


async def refused(server: FileServer, path: Path | str, **options: Any) -> OSError:
    for call in (
        DownloadTarget(path, overwrite=options.get("overwrite", False), on_progress=None).check,
        partial(download, server, path, **options),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the caller checks its number
            await call()
        assert caught.value.filename == str(path)
    assert server.received == []
    return caught.value


async def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(OLD)
    async with file_server(TEXT) as server:
        error = await refused(server, path)
    assert isinstance(error, FileExistsError)
    assert "overwrite=True" in str(error)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("overwrite", [True, False])
async def test_what_is_no_file_is_not_replaced(tmp_path: Path, *, overwrite: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with file_server(TEXT) as server:
        assert (await refused(server, tmp_path, overwrite=overwrite)).errno == errno.EISDIR
        assert (await refused(server, pipe, overwrite=overwrite)).errno == errno.EINVAL
        assert (await refused(server, "/dev/null", overwrite=overwrite)).errno == errno.EINVAL
        for path in (tmp_path / "missing" / "x", "~/missing/x", pipe / "x"):
            error = await refused(server, path, overwrite=overwrite)
            assert error.errno in (errno.ENOENT, errno.ENOTDIR)
            assert ("expanduser" in str(error)) == str(path).startswith("~")
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("mode", [0o600, 0o646])
async def test_a_file_is_replaced_with_its_mode_where_that_is_asked_for(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "x"
    path.write_bytes(OLD)
    path.chmod(mode)
    async with file_server(TEXT) as server:
        seen: list[tuple[bytes, list[int]]] = []
        server.before = lambda _: seen.append(
            (path.read_bytes(), [one.stat().st_mode & 0o777 for one in tmp_path.iterdir()])
        )
        await download(server, path, overwrite=True)
    [(content, modes)] = seen
    assert content == OLD
    assert len(modes) == 2
    assert all(one & ~mode == 0 for one in modes)  # nobody may read more than before
    assert path.read_bytes() == TEXT
    assert path.stat().st_mode & 0o777 == mode
    assert names(tmp_path) == ["x"]


async def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    for overwrite in (True, False):
        async with file_server(TEXT) as server:
            path = await download(server, tmp_path / f"x{overwrite}", overwrite=overwrite)
        assert path.stat().st_mode == usual.stat().st_mode


async def test_a_link_stays_and_leads_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "x", tmp_path / "link"
    target.write_bytes(OLD)
    link.symlink_to(target)
    async with file_server(TEXT) as server:
        assert isinstance(await refused(server, link), FileExistsError)
        assert await download(server, link, overwrite=True) == link
    assert link.is_symlink()
    assert target.read_bytes() == TEXT


async def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    async with file_server(TEXT) as server:
        await download(server, path)
    assert path.read_bytes() == TEXT


async def test_a_relative_path_is_taken_from_where_the_program_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with file_server(TEXT) as server:
        assert await download(server, "x") == Path("x")
    assert (tmp_path / "x").read_bytes() == TEXT


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [True, False])
async def test_a_failed_download_leaves_what_was_there(tmp_path: Path, *, overwrite: bool) -> None:
    path = tmp_path / "x"
    before = []
    if overwrite:
        path.write_bytes(OLD)
        before = ["x"]
    async with file_server(LONG, ranges=False, cuts=itertools.repeat(1_600_000)) as server:
        with pytest.raises(ConnectionLostError):
            await download(server, path, overwrite=overwrite)
    assert names(tmp_path) == before
    if overwrite:
        assert path.read_bytes() == OLD


async def test_a_failed_call_for_the_link_leaves_nothing(tmp_path: Path) -> None:
    async def get_url() -> PresignedUrl:
        raise ConnectionLostError("GET", PATH, "broken")

    async with file_server(TEXT) as server:
        with pytest.raises(ConnectionLostError):
            await download(server, tmp_path / "x", get_url=get_url)
    assert names(tmp_path) == []


async def test_a_write_that_fails_behind_a_lost_connection_is_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    once = RetryPolicy(max_attempts=1)
    async with file_server(LONG, cuts=iter([1_300_000])) as server:
        with pytest.raises(ConnectionLostError):
            await download(server, tmp_path / "x", retry=once)
    gc.collect()
    assert caplog.text == ""
    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [True, False])
async def test_two_downloads_at_once_make_one_whole_file(
    tmp_path: Path, *, overwrite: bool
) -> None:
    path = tmp_path / "x"
    other = LONG[::-1]
    async with file_server(LONG) as first, file_server(other) as second:
        outcomes = await asyncio.gather(
            download(first, path, overwrite=overwrite),
            download(second, path, overwrite=overwrite),
            return_exceptions=True,
        )
    failed = [one for one in outcomes if not isinstance(one, Path)]
    assert path.read_bytes() in (LONG, other)
    assert names(tmp_path) == ["x"]
    if overwrite:
        assert failed == []
    else:
        [error] = failed
        assert isinstance(error, FileExistsError)
        assert "overwrite=True" in str(error)


def without_hard_links(self: Path, target: Path) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("taken", [True, False])
async def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", without_hard_links)
    path = tmp_path / "x"
    async with file_server(TEXT) as server:
        if taken:
            server.before = lambda _: path.write_bytes(OLD)
            with pytest.raises(FileExistsError):
                await download(server, path)
        else:
            await download(server, path)
    assert path.read_bytes() == (OLD if taken else TEXT)
    assert names(tmp_path) == ["x"]


FULL = """
import asyncio, resource, sys
from pathlib import Path
from tests.file_server import file_server
from tests.test_downloading import LONG, download

async def main(path):
    async with file_server(LONG) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_700_000, 1_700_000))
        try:
            await download(server, path, overwrite=True)
        except OSError as error:
            print(type(error).__name__, error.filename, len(server.received))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("existing", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_full_disk_is_an_error_that_names_the_path(tmp_path: Path, *, existing: bool) -> None:
    path = tmp_path / "x"
    if existing:
        path.write_bytes(OLD)
    command = [sys.executable, "-W", "error", "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANGS)
    assert (done.stdout, done.stderr) == (f"OSError {path} 1\n", "")
    assert names(tmp_path) == (["x"] if existing else [])
    if existing:
        assert path.read_bytes() == OLD


# --- cancellation -------------------------------------------------------------------------------


async def test_a_failed_write_closes_the_connection_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartFile, "write", fail)
    async with file_server(LONG * 2, cuts=iter([len(LONG)]), stall=9) as server, sender() as made:
        with pytest.raises(OSError, match="No space left"):
            await fetch(made, server, tmp_path / "x", overwrite=False)
        assert not (await made.session_here()).transfers
    assert names(tmp_path) == []


@pytest.mark.parametrize("manner", get_args(Manner))
@pytest.mark.parametrize("overwrite", [True, False])
async def test_a_cancelled_download_leaves_a_whole_file_or_none(
    tmp_path: Path, manner: Manner, *, overwrite: bool
) -> None:
    path = tmp_path / "x"
    size = len(TEXT)
    whole = False
    executor = ThreadPoolExecutor(THREADS)
    asyncio.get_running_loop().set_default_executor(executor)
    for step in count(1):
        path.unlink(missing_ok=True)
        if overwrite:
            path.write_bytes(OLD)
        async with file_server(TEXT, cuts=iter([size // 2])) as server, sender() as made:
            work = partial(fetch, made, server, path, overwrite=overwrite)
            if not await cancelled_at(step, manner, work):
                break
            finish(executor)
            if path.exists():
                assert path.read_bytes() in ([TEXT, OLD] if overwrite else [TEXT])
                whole = path.read_bytes() == TEXT
            assert names(tmp_path) in ([["x"]] if overwrite else [[], ["x"]])
            assert asyncio.all_tasks() <= {asyncio.current_task(), *handlers()}
    assert path.read_bytes() == TEXT
    assert names(tmp_path) == ["x"]
    assert step > 8
    assert whole or manner != "woken"


async def fetch(made: Transport, server: FileServer, path: Path, *, overwrite: bool) -> None:
    target = DownloadTarget(path, overwrite=overwrite, on_progress=None)
    await target.fetch(made, PATH, server.get_url)


def finish(executor: ThreadPoolExecutor) -> None:
    """Wait until the threads have done what they were given before."""
    barrier = threading.Barrier(THREADS + 1)
    for _ in range(THREADS):
        executor.submit(barrier.wait)
    barrier.wait()


def handlers() -> set[asyncio.Task[Any]]:
    return {one for one in asyncio.all_tasks() if "handle" in str(one.get_coro())}


# --- the file itself ----------------------------------------------------------------------------


def test_a_part_that_was_discarded_stays_away(tmp_path: Path) -> None:
    """A thread may come to its work only after the caller has given up."""
    part = PartFile(str(tmp_path / "x"), overwrite=False)
    part.discard()
    part.open()
    part.write(0, [b"x"])
    part.place()
    assert names(tmp_path) == []


def test_a_part_is_written_whole_by_a_disk_that_takes_a_little_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[:3])

    monkeypatch.setattr(_part_file, "io", SimpleNamespace(FileIO=Little))
    part = PartFile(str(tmp_path / "x"), overwrite=False)
    part.open()
    part.write(0, [TEXT, TEXT])
    part.place()
    assert (tmp_path / "x").read_bytes() == TEXT * 2


def test_a_part_that_is_gone_can_be_discarded(tmp_path: Path) -> None:
    part = PartFile(str(tmp_path / "x"), overwrite=False)
    part.open()
    [name] = names(tmp_path)
    (tmp_path / name).unlink()
    part.discard()
    part.discard()
    assert names(tmp_path) == []


def test_a_part_is_rewritten_from_any_place_on(tmp_path: Path) -> None:
    part = PartFile(str(tmp_path / "x"), overwrite=False)
    part.open()
    part.write(0, [b"0123", b"", b"4567"])
    part.write(8, [b"89"])
    part.write(3, [b"x"])
    part.write(4, [])
    part.place()
    part.discard()
    assert (tmp_path / "x").read_bytes() == b"012x"


@pytest.mark.skipif(sys.platform != "linux", reason="no other system takes the advice")
def test_the_disk_begins_before_the_last_byte_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    advise = os.posix_fadvise

    def noting(descriptor: int, start: int, size: int, advice: int) -> None:
        assert start + size == os.fstat(descriptor).st_size
        asked.append((start, size))
        advise(descriptor, start, size, advice)

    monkeypatch.setattr(os, "posix_fadvise", noting)
    mib = 1024 * 1024
    part = PartFile(str(tmp_path / "x"), overwrite=False)
    part.open()
    for number in range(40):
        part.write(number * mib, [bytes(mib)])
    assert asked == [(0, 16 * mib), (16 * mib, 16 * mib)]
    part.write(2 * mib, [bytes(15 * mib)])  # begun anew from there on
    assert len(asked) == 2
    part.write(17 * mib, [bytes(mib)])
    part.discard()
    assert asked[2:] == [(2 * mib, 16 * mib)]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system takes the advice")
def test_a_file_system_that_takes_no_advice_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    content = bytes(17 * 1024 * 1024)
    part = PartFile(str(tmp_path / "x"), overwrite=False)
    part.open()
    part.write(0, [content])
    part.place()
    assert (tmp_path / "x").read_bytes() == content
