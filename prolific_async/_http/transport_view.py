"""The transport of a view (``with_options``): the client's session, with other settings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import evolve

from prolific_async._http.time_limit import TimeLimit
from prolific_async._http.transport import Transport

if TYPE_CHECKING:
    from prolific_async._http.session import LoopSession
    from prolific_async.policies import RetryPolicy


class TransportView(Transport):
    """Sends requests over another transport's session and rate limit; closed with that transport.

    Args:
        owner: The transport that has the session.
        request_timeout: Seconds for one attempt.
        retry: How failed calls are repeated.

    """

    def __init__(self, owner: Transport, request_timeout: float, retry: RetryPolicy) -> None:
        vars(self).update(vars(owner))  # the settings of the owner
        self._owner = owner
        self.request_timeout = request_timeout
        self._retry = retry
        self._session = None

    @property
    def _closed(self) -> bool:  # type: ignore[override]  # the owner may be closed at any time
        return self._owner.is_closed

    def check_loop(self) -> None:
        """Raise ConfigurationError if the owner cannot be used in this loop."""
        self._owner.check_loop()

    async def _open(self) -> LoopSession:
        self.check_usable()
        session = await self._owner.session_here()
        seconds = self.request_timeout
        time_limit = session.time_limits.get(seconds)
        if seconds == session.time_limit.seconds:
            time_limit = session.time_limit
        elif time_limit is None:
            time_limit = TimeLimit(seconds, asyncio.get_running_loop())
            session.time_limits[seconds] = time_limit
        self._session = evolve(session, time_limit=time_limit)
        return self._session
