"""``ProlificClient``: configuration, the session, and the resources as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, NoReturn, Self

import aiohttp

# For annotations: the resources are imported with the first client, the datasets on first use.
import prolific_async
from prolific_async._http.base_url import read_base_url
from prolific_async._http.credentials import read_token
from prolific_async._json import converter
from prolific_async._numbers import number, whole
from prolific_async.errors import ConfigurationError
from prolific_async.policies import PollPolicy, RetryPolicy


class ProlificClient:
    """The client of the service: one for each event loop, shared by any number of tasks.

    ``async with`` closes it at the end, as ``await client.close()`` does. The constructor does no
    I/O and needs no running loop.

    Attributes:
        batches: The calls on Task Builder batches.
        datasets: The calls on the datasets that their tasks are made from.
        workspaces: The calls on the workspaces that batches are in.

    """

    batches: prolific_async.batches.Batches
    workspaces: prolific_async.workspaces.Workspaces
    _is_view = False
    _datasets: prolific_async.datasets.Datasets | None = None

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
            token: API token; by default ``PROLIFIC_TOKEN`` of the environment, which counts as
                unset when empty, as ``PROLIFIC_URL`` does. The token has all rights of its account.
                It is sent to ``base_url`` alone.
            base_url: Address of the service: https, or http to a loopback host; by default
                ``PROLIFIC_URL`` of the environment, else https://api.prolific.com. It may end with
                ``/api/v1`` or ``/api/v1/data-collection``.
            session: A borrowed aiohttp session: it is never closed or changed, and its own settings
                apply. It is refused at the first request if it has a login of its own (``auth``,
                or ``trust_env`` with netrc) or, unless ``base_url`` is http, if it does not verify
                certificates (``ssl=False``) or host names. A session that caches must respect the
                request header ``Cache-Control: no-cache``, or waits would poll the cache.
                By default the client makes a session at the first request. It always verifies TLS
                and uses the proxy of the environment at that time.
            request_timeout: Seconds for one attempt, from when a connection is free; for each
                256 KiB of a list in which a lost copy is searched.
            retry: How failed calls are repeated.
            poll: How waits poll, unless a call has its own ``poll=``.
            strategy: How many waits are polled. "auto": a workspace with eight or more waiting
                batches is polled by one request for its list, as often as its most eager wait asks.
                If the list fails, lacks a batch, or is too large or too slow for the number of its
                waits, single polls go on, and the list is tried again after a minute. "status":
                always single polls. "list": the list from the first batch on, whatever its size
                and latency; single polls for what it lacks, and for a minute after it failed.
                One batch a minute is polled both ways. If the list shows an older state and still
                does so one gap later, a warning is logged, and the workspace is polled singly for
                the life of the client, also with "list".
            max_requests_per_second: Rate limit of everything that this client sends, None for no
                limit. After a 429 the whole client slows down, and recovers within 30 s.
            max_connections: Largest number of open connections; waits use up to half of them.
            trace_configs: aiohttp's tracing, for the session that this client makes. If a callback
                raises, the outcome of a POST is unknown, a poll has failed, and any other call
                raises the exception. None should await for long: aiohttp leaves a connection open,
                even after ``close``, if the request is cancelled or times out while
                ``on_connection_create_end`` or ``on_connection_reuseconn`` awaits.

        Raises:
            ConfigurationError: There is no token, no header can hold it, or it must not be sent to
                this ``base_url``.
            ValueError: A number is out of range, a value has a wrong type, or ``trace_configs`` are
                given beside a ``session``.

        """
        # Here, not when a call is made: a POST whose response is lost must not need an import. A
        # module that only names this class, for its annotations say, needs none of it.
        from prolific_async._http.transport import Transport  # noqa: PLC0415
        from prolific_async._resources.client_state import LIST_THRESHOLDS, ClientState  # noqa: PLC0415

        converter.prepare()
        secret, no_token = read_token(token)
        self._base_url, no_address = read_base_url(base_url, secret)
        # Either may contain the token, and some loggers print local variables.
        del token, base_url
        request_timeout = number("request_timeout", request_timeout, positive=True)
        max_connections = whole("max_connections", max_connections, least=1)
        if max_requests_per_second is not None:
            max_requests_per_second = number(
                "max_requests_per_second", max_requests_per_second, positive=True, or_none=True
            )
        if strategy not in LIST_THRESHOLDS:
            raise ValueError(f"strategy must be one of {', '.join(LIST_THRESHOLDS)}: {strategy!r}")
        _check_policies(retry, poll)
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
        self._retry = retry
        self._poll = poll
        self._state = ClientState.new(
            self._transport, retry, list_threshold=LIST_THRESHOLDS[strategy]
        )
        self.batches = prolific_async.Batches(self._transport, retry, poll, self._state)
        self.workspaces = prolific_async.Workspaces(self._transport)

    def with_options(
        self,
        *,
        request_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        poll: PollPolicy | None = None,
    ) -> Self:
        """Return a view of this client with other options: a client on the same session.

        It shares connections, rate limit, waits and their observers, and what is known of lost
        duplicates. Batches that come from it are bound to it. Making one costs microseconds and no
        I/O. Closing it does nothing, and it ends with the client that it was made from.

            patient = client.with_options(request_timeout=120, retry=RetryPolicy(max_attempts=8))

        Args:
            request_timeout: Seconds for one attempt, by default this client's. The polls of waits
                keep that of the client, as all waits share them.
            retry: How single calls are tried again, and the pauses of waits after a failed poll; by
                default as this client does.
            poll: How waits poll, unless one brings its own; by default as this client does.

        Raises:
            ValueError: As when a client is made.

        """
        seconds = self._transport.request_timeout
        if request_timeout is not None:
            seconds = number("request_timeout", request_timeout, positive=True)
        retry = self._retry if retry is None else retry
        poll = self._poll if poll is None else poll
        _check_policies(retry, poll)
        view = object.__new__(type(self))
        vars(view).update(vars(self))
        view._is_view = True
        view._retry, view._poll, view._datasets = retry, poll, None
        if seconds != self._transport.request_timeout or retry is not self._retry:
            from prolific_async._http.transport_view import TransportView  # noqa: PLC0415

            view._transport = TransportView(self._transport, seconds, retry)
        view.batches = prolific_async.Batches(view._transport, retry, poll, self._state)
        view.workspaces = prolific_async.Workspaces(view._transport)
        return view

    @property
    def datasets(self) -> prolific_async.datasets.Datasets:
        """The calls on the datasets that the tasks of batches are made from."""
        if self._datasets is None:
            # On its first use, as it takes as long to import as batches do.
            from prolific_async.datasets import Datasets  # noqa: PLC0415

            self._datasets = Datasets(self._transport, self._retry, self._poll, self._state)
        return self._datasets

    async def close(self) -> None:
        """End all waits with WaitFailedError, and close the session unless borrowed. Idempotent.

        Does nothing on a view that ``with_options`` made.

        Raises:
            ConfigurationError: The client is in use by another event loop that still runs.

        """
        if not (self._is_view or self._transport.is_closed):
            self._transport.check_loop()
            reason = ConfigurationError("the ProlificClient was closed during the wait")
            try:
                await self._state.wait_runner.close(reason)
            finally:  # also when cancelled, as nobody may call it again
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


def _check_policies(retry: RetryPolicy, poll: PollPolicy) -> None:
    if not isinstance(retry, RetryPolicy) or not isinstance(poll, PollPolicy):
        raise ValueError("retry must be a RetryPolicy, and poll a PollPolicy")
