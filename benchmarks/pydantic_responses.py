"""pydantic's types of responses, for the benchmark `answers`; pydantic may not be installed."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel


class Answer(BaseModel):
    value: str | int | float | bool | None = None
    unit: str | None = None
    explanation: str | None = None
    file_key: str | None = None
    file_name: str | None = None
    file_size_mb: float | None = None
    content_type: str | None = None


class InstructionResponse(BaseModel):
    instruction_id: str
    type: str
    answer: tuple[Answer, ...]


class TaskResponse(BaseModel):
    id: str
    created_at: datetime
    batch_id: str
    participant_id: str
    task_id: str
    response: InstructionResponse
    submission_id: str | None = None
    correlation_id: str | None = None
    metadata: dict[str, Any] | None = None
    schema_version: int | None = None
    no_submission: bool | None = None


class Page(BaseModel):
    results: list[TaskResponse]


def decode(body: bytes) -> list[TaskResponse]:
    return Page.model_validate_json(body).results


def plain(response: TaskResponse) -> Any:
    return response.model_dump(mode="json")
