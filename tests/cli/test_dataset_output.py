"""Lines about datasets and rejected rows, without a service."""

from typing import Any

import pytest

from prolific_async import RejectedRow
from prolific_async.cli.dataset_output import dataset_line, print_rejected
from tests import samples


def job(status: str, **more: Any) -> dict[str, Any]:
    return {"import_id": "i1", "status": status} | more


@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        (samples.dataset(), ("d1", "READY", 3)),
        (samples.dataset(None, total_datapoint_count=None), ("d1", "-", "-")),
        (
            samples.dataset(
                None, schema_version=4, imports=[job("uninitialised"), job("failed", reason="Why.")]
            ),
            ("d1", "complete", 3, "Why."),
        ),
        (
            samples.dataset(None, schema_version=4, imports=[job("partial", rejected_count=2)]),
            ("d1", "partial", 3, "rejected: 2"),
        ),
        (
            samples.dataset(
                None, schema_version=4, imports=[job("complete"), job("failed", reason="Why.")]
            ),
            ("d1", "complete", 3),
        ),
    ],
)
def test_a_datasets_line(dataset: Any, line: tuple[object, ...]) -> None:
    assert dataset_line(dataset) == line


def test_rejected_rows_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [RejectedRow(7, "a\x1b", "too\nlong"), RejectedRow(8, "_raw", "torn"), RejectedRow()]
    print_rejected(rows, 5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        r"rejected: row 7 (counted from 0), field 'a\x1b': too\nlong",
        "rejected: row 8 (counted from 0): torn",
        "rejected: a row: no reason was given",
        "rejected: 2 more",
    ]


@pytest.mark.parametrize(("count", "more"), [(None, 5), (20, None), (25, 5), (0, None)])
def test_only_twenty_rejected_rows_are_named(
    capsys: pytest.CaptureFixture[str], count: int | None, more: int | None
) -> None:
    print_rejected([RejectedRow(n) for n in range(25)], count)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20 + (more is not None)
    assert more is None or lines[-1] == f"rejected: {more} more"
