"""Rows of a report: its columns are told by place, and its escaping is undone once."""

from __future__ import annotations

import copy
import gc
import html
import pickle
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async import DecodeError
from prolific_async._report.rows import ReportReader
from prolific_async.report_models import Annotation, ReportRow
from tests.report.test_csv_parser import written
from tests.report.test_escaping import ESCAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL = ("GET", "/api/v1/data-collection/batches/b1/report/")
FIXED = ["DataPoint_ID", "Task_Group_ID", "Task_Type", "Question"]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOON_TEXT = "2026-05-04T12:00:00Z"

# What people type, above all what looks like the report's own escaping, quoting and columns.
PARTS = [
    "&", "&amp;", "&amp;amp;", "&lt;b&gt;", "<b>", "&quot;", "&#39;", "&#x27;", "&#34;", "&nbsp;",
    "&copy=1", "&lt", ";", '"', '""', '","', '"\r\n"', "'", "\r\n", "\n", "\r", ",", "\u2028", "\0",
    "🙂", "é", "\ufeff", " ", "x",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=5).map("".join) | st.text(max_size=20)
NAMES = st.sampled_from(
    [
        "Question", "question", "DataPoint_ID", "Task_Type", "META_ROW_KEY", "META_x", "A&B", '"',
        "Annotator1_ID", "Annotator1_Response", "Annotator1_Timestamp", "Annotator2_Timestamp",
        "é\r\n",
    ]
)  # fmt: skip
ANNOTATIONS = st.builds(Annotation, st.just(0), st.sampled_from(["p1", "p2"]), TEXTS, st.just(NOON))


def annotators(count: int) -> list[str]:
    parts = ("ID", "Response", "Timestamp")
    return [f"Annotator{slot}_{part}" for slot in range(1, count + 1) for part in parts]


def report(
    rows: Sequence[ReportRow], columns: Sequence[str], slots: int, escape: object = html.escape
) -> str:
    """Write rows as the service does."""
    assert callable(escape)
    lines = [[*FIXED, *map(escape, columns), *annotators(slots)]]
    for row in rows:
        cells = [row.datapoint_id, row.task_group_id, escape(row.task_type), escape(row.question)]
        cells += [escape(row.data[name]) for name in columns]
        by_slot = {one.slot: one for one in row.annotations}
        for slot in range(1, slots + 1):
            one = by_slot.get(slot)
            cells += [one.participant_id, escape(one.response), one.at_text] if one else [""] * 3
        lines.append(cells)
    return written(lines).removesuffix("\r\n")


def read(text: str | bytes, size: int = 1000) -> list[ReportRow]:
    data = text if isinstance(text, bytes) else text.encode()
    reader = ReportReader(CALL)
    found = []
    for start in range(0, len(data), size):
        found += list(reader.feed(data[start : start + size]))
    found += list(reader.finish())
    return [row for rows in found for row in rows]


def cells(*more: str) -> list[str]:
    return ["d1", "g1", "free_text", "Why?", *more]


@given(data=st.data())
@pytest.mark.parametrize("escape", ESCAPES)
def test_rows_come_back_as_the_service_has_written_them(
    escape: object, data: st.DataObject
) -> None:
    columns = data.draw(st.lists(NAMES, unique=True, max_size=5))
    slots = data.draw(st.integers(1, 3))
    rows = []
    for number in range(data.draw(st.integers(0, 3))):
        own = {name: data.draw(TEXTS) for name in columns}
        taken = data.draw(st.sets(st.integers(1, slots)))
        annotations = []
        for slot in sorted(taken):
            drawn = data.draw(ANNOTATIONS)
            annotations.append(Annotation(slot, drawn.participant_id, drawn.response, drawn.at))
        rows.append(
            ReportRow(
                f"d{number}",
                "&amp;",
                data.draw(TEXTS),
                data.draw(TEXTS),
                own,
                tuple(annotations),
                own.get("META_ROW_KEY") or None,
            )
        )
    text = report(rows, columns, slots, escape)
    assert read(text, data.draw(st.integers(1, 200))) == rows


def test_all_texts_are_unescaped_once() -> None:
    escaped, text = "&amp;amp; &lt;&#39;", "&amp; <'"
    header = [*FIXED, escaped, "b", *annotators(2)]
    row = ["d1", "g1", *[escaped] * 4, *["p1", escaped, NOON_TEXT] * 2]
    (found,) = read(written([header, row]))
    assert (found.task_type, found.question) == (text, text)
    assert found.data == {text: text, "b": text}
    assert [one.response for one in found.annotations] == [text, text]


def test_ids_and_times_are_no_text() -> None:
    odd = "&amp;"
    row = [odd, odd, "free_text", "Why?", odd, "x", odd]
    (found,) = read(written([[*FIXED, *annotators(1)], row]))
    assert (found.datapoint_id, found.task_group_id) == (odd, odd)
    assert found.annotations == (Annotation(1, odd, "x", None, odd),)


