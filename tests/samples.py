"""Sample values for tests without a server."""

from __future__ import annotations

from typing import Any

from prolific_async import APIStatusError, Batch, Dataset, errors


def batch(status: str = "READY", batch_id: str = "b1", **more: Any) -> Batch:
    return Batch.from_dict(
        {
            "id": batch_id,
            "created_at": "2026-03-04T05:06:07Z",
            "created_by": "u1",
            "datasets": [],
            "name": "Round 1",
            "status": status,
            "total_task_count": 4,
            "total_instruction_count": 2,
            "workspace_id": "w1",
            "task_details": {"task_name": "Rate"},
        }
        | more
    )


def status_error(status: int, retry_after: float | None = None) -> APIStatusError:
    kinds = {404: errors.NotFoundError, 429: errors.RateLimitedError, 400: errors.BadRequestError}
    kind = errors.ServerError if status >= 500 else kinds.get(status, errors.APIStatusError)
    return kind(status, "GET", "/x", None, None, None, "", retry_after, {})


def dataset(status: str | None = "READY", **more: Any) -> Dataset:
    wire = {
        "id": "d1",
        "name": "Rows",
        "created_at": "2026-03-04T05:06:07Z",
        "created_by": "u1",
        "workspace_id": "w1",
        "total_datapoint_count": 3,
        "schema_version": 3,
    }
    return Dataset.from_dict(wire | ({} if status is None else {"status": status}) | more)


def task_response(
    kind: str = "free_text",
    answer: list[Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the wire form of a response."""
    return {
        "id": "r1",
        "created_at": "2026-03-04T05:06:07.5Z",
        "batch_id": "b1",
        "participant_id": "p1",
        "task_id": "t1",
        "response": {
            "instruction_id": "i1",
            "type": kind,
            "answer": [{"value": "good"}] if answer is None else answer,
        },
    } | more
