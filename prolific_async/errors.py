"""Errors: everything that this package raises on purpose.

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
        ├── NothingUploadedError
        ├── SchemaNeededError
        ├── JobFailedError
        │   └── PartialImportError, PartialMigrationError
        ├── WaitFailedError
        └── WaitTimeoutError        (also TimeoutError)

Invalid arguments and policies are a plain ``ValueError``, sources, pages and paths of a wrong type
a ``TypeError``, and files that cannot be read or written an ``OSError``. Cancellation is never
turned into an error. Every error survives pickle and process pools with its attributes and its
text.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

# For annotations: models and errors refer to each other, so both are resolved through the package.
import prolific_async
from prolific_async._lost_calls import look_first, makes_a_batch, may_be_repeated, try_again
from prolific_async._message_parts import brief, named_ids, seconds, service_words, shallow

_FOLLOWED = frozenset({301, 302, 303, 307, 308})  # redirects that other clients would follow
_NOT_MODIFIED, _REQUEST_TIMEOUT, _TOO_EARLY = 304, 408, 425
_REQUEST_ID_LENGTH = 128
# Headers that gateways, load balancers and proxies set: the service documents none.
_REQUEST_IDS = (
    "X-Request-Id",
    "Request-Id",
    "X-Correlation-Id",
    "X-Amzn-RequestId",
    "X-Amz-Request-Id",
    "X-Amzn-Trace-Id",
    "CF-Ray",
)


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the id that a response's headers give to its request, None if they give none."""
    for name in _REQUEST_IDS:
        if shown := brief(headers.get(name, "")[:_REQUEST_ID_LENGTH]):
            return shown
    return None


