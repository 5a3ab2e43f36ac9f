import asyncio
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from benchmarks import soak
from benchmarks.soak import Sample, audit, left_behind
from benchmarks.soak_rounds import CallerRecord, Outcome, Rounds
from benchmarks.soak_server import (
    FAULT_RATES,
    KINDS,
    TOKEN,
    DrawnFaults,
    FaultRate,
    SoakService,
    key_of,
)
from prolific_async import (
    ProlificClient,
    RateLimitedError,
    RequestTimeoutError,
    RetryPolicy,
    WaitTimeoutError,
)
from prolific_async.simulator import Fault

KEY = key_of("source", "Round 1")
COUNTS_TIMERS = pytest.mark.asyncio(loop_factories=["steady"])  # uvloop does not show them
HELD = Sample(rss=50 * 2**20, objects=40_000, fds=11, tasks=0, timers=0)


def record(**told: Any) -> CallerRecord:
    return CallerRecord(calls=Counter({KEY: 1}), **told)


def history(posts: str = "+", status: str = "READY", **more: Any) -> dict[str, Any]:
    return {
        "copies": {"c1": (KEY, status)},
        "posts": {KEY: posts},
        "setups": {"c1": 1},
        "faults": {},
        "requests": 9,
    } | more


GOOD = [
    (record(returned=Counter({"c1": 1}), accepted={"c1"}, ends={"c1": "READY"}), history("--+")),
    (record(candidates={"c1"}), history()),
    (record(cancelled=Counter({KEY: 1})), history()),
    (record(unlisted=Counter({KEY: 1})), history()),
    (record(), history("--", copies={})),
]
BAD = [
    ("copies of source Round 1 that nobody was told of: 1", record(), history()),
    ("c1 was returned 2 times", record(returned=Counter({"c1": 2})), history()),
    ("c9 is no copy", record(candidates={"c1", "c9"}), history()),
    ("1 duplicates of source Round 1 sent +-", record(candidates={"c1"}), history("+-")),
    ("1 duplicates of source Round 1 sent ++", record(candidates={"c1"}), history("++")),
    ("c1 was set up 2 times", record(candidates={"c1"}), history(setups={"c1": 2})),
    (
        "the setup of c1 was not accepted",
        record(returned=Counter({"c1": 1}), accepted={"c1"}),
        history(status="UNINITIALISED"),
    ),
    (
        "c1 was told to be READY, but is ERROR",
        record(returned=Counter({"c1": 1}), ends={"c1": "READY"}),
        history(status="ERROR"),
    ),
]


@pytest.mark.parametrize(("told", "done"), GOOD)
def test_matching_reports_pass_the_audit(told: CallerRecord, done: dict[str, Any]) -> None:
    assert audit(told, done) == []


@pytest.mark.parametrize(("problem", "told", "done"), BAD)
def test_differences_are_found(problem: str, told: CallerRecord, done: dict[str, Any]) -> None:
    assert audit(told, done) == [problem]


def test_two_calls_of_one_name_send_two_posts_and_may_keep_one_copy_secret() -> None:
    told = CallerRecord(
        calls=Counter({KEY: 2}), returned=Counter({"c1": 1}), cancelled=Counter({KEY: 1})
    )
    copies = {"c1": (KEY, "READY"), "c2": (KEY, "UNINITIALISED")}
    assert audit(told, history("+-+", copies=copies)) == []
    assert audit(told, history("++-", copies=copies)) == [
        "2 duplicates of source Round 1 sent ++-",
    ]
    copies["c3"] = (KEY, "UNINITIALISED")
    assert audit(told, history("++", copies=copies)) == [
        "copies of source Round 1 that nobody was told of: 1",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rss": 60 * 2**20}, "rss grew from 52428800 to 62914560"),
        ({"objects": 41_000}, "objects grew from 40000 to 41000"),
        ({"fds": 12}, "fds grew from 11 to 12"),
    ],
)
def test_growth_after_the_warm_up_is_found(change: dict[str, int], problem: str) -> None:
    grown = attrs.evolve(HELD, **change)
    assert left_behind([grown] + [HELD] * 9) == []
    assert left_behind([HELD] * 8 + [grown] * 2) == [problem]


@pytest.mark.parametrize("what", ["tasks", "timers"])
def test_a_single_leak_is_found(what: str) -> None:
    left = attrs.evolve(HELD, **{what: 2})
    assert left_behind([HELD, left, HELD]) == [
        f"2 {what} left with every client closed, after 2 epochs",
    ]


