"""State of a client, shared by its resources and its views (``with_options``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import field, frozen

from prolific_async._api.batches import BatchesAPI
from prolific_async._polling.job_starts import JobStarts
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.wait_runner import WaitRunner
from prolific_async._recovery.duplicate import PendingDuplicates
from prolific_async._recovery.single_flight import SingleFlight

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
        wait_runner: All wait_runner.
        pending: Duplicates whose copy is not known, and recent copies.
        named_copy_calls: Calls of ``get_or_duplicate`` that are under way, by source and name.
        setups: Setups of named copies that are under way, by the copy's id.
        job_starts: The datasets and jobs that the client began, and when.

    """

    workspaces: KnownWorkspaces
    wait_runner: WaitRunner
    pending: PendingDuplicates = field(factory=PendingDuplicates)
    named_copy_calls: SingleFlight[tuple[str, str], Batch] = field(factory=SingleFlight)
    setups: SingleFlight[str, None] = field(factory=SingleFlight)
    job_starts: JobStarts = field(factory=JobStarts)

    @classmethod
    def new(cls, transport: Transport, retry: RetryPolicy, *, list_threshold: float) -> ClientState:
        """Return the state of a client that has made no call.

        Args:
            transport: Sends the polls.
            retry: Caps the pauses that the service asks for (``Retry-After``).
            list_threshold: As in ``LIST_THRESHOLDS``.

        """
        workspaces = KnownWorkspaces()

        def new_poller() -> Poller:
            transport.check_usable()
            # Imported with the first wait, as a program that never wait_runner does not need them.
            from prolific_async._polling.poll_requests import PollRequests  # noqa: PLC0415
            from prolific_async._polling.poller import Poller  # noqa: PLC0415

            requests = PollRequests(BatchesAPI(transport, retry), workspaces, retry, transport)
            return Poller(
                requests, workspaces, list_threshold=list_threshold, at_once=transport.polls_at_once
            )

        return cls(workspaces, WaitRunner(new_poller))
