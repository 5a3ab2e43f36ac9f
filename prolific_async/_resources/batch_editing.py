"""The methods of ``client.batches`` that create, change and sync batches, and list their tasks."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

# For annotations with classes that are imported on their first use.
import prolific_async
from prolific_async import _validation
from prolific_async._api.batch_editing import BatchEditingAPI
from prolific_async._http.transport import Transport
from prolific_async._polling.job_starts import JobStarts
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._recovery.copying import Copying
from prolific_async.errors import OutcomeUnknownError
from prolific_async.models import Batch, TaskDetails
from prolific_async.unset import UNSET, Unset

_APPLICATION = "https://app.prolific.com"


class BatchEditing:
    """Creates, changes and syncs batches, and lists their tasks.

    Args:
        transport: Sends the requests.
        workspaces: Remembers the workspace of each batch.
        copying: Creates batches, and searches for those whose response is lost.
        job_starts: Remembers when each sync began.

    """

    def __init__(
        self,
        transport: Transport,
        workspaces: KnownWorkspaces,
        copying: Copying,
        job_starts: JobStarts,
    ) -> None:
        self._contents_api = BatchEditingAPI(transport)
        self._workspaces = workspaces
        self._copying = copying
        self._job_starts = job_starts

    async def create(
        self,
        workspace_id: str,
        *,
        name: str,
        task: TaskDetails,
        items: prolific_async.layout.LayoutLike | None = None,
        dataset: prolific_async.Dataset | str | UUID | None = None,
        auto_sync: bool | None = None,
    ) -> Batch:
        """Create a batch and return it, UNINITIALISED; call ``setup`` on it next.

        The POST is repeated only if it surely did not run. If its response is lost, the batch is
        searched for in the workspace by its name, as the copy of a ``duplicate`` is: **with a
        unique name, it is found and returned**. If the call is cancelled, there may or may not be
        a batch; the workspace's list tells.

        Args:
            workspace_id: The workspace to create the batch in.
            name: Name of the batch.
            task: The texts that participants see; the service requires all three.
            items: Layout of the batch: pages of ``prolific_async.layout``, the service's own JSON,
                or ``{"batch_items": […]}``.
            dataset: The dataset to make tasks from, in any state; it can also be given to
                ``setup``.
            auto_sync: Whether data that is added to the dataset later becomes tasks by itself. More
                tasks under an active study may mean more pay.

        Returns:
            The batch, bound to this client.

        Raises:
            OutcomeUnknownError: The POST may have run, and no batch is surely the one that it made.
                The error has the ``candidates``. Two calls never return the same batch.
            TypeError: ``items`` is no layout.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/create-task-builder-batch

        """
        workspace_id = _validation.identifier(workspace_id)
        name = _validation.new_name(name)
        keys = {
            "name": name,
            "task_details": _validation.task_details(task),
            "dataset_id": _validation.optional_dataset_id(dataset),
            "batch_items": None if items is None else _batch_items(items),
            "auto_sync_enabled": None if auto_sync is None else _validation.auto_sync(auto_sync),
        }
        send = partial(self._contents_api.create, workspace_id, keys)
        try:
            batch = await self._copying.create(workspace_id, name, send)
        except OutcomeUnknownError as error:
            error.candidates = tuple(map(self._bind, error.candidates))
            raise
        return self._bind(batch)

    async def update(
        self,
        batch: Batch | str | UUID,
        *,
        name: str | Unset = UNSET,
        task: TaskDetails | Unset = UNSET,
        dataset: prolific_async.Dataset | str | UUID | Unset = UNSET,
        items: prolific_async.layout.LayoutLike | Unset | None = UNSET,
        auto_sync: bool | Unset = UNSET,
    ) -> Batch:
        """Change a batch, and return the changed batch; arguments left out change nothing.

        The request is repeated as a GET is, since making the same change twice does no harm.

        Args:
            batch: The batch to change. Whether its layout can be changed after ``setup`` is up to
                the service.
            name: The new name.
            task: The new texts that participants see, all three.
            dataset: The dataset to make tasks from, in any state.
            items: The layout that replaces the old one, as in ``create``; None removes the layout.
                Parts that keep their ``id`` are the same parts as before.
            auto_sync: Whether data that is added to the dataset later becomes tasks by itself. More
                tasks under an active study may mean more pay.

        Returns:
            The batch, bound to this client.

        Raises:
            ValueError: Also if nothing is given to change.
            TypeError: ``items`` is no layout.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/update-task-builder-batch

        """
        batch_id = _validation.batch_id(batch)
        keys: dict[str, Any] = {}
        if name is not UNSET:
            keys["name"] = _validation.new_name(name)
        if task is not UNSET:
            keys["task_details"] = _validation.task_details(task)
        if dataset is None:
            raise ValueError("dataset must be another one, or left out: it cannot be removed")
        if dataset is not UNSET:
            keys["dataset_id"] = _validation.dataset_id(dataset)
        if items is not UNSET:
            keys["batch_items"] = None if items is None else _batch_items(items)
        if auto_sync is not UNSET:
            keys["auto_sync_enabled"] = _validation.auto_sync(auto_sync)
        if not keys:
            raise ValueError(
                "update needs something to change: name, task, dataset, items or auto_sync"
            )
        return self._bind(await self._contents_api.update(batch_id, keys))

    async def sync(self, batch: Batch | str | UUID) -> prolific_async.BatchSync:
        """Start a sync, which builds tasks for datapoints added to the dataset since ``setup``.

        The batch must be READY, and its dataset must have a schema (V4). Syncs of one batch run one
        after another, and each builds what is still missing, so the request is repeated as a GET
        is. More tasks under an active study may mean more pay.

        Args:
            batch: The batch.

        Returns:
            The sync, bound to this client.

        Source: https://docs.prolific.com/api-reference/ai-task-builder/sync-task-builder-batch

        """
        sync = await self._contents_api.sync(_validation.batch_id(batch))
        self._job_starts.add(sync.id)
        return sync.bind(self)

    async def task_ids(self, batch: Batch | str | UUID) -> list[str]:
        """Return the ids of a batch's tasks, in the service's order."""
        return await self._contents_api.task_ids(_validation.batch_id(batch))

    async def task_group_ids(self, batch: Batch | str | UUID) -> list[str]:
        """Return the ids of the groups of a batch's tasks, in the service's order."""
        return await self._contents_api.task_group_ids(_validation.batch_id(batch))

    async def preview_url(self, batch: Batch | str | UUID) -> str:
        """Return the URL of the preview of a batch's first task group.

        The URL is in Prolific's web application, which requires a login; the environment variable
        ``PROLIFIC_APPLICATION_URL`` replaces the application's address.

        Args:
            batch: The batch, which must be READY.

        Raises:
            ValueError: Also if the batch has no task group yet.

        """
        batch_id = _validation.batch_id(batch)
        groups = await self._contents_api.task_group_ids(batch_id)
        if not groups:
            raise ValueError(
                f"batch {batch_id} has no task group to show: set it up, and wait until it is READY"
            )
        return _preview_url(batch_id, groups[0])

    def _bind(self, batch: Batch) -> Batch:
        self._workspaces.learn(batch.id, batch.workspace_id)
        return batch.bind(cast("prolific_async.batches.Batches", self))


def _batch_items(items: Any) -> list[dict[str, Any]]:
    from prolific_async.layout.sending import batch_items  # noqa: PLC0415 - on its first use

    return batch_items(items)


def _preview_url(batch_id: str, group_id: str) -> str:
    """Return the URL that the service's own command line gives: github.com/prolific-oss/cli."""
    application = os.environ.get("PROLIFIC_APPLICATION_URL", "").strip() or _APPLICATION
    batch, group = quote(batch_id, safe=""), quote(group_id, safe="")
    path = f"/data-collection-tool/batches/{batch}/task-groups/{group}"
    return f"{application.rstrip('/')}{path}?preview=true"
