"""Slices: long work yields to the loop, and text that is decoded in slices stays whole."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from prolific_async import _time_slices
from prolific_async._json.long_bodies import decode_text, hashes
from prolific_async._time_slices import TimeSlices


async def test_other_tasks_run_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(_time_slices, "time", SimpleNamespace(perf_counter=lambda: now))
    taken = 0

    async def other() -> None:
        nonlocal taken
        while True:
            taken += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    slices = TimeSlices()
    for number in range(5):
        assert taken == number
        now += 0.006  # work takes its time
        await slices.yield_if_due()
    for _ in range(5):
        await slices.yield_if_due()
    assert taken == 5
    task.cancel()


@pytest.mark.parametrize("mark", ["x", "é", "€", "\U0001f600"])
async def test_text_decoded_in_slices_is_unchanged(mark: str) -> None:
    for shift in range(4):
        text = "." * shift + mark * 600_000
        assert await decode_text(text.encode("utf-8"), TimeSlices()) == text
        assert await decode_text(text.encode("utf-8-sig"), TimeSlices()) == text
        with pytest.raises(UnicodeDecodeError):
            await decode_text(text.encode()[:-1] + b"\xff", TimeSlices())


async def test_different_bodies_have_different_hashes() -> None:
    body = bytearray(3_000_000)
    same = await hashes(bytes(body), TimeSlices())
    for at in (0, 1_500_000, 2_999_999):
        body[at] = 1
        assert await hashes(bytes(body), TimeSlices()) != same
        body[at] = 0
    assert await hashes(bytes(body), TimeSlices()) == same
    assert await hashes(bytes(body) + b" ", TimeSlices()) != same
