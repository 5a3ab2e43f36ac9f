"""Cancels a call at each place where it waits."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


@types.coroutine
def cancelled_at(wait: int, call: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a call whose task is cancelled when it waits for the so-manieth time."""
    task = asyncio.current_task()
    assert task is not None
    error: BaseException | None = None
    while True:
        try:
            future = call.send(None) if error is None else call.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        wait -= 1
        if wait == 0:
            task.cancel()
        error = None
        try:
            yield future
        except BaseException as caught:  # noqa: BLE001 - all of it goes to the call
            error = caught
