"""Decoding of responses to data or errors, without any I/O."""

import asyncio
import json
import pickle
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from prolific_async import errors
from prolific_async._api import batches as api
from prolific_async._http import responses
from prolific_async._http.credentials import Token
from prolific_async._http.responses import Response, decode, http_date, retry_after
from prolific_async.errors import APIStatusError, DecodeError, ServerError
from tests.virtual_time import run

ROOT = "/api/v1/data-collection"
SETUP = api.set_up_batch("b-1", tasks_per_group=5)
CALL = f"POST {ROOT}/batches/b-1/setup"
TOKEN = "s3cret/t0ken"
NOTHING: Mapping[str, str] = CIMultiDict()
SHOWN = 64 * 1024  # bytes of a body, as README says

BY_STATUS = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.ValidationError,
    429: errors.RateLimitedError,
}

quickly = settings(max_examples=120)


def headers(**values: str) -> Mapping[str, str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items()})


def failure(body: Any, status: int = 400, **values: str) -> APIStatusError:
    """Return the error of a response; its body is bytes or a JSON value."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(APIStatusError) as caught:
        decode(SETUP, status, headers(**values), raw)
    return caught.value


def nested(**inner: Any) -> dict[str, Any]:
    return {"error": {"status": 400, "error_code": 140003, "title": "Bad", **inner}}


# --- Success ----------------------------------------------------------------------------------


def test_any_2xx_is_success() -> None:
    for status in range(200, 300):
        answer = decode(SETUP, status, headers(Date="x"), b'{"status": "READY"}')
        assert answer.data == {"status": "READY"}
        assert answer.headers["date"] == "x"


@pytest.mark.parametrize("raw", [b"", b" ", b"\r\n\t "])
def test_an_empty_body_is_none(raw: bytes) -> None:
    sent = headers(Date="x")
    assert decode(SETUP, 202, sent, raw) == Response(sent, None)


def test_a_raw_response_keeps_its_body() -> None:
    sent = headers(Date="x")
    for body in (b"", b"{}", b"no JSON \xff"):
        assert decode(SETUP, 200, sent, body, raw=True) == Response(sent, body)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    "body",
    [
        b'{"results": [{"a": 1}], "b": []}',
        b'{"b": "s3cret/t0ken-16c"}',
        b"<p>s3cret/t0ken-16c",
        b"\xff",
    ],
)
def test_long_responses_are_decoded_like_short_ones(status: int, body: bytes, *, raw: bool) -> None:
    sent = headers(Date="x", **{"Content-Type": "a/b"})

    async def taken(*, long: bool, **options: Any) -> Any:
        try:
            if long:
                return await responses.decode_long(SETUP, status, sent, body, **options)
            return decode(SETUP, status, sent, body, **options)
        except (APIStatusError, DecodeError) as error:
            told = vars(error)
            # The two parsers need not give the same reason.
            problems = [problem.partition(" (")[0] for problem in told.get("problems", ())]
            return type(error), "(None)" in str(error), told | {"problems": problems}

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        for options in ({}, {"secret": Token(TOKEN)}, {"secret": Token(TOKEN), "raw": raw}):
            assert await taken(long=True, **options) == await taken(long=False, **options)
        assert asyncio.get_running_loop().time() == began

    run(main())


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Bad status line:\n\n  b'HTTX\n1'\n   ^", "Bad status line:\n\n  …"),
        ('Data after "Connection: close":\n\n', "Data after …"),
        ("bytearray(b'x') is no header", "…"),
        ("The peer's own words", "The peer's own words"),
        (f"the {TOKEN} came back", "the [token] came back"),
    ],
)
def test_malformed_http_is_reported_without_a_quotation(message: str, told: str) -> None:
    error = responses.malformed(SETUP, message, Token(TOKEN))
    assert error.problems == (f"$: not HTTP ({told})",)


def test_a_long_response_above_the_bound_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match=f"more than {responses.MAX_BODY} bytes") as caught:
        run(responses.decode_long(SETUP, 200, NOTHING, bytes(responses.MAX_BODY + 1)))
    assert (caught.value.method, caught.value.path) == (SETUP.method, SETUP.path)


def test_a_body_that_is_not_json_is_reported_with_its_content_type() -> None:
    of_a_type = headers(**{"Content-Type": "a/b"})
    for sent, told in ((headers(), "without a Content-Type"), (of_a_type, "but a/b")):
        with pytest.raises(DecodeError) as raised:
            decode(SETUP, 200, sent, b"\xff")
        (problem,) = raised.value.problems
        assert problem.startswith(f"$: not readable JSON, {told} (")
        assert "0xff" in problem


@pytest.mark.parametrize("encoding", ["compress", "x-odd", "GZIP, br"])
def test_a_body_in_an_unsupported_encoding_is_reported_with_it(encoding: str) -> None:
    sent = headers(Content_Encoding=encoding, Content_Type="application/json")
    with pytest.raises(DecodeError) as raised:
        decode(SETUP, 200, sent, b"\xff")
    assert f"Content-Encoding {encoding.lower()} cannot be decoded" in raised.value.problems[0]
    assert "0xff" not in raised.value.problems[0]


@pytest.mark.parametrize("encoding", ["", "identity", "GZIP", "deflate", "br", "zstd"])
def test_a_bad_body_in_a_supported_encoding_is_reported_by_its_content(encoding: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode(SETUP, 200, headers(Content_Encoding=encoding), b"\xff")
    assert "0xff" in raised.value.problems[0]


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"{}", {}),
        (b" [1] ", [1]),
        (b"null", None),
        (b"0", 0),
        (b'""', ""),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"name": "\u00e9\U0001f600"}'.encode(), {"name": "\u00e9\U0001f600"}),
        (b'"\\u00e9"', "\u00e9"),
    ],
)
def test_json_is_decoded(raw: bytes, data: Any) -> None:
    assert decode(SETUP, 200, NOTHING, raw).data == data


NO_JSON = {
    "html": b"<html><body>Bad gateway</body></html>",
    "text": b"OK",
    "half": b'{"id": "b-1", "na',
    "two": b"{} {}",
    "nan": b'{"a": NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"-Infinity",
    "single quotes": b"{'a': 1}",
    "trailing comma": b"[1,]",
    "invalid utf-8": b'{"name": "\xff\xfe"}',
    "overlong utf-8": b'"\xc0\xaf"',
    "surrogate in utf-8": b'"\xed\xa0\x80"',
    "nul": b"\x00",
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open arrays": b"[" * 100_000,
    "many digits": b"9" * 100_000,
}


@pytest.mark.parametrize("raw", NO_JSON.values(), ids=NO_JSON)
def test_a_success_without_json_is_a_decode_error(raw: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(SETUP, 200, headers(Content_Type="text/html"), raw)
    error = caught.value
    assert (error.method, error.path) == ("POST", f"{ROOT}/batches/b-1/setup")
    assert len(error.problems) == 1
    assert error.problems[0].startswith("$: ")
    assert error.body == raw.decode("utf-8", "replace")[:SHOWN]
    assert CALL in str(error)
    assert len(str(error)) < 900
    assert pickle.loads(pickle.dumps(error)).body == error.body


@given(raw=st.binary() | st.text().map(str.encode), status=st.integers(200, 599))
@quickly
def test_any_body_gives_data_or_an_error_of_the_package(raw: bytes, status: int) -> None:
    try:
        answer = decode(SETUP, status, NOTHING, raw)
    except (APIStatusError, DecodeError) as error:
        text = str(error)
        assert CALL in text
        assert len(text) < 900
    else:
        assert isinstance(answer, Response)


# --- Errors -----------------------------------------------------------------------------------


def test_each_status_has_its_class() -> None:
    for status in (*range(100, 200), *range(300, 600)):
        error = failure({"detail": "no"}, status)
        expected = BY_STATUS.get(status, ServerError if status >= 500 else APIStatusError)
        assert type(error) is expected
        assert error.status == status
        assert (error.method, error.path) == ("POST", f"{ROOT}/batches/b-1/setup")
        assert str(status) in str(error)
        assert CALL in str(error)


SHAPES: dict[str, tuple[Any, Any, Any, Any]] = {
    # body, error_code, title, detail
    "A text": (nested(detail="not ready"), 140003, "Bad", "not ready"),
    "A list": (nested(detail=["one", "two"]), 140003, "Bad", ["one", "two"]),
    "A mapping": (nested(detail={"name": ["long"]}), 140003, "Bad", {"name": ["long"]}),
    "A with more": (
        nested(detail="no", additional_information="x", traceback="y", interactive=False),
        140003,
        "Bad",
        "no",
    ),
    "A without detail": (nested(), 140003, "Bad", None),
    "A null detail": (nested(detail=None), 140003, "Bad", None),
    "A empty": ({"error": {}}, None, None, None),
    "C text": ({"detail": "not found"}, None, None, "not found"),
    "C list": ({"detail": ["not", "found"]}, None, None, ["not", "found"]),
    "C mapping": ({"detail": {"id": ["odd"]}}, None, None, {"id": ["odd"]}),
    "message only": ({"message": "too soon"}, None, None, "too soon"),
    "D": (
        {
            "type": "INVALID_BATCH_ITEMS",
            "message": "The layout is invalid",
            "issues": [
                {"page": 0, "row": 1, "column": 0, "item": 2, "type": "missing", "message": "huh"}
            ],
        },
        "INVALID_BATCH_ITEMS",
        None,
        "The layout is invalid",
    ),
    "E object": ({"anything": [1]}, None, None, None),
    "E empty object": ({}, None, None, None),
    "E error text": ({"error": "denied"}, None, None, None),
    "E error list": ({"error": ["denied"]}, None, None, None),
    "E array": (["no", {"detail": "x"}], None, None, None),
    "E string": ("no", None, None, None),
    "E number": (5, None, None, None),
    "E null": (None, None, None, None),
    "E true": (True, None, None, None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_error(shape: str) -> None:
    body, code, title, detail = SHAPES[shape]
    for status in (302, 400, 404, 422, 429, 503):
        error = failure(body, status)
        assert CALL in str(error)
        for one in (error, pickle.loads(pickle.dumps(error))):
            assert (one.error_code, one.title, one.detail) == (code, title, detail)
            assert one.body == body
            assert type(one.body) is type(body)


def test_a_flat_error_keeps_message_and_detail() -> None:
    error = failure({"message": "Setup failed", "detail": "dataset is not ready"})
    assert error.detail == "dataset is not ready"
    assert error.title in (None, "Setup failed")
    assert "Setup failed" in str(error)
    assert "dataset is not ready" in str(error)


@pytest.mark.parametrize("other", [5, True, 1.5, [], ["x"], {"x": 1}, ""])
def test_odd_fields_of_an_error_keep_their_types(other: Any) -> None:
    error = failure(
        {"error": {"title": other, "error_code": other, "message": other, "detail": other}}
    )
    assert error.title is None or isinstance(error.title, str)
    assert error.error_code is None or isinstance(error.error_code, int | str)
    assert error.detail is None or isinstance(error.detail, str | list | dict)
    assert str(error)


ISSUES = [
    {"page": 0, "row": 1, "column": 0, "item": 2, "field": "label", "type": "x", "message": "huh"},
    {"page": 3, "row": "odd", "column": True, "type": "too_long"},
    {"field": "name", "message": "missing"},
    {"unheard": "of"},
    "odd",
    {},
]
TOLD_ISSUES = (
    "counting from 0, page 0, row 1, column 0, item 2, field 'label': huh; page 3: too_long; "
    "field 'name': missing; unheard: of; odd"
)

# The text in brackets behind the status.
SAID: dict[str, tuple[Any, str]] = {
    "layout": (
        {"type": "INVALID_BATCH_ITEMS", "message": "Bad layout", "issues": ISSUES},
        f"INVALID_BATCH_ITEMS: Bad layout: {TOLD_ISSUES}",
    ),
    "layout without a message": (
        {"type": "INVALID_BATCH_ITEMS", "issues": ISSUES},
        f"INVALID_BATCH_ITEMS: {TOLD_ISSUES}",
    ),
    "layout without a place": (
        {"type": "INVALID_BATCH_ITEMS", "issues": [{"message": "huh"}, {"type": "odd"}]},
        "INVALID_BATCH_ITEMS: huh; odd",
    ),
    "layout without issues": (
        {"type": "INVALID_BATCH_ITEMS", "message": None, "issues": []},
        "INVALID_BATCH_ITEMS",
    ),
    "layout beside a null code": (
        {"error_code": None, "type": "INVALID_BATCH_ITEMS", "issues": [{"page": 1}]},
        "INVALID_BATCH_ITEMS: counting from 0, page: 1",
    ),
    "type beside an error": ({"type": "T", "error": {"title": "Bad"}}, "T: Bad"),
    "type beside a word": ({"type": "T", "error": "denied"}, "T: error: denied"),
    "mapping": (
        {"workspace_id": ["This field is required."]},
        "workspace_id: This field is required.",
    ),
    "detail mapping": (
        {"detail": {"name": ["too long", "too odd"], "id": "no id"}},
        "name: too long, too odd; id: no id",
    ),
    "nested mapping": (
        nested(detail={"rows": [{"name": ["long"]}, {}, {"n": 1.5, "ok": True, "no": None}]}),
        "140003: Bad: rows: name: long, n: 1.5; ok: true",
    ),
    "detail list": ({"detail": ["one", "two"]}, "one, two"),
    "array": (["the-detail"], "the-detail"),
    "error word": ({"error": "unauthorized"}, "error: unauthorized"),
    "OAuth": (
        {"error": "invalid", "error_description": "expired"},
        "error: invalid; error_description: expired",
    ),
    "errors": (
        {"errors": [{"name": "too long"}, {"id": "odd"}]},
        "errors: name: too long, id: odd",
    ),
    "string": ("no", "no"),
    "number": (5, "5"),
    "boolean": (False, "false"),
    "deep": ([[[[[[[["no"]]]]]]]], "…"),
    "null": (None, ""),
    "empty": ({"error": {}, "detail": [], "message": ""}, ""),
    "no text": (b"\x0b\x02\x80{}", ""),
}


@pytest.mark.parametrize("shape", SAID)
def test_error_messages_quote_the_service_in_plain_words(shape: str) -> None:
    body, told = SAID[shape]
    error = failure(body, 422)
    said = f" ({told})" if told else ""
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one).startswith(f"{CALL} was answered with 422{said}; correct")


@pytest.mark.parametrize("code", [None, "", ["x"], {"x": 1}])
def test_a_type_is_the_error_code_if_there_is_no_other(code: Any) -> None:
    for body in (
        {"error_code": code, "type": "T"},
        {"error": {"error_code": code, "type": "T"}},
        {"error": {"error_code": code}, "type": "T"},
        {"error": {"error_code": "T"}, "type": "other"},
    ):
        assert failure(body).error_code == "T"
    assert failure({"error_code": code, "type": code}).error_code is None


@pytest.mark.parametrize("raw", [b"", b"  \r\n"])
def test_an_error_without_a_body(raw: bytes) -> None:
    error = failure(raw)
    assert (error.error_code, error.title, error.detail) == (None, None, None)
    assert not (error.body or "").strip()
    assert CALL in str(error)
    assert "()" not in str(error)
    assert "None" not in str(error)


@pytest.mark.parametrize("raw", NO_JSON.values(), ids=NO_JSON)
def test_an_error_without_json_keeps_its_text(raw: bytes) -> None:
    error = failure(raw, 502)
    assert type(error) is ServerError
    text = raw.decode("utf-8", "replace")[:SHOWN]
    # What is JSON but for its encoding may be read as well.
    assert text in (error.body, json.dumps(error.body, ensure_ascii=False))
    assert (error.error_code, error.title, error.detail) == (None, None, None)
    assert CALL in str(error)
    assert len(str(error)) < 900
    assert pickle.loads(pickle.dumps(error)).body == error.body


def test_an_error_with_a_byte_order_mark_is_read() -> None:
    assert failure(b'\xef\xbb\xbf{"detail": "not found"}', 404).detail == "not found"


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (401, b'{"detail": "unknown token s3cret/t0ken"}'),
        (401, b'{"detail": ["unknown"], "s3cret/t0ken": {"token": "s3cret/t0ken"}}'),
        (401, b'{"detail": "unknown token s3cret\\/t0ken"}'),
        (401, b'{"error": {"s3cret/\\u00740ken": ["s3cret/\\u00740ken"]}}'),
        (403, b"unknown token s3cret/t0ken"),
        (502, b"<html>Authorization: Token s3cret/t0ken</html>"),
        (302, b""),
        (200, b"not JSON: s3cret/t0ken"),
        (200, b'{"half": "s3cret/t0ken"'),
    ],
)
def test_an_echoed_token_is_in_no_part_of_an_error(status: int, raw: bytes) -> None:
    echoes = headers(Location=f"/?t={TOKEN}", Content_Type=f"text/{TOKEN}")
    with pytest.raises((APIStatusError, DecodeError)) as caught:
        decode(SETUP, status, echoes, raw, secret=Token(TOKEN))
    error: BaseException | None = caught.value
    while error is not None:
        shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
        assert not any(TOKEN in text for text in shown)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("depth", [1, 5, 700, 100_000])
def test_an_echoed_token_is_in_no_json_of_a_wrong_shape(depth: int) -> None:
    raw = b'{"id": 5, "more": ' + b"[" * depth + b'"s3cret\\/t0ken"' + b"]" * depth + b"}"
    with pytest.raises(DecodeError) as caught:
        decode(api.get_batch("b1"), 200, NOTHING, raw, secret=Token(TOKEN))
    error = caught.value
    assert error.body is None or TOKEN not in str(error.body) + str(error.args)
    pickled = pickle.loads(pickle.dumps(error)).body
    assert TOKEN not in str(pickled)
    if depth < 10:
        assert "[token]" in str(error.body)
        assert pickled == error.body


async def test_a_large_response_of_a_wrong_shape_is_shown_as_it_came() -> None:
    data = {"id": 5, "more": [str(number) for number in range(100_000)]}
    with pytest.raises(DecodeError) as caught:
        await responses.decode_long(
            api.get_batch("b1"), 200, NOTHING, json.dumps(data).encode(), secret=Token("7")
        )
    assert caught.value.body == data


def test_a_token_is_replaced_by_a_sign() -> None:
    with pytest.raises(APIStatusError) as caught:
        decode(SETUP, 400, NOTHING, f'{{"detail": "no {TOKEN}!"}}'.encode(), secret=Token(TOKEN))
    assert caught.value.detail == "no [token]!"


@pytest.mark.parametrize("status", [200, 500])
def test_a_long_body_is_shown_in_part_and_no_token_by_halves(status: int) -> None:
    for beyond in range(0, 80, 7):
        body = b"x" * (SHOWN - beyond) + TOKEN.encode() * 9
        with pytest.raises((DecodeError, ServerError)) as caught:
            decode(SETUP, status, NOTHING, body, secret=Token(TOKEN))
        shown: str = vars(caught.value)["body"]
        assert SHOWN - 200 < len(shown) <= SHOWN
        assert ("[token]" * 9).startswith(shown.strip("x"))


def test_a_long_body_is_cut_so_that_no_half_of_a_token_is_left() -> None:
    for excess, hidden in ((0, 0), (1, len(TOKEN))):
        body = b"x" * (SHOWN + excess)
        with pytest.raises(ServerError) as caught:
            decode(SETUP, 500, NOTHING, body, secret=Token(TOKEN))
        assert caught.value.body == "x" * (SHOWN - hidden)


def test_hiding_a_token_changes_nothing_else() -> None:
    for token in ("1", "e", "{", "name", '"'):
        raw = b'{"name": "one", "count": 11}'
        assert decode(SETUP, 200, NOTHING, raw, secret=Token(token)).data == {
            "name": "one",
            "count": 11,
        }


def test_a_message_quotes_plain_text_but_no_html() -> None:
    assert "upstream connect error" in str(failure(b"upstream connect error", 503))
    for raw in (b"<html><h1>Bad gateway</h1></html>", b"\n  <!DOCTYPE html><p>Bad gateway</p>"):
        assert "Bad gateway" not in str(failure(raw, 502))


LONG = "long words " * 10_000


@pytest.mark.parametrize(
    "body",
    [
        nested(detail=LONG),
        nested(detail=[LONG] * 3),
        nested(detail={"name": [LONG]}),
        nested(title=LONG, detail="x"),
        nested(error_code=LONG, detail="x"),
        {"message": LONG, "detail": LONG},
        {"message": LONG},
        {"detail": LONG},
        {"type": LONG, "message": "x"},
        {"type": "INVALID_BATCH_ITEMS", "message": LONG, "issues": [{"message": LONG}] * 9},
        {"type": "INVALID_BATCH_ITEMS", "message": "x", "issues": [{"message": "y"}] * 9999},
        [LONG] * 3,
        {"errors": {LONG: [LONG]}},
        LONG.encode(),
    ],
    ids=[
        "detail",
        "list",
        "mapping",
        "title",
        "code",
        "message and detail",
        "message",
        "detail alone",
        "type",
        "layout",
        "issues",
        "array",
        "free form",
        "text",
    ],
)
def test_the_text_is_short_however_much_the_service_says(body: Any) -> None:
    error = failure(body, 422)
    assert CALL in str(error)
    assert len(str(error)) < 900
    assert len(repr(error)) < 1_000


@pytest.mark.parametrize(
    "body",
    [
        nested(detail="one\ntwo\r\nthree"),
        nested(title="one\ntwo", detail="x"),
        {"message": "one\n\ntwo", "detail": "three\nfour"},
        {"type": "one\ntwo", "message": "x"},
        ["one\ntwo"],
        {"one\ntwo": "three\nfour"},
        b"one\ntwo\x0bthree\x0cfour\x1cfive\xc2\x85six\xe2\x80\xa8seven",
    ],
    ids=["detail", "title", "message", "type", "array", "free form", "text"],
)
def test_the_text_is_one_line_whatever_the_service_says(body: Any) -> None:
    error = failure(body)
    assert len(str(error).splitlines()) == 1
    assert "one" in str(error)


def depths() -> Iterator[int]:
    yield from (1, 10, 100)
    yield from range(850, 1000, 10)


def test_a_deeply_nested_detail_has_a_message() -> None:
    for depth in depths():
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            deep = opening * depth + "1" + closing * depth
            error = failure(b'{"error": {"detail": ' + deep.encode() + b"}}")
            assert CALL in str(error)
            assert repr(error)


@pytest.mark.parametrize("status", [302, 404, 429, 503])
def test_headers_ignore_case_and_are_a_copy_that_can_be_pickled(status: int) -> None:
    # aiohttp's are a proxy, which cannot.
    live = CIMultiDict({"X-Request-Id": "r-1", "Retry-After": "2"})
    with pytest.raises(APIStatusError) as caught:
        decode(SETUP, status, CIMultiDictProxy(live), b"")
    live.clear()
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert error.headers["x-request-id"] == error.headers["X-REQUEST-ID"] == "r-1"
        assert error.headers.get("absent") is None
        assert error.retry_after == 2.0


def test_errors_do_not_show_the_request_body() -> None:
    request = api.duplicate_batch("b-1", name="a-secret-name")
    with pytest.raises(APIStatusError) as caught:
        decode(request, 500, NOTHING, b"")
    assert "a-secret-name" not in repr(caught.value)


# --- Retry-After ------------------------------------------------------------------------------

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def http(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("1.5", 1.5),
        ("007", 7.0),
        ("  3 ", 3.0),
        ("120", 120.0),
        ("86400000", 86_400_000.0),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    read = retry_after(headers(Retry_After=value))
    assert read == seconds
    assert type(read) is float
    error = failure(b"", 429, Retry_After=value)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "+1",
        "-0",
        "1e3",
        "1.",
        ".5",
        "1,5",
        "1 2",
        "0x10",
        "1_000",
        "nan",
        "inf",
        "Infinity",
        "-inf",
        "soon",
        "\u0665",
        "\u00b2",
        "\uff11",
        "1s",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Mon,",
        "GMT",
        "2026-05-04T03:02:01Z",
        "Mon, 04 May 99999999999 03:02:01 GMT",
        "Mon, 04 May 2026 03:02:01 +99999999",
        "\ud800",
    ],
)
def test_an_unreadable_retry_after_is_none(value: str) -> None:
    assert retry_after(headers(Retry_After=value)) is None
    assert failure(b"", 503, Retry_After=value).retry_after is None


def test_no_retry_after_is_none() -> None:
    assert retry_after(NOTHING) is None
    assert failure(b"", 429).retry_after is None


@pytest.mark.parametrize("digits", [18, 100, 308, 309, 400, 5_000, 100_000])
def test_a_retry_after_of_many_digits_is_finite_or_none(digits: int) -> None:
    read = retry_after(headers(Retry_After="9" * digits))
    assert read is None or 1e17 <= read < float("inf")


@given(
    ahead=st.integers(-(10**7), 10**7),
    wrong=st.integers(-(10**8), 10**8),
)
@quickly
def test_a_retry_after_date_is_compared_with_the_date_header(ahead: int, wrong: int) -> None:
    theirs = NOW + timedelta(seconds=wrong)
    read = retry_after(
        headers(Retry_After=http(theirs + timedelta(seconds=ahead)), Date=http(theirs))
    )
    assert read == max(0.0, float(ahead))


def test_a_retry_after_date_without_a_date_header_is_compared_with_the_clock() -> None:
    now = datetime.now(UTC)
    read = retry_after(headers(Retry_After=http(now + timedelta(seconds=30))))
    assert read is not None
    assert 27 <= read <= 31
    assert retry_after(headers(Retry_After=http(now - timedelta(seconds=30)))) == 0.0
    garbled = headers(Retry_After=http(now + timedelta(seconds=30)), Date="yesterday")
    assert 27 <= (retry_after(garbled) or 0) <= 31


# RFC 9110 names three forms; a recipient must accept them all, and each is in UTC.
FORMS = [
    "Mon, 04 May 2026 03:02:01 GMT",
    "Monday, 04-May-26 03:02:01 GMT",
    "Mon May  4 03:02:01 2026",
]


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def local_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("local_zone")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_http_date_is_utc_in_every_time_zone(form: str) -> None:
    assert http_date(form) == NOW.timestamp()
    later = http(NOW + timedelta(seconds=10))
    assert retry_after(headers(Retry_After=later, Date=form)) == 10.0


@given(
    moment=st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)),  # noqa: DTZ001 - bounds
    offset=st.sampled_from([0, 3600, -5 * 3600]),
)
@quickly
def test_http_dates_are_read(moment: datetime, offset: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(seconds=offset)))
    assert http_date(format_datetime(aware)) == aware.timestamp()


words = st.sampled_from(
    ["Mon,", "Monday,", "04", "May", "2026", "03:02:01", "GMT", "-0000", "+9999", "99", "", "-1"]
)


@given(
    value=st.text() | st.lists(words, max_size=8).map(" ".join) | st.floats().map(str),
    date=st.none() | st.text() | st.lists(words, max_size=8).map(" ".join),
)
@example(value="Mon, 01 Jan 0001 00:00:00 -0000", date=None)
@example(value="Fri, 31 Dec 9999 23:59:59 -2359", date="Mon, 01 Jan 0001 00:00:00 +2359")
@example(value="1" + "0" * 10_000 + " May 2026 03:02:01 GMT", date=None)
@settings(max_examples=250)
def test_any_retry_after_gives_seconds_or_none(value: str, date: str | None) -> None:
    given_headers = {"Retry_After": value} | ({} if date is None else {"Date": date})
    read = retry_after(headers(**given_headers))
    assert read is None or 0 <= read < float("inf")


@pytest.mark.parametrize("padding", [0, 122, 126])
@pytest.mark.parametrize("status", [200, 503])
def test_the_request_id_is_shown_without_the_token(status: int, padding: int) -> None:
    headers = CIMultiDict({"X-Request-Id": "r" * padding + TOKEN, "Content-Type": "text/html"})
    with pytest.raises(errors.ProlificError, match="request id ") as caught:
        decode(SETUP, status, headers, b"<h1>", secret=Token(TOKEN))
    assert caught.value.request_id == ("r" * padding + "[token]")[:128]
    assert TOKEN[:4] not in str(caught.value)


@pytest.mark.parametrize("size", [0, 200_000])
async def test_json_of_a_wrong_shape_tells_the_request_id_too(size: int) -> None:
    headers = CIMultiDict({"X-Request-Id": "r-" + TOKEN})
    request = api.get_batch("b1")
    for body in (b'{"id": 5}' + b" " * size, b"[" + b" " * size):
        with pytest.raises(errors.DecodeError, match=r"request id r-\[token\]") as caught:
            decode(request, 200, headers, body, secret=Token(TOKEN))
        with pytest.raises(errors.DecodeError, match=r"request id r-\[token\]"):
            await responses.decode_long(request, 200, headers, body, secret=Token(TOKEN))
        assert caught.value.request_id == "r-[token]"
