"""Pagination: the pages of a list and the links between them."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prolific_async import DecodeError
from prolific_async._api.batches import list_batches
from prolific_async._api.pagination import count, every_page, next_page
from prolific_async._http.request import Request
from prolific_async._http.responses import Response

FIRST = list_batches("w-1")
SECOND = FIRST._replace(query="page=2")
THIRD = FIRST._replace(query="page=3")


async def follow(pages: dict[Request, Any]) -> list[tuple[Request, Any]]:
    """Read the pages of a service, and return each with the request that got it."""

    async def get(request: Request) -> Response:
        return Response({}, pages[request])

    async def both(request: Request, page: Any) -> tuple[Request, Any]:
        return request, page

    return [read async for read in every_page(FIRST, get, both)]


def page(results: int, href: str | None, of: int | None = None) -> dict[str, Any]:
    """Return a page with some batches, and the count of those on all pages."""
    return {
        "results": [{}] * results,
        "meta": {"count": of},
        "_links": {"next": {"href": href}},
    }


async def test_every_page_comes_with_the_request_that_got_it() -> None:
    pages = {
        FIRST: page(2, "?page=2", of=4),
        SECOND: page(1, "?page=3", of=4),
        THIRD: page(1, None, of=4),
    }
    assert await follow(pages) == list(pages.items())


@pytest.mark.parametrize("counted", [3, 100])
async def test_a_list_with_fewer_batches_than_counted_is_an_error(counted: int) -> None:
    last = page(1, None, of=counted)
    with pytest.raises(DecodeError) as caught:
        await follow({FIRST: page(1, "?page=2", of=counted), SECOND: last})
    assert caught.value.problems == (f"$: 2 of {counted} batches, and no link to more",)
    assert caught.value.body == last
    assert (caught.value.method, caught.value.path) == ("GET", FIRST.path)


async def test_links_in_a_circle_are_an_error() -> None:
    pages = {
        FIRST: page(1, "?page=2"),
        SECOND: page(1, "?page=3"),
        THIRD: page(1, "?page=2"),
    }
    with pytest.raises(DecodeError) as caught:
        await follow(pages)
    assert caught.value.problems == ("$: the links lead in a circle",)
    assert caught.value.body == pages[THIRD]


def chain(length: int) -> dict[Request, Any]:
    """Return pages that each link to the next one, but for the last."""
    requests = [FIRST] + [FIRST._replace(query=f"page={one}") for one in range(1, length)]
    links = [f"?{one.query}" for one in requests[1:]]
    return {one: page(0, href) for one, href in zip(requests, [*links, None], strict=True)}


async def test_a_thousand_pages_are_followed_and_no_more() -> None:
    assert len(await follow(chain(1000))) == 1000
    with pytest.raises(DecodeError) as caught:
        await follow(pages := chain(1001))
    assert caught.value.problems == ("$: more than 1000 pages",)
    assert caught.value.body == [*pages.values()][999]


async def test_a_page_that_is_not_an_object_is_an_error_with_its_call() -> None:
    with pytest.raises(DecodeError, match="object") as caught:
        await follow({FIRST: page(0, "?page=2"), SECOND: []})
    assert (caught.value.method, caught.value.path) == ("GET", FIRST.path)


@pytest.mark.parametrize("first", [True, False])
async def test_a_page_without_a_list_is_an_error_that_quotes_it(*, first: bool) -> None:
    down = {"message": "maintenance"}
    pages = {FIRST: down} if first else {FIRST: page(1, "?page=2"), SECOND: down}
    with pytest.raises(DecodeError, match=r"not a list, .* an object with 'message'") as caught:
        await follow(pages)
    assert caught.value.body == down
    assert (caught.value.method, caught.value.path) == ("GET", FIRST.path)


def test_an_invalid_link_is_an_error_of_its_page() -> None:
    odd = link("http://[")
    with pytest.raises(DecodeError) as caught:
        next_page(FIRST, odd)
    assert caught.value.problems == ("$: the link to the next page is no URL",)
    assert caught.value.body == odd


def test_a_count_that_is_not_a_number_is_ignored() -> None:
    for meta, counted in (({"count": 3}, 3), ({"count": "3"}, 0), ({}, 0), (None, 0)):
        assert count({"meta": meta, "count": 9}) == counted


def link(href: Any) -> dict[str, Any]:
    return {"results": [], "_links": {"next": {"href": href, "title": "Next"}}}


def test_the_next_page_is_requested_from_the_same_host_and_path() -> None:
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
def test_any_link_that_is_not_a_url_is_handled(href: str) -> None:
    target = following_target(href)
    assert target is None or target.startswith(f"{FIRST.path}")


@given(query=st.text())
@example(query="workspace_id=a b")
@example(query="workspace_id=caf\u00e9")
@example(query="a=\r\nX-Other: 1")
@example(query="a=\x00\x7f")
@example(query="a=\ud800")
@settings(max_examples=120)
def test_any_link_gives_a_target_that_can_be_sent(query: str) -> None:
    target = following_target("https://api.prolific.com/batches?" + query)
    assert target is None or re.fullmatch(re.escape(f"{FIRST.path}") + r"(\?[!-~]*)?", target)
