"""The output for given events and outcomes of waits, without a service."""

import io
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from itertools import chain
from types import SimpleNamespace

import pytest

from prolific_async import BatchFailedError, BatchStatus, StatusEvent, WaitTimeoutError
from prolific_async.cli import table_display
from prolific_async.cli.table_display import TableDisplay
from prolific_async.cli.text_display import TextDisplay
from prolific_async.cli.wait_display import WaitEnd
from tests import samples
from tests.cli.conftest import Screen, shown_on

UNINITIALISED, READY, ERROR = BatchStatus.UNINITIALISED, BatchStatus.READY, BatchStatus.ERROR
News = list[StatusEvent | WaitEnd]


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
