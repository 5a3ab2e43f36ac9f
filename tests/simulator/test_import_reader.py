"""Reading of uploaded files, small ones at once and larger ones in a thread."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from prolific_async.simulator.dataset_models import ImportedRows
from prolific_async.simulator.import_reader import ImportReader
from tests.conftest import HANGS

SMALL = b"a\n1\n"
LARGE = b"a,b\n" + b"1,x\n" * 100_000


class Rows:
    """What a reader has read, and the threads in which it told."""

    def __init__(self) -> None:
        self.read: list[ImportedRows] = []
        self.threads: list[threading.Thread] = []

        self.done = threading.Event()

    def __call__(self, rows: ImportedRows) -> None:
        self.threads.append(threading.current_thread())
        self.read.append(rows)
        self.done.set()


@pytest.fixture
def reader() -> Iterator[ImportReader]:
    made = ImportReader()
    yield made
    made.close()


def test_a_small_file_is_read_at_once(reader: ImportReader) -> None:
    rows, file = Rows(), io.BytesIO(SMALL)
    reader.read(file, "a.csv", None, rows)
    assert (rows.read[0].accepted, rows.threads) == (1, [threading.main_thread()])
    assert file.closed


def test_a_large_file_is_read_in_a_thread(reader: ImportReader) -> None:
    rows, file = Rows(), io.BytesIO(LARGE)
    reader.read(file, "a.csv", None, rows)
    assert rows.read == []
    assert rows.done.wait(HANGS)
    assert rows.read[0].accepted == 100_000
    assert rows.threads != [threading.main_thread()]
    assert file.closed


def test_closing_stops_the_reading_and_closes_all_files() -> None:
    class Endless(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            begun.set()
            self.seek(4)
            return super().readinto(buffer)

    begun = threading.Event()
    reader, rows = ImportReader(), Rows()
    first, second = Endless(LARGE), io.BytesIO(LARGE)
    reader.read(first, "a.csv", None, rows)
    reader.read(second, "a.csv", None, rows)
    assert begun.wait(HANGS)
    reader.close()
    assert (first.closed, second.closed, rows.read) == (True, True, [])
