"""Endpoints by which tests in any language control the simulator.

They are no part of Prolific's API. They need the token, meet no faults and are not logged.

    POST   /_simulator/faults             Simulator.inject: method, route, times and Fault's fields
    DELETE /_simulator/faults             Simulator.clear_faults
    GET    /_simulator/requests           Simulator.requests
    POST   /_simulator/batches            Simulator.add_batch: some of its fields; returns the id
    POST   /_simulator/batches/{id}/fail  Simulator.fail
"""

import json
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType, NoneType
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from prolific_async.simulator.contents import Contents
from prolific_async.simulator.faults import Fault, FaultQueue
from prolific_async.simulator.request_body import read_body
from prolific_async.simulator.request_log import RequestLog, SeenRequest
from prolific_async.simulator.responses import RefusedError, json_response

__all__ = ["CONTROL_PREFIX", "control_routes"]

CONTROL_PREFIX = "/_simulator/"
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
_TYPE_NAMES: Mapping[type, str] = MappingProxyType(
    {str: "text", int: "a whole number", NoneType: "null"}
)


def control_routes(contents: Contents, faults: FaultQueue, log: RequestLog) -> list[web.RouteDef]:
    """Return the routes by which a simulator is controlled.

    Args:
        contents: Where batches are added and changed.
        faults: Where faults are added.
        log: The requests that the service has received.
    """

    async def inject(request: web.Request) -> web.Response:
        given = (await read_body(request)).json_object()
        _check_names(given, {"method", "route", "times", *_FAULT_FIELDS})
        if not {"method", "route"} <= given.keys():
            raise ValueError('method and route are needed, such as "POST" and "/duplicate"')
        fault = Fault(**{name: given[name] for name in given.keys() & _FAULT_FIELDS})
        faults.add(given["method"], given["route"], fault, given.get("times", 1))
        return web.Response(status=204)

    async def clear_faults(_: web.Request) -> web.Response:
        faults.clear()
        return web.Response(status=204)

    async def list_requests(_: web.Request) -> web.Response:
        seen = [_request_json(each) for each in log.finished()]
        return json_response(200, json.dumps(seen, default=str).encode())

    async def add_batch(request: web.Request) -> web.Response:
        given = (await read_body(request)).json_object()
        _check_names(given, _BATCH_FIELDS)
        for name, value in given.items():
            # The exact type: True is an `int` of Python, but not a number of JSON.
            if type(value) not in (kinds := _BATCH_FIELDS[name]):
                raise TypeError(
                    f"{name} must be {' or '.join(_TYPE_NAMES[kind] for kind in kinds)}"
                )
        return json_response(201, json.dumps({"id": contents.add_batch(**given)}).encode())

    async def fail(request: web.Request) -> web.Response:
        contents.fail(request.match_info["batch_id"])
        return web.Response(status=204)

    routes: list[tuple[Callable[..., web.RouteDef], str, Handler]] = [
        (web.post, "faults", inject),
        (web.delete, "faults", clear_faults),
        (web.get, "requests", list_requests),
        (web.post, "batches", add_batch),
        (web.post, "batches/{batch_id:[^/]+}/fail", fail),
    ]
    return [method(CONTROL_PREFIX + path, _refusing(handler)) for method, path, handler in routes]


def _refusing(handler: Handler) -> Handler:
    """Turn the errors of the simulator's methods into refusals."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except KeyError as error:
            raise RefusedError(404, str(error.args[0])) from None
        except (TypeError, ValueError) as error:
            raise RefusedError(400, str(error)) from None

    return handle


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
