"""The workspace endpoint of the simulated service.

Source: "get-workspaces" under https://docs.prolific.com/api-reference/workspaces. It documents no
parameters; a limit, an offset and a count are what github.com/prolific-oss/cli sends and reads.
"""

import json
from typing import Any

from aiohttp import web

from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import State

__all__ = ["workspace_routes"]


def workspace_routes(state: State) -> list[web.RouteDef]:
    """Return the routes of the workspace endpoint."""

    async def list_workspaces(request: web.Request) -> web.Response:
        limit, offset = _number(request, "limit"), _number(request, "offset") or 0
        with state.lock:
            shown: list[dict[str, Any]] = [
                {
                    "id": workspace_id,
                    "title": title,
                    "description": "",
                    "users": [],
                    "naivety_distribution_rate": None,
                }
                for workspace_id, title in state.titles.items()
            ]
        page = shown[offset:] if limit is None else shown[offset : offset + limit]
        return json_response(
            200, json.dumps({"results": page, "meta": {"count": len(shown)}}).encode()
        )

    return [web.get("/api/v1/workspaces", list_workspaces, allow_head=False)]


def _number(request: web.Request, key: str) -> int | None:
    given = request.query.get(key)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()):
        raise RefusedError(400, {key: ["This must be a whole number from 0 on."]})
    return int(given)
