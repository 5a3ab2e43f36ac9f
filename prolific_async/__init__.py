"""The asyncio SDK for Prolific's Task Builder batches: duplicate, set up, await READY.

```python
import asyncio

from prolific_async import ProlificClient


async def new_round(batch_id: str) -> None:
    async with ProlificClient() as client:  # reads PROLIFIC_TOKEN
        # Safe to run again: a copy of that name is found instead of being made a second time.
        ready = await client.batches.duplicate_and_wait(
            batch_id, name="Round 2", tasks_per_group=5, timeout=600
        )
        print(ready)


asyncio.run(new_round("018f2b7e-7d3c-7a10-9c55-2f1b6f0c9a41"))
```

``prolific_async.simulator`` is a simulated Prolific for tests. ``prolific_async.fastapi``,
``prolific_async.durable`` and ``prolific_async.otel`` need the extras of the same names.

The package logs to ``logging.getLogger("prolific_async")``, and never the token or a body:

- DEBUG: every request, with method, path, status or error, and seconds.
- INFO: a failed call or poll that is repeated; a POST whose response was lost, and its outcome; a
  workspace that is polled as a group, or no longer is, with the reason; a 429 during a slow-down.
- WARNING: a 429 at full speed, after which the whole client slows down; a missing or undocumented
  status of a batch, once for each wait; a workspace whose list lags behind its batches.
- ERROR: a bug, with its traceback, in a callback of yours or in this package.
"""

import importlib
import typing

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
    JobFailedError,
    NotFoundError,
    NothingUploadedError,
    OutcomeUnknownError,
    PartialImportError,
    PartialMigrationError,
    PermissionDeniedError,
    ProlificError,
    RateLimitedError,
    RequestTimeoutError,
    SchemaNeededError,
    ServerError,
    TransportError,
    ValidationError,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.models import (
    Batch,
    BatchStatus,
    Copies,
    DatasetRef,
    StatusEvent,
    TaskDetails,
    Workspace,
)
from prolific_async.policies import PollPolicy, RetryPolicy
from prolific_async.unset import UNSET, Unset

if typing.TYPE_CHECKING:
    from prolific_async.answer_models import Answer, InstructionResponse, TaskResponse
    from prolific_async.batches import Batches, BatchOrId
    from prolific_async.dataset_models import Dataset, Upload
    from prolific_async.dataset_schema import DatasetSchema, FieldType, SchemaField
    from prolific_async.datasets import DatasetOrId, Datasets
    from prolific_async.export_archive import ExportArchive
    from prolific_async.export_models import Export
    from prolific_async.job_models import (
        AppendResult,
        BatchSync,
        ImportJob,
        Progress,
        RejectedRow,
        SchemaMigration,
        UnmigratedDatapoint,
    )
    from prolific_async.report import Report
    from prolific_async.report_models import Annotation, ReportRow
    from prolific_async.statuses import DatasetStatus, JobStatus
    from prolific_async.workspaces import Workspaces

__docformat__ = "google"

__all__ = [
    "UNSET",
    "APIStatusError",
    "Annotation",
    "Answer",
    "AppendResult",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchFailedError",
    "BatchNotSetUpError",
    "BatchOrId",
    "BatchStatus",
    "BatchSync",
    "Batches",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Copies",
    "Dataset",
    "DatasetOrId",
    "DatasetRef",
    "DatasetSchema",
    "DatasetStatus",
    "Datasets",
    "DecodeError",
    "Export",
    "ExportArchive",
    "FieldType",
    "ImportJob",
    "InstructionResponse",
    "JobFailedError",
    "JobStatus",
    "NotFoundError",
    "NothingUploadedError",
    "OutcomeUnknownError",
    "PartialImportError",
    "PartialMigrationError",
    "PermissionDeniedError",
    "PollPolicy",
    "Progress",
    "ProlificClient",
    "ProlificError",
    "RateLimitedError",
    "RejectedRow",
    "Report",
    "ReportRow",
    "RequestTimeoutError",
    "RetryPolicy",
    "SchemaField",
    "SchemaMigration",
    "SchemaNeededError",
    "ServerError",
    "StatusEvent",
    "TaskDetails",
    "TaskResponse",
    "TransportError",
    "UnmigratedDatapoint",
    "Unset",
    "Upload",
    "ValidationError",
    "WaitError",
    "WaitFailedError",
    "WaitTimeoutError",
    "Workspace",
    "Workspaces",
    "__version__",
]

if not typing.TYPE_CHECKING:  # with __getattr__, a type checker would accept any name
    _MODULES = {"batches", "datasets", "layout", "workspaces"}
    _ON_FIRST_USE = {
        name: module
        for module, names in {
            "answer_models": "Answer InstructionResponse TaskResponse",
            "batches": "Batches BatchOrId",
            "dataset_models": "Dataset Upload",
            "dataset_schema": "DatasetSchema FieldType SchemaField",
            "datasets": "DatasetOrId Datasets",
            "export_archive": "ExportArchive",
            "export_models": "Export",
            "job_models": "AppendResult BatchSync ImportJob Progress RejectedRow SchemaMigration "
            "UnmigratedDatapoint",
            "report": "Report",
            "report_models": "Annotation ReportRow",
            "statuses": "DatasetStatus JobStatus",
            "workspaces": "Workspaces",
        }.items()
        for name in names.split()
    }

    def __getattr__(name: str) -> object:
        """Import a class or module on its first use: it takes time, and few programs need it."""
        if name in _MODULES:
            return importlib.import_module(f"prolific_async.{name}")
        if name in _ON_FIRST_USE:
            module = importlib.import_module(f"prolific_async.{_ON_FIRST_USE[name]}")
            value = globals()[name] = getattr(module, name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES, *_ON_FIRST_USE})
