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
into an error. Every error survives pickle and process pools with its attributes and its text.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

# For annotations: models and errors hold each other, and only the package has both when they are
# resolved.
import prolific_async
from prolific_async._messages import brief, issues, plain, shallow

_NAMED = 10  # candidates in a message
_FOLLOWED = frozenset({301, 302, 303, 307, 308})  # by clients that follow redirects
_NOT_MODIFIED, _REQUEST_TIMEOUT, _TOO_EARLY = 304, 408, 425
_REQUEST_ID_LENGTH = 128
# Of gateways, load balancers and proxies: the service documents none.
_REQUEST_IDS = (
    "X-Request-Id",
    "Request-Id",
    "X-Correlation-Id",
    "X-Amzn-RequestId",
    "X-Amzn-Trace-Id",
    "CF-Ray",
)
_REPLACED = "\ufffd"  # stands where a body is no text


def _try_again(method: str) -> str:
    """Return the advice for a call whose response is lost."""
    return "try again" if method == "GET" else "it may have run, so look before you send it again"


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the id that a response's headers give to its request, None if they give none."""
    for name in _REQUEST_IDS:
        if shown := brief(headers.get(name, "")[:_REQUEST_ID_LENGTH]):
            return shown
    return None


def _seconds(seconds: float) -> str:
    return f"{str(round(seconds, 1)).removesuffix('.0')} s"


class ProlificError(Exception):
    """Root of every error of this package; its text is one sentence for a person."""

    _failure: BaseException | None = None
    _request_id: str | None = None

    attempts: int = 1
    """Requests that the call sent, each of which failed."""
    step: str | None = None
    """The step of ``duplicate_and_wait`` that failed: "duplicate", "setup" or "wait"."""
    copy: prolific_async.Batch | None = None
    """The copy that exists although ``duplicate_and_wait`` failed, None if none is known."""

    def __init__(self, *args: object) -> None:
        # Not by Exception: those that are an OSError, too, would take three for errno and so on.
        self.args = args

    @property
    def failure(self) -> BaseException | None:
        """The error that led to this one, of this package as a rule; None if none did.

        It is the ``__cause__``, too. That one is replaced by process pools and dropped by
        ``raise … from None``, while this one stays, through pickle as well.
        """
        if self._failure is None and isinstance(self.__cause__, ProlificError):
            return self.__cause__
        return self._failure

    @failure.setter
    def failure(self, failure: BaseException | None) -> None:
        self._failure = self.__cause__ = failure

    @property
    def request_id(self) -> str | None:
        """The id that the service gave to the request that failed; None if it sent none.

        Printable, and 128 characters at most. It is the one of ``failure`` for an error that is
        about no single response.
        """
        if self._request_id is None and isinstance(self.failure, ProlificError):
            return self.failure.request_id
        return self._request_id

    @request_id.setter
    def request_id(self, request_id: str | None) -> None:
        self._request_id = request_id

    def __str__(self) -> str:
        more = self._more()
        return f"{self._sentence()} ({', '.join(more)})" if more else self._sentence()

    def _sentence(self) -> str:
        """Return the text without what is known of the call beside its failure."""
        return super().__str__()

    def _more(self) -> list[str]:
        more = []
        if self.attempts > 1:
            more.append(f"after {self.attempts} attempts")
        if self._request_id is not None:
            more.append(f"request id {self._request_id}")
        if self.step is not None:
            more.append(f"step: {self.step}")
            more.append("no copy is known" if self.copy is None else f"copy: {self.copy.id}")
        return more

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without this, pickle drops the cause. One that is not ours may be impossible to pickle,
        # and so may a response that is nested deep.
        state = {key: shallow(value) for key, value in self.__dict__.items()}
        if self.failure is not None:
            cause = self.__cause__
            state["_failure"] = failure = _for_pickle(self.failure)
            state["__cause__"] = cause if isinstance(cause, ProlificError) else failure
        return type(self), tuple(map(shallow, self.args)), state


