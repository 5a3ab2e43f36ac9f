"""``Page``, ``Row`` and ``Column``: the arrangement of a layout's items.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (Configurable Layout).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self, TypeAlias

from attrs import field, frozen

from prolific_async._json.converter import load_copy
from prolific_async._json.scalars import JsonObject
from prolific_async.layout import values
from prolific_async.layout.items import ITEMS, DatasetField, Image, Item, RichText, UnknownItem
from prolific_async.layout.part import Part, as_list, is_bare

_SIDE_BY_SIDE = 2  # columns of a row


def _items(given: Iterable[Item]) -> tuple[Item, ...]:
    found: tuple[Item, ...] = values.entries(given)
    return found


@frozen(repr=False)
class Column(Part):
    """A column of a row: items, one below another.

    Attributes:
        items: The items, at least one.

    Raises:
        ValueError: There is none, or one is no item.

    """

    items: tuple[Item, ...] = field(
        converter=_items, validator=values.each(ITEMS, "an item", least=1), repr=as_list
    )


def _columns(given: Iterable[Column | Item]) -> tuple[Column, ...]:
    found: Any = values.entries(given)
    if isinstance(found, tuple):
        found = tuple(Column([one]) if isinstance(one, ITEMS) else one for one in found)
    columns: tuple[Column, ...] = found
    return columns


def _shown(column: Column) -> str:
    is_item = is_bare(column) and len(column.items) == 1
    return repr(column.items[0] if is_item else column)


def _as_columns(columns: Iterable[Column]) -> str:
    return as_list(columns, _shown)


@frozen(repr=False)
class Row(Part):
    """A row of a page: one column, or two side by side.

    Attributes:
        columns: The columns, one or two; an item in place of one is a column of its own.

    Raises:
        ValueError: There is none or a third, or one is no column.

    """

    columns: tuple[Column, ...] = field(
        converter=_columns,
        validator=values.each(Column, "a Column or an item", least=1, most=_SIDE_BY_SIDE),
        repr=_as_columns,
    )


def _rows(given: Iterable[Row]) -> tuple[Row, ...]:
    found: tuple[Row, ...] = values.entries(given)
    return found


RowLike: TypeAlias = Item | Column | Row | Sequence[Item | Column]
"""A row, as ``Page.of`` takes it."""


@frozen(repr=False)
class Page(Part):
    """A page that is shown for each row of the dataset, or once before or after all tasks.

    Attributes:
        rows: The rows, from top to bottom.
        display_position: "intro" for a page before the tasks, "outro" for one after them, None for
            a page of each task.

    Raises:
        ValueError: The position is another, a page before or after the tasks has more than images
            and texts, a field of the dataset is on the page twice, or a row is no Row.

    """

    rows: tuple[Row, ...] = field(
        converter=_rows, validator=values.each(Row, "a Row"), repr=as_list
    )
    display_position: str | None = field(
        default=None,
        kw_only=True,
        validator=values.optional(values.one_of("intro", "outro")),
    )

    @classmethod
    def of(cls, *rows: RowLike, position: Literal["intro", "outro"] | None = None) -> Self:
        """Make a page from its rows, each an item or a list of two columns side by side.

        ```python
        from prolific_async import layout as ui

        page = ui.Page.of(
            ui.RichText("<h2>Compare the two answers</h2>"),
            [ui.DatasetField("answer_a"), ui.DatasetField("answer_b")],
            ui.MultipleChoice("Which is better?", ["A", "B"]),
        )
        ```

        Args:
            rows: One argument for each row: an item; a list of exactly two columns, each of them an
                item or a ``Column``; or a ``Column`` or ``Row``.
            position: "intro" for a page before the tasks, "outro" for one after them.

        Raises:
            ValueError: An argument is no row, or as the class.

        """
        made = [_row(index, given) for index, given in enumerate(rows)]
        return cls(made, display_position=position)

    def __repr__(self) -> str:
        """Show a new page as the ``Page.of`` call that makes it."""
        if not is_bare(self):
            return Part.__repr__(self)
        given = [_as_argument(row) for row in self.rows]
        if self.display_position is not None:
            given.append(f"position={self.display_position!r}")
        return f"Page.of({', '.join(given)})"

    def _check(self) -> None:
        seen: dict[str, str] = {}
        for where, item in self._placed_items():
            if self.display_position is not None and not isinstance(item, _OUTSIDE_TASKS):
                raise ValueError(
                    f"{where} must be an Image or RichText on a page with the position "
                    f"{self.display_position!r}: {values.shown(item)}"
                )
            if not isinstance(item, DatasetField):
                continue
            if (first := seen.setdefault(item.field, where)) != where:
                raise ValueError(
                    f"{where} must not show the field {item.field!r} again: {first} does"
                )

    def _placed_items(self) -> Iterator[tuple[str, Item]]:
        """Yield the items with their places."""
        for row_index, row in enumerate(self.rows):
            for column_index, column in enumerate(row.columns):
                for index, item in enumerate(column.items):
                    place = f"rows[{row_index}].columns[{column_index}].items[{index}]"
                    yield f"Page.{place}", item


# Whether an item of an unknown type may stand there is up to the service.
_OUTSIDE_TASKS = (Image, RichText, UnknownItem)


def _as_argument(row: Row) -> str:
    """Show a row as ``Page.of`` takes it."""
    if not is_bare(row) or not 1 <= len(row.columns) <= _SIDE_BY_SIDE:
        return repr(row)
    return _shown(row.columns[0]) if len(row.columns) == 1 else _as_columns(row.columns)


def _row(index: int, given: Any) -> Row:
    """Return the row that an argument of ``Page.of`` stands for."""
    if isinstance(given, Row):
        return given
    columns = [given] if isinstance(given, Column | Item) else given
    where = f"row {index} of Page.of"
    if not isinstance(columns, Sequence) or isinstance(columns, str | bytes):
        raise ValueError(
            f"{where} must be an item, a Column, a Row, or a list of two columns: "
            f"{values.shown(given)}"
        )
    if columns is given and len(columns) != _SIDE_BY_SIDE:
        raise ValueError(f"{where} must be a list of two columns, not of {len(columns)}")
    try:
        return Row(columns)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def read(batch_items: Iterable[JsonObject]) -> tuple[Page, ...]:
    """Read the pages of a batch from their JSON, which is copied.

    Raises:
        DecodeError: A part is not of its documented shape.

    """
    return load_copy(tuple[Page, ...], [*map(dict, batch_items)], at="$.batch_items")
