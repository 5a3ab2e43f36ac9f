import json
import sys

import attrs
import pytest

pytest.importorskip("azure.core", reason="belongs to the extra bench")

from benchmarks import waiting_methods, waits_left

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.slow
def test_every_subject_leaves_figures(capsys: pytest.CaptureFixture[str]) -> None:
    waits_left.main(["--quick", "--json"])
    figures = json.loads(capsys.readouterr().out)["figures"]
    cases = [attrs.asdict(case) for case in waits_left.cases(2, 50)]
    assert [one["case"] for one in figures] == cases
    assert all(rss > 2**20 for one in figures for rss in one["rss"])


def test_each_round_has_batches_and_workspaces_of_its_own() -> None:
    plan = waits_left.Case(waiting_methods.OURS, 3, 8, workspaces=2).plan()
    assert len({batch.id for batch in plan.batches}) == 24
    assert len({batch.workspace_id for batch in plan.batches}) == 6


def test_the_table_shows_memory_in_mib_and_blocks() -> None:
    case = waits_left.Case(waiting_methods.OURS, 20, 10_000)
    left = waits_left.Left(case, (40 * 2**20, 50 * 2**20, 2**19), -1234)
    _, _, row = waits_left.table([left]).splitlines()
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("prolific_async", "10,000", "20", "1"),
        "40.0",
        "50.0",
        "0.5",
        "-1,234",
    ]
