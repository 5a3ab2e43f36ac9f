"""Requests of the endpoints, without any I/O."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prolific_async._api import batches as api
from prolific_async._api.path_segments import path_segment
from prolific_async._http.request import PollTiming, Request
from prolific_async._http.responses import Response
from prolific_async._http.retry import did_not_run, may_get_again
from prolific_async._validation import identifier
from prolific_async.errors import DecodeError
from prolific_async.models import BatchStatus
from prolific_async.policies import RetryPolicy

ROOT = "/api/v1/data-collection"

quickly = settings(max_examples=120)


def sent(request: Request) -> Any:
    """Return the body of a request as the service decodes it."""
    body: Any = request.body
    return json.loads(body) if isinstance(body, bytes) else body


def test_requests_of_the_endpoints() -> None:
    poll = api.get_batch_status("b-1")
    assert (poll.method, poll.target, poll.body) == ("GET", f"{ROOT}/batches/b-1/status", None)
    poll = api.get_batch("b-1")
    assert (poll.method, poll.target, poll.body) == ("GET", f"{ROOT}/batches/b-1", None)
    listed = api.list_batches("w+1&x=é/")
    assert (listed.method, listed.body) == ("GET", None)
    assert listed.target == f"{ROOT}/batches?workspace_id=w%2B1%26x%3D%C3%A9%2F"
    setup = api.set_up_batch("b-1", tasks_per_group=5)
    assert setup.target == f"{ROOT}/batches/b-1/setup"
    assert sent(setup) == {"tasks_per_group": 5}
    copy = api.duplicate_batch("b-1")
    assert (copy.method, copy.target) == ("POST", f"{ROOT}/batches/b-1/duplicate")


def test_every_path_begins_with_the_path_of_the_gateway() -> None:
    of_batch = f"/gateway{ROOT}/batches/b-1"
    assert api.list_batches("w-1", prefix="/gateway").path == f"/gateway{ROOT}/batches"
    assert api.get_batch("b-1", prefix="/gateway").path == of_batch
    assert api.get_batch_status("b-1", prefix="/gateway").path == f"{of_batch}/status"
    assert api.duplicate_batch("b-1", prefix="/gateway").path == f"{of_batch}/duplicate"
    assert api.set_up_batch("b-1", prefix="/gateway").path == f"{of_batch}/setup"


def test_only_what_was_given_is_sent() -> None:
    copy = api.duplicate_batch("b-1", name="", upload_new_dataset=False)
    assert sent(copy) == {"name": "", "upload_new_dataset": False}
    assert sent(api.duplicate_batch("b-1", name=None)) == {}
    assert sent(api.set_up_batch("b-1", dataset_id="d-1")) == {"dataset_id": "d-1"}


@given(name=st.text())
@example(name='caf\u00e9 \U0001f600 "\\\n\x00\u2028')
@quickly
def test_any_text_is_sent_as_it_is(name: str) -> None:
    assert sent(api.duplicate_batch("b-1", name=name)) == {"name": name}


FIT = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).filter(
    lambda text: text not in (".", "..")
)


@given(text=FIT)
@example(text="a/b")
@example(text="../../users/me")
@example(text="%2e%2e")
@example(text="...")
@example(text="?x=1#y")
@example(text="a+b")
@example(text="\\..\\")
@example(text="caf\u00e9")
@example(text="\U0001f600")
@example(text="e\u0301")
@example(text="-_~")
@quickly
def test_any_id_is_one_segment_that_decodes_to_it(text: str) -> None:
    encoded = path_segment(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})+", encoded)
    assert unquote(encoded, errors="strict") == text
    assert encoded not in (".", "..")
    assert api.get_batch_status(text).path == f"{ROOT}/batches/{encoded}/status"


@given(
    before=st.text(max_size=3),
    bad=st.characters(categories=("C", "Z")),
    after=st.text(max_size=3),
)
@example(before="b-1", bad="\n", after="")
@example(before="", bad="\x00", after="")
@example(before="", bad="\x1f", after="")
@example(before="b-1", bad="\x7f", after="")
@example(before="b-1", bad="\x9f", after="")
@example(before="b-1", bad="\ud800", after="")
@example(before="b-1", bad="\udfff", after="")
@quickly
def test_ids_with_white_space_or_invisible_characters_are_refused(
    before: str, bad: str, after: str
) -> None:
    for refuse in (path_segment, identifier):
        with pytest.raises(ValueError, match="cannot be an id: it holds U"):
            refuse(before + bad + after)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (" ", "U+0020 SPACE"),
        ("\t", "U+0009 a control character"),
        ("\x00", "U+0000 a control character"),
        ("\r", "U+000D a control character"),
        ("\x85", "U+0085 a control character"),
        ("\xa0", "U+00A0 NO-BREAK SPACE"),
        ("\xad", "U+00AD SOFT HYPHEN"),
        ("\u180e", "U+180E MONGOLIAN VOWEL SEPARATOR"),
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\u200e", "U+200E LEFT-TO-RIGHT MARK"),
        ("\u2028", "U+2028 LINE SEPARATOR"),
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u202f", "U+202F NARROW NO-BREAK SPACE"),
        ("\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("\u3000", "U+3000 IDEOGRAPHIC SPACE"),
        ("\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\ud83d", "U+D83D half a surrogate pair"),
        ("\ue000", "U+E000 an unknown character"),
        ("\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A"),
    ],
)
@pytest.mark.parametrize("at", [1, 3, 6])
def test_the_invalid_character_of_an_id_is_named(bad: str, named: str, at: int) -> None:
    text = "batch"[: at - 1] + bad + "batch"[at - 1 :]
    with pytest.raises(ValueError, match="cannot be an id") as caught:
        path_segment(text)
    told = f"{text!r} cannot be an id: it holds {named} at position {at}"
    assert str(caught.value) == told
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("given_id", ["", ".", "..", None, 5, 1.5, b"b-1", ["b-1"], object()])
def test_invalid_ids_are_refused(given_id: object) -> None:
    for refuse in (path_segment, identifier):
        with pytest.raises(ValueError, match="id"):
            refuse(given_id)


def test_a_post_has_only_the_keys_that_were_given() -> None:
    request = api.set_up_batch("b/1", dataset_id=None, tasks_per_group=5)
    path = f"{ROOT}/batches/b%2F1/setup"
    assert request == Request("POST", path, "", b'{"tasks_per_group": 5}')


def test_an_id_of_another_type_is_refused_with_its_type() -> None:
    with pytest.raises(ValueError, match=r"^an id must be text or a UUID, not bytes$"):
        path_segment(b"b-1")


def test_a_uuid_is_accepted_as_its_text() -> None:
    text = "6f0c1d2e-0000-4000-8000-0000000000ff"
    assert path_segment(UUID(text)) == path_segment(text) == identifier(UUID(text)) == text


def test_a_long_invalid_id_is_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r"U\+000A .* at position 100001") as caught:
        path_segment("x" * 100_000 + "\n")
    assert len(str(caught.value)) < 250


def read_status(data: Any) -> Any:
    request = api.get_batch_status("b-1")
    assert request.read is not None
    return request.read(data, request.method, request.path)


@pytest.mark.parametrize("status", list(BatchStatus))
def test_every_status_is_read_as_the_member_itself(status: BatchStatus) -> None:
    assert read_status({"status": status.value}) is status


def test_a_status_that_is_new_is_read_as_its_text() -> None:
    status = read_status({"status": "PAUSED"})
    assert isinstance(status, BatchStatus)
    assert status.value == "PAUSED"


@pytest.mark.parametrize("data", [{}, {"status": None}, {"state": "READY"}])
def test_a_status_that_is_missing_or_null_is_none(data: Any) -> None:
    assert read_status(data) is None


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"status": 5}, "$.status"),
        ({"status": False}, "$.status"),
        ({"status": ["READY"]}, "$.status"),
        ({"status": {}}, "$.status"),
        ([], "$"),
        ("READY", "$"),
        (None, "$"),
        (5, "$"),
    ],
)
def test_a_status_that_cannot_be_read_is_a_decode_error_of_the_call(data: Any, where: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read_status(data)
    error = caught.value
    assert [problem.partition(": ")[0] for problem in error.problems] == [where]
    assert (error.method, error.path) == ("GET", f"{ROOT}/batches/b-1/status")
    assert error.body == data


class SentCalls:
    """A transport that records requests and returns prepared responses."""

    prefix = "/gateway"

    def __init__(self, response: Any = None) -> None:
        self.response = response
        self.calls: list[tuple[Request, PollTiming | None, Any, bool]] = []

    async def send(
        self,
        request: Request,
        poll: PollTiming | None = None,
        again: Any = None,
        *,
        raw: bool = False,
    ) -> Any:
        self.calls.append((request, poll, again, raw))
        return self.response

    stream = sleep = None


def calls_to(transport: SentCalls) -> api.BatchesAPI:
    return api.BatchesAPI(transport, RetryPolicy())  # type: ignore[arg-type] # what it uses of one


def response(data: Any, date: str | None = None) -> Response:
    headers = {"X-Request-Id": "req-1"}
    return Response(headers if date is None else headers | {"Date": date}, data)


def test_a_get_is_sent_again_and_a_poll_is_not() -> None:
    transport, poll = SentCalls("answer"), PollTiming()
    calls = calls_to(transport)
    for call in (calls.get, calls.get_status):
        assert asyncio.run(call("b-1")) == "answer"
        assert asyncio.run(call("b-1", poll)) == "answer"
    batch = api.get_batch("b-1", prefix="/gateway")
    status = api.get_batch_status("b-1", prefix="/gateway")
    assert transport.calls == [
        (batch, None, may_get_again, False),
        (batch, poll, None, False),
        (status, None, may_get_again, False),
        (status, poll, None, False),
    ]


def test_a_post_is_sent_with_what_was_given() -> None:
    transport = SentCalls("answer")
    calls = calls_to(transport)
    answer: Any = asyncio.run(calls.duplicate("b-1", name="n", upload_new_dataset=True))
    assert answer == "answer"
    asyncio.run(calls.duplicate("b-1"))
    asyncio.run(calls.set_up("b-1", dataset_id="d-1", tasks_per_group=5))
    copy = api.duplicate_batch("b-1", name="n", upload_new_dataset=True, prefix="/gateway")
    assert transport.calls == [
        (copy, None, did_not_run, False),
        (api.duplicate_batch("b-1", prefix="/gateway"), None, did_not_run, False),
        (
            api.set_up_batch("b-1", dataset_id="d-1", tasks_per_group=5, prefix="/gateway"),
            None,
            None,
            False,
        ),
    ]


def test_the_body_of_a_list_is_polled_undecoded() -> None:
    transport, poll = SentCalls(response(b"[]")), PollTiming()
    assert asyncio.run(calls_to(transport).list_body("w-1", poll)) == b"[]"
    assert transport.calls == [(api.list_batches("w-1", prefix="/gateway"), poll, None, True)]


def test_a_source_is_read_with_the_date_of_its_response() -> None:
    data = {"id": "b-1", "name": "n", "workspace_id": "w-1", "status": 5}
    transport = SentCalls(response(data, "Thu, 01 Jan 1970 00:01:40 GMT"))
    source, date = asyncio.run(calls_to(transport).get_source("b-1"))
    assert (source.id, source.name, source.workspace_id, date) == ("b-1", "n", "w-1", 100)
    path = f"/gateway{ROOT}/batches/b-1"
    assert transport.calls == [(Request("GET", path), None, may_get_again, False)]
    assert asyncio.run(calls_to(SentCalls(response(data))).get_source("b-1")).date is None


def test_a_source_that_cannot_be_read_is_a_decode_error_of_the_call() -> None:
    with pytest.raises(DecodeError) as caught:
        asyncio.run(calls_to(SentCalls(response({"id": "b-1", "name": "n"}))).get_source("b-1"))
    error = caught.value
    assert (error.method, error.path) == ("GET", f"/gateway{ROOT}/batches/b-1")
    assert [problem.partition(": ")[0] for problem in error.problems] == ["$.workspace_id"]
    assert error.request_id == "req-1"


def test_a_copy_is_read_as_a_batch_and_has_no_query() -> None:
    copy = api.duplicate_batch("b-1")
    assert copy.query == ""
    assert copy.read is api.get_batch("b-1").read
    assert copy.read is not None
