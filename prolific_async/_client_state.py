"""State of a client, shared by its resources and its views (``with_options``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import field, frozen

from prolific_async._api.batches import BatchesAPI
from prolific_async._polling.begun_jobs import BegunJobs
from prolific_async._polling.wait_runner import WaitRunner
from prolific_async._polling.workspaces import Workspaces
from prolific_async._recovery.duplicate import PendingDuplicates
from prolific_async._recovery.shared_calls import SharedCalls

if TYPE_CHECKING:
    from prolific_async._http.transport import Transport
    from prolific_async._polling.poller import Poller
    from prolific_async.models import Batch
    from prolific_async.policies import RetryPolicy

LIST_THRESHOLDS = {"auto": 8, "status": math.inf, "list": 1}
"""For each ``strategy``: how many awaited batches make the client poll a workspace's list."""


@frozen(eq=False, repr=False)
class ClientState:
    """What a client keeps between calls: waits, known workspaces, pending duplicates and jobs.

    Attributes:
        workspaces: Which workspace each batch belongs to.
        waits: All waits.
        pending: Duplicates whose copy is not known, and recent copies.
        attempts: Calls of ``get_or_duplicate`` that are under way, by source and name.
        setups: Setups of named copies that are under way, by the copy's id.
        begun: The datasets and jobs that the client began, and when.

    """

    workspaces: Workspaces
    waits: WaitRunner
    pending: PendingDuplicates = field(factory=PendingDuplicates)
    attempts: SharedCalls[tuple[str, str], Batch] = field(factory=SharedCalls)
    setups: SharedCalls[str, None] = field(factory=SharedCalls)
    begun: BegunJobs = field(factory=BegunJobs)

    @classmethod
    def new(cls, transport: Transport, retry: RetryPolicy, *, list_threshold: float) -> ClientState:
        """Return the state of a client that has made no call.

        Args:
            transport: Sends the polls.
            retry: Caps the pauses that the service asks for (``Retry-After``).
            list_threshold: As in ``LIST_THRESHOLDS``.

        """
        workspaces = Workspaces()

        def new_poller() -> Poller:
            transport.check_usable()
            # Imported with the first wait, as a program that never waits does not need them.
            from prolific_async._polling.poller import Poller  # noqa: PLC0415
            from prolific_async._polling.status_source import StatusSource  # noqa: PLC0415

            source = StatusSource(BatchesAPI(transport, retry), workspaces, retry, transport)
            return Poller(
                source, workspaces, list_threshold=list_threshold, at_once=transport.polls_at_once
            )

        return cls(workspaces, WaitRunner(new_poller))
