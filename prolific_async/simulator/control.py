"""`/_simulator/…`: the simulator's own endpoints, by which tests in any language script it.

They are no part of Prolific's API. They need the token, meet no faults and stand in no log.

    POST   /_simulator/faults             Simulator.inject: method, route, times and Fault's fields
    DELETE /_simulator/faults             Simulator.clear_faults
    GET    /_simulator/requests           Simulator.requests
    POST   /_simulator/batches            Simulator.add_batch: some of its fields; returns the id
    POST   /_simulator/batches/{id}/fail  Simulator.fail
"""

import json
from collections.abc import Collection, Mapping
from types import MappingProxyType, NoneType
from typing import Any
from urllib.parse import unquote

import attrs

from prolific_async.simulator.answers import Answer, error_answer, json_answer
from prolific_async.simulator.backstage import Backstage
from prolific_async.simulator.bodies import MAX_BODY, Body
from prolific_async.simulator.faults import Fault, FaultScript
from prolific_async.simulator.log import RequestLog, SeenRequest

__all__ = ["Control", "is_control"]

_PREFIX = "/_simulator"
_DONE = Answer(204)
_FAULT_FIELDS = frozenset(field.name for field in attrs.fields(Fault) if field.init)
_BATCH_FIELDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "name": (str,),
        "batch_id": (str,),
        "workspace_id": (str,),
        "status": (str, NoneType),
        "datapoints": (int, NoneType),
        "instructions": (int,),
        "tasks_per_group": (int, NoneType),
        "dataset_status": (str,),
    }
)
_WORDS: Mapping[type, str] = MappingProxyType(
    {str: "text", int: "a whole number", NoneType: "null"}
)


def is_control(path: str) -> bool:
    """Tell whether a path belongs to the simulator and not to the simulated service."""
    return path.startswith(f"{_PREFIX}/")


class Control:
    """Answers requests to the simulator itself.

    Args:
        backstage: Where batches are added and changed.
        script: Where faults are added.
        log: The requests that the service has seen.
        token: What every request must carry as `Authorization: Token …`.
    """

    def __init__(
        self, backstage: Backstage, script: FaultScript, log: RequestLog, token: str
    ) -> None:
        self._backstage = backstage
        self._script = script
        self._log = log
        self._authorization = f"Token {token}"

    def answer(self, method: str, path: str, authorization: str | None, body: Body) -> Answer:
        """Apply a request; 400 says what is wrong with it, 404 what is not there."""
        if authorization != self._authorization:
            return error_answer(401, "The simulator's token is needed here, too.")
        try:
            return self._route(method, path.removeprefix(_PREFIX).strip("/"), body)
        except KeyError as error:
            return error_answer(404, str(error.args[0]))
        except (TypeError, ValueError) as error:
            return error_answer(400, str(error))

    def _route(self, method: str, resource: str, body: Body) -> Answer:
        match method, resource.split("/"):
            case "POST", ["faults"]:
                return self._inject(_json_object(body))
            case "DELETE", ["faults"]:
                self._script.clear()
                return _DONE
            case "GET", ["requests"]:
                seen = [_request_json(each) for each in self._log.finished()]
                return json_answer(200, json.dumps(seen, default=str).encode())
            case "POST", ["batches"]:
                batch_id = self._add_batch(_json_object(body))
                return json_answer(201, json.dumps({"id": batch_id}).encode())
            case "POST", ["batches", batch_id, "fail"]:
                self._backstage.fail(unquote(batch_id))
                return _DONE
            case _, ["faults"] | ["requests"] | ["batches"] | ["batches", _, "fail"]:
                return error_answer(405, f"{method} is not allowed here.")
            case _:
                raise KeyError("The simulator has no such endpoint.")

    def _inject(self, given: Mapping[str, Any]) -> Answer:
        _check_names(given, {"method", "route", "times", *_FAULT_FIELDS})
        if not {"method", "route"} <= given.keys():
            raise ValueError('method and route are needed, such as "POST" and "/duplicate"')
        fault = Fault(**{name: given[name] for name in given.keys() & _FAULT_FIELDS})
        self._script.add(given["method"], given["route"], fault, given.get("times", 1))
        return _DONE

    def _add_batch(self, given: Mapping[str, Any]) -> str:
        _check_names(given, _BATCH_FIELDS)
        for name, value in given.items():
            # Exactly: JSON's true is no number, though Python's is.
            if type(value) not in (kinds := _BATCH_FIELDS[name]):
                raise TypeError(f"{name} must be {' or '.join(_WORDS[kind] for kind in kinds)}")
        return self._backstage.add_batch(**given)


def _json_object(body: Body) -> dict[str, Any]:
    if body.size > MAX_BODY:
        raise ValueError(f"the body has {body.size} bytes, more than the {MAX_BODY} allowed")
    if not body.is_json:
        raise ValueError("the body is not JSON")
    if not isinstance(body.content, dict):
        raise TypeError("the body is not a JSON object")
    return body.content


def _check_names(given: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(given.keys() - set(known)):
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def _request_json(seen: SeenRequest) -> dict[str, Any]:
    return {
        "method": seen.method,
        "path": seen.path,
        "query": dict(seen.query),
        "body": seen.body,
        "status": seen.status,
        "at": seen.at,
        "headers": dict(seen.headers),
    }
