"""Rows of a report, made of the records of its CSV.

Facts: reports that people have published. Columns of the dataset may have the names of the
service's own, which are therefore told by their places: four at the beginning, and three for each
annotator at the end.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from attrs import frozen

from prolific_async._json.reading import time
from prolific_async._messages import brief
from prolific_async._report.csv_records import PIECE, CsvRecords, Records
from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources.cells import place
from prolific_async.errors import DecodeError
from prolific_async.report_models import Annotation, ReportRow

_FIXED = ["DataPoint_ID", "Task_Group_ID", "Task_Type", "Question"]
_LAST = re.compile(r"Annotator([1-9][0-9]{0,5})_Timestamp")
_NOT_UTF_8 = "not UTF-8, here or further on"
_PARTS = ("ID", "Response", "Timestamp")

# Frozen values refuse to be written to, so they are of another class until they are complete: their
# own ``__init__`` takes twice the time.
_FREE = {
    "__setattr__": object.__setattr__,
    "__delattr__": object.__delattr__,  # else writing takes the slow way of both
    "__slots__": (),
}
_FreeAnnotation: Any = type("Annotation", (Annotation,), _FREE)
_FreeRow: Any = type("ReportRow", (ReportRow,), _FREE)
_new = object.__new__


class ReportReader:
    """Makes rows of a report that arrives in pieces.

    Args:
        call: Method and path of the request, for errors.

    Attributes:
        count: How many rows were made.

    """

    def __init__(self, call: tuple[str, str]) -> None:
        self.count = 0
        self._call = call
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._records = CsvRecords()
        self._columns: Columns | None = None

    def feed(self, data: bytes) -> Iterator[list[ReportRow]]:
        """Yield the rows that end in what came so far, some at a time; others may run in between.

        Raises:
            DecodeError: It does not have the documented form; the error tells the row. Those before
                it were yielded.

        """
        with self._telling_place():
            for start in range(0, len(data), PIECE):
                piece = self._decoder.decode(data[start : start + PIECE])
                yield from self._rows(self._records.feed(piece))
                yield []

    def finish(self) -> Iterator[list[ReportRow]]:
        """Yield the row at the end, which has no line end.

        Raises:
            DecodeError: As ``feed``, or there was no header.

        """
        with self._telling_place():
            self._decoder.decode(b"", final=True)
            yield from self._rows(self._records.finish())
            if self._columns is None:
                raise ValueError("it is missing")

    def _rows(self, parts: Iterator[Records]) -> Iterator[list[ReportRow]]:
        for records in parts:
            rows: list[ReportRow] = []
            fault = ""
            if self._columns is None and records:
                self._columns = Columns.of(records.pop(0))
            if self._columns is not None:
                try:
                    self._columns.add_rows(records, rows)
                except ValueError as error:
                    fault = str(error)  # itself, it would be in a cycle with this frame
            self.count += len(rows)
            yield rows
            if fault:
                raise ValueError(fault)

    @contextmanager
    def _telling_place(self) -> Iterator[None]:
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
        count: How many there are.
        data: Names of the dataset's own.
        slots: Number and first column of each annotator.

    """

    count: int
    data: tuple[str, ...]
    slots: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, header: list[str]) -> Columns:
        """Read a header.

        Raises:
            ValueError: It is not a report's.

        """
        if header[: len(_FIXED)] != _FIXED:
            shown = brief(", ".join(map(repr, header[: len(_FIXED)])))
            raise ValueError(f"{', '.join(_FIXED)} are needed as the first columns, not {shown}")
        end = _annotators_begin(header)
        names = tuple(map(unescaped, header[len(_FIXED) : end]))
        firsts = range(end, len(header), len(_PARTS))
        return cls(len(header), names, tuple(enumerate(firsts, 1)))

    def add_rows(self, records: Records, rows: list[ReportRow]) -> None:
        """Append the rows of records to a list.

        Raises:
            ValueError: A record has not as many cells as the header. Those before it are there.

        """
        # In one loop, as a call for each row and each annotation takes a third of the time.
        count, names, slots = self.count, self.data, self.slots
        read_iso = datetime.fromisoformat
        end = len(_FIXED) + len(names)
        row: Any
        for cells in records:
            if len(cells) != count:
                raise ValueError(f"it has {len(cells)} cells, and the header {count}")
            if not slots:
                raise ValueError("it has no columns of annotators")
            annotations = []
            for slot, at in slots:
                participant_id, response, moment = cells[at : at + 3]
                if participant_id or response or moment:
                    annotation = _new(_FreeAnnotation)
                    annotation.slot = slot
                    annotation.participant_id = participant_id
                    annotation.response = unescaped(response) if "&" in response else response
                    try:
                        at_time = read_iso(moment)
                    except ValueError:
                        at_time = None
                    # The usual form takes a tenth of the time of the rule of all models.
                    usual = at_time is not None and at_time.tzinfo is UTC
                    annotation.at = at_time if usual else _time(moment)
                    annotation.at_text = moment
                    annotation.__class__ = Annotation
                    annotations.append(annotation)
            texts = [unescaped(cell) if "&" in cell else cell for cell in cells[2:end]]
            data = dict(zip(names, texts[2:]))  # noqa: B905 - strict takes half as long again
            row = _new(_FreeRow)
            row.datapoint_id = cells[0]
            row.task_group_id = cells[1]
            row.task_type = texts[0]
            row.question = texts[1]
            row.data = MappingProxyType(data)
            row.annotations = tuple(annotations)
            row.key = data.get(META_ROW_KEY) or None
            row.__class__ = ReportRow
            rows.append(row)


def _annotators_begin(header: list[str]) -> int:
    """Return the place of the first annotator's columns; the end if there is none.

    They are the triplets at the end whose numbers go down to 1 from right to left.
    """
    last = _LAST.fullmatch(header[-1])
    count = int(last[1]) if last else 0
    begin = len(header) - len(_PARTS) * count
    if begin >= len(_FIXED):
        names = [f"Annotator{slot}_{part}" for slot in range(1, count + 1) for part in _PARTS]
        if header[begin:] == names:
            return begin
    return len(header)


def unescaped(text: str) -> str:
    """Undo the escaping of HTML once, and leave entities that people have typed.

    Only what the service escapes is undone, unlike by ``html.unescape``, which also knows names
    without a semicolon: "&copy=1" in an address is no sign.
    """
    if "&#" in text:
        text = text.replace("&#39;", "'").replace("&#x27;", "'")
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    return text.replace("&amp;", "&")  # last, as it makes new ampersands


def _time(text: str) -> datetime | None:
    """Return a time in UTC, None if it cannot be read."""
    try:
        return time(text, datetime)
    except ValueError:
        return None
