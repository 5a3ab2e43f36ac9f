"""Targets of the fuzzer: each takes bytes from the service and checks a promise.

Only our own errors come out, they can be told and pickled, and what is valid comes back whole. The
targets go through the verbs, over a transport that answers with the bytes, so that all decoders and
parsers behind a verb are met as they are used.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from multidict import CIMultiDict

from prolific_async import (
    APIStatusError,
    Batch,
    BatchStatus,
    ConnectionLostError,
    DecodeError,
    OutcomeUnknownError,
    ProlificError,
    ReportRow,
    TaskResponse,
    WaitError,
)
from prolific_async._http import responses
from prolific_async._json.converter import load
from prolific_async._json.decoding import decode
from prolific_async._polling import list_parser
from prolific_async._report.rows import ReportReader
from tests.fuzz import file_targets as files
from tests.fuzz.canned import (
    BETWEEN,
    NOW,
    TOKEN,
    Canned,
    check_told,
    check_whole,
    parts,
    run,
    verbs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prolific_async._http.request import Request

STATUSES = (200, 201, 202, 204, 302, 400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 502, 503)

BATCH = b"""{"id": "b1", "created_at": "2026-03-04T05:06:07.5Z", "created_by": "u1", "datasets":
[{"id": "d1", "total_datapoint_count": 2, "filename": null, "x": [1.5e3]}], "name": "R\\u00e9 2",
"status": "READY", "total_task_count": 4, "total_instruction_count": 2, "workspace_id": "w1",
"task_details": {"task_name": "Rate", "task_steps": "<ol></ol>"}, "schema_version": "4",
"batch_items": [{"rows": []}], "auto_sync_enabled": false, "tasks_per_group": 1, "news": {}}"""
LIST = b'{"results": [' + BATCH + b', {"id": "b2", "status": "PROCESSING"}], "meta": {"count": 2}}'
TWICE = b'{"results": [{"id": "b1", "status": "NEW"}, ' + BATCH + b"]}"
REPORT = b'''"DataPoint_ID","Task_Group_ID","Task_Type","Question","text","META_ROW_KEY",\
"Annotator1_ID","Annotator1_Response","Annotator1_Timestamp"\r\n"d1","g1","free_text","Why?",\
"a ""&amp;lt;"" R\xc3\xa9\n","k","p1","&#x27;","2026-03-04T05:06:07.5Z"\r\n"d2","g1","free_text",\
"Why?","","l","","",""'''
RESPONSES = b"""{"results": [{"id": "r1", "created_at": "2026-03-04T05:06:07.5Z", "batch_id": "b1",
"participant_id": "p1", "task_id": "t1", "response": {"instruction_id": "i1", "type": "free_text",
"answer": [{"value": "R\\u00e9", "unit": null}, {"value": 1.5, "x": []}]}, "submission_id": "s1",
"metadata": {"META_ROW_KEY": "k"}, "no_submission": false, "schema_version": "4"}], "meta": {}}"""
PAGE = b'{"results": [' + BATCH + b'], "_links": {"next": {"href": "https://x/?page=2&a=%20"}}}'
LOST = BETWEEN.join([b"<", BATCH, LIST])
ERRORS = (
    b'{"error": {"status": 400, "error_code": 140003, "title": "Bad", "detail": "no"}}',
    b'{"error": {"error_code": "x", "title": 5, "detail": {"name": ["long", "wrong"]}}}',
    b'{"message": "m", "detail": "Token t0ken-of/nobody"}',
    b'{"detail": ["a", "b"]}',
    b'{"type": "INVALID_BATCH_ITEMS", "message": "m", "issues": [{"page": 0, "type": "t"}]}',
    b"<html>t0ken-of\\/nobody</html>",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    b"",
)


def text_of(body: bytes) -> str:
    return body.decode("utf-8-sig")


async def from_dict(sent: Any) -> Batch:
    return Batch.from_dict(sent)


def get(data: bytes) -> None:
    """The response to ``get``, and the same document for ``Batch.from_dict``."""
    result = run(verbs(Canned(iter([data]))).get("b1"))
    try:
        sent = decode(text_of(data))
    except ValueError:
        assert isinstance(result, DecodeError)
        return
    own = run(from_dict(sent))
    if isinstance(own, Batch):
        assert result == own
        check_whole(own, sent)
        return
    assert isinstance(own, DecodeError)
    if own.problems != ("$: nested too deep",):  # which only copying it may find
        assert isinstance(result, DecodeError)
        assert result.problems == own.problems


def status(data: bytes) -> None:
    """The response to ``get_status``."""
    result = run(verbs(Canned(iter([data]))).get_status("b1"))
    if result is None or isinstance(result, BatchStatus):
        assert decode(text_of(data)).get("status") == result
    else:
        assert isinstance(result, DecodeError)


def pages(data: bytes) -> None:
    """The responses to ``list``, page after page by their links."""
    canned = Canned(parts(data, b"{}"))
    result = run(verbs(canned).list("w1"))
    assert all(one.path == canned.asked[0].path for one in canned.asked)
    assert all(one.target.isascii() and one.target.isprintable() for one in canned.asked)
    if isinstance(result, ProlificError):
        assert isinstance(result, DecodeError)
        return
    sent = [decode(text_of(page)) for page in data.split(BETWEEN)[: len(canned.asked)]]
    assert [batch.id for batch in result] == [
        batch["id"] for page in sent for batch in page.get("results") or []
    ]


def report(data: bytes) -> None:
    """The CSV of a report, whole and in pieces, from a storage that is never sent the token."""
    data = data.replace(TOKEN.encode(), b"")
    found = [_read_report(data, size) for size in (len(data) or 1, 7)]
    for result in found:
        if isinstance(result, DecodeError):
            check_told(result)
        else:
            assert [ReportRow.from_dict(row.to_dict()) for row in result] == result
    if not any(isinstance(result, DecodeError) for result in found):
        assert found[0] == found[1]


def _read_report(data: bytes, size: int) -> list[ReportRow] | DecodeError:
    reader = ReportReader(("GET", "/report/"))
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    try:
        parts = [*chain.from_iterable(map(reader.feed, pieces)), *reader.finish()]
    except DecodeError as error:
        return error
    return list(chain.from_iterable(parts))


def task_responses(data: bytes) -> None:
    """The responses of a batch, as they come, and what was yielded before an error."""
    canned = Canned(parts(data, b"{}"))
    found: list[TaskResponse] = []

    async def read() -> None:
        async for one in verbs(canned).responses("b1"):
            found.append(one)  # noqa: PERF401 - those before an error, too

    result = run(read())
    assert result is None or isinstance(result, DecodeError | ConnectionLostError)
    for one in found:
        assert TaskResponse.from_dict(one.to_dict()) == one
        assert one.key is None or isinstance(one.key, str)
    if result is None:
        sent = [page for page in map(decoded, data.split(BETWEEN)[: len(canned.asked)]) if page]
        assert [one.id for one in found] == [
            one["id"] for page in sent for one in page.get("results") or []
        ]


def decoded(page: bytes) -> Any:
    """Decode a page, None if it was cut and so requested again."""
    try:
        return decode(text_of(page))
    except ValueError:
        return None


def duplicate(data: bytes) -> None:
    """The response to ``duplicate``, and the source and list that are read if it is lost."""
    canned = Canned(parts(data, LIST), 201)
    result = run(verbs(canned).duplicate("b0", name="R\u00e9 2"))
    assert [one.method for one in canned.asked].count("POST") == 1
    assert isinstance(result, Batch | OutcomeUnknownError)
    if len(canned.asked) == 1:
        assert isinstance(result, Batch)
        check_whole(result, decode(text_of(data.split(BETWEEN)[0])))


def setup(data: bytes) -> None:
    """The responses to ``setup``, with any status, and to the read of the status after it."""
    code, body = STATUSES[data[0] % len(STATUSES)] if data else 200, data[1:]
    canned = Canned(parts(body, b'{"status": "READY"}'), code)
    result = run(verbs(canned).setup("b1", tasks_per_group=2))
    assert result is None or isinstance(result, ProlificError)
    assert [one.method for one in canned.asked].count("POST") <= 2


def error(data: bytes) -> None:
    """The body of an error response with any status."""
    code, body = STATUSES[data[0] % len(STATUSES)] if data else 400, data[1:]
    result = run(verbs(Canned(iter([body, body]), max(code, 300))).get("b1"))
    if isinstance(result, APIStatusError):
        assert result.title is None or isinstance(result.title, str)
        assert result.error_code is None or isinstance(result.error_code, int | str)
        assert result.detail is None or isinstance(result.detail, str | list | dict)


def hints(data: bytes) -> None:
    """``Retry-After`` and ``Date``, in headers as aiohttp decodes them."""
    after, _, date = data.decode("utf-8", "surrogateescape").partition("\n")
    seconds = responses.retry_after(CIMultiDict({"Retry-After": after, "Date": date}))
    assert seconds is None or 0 <= seconds < math.inf
    if after.isascii() and after.isdigit() and len(after) < 300:
        assert seconds == float(after)


def wait(data: bytes) -> None:
    """The polls of a wait, the last of which shows READY: the wait ends for any responses."""
    ready = iter([b'{"status": "READY"}', BATCH] * 3)
    polls = parts(data, b"")
    canned = Canned(next(polls, b"") for _ in range(data.count(BETWEEN) + 1))

    async def send(request: Request, *_: Any, **__: Any) -> Any:
        try:
            return await Canned.send(canned, request)
        except RuntimeError:  # no more polls
            whole = not request.path.endswith("/status")
            body = BATCH if whole else next(ready)
            return responses.decode(request, 200, {}, body)

    canned.send = send  # type: ignore[method-assign]
    result = run(verbs(canned).wait_until_ready("b1", timeout=60))
    assert isinstance(result, Batch | WaitError)


def polls(data: bytes) -> None:
    """A workspace's list as waits read it, compared with the json module."""

    class Wanted:
        def __contains__(self, batch_id: object) -> bool:
            return len(str(batch_id)) % 2 == 0

    wanted = Wanted()

    def read_batch(element: Any) -> Batch:
        return load(Batch, element, "GET", "/batches")

    async def read(memory: list_parser.ListMemory | None = None) -> list_parser.Listing | None:
        try:
            return await list_parser.read(data, wanted, read_batch, memory)
        except ValueError:
            return None

    seen = run(read())
    try:
        sent = decode(data.decode("utf-8-sig"))
    except ValueError:
        return
    results = sent.get("results") if type(sent) is dict else 5
    if results is None and set(sent) <= {"results", "meta", "_links"}:
        results = []
    elif type(results) is not list:
        assert seen is None
        return
    pairs = json.loads(data, object_pairs_hook=list)
    if [key for key, _ in pairs].count("results") > 1:
        assert seen is None
        return
    assert isinstance(seen, list_parser.Listing)
    pending: dict[str, str] = {}
    final: dict[str, str] = {}
    ended: set[str] = set()  # those without a status, which are polled singly, among them
    for element in results:
        if type(element) is not dict or type(element.get("id")) is not str:
            continue
        batch_id, state = element["id"], element.get("status")
        if state in ("READY", "ERROR"):
            ended.add(batch_id)
            with suppress(DecodeError):
                if batch_id in wanted:
                    read_batch(element)
                    final[batch_id] = state
        elif state is None:
            ended.add(batch_id)
        elif type(state) is str:
            pending[batch_id] = state
    expected = {key: state for key, state in pending.items() if key not in ended} | final
    assert {key: poll.status for key, poll in seen.results.items()} == expected
    again = run(read(seen.memory))
    assert isinstance(again, list_parser.Listing)
    assert again.results == seen.results


