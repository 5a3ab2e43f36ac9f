"""Rows of a report, made from the records of its CSV.

A column of the dataset may have the same name as one of the service's own columns, so the service's
are recognized by position: four at the beginning, and three for each annotator at the end.

Source: reports that people have published.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from types import MappingProxyType
from typing import Any

from attrs import frozen

from prolific_async._json.structure_hooks import time
from prolific_async._message_parts import brief, place
from prolific_async._report.csv_parser import PIECE, CsvParser, Records
from prolific_async._report.escaping import unescaped_cells
from prolific_async._row_key import META_ROW_KEY
from prolific_async.errors import DecodeError
from prolific_async.report_models import Annotation, ReportRow

_FIXED = ["DataPoint_ID", "Task_Group_ID", "Task_Type", "Question"]
_LAST_COLUMN = re.compile(r"Annotator([1-9][0-9]{0,5})_Timestamp")
_NOT_UTF_8 = "not UTF-8, here or further on"
_PARTS = ("ID", "Response", "Timestamp")
_TASK_TYPE, _RESPONSE = _FIXED.index("Task_Type"), _PARTS.index("Response")

# Frozen values cannot be written to, so they have an unfrozen class until they are complete;
# calling their ``__init__`` takes twice as long.
_FREE = {
    "__setattr__": object.__setattr__,
    "__delattr__": object.__delattr__,  # without it, writing is slow, too
    "__slots__": (),
}
_FreeAnnotation: Any = type("Annotation", (Annotation,), _FREE)
_FreeRow: Any = type("ReportRow", (ReportRow,), _FREE)
_new = object.__new__


class ReportReader:
    """Reads the rows of a report that arrives in pieces.

    Args:
        call: Method and path of the request, for errors.

    Attributes:
        count: Number of rows so far.

    """

    def __init__(self, call: tuple[str, str]) -> None:
        self.count = 0
        self._call = call
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._records = CsvParser()
        self._columns: Columns | None = None

    def feed(self, data: bytes) -> Iterator[Iterable[ReportRow]]:
        """Yield the rows that are complete by now, some at a time; other tasks may run in between.

        Raises:
            DecodeError: The report does not have the expected form; the error names the row. All
                rows before it were yielded.

        """
        with self._decode_errors():
            for start in range(0, len(data), PIECE):
                piece = self._decoder.decode(data[start : start + PIECE])
                yield from self._rows(self._records.feed(piece))
                yield ()

    def finish(self) -> Iterator[Iterable[ReportRow]]:
        """Yield the last row if it has no line end.

        Raises:
            DecodeError: As ``feed``, or the report has no header.

        """
        with self._decode_errors():
            self._decoder.decode(b"", final=True)
            yield from self._rows(self._records.finish())
            if self._columns is None:
                raise ValueError("missing, as the report is empty")

    def _rows(self, parts: Iterator[Records]) -> Iterator[Iterable[ReportRow]]:
        for records in parts:
            if self._columns is None and records:
                self._columns = Columns.of(records.pop(0))
            if self._columns is None:
                yield ()
                continue
            valid, fault = self._columns.valid_prefix(records)
            self.count += len(valid)
            yield self._columns.rows(valid)
            if fault:
                raise ValueError(fault)

    @contextmanager
    def _decode_errors(self) -> Iterator[None]:
        """Turn each ValueError into a DecodeError that names the row."""
        try:
            yield
        except ValueError as error:
            reason = _NOT_UTF_8 if isinstance(error, UnicodeDecodeError) else str(error)
            where = "the header" if self._columns is None else place(self.count)
            problems = (f"{where}: {reason}",)
        else:
            return
        raise DecodeError(problems, None, *self._call)


@frozen
class Columns:
    """The columns of a report.

    Attributes:
        count: Number of columns.
        data: Names of the dataset's own columns.
        slots: For each annotator, the number from 1 on and the index of the first column.

    """

    count: int
    data: tuple[str, ...]
    slots: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, header: list[str]) -> Columns:
        """Return the columns of a header.

        Raises:
            ValueError: The header is not one of a report.

        """
        if header[: len(_FIXED)] != _FIXED:
            shown = brief(", ".join(map(repr, header[: len(_FIXED)])))
            raise ValueError(f"{', '.join(_FIXED)} are needed as the first columns, not {shown}")
        end = _annotators_begin(header)
        names = tuple(unescaped_cells(header[len(_FIXED) : end]))
        firsts = range(end, len(header), len(_PARTS))
        return cls(len(header), names, tuple(enumerate(firsts, 1)))

    def valid_prefix(self, records: Records) -> tuple[Records, str]:
        """Return the records before the first invalid one, and its fault, "" if all are valid."""
        for number, cells in enumerate(records):
            if len(cells) != self.count:
                fault = f"it has {len(cells)} cells, and the header {self.count}"
            elif not self.slots:
                fault = "it has no columns of annotators"
            else:
                continue
            return records[:number], fault
        return records, ""

    def rows(self, records: Records) -> Iterator[ReportRow]:
        """Yield the rows of records that ``valid_prefix`` returned.

        Rows are made one by one: many at once would make the garbage collector run, which takes a
        third of the time.
        """
        # All in one loop, as a call for each row and each annotation takes a third of the time.
        names, slots = self.data, self.slots
        read_iso = datetime.fromisoformat
        row: Any
        for cells in self._unescaped(records):
            annotations = []
            for slot, at in slots:
                participant_id, response, moment = cells[at : at + 3]
                if participant_id or response or moment:
                    annotation = _new(_FreeAnnotation)
                    annotation.slot = slot
                    annotation.participant_id = participant_id
                    annotation.response = response
                    try:
                        at_time = read_iso(moment)
                    except ValueError:
                        at_time = None
                    # For the usual form, this takes a tenth of the time of _time().
                    usual = at_time is not None and at_time.tzinfo is UTC
                    annotation.at = at_time if usual else _time(moment)
                    annotation.at_text = moment
                    annotation.__class__ = Annotation
                    annotations.append(annotation)
            data = dict(zip(names, cells[len(_FIXED) :]))  # noqa: B905 - without the annotators' cells
            row = _new(_FreeRow)
            row.datapoint_id, row.task_group_id, row.task_type, row.question = cells[:4]
            row.data = MappingProxyType(data)
            row.annotations = tuple(annotations)
            row.key = data.get(META_ROW_KEY) or None
            row.__class__ = ReportRow
            yield row

    def _unescaped(self, records: Records) -> Iterator[tuple[str, ...]]:
        """Return the records with unescaped texts; ids and times are left as they are."""
        if not records:
            return iter(())
        columns: list[Sequence[str]] = list(zip(*records, strict=True))
        responses = (at + _RESPONSE for _, at in self.slots)
        for column in chain(range(_TASK_TYPE, len(_FIXED) + len(self.data)), responses):
            columns[column] = unescaped_cells(columns[column])
        return zip(*columns, strict=True)


def _annotators_begin(header: list[str]) -> int:
    """Return the index of the first annotator's columns, the header's length if there are none.

    The columns of annotators are the triplets at the end of the header, numbered 1, 2 and so on.
    """
    last = _LAST_COLUMN.fullmatch(header[-1])
    count = int(last[1]) if last else 0
    begin = len(header) - len(_PARTS) * count
    if begin >= len(_FIXED):
        names = [f"Annotator{slot}_{part}" for slot in range(1, count + 1) for part in _PARTS]
        if header[begin:] == names:
            return begin
    return len(header)


def _time(text: str) -> datetime | None:
    """Return a time in UTC, None if the text is not a valid time."""
    try:
        return time(text, datetime)
    except ValueError:
        return None
