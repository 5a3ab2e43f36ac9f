"""Appends records to a dataset in slices, and repeats a slice while the dataset is busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sized
from contextlib import aclosing
from typing import TYPE_CHECKING

from attrs import define, field

from prolific_async._http.retry import capped_retry_after
from prolific_async._logging import log as _log
from prolific_async._sources.append_slices import AppendSlice, append_slices
from prolific_async.errors import ConflictError, ProlificError, RequestTimeoutError
from prolific_async.job_models import AppendResult, Progress, RejectedRow

if TYPE_CHECKING:
    from prolific_async._api.datasets import DatasetsAPI
    from prolific_async._sources.types import Records
    from prolific_async.policies import PollPolicy, RetryPolicy

_KEPT_ERRORS = 10_000


@define(eq=False)
class Appending:
    """One call of ``append``.

    Args:
        api: Sends the requests.
        dataset_id: The dataset.
        retry: Caps the pauses that the service asks for (``Retry-After``).
        poll: The gaps between attempts while the dataset is busy.
        sleep: Sleeps for the given seconds, or until the client is closed.
        on_progress: Called with a ``Progress`` after each slice, None for no callback.

    """

    _api: DatasetsAPI
    _dataset_id: str
    _retry: RetryPolicy
    _poll: PollPolicy
    _sleep: Callable[[float], Awaitable[object]]
    _on_progress: Callable[[Progress], object] | None
    _accepted: int = field(default=0, init=False)
    _rejected: int = field(default=0, init=False)
    _errors: list[RejectedRow] = field(factory=list, init=False)
    _busy: ConflictError | None = field(default=None, init=False)

    async def run(self, records: Records, *, key: str | None, limit: float | None) -> AppendResult:
        """Append all records.

        Args:
            records: The records.
            key: Name of the field that is also sent as ``META_ROW_KEY``, None for none.
            limit: Seconds for all records, None for no limit.

        Raises:
            RequestTimeoutError: The time limit has passed.
            Exception: Reading the records or sending a request failed. Each error has ``result``,
                the result so far.

        """
        try:
            try:
                async with asyncio.timeout(limit) as scope:
                    await self._send_all(records, key)
            except TimeoutError as error:
                if not scope.expired():
                    raise
                raise self._timed_out(limit) from (self._busy or error.__cause__)
        except Exception as error:
            vars(error)["result"] = self._result()
            raise
        finally:
            self._busy = None  # its traceback holds this frame, which would be a reference cycle
        return self._result()

    async def _send_all(self, records: Records, key: str | None) -> None:
        began = asyncio.get_running_loop().time()
        total = len(records) if isinstance(records, Sized) else None
        slices: AsyncGenerator[AppendSlice] = append_slices(records, key)
        async with aclosing(slices):
            async for one in slices:
                await self._send(one)
                elapsed = asyncio.get_running_loop().time() - began
                done = one.first + one.count
                self._report_progress(Progress("append", done, total, "records", elapsed))

    async def _send(self, one: AppendSlice) -> None:
        """Send a slice, and repeat it while an import or a migration makes the dataset busy."""
        gap = self._poll.initial
        while True:
            try:
                result = await self._api.append(self._dataset_id, one.body, first=one.first)
            except ConflictError as busy:
                self._busy = busy
                pause = max(gap, capped_retry_after(busy, self._retry))
                _log.info("%s; next in %.2f s", busy, pause)
            else:
                self._busy = None
                break
            await self._sleep(pause)
            gap = self._poll.next_gap(gap)
        self._accepted += result.accepted
        self._rejected += result.rejected
        self._errors += result.errors[: _KEPT_ERRORS - len(self._errors)]

    def _report_progress(self, progress: Progress) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress)
        except Exception as error:  # noqa: BLE001 - a callback does not break the append
            _log.error("on_progress raised", exc_info=error)

    def _result(self) -> AppendResult:
        return AppendResult(self._accepted, self._rejected, tuple(self._errors))

    def _timed_out(self, limit: float | None) -> ProlificError:
        reason = f"{limit:g} s were allowed for all records"
        if self._busy is not None:
            reason += "; the service refused the newest ones, as an import or a migration runs"
        return RequestTimeoutError("POST", self._api.append_path(self._dataset_id), reason)
