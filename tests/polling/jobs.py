"""Kinds of poll targets for tests, and a network in virtual time that answers their requests.

They have the shapes of the service's own: an import after which its dataset is read, a dataset with
a status of its own, and a sync whose polls read all that there is.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from prolific_async import DatasetStatus, JobStatus, PollPolicy, RetryPolicy, _validation
from prolific_async._http.rate_limiter import RateLimiter
from prolific_async._http.request import Request
from prolific_async._json.converter import JsonModel
from prolific_async._polling.kinds import Kind, Verdict
from prolific_async._polling.wait_methods import Awaited, WaitMethods
from prolific_async._resources.client_state import ClientState
from prolific_async.errors import (
    JobFailedError,
    NothingUploadedError,
    PartialImportError,
    SchemaNeededError,
    WaitError,
)
from tests.polling.fakes import clock, note_sent

if TYPE_CHECKING:
    from prolific_async import StatusEvent
    from prolific_async._http.request import PollTiming
    from prolific_async._polling.kinds import ErrorArgs, TargetKey

EVERY_SECOND = PollPolicy(initial=1, maximum=1, factor=1, jitter=0, timeout=100)
RETRY = RetryPolicy(initial=0.001, maximum=0.002)


class Bindable:
    """A value that records its binding."""

    __slots__ = ()

    def bind(self, owner: object) -> Any:
        return self if owner is None else (self, owner)


@frozen
class Job(Bindable, JsonModel):
    status: JobStatus | None
    reason: str | None = None
    accepted_count: int | None = None
    rejected_count: int | None = None


@frozen
class Dataset(Bindable, JsonModel):
    id: str
    status: DatasetStatus | None = None


def import_error(args: ErrorArgs, job: Any) -> WaitError:
    kinds: dict[Any, Any] = {
        JobStatus.PARTIAL: PartialImportError,
        JobStatus.PENDING_SCHEMA: SchemaNeededError,
    }
    kind = kinds.get(args[1], JobFailedError)
    error: WaitError = kind(*args) if kind is SchemaNeededError else kind(*args, job)
    return error


def dataset_path(dataset_id: str | None, prefix: str) -> str:
    return f"{prefix}/datasets/{dataset_id}"


def status_of(found: Any) -> Any:
    return found.status


def read_job(data: Any, _method: str, _path: str) -> Job:
    return Job.from_dict(data)


def read_dataset(data: Any, _method: str, _path: str) -> Dataset:
    return Dataset.from_dict(data)


def read_status(data: Any, _method: str, _path: str) -> DatasetStatus | None:
    status = data["status"]
    return None if status is None else DatasetStatus(status)


def get_import(key: TargetKey, prefix: str) -> Request:
    path = f"{dataset_path(key.parent_id, prefix)}/imports/{key.id}"
    return Request("GET", path, read=read_job)


def get_dataset_of_import(key: TargetKey, prefix: str) -> Request:
    return Request("GET", dataset_path(key.parent_id, prefix), read=read_dataset)


def get_dataset_status(key: TargetKey, prefix: str) -> Request:
    return Request("GET", f"{dataset_path(key.id, prefix)}/status", read=read_status)


def get_dataset(key: TargetKey, prefix: str) -> Request:
    return Request("GET", dataset_path(key.id, prefix), read=read_dataset)


def get_sync(key: TargetKey, prefix: str) -> Request:
    return Request("GET", f"{prefix}/batches/{key.parent_id}/syncs/{key.id}", read=read_job)


IMPORT = Kind(
    name="import",
    get_status=get_import,
    get=get_dataset_of_import,
    status_of=lambda found: found.status if isinstance(found, Job) else None,
    verdict=Verdict(
        ready=(JobStatus.COMPLETE,),
        failed=(JobStatus.FAILED, JobStatus.PARTIAL, JobStatus.PENDING_SCHEMA),
        pending=(JobStatus.QUEUED, JobStatus.PROCESSING),
        failure=import_error,
    ),
)
ACCEPTING = Verdict(
    ready=(JobStatus.COMPLETE, JobStatus.PARTIAL),
    failed=(JobStatus.FAILED, JobStatus.PENDING_SCHEMA),
    pending=(JobStatus.QUEUED, JobStatus.PROCESSING),
    failure=import_error,
)
DATASET = Kind(
    name="dataset",
    get_status=get_dataset_status,
    get=get_dataset,
    status_of=status_of,
    verdict=Verdict(
        ready=(DatasetStatus.READY,),
        failed=(DatasetStatus.ERROR,),
        pending=(DatasetStatus.PROCESSING, DatasetStatus.UNINITIALISED),
        failure=lambda args, dataset: JobFailedError(*args, dataset),
        unstarted=(DatasetStatus.UNINITIALISED,),
        not_started=NothingUploadedError,
    ),
)
SYNC = Kind(
    name="sync",
    get_status=get_sync,
    status_of=status_of,
    verdict=Verdict(
        ready=(JobStatus.COMPLETE,),
        failed=(JobStatus.FAILED,),
        pending=(JobStatus.QUEUED, JobStatus.PROCESSING),
        failure=lambda args, job: JobFailedError(*args, job),
    ),
)


class Network:
    """A transport with a real rate limiter; each path has its answers, the last of which stays."""

    prefix = "/gateway"
    request_timeout = 30.0
    polls_at_once = 50

    def __init__(self, limit: float | None = None) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.sent: list[tuple[float, str]] = []
        self.limiter = RateLimiter(limit)
        self.stream: Any = None
        self.seconds = 0.01
        self.hanging: set[str] = set()  # paths

    def check_usable(self) -> None:
        pass

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("a poll is sent once")

    async def send(
        self, request: Request, poll: PollTiming, again: object = None, *, raw: bool = False
    ) -> Any:
        assert again is None
        loop = asyncio.get_running_loop()
        if not self.limiter.start_now(loop.time(), poll=True):
            await self.limiter.start(poll=True)
        try:
            note_sent(poll)
            path = request.target.removeprefix(self.prefix)
            self.sent.append((clock(), path))
            await asyncio.sleep(1000 if path in self.hanging else self.seconds)
            answers = self.answers[path]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            if raw:
                return SimpleNamespace(data=answer)
            assert request.read is not None
            return request.read(answer, request.method, request.path)
        finally:
            self.limiter.finish()

    def paths(self) -> list[str]:
        return [path for _, path in self.sent]


class Jobs:
    """A client's waits for jobs."""

    def __init__(self, *, limit: float | None = None, list_threshold: float = 8) -> None:
        self.network = Network(limit)
        transport: Any = self.network
        self.state = ClientState.new(transport, RETRY, list_threshold=list_threshold)
        self.waiter: WaitMethods[Any] = WaitMethods(
            self.state.wait_runner, self.state.pending.returned_at, transport.request_timeout, RETRY
        )
        self.events: list[StatusEvent] = []

    def shows(self, path: str, *answers: Any) -> None:
        """Set what the polls of a path show: statuses, JSON, or errors."""
        self.network.answers[path] = [
            {"status": one} if one is None or isinstance(one, str) else one for one in answers
        ]

    async def wait(self, awaited: Awaited, *, owner: object = None, **rules: Any) -> Any:
        given: dict[str, Any] = {"given_timeout": ..., "poll": None, **rules}
        made = _validation.wait_rules(on_event=self.events.append, default=EVERY_SECOND, **given)
        return await self.waiter.wait(awaited, made, owner)

    async def fails(self, awaited: Awaited, **rules: Any) -> Any:
        """Return the error that a wait ends with."""
        try:
            value = await self.wait(awaited, **rules)
        except WaitError as error:
            return error
        raise AssertionError(value)

    @property
    def poller(self) -> Any:
        return self.state.wait_runner._poller


def policy(**changes: Any) -> PollPolicy:
    return evolve(EVERY_SECOND, **changes)
