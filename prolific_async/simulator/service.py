"""The service's routes over the state, without any I/O: a request in, an answer out.

Sources: `duplicate-task-builder-batch` and `setup-task-builder-batch` under
https://beta-docs.prolific.com/api-reference/ai-task-builder, and "get", "list" and "status" under
https://docs.prolific.com/api-reference/task-builder. What they leave open is said where it is
decided.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

import attrs

from prolific_async.simulator.answers import Answer, error_answer, json_answer
from prolific_async.simulator.bodies import MAX_BODY, Body
from prolific_async.simulator.documents import batch_json, created_json, list_json
from prolific_async.simulator.records import Batch
from prolific_async.simulator.state import SetupRefusedError, State

__all__ = ["Call", "Service"]

_T = TypeVar("_T")

BATCHES = "/api/v1/data-collection/batches"
_MOST = 2**63 - 1  # as far as integers go in databases; nothing is documented


@attrs.frozen(kw_only=True)
class Call:
    """One request as it came in: `path` still percent-encoded, without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str | None = attrs.field(repr=False)
    body: Body


class _Refusal(Exception):  # noqa: N818 - the answer to give, not a fault of the simulator
    def __init__(
        self,
        status: int,
        detail: str | Mapping[str, list[str]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.answer = error_answer(status, detail, headers)


class Service:
    """Answers requests from the state.

    Args:
        state: What is read and changed.
        token: What every request must carry as `Authorization: Token …`.
    """

    def __init__(self, state: State, token: str) -> None:
        self._state = state
        self._authorization = f"Token {token}"
        self._routes: dict[str, tuple[str, Callable[[Batch, Call], Answer]]] = {
            "": ("GET", self._get),
            "status": ("GET", self._status),
            "setup": ("POST", self._setup),
            "duplicate": ("POST", self._duplicate),
        }

    def answer(self, call: Call) -> Answer:
        """Apply a request and return what the service says to it."""
        try:
            with self._state.lock:
                return self._route(call)
        except _Refusal as refusal:
            return refusal.answer

    def _route(self, call: Call) -> Answer:
        if call.authorization != self._authorization:
            raise _Refusal(401, "Authentication credentials were not provided or are not valid.")
        # The service takes both forms (contract test of github.com/prolific-oss/cli) and does not
        # redirect, which would lose the body of a POST.
        path = call.path.removesuffix("/")
        if path == BATCHES:
            _only(call, "GET")
            return self._list(call)
        if not path.startswith(f"{BATCHES}/"):
            raise _Refusal(404, "There is no such page.")
        # Split before decoding: an id may hold an encoded slash.
        encoded_id, _, verb = path.removeprefix(f"{BATCHES}/").partition("/")
        if verb not in self._routes or (not verb and path.endswith("/")):
            raise _Refusal(404, "There is no such page.")
        method, handler = self._routes[verb]
        _only(call, method)
        batch = self._state.batches.get(unquote(encoded_id))
        if batch is None:
            raise _Refusal(404, "There is no such batch.")
        return handler(batch, call)

    def _list(self, call: Call) -> Answer:
        workspace_id = call.query.get("workspace_id")
        if not workspace_id:
            raise _Refusal(400, {"workspace_id": ["This field is required."]})
        # Not documented. An empty list would let a test with a mistyped id pass for the wrong
        # reason, so it is an error here.
        workspace = self._state.workspaces.get(workspace_id)
        if workspace is None:
            raise _Refusal(404, "There is no such workspace.")
        return json_answer(200, list_json(map(self._state.poll, workspace.values())))

    def _get(self, batch: Batch, _: Call) -> Answer:
        return json_answer(200, batch_json(self._state.poll(batch)))

    def _status(self, batch: Batch, _: Call) -> Answer:
        return json_answer(200, json.dumps({"status": self._state.poll(batch).status}).encode())

    def _setup(self, batch: Batch, call: Call) -> Answer:
        body = _json_object(call.body)
        dataset_id = _typed(body, "dataset_id", str, "a string")
        tasks_per_group = _integer(body, "tasks_per_group")
        if tasks_per_group is not None and not 1 <= tasks_per_group <= _MOST:
            raise _Refusal(400, {"tasks_per_group": [f"This must be from 1 to {_MOST}."]})
        try:
            self._state.set_up(
                batch,
                dataset_id=dataset_id,
                tasks_per_group=1 if tasks_per_group is None else tasks_per_group,
            )
        except SetupRefusedError as refused:
            raise _Refusal(400, {refused.field: [refused.reason]}) from None
        return json_answer(202, b"{}")

    def _duplicate(self, batch: Batch, call: Call) -> Answer:
        body = _json_object(call.body)
        name = _typed(body, "name", str, "a string")
        without_dataset = _typed(body, "upload_new_dataset", bool, "true or false")
        copy = self._state.duplicate(batch, name=name, with_dataset=not without_dataset)
        return json_answer(201, created_json(copy))


def _only(call: Call, method: str) -> None:
    if call.method != method:
        raise _Refusal(405, f"{call.method} is not allowed here.", {"Allow": method})


def _json_object(body: Body) -> dict[str, Any]:
    if body.size > MAX_BODY:
        raise _Refusal(413, f"The body has {body.size} bytes, more than the {MAX_BODY} allowed.")
    if not body.size:
        return {}  # every field is optional, so no body says what an empty object says
    if not body.is_json:
        raise _Refusal(400, "The body is not JSON.")
    if not isinstance(body.content, dict):
        raise _Refusal(400, "The body is not a JSON object.")
    return body.content


def _integer(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    # JSON has one type of number, in which 3.0 is an integer.
    if type(value) is float and value.is_integer():
        return int(value)
    return _typed(body, key, int, "an integer")


def _typed(body: Mapping[str, Any], key: str, kind: type[_T], words: str) -> _T | None:
    if key not in body:
        return None
    value = body[key]
    # Exactly: JSON's true is no integer, though Python's is. Null is not the same as left out.
    if type(value) is not kind:
        raise _Refusal(400, {key: [f"This must be {words}."]})
    return value
