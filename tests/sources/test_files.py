"""Files and bytes: checked before anything is sent, and sent as they are."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prolific_async._sources import contents, text_checks
from prolific_async._sources.payload import Payload
from prolific_async._sources.source import Source
from tests.conftest import HANGS
from tests.sources.reading import csv_rows, sent

CSV = b"a,b\r\n1,2\r\n"
BOM = b"\xef\xbb\xbf"


async def read(payload: Payload, one_came: Callable[[int], object]) -> None:
    async for chunk in payload.chunks():
        one_came(len(chunk))


def a_directory(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(path.parent)  # as the path of a socket must be short
        bound.bind(path.name)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [a_directory, a_pipe, a_socket, a_device])
async def test_only_regular_files_are_read(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.csv"
    make(path)
    kind = make.__name__.replace("_", " ")
    with pytest.raises(ValueError, match=rf"x\.csv' is {kind}, not a file"):
        await Source(path).__aenter__()


a_file = Path(__file__).stat()


async def test_a_pipe_that_takes_the_place_of_a_file_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    a_pipe(path)
    monkeypatch.setattr(Path, "stat", lambda self: a_file)
    with pytest.raises(ValueError, match="is a pipe"):
        await Source(path).__aenter__()


async def test_a_file_that_is_not_there_is_the_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        await Source(tmp_path / "gone.csv").__aenter__()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        await Source(tmp_path / "file" / "x.csv").__aenter__()


async def test_a_home_directory_is_not_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("~/gone.csv", Path("~nobody/gone.csv")):
        with pytest.raises(FileNotFoundError, match=r"use Path\.expanduser\(\): '~") as caught:
            await Source(path).__aenter__()
        assert caught.value.filename == str(path)
    there = tmp_path / "~"
    there.mkdir()
    (there / "x.csv").write_bytes(CSV)
    monkeypatch.chdir(tmp_path)
    assert await sent("~/x.csv", 3) == CSV


READ = """
import asyncio, concurrent.futures.thread, os, sys
from prolific_async._sources.source import Source
if os.geteuid() == 0:  # who may read everything
    os.setuid(65534)
try:
    asyncio.run(Source(sys.argv[1]).__aenter__())
except PermissionError as error:
    print(error.filename)
