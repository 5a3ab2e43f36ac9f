"""Whatever is wrong with one wait ends that one: no other is stopped."""

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
from prolific_async._logs import log
from prolific_async._waiting.entries import APART, GroupLook
from prolific_async._waiting.timetable import Timetable
from prolific_async._waiting.work import Work
from prolific_async.simulator import Fault
from tests.conftest import QUICK_POLL, RaisingHandler
from tests.virtual_time import run
from tests.waiting.scene import READY, Service, Waiter, clock, nothing_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prolific_async.simulator import Simulator


class Broken(Waiter):
    """A waiter one of whose parts raises from some time on."""

    part = ""
    raised: type[BaseException] = ZeroDivisionError

    def __getattribute__(self, name: str) -> Any:
        if name not in ("part", "raised") and name == self.part:
            raise self.raised(name)
        return super().__getattribute__(name)


PARTS = ["observe", "expire", "due", "deadline", "wants_whole", "is_over"]


@pytest.mark.parametrize("raised", [ZeroDivisionError, asyncio.CancelledError])
@pytest.mark.parametrize("count", [1, 5, 20, 50])
@pytest.mark.parametrize("part", PARTS)
def test_a_broken_waiter_ends_alone(
    part: str, count: int, raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        service = Service()
        others = service.start(count)
        broken = Broken("broken", timeout=5)
        broken.raised = raised
        done = service.engine.start(broken)
        others += service.start(count, first=count)
        await asyncio.sleep(1)
        broken.part = part
        await asyncio.sleep(6)
        broken.part = ""
        assert done.done()
        if part != "is_over":
            assert isinstance(broken.ended, ProlificError)
            assert isinstance(broken.ended.__cause__, raised)
            assert repr(part) in str(broken.ended)
        assert {len(waiter.seen) for waiter in others} == {3}
        service.shown = {waiter.key: READY for waiter in others}
        await asyncio.sleep(6)
        assert all(waiter.is_over for waiter in others)
        await nothing_left(service.engine)

    run(main())
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    told = "waiting for broken is broken"
    (record,) = [one for one in caplog.records if one.getMessage() == told]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], raised)
    assert record.exc_text is not None
    assert "Traceback" in record.exc_text
    assert part in record.exc_text


def test_a_broken_one_for_which_its_group_is_due_ends_alone() -> None:
    async def main() -> None:
        service = Service()
        others = service.start(20)
        broken = Broken("broken", gap=2)
        service.engine.start(broken)
        await asyncio.sleep(1)
        broken.part = "due"
        await asyncio.sleep(6)
        broken.part = ""
        assert isinstance(broken.ended, ProlificError)
        assert {len(waiter.seen) for waiter in others} == {3}
        service.leave(others)
        await nothing_left(service.engine)

    run(main())


def test_a_broken_one_whose_deadline_comes_during_a_group_look_ends_alone() -> None:
    async def main() -> None:
        service = Service()
        others = service.start(20)
        broken = Broken("broken", timeout=3.15)
        service.engine.start(broken)
        await asyncio.sleep(3.12)
        broken.part = "wants_whole"
        await asyncio.sleep(0.05)
        broken.part = ""
        assert isinstance(broken.ended, ProlificError)
        await asyncio.sleep(4)
        assert {len(waiter.seen) for waiter in others} == {3}
        service.leave(others)
        await nothing_left(service.engine)

    run(main())


@pytest.mark.parametrize("part", ["observe", "expire"])
def test_others_who_wait_for_the_same_go_on(part: str) -> None:
    async def main() -> None:
        service = Service()
        before, broken, after = Waiter("k"), Broken("k", timeout=5), Waiter("k")
        for waiter in (before, broken, after):
            service.engine.start(waiter)
        await asyncio.sleep(1)
        broken.part = part
        await asyncio.sleep(6)
        assert isinstance(broken.ended, ProlificError)
        assert len(before.seen) == len(after.seen) == 3
        service.leave([before, after])
        await nothing_left(service.engine)

    run(main())