def _for_pickle(failure: BaseException) -> BaseException:
    """Return a failure, or one with its text in place of one that pickle would not give back."""
    if not isinstance(failure, ProlificError):
        try:
            pickle.loads(pickle.dumps(failure))  # noqa: S301 - our own
        except Exception:  # noqa: BLE001 - whatever its class raises
            return ProlificError(_text(failure))
    return failure


def _text(failure: BaseException) -> str:
    """Return a failure's text: ours is a sentence, and others are made to fit into one."""
    if isinstance(failure, ProlificError):
        return str(failure)
    return brief(str(failure)) or type(failure).__name__


class ConfigurationError(ProlificError):
    """The client cannot work as it was set up: token, ``base_url``, session, loop, or closed."""


class TransportError(ProlificError):
    """The call got no whole response.

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

    def _sentence(self) -> str:
        return f"{self.method} {self.path} failed ({brief(self.reason)}); {self._advice()}"

    def _advice(self) -> str:
        return _try_again(self.method)


class ConnectError(TransportError, ConnectionError):
    """The connection was never made, so the request was not sent."""

    def _sentence(self) -> str:
        return (
            f"{self.method} {self.path} was not sent, no connection could be made "
            f"({brief(self.reason)}); check the network, base_url and any proxy, then try again"
        )


class ConnectionLostError(TransportError, ConnectionError):
    """The connection broke after the request had begun: it may have run."""

    def _sentence(self) -> str:
        return (
            f"{self.method} {self.path} lost its connection before the whole answer had come "
            f"({brief(self.reason)}); {self._advice()}"
        )


class RequestTimeoutError(TransportError, TimeoutError):
    """No whole response came in time: the request may have run."""

    def _sentence(self) -> str:
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
        headers: Headers of the response; lookups ignore case.

    """

    advice: ClassVar[str] = ""

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
        self.request_id = request_id_of(headers)

    def _sentence(self) -> str:
        told = brief(": ".join(str(part) for part in self._said() if part))
        told = f" ({told})" if told else ""
        return f"{self.method} {self.path} was answered with {self.status}{told}; {self._advice()}"

    def _said(self) -> tuple[int | str | None, ...]:
        """Return what the service said, in parts."""
        detail = plain(self.detail) if self.detail else None
        said = (self.error_code, self.title, detail, issues(self.body))
        return said if any(said[1:]) else (self.error_code, self._free_form())

    def _free_form(self) -> str:
        """Return what a body says that has none of the shapes that are known."""
        body = self.body
        if isinstance(body, str):
            is_page = body.lstrip().startswith("<")
            return "" if is_page or _REPLACED in body else body
        if isinstance(body, dict):
            return plain({key: one for key, one in body.items() if one != self.error_code})
        return plain(body)

    def _advice(self) -> str:
        asked = f", and wait {_seconds(self.retry_after)} first" if self.retry_after else ""
        return self._what_to_do() + asked

    def _when(self) -> str:
        return f"in {_seconds(self.retry_after)}" if self.retry_after else "later"

    def _what_to_do(self) -> str:
        if self.status in _FOLLOWED:
            return "redirects are not followed, so check base_url"
        if self.status == _NOT_MODIFIED:
            return "a cache in between says so, as this client sets no condition: bypass it"
        if self.status in (_REQUEST_TIMEOUT, _TOO_EARLY):
            return _try_again("GET" if self.status == _TOO_EARLY else self.method)
        if self.advice:
            return self.advice
        return "see .body for what the service said" if self.body else "check base_url"


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
        return f"send fewer requests, and try again {self._when()}"


class ServerError(APIStatusError):
    """5xx: the service, or a gateway before it, failed."""

    def _advice(self) -> str:
        if self.method == "GET":
            return f"the service failed, so try again {self._when()}"
        later = f" {self._when()}" if self.retry_after else ""
        return f"the service failed, but it may have run, so look before you send it again{later}"


