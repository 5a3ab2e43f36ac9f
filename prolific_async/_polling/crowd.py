"""Lets all who wait for an target act, in steps where they are many."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from prolific_async._polling import bugs
from prolific_async._polling.sliced_work import FEW, chunks
from prolific_async._polling.targets import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async._polling.targets import PollTarget
    from prolific_async._polling.waiter import Waiter


def each(
    target: PollTarget,
    act: Callable[[Waiter], None],
    now: float,
    then: Callable[[PollTarget, float], object],
) -> Iterator[None] | None:
    """Let each of an target's waiters act, and then go on; return the steps if they are many."""
    if len(target.waiters) <= FEW:
        _let_act(target, list(target.waiters), act)
        then(target, now)
        return None
    return _each_of_many(target, act, now, then)


def show(
    target: PollTarget,
    seen: Any,
    now: float,
    sent: float,
    then: Callable[[PollTarget, float], object],
) -> Iterator[None] | None:
    """Let each see what a poll saw that was sent at a time, as ``each`` does."""
    target.seen, target.seen_at = seen, now
    # Who comes before all have seen a failure takes it, too: the pause is not known until then.
    target.not_before = -math.inf if seen.error is None else math.inf
    if len(target.waiters) > FEW:
        target.busy = SHOWN  # those who have not seen it yet want no other poll
        return _show_many(target, seen, now, sent, then)
    _observe(target, list(target.waiters), seen, now, sent)
    if seen.error is not None:
        target.pause()
    then(target, now)
    return None


def _each_of_many(
    target: PollTarget,
    act: Callable[[Waiter], None],
    now: float,
    then: Callable[[PollTarget, float], object],
) -> Iterator[None]:
    for some in chunks(list(target.waiters)):
        _let_act(target, some, act)
        yield
    then(target, now)


def _show_many(
    target: PollTarget,
    seen: Any,
    now: float,
    sent: float,
    then: Callable[[PollTarget, float], object],
) -> Iterator[None]:
    for some in chunks(list(target.waiters)):
        _observe(target, some, seen, now, sent)
        yield
    if seen.error is not None:
        target.pause()
    if target.busy == SHOWN:
        target.busy = 0
    then(target, now)


def _let_act(target: PollTarget, some: list[Waiter], act: Callable[[Waiter], None]) -> None:
    """Let waiters act, and settle those that are over after their turn."""
    for waiter in some:
        if waiter not in target.waiters:  # what another one did has made it leave
            continue
        try:
            act(waiter)
            if waiter.is_over:
                bugs.settle(target.waiters.pop(waiter, None))
        except bugs.BUGS as error:
            now = asyncio.get_running_loop().time()
            bugs.fail(target.key, {waiter: target.waiters.pop(waiter, None)}, error, now)


def _observe(target: PollTarget, some: list[Waiter], seen: Any, now: float, sent: float) -> None:
    # As _let_act, whose call for each waiter would cost several percent of all.
    for waiter in some:
        if waiter not in target.waiters:
            continue
        try:
            waiter.observe(seen, now, sent)
            if waiter.is_over:
                bugs.settle(target.waiters.pop(waiter, None))
        except bugs.BUGS as error:
            bugs.fail(target.key, {waiter: target.waiters.pop(waiter, None)}, error, now)