class ProlificError(Exception):
    """Root of all errors of this package. The text is one sentence that says what to do."""

    _failure: BaseException | None = None
    _request_id: str | None = None

    attempts: int = 1
    """Requests that the call sent, each of which failed."""
    step: str | None = None
    """The step of ``duplicate_and_wait`` that failed: "duplicate", "setup" or "wait"."""
    copy: prolific_async.Batch | None = None
    """The copy that exists although ``duplicate_and_wait`` failed, None if none is known."""

    result: prolific_async.AppendResult | None = None
    """What the service had accepted before an ``append`` failed, None for any other call."""

    def __init__(self, *args: object) -> None:
        # Not super().__init__: OSError, a base of some, would take three arguments for its own.
        self.args = args

    @property
    def failure(self) -> BaseException | None:
        """The error that led to this one, usually one of this package; None if there is none.

        It is also the ``__cause__``, but stays where that is replaced or dropped: in process pools,
        through pickle, and by ``raise … from None``.
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
        details = self._details()
        return f"{self._sentence()} ({', '.join(details)})" if details else self._sentence()

    def _sentence(self) -> str:
        """Return the text without the details of the call, such as its attempts."""
        return super().__str__()

    def _details(self) -> list[str]:
        details = []
        if self.attempts > 1:
            details.append(f"after {self.attempts} attempts")
        if self._request_id is not None:
            details.append(f"request id {self._request_id}")
        if self.step is not None:
            details.append(f"step: {self.step}")
            details.append("no copy is known" if self.copy is None else f"copy: {self.copy.id}")
        return details

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle would drop the cause, and fails on deep nesting and on some foreign exceptions.
        state = {key: shallow(value) for key, value in self.__dict__.items()}
        if self.failure is not None:
            cause = self.__cause__
            state["_failure"] = failure = _for_pickle(self.failure)
            state["__cause__"] = cause if isinstance(cause, ProlificError) else failure
        return type(self), tuple(map(shallow, self.args)), state


def _for_pickle(failure: BaseException) -> BaseException:
    """Return a failure, or an error with its text if pickle cannot restore it."""
    if not isinstance(failure, ProlificError):
        try:
            pickle.loads(pickle.dumps(failure))  # noqa: S301 - our own
        except Exception:  # noqa: BLE001 - whatever its class raises
            return ProlificError(_text(failure))
    return failure


def _text(failure: BaseException) -> str:
    """Return a failure's text, to be part of a sentence; its class's name if it has none."""
    if isinstance(failure, ProlificError):
        return str(failure)
    return brief(str(failure)) or type(failure).__name__


class ConfigurationError(ProlificError):
    """The client cannot be used: its token, ``base_url``, session or event loop, or it is closed.

    Nothing was sent. The text names the setting to correct.
    """


class TransportError(ProlificError):
    """The call got no complete response. A POST may have run, unless it is a ConnectError.

    It has none of the three classes below if a callback of a ``TraceConfig``, or a borrowed
    session, raised something; that is the ``__cause__``.

    Attributes:
        method: HTTP method of the call.
        path: Path of the call, from the host's root.
        reason: What the system, the peer or the callback reported.

    """

    _problem: ClassVar[str] = "failed"

    def __init__(self, method: str, path: str, reason: str) -> None:
        super().__init__(method, path, reason)
        self.method, self.path, self.reason = method, path, reason

    def _sentence(self) -> str:
        problem = f"{self._problem} ({brief(self.reason)})"
        return f"{self.method} {self.path} {problem}; {self._advice()}"

    def _advice(self) -> str:
        return try_again(self.method, self.path)


class ConnectError(TransportError, ConnectionError):
    """No connection could be made, so the request was not sent. Safe to try again."""

    _problem = "was not sent, no connection could be made"

    def _advice(self) -> str:
        return "check the network, base_url and any proxy, then try again"


class ConnectionLostError(TransportError, ConnectionError):
    """The connection broke after the request had begun. A POST may have run.

    In the middle of ``responses``, or of ``rows`` of a report, the text tells how many had come.
    """

    _problem = "lost its connection before the whole response had come"


class RequestTimeoutError(TransportError, TimeoutError):
    """No complete response came within ``request_timeout``. A POST may have run."""

    _problem = "got no whole response in time"


class APIStatusError(ProlificError):
    """The service responded with a status that is not 2xx.

    Attributes:
        status: HTTP status code.
        method: HTTP method of the call.
        path: Path of the call, from the host's root.
        error_code: The service's own code, or None.
        title: The service's headline, or None.
        detail: The service's detail: text, list or mapping; its message if it sent nothing else;
            else None.
        body: The decoded JSON, or the text if it was not JSON.
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
        self.status, self.method, self.path = status, method, path
        self.error_code, self.title, self.detail, self.body = error_code, title, detail, body
        self.retry_after, self.headers = retry_after, headers
        self.request_id = request_id_of(headers)

    def _sentence(self) -> str:
        words = service_words(self.error_code, self.title, self.detail, self.body)
        said = f" ({words})" if words else ""
        return f"{self.method} {self.path} was answered with {self.status}{said}; {self._advice()}"

    def _advice(self) -> str:
        pause = f", and wait {seconds(self.retry_after)} first" if self.retry_after else ""
        return self._what_to_do() + pause

    def _when(self) -> str:
        return f"in {seconds(self.retry_after)}" if self.retry_after else "later"

    def _after_refused_file(self) -> str:
        if self.attempts > 1:
            may_be_there = "the storage refused the file, but an attempt before may have stored it"
            return f"{may_be_there}, so {look_first(self.path)}"
        return "the storage refused the file and kept nothing of it, so upload it again"

    def _what_to_do(self) -> str:
        if self.method == "PUT" and self.status not in (_REQUEST_TIMEOUT, _TOO_EARLY):
            return self._after_refused_file()
        if self.status in _FOLLOWED:
            return "redirects are not followed, so check base_url"
        if self.status == _NOT_MODIFIED:
            return "a cache in between says so, as this client sets no condition: bypass it"
        if self.status in (_REQUEST_TIMEOUT, _TOO_EARLY):
            method = "GET" if self.status == _TOO_EARLY else self.method
            return try_again(method, self.path)
        if self.advice:
            return self.advice
        return "see .body for what the service said" if self.body else "check base_url"


class BadRequestError(APIStatusError):
    """400: the service refuses the request. Correct it before you send it again."""

    advice = "correct the request: the same one will be refused again"

    def _what_to_do(self) -> str:
        if self.path.endswith("/setup"):
            # https://beta-docs.prolific.com/api-reference/ai-task-builder/setup-task-builder-batch
            return (
                "correct the setup, which needs a READY dataset, or leave it out if the batch is "
                "set up already: the same will be refused again"
            )
        return super()._what_to_do()


