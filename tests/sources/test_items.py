"""Batches of items: how many are read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prolific_async._sources import items
from prolific_async._sources.items import Items

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    import pytest

COUNT = 500


async def sizes(given: Iterable[int], bytes_each: int = 10) -> list[int]:
    """Return the lengths of all blocks, of items that are encoded to some bytes each."""
    read = Items(given)
    await read.first()
    found, lengths = [], []
    async for block in read.blocks():
        read.adapt_block_size(len(block), bytes_each * len(block))
        found += block
        lengths.append(len(block))
    assert found == list(range(COUNT))
    return lengths


async def test_blocks_grow_to_a_limit() -> None:
    lengths = await sizes(range(COUNT))
    assert lengths[:8] == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(lengths) == 64


async def test_blocks_of_large_items_are_small() -> None:
    assert max(await sizes(range(COUNT), bytes_each=30_000)) == 8
    assert max(await sizes(range(COUNT), bytes_each=1 << 20)) == 1


async def test_blocks_grow_when_items_are_awaited() -> None:
    async def produced() -> AsyncIterator[int]:
        for number in range(COUNT):
            yield number

    read = Items(produced())
    assert await read.first() == 0
    lengths = []
    async for block in read.blocks():
        read.adapt_block_size(len(block), 10)
        lengths.append(len(block))
    assert lengths[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert sum(lengths) == COUNT


async def test_a_slow_iterable_is_read_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def produced() -> Iterator[int]:
        nonlocal now
        for number in range(COUNT):
            now += 0.0004 if 100 <= number < 400 else 0.000001
            yield number

    monkeypatch.setattr(items, "perf_counter", lambda: now)
    lengths = await sizes(produced())
    slow = [each for at, each in enumerate(lengths) if 250 < sum(lengths[:at]) < 400]
    assert max(slow) <= 4  # a block of two is quick, one of four is not
    assert max(lengths[:8]) == 64
    assert lengths[-1] > 4