@pytest.mark.parametrize(
    ("columns", "own"),
    [
        (annotators(2), []),
        (["Annotator1_ID", *annotators(1)], ["Annotator1_ID"]),
        ([*annotators(1), *annotators(2)], annotators(1)),
        ([*annotators(3), *annotators(2)], annotators(3)),
        ([*annotators(2), *annotators(11)], annotators(2)),
        ([*FIXED, *annotators(1)], FIXED),
    ],
)
def test_annotators_are_the_last_columns(columns: list[str], own: list[str]) -> None:
    row = cells(*(f"c{number}" for number in range(len(columns))))
    (found,) = read(written([[*FIXED, *columns], row]))
    assert list(found.data.items()) == [(name, f"c{number}") for number, name in enumerate(own)]
    count = (len(columns) - len(own)) // 3
    assert [one.slot for one in found.annotations] == list(range(1, count + 1))
    assert found.annotations[0].participant_id == f"c{len(own)}"


def test_empty_slots_are_left_out_and_the_others_keep_their_numbers() -> None:
    row = cells("", "", "", "p2", "", "", "", "", "", "", "yes", "")
    (found,) = read(written([[*FIXED, *annotators(4)], row]))
    assert found.annotations == (Annotation(2, "p2", ""), Annotation(4, "", "yes"))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (NOON_TEXT, NOON),
        ("2026-05-04T12:00:00.25Z", NOON.replace(microsecond=250_000)),
        ("2026-05-04T14:00:00+02:00", NOON),
        ("2026-05-04 12:00:00", NOON),
        ("2026-05-04 12:00:00.123456789 +0000 UTC", None),
        ("2026-99-04T12:00:00Z", None),
        ("04/05/2026 12:00", None),
        ("", None),
    ],
)
def test_a_time_is_in_utc_or_none_beside_its_text(text: str, at: datetime | None) -> None:
    (found,) = read(written([[*FIXED, *annotators(1)], cells("p1", "x", text)]))
    (annotation,) = found.annotations
    assert (annotation.at, annotation.at_text) == (at, text)


@pytest.mark.parametrize(("cell", "key"), [("7", "7"), ("a&amp;b", "a&b"), ("", None)])
def test_the_key_is_that_of_the_upload(cell: str, key: str | None) -> None:
    header = [*FIXED, "META_ROW_KEY", "META_x", *annotators(1)]
    (found,) = read(written([header, cells(cell, "x", "p1", "yes", NOON_TEXT)]))
    assert found.key == key
    assert found.data == {"META_ROW_KEY": key or "", "META_x": "x"}


def test_a_report_without_answers_has_no_rows() -> None:
    assert read(written([[*FIXED, "a"]])) == []
    assert read("\ufeff" + written([FIXED]).removesuffix("\r\n")) == []


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n\r\n"])
def test_a_mark_and_other_line_ends_are_no_cells(end: str, size: int) -> None:
    row = cells("\ufeff\r", "p1", "\r\nx\n\r", NOON_TEXT)
    text = "\ufeff" + written([[*FIXED, "a", *annotators(1)], row, row], end=end)
    answer = Annotation(1, "p1", "\r\nx\n\r", NOON)
    expected = ReportRow("d1", "g1", "free_text", "Why?", {"a": "\ufeff\r"}, (answer,))
    assert read(text, size) == [expected, expected]


def test_of_columns_with_one_name_the_last_counts() -> None:
    header = [*FIXED, "a", "META_ROW_KEY", "a", "META_ROW_KEY", *annotators(1)]
    (found,) = read(written([header, cells("1", "k1", "2", "k2", "p1", "x", NOON_TEXT)]))
    assert found.data == {"a": "2", "META_ROW_KEY": "k2"}
    assert found.key == "k2"
    assert found.annotations[0].participant_id == "p1"


@pytest.mark.parametrize("spoiled", [b"\xff", b"\xed\xa0\x80", b"\xc3("])
def test_rows_of_earlier_pieces_come_before_bytes_that_are_no_text(spoiled: bytes) -> None:
    reader = ReportReader(CALL)
    rows = [row for some in reader.feed(written(GOOD).encode()) for row in some]
    assert rows == read(written(GOOD))
    with pytest.raises(DecodeError, match=CALL[1]) as raised:
        list(reader.feed(b'"' + spoiled + b'"'))
    assert raised.value.problems == (f"{SECOND}{NOT_UTF_8}",)