class AuthenticationError(APIStatusError):
    """401: the service does not know the token."""

    advice = "check the token (PROLIFIC_TOKEN)"


class PermissionDeniedError(APIStatusError):
    """403: the token's account may not do this."""

    advice = "check what the token's account may do in this workspace"


class NotFoundError(APIStatusError):
    """404: there is nothing with this id that the token's account can see."""

    advice = "check the id, and that the token's account can see it"


class ConflictError(APIStatusError):
    """409: another job works on the same batch, dataset or export. Try again when it has ended."""

    advice = "wait for what is at work there to end, then try again"


class ValidationError(APIStatusError):
    """422: the content of the request is invalid. Correct it before you send it again."""

    advice = "correct what it names: the same request will be refused again"


class RateLimitedError(APIStatusError):
    """429: too many requests. The service did not run this one; try again later."""

    def _advice(self) -> str:
        if self.advice:  # the advice for a limit on something other than requests
            return super()._advice()
        return f"send fewer requests, and try again {self._when()}"


class ServerError(APIStatusError):
    """5xx: the service, or a gateway before it, failed. A POST may have run."""

    def _advice(self) -> str:
        if may_be_repeated(self.method, self.path):
            return f"the service failed, so try again {self._when()}"
        later = f" {self._when()}" if self.retry_after else ""
        return f"the service failed, but {try_again(self.method, self.path)}{later}"