"""


def test_a_file_without_permission_is_the_error_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    path.write_bytes(CSV)
    path.chmod(0)
    command = [sys.executable, "-c", READ, str(path)]
    # Nobody else may write the coverage of this run.
    environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=HANGS, env=environment
    )
    assert (done.stdout, done.stderr) == (f"{path}\n", "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the source is empty"),
        (BOM, "the source is empty: it has no header"),
        (b"\r\n\n", "the source is empty: it has no header"),
        (b"a,b", "a header, but no row"),
        (b"a,b\r\n", "a header, but no row"),
        (b"a,b\n\n\r\n", "a header, but no row"),
        (b"a,,c\n1,2,3\n", "the name of column 2 of the CSV is empty"),
        (b"a,b,\n1,2,3\n", "the name of column 3 of the CSV is empty"),
        (b'a," ",c\n1,2,3\n', "the name of column 2 of the CSV is empty"),
        (b'a,b,"a"\n1,2,3\n', "the column 'a' more than once"),
        (b"a;b c\n1;2\n", "one column, 'a;b c': separate cells by commas"),
        (BOM + b"a\tb\r\n1\t2\r\n", r"one column, 'a\\tb': separate cells by commas"),
        (b"sep=;\r\na;b\r\n1;2\r\n", "one column, 'sep=;'"),
        (b'#TYPE X.Y\r\n"a","b"\r\n"1","2"\r\n', "one column, '#TYPE X.Y': .*NoTypeInformation"),
        (b'a,"b\n1,2\n', "the header: not valid CSV"),
        (b'a,"b"c\n1,2\n', "the header: not valid CSV"),
        ("a,é\n1,2\n".encode("utf-16"), "the source is UTF-16: save it as UTF-8"),
        ("a,é\n1,2\n".encode("utf-16-be"), "the source is UTF-16 or UTF-32"),
        ("a,é\n1,2\n".encode("utf-16-le"), "the source is UTF-16 or UTF-32"),
        ("a,é\n1,2\n".encode("utf-32"), "the source is UTF-16"),
        ("a,é\n1,2\n".encode("utf-32-be"), "the source is UTF-16 or UTF-32"),
        ("中,b\r\n1,2\r\n".encode("utf-16-le"), "the source is UTF-16 or UTF-32"),
        ("中,b\r\n1,2\r\n".encode("utf-16-be"), "the source is UTF-16 or UTF-32"),
        ('"#TYPE a"\n"a"\n"1"\n'.encode("utf-16"), "the source is UTF-16: save it as UTF-8"),
        (b"\x00\x00\xfe\xff\x00\x00\x00a", "the source is UTF-32"),
        ("a,é\n1,2\n".encode("cp1252"), r"not UTF-8 \(see its byte 2\): save it as UTF-8"),
        ("a,b\n1,é".encode()[:-1], r"not UTF-8 \(see its byte 6\)"),
        (BOM + b"a,b\n1,\xff\n", r"not UTF-8 \(see its byte 9\)"),
        (b"a,b\n1,\xed\xa0\x80\n", r"not UTF-8 \(see its byte 6\)"),
    ],
)
async def test_a_csv_is_checked_before_it_is_sent(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    sources: list[Any] = [path, data, [data], [data[:1], data[1:]]]
    for given_source in sources:
        with pytest.raises(ValueError, match=reason):
            async with Source(given_source, filename="x.csv") as source:
                await source.payload(3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b" \n\t\r\n", "all its lines are blank"),
        (b'{"a": "\xff"}\n', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        (b"", "the source is empty"),
    ],
)
async def test_json_lines_are_checked_before_they_are_sent(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        async with Source(data, filename="x.jsonl") as source:
            await source.payload(4)


async def test_an_empty_zip_is_refused_and_another_is_sent_as_it_is() -> None:
    with pytest.raises(ValueError, match="the source is empty"):
        await sent(b"", 3, filename="x.zip")
    data = b"PK\x03\x04\xff\x00\xef\xbb\xbf"
    assert await sent(data, 3, filename="x.zip") == data


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("x.csv", b"a,b\r\n1,2\r\n", 1),
        ("x.csv", b"a,b\n1,2\n3,4", 2),
        ("x.csv", BOM + b"a\n1", 1),
        ("x.csv", b"a\r1\r", 1),  # of old Macs; no row at all would be untrue
        ("x.jsonl", b'{"a":1}\n{"a":2}\n', 2),
        ("x.jsonl", b'{"a":1}', 1),
    ],
)
async def test_the_rows_of_a_short_file_are_its_lines(name: str, data: bytes, rows: int) -> None:
    async with Source(data, filename=name) as source:
        assert (await source.payload(4 if name == "x.jsonl" else 3)).rows == rows


async def test_the_rows_of_a_long_file_are_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_checks, "CHECKED_FIRST", 100)
    async with Source(b"a\n" + b"12345678\n" * 100, filename="x.csv") as source:
        rows = (await source.payload(3)).rows
    assert rows is not None
    assert 90 <= rows <= 120


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
async def test_a_byte_order_mark_is_left_out(name: str) -> None:
    data = b'{"a": "\xef\xbb\xbf1"}\n{"a": 2}\n'
    assert await sent(BOM + data, 4, filename=name) == data
    assert await sent([BOM[:1], BOM[1:], data], 4, filename=name) == data


@given(st.binary(max_size=300), st.integers(1, 64))
@example(b"\xc31", 1)
@example(b"12345678\xc3", 64)
@example("é€😀".encode(), 1)
@example("é€😀".encode(), 2)
def test_a_file_is_read_as_utf_8_or_refused(data: bytes, piece: int) -> None:
    async def whole() -> bytes:
        async with Source(b"a\n1" + data, filename="x.csv") as source:
            payload = await source.payload(3)
            return b"".join([chunk async for chunk in payload.chunks()])

    try:
        (b"a\n1" + data).decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    with pytest.MonkeyPatch.context() as patch:
        for module in ("contents", "payload", "text_checks"):
            patch.setattr(f"prolific_async._sources.{module}.PIECE", piece)
        for first in (8, 1 << 20):
            patch.setattr(text_checks, "CHECKED_FIRST", first)
            if valid:
                assert asyncio.run(whole()) == b"a\n1" + data
            else:
                with pytest.raises(ValueError, match="not UTF-8"):
                    asyncio.run(whole())


@pytest.mark.parametrize(
    ("pieces", "at"),
    [
        ((b"ab\xc3", b"a"), 12),
        ((b"ab\xe2\x82", b"\xac\xff"), 15),
        ((b"\xf0", b"\x9f", b"\x98", b"x"), 10),
        ((b"ab\xf0", b"\x9f"), 12),
    ],
)
def test_a_fault_between_pieces_has_its_place(pieces: tuple[bytes, ...], at: int) -> None:
    check = text_checks.Utf8Check(10, 10 + sum(map(len, pieces)))
    *others, last = pieces
    for piece in others:
        check.feed(piece)
    with pytest.raises(ValueError, match=rf"see its byte {at}\)"):
        check.feed(last)


async def test_the_rest_of_a_long_file_is_checked_on_its_way(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * (3 << 20) + b"\xe9,\n")
    async with Source(path) as source:
        payload = await source.payload(3)
        sizes: list[int] = []
        with pytest.raises(ValueError, match=rf"see its byte {payload.size - 3}\)"):
            await read(payload, sizes.append)
        assert isinstance(payload.failure, ValueError)
        assert 0 < sum(sizes) < payload.size


async def test_a_header_may_be_long_and_a_row_longer(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    name = "n" * 1_000_000
    path.write_bytes(f'"{name}\r\n",b\r\n"'.encode() + b"x" * 5_000_000 + b'",2\r\n')
    header, row = csv_rows(await sent(path, 3))
    assert header == [f"{name}\r\n", "b"]
    assert row == ["x" * 5_000_000, "2"]


# --- Reading ahead -----------------------------------------------------------------------------


async def test_a_piece_is_read_while_the_one_before_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" + b"1" * (3 * contents.PIECE))
    reads: list[int] = []
    read = contents.FileContent.read

    def noted(content: contents.FileContent, start: int, *rest: Any) -> asyncio.Future[bytes]:
        reads.append(start)
        return read(content, start, *rest)

    async with Source(path) as source:
        payload = await source.payload(3)
        monkeypatch.setattr(contents.FileContent, "read", noted)
        async with aclosing(payload.chunks()) as chunks:
            for begun in (2, 3, 4, 4):
                await anext(chunks)
                assert len(reads) == begun
        assert reads == [number * contents.PIECE for number in range(4)]


async def test_a_piece_that_nobody_wants_may_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" + b"1" * (3 * contents.PIECE))
    async with Source(path) as source:
        payload = await source.payload(3)
        os.truncate(path, contents.PIECE + 5)
        async with aclosing(payload.chunks()) as chunks:
            await anext(chunks)
            await asyncio.sleep(0.02)  # the next one fails meanwhile
        assert payload.failure is None
    gc.collect()
    assert caplog.records == []


# --- Files that change -------------------------------------------------------------------------

ROWS = CSV + b"1,2\r\n" * 200_000  # more than one piece


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def cut(path: Path) -> None:
    os.truncate(path, len(ROWS) // 2)


def rewritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"a")
    os.utime(path, ns=(1, 1))


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(ROWS)
    seen = path.stat()
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.replace(path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [appended, cut, rewritten, replaced, removed])
@pytest.mark.parametrize("when", ["before", "while"])
async def test_a_file_that_changes_is_never_sent_whole(
    change: Callable[[Path], None], when: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(ROWS)
    async with Source(path) as source:
        payload = await source.payload(3)
        if when == "before":
            change(path)
        sizes: list[int] = []

        def one_came(size: int) -> None:
            sizes.append(size)
            if when == "while" and len(sizes) == 1:
                change(path)

        with pytest.raises(ValueError, match=r"x\.csv' changed while it was read"):
            await read(payload, one_came)
        assert sum(sizes) < payload.size
        assert isinstance(payload.failure, ValueError)


@pytest.mark.parametrize("change", [appended, cut, rewritten, replaced, removed])
async def test_a_file_that_changes_before_its_keys_are_added_is_an_error(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\r\n" + b"".join(b"%d,2\r\n" % number for number in range(20_000)))
    async with Source(path, key="a") as source:
        change(path)
        with pytest.raises(ValueError, match=r"x\.csv' changed while it was read"):
            await source.payload(3)


@pytest.mark.parametrize("data", [b'"a;b"\n1\n', b"a;b,c\n1,2\n", b"a\n1;2\n", b"#TYPE,a\n1,2\n"])
async def test_a_semicolon_may_be_a_part_of_a_name(data: bytes) -> None:
    assert await sent(data, 3, filename="x.csv") == data
