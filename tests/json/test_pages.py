"""Reading of a list element by element, compared with the json module."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prolific_async import DecodeError
from prolific_async._api import batches as api
from prolific_async._http import responses
from prolific_async._json.decoding import decode
from prolific_async._json.pages import (
    ARRAY,
    KNOWN,
    add_member,
    page_fault,
    parts,
    parts_of_stream,
    read_page,
)
from prolific_async._json.text_buffer import TruncatedJson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.builds(
    lambda before, results, after: {**before, "results": results, **after},
    st.dictionaries(st.text().filter(lambda key: key != "results"), VALUES, max_size=3),
    st.lists(VALUES, max_size=5),
    st.dictionaries(st.text().filter(lambda key: key != "results"), VALUES, max_size=3),
)
SPACES = st.text(" \t\r\n", max_size=3)


def written(value: Any, space: Callable[[], str]) -> str:
    """Encode a value as JSON with white space at every possible place."""
    if isinstance(value, dict):
        pairs = (f"{written(key, space)}:{written(one, space)}" for key, one in value.items())
        text = f"{{{','.join(pairs) or space()}}}"
    elif isinstance(value, list):
        text = f"[{','.join(written(one, space) for one in value) or space()}]"
    else:
        text = json.dumps(value)
    return f"{space()}{text}{space()}"


def elements(
    text: str, known: Callable[[int], int | None] = lambda _: None
) -> Iterator[tuple[int, int, Any]]:
    """Yield position and value of each element of ``results``, which must be an array or null."""
    for key, start, end, value in parts(text, known):
        if key is None:
            yield start, end, value
        elif key == "results" and value is not ARRAY and value is not None:
            raise ValueError("results is no array")


def values(text: str) -> list[Any]:
    return [value for _, _, value in elements(text)]


def of(text: str) -> list[Any] | type[ValueError]:
    try:
        return values(text)
    except ValueError:
        return ValueError


@given(DOCUMENTS, st.data())
def test_elements_are_those_of_the_json_module(document: Any, data: st.DataObject) -> None:
    text = written(document, lambda: data.draw(SPACES))
    assert json.loads(text) == document
    assert values(text) == document["results"]


@given(DOCUMENTS)
def test_every_truncation_is_a_value_error(document: Any) -> None:
    text = json.dumps(document, indent=1)
    ends = range(0, len(text), 1 + len(text) // 300)  # of a long one every so-manieth
    assert {str(of(text[:end])) for end in ends} <= {str(ValueError)}


@given(DOCUMENTS, st.data())
def test_documents_that_json_refuses_are_a_value_error(document: Any, data: st.DataObject) -> None:
    text = json.dumps(document)
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 2))
    put = data.draw(st.text('{}[]",:.-e0 \\\nnul\ufeff\x00', max_size=2))
    text = text[:at] + put + text[at + gone :]
    try:
        expected = decode(text)
    except ValueError:
        assert of(text) is ValueError
        return
    # The last of several equal keys counts for the json module.
    if isinstance(expected, dict) and text.count('"results"') == 1 and "results" in expected:
        assert of(text) == (ValueError if expected["results"] is None else expected["results"]) or (
            expected["results"] is None and of(text) == []
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[]",
        "null",
        "5",
        '"results"',
        "<html>",
        "{",
        '{"results": 5}',
        '{"results": {}}',
        '{"results": "[]"}',
        '{"results": [1,]}',
        '{"results": [,1]}',
        '{"results": [1 2]}',
        '{"results": [1], }',
        '{"results": [1]} x',
        '{"results": [1]}{}',
        '{"results" [1]}',
        "{results: [1]}",
        '{"results": [' + "9" * 5000 + "]}",
        '{5: 6, "results": [1]}',
        '{[]: 6, "results": [1]}',
        '{null: 6, "results": [1]}',
    ],
    ids=lambda text: text[:30],
)
def test_documents_without_a_list_of_results(text: str) -> None:
    assert of(text) is ValueError


@pytest.mark.parametrize("text", ["{}", ' { "a" : 1 } ', '{"results": null}', '{"results": [ ]}'])
def test_empty_lists(text: str) -> None:
    assert of(text) == []


def test_nested_results_are_ignored() -> None:
    assert of('{"meta": {"results": [1]}, "results": [2], "x": [{"results": [3]}]}') == [2]


def test_elements_are_decoded_one_by_one() -> None:
    reading = elements('{"results": [1, {"a": 2}, oops]}')
    assert [next(reading), next(reading)] == [(13, 14, 1), (16, 24, {"a": 2})]
    with pytest.raises(ValueError, match="Expecting value"):
        next(reading)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("before", ['{"results": ', '{"x": '])
def test_deep_nesting_is_an_error_that_callers_handle(before: str, opening: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        list(elements(before + opening * 200_000))


@given(DOCUMENTS, st.data())
def test_each_element_has_its_position(document: Any, data: st.DataObject) -> None:
    text = written(document, lambda: data.draw(SPACES))
    for start, end, value in elements(text):
        assert json.loads(text[start:end]) == value
        assert text[start:end].strip() == text[start:end]


@given(DOCUMENTS, st.data())
def test_known_elements_are_not_decoded(document: Any, data: st.DataObject) -> None:
    text = written(document, lambda: data.draw(SPACES))
    ends = {start: end for start, end, _ in elements(text) if data.draw(st.booleans())}
    spoilt = "".join(
        "?" if any(s <= at < e for s, e in ends.items()) else c for at, c in enumerate(text)
    )
    seen = [value for _, _, value in elements(spoilt, ends.get)]
    places = [start for start, _, _ in elements(text)]
    assert seen == [
        KNOWN if at in ends else value
        for at, value in zip(places, document["results"], strict=True)
    ]


# --- whole pages ---


SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PAGES = st.dictionaries(st.sampled_from(["results", "meta", "_links", "x"]), SMALL, max_size=4)


def read(body: bytes) -> Any:
    return asyncio.run(read_page(body))


@given(page=PAGES, indent=st.sampled_from([None, 0, 2]), mark=st.booleans())
@settings(max_examples=150)
def test_a_page_equals_that_of_the_json_module(
    page: Any, indent: int | None, *, mark: bool
) -> None:
    text = json.dumps(page, indent=indent, ensure_ascii=False)
    whole = read(text.encode("utf-8-sig" if mark else "utf-8"))
    assert whole == page


@given(text=st.text(alphabet='{}[]",:results1nul \\\ufeffé', max_size=25))
@example(text='{"results": [1,]}')
@example(text='{"results": [1}')
@example(text='{"results": [1]')
@example(text='{"a": 1,}')
@example(text="{5: 1}")
@example(text='{"a" 1}')
@example(text="{} {}")
@example(text="{")
@example(text="[1]")
@example(text='{"a": NaN}')
@settings(max_examples=300)
def test_invalid_json_is_refused(text: str) -> None:
    try:
        expected = responses.decode(api.get_batch("b1"), 200, {}, text.encode()).data
    except DecodeError:
        with pytest.raises(ValueError, match=r"."):
            read(text.encode())
    else:
        if isinstance(expected, dict):
            assert read(text.encode()) == expected
        else:
            with pytest.raises(ValueError, match="missing"):
                read(text.encode())


@pytest.mark.parametrize("second", ["5", "[1]", "null"])
def test_a_page_with_two_results_is_refused(second: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        read(f'{{"results": [1], "results": {second}}}'.encode())


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b'{"a": "\xc3', b"\xff\xfe{}"])
def test_invalid_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="utf-8"):
        read(body)


def test_a_character_may_be_split_between_two_pieces() -> None:
    for shift in range(4):
        page = {"x" * shift: "\U0001f600" * 400_000}
        assert read(json.dumps(page, ensure_ascii=False).encode()) == page


NO_LISTS: list[dict[str, Any]] = [
    {"message": "maintenance"},
    {"error": {"status": 503, "title": "maintenance"}},
    {"error": "unauthorized"},
    {"detail": "Not found."},
    {"status": 5},
    {"id": "b-1", "status": "READY"},
    {"result": []},
    {"Results": []},
    {"results": None, "message": "maintenance"},
    {"meta": {"count": 0}, "message": "maintenance"},
    {"_links": {}, "next": None},
]


@pytest.mark.parametrize("page", NO_LISTS, ids=repr)
def test_an_object_without_results_is_refused(page: dict[str, Any]) -> None:
    fault = page_fault(page)
    assert fault is not None
    assert fault.startswith("$: not a list, which has an array of 'results', but an object with ")
    assert all(repr(key) in fault for key in page)
    assert "maintenance" not in fault  # values may echo the token


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"results": None},
        {"meta": None},
        {"meta": {"count": 0}},
        {"_links": {"next": None}},
        {"results": None, "meta": {"count": 0}, "_links": None},
        {"results": []},
        {"results": [], "message": "new"},
        {"results": [{"id": "b-1"}], "next": None},
    ],
    ids=repr,
)
def test_results_must_be_an_array(page: dict[str, Any]) -> None:
    assert page_fault(page) is None


@pytest.mark.parametrize(
    ("results", "named"),
    [({}, "an object"), ("", "a string"), (0, "an integer"), (False, "a boolean")],
)
def test_results_that_are_not_an_array_are_reported(results: Any, named: str) -> None:
    fault = page_fault({"results": results, "meta": {"count": 0}})
    assert fault == f"$.results: an array is needed, not {named}"


@pytest.mark.slow
def test_a_refused_page_is_shown_in_part() -> None:
    large = {f"key {number}": "x" * 1_000_000 for number in range(1000)}
    fault = page_fault({"message": "maintenance", "deep": [[[[[[[[large]]]]]]]], **large})
    assert fault is not None
    assert "'message', 'deep'" in fault
    assert len(fault) < 10_000


@pytest.mark.parametrize("key", ["t0ken-of/nobody", "Token x", "a" * 33, ""])
def test_a_refused_page_shows_no_keys_that_are_no_names(key: str) -> None:
    fault = page_fault({key: 5, "message": "maintenance"})
    assert fault is not None
    assert fault.endswith("an object with '…', 'message'")


# --- pages that come in pieces ---


async def pieces_of(body: bytes, ends: Iterable[int]) -> AsyncIterator[bytes]:
    start = 0
    for end in [*sorted(ends), len(body)]:
        if end > start:  # an empty piece would be the end
            yield body[start:end]
            start = end


def in_pieces(body: bytes, ends: Iterable[int], most: int = 10_000) -> list[tuple[Any, Any]]:
    """Return the key and value of each part of a body that is cut into pieces at these ends."""

    async def main() -> list[tuple[Any, Any]]:
        pieces = parts_of_stream(pieces_of(body, ends), most)
        return [(key, value) async for key, _, _, value in pieces]

    return asyncio.run(main())


@given(DOCUMENTS, st.data())
@settings(max_examples=60)
def test_a_page_in_pieces_gives_the_same(document: Any, data: st.DataObject) -> None:
    text = written(document, lambda: data.draw(SPACES))
    body = text.encode(data.draw(st.sampled_from(["utf-8", "utf-8-sig"])))
    ends = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert in_pieces(body, ends) == [(key, value) for key, _, _, value in parts(text)]


@given(DOCUMENTS)
@settings(max_examples=25)
def test_a_page_byte_by_byte_gives_the_same(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        body = (text := json.dumps(document)).encode()
    expected = [(key, value) for key, _, _, value in parts(text)]
    assert in_pieces(body, range(len(body))) == expected


@given(DOCUMENTS, st.data())
@settings(max_examples=60)
def test_a_refused_page_is_refused_in_pieces_too(document: Any, data: st.DataObject) -> None:
    body = json.dumps(document).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    put = data.draw(st.sampled_from([b"", b"}", b"]", b",", b'"', b"\xff", b"1", b" x"]))
    body = body[:at] + put
    ends = data.draw(st.lists(st.integers(0, len(body)), max_size=4))
    try:
        list(parts(body.decode()))
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            in_pieces(body, ends)


@pytest.mark.parametrize("number", ["12345", "-1.5e10", "1E+9", "2.25", "true", '"1"'])
def test_a_value_may_be_split_between_pieces(number: str) -> None:
    body = f'{{"x":{number},"results":[{number},{number}]}}'.encode()
    for end in range(len(body)):
        assert [value for key, value in in_pieces(body, [end]) if key is None] == (
            [json.loads(number)] * 2
        )


@pytest.mark.parametrize("left", [1, 2, 500, 9_000])
@pytest.mark.parametrize("after", [b"", b", ", b', {"n"'])
def test_the_end_of_an_element_may_be_shorter_than_its_beginning(left: int, after: bytes) -> None:
    element = json.dumps({"n": {"x": "x" * 20_000}}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"results": [' + element[:-left]
        yield element[-left:] + after
        raise AssertionError("more was asked for than was needed")

    async def main() -> None:
        seen = parts_of_stream(pieces(), 100_000)
        assert (await anext(seen)).value is ARRAY
        assert (await anext(seen)).value == json.loads(element)
        await seen.aclose()

    asyncio.run(main())


def test_each_element_is_yielded_as_soon_as_it_is_complete() -> None:
    async def main() -> None:
        came: list[int] = []

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(5):
                came.append(number)
                yield (b'{"results": [' if number == 0 else b"") + b'{"n": %d}, ' % number
            raise AssertionError("more was asked for than was needed")

        seen = parts_of_stream(pieces(), 1000)
        assert (await anext(seen)).value is ARRAY
        for number in range(5):
            assert (await anext(seen)).value == {"n": number}
            assert came[-1] == number
        await seen.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        b'{"results": ["' + b"x" * 300,
        b'{"results": [' + b"[" * 300,
        b'{"results": [' + b" " * 300,
        b'{"results": [1' + b" " * 300,
        b'{"results": []' + b" " * 300,
        b'{"x": "' + b"x" * 300,
        b'{"' + b"x" * 300,
        b" " * 300,
        b'{"results": []}' + b" " * 300,
    ],
    ids=lambda body: body[:20],
)
def test_an_endless_value_is_refused(body: bytes) -> None:
    read: list[bytes] = []

    async def endless() -> AsyncIterator[bytes]:
        yield body
        while True:
            read.append(body[-10:])
            yield body[-10:]

    async def main() -> None:
        with pytest.raises(ValueError, match="more than 100 characters"):
            [part async for part in parts_of_stream(endless(), 100)]

    asyncio.run(main())
    assert len(read) <= 40


EVERYTHING = r"""{"meta": {"a": [true, false, null, -1.5e+10, 12, "\u00e9\ud83d\ude00\n\"é😀"]},
"results": [{"a" : 1.5 , "b":[ ], "c": {}}, "s", -3, 100, null ] , "x":  1 }"""


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_page_that_ends_early_is_cut_short(size: int) -> None:
    body = EVERYTHING.encode()
    for end in range(1, len(body)):
        with pytest.raises(TruncatedJson, match="before its JSON was complete"):
            in_pieces(body[:end], range(size, end, size))
    assert len(in_pieces(body, range(size, len(body), size))) == 8


@pytest.mark.parametrize("results", ["1e", "1e-", "1.", "tr", "n", r'"\u0', '"', "-", "[", ""])
def test_a_page_that_ends_within_an_element_is_cut_short(results: str) -> None:
    with pytest.raises(TruncatedJson):
        in_pieces(f'{{"results": [{{"x": {results}'.encode(), [])


MALFORMED = {
    '{"results": [oops': "Expecting value at 13",
    '{"results": [tru]': "Expecting value at 13",
    '{"results": [1] "x': "} is missing at 16",
    '{"results": [{"a": 1 "b": 2}': "Expecting ',' delimiter at 21",
    '{"results": [{"a": 1,, "b": 2}': "Expecting property name",
    '{"results": ["a\nb"': "Invalid control character at at 15",
    '{"results": ["\\x"': "escape at 14",
    '{"results": ["\\u12G4"': "escape at 15",
    "<html>": "{ is missing at 0",
    "[]": "{ is missing at 0",
}


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_page_is_refused_at_once(body: str) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        yield body.encode()
        while True:
            read += 1
            yield b" " * 20

    async def main() -> None:
        with pytest.raises(ValueError, match=MALFORMED[body]) as caught:
            [part async for part in parts_of_stream(endless(), 10_000)]
        assert not isinstance(caught.value, TruncatedJson)

    asyncio.run(main())
    assert read <= 2


@pytest.mark.parametrize("body", ["", "{}}", '{"results": [1]}]', '{"results": [1 2]}', "nothing"])
def test_a_body_that_is_no_page_is_not_reported_as_truncated(body: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        in_pieces(body.encode(), [])
    assert not isinstance(caught.value, TruncatedJson)


def test_a_value_may_be_as_long_as_the_bound() -> None:
    async def main(size: int) -> int:
        body = b'{"results": ["' + b"x" * (size - 2) + b'"]}'
        pieces = pieces_of(body, range(7, len(body), 7))
        parts = [part async for part in parts_of_stream(pieces, 1000)]
        return len(parts[1].value)

    assert asyncio.run(main(1000)) == 998
    with pytest.raises(ValueError, match="more than 1000 characters"):
        asyncio.run(main(1020))  # a few more may have come with the last piece


def test_a_long_page_takes_little_memory_and_linear_time() -> None:
    element = json.dumps({"x": [["y" * 100] * 1000] * 20}).encode()  # 2 MB
    decoded = 0

    async def main() -> None:
        nonlocal decoded
        body = b'{"results": [' + b",".join([element] * 6) + b"]}"
        pieces = pieces_of(body, range(1000, len(body), 1000))
        async for part in parts_of_stream(pieces, 10_000_000):
            decoded += part.key is None

    began = time.process_time()
    asyncio.run(main())
    took = time.process_time() - began
    began = time.process_time()
    for _ in range(6):
        decode(element.decode())
    assert decoded == 6
    # Tried again at each piece, it would be 1,000 times as long.
    assert took < 30 * (time.process_time() - began)
    small = json.dumps({"x": "y" * 10_000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"results": ['
        for _ in range(2000):
            yield small + b","
        yield small + b"]}"

    async def read_small() -> int:
        return sum([part.key is None async for part in parts_of_stream(pieces(), 100_000)])

    tracemalloc.start()
    try:
        assert asyncio.run(read_small()) == 2001
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_only_the_needed_members_of_a_page_are_kept() -> None:
    page: dict[str, Any] = {}
    for number in range(1000):
        add_member(page, f"key {number}", number)
    for key, value in (("results", ARRAY), ("meta", {"count": 1}), ("_links", {})):
        add_member(page, key, value)
    assert len(page) < 50
    assert (page["results"], page["meta"], page["_links"]) == ([], {"count": 1}, {})