@pytest.mark.parametrize("part", ["fail", "is_over"])
def test_who_cannot_even_fail_leaves_nobody_hanging(part: str) -> None:
    async def main() -> None:
        service = Service()
        broken = Broken("broken")
        done = service.engine.start(broken)
        others = service.start(3)
        broken.part = part
        service.engine.close("closed")
        assert done.done()
        assert {waiter.ended for waiter in others} == {"closed"}
        await nothing_left(service.engine)

    run(main())


@pytest.mark.parametrize("part", ["due", "deadline", "fresh", "observe"])
def test_one_that_is_broken_from_the_start_ends_alone(part: str) -> None:
    async def main() -> None:
        service = Service()
        (other,) = service.start(1)
        await asyncio.sleep(0.5)
        broken = Broken("k0")
        broken.part = part
        done = service.engine.start(broken)
        assert done.done()
        assert isinstance(broken.ended, ProlificError)
        await asyncio.sleep(6)
        assert [when for when, _ in other.seen] == [0.1, 3.2, 6.3]
        service.leave([other])
        await nothing_left(service.engine)

    run(main())


def test_a_group_that_cannot_be_named_ends_only_whom_it_concerns() -> None:
    async def main() -> None:
        def name_of(key: str) -> str | None:
            if key == "k3":
                raise ZeroDivisionError
            return None if clock() < 5 else "home"

        service = Service(group_of=name_of)
        waiters = service.start(20)
        await asyncio.sleep(2 * APART)
        assert [waiter.key for waiter in waiters if waiter.is_over] == ["k3"]
        assert {len(waiter.seen) > 20 for waiter in waiters if not waiter.is_over} == {True}
        service.engine.close("closed")
        await nothing_left(service.engine)

    run(main())


def test_a_group_look_that_nobody_can_judge_makes_single_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        service = Service()
        nonsense: Any = "a second"
        service.groups = [GroupLook(refused_for=nonsense)]
        waiters = service.start(10)
        await asyncio.sleep(APART + 5)
        assert {len(service.at(waiter.key)) for waiter in waiters} == {20}
        assert [round(when) for when in service.as_one_at] == [0, 62]
        service.leave(waiters)
        await nothing_left(service.engine)

    run(main())
    assert "looking as one at home is broken" in caplog.messages


@pytest.mark.usefixtures("raised_by_the_log")
@pytest.mark.parametrize("count", [1, 10])
def test_a_log_handler_that_raises_hangs_nobody(count: int) -> None:
    async def main() -> None:
        service = Service()
        broken = Broken("broken", timeout=1)
        broken.part = "expire"
        futures = [service.engine.start(broken)]
        waiters = [Waiter(f"k{number}", timeout=20) for number in range(count)]
        futures += [service.engine.start(waiter) for waiter in waiters]
        await asyncio.wait_for(asyncio.gather(*futures), 30)
        assert {waiter.ended_at for waiter in waiters} == {20}
        assert broken.ended_at == 1
        await nothing_left(service.engine)

    run(main())


def test_a_timer_goes_on_after_one_whose_wake_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Thing:
        when = math.inf
        order = 0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        woken: list[Thing] = []

        def wake(things: list[Thing], _now: float) -> Iterator[None]:
            woken.extend(things)
            if len(woken) == 1:
                raise ZeroDivisionError
            yield

        work = Work(lambda: None)
        timetable = Timetable[Thing](wake, work.do)
        things = [Thing(), Thing()]
        for after, thing in enumerate(things, 1):
            timetable.place(thing, loop.time() + after)
        timetable.arm()
        await asyncio.sleep(3)
        assert woken == things

    run(main())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ZeroDivisionError
    ]


# --- over loopback ---------------------------------------------------------------------------


class Jittery(PollPolicy):
    """A policy of the caller's own, with a bug."""

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


async def test_an_outcome_of_a_bug_is_one_of_as_ready(
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
