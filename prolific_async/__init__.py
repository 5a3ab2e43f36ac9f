"""The asyncio SDK for Prolific's Task Builder batches: duplicate, set up, await READY.

::

    async with ProlificClient() as client:
        copy = await client.batches.duplicate(batch_id, name="Round 2")
        await copy.setup(tasks_per_group=5)
        ready = await copy.wait_until_ready(timeout=600)

All of it logs to ``logging.getLogger("prolific_async")``, and never the token or a body:

======== =========================================================================================
DEBUG    every request: method, path, status or error, seconds
INFO     a call or a poll that failed and is made again; a POST whose answer was lost, and what had
         become of it; that a workspace is polled as a group, or no longer is, and why; a further 429
WARNING  a 429 at full speed, since all that the client sends slows down; a batch without a status,
         or with an unseen one, once for each wait
ERROR    what is a bug, with its traceback: in an ``on_event`` of yours, or of ours
======== =========================================================================================
"""

from prolific_async._version import __version__
from prolific_async.client import ProlificClient
from prolific_async.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BatchFailedError,
    BatchNotSetUpError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ProlificError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    ValidationError,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.models import Batch, BatchStatus, Copies, DatasetRef, StatusEvent, TaskDetails
from prolific_async.policies import PollPolicy, RetryPolicy

__all__ = [
    "APIStatusError",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchFailedError",
    "BatchNotSetUpError",
    "BatchStatus",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Copies",
    "DatasetRef",
    "DecodeError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "PollPolicy",
    "ProlificClient",
    "ProlificError",
    "RateLimitedError",
    "RequestTimeoutError",
    "RetryPolicy",
    "ServerError",
    "StatusEvent",
    "TaskDetails",
    "TransportError",
    "ValidationError",
    "WaitError",
    "WaitFailedError",
    "WaitTimeoutError",
    "__version__",
]
