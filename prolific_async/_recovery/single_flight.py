"""Single-flight calls: callers that ask for the same key at the same time share one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define, field

from prolific_async._tracebacks import for_one_caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")


@define(eq=False, repr=False)
class _Shared(Generic[T]):
    """A call and the number of its callers.

    Attributes:
        task: Makes the call.
        callers: The number of callers that await the task.
        outcome: The call's result in a tuple, or its error; None while the task runs or if it was
            cancelled.

    """

    task: asyncio.Task[None] = field(init=False)
    callers: int = 1
    outcome: tuple[T] | BaseException | None = None


class SingleFlight(Generic[K, T]):
    """Makes one call at a time for each key; callers that come meanwhile share its outcome.

    The call runs in its own task, with the context variables of the first caller. The task goes on
    when a caller is cancelled, and is cancelled when no caller is left.
    """

    def __init__(self) -> None:
        self._calls: dict[K, _Shared[T]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, key: K, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the call that is under way for a key; start one if there is none.

        Args:
            key: Identifies the call.
            call: Makes the call; not used if one is under way.

        Raises:
            Exception: As raised by the call, for all callers that share it.

        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a call of a closed loop never ends
            self._loop, self._calls = loop, {}
        outcome = None
        while outcome is None:  # again if the task was cancelled from outside
            outcome = await self._outcome(key, call)
        if isinstance(outcome, BaseException):
            try:
                raise for_one_caller(outcome)
            finally:
                del outcome  # else this frame and the error form a reference cycle
        return outcome[0]

    async def _outcome(
        self, key: K, call: Callable[[], Awaitable[T]]
    ) -> tuple[T] | BaseException | None:
        """Return a call's result in a tuple, or its error; None if its task was cancelled."""
        shared = self._calls.get(key)
        while shared is not None and not (shared.callers or shared.task.done()):
            await asyncio.wait([shared.task])  # being cancelled, as its last caller has left
            shared = self._calls.get(key)
        if shared is None or shared.task.done():
            shared = self._calls[key] = _Shared()
            shared.task = asyncio.get_running_loop().create_task(self._make(key, shared, call))
        else:
            shared.callers += 1
        try:
            await asyncio.wait([shared.task])
        finally:
            shared.callers -= 1
            if not (shared.callers or shared.task.done()):
                shared.task.cancel()
                await asyncio.wait([shared.task])
            if not shared.callers and self._calls.get(key) is shared:
                del self._calls[key]  # a task that was cancelled before it began has not deleted it
        if shared.outcome is None and not shared.task.cancelled():
            return shared.task.exception()
        return shared.outcome

    async def _make(self, key: K, shared: _Shared[T], call: Callable[[], Awaitable[T]]) -> None:
        try:
            shared.outcome = await _outcome_of(call)
        finally:
            if self._calls.get(key) is shared:
                del self._calls[key]
            del shared  # breaks a reference cycle: task, its error, and this frame


async def _outcome_of(call: Callable[[], Awaitable[T]]) -> tuple[T] | BaseException:
    try:
        return (await call(),)
    # A trace callback or a log handler of the application can raise anything.
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        return error
    except Exception as error:  # noqa: BLE001 - raised to all callers
        return error


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
