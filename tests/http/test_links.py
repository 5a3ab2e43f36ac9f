"""Where the links of a list's pages lead."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prolific_async import DecodeError
from prolific_async._http.endpoints import list_batches
from prolific_async._http.links import count, next_page

FIRST = list_batches("w-1")


def test_a_link_that_is_no_url_is_told_with_its_page() -> None:
    page = {"_links": {"next": {"href": "http://["}}}
    with pytest.raises(DecodeError) as caught:
        next_page(FIRST, page)
    assert caught.value.problems == ("$: the link to the next page is no URL",)
    assert caught.value.body == page


def test_the_count_of_a_page_is_a_number_or_nothing() -> None:
    for meta, counted in (({"count": 3}, 3), ({"count": "3"}, 0), ({}, 0), (None, 0)):
        assert count({"meta": meta, "count": 9}) == counted


def link(href: Any) -> dict[str, Any]:
    return {"results": [], "_links": {"next": {"href": href, "title": "Next"}}}


def test_the_next_page_is_asked_where_this_one_was() -> None:
    for href in (
        "https://api.prolific.com/api/v1/data-collection/batches?workspace_id=w-1&offset=200",
        "https://evil.example/steal?workspace_id=w-1&offset=200",
        "//evil.example/steal?workspace_id=w-1&offset=200",
        "?workspace_id=w-1&offset=200",
    ):
        following = next_page(FIRST, link(href))
        assert following is not None
        assert following.method == "GET"
        assert following.target == f"{FIRST.path}?workspace_id=w-1&offset=200"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        5,
        {},
        {"_links": None},
        {"_links": []},
        {"_links": {}},
        {"_links": {"next": None}},
        {"_links": {"next": "x"}},
        {"_links": {"next": {}}},
        link(None),
        link(""),
        link(5),
        link(["x"]),
    ],
)
def test_without_a_link_there_is_no_next_page(data: Any) -> None:
    assert next_page(FIRST, data) is None


def following_target(href: str) -> str | None:
    try:
        following = next_page(FIRST, link(href))
    except DecodeError:
        return None
    return following and following.target


@pytest.mark.parametrize("href", ["http://[", "//[::1", "http://[v.]/?a", "https://[x]/?offset=2"])
def test_a_link_that_is_no_url_is_no_error_of_python(href: str) -> None:
    target = following_target(href)
    assert target is None or target.startswith(f"{FIRST.path}")


@given(query=st.text())
@example(query="workspace_id=a b")
@example(query="workspace_id=caf\u00e9")
@example(query="a=\r\nX-Other: 1")
@example(query="a=\x00\x7f")
@example(query="a=\ud800")
@settings(max_examples=120)
def test_any_link_leads_to_a_target_that_can_be_sent(query: str) -> None:
    target = following_target("https://api.prolific.com/batches?" + query)
    assert target is None or re.fullmatch(re.escape(f"{FIRST.path}") + r"(\?[!-~]*)?", target)