class DecodeError(ProlificError):
    """A response, a mapping given to ``from_dict`` or an archive is not of the documented form.

    Attributes:
        problems: Every fault, of an array the first hundred, each as "path: reason", such as
            "$.datasets[1].id: a string is needed, not null".
        body: The decoded JSON, or the text if it was not JSON; None if it was too large.
        method: HTTP method of the call, None for a mapping or an archive.
        path: Path of the call, or of the archive's file; None for a mapping.

    """

    def __init__(
        self,
        problems: tuple[str, ...],
        body: Any,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(problems, body, method, path)
        self.problems, self.body = problems, body
        self.method, self.path = method, path

    def _sentence(self) -> str:
        where = f"the file {self.path!r}" if self.path else "the mapping"
        if self.method:
            where = f"the response to {self.method} {self.path}"
        see = ".problems" if self.body is None else ".problems and .body"
        return f"{where} cannot be read ({brief('; '.join(self.problems))}); see {see}"


class OutcomeUnknownError(ProlificError):
    """A POST may or may not have run; ``failure`` is how it failed.

    It was not sent again, since that could make a second copy or a second setup. Look for the copy
    or the new batch in the workspace, for example with ``find_copies``, at the batch's status, or
    at the dataset's schema, before you do.

    Attributes:
        method: HTTP method of the call.
        path: Path of the call, from the host's root.
        candidates: Batches that the call may have made. That there are none proves nothing.
        unreadable: Ids of further candidates, which cannot be read.

    """

    _reason: str | None = None

    def __init__(
        self,
        method: str,
        path: str,
        candidates: tuple[prolific_async.Batch, ...] = (),
        unreadable: tuple[str, ...] = (),
        failure: BaseException | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(method, path, candidates, unreadable)
        self.method, self.path = method, path
        self.candidates, self.unreadable = candidates, unreadable
        if failure is not None:
            self.failure = failure
        self.request_id = self.request_id  # its text does not show the failure's
        if reason is not None:
            self._reason = reason

    def _sentence(self) -> str:
        ids = [batch.id for batch in self.candidates]
        ids += [f"{batch_id} (unreadable)" for batch_id in self.unreadable]
        is_listed = makes_a_batch(self.path)
        found = f" (candidates: {named_ids(ids)})" if ids or is_listed else ""
        unknown = f"{self.method} {self.path} may or may not have run; {look_first(self.path)}"
        return f"{self._reason or unknown}{found}"


class WaitError(ProlificError):
    """A wait ended without success. It changed nothing on the service: wait again at any time.

    Attributes:
        kind: What was waited for: a "batch", "dataset", "import", "migration", "sync" or "export".
        id: The id of that batch, dataset or job.
        last_status: The newest status known, None if none was ever seen.
        elapsed: Seconds since the start of the wait.
        polls: Number of polls that this wait made.
        events: The last 20 polls, oldest first. Their errors keep the reason; the newest one keeps
            up to 64 KiB of the response, each older one about 1 KiB.

    """

    _ending: ClassVar[str] = "ended without READY"

    kind: str = "batch"

    def __init__(
        self,
        id: str,  # noqa: A002 - as the attribute
        last_status: prolific_async.models.WaitStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[prolific_async.StatusEvent, ...],
        failure: Exception | None = None,
        *,
        kind: str = "batch",
    ) -> None:
        super().__init__(id, last_status, elapsed, polls, events)
        self.kind, self.id, self.last_status = kind, id, last_status
        self.elapsed, self.polls, self.events = elapsed, polls, events
        if failure is not None:
            self.failure = failure

    @property
    def batch_id(self) -> str | None:
        """The batch that was waited for, None if it was something else."""
        return self.id if self.kind == "batch" else None

    def _sentence(self) -> str:
        seen = brief(self.last_status or "no status seen")
        polls = "1 poll" if self.polls == 1 else f"{self.polls} polls"
        return (
            f"waiting for {self.kind} {self.id} {self._how_it_ended()} "
            f"({seen}, {polls} in {self.elapsed:.1f} s)"
        )

    def _how_it_ended(self) -> str:
        return self._ending


class BatchFailedError(WaitError):
    """The batch ended in ERROR: its setup failed. Duplicate it, or fix its dataset.

    Attributes:
        batch: The batch as it was read then, None if it could not be read.

    """

    advice: str = "set up a duplicate of the batch with it"

    def __init__(
        self,
        id: str,  # noqa: A002 - as the attribute
        last_status: prolific_async.models.WaitStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[prolific_async.StatusEvent, ...],
        batch: prolific_async.Batch | None = None,
    ) -> None:
        super().__init__(id, last_status, elapsed, polls, events)
        self.args = (*self.args, batch)
        self.batch = batch

    def _how_it_ended(self) -> str:
        return (
            "found ERROR: the setup failed, and its data may be unusable; fix its dataset or "
            f"upload another one, and {self.advice}"
        )


class BatchNotSetUpError(WaitError):
    """The batch stayed UNINITIALISED for ``uninitialised_grace``: ``setup`` was not called."""

    _ending = (
        "found it UNINITIALISED for too long: call setup, which needs a READY dataset, or if that "
        "was done allow a longer uninitialised_grace"
    )


class NothingUploadedError(WaitError):
    """The dataset stayed empty for ``uninitialised_grace``: nothing was uploaded, or imported.

    ``last_status`` is "failed" or "pending_schema" if that is the status of its newest import.
    """

    def _how_it_ended(self) -> str:
        match self.last_status:
            case "failed":
                return (
                    "found that its import failed: see the dataset's imports for the reason, "
                    "correct the data, and upload it again"
                )
            case "pending_schema":
                return "found that its rows wait for a schema: call update_schema, then wait again"
        return (
            "found that nothing was uploaded to it for too long: upload its rows, or if that was "
            "done allow a longer uninitialised_grace"
        )


class SchemaNeededError(WaitError):
    """The import waits until its dataset has a schema, and then continues by itself."""

    _ending = "found that its dataset has no schema: call update_schema, then wait again"


class JobFailedError(WaitError):
    """The processing of a dataset, or a job such as an import, has failed.

    Attributes:
        job: The dataset or job as it was read then, bound to no client; None if it could not be
            read.

    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as the attribute
        last_status: prolific_async.models.WaitStatus | None,
        elapsed: float,
        polls: int,
        events: tuple[prolific_async.StatusEvent, ...],
        job: Any = None,
        *,
        kind: str = "job",
    ) -> None:
        super().__init__(id, last_status, elapsed, polls, events, kind=kind)
        self.args = (*self.args, job)
        self.job = job

    @property
    def reason(self) -> str | None:
        """Why the job failed, in the service's words; None if the service gave no reason."""
        reason = getattr(self.job, "reason", None)
        return reason if isinstance(reason, str) else None

    def _how_it_ended(self) -> str:
        said = brief(self.reason or "")
        advice = _AFTER_FAILURE.get(self.kind, "correct what it names, and begin again")
        return f"found that it failed{said and f': {said}'}; {advice}"


_AFTER_FAILURE = {
    "dataset": "correct the data, and upload it to a new dataset",
    "import": "correct the data, and upload it again",
    "migration": "correct the schema, and update it again",
    "sync": "call sync again",
    "export": "export again",
}


class _Partial:
    """Base of the errors of jobs that have done only a part of their work."""

    job: Any
    _counts: ClassVar[tuple[str, str]]  # names of the job's attributes with the two numbers

    @property
    def accepted_count(self) -> int | None:
        """The number of rows or datapoints that the service took, None if not reported."""
        return self._count(0)

    @property
    def rejected_count(self) -> int | None:
        """The number of rows or datapoints that the service did not take, None if not reported."""
        return self._count(1)

    @property
    def errors(self) -> tuple[Any, ...]:
        """The rows or datapoints that were rejected, each with its reason; perhaps not all."""
        return getattr(self.job, "errors", None) or ()

    def _count(self, index: int) -> int | None:
        count: int | None = getattr(self.job, self._counts[index], None)
        return count

    def _summary(self) -> str:
        counts = (self.accepted_count, "accepted"), (self.rejected_count, "rejected")
        known = ", ".join(f"{count} {what}" for count, what in counts if count is not None)
        first = _fault(self.errors[0]) if self.errors else ""
        return "".join(f"{said}; " for said in (known, first) if said)


def _fault(one: Any) -> str:
    """Return the place and the reason of a fault in a row or datapoint, as the service said."""
    index, datapoint = getattr(one, "record_index", None), getattr(one, "datapoint_id", None)
    name = getattr(one, "field", None)
    where = (
        None if index is None else f"row {index} (counted from 0)",
        datapoint and f"datapoint {datapoint}",
        name and name != _WHOLE_ROW and f"field {name!r}",
    )
    reason = getattr(one, "reason", None)
    return brief(": ".join(filter(None, (", ".join(filter(None, where)), reason))))


_WHOLE_ROW = "_raw"  # the field of a row that the service cannot read


class PartialImportError(_Partial, JobFailedError):
    """The service accepted some rows of an import and rejected others; the accepted ones stay.

    ``accepted_count`` and ``rejected_count`` are their numbers, and ``errors`` tell which rows were
    rejected, and why. ``wait(partial="accept")`` returns the dataset all the same.
    """

    _counts = "accepted_count", "rejected_count"

    def _how_it_ended(self) -> str:
        return (
            f"found some rows rejected: {self._summary()}see .errors, and upload the rest corrected"
        )


class PartialMigrationError(_Partial, JobFailedError):
    """Some datapoints of a dataset do not fit its new schema; the others were migrated.

    ``accepted_count`` and ``rejected_count`` are their numbers, and ``errors`` tell which do not
    fit, and why.
    """

    _counts = "reprocessed_count", "failed_count"

    def _how_it_ended(self) -> str:
        return f"found only a part migrated: {self._summary()}see .errors, and correct the schema"


class WaitFailedError(WaitError):
    """Polling failed for good, or the client was closed; ``failure`` says why."""

    def _how_it_ended(self) -> str:
        return "failed" if self.failure is None else f"failed: {_text(self.failure)}"


class WaitTimeoutError(WaitError, TimeoutError):
    """The timeout is over. ``failure`` is how the newest poll failed, None if it succeeded.

    If ``step`` is "duplicate" or "setup", that step of ``duplicate_and_wait`` did not end in time,
    no poll was made, and ``failure`` is the OutcomeUnknownError of its POST.
    """

    advice: str = "wait again, or longer"

    def _sentence(self) -> str:
        if self.step in ("duplicate", "setup"):
            return (
                f"timed out after {self.elapsed:.1f} s in the {self.step} of batch "
                f"{self.id}, which may have run; {self.advice}"
            )
        return super()._sentence()

    def _how_it_ended(self) -> str:
        advice = []
        if self.last_status in ("UNINITIALISED", "uninitialised"):
            first = {"batch": "call setup", "dataset": "upload its rows"}.get(self.kind)
            if first is not None:
                advice.append(f"{first}, or if that was done wait longer")
        if self.failure is not None:
            advice.append(_text(self.failure))
        return f"timed out: {'; '.join(advice) or self.advice}"
