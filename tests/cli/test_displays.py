"""The output for given events and outcomes of waits, without a service."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from itertools import chain
from types import SimpleNamespace

import pytest

from prolific_async import BatchFailedError, BatchStatus, StatusEvent, WaitTimeoutError
from prolific_async.cli import table_display
from prolific_async.cli.output import print_error
from prolific_async.cli.table_display import TableDisplay
from prolific_async.cli.text_display import TextDisplay
from prolific_async.cli.wait_display import WaitEnd
from tests import samples
from tests.cli.conftest import Screen, lines_on, shown_on

UNINITIALISED, READY, ERROR = BatchStatus.UNINITIALISED, BatchStatus.READY, BatchStatus.ERROR
News = list[StatusEvent | WaitEnd]
Opened = tuple[TableDisplay, Screen]


def poll(batch_id: str, status: BatchStatus, *, next_in: float | None = None) -> StatusEvent:
    return StatusEvent(batch_id, status, None, 1, 12.34, next_in)


def ready(batch_id: str) -> News:
    return [poll(batch_id, READY), WaitEnd(batch_id, samples.batch("READY", batch_id))]


def failed(batch_id: str) -> News:
    end = BatchFailedError(batch_id, ERROR, 12.34, 1, (), None)
    return [poll(batch_id, ERROR), WaitEnd(batch_id, end)]


def timed_out(batch_id: str) -> News:
    end = WaitTimeoutError(batch_id, UNINITIALISED, 15.06, 1, ())
    return [poll(batch_id, UNINITIALISED, next_in=1.0), WaitEnd(batch_id, end)]


def frames(ids: Iterable[str], news: Iterable[News]) -> list[list[str]]:
    """Show reports in a table, and return the lines of each frame."""
    out = Screen(io.BytesIO(), "utf-8")
    with redirect_stdout(out):
        table = TableDisplay({batch_id: batch_id for batch_id in ids})
        with table._open():
            for each in news:
                table._show(each)
    return [frame.rstrip().splitlines() for frame in shown_on(out).split("batch ")[1:]]


def test_lines_begin_with_the_elapsed_time(capsys: pytest.CaptureFixture[str]) -> None:
    TextDisplay()._show(timed_out("b1"))
    assert capsys.readouterr().out == "12.3 s\tb1\tUNINITIALISED\n15.1 s\tb1\ttimed out\n"


def test_elapsed_times_in_a_table_go_on_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(table_display, "time", SimpleNamespace(monotonic=lambda: now))

    def news() -> Iterator[News]:
        nonlocal now
        polled, ended = timed_out("b1")
        yield [polled]
        now += 0.5
        yield []
        yield [ended]

    drawn = frames(["b1"], news())
    elapsed = [frame[1].split()[3] for frame in drawn]
    assert elapsed == ["12.3", "12.8", "15.1", "15.1"]


def test_rows_that_do_not_fit_are_hidden_ended_waits_first() -> None:
    done = [f"done-{number}" for number in range(15)]
    broken = [f"broken-{number}" for number in range(2)]
    waiting = [f"waiting-{number}" for number in range(15)]
    ids = [*done, *broken, *waiting]
    polls: News = [poll(batch_id, UNINITIALISED, next_in=1.0) for batch_id in ids]
    ends = [*chain.from_iterable(map(ready, done)), *chain.from_iterable(map(failed, broken))]
    first, cut, last = frames(ids, [polls, ends])
    assert [line.split()[0] for line in first[1:-1]] == ids[:22]
    assert [line.split()[0] for line in cut[1:-1]] == [*waiting, *broken, *done[:5]]
    assert (len(first), len(cut)) == (24, 24)
    assert cut[-1] == "15 READY, 2 ERROR, 15 UNINITIALISED (10 not shown)"
    assert [line.split()[0] for line in last[1:-1]] == ids
    assert "not shown" not in last[-1]


@contextmanager
def a_table(ids: Iterable[str], errors: io.TextIOBase | None = None) -> Iterator[Opened]:
    """Open a table on a terminal, which is that of stderr, too, unless that is given."""
    screen = Screen(io.BytesIO(), "utf-8")
    with redirect_stdout(screen), redirect_stderr(screen if errors is None else errors):
        table = TableDisplay({batch_id: batch_id for batch_id in ids})
        with table._open():
            table._show([poll(batch_id, UNINITIALISED, next_in=1.0) for batch_id in ids])
            yield table, screen


def first_words(lines: Iterable[str]) -> list[str]:
    return [line.partition(" ")[0] for line in lines]


def test_errors_are_printed_above_the_table_at_once_and_once() -> None:
    table_lines = ["batch", "b1", "b2", "2"]
    with a_table(["b1", "b2"]) as (table, screen):
        print_error("one")
        assert first_words(lines_on(screen)) == table_lines
        table._show(failed("b1"))
        assert first_words(lines_on(screen)) == ["one", "batch", "b1", "b2", "1"]
        print_error("two")
        print_error("3" * 81)
        for _ in range(2):
            table._show([])
            above = ["one", "two", "3" * 80, "3"]
            assert first_words(lines_on(screen)) == [*above, "batch", "b1", "b2", "1"]
    assert first_words(lines_on(screen)) == [*above, "batch", "b1", "b2", "1", ""]


def test_a_table_leaves_room_for_errors() -> None:
    ids = [f"waiting-{number}" for number in range(30)]
    with a_table(ids) as (table, screen):
        assert first_words(lines_on(screen)) == ["batch", *ids[:22], "30"]
        print_error("once")
        table._show([])
        assert first_words(lines_on(screen)) == ["once", "batch", *ids[:21], "30"]
        for number in range(50):
            print_error(f"error-{number}")
        table._show([])
        errors = [f"error-{number}" for number in range(50)]
        assert first_words(lines_on(screen)) == ["once", *errors, "batch", *ids[:14], "30"]
        assert lines_on(screen)[-1].endswith("(16 not shown)")
    assert first_words(lines_on(screen)) == ["once", *errors, "batch", *ids, "30", ""]


def test_errors_in_a_file_take_no_room() -> None:
    ids = [f"waiting-{number}" for number in range(30)]
    file = io.StringIO()
    with a_table(ids, file) as (table, screen):
        print_error("one")
        table._show([])
        assert file.getvalue() == "one\n"
        assert first_words(lines_on(screen)) == ["batch", *ids[:22], "30"]


def test_an_error_that_is_not_yet_shown_is_printed_when_the_table_is_interrupted() -> None:
    with suppress(KeyboardInterrupt), a_table(["b1"]) as (_, screen):
        print_error("one")
        raise KeyboardInterrupt
    assert first_words(lines_on(screen)) == ["one", "batch", "b1", "1", ""]


def test_a_line_on_stderr_is_printed_when_it_is_complete() -> None:
    with a_table(["b1"]) as (table, screen):
        sys.stderr.write("one\nha")
        table._show([])
        assert first_words(lines_on(screen)) == ["one", "batch", "b1", "1"]
        sys.stderr.write("lf\nrest")
        table._show([])
    assert first_words(lines_on(screen)) == ["one", "half", "batch", "b1", "1", "rest"]


def test_a_table_needs_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    screen = Screen(io.BytesIO(), "utf-8")
    with redirect_stdout(screen):
        table = TableDisplay({"b1": "b1"})
        with table._open():
            print_error("one")
            table._show([])
    assert first_words(lines_on(screen)) == ["batch", "b1", "1", ""]
