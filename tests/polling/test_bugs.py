"""A bug in one wait ends that wait alone."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    Batch,
    PollPolicy,
    ProlificClient,
    ProlificError,
    StatusEvent,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async._logging import log
from prolific_async._polling.bugs import logged_failure
from prolific_async.simulator import Fault
from tests.conftest import QUICK_POLL, RaisingHandler
from tests.polling.fakes import CLOSED, READY, FakeWait, Service, nothing_left
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async.simulator import Simulator


def test_the_error_of_a_bug_tells_whose_it_may_be() -> None:
    assert str(logged_failure("b1", ZeroDivisionError("by 0"))) == (
        "this is a bug, of this package or of a policy or log handler that it was given "
        "(ZeroDivisionError('by 0')); the log has its traceback"
    )


class Broken(FakeWait):
    """A wait one of whose attributes raises from some time on."""

    part = ""

    def __getattribute__(self, name: str) -> Any:
        if name != "part" and name == self.part:
            raise ZeroDivisionError(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("count", [1, 5, 20])
@pytest.mark.parametrize("part", ["observe", "expire"])
def test_a_broken_wait_ends_alone(part: str, count: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        service = Service()
        others = service.start(count)
        broken = Broken("broken", timeout=5)
        done = service.poller.start(broken)
        others += service.start(count, first=count)
        await asyncio.sleep(1)
        broken.part = part
        await asyncio.sleep(6)
        broken.part = ""
        assert done.done()
        assert isinstance(broken.ended, ProlificError)
        assert isinstance(broken.ended.__cause__, ZeroDivisionError)
        assert repr(part) in str(broken.ended)
        assert {len(wait.seen) for wait in others} == {3}
        service.shown = {wait.key: READY for wait in others}
        await asyncio.sleep(6)
        assert all(wait.is_over for wait in others)
        await nothing_left(service.poller)

    run(main())
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    told = "waiting for broken is broken"
    (record,) = [one for one in caplog.records if one.getMessage() == told]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert record.exc_text is not None
    assert "Traceback" in record.exc_text
    assert part in record.exc_text


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("part", ["observe", "expire"])
def test_other_waits_for_the_batch_of_a_broken_wait_go_on(part: str, count: int) -> None:
    async def main() -> None:
        service = Service()
        before = [FakeWait("k") for _ in range(count)]
        broken, after = Broken("k", timeout=5), FakeWait("k")
        for wait in (*before, broken, after):
            service.poller.start(wait)
        await asyncio.sleep(1)
        broken.part = part
        await asyncio.sleep(6)
        assert isinstance(broken.ended, ProlificError)
        assert {len(wait.seen) for wait in (*before, after)} == {3}
        service.leave([*before, after])
        await nothing_left(service.poller)

    run(main())


def test_a_wait_whose_fail_raises_settles_its_future() -> None:
    async def main() -> None:
        service = Service()
        broken = Broken("broken")
        done = service.poller.start(broken)
        others = service.start(3)
        broken.part = "fail"
        service.poller.close(CLOSED)
        assert done.done()
        assert {wait.ended for wait in others} == {CLOSED}
        await nothing_left(service.poller)

    run(main())


def test_a_wait_that_is_broken_from_the_start_ends_alone() -> None:
    async def main() -> None:
        service = Service()
        (other,) = service.start(1)
        await asyncio.sleep(0.5)
        broken = Broken("k0")
        broken.part = "observe"
        done = service.poller.start(broken)
        assert done.done()
        assert isinstance(broken.ended, ProlificError)
        assert isinstance(broken.ended.failure, ZeroDivisionError)
        await asyncio.sleep(6)
        assert [when for when, _ in other.seen] == [0.1, 3.2, 6.3]
        service.leave([other])
        await nothing_left(service.poller)

    run(main())


@pytest.mark.usefixtures("raised_by_the_log")
@pytest.mark.parametrize("count", [1, 10])
def test_a_log_handler_that_raises_leaves_no_wait_hanging(count: int) -> None:
    async def main() -> None:
        service = Service()
        broken = Broken("broken", timeout=1)
        broken.part = "expire"
        futures = [service.poller.start(broken)]
        waits = [FakeWait(f"k{number}", timeout=20) for number in range(count)]
        futures += [service.poller.start(wait) for wait in waits]
        await asyncio.wait_for(asyncio.gather(*futures), 30)
        assert {wait.ended_at for wait in waits} == {20}
        assert broken.ended_at == 1
        await nothing_left(service.poller)

    run(main())


@pytest.mark.parametrize("count", [1, 50])
def test_the_timer_goes_on_after_a_bug(count: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        service = Service(list_threshold=math.inf)
        polls = service.scheduler.polls

        def broken(*_: object) -> Iterator[None]:
            scheduler.polls = polls
            raise ZeroDivisionError
            yield

        waits = service.start(count)
        await asyncio.sleep(1)
        scheduler: Any = service.scheduler
        scheduler.polls = broken
        (late,) = service.start(1, first=100)
        await asyncio.sleep(5)
        assert {len(wait.seen) for wait in waits} == {2}
        assert late.seen == []
        service.leave([*waits, late])
        await nothing_left(service.poller)

    run(main())


# --- over loopback ---------------------------------------------------------------------------


class Jittery(PollPolicy):
    """A subclass of PollPolicy with a bug."""

    def jittered(self, gap: float, share: float) -> float:
        broken: float = GAPS[self.factor](gap, share)
        return broken


def cancelled(_gap: float, _share: float) -> float:
    raise asyncio.CancelledError


GAPS: dict[float, Callable[[float, float], Any]] = {
    2: lambda _gap, _share: 1 / 0,
    3: lambda _gap, _share: math.nan,
    4: lambda gap, _share: -gap,
    5: lambda gap, _share: str(gap),
    6: lambda gap, _share: [gap],
    7: cancelled,
}


@pytest.mark.parametrize("factor", GAPS)
@pytest.mark.parametrize("count", [1, 10])
async def test_a_policy_with_a_bug_ends_its_own_wait(
    sim: Simulator,
    client: ProlificClient,
    count: int,
    factor: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = [sim.add_batch(status="PROCESSING") for _ in range(count)]
    broken = sim.add_batch(status="PROCESSING")
    policy = Jittery(initial=0.01, maximum=0.02, factor=factor, timeout=5)
    others = asyncio.gather(*(client.batches.wait_until_ready(one) for one in ids))
    with pytest.raises(WaitFailedError, match="this is a bug") as raised:
        await client.batches.wait_until_ready(broken, poll=policy)
    assert all(isinstance(one, Batch) for one in await others)
    cause = raised.value.__cause__
    assert isinstance(cause, ProlificError)
    assert isinstance(
        cause.failure, (ArithmeticError, ValueError, TypeError, asyncio.CancelledError)
    )
    assert cause.failure is cause.__cause__
    again = pickle.loads(pickle.dumps(raised.value))  # as process pools do
    assert type(again.failure.failure) is type(cause.failure)
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert broken in record.getMessage()


async def test_as_ready_yields_the_error_of_a_wait_with_a_bug(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="PROCESSING") for _ in range(3)]

    class Half(PollPolicy):
        broken: Any = None

        def jittered(self, gap: float, share: float) -> float:
            asked.append(gap)
            if len(asked) == 2:
                raise ZeroDivisionError
            return super().jittered(gap, share)

    asked: list[float] = []
    poll = Half(initial=QUICK_POLL.initial, maximum=QUICK_POLL.maximum)
    outcomes = [one async for one in client.batches.as_ready(ids, poll=poll)]
    assert sorted(type(one).__name__ for one in outcomes) == ["Batch", "Batch", "WaitFailedError"]


@pytest.mark.parametrize("fault", ["status", "failing", "on_event", "limit"])
@pytest.mark.parametrize("same", [True, False])
async def test_a_log_handler_that_raises_fails_no_wait(
    raised_by_the_log: type[BaseException],
    sim: Simulator,
    client: ProlificClient,
    fault: str,
    same: bool,  # noqa: FBT001
) -> None:
    status = "PAUSED" if fault == "status" else "PROCESSING"
    ids = [sim.add_batch(status=status)] if same else [sim.add_batch() for _ in range(30)]
    if fault in ("failing", "limit"):
        sim.inject("GET", "/status", Fault(503 if fault == "failing" else 429), times=5)

    def tell(_: StatusEvent) -> None:
        if fault == "on_event":
            raise raised_by_the_log

    waits = [
        client.batches.wait_until_ready(batch_id, timeout=0.04, on_event=tell)
        for batch_id in ids * (300 // len(ids))
    ]
    outcomes = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 5)
    assert {type(one) for one in outcomes} <= {Batch, WaitTimeoutError}


def test_what_a_log_handler_raises_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("prolific_async")
    logger.addHandler(handler := RaisingHandler(ZeroDivisionError))
    try:
        log.error("a %s", "record")
    finally:
        logger.removeHandler(handler)
    assert "ZeroDivisionError: a record" in capsys.readouterr().err


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_a_log_handler_may_end_the_process(raised: type[BaseException]) -> None:
    logger = logging.getLogger("prolific_async")
    logger.addHandler(handler := RaisingHandler(raised))
    try:
        with pytest.raises(raised):
            log.error("a record")
    finally:
        logger.removeHandler(handler)


def test_a_record_names_the_line_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("here")
    log.exception("there", exc_info=ZeroDivisionError())
    for record in caplog.records:
        assert record.filename == "test_bugs.py"
        assert record.funcName == "test_a_record_names_the_line_that_logs"
