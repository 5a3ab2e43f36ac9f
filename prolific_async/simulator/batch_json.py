"""JSON documents that show batches.

Sources: "Duplicate a Batch" of beta-docs.prolific.com for the ten fields of every response; for the
newer ones "get", "list" and "duplicate" under
https://docs.prolific.com/api-reference/task-builder.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prolific_async.simulator.models import Batch, Dataset

__all__ = ["batch_json", "created_json", "list_json", "results_json", "timestamp"]


def list_json(batches: Iterable[Batch]) -> bytes:
    """Encode the response to a list request."""
    return results_json(map(batch_json, batches))


def results_json(documents: Iterable[bytes]) -> bytes:
    """Encode a list of encoded documents."""
    results = list(documents)
    count = str(len(results)).encode()
    return b'{"results": [' + b", ".join(results) + b'], "meta": {"count": ' + count + b"}}"


def batch_json(batch: Batch) -> bytes:
    """Encode a batch as get and list show it.

    The document is kept until the batch changes: long lists are polled often and change little.
    """
    dataset = batch.dataset
    datapoints = None if dataset is None else (dataset.datapoints, dataset.filename)
    changing = (batch.status, batch.tasks_per_group, dataset, datapoints, batch.built)
    if batch.encoded is None or batch.encoded[0] != changing:
        batch.encoded = changing, json.dumps(_batch(batch)).encode()
    return batch.encoded[1]


def created_json(batch: Batch) -> bytes:
    """Encode the response to create and duplicate: fewer fields than get."""
    document = {
        **_required_fields(batch),
        "auto_sync_enabled": batch.auto_sync_enabled,
        "total_task_groups": batch.total_task_groups,
    }
    if batch.batch_items is not None:
        document["batch_items"] = batch.batch_items
    return json.dumps(document).encode()


def _batch(batch: Batch) -> dict[str, Any]:
    document = {
        **_required_fields(batch),
        "datasets": [
            {**_dataset(dataset), "filename": dataset.filename} for dataset in _datasets(batch)
        ],
        # Datasets of version 3 have a status; those of version 4 have import jobs instead.
        "schema_version": 3 if batch.dataset is None else batch.dataset.version,
        "total_task_groups": batch.total_task_groups,
        "batch_items": batch.batch_items,
        "auto_sync_enabled": batch.auto_sync_enabled,
    }
    if batch.tasks_per_group is not None:
        document["tasks_per_group"] = batch.tasks_per_group
    return {**document, **batch.extra}


def _required_fields(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "created_at": timestamp(batch.created_at),
        "created_by": batch.created_by,
        "datasets": [_dataset(dataset) for dataset in _datasets(batch)],
        "name": batch.name,
        "status": batch.status,
        "total_task_count": batch.total_task_count,
        "total_instruction_count": batch.instructions,
        "workspace_id": batch.workspace_id,
        "task_details": batch.task_details,
    }


def _datasets(batch: Batch) -> list[Dataset]:
    return [] if batch.dataset is None else [batch.dataset]


def _dataset(dataset: Dataset) -> dict[str, Any]:
    return {"id": dataset.id, "total_datapoint_count": dataset.datapoints}


def timestamp(moment: datetime) -> str:
    """Return a moment as the service writes it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
