"""Every error that this package raises.

::

    ProlificError
    ├── ConfigurationError
    ├── TransportError
    │   ├── ConnectError            (also ConnectionError)
    │   ├── ConnectionLostError     (also ConnectionError)
    │   └── RequestTimeoutError     (also TimeoutError)
    ├── APIStatusError
    │   ├── BadRequestError 400, AuthenticationError 401, PermissionDeniedError 403,
    │   │   NotFoundError 404, ConflictError 409, ValidationError 422, RateLimitedError 429
    │   └── ServerError 5xx
    ├── DecodeError
    ├── OutcomeUnknownError
    └── WaitError
        ├── BatchFailedError
        ├── BatchNotSetUpError
        ├── WaitFailedError
        └── WaitTimeoutError        (also TimeoutError)

Policies and arguments that make no sense are a plain ``ValueError``. Cancellation is never turned
into an error. Every error survives pickle with its attributes, and so does a ``__cause__`` that is
a ``ProlificError`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prolific_async.models import Batch, BatchStatus, StatusEvent

_SHOWN = 500  # characters of the service's own words in a message: a detail can be very long
_NAMED = 10  # candidates in a message


def brief(words: str) -> str:
    """Fit somebody else's words into one sentence: one line, printable, not too long."""
    cut = words if len(words) <= _SHOWN else words[:_SHOWN] + "…"
    return " ".join("".join(one if one.isprintable() else " " for one in cut).split())


class ProlificError(Exception):
    """Root of every error of this package; its text is one sentence for a person."""

    def __init__(self, *args: object) -> None:
        # Not by Exception: those that are an OSError, too, would take three for errno and so on.
        self.args = args

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without this, pickle drops the cause, which for some errors is half of what they say.
        cause = self.__cause__
        state = dict(self.__dict__)
        if isinstance(cause, ProlificError):
            state["__cause__"] = cause
        return type(self), self.args, state


class ConfigurationError(ProlificError):
    """The client cannot work as it was set up: token, ``base_url``, session, loop, or closed."""


class TransportError(ProlificError):
    """The call got no whole answer.

    It is none of the three below where a callback of a TraceConfig raised, or a borrowed session;
    ``__cause__`` is what they raised.

    Attributes:
        method: HTTP method of the call.
        path: Path of the call, from the host's root.
        reason: What went wrong underneath, as the system or the peer put it.

    """

    def __init__(self, method: str, path: str, reason: str) -> None:
        super().__init__(method, path, reason)
        self.method = method
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.method} {self.path} failed ({brief(self.reason)}); {self._advice()}"

    def _advice(self) -> str:
        if self.method == "GET":
            return "try again"
        return "it may have run, so look before you send it again"


class ConnectError(TransportError, ConnectionError):
    """The connection was never made, so the request was not sent."""

    def __str__(self) -> str:
        return (
            f"{self.method} {self.path} was not sent, no connection could be made "
            f"({brief(self.reason)}); check the network and base_url, then try again"
        )


class ConnectionLostError(TransportError, ConnectionError):
    """The connection broke after the request had begun: it may have run."""

    def __str__(self) -> str:
        return (
            f"{self.method} {self.path} lost its connection before the whole answer had come "
            f"({brief(self.reason)}); {self._advice()}"
        )


class RequestTimeoutError(TransportError, TimeoutError):
    """No whole answer came in time: the request may have run."""

    def __str__(self) -> str:
        return (
            f"{self.method} {self.path} got no whole answer in time ({brief(self.reason)}); "
            f"{self._advice()}"
        )


