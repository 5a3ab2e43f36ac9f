"""Long work gives the loop its turns, and text is whole again after it was cut in pieces."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from prolific_async._wire import turns as turning
from prolific_async._wire.turns import Turns, hashes, holds, text_of


async def test_others_get_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(turning, "time", SimpleNamespace(perf_counter=lambda: now))
    taken = 0

    async def other() -> None:
        nonlocal taken
        while True:
            taken += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    turns = Turns()
    for number in range(5):
        assert taken == number
        now += 0.006  # work takes its time
        await turns.give()
    for _ in range(5):
        await turns.give()
    assert taken == 5
    task.cancel()


@pytest.mark.parametrize("mark", ["x", "é", "€", "\U0001f600"])
async def test_a_text_is_what_it_was(mark: str) -> None:
    for shift in range(4):
        text = "." * shift + mark * 600_000
        assert await text_of(text.encode("utf-8"), Turns()) == text
        assert await text_of(text.encode("utf-8-sig"), Turns()) == text
        with pytest.raises(UnicodeDecodeError):
            await text_of(text.encode()[:-1] + b"\xff", Turns())


async def test_hashes_tell_bodies_apart() -> None:
    body = bytearray(3_000_000)
    same = await hashes(bytes(body), Turns())
    for at in (0, 1_500_000, 2_999_999):
        body[at] = 1
        assert await hashes(bytes(body), Turns()) != same
        body[at] = 0
    assert await hashes(bytes(body), Turns()) == same
    assert await hashes(bytes(body) + b" ", Turns()) != same


async def test_what_a_body_holds_is_found_wherever_it_is() -> None:
    what = b"a-token-of-24-characters"
    assert not await holds(b"", what, Turns())
    for border in (0, 1 << 20, 2 << 20):
        for start in {max(border - 24, 0), max(border - 23, 0), max(border - 1, 0), border}:
            body = b"." * start + what + b"." * 10
            assert await holds(body, what, Turns())
            assert not await holds(body.replace(b"24", b"25"), what, Turns())
