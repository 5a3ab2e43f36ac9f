"""``JobWaits``: waits for datasets, imports, migrations, syncs and exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from prolific_async import _validation
from prolific_async._polling.wait_methods import awaited_job

if TYPE_CHECKING:
    from prolific_async._polling.job_starts import JobStarts
    from prolific_async._polling.kinds import Kind, Verdict
    from prolific_async._polling.wait_methods import WaitMethods
    from prolific_async.dataset_models import Dataset, Upload
    from prolific_async.export_models import Export
    from prolific_async.job_models import BatchSync, SchemaMigration
    from prolific_async.policies import PollPolicy

    Owner = Any  # the resource that a wait's result is bound to

_PARTIAL = ("raise", "accept")


class JobWaits:
    """Waits for datasets and jobs, with the settings of one client or view.

    Each method takes ``owner``, the resource to which the result is bound, and the arguments of a
    wait as ``options``: ``timeout``, ``poll`` and ``on_event``.

    Args:
        waits: Starts the waits.
        job_starts: Remembers when the client began each dataset and job, and how many rows it has.
        poll: The policy of waits whose ``poll`` is None.

    """

    def __init__(self, waits: WaitMethods[Any], job_starts: JobStarts, poll: PollPolicy) -> None:
        self._waits = waits
        self._job_starts = job_starts
        self._poll = poll

    async def dataset(self, dataset_id: str, owner: Owner, **options: Any) -> Dataset:
        """Return a dataset once it is READY (V3) or its imports have added rows (V4)."""
        from prolific_async._polling.job_kinds import DATASET  # noqa: PLC0415 - on its first use

        dataset: Dataset = await self._wait(DATASET, dataset_id, None, owner, **options)
        return dataset

    async def upload(
        self, upload: Upload, owner: Owner, *, partial: str, **options: Any
    ) -> Dataset:
        """Return the dataset of an upload once its rows are imported.

        If rows were rejected, ``partial="raise"`` raises, and ``"accept"`` returns the dataset.
        """
        from prolific_async._polling.job_kinds import (  # noqa: PLC0415 - on its first use
            IMPORT,
            PARTIAL_ACCEPTED,
        )

        if partial not in _PARTIAL:
            raise ValueError(f"partial must be 'raise' or 'accept': {partial!r}")
        if upload.import_id is None:
            return await self.dataset(upload.dataset_id, owner, rows=upload.rows, **options)
        dataset: Dataset = await self._wait(
            IMPORT,
            upload.import_id,
            upload.dataset_id,
            owner,
            rows=upload.rows,
            verdict=PARTIAL_ACCEPTED if partial == "accept" else None,
            **options,
        )
        return dataset

    async def migration(
        self, migration: SchemaMigration, owner: Owner, **options: Any
    ) -> SchemaMigration:
        """Return a migration once it is complete."""
        from prolific_async._polling.job_kinds import MIGRATION  # noqa: PLC0415 - on its first use

        ended: SchemaMigration = await self._wait(
            MIGRATION, migration.job_id, migration.dataset_id, owner, **options
        )
        return ended

    async def sync(self, sync: BatchSync, owner: Owner, **options: Any) -> BatchSync:
        """Return a sync once it is complete."""
        from prolific_async._polling.job_kinds import SYNC  # noqa: PLC0415 - on its first use

        ended: BatchSync = await self._wait(SYNC, sync.sync_id, sync.batch_id, owner, **options)
        return ended

    async def export(self, export: Export, owner: Owner, **options: Any) -> Export:
        """Return an export once it is complete."""
        from prolific_async._polling.job_kinds import EXPORT  # noqa: PLC0415 - on its first use

        ended: Export = await self._wait(
            EXPORT, export.export_id, export.batch_id, owner, **options
        )
        # The response to a poll does not tell which answers are exported, nor since when.
        return evolve(export, status=ended.status).bind(owner)

    async def _wait(
        self,
        kind: Kind,
        job_id: str,
        parent_id: str | None,
        owner: Owner,
        *,
        verdict: Verdict | None = None,
        rows: int | None = None,
        timeout: Any,
        poll: Any,
        on_event: Any,
    ) -> Any:
        job_id = _validation.identifier(job_id)
        parent_id = _validation.optional_identifier(parent_id)
        made_at, known_rows = self._job_starts.get(job_id) or (None, None)
        rows = known_rows if rows is None else rows
        rules = _validation.wait_rules(timeout, poll, on_event, default=self._poll, rows=rows)
        awaited = awaited_job(kind, job_id, parent_id, verdict=verdict, made_at=made_at)
        return await self._waits.wait(awaited, rules, owner)
