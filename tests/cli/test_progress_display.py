"""The output for given progress and events, without a service."""

import asyncio
import io
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from prolific_async import ConnectError, DatasetStatus, JobStatus, Progress, StatusEvent
from prolific_async.cli import progress_display
from prolific_async.cli.progress_display import (
    BarDisplay,
    LineDisplay,
    NoDisplay,
    ProgressDisplay,
    amount_of,
)
from tests.cli.conftest import Screen, shown_on

LOST = ConnectError("GET", "/status", "refused")


def sent(done: int, elapsed: float, total: int | None = 100, unit: str = "bytes") -> Progress:
    return Progress("upload" if unit == "bytes" else "append", done, total, unit, elapsed)


def poll(
    status: str | None, elapsed: float = 0.0, *, kind: str = "import", **more: object
) -> StatusEvent:
    known = None if status is None else JobStatus(status)
    event: dict[str, Any] = {"next_in": 1.0, "error": None} | more
    return StatusEvent(None, known, None, 1, elapsed, **event, kind=kind, id="x")


def lines(*news: Progress | StatusEvent) -> None:
    """Show reports as lines, each in a frame of its own."""
    display = LineDisplay()
    with display._open():
        for each in news:
            add(display, each)
            display._draw()


def add(display: ProgressDisplay, news: Progress | StatusEvent) -> None:
    if isinstance(news, Progress):
        display.add_progress(news)
    else:
        display.add_event(news)


def bars(monkeypatch: pytest.MonkeyPatch, *news: Progress | StatusEvent) -> list[str]:
    """Show reports as bars, and return the lines of the last frame."""
    monkeypatch.setattr(progress_display, "time", SimpleNamespace(monotonic=lambda: 100.0))
    screen = Screen(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stderr", screen)
    display = BarDisplay()
    with display._open():
        for each in news:
            add(display, each)
            display._draw()
    return shown_on(screen).rstrip().splitlines()[-len({type(each) for each in news}) :]


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (sent(0, 0.0), "0/100 bytes"),
        (sent(999, 0.0, None), "999 bytes"),
        (sent(12_345_678, 0.0, 45_600_000), "12.3/45.6 MB"),
        (sent(2_000_000, 0.0, 3_000_000_000), "0.0/3.0 GB"),
        (sent(1_234, 0.0, 5_000, "records"), "1,234/5,000 records"),
        (sent(1_234, 0.0, None, "records"), "1,234 records"),
        (sent(1, 0.0, None, "records"), "1 record"),
        (sent(1, 0.0, 5, "records"), "1/5 records"),
    ],
)
def test_amounts_are_in_the_unit_of_the_whole(progress: Progress, told: str) -> None:
    assert amount_of(progress) == told


def test_lines_come_every_ten_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [(1, 0.1), (2, 9.9), (3, 10.0), (4, 11.0), (5, 20.5), (6, 21.0)]
    lines(*(sent(done, elapsed) for done, elapsed in steps))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "10.0 s\tupload\t3/100 bytes",
        "20.5 s\tupload\t5/100 bytes",
        "21.0 s\tupload\t6/100 bytes",
    ]


def test_lines_tell_each_change_of_a_status_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines(
        sent(100, 1.0),
        poll(None, 0.5),
        poll("queued", 1.5),
        poll("queued", 2.5, error=LOST),
        poll("processing", 3.5, error=LOST),
        poll("complete", 4.5, next_in=None),
    )
    assert capsys.readouterr().err.splitlines() == [
        "1.0 s\tupload\t100/100 bytes",
        "1.5 s\timport\tqueued",
        f"still waiting, though a poll failed: {str(LOST).replace('base_url', '--url')}",
        "3.5 s\timport\tprocessing",
        "4.5 s\timport\tcomplete",
    ]


@pytest.mark.parametrize(
    ("kind", "status", "name"),
    [("dataset", DatasetStatus.READY, "import"), ("sync", JobStatus.COMPLETE, "sync")],
)
def test_a_step_is_named_for_people(
    capsys: pytest.CaptureFixture[str], kind: str, status: str, name: str
) -> None:
    lines(poll(status, kind=kind))
    assert capsys.readouterr().err == f"0.0 s\t{name}\t{status}\n"


@pytest.mark.parametrize(
    ("event", "bar", "told"),
    [
        (poll("complete", next_in=None), "━" * 36, "complete"),
        (poll("partial", next_in=None), "━" * 36, "partial"),
        (poll("processing", error=LOST), "━" * 36, "ConnectError, retrying"),
        (poll("failed", error=LOST, next_in=None), "━" * 36, "failed"),
    ],
)
def test_bars_show_the_status_of_a_wait(
    monkeypatch: pytest.MonkeyPatch, event: StatusEvent, bar: str, told: str
) -> None:
    first, second = bars(monkeypatch, sent(50, 0.0), event)
    assert first.split()[0] == "upload"
    assert first.split()[2:] == ["50/100", "bytes", "0.0", "s"]
    assert second.split() == ["import", bar, *told.split(), "0.0", "s"]


def test_only_what_is_done_has_a_whole_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for status, shown in (("complete", 36), ("failed", 0), ("processing", 0)):
        (line,) = bars(monkeypatch, poll(status))
        assert line.rsplit("import", 1)[1].count("━") == shown


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_bars_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = bars(monkeypatch, sent(123_400_000, 0.0, 456_700_000), poll("pending_schema"))
    assert max(map(len, shown)) <= columns
    assert "123.4/456.7 MB" in shown[0]
    assert "pending_schema" in shown[1]


def test_elapsed_times_go_on_between_polls_until_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(progress_display, "time", SimpleNamespace(monotonic=lambda: now))
    screen = Screen(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stderr", screen)
    display = BarDisplay()
    with display._open():
        display.add_progress(sent(10, 2.5))
        now += 1.5
        display._draw()
        display.add_event(poll("queued", 0.2))
        now += 3.0
        display._draw()
    upload, job = shown_on(screen).rstrip().splitlines()[-2:]
    assert upload.endswith("4.0 s")
    assert job.endswith("3.2 s")


def test_nothing_is_shown_beside_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    display = progress_display.progress_display(as_json=True)
    assert isinstance(display, NoDisplay)
    display.add_progress(sent(10, 0.0))
    display.add_event(poll("queued"))
    asyncio.run(display.show_during(asyncio.sleep(0)))
    assert capsys.readouterr() == ("", "")


def test_bars_are_not_mixed_with_what_else_shows_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen(io.BytesIO(), "utf-8"))
    choose: Callable[..., ProgressDisplay] = progress_display.progress_display
    assert isinstance(choose(as_json=False), BarDisplay)
    assert isinstance(choose(as_json=True, reads_stdin=True), BarDisplay)
    assert isinstance(choose(as_json=False, is_piped=True), LineDisplay)
    assert isinstance(choose(as_json=True, is_piped=True), NoDisplay)
    monkeypatch.setattr(sys, "stdin", Screen(io.BytesIO(), "utf-8"))
    assert isinstance(choose(as_json=False), BarDisplay)
    assert isinstance(choose(as_json=False, reads_stdin=True), LineDisplay)
