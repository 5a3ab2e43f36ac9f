"""Helpers of the CSV and the JSON encoder for a block of rows.

``first`` is the index of the block's first row, for error messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NoReturn

from prolific_async._message_parts import place
from prolific_async._sources.cells import plain_row
from prolific_async._sources.recognition import advice

Row = dict[str, Any]


def mappings(block: list[Any], first: int) -> list[Row]:
    """Return the rows of a block as dicts; rows that are dicts are not copied.

    Raises:
        TypeError: A row is no mapping; the message names it.

    """
    if set(map(type, block)) == {dict}:
        return block
    return [_mapping(number, row) for number, row in enumerate(block, first)]


def _mapping(number: int, row: Any) -> Row:
    if not isinstance(row, Mapping):
        raise TypeError(
            f"{place(number)}: a mapping of column names to cells is needed, "
            f"not {type(row).__name__}{advice(row)}"
        )
    return row if type(row) is dict else dict(row)


def kinds_of(rows: Iterable[Iterable[Any]]) -> set[type]:
    """Return the types of all cells of some rows."""
    return set(map(type, chain.from_iterable(rows)))


def plain_rows(rows: list[Row], first: int) -> list[Row]:
    """Return rows with cells of plain types.

    Raises:
        ValueError: A name or a cell cannot be sent; the message names the row and the column.

    """
    return [plain_row(number, row) for number, row in enumerate(rows, first)]


def raise_cell_error(rows: list[Row], first: int, error: Exception) -> NoReturn:
    """Raise a ValueError that names the first cell that cannot be sent, or ``error`` if all can."""
    plain_rows(rows, first)
    raise error
