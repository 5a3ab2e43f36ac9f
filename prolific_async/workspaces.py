"""``client.workspaces``: the list of the workspaces that a token can use, with their ids."""

from __future__ import annotations

import builtins

from prolific_async._api.workspaces import WorkspacesAPI
from prolific_async._http.transport import Transport
from prolific_async.models import Workspace


class Workspaces:
    """The calls about workspaces: the list of those that the token's account is a member of.

    They are repeated after a failure, and raise errors, as the calls of ``Batches`` do.
    """

    def __init__(self, transport: Transport) -> None:
        self._api = WorkspacesAPI(transport)

    async def list(self) -> builtins.list[Workspace]:
        """Return every workspace that the token's account is a member of, in the service's order.

        Raises:
            DecodeError: Among others, when the response is no list, when fewer workspaces come than
                the service counts, or more than a thousand pages.

        Source: https://docs.prolific.com/api-reference/workspaces/get-workspaces

        """
        return await self._api.list()