class Target(NamedTuple):
    """A function to fuzz, and valid inputs to begin with."""

    call: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


STATES = tuple(
    b'{"status": %s}' % state
    for state in (b'"READY"', b'"UNINITIALISED"', b'"ERROR"', b'"NEW"', b"null")
)
DATES = (
    NOW.encode(),
    b"Wednesday, 04-Mar-26 05:06:07 GMT",
    b"Wed Mar  4 05:06:07 2026",
    b"Wed, 04 Mar 2026 05:06:07 +0130",
    b"Fri, 31 Dec 99999999999 23:59:59 GMT",
)
CODED = tuple(bytes([code]) + body for code, body in enumerate((*ERRORS, *STATES)))

TARGETS: Mapping[str, Target] = {
    "get": Target(get, (BATCH, BATCH.replace(b"1.5e3", b"1e999"), b'{"id": 5}', b"\xef\xbb\xbf{}")),
    "status": Target(status, STATES),
    "pages": Target(
        pages, (LIST, PAGE + BETWEEN + LIST, PAGE.replace(b"x/", b"["), b"{}", b'{"id": 1}')
    ),
    "report": Target(report, (REPORT, REPORT.replace(b'"', b""), REPORT[:-30], b"")),
    "task_responses": Target(
        task_responses,
        (RESPONSES, RESPONSES[:-40], RESPONSES[:30], RESPONSES + BETWEEN + RESPONSES, b"{}"),
    ),
    "exports": Target(files.exports, files.LISTS),
    "export": Target(files.export, (*files.CREATED, *files.LOST)),
    "link": Target(files.link, files.LINKS),
    "refusal": Target(files.refusal, files.REFUSALS),
    "part": Target(files.part, files.PARTS),
    "archive": Target(files.archive, files.ARCHIVES),
    "duplicate": Target(duplicate, (BATCH, LOST, LOST.replace(b"w1", b".."))),
    "setup": Target(setup, (b"\x02{}", b"\x0e" + BETWEEN.join([b"", *STATES]), *CODED)),
    "error": Target(error, CODED),
    "hints": Target(hints, (b"5", b"1.5", *(date + b"\n" + DATES[0] for date in DATES))),
    "wait": Target(wait, (BETWEEN.join(STATES), BETWEEN.join(reversed(STATES)))),
    "polls": Target(polls, (LIST, TWICE, PAGE, b"{}", b'{"results": null}', b'{"message": "m"}')),
}
