"""Every cell of the fault matrix, and FAULTS.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.cells import seen
from tests.faults.columns import title
from tests.faults.page import PAGE, ROWS, written
from tests.faults.rules import expected

if TYPE_CHECKING:
    from tests.faults.columns import Column


QUICK = 5  # by default one cell in five runs, in each row and each column
CELLS = [
    pytest.param(
        fault,
        column,
        id=f"{fault}-{title(column)}",
        marks=pytest.mark.slow if (place + row) % QUICK else (),
    )
    for row, (fault, columns) in enumerate(ROWS)
    for place, column in enumerate(columns)
]


@pytest.mark.parametrize(("fault", "column"), CELLS)
def test_each_cell_has_its_expected_outcome(fault: str, column: Column) -> None:
    assert seen(fault, column) == expected(fault, column)


def test_the_page_shows_the_outcomes() -> None:
    # Each cell that was promised has been seen above.
    assert PAGE.read_text(encoding="utf-8") == written(expected), "run: python -m tests.faults"