class APIStatusError(ProlificError):
    """The service answered with a status that is not a success.

    Attributes:
        status: HTTP status code.
        method: HTTP method of the call.
        path: Path of the call, from the host's root.
        error_code: The service's own code, or None.
        title: The service's headline, or None.
        detail: What the service sent as detail: text, list or mapping; its message when that is
            all there was; else None.
        body: The decoded JSON, or the text when it was not JSON.
        retry_after: Seconds that the service asked to wait (``Retry-After``), never negative and
            not capped; None when absent or unreadable.
        headers: Headers of the answer; look-ups ignore case.

    """

    advice: ClassVar[str] = "see .body for what the service said"

    def __init__(
        self,
        status: int,
        method: str,
        path: str,
        error_code: int | str | None,
        title: str | None,
        detail: Any,
        body: Any,
        retry_after: float | None,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(
            status, method, path, error_code, title, detail, body, retry_after, headers
        )
        self.status = status
        self.method = method
        self.path = path
        self.error_code = error_code
        self.title = title
        self.detail = detail
        self.body = body
        self.retry_after = retry_after
        self.headers = headers

    def __str__(self) -> str:
        said = (self.error_code, self.title, self._said())
        told = brief(": ".join(str(part) for part in said if part))
        told = f" ({told})" if told else ""
        return f"{self.method} {self.path} was answered with {self.status}{told}; {self._advice()}"

    def _advice(self) -> str:
        if 300 <= self.status < 400:  # noqa: PLR2004 - HTTP's own classes
            return "redirects are not followed, so check base_url"
        return self.advice

    def _said(self) -> str:
        words = str(self.detail or "")
        if not words and isinstance(self.body, str) and not self.body.lstrip().startswith("<"):
            words = self.body
        if isinstance(self.body, dict) and isinstance(issues := self.body.get("issues"), list):
            words += "".join(f"; {issue}" for issue in issues)
        return words


class BadRequestError(APIStatusError):
    """400: the service refuses the request as it stands."""

    advice = "correct the request: the same one will be refused again"


class AuthenticationError(APIStatusError):
    """401: the service does not know the token."""

    advice = "check the token (PROLIFIC_TOKEN)"


class PermissionDeniedError(APIStatusError):
    """403: the token's account may not do this."""

    advice = "check what the token's account may do in this workspace"


class NotFoundError(APIStatusError):
    """404: nothing with this id that the token's account can see."""

    advice = "check the id, and that the token's account can see it"


class ConflictError(APIStatusError):
    """409: something else is at work on the same thing."""

    advice = "wait for what is at work there to end, then try again"


class ValidationError(APIStatusError):
    """422: the service understood the request and finds fault with its content."""

    advice = "correct what it names: the same request will be refused again"


class RateLimitedError(APIStatusError):
    """429: too many requests; the service did not run this one."""

    def _advice(self) -> str:
        when = "later" if self.retry_after is None else f"in {round(self.retry_after, 1)} s"
        return f"send fewer requests, and try again {when}"


class ServerError(APIStatusError):
    """5xx: the service, or a gateway before it, failed."""

    def _advice(self) -> str:
        if self.method == "GET":
            return "the service failed, so try again later"
        return "the service failed, but it may have run, so look before you send it again"


class DecodeError(ProlificError):
    """An answer, or a mapping given to ``from_dict``, is not what it should be.

    Attributes:
        problems: Every fault, of an array the first hundred, each as "path: reason", such as
            "$.datasets[1].id: a string is needed, not null".
        body: The decoded JSON, or the text when it was not JSON; None when it was too large.
        method: HTTP method of the call, None when there was none.
        path: Path of the call, None when there was none.

    """

    def __init__(
        self,
        problems: tuple[str, ...],
        body: Any,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(problems, body, method, path)
        self.problems = problems
        self.body = body
        self.method = method
        self.path = path

    def __str__(self) -> str:
        where = f"the answer to {self.method} {self.path}" if self.method else "the mapping"
        what = brief("; ".join(self.problems))
        return f"{where} cannot be read ({what}); see .problems and .body"


class OutcomeUnknownError(ProlificError):
    """A POST may or may not have run, and looking did not tell; ``__cause__`` is its failure.

    It is never sent again: that could make a second copy or a second setup.

    Attributes:
        method: HTTP method of the call.
        path: Path of the call, from the host's root.
        candidates: Batches that may be what the call made; empty when none was seen, which
            does not prove that there is none.
        unreadable: Ids of batches that may be it, too, and cannot be read.

    """

    def __init__(
        self,
        method: str,
        path: str,
        candidates: tuple[Batch, ...] = (),
        unreadable: tuple[str, ...] = (),
    ) -> None:
        super().__init__(method, path, candidates, unreadable)
        self.method = method
        self.path = path
        self.candidates = candidates
        self.unreadable = unreadable

    def __str__(self) -> str:
        ids = [batch.id for batch in self.candidates]
        ids += [f"{batch_id} (unreadable)" for batch_id in self.unreadable]
        found = brief(", ".join(ids[:_NAMED])) or "none was seen"
        if len(ids) > _NAMED:
            found += f" and {len(ids) - _NAMED} more"
        return (
            f"{self.method} {self.path} may or may not have run; look at the workspace's batches "
            f"before you send it again (candidates: {found})"
        )


class WaitError(ProlificError):
    """A wait ended without READY.

    Attributes:
        batch_id: The batch that was waited for.
        last_status: The newest status known, None when none was ever seen.
        elapsed: Seconds from the start of the wait.
        polls: Looks made by this wait.
        events: The last 20 looks, oldest first.

    """

    def __init__(
        self,
        batch_id: str,
        last_status: BatchStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[StatusEvent, ...],
    ) -> None:
        super().__init__(batch_id, last_status, elapsed, polls, events)
        self.batch_id = batch_id
        self.last_status = last_status
        self.elapsed = elapsed
        self.polls = polls
        self.events = events

    def __str__(self) -> str:
        seen = brief(self.last_status or "no status seen")
        looks = "1 look" if self.polls == 1 else f"{self.polls} looks"
        return (
            f"waiting for batch {self.batch_id} {self._ending()} "
            f"({seen}, {looks} in {self.elapsed:.1f} s)"
        )

    def _ending(self) -> str:
        return "ended without READY"


class BatchFailedError(WaitError):
    """The batch ended in ERROR; its data may be unusable.

    Attributes:
        batch: The batch as it was read then, None when that could not be read.

    """

    def __init__(
        self,
        batch_id: str,
        last_status: BatchStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[StatusEvent, ...],
        batch: Batch | None = None,
    ) -> None:
        super().__init__(batch_id, last_status, elapsed, polls, events)
        self.args = (*self.args, batch)
        self.batch = batch

    def _ending(self) -> str:
        return "found ERROR: the setup failed, so duplicate the batch or mend its dataset"


class BatchNotSetUpError(WaitError):
    """The batch stayed UNINITIALISED: nobody has called setup, and it would never end."""

    def _ending(self) -> str:
        return "found UNINITIALISED for too long: call setup first"


class WaitFailedError(WaitError):
    """Looking failed for good; ``__cause__`` is the failure."""

    def _ending(self) -> str:
        return f"failed: {self.__cause__}"


class WaitTimeoutError(WaitError, TimeoutError):
    """The wait's time is over; ``__cause__`` is the newest look's failure, if it failed."""

    def _ending(self) -> str:
        return "timed out: wait again, or longer"
