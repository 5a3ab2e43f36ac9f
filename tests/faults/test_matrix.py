"""Every cell of the fault matrix, and the page that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.cells import seen
from tests.faults.columns import COLUMNS, title
from tests.faults.faults import FAULTS
from tests.faults.page import PAGE, written
from tests.faults.rules import expected

if TYPE_CHECKING:
    from tests.faults.columns import Column


@pytest.mark.parametrize("column", COLUMNS, ids=title)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_seen_is_what_is_promised(fault: str, column: Column) -> None:
    assert seen(fault, column) == expected(fault, column)


def test_the_page_shows_it() -> None:
    # Each cell that was promised has been seen above.
    assert PAGE.read_text(encoding="utf-8") == written(expected), "run: python -m tests.faults"
