"""Statuses of datasets and jobs, which events and errors of waits hold; batches have their own.

They have a module of their own, as the models of datasets and jobs are imported on first use.
"""

from __future__ import annotations

from prolific_async._open_enum import OpenEnum


class DatasetStatus(OpenEnum):
    """The status of a dataset without a schema (V3); with a schema (V4), each import has a status.

    The enum is open: an unknown value is kept unchanged, and equals its string.

    Source: https://docs.prolific.com/api-reference/ai-task-builder (dataset status).
    """

    UNINITIALISED = "UNINITIALISED"
    """Nothing was uploaded, or only just now."""
    PROCESSING = "PROCESSING"
    """The rows of its file are being imported."""
    READY = "READY"
    """Batches can be set up with it."""
    ERROR = "ERROR"
    """Its file could not be imported."""


class JobStatus(OpenEnum):
    """The status of an import, a schema migration, a sync or an export.

    The enum is open: an unknown value is kept unchanged, and equals its string.

    Source: https://docs.prolific.com/api-reference/ai-task-builder (import status, schema migration
    status, batch sync status, export status).
    """

    UNINITIALISED = "uninitialised"
    """Its file has not been uploaded yet."""
    QUEUED = "queued"
    """It waits for its turn."""
    PROCESSING = "processing"
    """It is under way."""
    GENERATING = "generating"
    """Its archive is being made."""
    COMPLETE = "complete"
    """All of its work is done."""
    PARTIAL = "partial"
    """A part of its work is done; ``errors`` tell what is not."""
    FAILED = "failed"
    """Nothing of its work is done; ``reason`` tells why."""
    PENDING_SCHEMA = "pending_schema"
    """It waits until its dataset has a schema."""
