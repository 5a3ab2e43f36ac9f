"""Storing of a request's body without holding the loop."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from prolific_async.simulator.spooled_body import spool
from tests.conftest import HANGS

MIB = 1024 * 1024


class Content:
    """A body that comes in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(0)
            yield piece


def body(*pieces: bytes) -> Any:
    return Content(*pieces)


@pytest.mark.parametrize(
    "pieces",
    [(), (b"a",), (b"a", b"b" * MIB), (b"a" * MIB, b"b" * 3 * MIB, b"c"), (b"x" * 70_000,) * 70],
)
async def test_a_body_is_kept_whole_and_in_order(pieces: tuple[bytes, ...]) -> None:
    sizes: list[int] = []
    with await spool(body(*pieces), sizes.append) as file:
        assert file.read() == b"".join(pieces)
    assert sizes == [sum(map(len, pieces[: end + 1])) for end in range(len(pieces))]


class SlowFile(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg] # not generic at run time
    """A file that writes only when it may, in whichever thread, and perhaps fails."""

    made: "list[SlowFile]" = []  # noqa: RUF012 - reset by each test
    error: Exception | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made.append(self)
        self.may_write, self.threads = threading.Event(), set[str]()

    def writelines(self, lines: Any) -> None:
        self.threads.add(threading.current_thread().name)
        assert self.may_write.wait(HANGS)
        if self.error is not None:
            raise self.error
        super().writelines(lines)


@pytest.fixture(autouse=True)
def _no_files_yet() -> None:
    SlowFile.made, SlowFile.error = [], None


@pytest.mark.parametrize("error", [None, OSError("the disk is full")])
async def test_a_body_that_breaks_off_closes_its_file_after_the_thread_has_written(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", SlowFile)
    SlowFile.error = error
    storing = asyncio.ensure_future(spool(body(bytes(MIB), bytes(MIB)), lambda _: None))
    while not (SlowFile.made and SlowFile.made[0].threads):
        await asyncio.sleep(0.001)
    (file,) = SlowFile.made
    assert threading.main_thread().name not in file.threads
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    assert not file.closed
    file.may_write.set()
    while not file.closed:
        await asyncio.sleep(0.001)


async def test_a_full_disk_is_raised_and_closes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", SlowFile)
    SlowFile.error = OSError("the disk is full")

    def arrived(_: int) -> None:
        SlowFile.made[0].may_write.set()

    with pytest.raises(OSError, match="the disk is full"):
        await spool(body(bytes(MIB), bytes(MIB)), arrived)
    assert SlowFile.made[0].closed