HEADER, FIRST, SECOND = "the header: ", "row 0 (counted from 0): ", "row 1 (counted from 0): "
FOUR = "DataPoint_ID, Task_Group_ID, Task_Type, Question are needed as the first columns, not"
NO_ANNOTATORS = "it has no columns of annotators"
NOT_UTF_8 = "not UTF-8, here or further on"
GOOD = [[*FIXED, *annotators(1)], cells("p1", "x", NOON_TEXT)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"{HEADER}missing, as the report is empty"),
        ("\r\n\r\n", f"{HEADER}missing, as the report is empty"),
        ("<html>Sorry</html>", f"{HEADER}{FOUR} '<html>Sorry</html>'"),
        (written([["DataPoint_ID", "Question"]]), f"{HEADER}{FOUR} 'DataPoint_ID', 'Question'"),
        (written([FIXED, cells()]), f"{FIRST}{NO_ANNOTATORS}"),
        (written([[*FIXED, "Annotator999999_Timestamp"], cells("x")]), f"{FIRST}{NO_ANNOTATORS}"),
        (written([[*FIXED, *annotators(2)[3:]], cells(*"abc")]), f"{FIRST}{NO_ANNOTATORS}"),
        (
            written([[*FIXED, *"abc", *annotators(2)[3:]], cells(*"abcdef")]),
            f"{FIRST}{NO_ANNOTATORS}",
        ),
        (written([*GOOD, cells("p1")]), f"{SECOND}it has 5 cells, and the header 7"),
        (written([*GOOD, cells(*"abcd")]), f"{SECOND}it has 8 cells, and the header 7"),
        ("\ufeff", f"{HEADER}missing, as the report is empty"),
        ("\0", f"{HEADER}{FOUR} '\\x00'"),
        (written(GOOD) + '"d2","g', f"{SECOND}a quote is never closed"),
        (written(GOOD) + '"d2"x,"g"', f"{SECOND}column 1: something follows its closing quote"),
        (written(GOOD).encode() + b'"\xe9"', f"{HEADER}{NOT_UTF_8}"),
        (written(GOOD).encode() + b'"\xc3', f"{SECOND}{NOT_UTF_8}"),
    ],
)
def test_a_file_that_is_no_report_raises_a_decode_error(text: str | bytes, problem: str) -> None:
    with pytest.raises(DecodeError) as raised:
        read(text)
    error = raised.value
    assert (error.problems, error.body) == ((problem,), None)
    assert (error.method, error.path) == CALL


@pytest.mark.parametrize("fault", ['"d2"x,"g"\r\n', '"d2","g"\r\n'])
def test_rows_before_a_fault_are_yielded(fault: str) -> None:
    rows: list[ReportRow] = []
    with pytest.raises(DecodeError):  # noqa: PT012 - which comes after them
        for some in ReportReader(CALL).feed((written(GOOD) + fault).encode()):
            rows += some
    assert rows == read(written(GOOD))


ROW = ReportRow(
    "d1",
    "g1",
    "free_text",
    "Why?",
    {"question": "own", "META_ROW_KEY": "7", "slot": "s"},
    (Annotation(1, "p1", "x", NOON), Annotation(3, "p3", "y", None, "yesterday")),
    "7",
)


def test_the_garbage_collector_rests_while_rows_are_read_and_not_kept() -> None:
    row = cells("p1", "The left one. " * 10, NOON_TEXT)
    data = written([GOOD[0], *[row] * 2000]).encode()
    runs = gc.get_stats()[0]["collections"]
    count = sum(1 for rows in ReportReader(CALL).feed(data) for _ in rows)
    assert count == 2000
    assert gc.get_stats()[0]["collections"] - runs <= 2


def test_flat_has_a_mapping_for_each_annotation() -> None:
    both = {
        "datapoint_id": "d1",
        "task_group_id": "g1",
        "task_type": "free_text",
        "question": "Why?",
        "key": "7",
        "data.question": "own",
        "data.META_ROW_KEY": "7",
        "data.slot": "s",
    }
    first = {"slot": 1, "participant_id": "p1", "response": "x", "at": NOON, "at_text": NOON_TEXT}
    second = first | {"slot": 3, "participant_id": "p3", "response": "y"}
    second |= {"at": None, "at_text": "yesterday"}
    assert ROW.flat() == [both | first, both | second]


def test_rows_are_values() -> None:
    read_again = ReportRow.from_dict(ROW.to_dict())
    assert read_again == ROW
    assert hash(read_again) == hash(ROW)
    assert ROW.to_dict()["annotations"][0]["at"] == NOON_TEXT
    assert pickle.loads(pickle.dumps(ROW)) == ROW
    assert copy.deepcopy(ROW) == ROW
    assert type(read(report([ROW], list(ROW.data), 3))[0]) is ReportRow


def test_rows_are_read_only() -> None:
    given = {"a": "1"}
    row = ReportRow("d1", "g1", "free_text", "Why?", given, ())
    given["a"] = "2"
    assert row.data == {"a": "1"}
    (read_one,) = read(written(GOOD))
    for one in (row, read_one):
        with pytest.raises(TypeError):
            one.data["a"] = "3"  # type: ignore[index]
        with pytest.raises(AttributeError):
            one.key = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        read_one.annotations[0].slot = 2  # type: ignore[misc]
