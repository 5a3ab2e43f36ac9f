"""Reading of a caller's iterable, plain or async, in blocks that fit into memory."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
)
from itertools import islice
from time import perf_counter
from typing import Any

_MAX_ITEMS = 64  # items of a block; more would hardly lower the cost per item
_MAX_BYTES = 256 * 1024  # bytes of a block, about
_MAX_SECONDS = 0.001  # if reading a block takes longer, the next block is smaller

_BUFFERS = (bytearray, memoryview)

END = object()
"""Returned instead of the first item if there is none."""


class Items:
    """The items of one iterable, which is read in the event loop, as it may be bound to a thread.

    Blocks begin with one item and grow. Call ``adapt_block_size`` after each block, so that the
    next one is not too large. A generator may reuse one dict or buffer for all its items, so a
    block has copies of dicts, and ends after a buffer.
    """

    def __init__(self, given: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._given = given
        self._plain: Iterator[Any] | None = None
        self._async: AsyncIterator[Any] | None = None
        self._first: Any = END
        self._max_items = 1
        self._is_quick = True

    async def first(self) -> Any:
        """Read and return the first item, ``END`` if there is none; ``blocks`` yields it, too."""
        if isinstance(self._given, AsyncIterable):
            self._async = aiter(self._given)
            self._first = await anext(self._async, END)
        else:
            self._plain = iter(self._given)
            self._first = next(self._plain, END)
        return self._first

    async def blocks(self) -> AsyncGenerator[list[Any]]:
        """Yield all items, in lists; ``first`` must have been called."""
        if self._first is not END:
            first, self._first = self._first, END
            yield [first]
        if self._async is None:
            assert self._plain is not None  # noqa: S101 - for the type checker
            while block := self._read(self._plain):
                yield block
            return
        block = []
        async for item in self._async:
            block.append(_copied(item))
            if len(block) >= self._max_items or isinstance(item, _BUFFERS):
                yield block
                block = []
        if block:
            yield block

    def adapt_block_size(self, items: int, size: int) -> None:
        """Set the size of the next block from the last block's number of items, bytes and time."""
        wanted = 2 * items if self._is_quick else items // 2
        self._max_items = max(1, min(wanted, _MAX_ITEMS, _MAX_BYTES * items // (size + 1)))

    def _read(self, items: Iterator[Any]) -> list[Any]:
        """Read a block of items, which blocks the event loop for a moment."""
        began = perf_counter()
        read = _take if isinstance(self._given, list | tuple) else _take_copies
        block = read(items, self._max_items)
        self._is_quick = perf_counter() - began < _MAX_SECONDS
        return block


def _take(items: Iterator[Any], count: int) -> list[Any]:
    """Read items of a list or tuple, which need no copies."""
    return list(islice(items, count))


def _take_copies(items: Iterator[Any], count: int) -> list[Any]:
    """Read items of a generator or similar, which may reuse a dict or buffer."""
    block = []
    for item in islice(items, count):
        block.append(_copied(item))
        if isinstance(item, _BUFFERS):
            break
    return block


def _copied(item: Any) -> Any:
    """Return a copy of a mapping, which may be reused for the next item; else the item itself."""
    if type(item) is dict:
        return item.copy()
    return dict(item) if isinstance(item, Mapping) else item