class DecodeError(ProlificError):
    """A response, or a mapping given to ``from_dict``, is not what it should be.

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

    def _sentence(self) -> str:
        where = f"the answer to {self.method} {self.path}" if self.method else "the mapping"
        what = brief("; ".join(self.problems))
        see = ".problems" if self.body is None else ".problems and .body"
        return f"{where} cannot be read ({what}); see {see}"


class OutcomeUnknownError(ProlificError):
    """A POST may or may not have run, and reading did not tell; ``failure`` is how it failed.

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
        candidates: tuple[prolific_async.Batch, ...] = (),
        unreadable: tuple[str, ...] = (),
        failure: Exception | None = None,
    ) -> None:
        super().__init__(method, path, candidates, unreadable)
        self.method = method
        self.path = path
        self.candidates = candidates
        self.unreadable = unreadable
        if failure is not None:
            self.failure = failure
        self.request_id = self.request_id  # its text does not show the failure's

    def _sentence(self) -> str:
        return (
            f"{self.method} {self.path} may or may not have run; look at {self._what_tells()} "
            f"before you send it again{self._found()}"
        )

    def _what_tells(self) -> str:
        verb = self.path.rpartition("/")[2]
        return {
            "duplicate": "the workspace's batches",
            "setup": "the batch's status",
        }.get(verb, "what it may have made or changed")

    def _found(self) -> str:
        ids = [batch.id for batch in self.candidates]
        ids += [f"{batch_id} (unreadable)" for batch_id in self.unreadable]
        if not (ids or self.path.endswith("/duplicate")):
            return ""
        found = brief(", ".join(ids[:_NAMED])) or "none was seen"
        if len(ids) > _NAMED:
            found += f" and {len(ids) - _NAMED} more"
        return f" (candidates: {found})"


class WaitError(ProlificError):
    """A wait ended without READY.

    Attributes:
        batch_id: The batch that was waited for.
        last_status: The newest status known, None when none was ever seen.
        elapsed: Seconds from the start of the wait.
        polls: Polls made by this wait.
        events: The last 20 polls, oldest first. Their errors keep the reason; the newest one keeps
            up to 64 KiB of the response, each older one about 1 KiB.

    """

    def __init__(
        self,
        batch_id: str,
        last_status: prolific_async.BatchStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[prolific_async.StatusEvent, ...],
        failure: Exception | None = None,
    ) -> None:
        super().__init__(batch_id, last_status, elapsed, polls, events)
        self.batch_id = batch_id
        self.last_status = last_status
        self.elapsed = elapsed
        self.polls = polls
        self.events = events
        if failure is not None:
            self.failure = failure

    def _sentence(self) -> str:
        seen = brief(self.last_status or "no status seen")
        polls = "1 poll" if self.polls == 1 else f"{self.polls} polls"
        return (
            f"waiting for batch {self.batch_id} {self._ending()} "
            f"({seen}, {polls} in {self.elapsed:.1f} s)"
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
        last_status: prolific_async.BatchStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[prolific_async.StatusEvent, ...],
        batch: prolific_async.Batch | None = None,
    ) -> None:
        super().__init__(batch_id, last_status, elapsed, polls, events)
        self.args = (*self.args, batch)
        self.batch = batch

    def _ending(self) -> str:
        return "found ERROR: the setup failed, so duplicate the batch or fix its dataset"


class BatchNotSetUpError(WaitError):
    """The batch stayed UNINITIALISED: nobody has called setup, and it would never end."""

    def _ending(self) -> str:
        return (
            "found UNINITIALISED for too long: call setup, or if that was done allow a longer "
            "uninitialised_grace"
        )


class WaitFailedError(WaitError):
    """Polling failed for good; ``failure`` says how."""

    def _ending(self) -> str:
        return "failed" if self.failure is None else f"failed: {_text(self.failure)}"


class WaitTimeoutError(WaitError, TimeoutError):
    """The wait's time is over; ``failure`` is the newest poll's, if it failed."""

    advice: str = "wait again, or longer"

    def _ending(self) -> str:
        said = []
        if self.last_status == "UNINITIALISED":
            said.append("call setup, or if that was done wait longer")
        if self.failure is not None:
            said.append(_text(self.failure))
        return f"timed out: {'; '.join(said) or self.advice}"
