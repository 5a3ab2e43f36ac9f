"""Cancels a call at a chosen one of its awaits."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

Manner = Literal["waiting", "woken", "twice", "timeout"]
"""As soon as it awaits; in the moment in which what it awaits is done, so that the result is in
nobody's hands; again while it cleans up; by ``asyncio.timeout``."""


async def cancelled_at(step: int, manner: Manner, call: Callable[[], Awaitable[object]]) -> bool:
    """Run a call in a task of its own and cancel it at a step; return whether it got there.

    A step is a suspension of the call's task, from 1. What the call raises by itself is raised.
    """
    task = asyncio.create_task(_run(step, manner, call))
    await asyncio.wait([task])
    if task.cancelled():
        return True
    return await task


async def _run(step: int, manner: Manner, call: Callable[[], Awaitable[object]]) -> bool:
    task = asyncio.current_task()
    assert task is not None
    steps = 0

    def suspended(awaited: asyncio.Future[Any] | None) -> None:
        nonlocal steps
        steps += 1
        if steps == step and manner == "woken" and awaited is not None:
            # Called before the task's own callback, which was not added yet.
            awaited.add_done_callback(lambda _: task.cancel())
        elif steps == step and manner == "timeout":
            limit.reschedule(0.0)
        elif steps == step or (steps == step + 1 and manner == "twice"):
            task.cancel()

    limit = asyncio.timeout(None)
    try:
        async with limit:
            await _stepped(call().__await__(), suspended)
    except TimeoutError:
        if not limit.expired():
            raise
        return True
    assert steps < step, "it went on in spite of having been cancelled"
    return False


@types.coroutine
def _stepped(
    call: Generator[Any, None, object], suspended: Callable[[asyncio.Future[Any] | None], None]
) -> Generator[Any, None, None]:
    """Await a call and report every suspension, with the awaited future."""
    thrown: BaseException | None = None
    while True:
        try:
            awaited = call.send(None) if thrown is None else call.throw(thrown)
        except StopIteration:
            return
        suspended(awaited)
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001 - it is the call's
            thrown = error
        else:
            thrown = None
