"""Lost exports, with a service whose clock, or whose lack of one, is scripted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field

from prolific_async import ConnectionLostError, Export, JobStatus, OutcomeUnknownError
from prolific_async._api.batch_lists import ServiceTime
from prolific_async._api.exports import Exports
from prolific_async._recovery.exports import ExportStarter
from tests.conftest import NOON, QUICK_RETRY

HOUR = timedelta(hours=1)


@define
class Service:
    """Loses each export, and lists some."""

    made: tuple[datetime | None, ...]
    date: datetime | None
    later: timedelta = timedelta(0)  # when it lists them
    pauses: list[float] = field(factory=list)

    async def create(self, batch_id: str, wanted: dict[str, str]) -> Export:
        del wanted
        raise ConnectionLostError("POST", f"/batches/{batch_id}/export", "broken")

    async def list(self, batch_id: str) -> Exports:
        exports = [
            Export(str(number), batch_id, JobStatus.COMPLETE, None, made)
            for number, made in enumerate(self.made)
        ]
        date = None if self.date is None else (self.date + self.later).timestamp()
        # A loop's clock may stand still while nothing is awaited, and no service answers at once.
        at = asyncio.get_running_loop().time() + self.later.total_seconds() + 0.001
        return Exports(exports, ServiceTime(date, at))

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def start(self, now: datetime = NOON) -> Export:
        api: Any = self
        starter = ExportStarter(api, retry=QUICK_RETRY, sleep=self.sleep, utc_now=now.timestamp)
        return await starter.start("b1", {})


@pytest.mark.parametrize("date", [NOON, NOON + HOUR, None])
async def test_the_service_s_clock_tells_what_was_made_since(date: datetime | None) -> None:
    now = date or NOON
    service = Service((now - timedelta(seconds=2), None, now), date)
    assert (await service.start()).id == "2"
    assert service.pauses == [0.0]


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=30)])
async def test_the_clock_counts_whole_seconds_from_the_start_of_the_call(later: timedelta) -> None:
    service = Service((NOON - timedelta(seconds=2), NOON - timedelta(seconds=1)), NOON, later)
    assert (await service.start()).id == "1"


async def test_a_wrong_clock_here_is_of_no_matter_if_the_service_has_one() -> None:
    service = Service((NOON - timedelta(minutes=1), NOON), NOON)
    assert (await service.start(now=NOON - HOUR)).id == "1"


async def test_what_was_made_before_is_not_it() -> None:
    service = Service((NOON - HOUR, datetime.min.replace(tzinfo=UTC)), NOON)
    with pytest.raises(OutcomeUnknownError):
        await service.start()
    assert len(service.pauses) == QUICK_RETRY.max_attempts
