"""Models of the participants' answers.

Facts about the fields: https://docs.prolific.com/api-reference/ai-task-builder (get the responses
of a batch). Of an answer it documents ``value`` alone; the other fields are those that the
service's own command line reads (github.com/prolific-oss/cli).
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from prolific_async._json.converter import WireModel
from prolific_async._json.scalars import IntOrDigits, JsonObject, Number, Scalar
from prolific_async._row_key import META_ROW_KEY


@frozen(repr=False)
class Answer(WireModel):
    """One answer of a response: a text, a choice, a rating or a file.

    The service documents ``value`` alone. The other fields are those that its own command line
    reads.

    Attributes:
        value: The text, number or boolean, as it came; None for a file. Of a choice it is the
            option's ``value``.
        unit: The unit of the value, None if the question has none.
        explanation: The text that was written beside a choice, None if none was asked for.
        file_key: The service's name of an uploaded file, None if the answer is not a file.
        file_name: The participant's name of that file, None likewise.
        file_size_mb: Its size in megabytes, None likewise.
        content_type: Its media type, None likewise.
        extra: Unknown keys of the response, read-only.

    Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-task-responses
    and https://github.com/prolific-oss/cli

    """

    value: Scalar | None = None
    unit: str | None = None
    explanation: str | None = None
    file_key: str | None = None
    file_name: str | None = None
    file_size_mb: Number | None = None
    content_type: str | None = None


@frozen(repr=False)
class InstructionResponse(WireModel):
    """The part of a response that answers an instruction, such as a question.

    Attributes:
        instruction_id: The instruction; a UUID, as text.
        type: Its type, such as "free_text" or "multiple_choice".
        answer: The answers: one for each choice or file, else a single one.
        extra: Unknown keys of the response, read-only.

    Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-task-responses

    """

    instruction_id: str
    type: str
    answer: tuple[Answer, ...]


@frozen(hash=False, repr=False)
class TaskResponse(WireModel):
    """The answers of one participant to one instruction of one task.

    It compares by value and hashes by ``id``.

    Attributes:
        id: Its id; a UUID, as text.
        created_at: When it was made, in UTC.
        batch_id: The batch.
        participant_id: The participant.
        task_id: The task, which was made from one row of the dataset.
        response: The answers, as the service nests them; ``instruction_id``, ``type`` and
            ``answers`` are its contents.
        submission_id: The submission that it belongs to, None if the service does not send it.
        correlation_id: An id of the service's own, None if it does not send it.
        metadata: Further data, such as the row's ``META_`` columns, read-only; None if the service
            does not send it.
        schema_version: Version of the service's format, None if it does not send it.
        no_submission: Whether it belongs to no submission, None if the service does not send it.
        extra: Unknown keys of the response, read-only.

    Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-task-responses

    """

    id: str
    created_at: datetime
    batch_id: str
    participant_id: str
    task_id: str
    response: InstructionResponse
    submission_id: str | None = None
    correlation_id: str | None = None
    metadata: JsonObject | None = None
    schema_version: IntOrDigits | None = None
    no_submission: bool | None = None

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        """Show what tells responses apart, without the answers; ``to_dict`` shows all of it."""
        number = len(self.response.answer)
        answers = f"{number} answer{'' if number == 1 else 's'}"
        return f"<TaskResponse {self.id} {self.type} by {self.participant_id}, {answers}>"

    @property
    def instruction_id(self) -> str:
        """The id of the instruction, such as a question, that this response answers."""
        return self.response.instruction_id

    @property
    def type(self) -> str:
        """The instruction's type, such as "free_text" or "multiple_choice"."""
        return self.response.type

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers: one for each choice or file, else a single one."""
        return self.response.answer

    @property
    def key(self) -> str | None:
        """The key that the task's row was given at upload, as text; None if there was none."""
        key = None if self.metadata is None else self.metadata.get(META_ROW_KEY)
        has_text = isinstance(key, str | int | float) and not isinstance(key, bool)
        return (str(key) or None) if has_text else None
