"""Faults, and the script that says which request meets which."""

import json
import re
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from prolific_async.simulator.answers import JSON_TYPE, Answer, error_answer
from prolific_async.simulator.numbers import real, real_or_none, whole_or_none

__all__ = ["Fault", "FaultScript"]

# The server counts and frames bodies itself; for a wrong length there is `cut`.
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_HEADER_NAME = re.compile("[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_ERRORS_FROM = 400


def _frozen_headers(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    if headers is not None and not isinstance(headers, Mapping):
        raise ValueError(f"Fault: headers must be a mapping of names to texts, not {headers!r}")
    return MappingProxyType(dict(headers or {}))


@attrs.frozen
class Fault:
    """What goes wrong with one request.

    With `status` or `body` the client gets that answer instead of the real one, and the request
    is not applied. Everything else spoils the real answer: the request is applied, counted as a
    poll, and what it changed stays changed even when the client never hears of it.

    Args:
        status: The status to answer, 200 to 599. With a `body` alone it is 200. With neither, the
            real answer is sent. An error status without a body gets the service's error body.
        body: What to answer: bytes as they are (as JSON, so that broken JSON can be sent), text as
            UTF-8 plain text, anything else encoded as JSON. `headers` may give another
            `Content-Type`. None stands for no body given.
        headers: Sent with the scripted answer, or added to the real one.
        delay: Seconds to wait before the answer or the reset, after the request has been applied:
            a client that gives up meanwhile cannot know what became of it.
        reset: Reset the connection instead of answering, "before" the request is applied or
            "after".
        cut: Close the connection after so many bytes of the body; the announced length stays whole.
        drip: Send the body in single bytes with so many seconds between them.
        applied: With `status` or `body`: apply the request all the same before that answer is
            sent, as when a gateway fails after the service has done its work.

    Raises:
        ValueError: A negative or infinite number, a status that is none, an unknown `reset`, a
            header that cannot be sent, or parts that contradict each other.
        TypeError: `body` cannot be encoded as JSON.
    """

    status: int | None = attrs.field(default=None, converter=whole_or_none)
    body: Any = attrs.field(default=None, kw_only=True)
    headers: Mapping[str, str] = attrs.field(default=None, converter=_frozen_headers, kw_only=True)
    delay: float = attrs.field(default=0.0, converter=real, kw_only=True)
    reset: Literal["before", "after"] | None = attrs.field(default=None, kw_only=True)
    cut: int | None = attrs.field(default=None, converter=whole_or_none, kw_only=True)
    drip: float | None = attrs.field(default=None, converter=real_or_none, kw_only=True)
    applied: bool = attrs.field(default=False, kw_only=True)
    answer: Answer | None = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if problems := self._problems():
            raise ValueError(f"Fault: {'; '.join(problems)}")
        # Encoded now, so that what cannot be sent fails in the test and not in the server.
        object.__setattr__(self, "answer", self._scripted_answer())

    def _problems(self) -> list[str]:
        scripted = self.status is not None or self.body is not None
        spoilt = scripted or self.headers or self.cut is not None or self.drip is not None
        checks = [
            (_is_whole(self.status, 200, 599), "status must be from 200 to 599"),
            (_is_seconds(self.delay), "delay must be seconds from 0 on"),
            (self.drip is None or _is_seconds(self.drip), "drip must be seconds from 0 on"),
            (_is_whole(self.cut, 0, None), "cut must be a number of bytes from 0 on"),
            (self.reset in (None, "before", "after"), 'reset must be "before" or "after"'),
            (not (self.reset and spoilt), "a reset leaves nothing to answer with"),
            (isinstance(self.applied, bool), "applied must be true or false"),
            (scripted or not self.applied, "applied needs a status or a body"),
            (
                all(_can_be_sent(*header) for header in self.headers.items()),
                "a header can't be sent",
            ),
        ]
        return [complaint for holds, complaint in checks if not holds]

    def _scripted_answer(self) -> Answer | None:
        if self.status is None and self.body is None:
            return None
        status = 200 if self.status is None else self.status
        body, headers = b"", {}
        if self.body is not None:
            body, content_type = _encoded(self.body)
            headers = {"Content-Type": content_type}
        elif status >= _ERRORS_FROM:
            default = error_answer(status, "This answer was scripted.")
            body, headers = default.body, dict(default.headers)
        return Answer(status, body, headers).with_headers(self.headers)


@attrs.define
class _Entry:
    method: str
    route: str
    fault: Fault
    left: int | None


class FaultScript:
    """Faults waiting for their requests, first in first out. Any thread may use it."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()

    def add(self, method: str, route: str, fault: Fault, times: int | None) -> None:
        """Let the next `times` requests whose path ends in `route` meet `fault`; None: all.

        Raises:
            ValueError: `route` is no end of a path, `fault` no Fault, or `times` is below 1.
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
            self._entries.append(_Entry(method.upper(), route.removesuffix("/"), fault, times))

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that a request meets, and use it up by one."""
        path = path.removesuffix("/")
        with self._lock:
            for index, entry in enumerate(self._entries):
                if entry.method == method and path.endswith(entry.route):
                    if entry.left is not None:
                        entry.left -= 1
                        if not entry.left:
                            del self._entries[index]
                    return entry.fault
        return None

    def clear(self) -> None:
        """Forget every fault that has not met its request."""
        with self._lock:
            self._entries.clear()


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


def _encoded(body: Any) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, JSON_TYPE
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body).encode(), JSON_TYPE
