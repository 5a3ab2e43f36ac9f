"""Lets all who wait for an entry act, in steps where they are many."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from prolific_async._waiting import bugs
from prolific_async._waiting.entries import SHOWN
from prolific_async._waiting.work import FEW, chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async._waiting.entries import Entry
    from prolific_async._waiting.waiter import Waiter


def each(
    entry: Entry, act: Callable[[Waiter], None], now: float, then: Callable[[Entry, float], object]
) -> Iterator[None] | None:
    """Let each of an entry's waiters act, and then go on; return the steps if they are many."""
    if len(entry.waiters) <= FEW:
        _let_act(entry, list(entry.waiters), act)
        then(entry, now)
        return None
    return _each_of_many(entry, act, now, then)


def show(
    entry: Entry, seen: Any, now: float, sent: float, then: Callable[[Entry, float], object]
) -> Iterator[None] | None:
    """Let each see what a poll saw that was sent at a time, as ``each`` does."""
    entry.seen, entry.seen_at = seen, now
    # Who comes before all have seen a failure takes it, too: the pause is not known until then.
    entry.not_before = -math.inf if seen.error is None else math.inf
    if len(entry.waiters) > FEW:
        entry.busy = SHOWN  # those who have not seen it yet want no other poll
        return _show_many(entry, seen, now, sent, then)
    _observe(entry, list(entry.waiters), seen, now, sent)
    if seen.error is not None:
        entry.pause()
    then(entry, now)
    return None


def _each_of_many(
    entry: Entry, act: Callable[[Waiter], None], now: float, then: Callable[[Entry, float], object]
) -> Iterator[None]:
    for some in chunks(list(entry.waiters)):
        _let_act(entry, some, act)
        yield
    then(entry, now)


def _show_many(
    entry: Entry, seen: Any, now: float, sent: float, then: Callable[[Entry, float], object]
) -> Iterator[None]:
    for some in chunks(list(entry.waiters)):
        _observe(entry, some, seen, now, sent)
        yield
    if seen.error is not None:
        entry.pause()
    if entry.busy == SHOWN:
        entry.busy = 0
    then(entry, now)


def _let_act(entry: Entry, some: list[Waiter], act: Callable[[Waiter], None]) -> None:
    """Let waiters act, and settle those that are over after their turn."""
    for waiter in some:
        if waiter not in entry.waiters:  # what another one did has made it leave
            continue
        try:
            act(waiter)
            if waiter.is_over:
                bugs.settle(entry.waiters.pop(waiter, None))
        except bugs.BUGS as error:
            now = asyncio.get_running_loop().time()
            bugs.fail(entry.key, {waiter: entry.waiters.pop(waiter, None)}, error, now)


def _observe(entry: Entry, some: list[Waiter], seen: Any, now: float, sent: float) -> None:
    # As _let_act, whose call for each waiter would cost several percent of all.
    for waiter in some:
        if waiter not in entry.waiters:
            continue
        try:
            waiter.observe(seen, now, sent)
            if waiter.is_over:
                bugs.settle(entry.waiters.pop(waiter, None))
        except bugs.BUGS as error:
            bugs.fail(entry.key, {waiter: entry.waiters.pop(waiter, None)}, error, now)
