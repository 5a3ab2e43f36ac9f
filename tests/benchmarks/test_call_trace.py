import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import call_trace
from benchmarks.call_trace import Step, Trace
from prolific_async.simulator import AfterPolls


def frame(module: str) -> Any:
    code = SimpleNamespace(co_qualname="f")
    return SimpleNamespace(f_globals={"__name__": module}, f_code=code)


def test_only_steps_in_the_package_without_its_simulator_are_recorded() -> None:
    trace = Trace()
    ours = ["prolific_async", "prolific_async.batches", "prolific_async.simulators"]
    for module in [*ours, "prolific_async.simulator", "prolific_async.simulator.state", "asyncio"]:
        trace(frame(module), "call", None)
        trace(frame(module), "return", None)
    assert [step.module for step in trace.steps] == ours


def test_a_move_is_a_step_in_another_module() -> None:
    trace = Trace([Step(f"prolific_async.{name}", "f") for name in "aabba"])
    assert (trace.moves, len(trace.modules)) == (2, 2)
    assert [line.split() for line in trace.lines()] == [
        ["a", "f"],
        ["f"],
        ["b", "f"],
        ["f"],
        ["a", "f"],
    ]


def test_a_resumed_coroutine_is_a_step() -> None:
    space: dict[str, Any] = {"__name__": "prolific_async.made_up", "asyncio": asyncio}
    exec("async def two_steps():\n    await asyncio.sleep(0)", space)
    trace = asyncio.run(call_trace.traced(space["two_steps"]()))
    assert trace.steps == [Step("prolific_async.made_up", "two_steps")] * 2
    assert sys.getprofile() is None


def test_a_wait_and_a_duplicate_are_traced_down_to_the_transport() -> None:
    wait, duplicate = asyncio.run(call_trace.trace_calls(AfterPolls(1)))
    for trace, verb in ((wait, "wait_until_ready"), (duplicate, "duplicate")):
        assert trace.steps[0] == Step("prolific_async.models", f"Batch.{verb}")
        assert Step("prolific_async.batches", f"Batches.{verb}") in trace.steps
        assert any(module.startswith("prolific_async._http.") for module in trace.modules)
    assert 0 < duplicate.moves <= call_trace.MOST_MOVES_DUPLICATE
    assert 0 < wait.moves <= call_trace.MOST_MOVES_WAIT


def test_other_requests_than_expected_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="the call sent"):
        asyncio.run(call_trace.trace_calls(AfterPolls(2)))


def test_the_report_compares_with_the_targets(capsys: pytest.CaptureFixture[str]) -> None:
    call_trace.main(["-v"])
    told = capsys.readouterr().out.splitlines()
    assert "the target of 70" in told[0]
    assert "Batch.wait_until_ready" in told[1]
    assert any("the target of 20" in line for line in told)
    trace = Trace([Step("prolific_async.a", "f"), Step("prolific_async.b", "f")])
    assert call_trace.report("call", trace, 1) == (
        "call: 1 moves between 2 modules, within the target of 1"
    )
    assert "above the target of 0" in call_trace.report("call", trace, 0)


def test_json_holds_the_numbers_of_moves(capsys: pytest.CaptureFixture[str]) -> None:
    call_trace.main(["--json"])
    moves = json.loads(capsys.readouterr().out)
    assert moves["wait_until_ready"] > moves["duplicate"] > 0
