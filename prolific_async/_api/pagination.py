"""Reads all pages of a list: each page links to the next one.

For batches the service documents a ``meta.count`` but no pages; its other lists may link to a next
page (``_links.next.href``): https://docs.prolific.com/api-reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from yarl import URL

from prolific_async._http.responses import adding_details, undecodable
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS, page_fault
from prolific_async.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from prolific_async._http.request import Request
    from prolific_async._http.responses import Response

T = TypeVar("T")

_MAX_PAGES = 1000  # a list that never ends must not be read for ever


async def every_page(
    first: Request,
    get: Callable[[Request], Awaitable[Response]],
    read: Callable[[Request, dict[str, Any]], Awaitable[T]],
) -> AsyncGenerator[T]:
    """Request every page of a list, and yield what ``read`` returns for each.

    The ``results`` of a page are an array, null or absent. A bare array is not a page: the service
    documents bare arrays only for ids and instructions.

    Args:
        first: The request of the first page.
        get: Sends a request.
        read: Called with a page's request and JSON.

    Raises:
        DecodeError: A response is not a page of a list, a link is no URL or leads back to an
            earlier page, the last page comes before ``meta.count`` elements, or there are more than
            a thousand pages.

    """
    links = Pagination(first)
    while (request := links.next_request) is not None:
        response = await get(request)
        data, details = response.data, response.error_details
        # The response may echo the token, and some loggers print the local variables of errors.
        del response
        with adding_details(details):
            page = load(dict, data, request.method, request.path)
            check_page(request, page)
            found = await read(request, page)
        yield found
        with adding_details(details):
            links.follow(page, len(page.get(RESULTS) or ()))


def check_page(request: Request, page: dict[str, Any]) -> None:
    """Raise DecodeError if an object is no page of a list."""
    if (fault := page_fault(page)) is not None:
        raise DecodeError((fault,), page, request.method, request.path)


def check_page_limit(request: Request, pages: int, page: dict[str, Any]) -> None:
    """Raise DecodeError if too many pages were read to request another; ``page`` is the last."""
    if pages >= _MAX_PAGES:
        raise undecodable(request, f"more than {_MAX_PAGES} pages", page)


class Pagination:
    """Follows the links of a list from its first page to its last.

    Args:
        first: The request of the first page.
        what: Name of the listed elements in the plural, for errors.

    Attributes:
        next_request: The request of the next page, None after the last.

    """

    def __init__(self, first: Request, what: str = "batches") -> None:
        self.next_request: Request | None = first
        self._what = what
        self._asked: set[str] = set()
        self._elements = 0

    def follow(self, page: dict[str, Any], elements: int) -> None:
        """Set ``next_request`` to the request of the next page.

        Args:
            page: The page that ``next_request`` has requested; its elements may be left out.
            elements: The number of its elements.

        Raises:
            DecodeError: The link or the number of pages or elements is wrong, as in ``every_page``.

        """
        request = self.next_request
        assert request is not None  # noqa: S101 - for the type checker
        self._asked.add(request.query)
        self._elements += elements
        self.next_request = next_page(request, page)
        problem = None
        if self.next_request is None:
            if self._elements < (expected := count(page)):
                problem = f"{self._elements} of {expected} {self._what}, and no link to more"
        elif self.next_request.query in self._asked:
            problem = "the links lead in a circle"
        if problem is not None:
            raise undecodable(request, problem, page)
        if self.next_request is not None:
            check_page_limit(request, len(self._asked), page)


def next_page(request: Request, page: Any) -> Request | None:
    """Build the request of the next page, None after the last.

    Only the query of the link is used. The request goes to the same host and path as the one
    before, so that a link cannot send the token elsewhere.
    """
    href = _within(page, "_links", "next", "href")
    if not isinstance(href, str) or not href:
        return None
    try:
        query = URL(href).raw_query_string
    except ValueError:
        raise undecodable(request, "the link to the next page is no URL", page) from None
    return request._replace(query=query)


def count(page: Any) -> int:
    """Return the number of elements on all pages together, 0 if a page does not say."""
    counted = _within(page, "meta", "count")
    return counted if isinstance(counted, int) else 0


def _within(page: Any, *keys: str) -> Any:
    value = page
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
