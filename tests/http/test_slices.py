"""A long body, read in slices: what json makes of it, with turns for others in between."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prolific_async._http import protocol, slices
from prolific_async.errors import DecodeError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PAGES = st.dictionaries(st.sampled_from(["results", "meta", "_links", "x"]), VALUES, max_size=4)


def read(body: bytes) -> Any:
    return asyncio.run(slices.read(body))


@given(page=PAGES, indent=st.sampled_from([None, 0, 2]), mark=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_page_is_what_json_makes_of_it(page: Any, indent: int | None, *, mark: bool) -> None:
    text = json.dumps(page, indent=indent, ensure_ascii=False)
    whole = read(text.encode("utf-8-sig" if mark else "utf-8"))
    assert whole == {key: value for key, value in page.items() if (key, value) != ("results", [])}


@given(text=st.text(alphabet='{}[]",:results1nul \\\ufeffé', max_size=25))
@example(text='{"results": [1], "results": 5}')
@example(text='{"results": null, "results": [1]}')
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
@settings(max_examples=300, deadline=None)
def test_what_is_no_json_is_none_here_either(text: str) -> None:
    try:
        expected = protocol.decode(protocol.look("b1", whole=True), 200, {}, text.encode()).data
    except DecodeError:
        with pytest.raises(ValueError, match=r"."):
            read(text.encode())
    else:
        if expected is not None:
            found = read(text.encode())
            if isinstance(expected, dict) and expected.get("results") == []:
                del expected["results"]
            assert found == expected


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b'{"a": "\xc3', b"\xff\xfe{}"])
def test_what_is_no_utf_8_is_no_json(body: bytes) -> None:
    with pytest.raises(ValueError, match="utf-8"):
        read(body)


def test_a_character_may_lie_on_the_border_of_two_pieces() -> None:
    for shift in range(4):
        page = {"x" * shift: "\U0001f600" * 400_000}
        assert read(json.dumps(page, ensure_ascii=False).encode()) == page


async def test_others_get_their_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async with aclosing(slices.paced(range(5))) as numbers:
        async for number in numbers:
            assert turns == number
            time.sleep(0.006)  # noqa: ASYNC251 - work that takes its time
    task.cancel()
