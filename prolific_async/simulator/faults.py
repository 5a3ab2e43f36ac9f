"""Faults, and the queue that says which request meets which fault."""

import json
import re
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs
from aiohttp import web
from multidict import CIMultiDict

from prolific_async.simulator.numbers import real, real_or_none, whole_or_none
from prolific_async.simulator.responses import JSON_TYPE, encode_error

__all__ = ["Fault", "FaultQueue"]

# Set by the server; `cut` makes a wrong length.
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_HEADER_NAME = re.compile("[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_ERRORS_FROM = 400


def _frozen_headers(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    if headers is not None and not isinstance(headers, Mapping):
        raise ValueError(f"Fault: headers must be a mapping of names to texts, not {headers!r}")
    return MappingProxyType(dict(headers or {}))


@attrs.frozen
class Fault:
    """A fault of one request: a scripted response, or harm to the real one or its connection.

    With `status` or `body` the client gets that response instead of the real one, and the request
    is not applied. Everything else spoils the real response: the request is applied, counts as a
    poll, and its changes remain even when the client never gets the response.

    Args:
        status: The status of the response, 200 to 599; 200 with a `body` alone. With neither, the
            real response is sent. An error status without a body gets the service's error body.
        body: The body of the response: bytes as they are (as JSON, so that broken JSON can be
            sent), text as UTF-8 plain text, anything else encoded as JSON. `headers` may give
            another `Content-Type`. None stands for no body given.
        headers: Sent with the scripted response, or added to the real one.
        delay: Seconds to wait before the response or the reset, after the request was applied.
        reset: Reset the connection instead of responding, "before" or "after" the request is
            applied.
        cut: Close the connection after so many bytes of the body. The length header is that of
            the whole body.
        cut_request: Reset the connection once so many bytes of the request's body have come, or all
            of them, after `delay` seconds in which no more are read. The request is not applied.
        drip: Send the body byte by byte with so many seconds between them.
        applied: With `status` or `body`: apply the request before that response is sent, as when
            a gateway fails after the service has done its work.

    Raises:
        ValueError: A number is negative or infinite, `status` is not a status, `reset` is unknown,
            a header cannot be sent, or arguments contradict each other.
        TypeError: `body` cannot be encoded as JSON.
    """

    status: int | None = attrs.field(default=None, converter=whole_or_none)
    body: Any = attrs.field(default=None, kw_only=True)
    headers: Mapping[str, str] = attrs.field(default=None, converter=_frozen_headers, kw_only=True)
    delay: float = attrs.field(default=0.0, converter=real, kw_only=True)
    reset: Literal["before", "after"] | None = attrs.field(default=None, kw_only=True)
    cut: int | None = attrs.field(default=None, converter=whole_or_none, kw_only=True)
    cut_request: int | None = attrs.field(default=None, converter=whole_or_none, kw_only=True)
    drip: float | None = attrs.field(default=None, converter=real_or_none, kw_only=True)
    applied: bool = attrs.field(default=False, kw_only=True)
    _content: tuple[bytes, str] | None = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if problems := self._problems():
            raise ValueError(f"Fault: {'; '.join(problems)}")
        # Encoded now, so that a body that cannot be sent fails in the test and not in the server.
        object.__setattr__(self, "_content", self._encoded_content())

    @property
    def is_scripted(self) -> bool:
        """Whether the client gets a scripted response instead of the real one."""
        return self.status is not None or self.body is not None

    def scripted_response(self) -> web.Response:
        """Make the response that `status`, `body` and `headers` describe."""
        headers = CIMultiDict[str]()
        body = b""
        if self._content is not None:
            body, headers["Content-Type"] = self._content
        headers.update(self.headers)
        return web.Response(status=self.status or 200, body=body, headers=headers)

    def _problems(self) -> list[str]:
        spoilt = self.is_scripted or self.headers or self.cut is not None or self.drip is not None
        resets = self.reset is not None or self.cut_request is not None
        checks = [
            (_is_whole(self.status, 200, 599), "status must be from 200 to 599"),
            (_is_seconds(self.delay), "delay must be seconds from 0 on"),
            (self.drip is None or _is_seconds(self.drip), "drip must be seconds from 0 on"),
            (_is_whole(self.cut, 0, None), "cut must be a number of bytes from 0 on"),
            (self.reset in (None, "before", "after"), 'reset must be "before" or "after"'),
            (
                _is_whole(self.cut_request, 0, None),
                "cut_request must be bytes from 0 on",
            ),
            (not (resets and spoilt), "a reset sends no response"),
            (self.reset is None or self.cut_request is None, "cut_request is a reset, too"),
            (isinstance(self.applied, bool), "applied must be true or false"),
            (self.is_scripted or not self.applied, "applied needs a status or a body"),
            (
                all(_can_be_sent(*header) for header in self.headers.items()),
                "a header can't be sent",
            ),
        ]
        return [complaint for holds, complaint in checks if not holds]

    def _encoded_content(self) -> tuple[bytes, str] | None:
        """Return the scripted body and its content type; None for an empty body."""
        if isinstance(self.body, bytes):
            return self.body, JSON_TYPE
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        if self.body is not None:
            return json.dumps(self.body).encode(), JSON_TYPE
        if self.status is not None and self.status >= _ERRORS_FROM:
            return encode_error(self.status, "This response was scripted."), JSON_TYPE
        return None


@attrs.define
class _Injection:
    """A fault, and the requests that meet it."""

    method: str
    route: str
    fault: Fault
    remaining: int | None  # None without a limit


class FaultQueue:
    """A first-in, first-out queue of faults for requests. Any thread may use it."""

    def __init__(self) -> None:
        self._injections: list[_Injection] = []
        self._lock = threading.Lock()

    def add(self, method: str, route: str, fault: Fault, times: int | None) -> None:
        """Add a fault for requests whose path ends in `route`: the next `times`, or all for None.

        Raises:
            ValueError: `route` is not the end of a path, `fault` is not a Fault, or `times` is
                below 1.
        """
        if not isinstance(fault, Fault):
            raise ValueError(f"inject: a Fault is needed, such as Fault(503), not {fault!r}")
        if not isinstance(method, str) or not isinstance(route, str):
            raise ValueError(f"inject: method and route must be text, not {method!r} and {route!r}")
        if not route.startswith("/") or not route.strip("/"):
            raise ValueError(f"inject: {route!r} must start with a slash and name a part of a path")
        times = whole_or_none(times)
        if times is not None and not _is_whole(times, 1, None):
            raise ValueError(f"inject: times must be 1 or more, or None for ever, not {times!r}")
        with self._lock:
            self._injections.append(
                _Injection(method.upper(), route.removesuffix("/"), fault, times)
            )

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request, if any, and count one use of it."""
        path = path.removesuffix("/")
        with self._lock:
            for index, injection in enumerate(self._injections):
                if injection.method == method and path.endswith(injection.route):
                    if injection.remaining is not None:
                        injection.remaining -= 1
                        if not injection.remaining:
                            del self._injections[index]
                    return injection.fault
        return None

    def clear(self) -> None:
        """Remove all faults from the queue."""
        with self._lock:
            self._injections.clear()


def _is_whole(value: object, least: int, most: int | None) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return value >= least and (most is None or value <= most)


def _is_seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= sys.float_info.max


def _can_be_sent(name: object, value: object) -> bool:
    if not (isinstance(name, str) and isinstance(value, str) and value.isprintable()):
        return False
    return bool(_HEADER_NAME.fullmatch(name)) and name.lower() not in _FRAMING
