import json

import attrs
import pytest

from benchmarks import jobs
from benchmarks.jobs import Case, Figures


def figures(batches: int, imports: int, cpu: float) -> Figures:
    case = Case(batches, imports)
    polls = {"status": 2 * batches, "import": 2 * imports}
    return Figures(case, {kind: count for kind, count in polls.items() if count}, cpu, 30.0)


@pytest.mark.parametrize(
    ("batches", "imports"),
    [
        pytest.param(4, 0, marks=pytest.mark.slow),
        pytest.param(0, 3, marks=pytest.mark.slow),
        (4, 3),
    ],
)
def test_each_wait_is_polled_by_its_own_request(batches: int, imports: int) -> None:
    ran = jobs.run(Case(batches, imports, gap=0.02, window=0.2))
    assert set(ran.requests) == {
        kind for kind, count in (("status", batches), ("import", imports)) if count
    }
    assert ran.window >= 0.2
    assert ran.cpu > 0


def test_a_wait_that_ends_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "hex_id", lambda kind, number: "" if kind == 2 else f"{number}")
    with pytest.raises(RuntimeError, match="3 waits have ended"):
        jobs.run(Case(1, 3, gap=0.02, window=0.05))


def test_the_table_compares_with_batches_alone() -> None:
    runs = [
        [figures(1000, 0, 0.6), figures(1000, 0, 0.5)],
        [figures(0, 1000, 0.6)],
        [figures(1000, 1000, 1.1)],
    ]
    rows = [line.split("|")[1:-1] for line in jobs.table(runs).splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[2] == ["1,000 batches", "67", "1,000", "1.00", "250"]
    assert cells[3] == ["1,000 imports", "67", "1,200", "1.20", "300"]
    assert cells[4] == ["1,000 batches and 1,000 imports", "133", "1,100", "1.10", "275"]


@pytest.mark.slow
def test_the_program_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    jobs.main(["--quick", "--json"])
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run[0]["case"]["imports"] for run in runs] == [0, 30, 30]
    assert attrs.asdict(Case(30, 0, 0.1, 0.2)) == runs[0][0]["case"]
