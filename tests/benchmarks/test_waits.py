import json
from typing import Any

import attrs
import pytest

pytest.importorskip("azure.core", reason="belongs to the extra bench")

from benchmarks import waiting_methods, waits, waits_single_run
from benchmarks.waits_single_run import Case, Figures

SMALL = Case(
    subject=waiting_methods.OURS,
    batches=8,
    workspaces=2,
    gap=0.04,
    settle=0.04,
    window=0.08,
    spread=0.04,
)


def figures(subject: str, waits: int, **given: Any) -> Figures:
    case = Case(subject=subject, batches=waits)
    delays = {"p50": 1.5, "p95": 2.5, "p99": 3.0, "max": 3.1}
    made = Figures(case=case, start=5e-6, memory=800.0, rate=300.0, cpu=4e-3, delays=delays)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def test_a_plan_is_the_same_for_every_subject() -> None:
    plan = SMALL.plan()
    assert attrs.evolve(SMALL, subject=waiting_methods.NAIVE).plan() == plan
    assert len({batch.id for batch in plan.batches}) == 8
    assert len({batch.workspace_id for batch in plan.batches}) == 2
    moments = sorted(batch.ready_after for batch in plan.batches)
    assert moments[0] == pytest.approx(0.125)
    assert moments[-1] == pytest.approx(0.16)


@pytest.mark.parametrize("subject", waiting_methods.SUBJECTS)
@pytest.mark.slow
def test_every_subject_ends_every_wait(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_single_run, "QUIET", 0.05)
    ran = waits_single_run.run(attrs.evolve(SMALL, subject=subject, window=1.0))
    assert ran.start > 0
    assert ran.memory is not None
    assert ran.memory > 0
    if subject != waiting_methods.BARE:
        assert ran.rate is not None
        assert ran.rate > 0
        assert 0 < ran.delays["p50"] <= ran.delays["max"]
        assert sum(ran.requests.values()) > 8


def test_a_wrong_batch_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_single_run, "READY", "DONE")
    with pytest.raises(RuntimeError, match="prolific_async gave"):
        waits_single_run.run(SMALL)


def test_the_tables_compare_with_the_naive_loop() -> None:
    ran = [
        figures(waiting_methods.OURS, 1000, cpu=1e-4, rate=0.33),
        figures(waiting_methods.NAIVE, 1000),
        figures(waiting_methods.BARE, 1000, rate=None, cpu=None, delays={}),
    ]
    rows = [line.split("|")[1:-1] for line in waits.crowd_table(ran).splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[2][:8] == [
        *("prolific_async, 1 workspace", "5.0", "800", "0", "0.3", "100", "40.0"),
        "1,500 / 2,500 / 3,000",
    ]
    assert cells[4][4:] == ["-"] * 5
    limited = waits.limited_table([figures(waiting_methods.OURS, 1000, refused=0.005)])
    assert [cell.strip() for cell in limited.splitlines()[2].split("|")[2:-1]] == [
        *("0.5", "1,500", "3,100", "2.1"),
    ]


def test_the_options_choose_what_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Case] = []

    def measured(cases: list[Case], runs_of_process: int | None) -> list[Figures]:
        assert runs_of_process == 1
        ran.extend(cases)
        return [figures(case.subject, case.waits, case=case) for case in cases]

    monkeypatch.setattr(waits, "measured", measured)
    sizes = ["1000", "10000", "100000"]
    waits.main(["--scenarios", "crowds", "--sizes", *sizes, "--json"])
    assert len(json.loads(capsys.readouterr().out)["crowds"]) == len(ran)
    counts = {
        subject: sum(case.subject == subject for case in ran)
        for subject in waiting_methods.SUBJECTS
    }
    assert list(counts.values()) == [6, 2, 3, 1, 1, 3]
