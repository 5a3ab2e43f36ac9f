"""Answers of participants in the simulated service, which tests add without a request."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from prolific_async.simulator.answers import make_submissions
from prolific_async.simulator.batch_tasks import Task
from prolific_async.simulator.contents import Contents
from prolific_async.simulator.workspace_contents import as_json, count, locked

__all__ = ["AnswerContents"]


class AnswerContents(Contents):
    """Lets participants answer the tasks of batches, and changes exports."""

    @locked
    def answer(
        self,
        batch_id: str,
        *,
        participants: int = 1,
        answer: Callable[[Task, Mapping[str, Any]], Any] | Any = None,
        study_id: str | None = None,
        at: datetime | None = None,
    ) -> list[str]:
        """Let new participants answer a READY batch, each the tasks of one group.

        Each gets the group that has the fewest submissions, so that
        `participants=sim.batches[batch_id].total_task_groups` answers every task once.

        Args:
            batch_id: The batch.
            participants: Their number, 1 or more.
            answer: Their answers: a function that gets the `Task` and the item of the layout, or
                one answer for all tasks. Text, a number, true or false is the `value` (for a
                choice, that of an option; for a file, its name). A mapping has further keys, such
                as `unit` or `explanation`, and a list several choices or files. None from a
                function leaves the task out, so that the report has the participant without a
                response.
                By default each answer suits the type of its item, and they differ.
            study_id: The study that they take part in; by default always the same for a batch.
            at: When they hand in, aware; now if left out.

        Returns:
            The participants' ids, in the order of their submissions.

        Raises:
            KeyError: There is no such batch.
            ValueError: The batch has no tasks, `participants` is not a whole number from 1 on,
                an answer is the value of no option, or `at` has no time zone.
            TypeError: An answer cannot be encoded as JSON.
        """
        participants = count("participants", participants, least=1)
        if at is not None and at.tzinfo is None:
            raise ValueError("answer: at needs a time zone")
        batch = self._batch(batch_id)
        submissions = make_submissions(
            batch,
            participants,
            answer,
            # By default the end of the batch's id, which looks like one of a study.
            study_id or batch.id.replace("-", "")[-24:],
            (at or self._state.utc_now()).astimezone(UTC),
        )
        batch.submissions += submissions
        return [submission.participant_id for submission in submissions]

    @locked
    def fail_exports(self, batch_id: str) -> None:
        """Make the generating exports of a batch, and all later ones, end in `failed`.

        Raises:
            KeyError: There is no such batch.
        """
        self._batch(batch_id).exports_fail = True

    @locked
    def set_export(self, export_id: str, status: str, /, **shown: Any) -> None:
        """Set the status of an export, which no longer changes by itself.

        Args:
            export_id: The export.
            status: Any text, also one that the service never sends.
            **shown: Further keys of its document, such as `url` and `expires_at`, instead of those
                that it has.

        Raises:
            KeyError: There is no such export.
            TypeError: A value cannot be encoded as JSON.
        """
        for batch in self._state.batches.values():
            if export_id in batch.exports:
                job = batch.exports[export_id]
                job.shown, job.status, job.run = as_json(shown), status, None
                return
        raise KeyError(f"there is no export {export_id!r}")
