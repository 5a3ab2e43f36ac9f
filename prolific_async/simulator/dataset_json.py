"""JSON documents that show datasets, imports, migrations and uploads."""

from typing import Any

from prolific_async.simulator.batch_json import timestamp
from prolific_async.simulator.dataset_models import Dataset, ImportedRows, ImportJob, Migration
from prolific_async.simulator.models import SyncJob
from prolific_async.simulator.storage import Upload

__all__ = [
    "append_document",
    "dataset_document",
    "import_document",
    "migration_document",
    "status_document",
    "sync_document",
    "upload_document",
]


def dataset_document(dataset: Dataset) -> dict[str, Any]:
    """Return the JSON of a dataset: version 3 has a status, version 4 its schema and imports."""
    document: dict[str, Any] = {
        "id": dataset.id,
        "name": dataset.name,
        "created_at": None if dataset.created_at is None else timestamp(dataset.created_at),
        "created_by": dataset.created_by,
        "workspace_id": dataset.workspace_id,
        "total_datapoint_count": dataset.datapoints,
        "schema_version": dataset.version,
    }
    if dataset.has_status:
        return {
            **document,
            "status": dataset.status,
            "filename": dataset.filename,
            "has_predetermined_grouping_id": dataset.groups is not None,
        }
    imports = [import_document(dataset, job) for job in reversed(dataset.imports.values())]
    return {**document, "schema": dataset.schema, "imports": imports}


def status_document(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's status as JSON; null for version 4, as far as is known."""
    return {"status": dataset.status if dataset.has_status else None}


def import_document(dataset: Dataset, job: ImportJob) -> dict[str, Any]:
    """Return the JSON of an import."""
    return {
        "dataset_id": dataset.id,
        "import_id": job.id,
        "type": "file_upload",
        "filename": job.filename,
        "created_at": timestamp(job.created_at),
        "updated_at": timestamp(job.updated_at),
        "status": job.status,
        **job.shown,
    }


def migration_document(dataset: Dataset, job: Migration) -> dict[str, Any]:
    """Return the JSON of a migration."""
    return {
        "dataset_id": dataset.id,
        "job_id": job.id,
        "schema_version": job.schema_version,
        "created_at": timestamp(job.created_at),
        "updated_at": timestamp(job.updated_at),
        "status": job.status,
        **job.shown,
    }


def sync_document(batch_id: str, job: SyncJob) -> dict[str, Any]:
    """Return the JSON of a sync."""
    return {
        "batch_id": batch_id,
        "dataset_id": job.dataset_id,
        "sync_id": job.id,
        "created_at": timestamp(job.created_at),
        "updated_at": timestamp(job.updated_at),
        "status": job.status,
        **job.shown,
    }


def upload_document(dataset: Dataset, upload: Upload) -> dict[str, Any]:
    """Return the JSON of a presigned URL, with the id of its import for version 4."""
    document = {
        "dataset_id": dataset.id,
        "upload_url": upload.url,
        "http_method": upload.method,
        "content_type": upload.content_type,
        "expires_at": timestamp(upload.expires_at),
        "file_key": f"datasets/{dataset.id}/{upload.id}/{upload.filename}",
    }
    return document if dataset.has_status else {**document, "import_id": upload.id}


def append_document(rows: ImportedRows) -> dict[str, Any]:
    """Return the JSON of an append's result."""
    return {"accepted": rows.accepted, "rejected": rows.rejected, "errors": rows.errors}
