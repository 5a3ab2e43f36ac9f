"""The endpoints that show answers: the responses of a batch.

Source: "get-task-builder-batch-task-responses" under
https://docs.prolific.com/api-reference/task-builder.
"""

from aiohttp import web

from prolific_async.simulator.batch_handlers import BATCH, on_batch
from prolific_async.simulator.batch_json import results_json
from prolific_async.simulator.models import Batch
from prolific_async.simulator.request_body import Body
from prolific_async.simulator.responses import json_response
from prolific_async.simulator.state import State

__all__ = ["answer_routes"]


def answer_routes(state: State) -> list[web.RouteDef]:
    """Return the routes of these endpoints."""

    def responses(_: web.Request, __: Body, batch: Batch) -> web.Response:
        given = (answer.response for each in batch.submissions for answer in each.answers)
        return json_response(200, results_json(filter(None, given)))

    return [web.get(f"{BATCH}/responses", on_batch(state, responses), allow_head=False)]
