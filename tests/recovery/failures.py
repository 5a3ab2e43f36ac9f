"""Failures of a POST, and whether it may have run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from prolific_async import RetryPolicy, errors
from prolific_async._http import responses
from prolific_async._http.request import Request
from prolific_async._http.responses import Response
from prolific_async.errors import (
    APIStatusError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    ProlificError,
    RequestTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

BATCH = "/api/v1/data-collection/batches/b-1"
SETUP = Request("POST", f"{BATCH}/setup", "", b'{"tasks_per_group": 5}')
DUPLICATE = Request("POST", f"{BATCH}/duplicate", "", b'{"name": "Round 2"}')
AT_ONCE = RetryPolicy(initial=0, maximum=0)
ACCEPTED = Response({}, {})


def answered(status: int, retry_after: str | None = None) -> APIStatusError:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with pytest.raises(APIStatusError) as caught:
        responses.decode(SETUP, status, headers, b"")
    return caught.value


LOST = ConnectionLostError("POST", SETUP.path, "reset")
UNSENT = ConnectError("POST", SETUP.path, "refused")
GARBLED = DecodeError(("$: not JSON",), "<html>", "POST", SETUP.path)

# A POST that failed so may have run.
AMBIGUOUS: dict[str, ProlificError] = {
    "lost": LOST,
    "timed out": RequestTimeoutError("POST", SETUP.path, "30 s"),
    "garbled": GARBLED,
    **{str(status): answered(status) for status in (408, 500, 501, 502, 503, 504, 599)},
}
# A POST that failed so did not run, and would fail again.
REFUSED: dict[str, ProlificError] = {
    **{
        str(status): answered(status)
        for status in (300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413)
    },
    **{str(status): answered(status) for status in (418, 422, 423, 425, 428, 451, 499)},
    "misconfigured": errors.ConfigurationError("closed"),
}
# A POST that failed so did not run, and may be sent again.
UNRUN: dict[str, ProlificError] = {"unsent": UNSENT, "429": answered(429)}


def each(table: dict[str, ProlificError]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("failure", table.values(), ids=table)


async def outcome_of(work: Awaitable[T]) -> T | ProlificError:
    try:
        return await work
    except ProlificError as error:
        return error
