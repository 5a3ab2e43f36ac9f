"""Typed API calls for workspaces.

Facts: https://docs.prolific.com/api-reference/workspaces. It documents neither pages nor a count,
but the service's own command line (github.com/prolific-oss/cli) sends a limit and an offset, and
reads a count.
"""

from __future__ import annotations

import builtins
from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._api.pagination import check_page, check_page_limit, count
from prolific_async._http.base_url import VERSION
from prolific_async._http.request import Request
from prolific_async._http.responses import adding_details, undecodable
from prolific_async._http.retry import may_get_again
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS
from prolific_async.models import Workspace

if TYPE_CHECKING:
    from prolific_async._http.transport import Transport

_LIMIT = 200  # workspaces per page, as in the service's command line


def list_workspaces(limit: int, offset: int, *, prefix: str = "") -> Request:
    """Build the GET of a page of workspaces."""
    return Request("GET", f"{prefix}{VERSION}/workspaces/", f"limit={limit}&offset={offset}")


class WorkspacesAPI:
    """The API calls for workspaces; each GET is sent again as the retry policy says."""

    def __init__(self, transport: Transport) -> None:
        self._prefix = transport.prefix
        self._get = partial(transport.send, again=may_get_again)

    async def list(self) -> builtins.list[Workspace]:
        """Return all workspaces.

        Raises:
            DecodeError: Among others, if there are fewer workspaces than the service counts, or
                more than a thousand pages.

        """
        found: dict[str, Workspace] = {}
        pages = 0
        is_last = False
        while not is_last:
            pages += 1
            request = list_workspaces(_LIMIT, len(found), prefix=self._prefix)
            response = await self._get(request)
            data, details = response.data, response.error_details
            # The response may echo the token, and some loggers print the local variables of errors.
            del response
            with adding_details(details):
                is_last = _add_page(found, request, data)
                if not is_last:
                    check_page_limit(request, pages, data)
        return [*found.values()]


def _add_page(found: dict[str, Workspace], request: Request, data: Any) -> bool:
    """Add the workspaces of a page to ``found``; return whether it is the last page."""
    call = (request.method, request.path)
    page = load(dict, data, *call)
    check_page(request, page)
    elements = page.get(RESULTS) or ()
    known = len(found)
    for index, one in enumerate(elements):
        workspace = load(Workspace, one, *call, at=f"$.{RESULTS}[{index}]", within=page)
        found[workspace.id] = workspace
    expected = count(page)
    if len(found) == known:  # a service that ignores the offset sends the same page again
        if known < expected:
            problem = f"{known} of {expected} workspaces, and no more with an offset"
            raise undecodable(request, problem, page)
        return True
    return len(found) >= expected and len(elements) < _LIMIT