@COUNTS_TIMERS
async def test_a_sample_counts_held_resources(tmp_path: Path) -> None:
    await Sample.take()  # frees what other tests have left
    before = await Sample.take()
    loop = asyncio.get_running_loop()
    timer = loop.call_later(60, print)
    task = asyncio.create_task(asyncio.Event().wait())
    with (tmp_path / "open").open("w"):
        held = await Sample.take()
    timer.cancel()
    task.cancel()
    assert (held.fds - before.fds, held.tasks - before.tasks, held.timers - before.timers) == (
        *(1, 1, 1),
    )
    assert held.objects > before.objects
    assert held.rss > 2**20


def test_every_kind_of_fault_is_drawn_and_counted() -> None:
    faults = DrawnFaults(Random(1))
    for fault_rate in FAULT_RATES:
        faults.fault_rate = fault_rate
        drawn = [faults.take("POST", "/duplicate") for _ in range(2000)]
        unspoilt = sum(fault == Fault(headers={"X-Unspoilt": "yes"}) for fault in drawn)
        assert 1 - unspoilt / 2000 == pytest.approx(fault_rate.share, abs=0.03)
    assert faults.counts.keys() == KINDS.keys()
    assert faults.requests == 2000 * len(FAULT_RATES)


class Refusing(FaultRate):
    def draw(self, draw: Random) -> str:
        return "429"


async def test_the_service_reports_an_epoch_and_forgets_it() -> None:
    service = SoakService(seed=1)
    url = f"http://127.0.0.1:{await service.server.start(0)}"
    source = service.epoch()["alone"][0]
    service.faults.fault_rate = attrs.evolve(FAULT_RATES[0], share=0.0)
    retry = RetryPolicy(max_attempts=1)
    async with ProlificClient(TOKEN, base_url=url, retry=retry) as client:
        copy = await client.batches.duplicate(source)
        await copy.setup()
        service.faults.fault_rate = Refusing("refusing", 1.0)
        with pytest.raises(RateLimitedError):
            await client.batches.duplicate(source, name="Round 1")
    history = service.history()
    assert history["posts"] == {key_of(source, None): "+", key_of(source, "Round 1"): "-"}
    assert history["copies"][copy.id][0] == key_of(source, None)
    assert history["setups"] == {copy.id: 1}
    service.epoch()
    after = service.history()
    assert (after["copies"], after["posts"], after["setups"]) == ({}, {}, {})
    await service.server.close()


@pytest.mark.slow
def test_a_short_soak_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    soak.main(["--minutes", "0.05", "--seed", "1", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["problems"] == []
    assert said["rounds"] > 0
    assert said["copies made"] == sum(
        said[told]
        for told in (
            *("returned", "named as candidates"),
            *("of cancelled calls", "of calls that saw no list"),
        )
    )


@pytest.mark.slow
def test_a_problem_fails_the_soak_and_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(soak, "audit", lambda record, history: ["a copy is lost"])
    with pytest.raises(SystemExit, match="1"):
        soak.main(["--minutes", "0.001"])
    assert "problems: ['a copy is lost'" in capsys.readouterr().out


@COUNTS_TIMERS
@pytest.mark.slow
async def test_the_samples_of_a_long_run_are_no_growth() -> None:
    held = (await Sample.take()).objects
    samples = [attrs.evolve(HELD) for _ in range(1000)]
    assert abs((await Sample.take()).objects - held) < len(samples) / 2


@pytest.mark.parametrize(
    ("slows", "cause", "missed"),
    [
        (False, None, True),
        (False, RequestTimeoutError("GET", "/status", "0.3 s"), False),
        (True, None, False),
    ],
)
def test_a_wait_may_miss_the_end_only_if_it_could_not_know(
    cause: Exception | None, *, slows: bool, missed: bool
) -> None:
    told: Any = CallerRecord()
    clients: Any = None
    plan = {"slows": slows, "crowded": [], "alone": []}
    over = WaitTimeoutError("c1", None, 5.0, 8, ())
    over.__cause__ = cause
    Rounds(told, plan, clients, Random(1))._judge("c1", Outcome(failure=over))
    assert [problem.partition(":")[0] for problem in told.problems] == [
        "the end was missed"
    ] * missed
