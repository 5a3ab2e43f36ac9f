"""``client.workspaces``: the workspaces that batches are in."""

from __future__ import annotations

import builtins

from prolific_async._api.workspaces import WorkspacesAPI
from prolific_async._http.transport import Transport
from prolific_async.models import Workspace


class Workspaces:
    """Lists workspaces; its verbs raise what those of ``Batches`` do."""

    def __init__(self, transport: Transport) -> None:
        self._check_usable = transport.check_usable
        self._api = WorkspacesAPI(transport)

    async def list(self) -> builtins.list[Workspace]:
        """Return every workspace that the token's account is a member of, in the service's order.

        Raises:
            DecodeError: Among others, when the response is no list, or when fewer workspaces come
                than the service counts.

        Source: https://docs.prolific.com/api-reference/workspaces/get-workspaces

        """
        return await self._api.list()
