"""Calls in daemon threads, which do not keep Python from exiting.

Python does not exit before the threads of all pools have ended, and a database that hangs may block
a thread for ever. The loop's default pool also belongs to the application.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def in_thread(
    function: Callable[[], T], *, ended: Callable[[], None] = lambda: None
) -> asyncio.Future[T]:
    """Run a function in a thread of its own; return a future of its outcome.

    Args:
        function: Called in the thread; it runs on if the future is cancelled.
        ended: Called in the loop when the function has ended.

    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    # Retrieves the exception, or asyncio would log it if nobody awaits the future any more.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def settle(setter: Callable[[Any], None], outcome: object) -> None:
        ended()
        if not future.done():
            setter(outcome)

    def run() -> None:
        try:
            outcome = partial(settle, future.set_result, function())
        except BaseException as error:  # noqa: BLE001 - raised in the loop
            outcome = partial(settle, future.set_exception, error)
        with suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(outcome)

    Thread(target=run, name="prolific-async-durable", daemon=True).start()
    return future
