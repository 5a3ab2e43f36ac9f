"""Helpers of both encoders of rows, for a batch of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NoReturn

from prolific_async._sources.cells import place, plain_row
from prolific_async._sources.recognition import advice

Row = dict[str, Any]


def mappings(batch: list[Any], first: int) -> list[Row]:
    """Return rows as dicts; rows that are dicts are not copied.

    Raises:
        TypeError: One is no mapping; the message tells the row.

    """
    if set(map(type, batch)) == {dict}:
        return batch
    return [_mapping(number, row) for number, row in enumerate(batch, first)]


def _mapping(number: int, row: Any) -> Row:
    if not isinstance(row, Mapping):
        raise TypeError(
            f"{place(number)}: a mapping of column names to cells is needed, "
            f"not {type(row).__name__}{advice(row)}"
        )
    return row if type(row) is dict else dict(row)


def kinds_of(rows: Iterable[Iterable[Any]]) -> set[type]:
    """Return the types of all cells."""
    return set(map(type, chain.from_iterable(rows)))


def plain_rows(rows: list[Row], first: int) -> list[Row]:
    """Return rows with cells of plain types.

    Raises:
        ValueError: A cell cannot be sent; the message tells the row and the column.

    """
    return [plain_row(number, row) for number, row in enumerate(rows, first)]


def refuse(rows: list[Row], first: int, error: Exception) -> NoReturn:
    """Raise a ValueError that names the cell that could not be encoded."""
    plain_rows(rows, first)
    raise error
