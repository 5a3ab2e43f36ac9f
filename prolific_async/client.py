"""``ProlificClient``: what the caller sets up once, and the resources that use it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, NoReturn, Self

import aiohttp

from prolific_async._http.base_url import read_base_url
from prolific_async._http.credentials import read_token
from prolific_async._http.transport import Transport
from prolific_async._numbers import number, whole
from prolific_async._polling.status_source import FEW
from prolific_async.batches import Batches
from prolific_async.errors import ConfigurationError
from prolific_async.policies import PollPolicy, RetryPolicy


class ProlificClient:
    """Entry point: one client for each event loop, used by any number of tasks at once.

    ``async with`` closes it at the end, as ``await client.close()`` does. Making one does no I/O
    and needs no running loop.

    Attributes:
        batches: The verbs of Task Builder batches.

    """

    batches: Batches

    def __init__(
        self,
        token: str | None = None,
        *,
        base_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        request_timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        poll: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
        strategy: Literal["auto", "status", "list"] = "auto",
        max_requests_per_second: float | None = None,
        max_connections: int = 100,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        """Check and keep the settings.

        Args:
            token: API token; by default ``PROLIFIC_TOKEN`` of the environment, where empty text
                counts as none, as it does in ``PROLIFIC_URL``. It has all of its account's rights,
                and is sent to ``base_url`` alone.
            base_url: Where the service is; by default ``PROLIFIC_URL`` of the environment, else
                https://api.prolific.com. https, or http to a loopback host. ``/api/v1`` and
                ``/api/v1/data-collection`` at its end make no difference.
            session: An aiohttp session to borrow: never closed and never changed, and its own
                settings rule. One that verifies no certificates (``ssl=False``) or no host names
                is refused at the first request, unless ``base_url`` is http, and so is a login of
                its own (``auth``, or ``trust_env`` with netrc). One that caches must heed the
                request header ``Cache-Control: no-cache``, or waits would poll its cache. By
                default one is made at the first request, with the proxy that the environment names
                then; it verifies, and nothing here turns that off.
            request_timeout: Seconds for one attempt, from when a connection is free; for each
                256 KiB of a list in which a lost copy is searched.
            retry: How single calls are tried again.
            poll: How waits poll, unless one brings its own.
            strategy: How crowds of waits poll. "auto": a workspace of which eight batches or more
                wait is polled with its list, as often as its most eager wait asks; where the
                list fails, misses a batch, is too heavy or too slow for what it serves, single
                polls go on, and the list is tried again a minute later. "status": always single
                polls. "list": the list from the first batch on, however heavy and slow; single
                searches for what it misses, and for a minute where it fails.
                While a list serves, one of its batches a minute is polled singly, too: where the
                list shows an older state, and still does one gap later, a warning is logged and
                the workspace is polled singly for the life of the client, also with "list".
            max_requests_per_second: One rate limit for everything this client sends, None for no
                limit. After a 429 the whole client slows down, and recovers within 30 s.
            max_connections: Connections that are open at most; waits use up to half of them.
            trace_configs: aiohttp's tracing, for the session that this client makes. What a
                callback raises makes the outcome of a POST unknown, fails a poll, and goes through
                any other call.

        Raises:
            ConfigurationError: No token, or one that no header can hold; a ``base_url`` that the
                token must not be sent to.
            ValueError: A number out of range, something of a wrong type, or ``trace_configs``
                beside a ``session``.

        """
        secret, no_token = read_token(token)
        self._base_url, no_address = read_base_url(base_url)
        # Loggers that print local variables would show them, and either may be the token.
        del token, base_url
        request_timeout = number("request_timeout", request_timeout, positive=True)
        max_connections = whole("max_connections", max_connections, least=1)
        if max_requests_per_second is not None:
            max_requests_per_second = number(
                "max_requests_per_second", max_requests_per_second, positive=True, or_none=True
            )
        if strategy not in FEW:
            raise ValueError(f"strategy must be one of {', '.join(FEW)}: {strategy!r}")
        if not isinstance(retry, RetryPolicy) or not isinstance(poll, PollPolicy):
            raise ValueError("retry must be a RetryPolicy, and poll a PollPolicy")
        if problem := no_token or no_address:
            raise ConfigurationError(problem)
        self._transport = Transport(
            secret,
            self._base_url,
            session=session,
            request_timeout=request_timeout,
            max_connections=max_connections,
            max_requests_per_second=max_requests_per_second,
            retry=retry,
            trace_configs=trace_configs,
        )
        self.batches = Batches(self._transport, retry, poll, FEW[strategy])

    async def close(self) -> None:
        """End pending waits with WaitFailedError and close the session if it is ours. Idempotent.

        Raises:
            ConfigurationError: The client is in use by another event loop that still runs.

        """
        if not self._transport.is_closed:
            self._transport.check_loop()
            reason = ConfigurationError("the ProlificClient was closed during the wait")
            await self.batches.close(reason)
            await self._transport.close()

    async def __aenter__(self) -> Self:
        self._transport.check_usable()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<ProlificClient {self._base_url}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ProlificClient cannot be pickled: make one in each process")
