"""Endpoints by which tests in any language control the simulator.

They are no part of Prolific's API. They need the token, meet no faults and are not logged.

    POST   /_simulator/faults                    Simulator.inject: method, route, times, a fault
    DELETE /_simulator/faults                    Simulator.clear_faults
    GET    /_simulator/requests                  Simulator.requests
    POST   /_simulator/batches                   Simulator.add_batch: some fields; returns the id
    POST   /_simulator/batches/{id}/fail         Simulator.fail
    POST   /_simulator/batches/{id}/answers      Simulator.answer; returns the participants
    POST   /_simulator/batches/{id}/exports/fail Simulator.fail_exports
    POST   /_simulator/exports/{id}              Simulator.set_export: status, and further keys
    POST   /_simulator/datasets                  Simulator.add_dataset; returns the id
    POST   /_simulator/datasets/{id}/fail        Simulator.fail_imports: reason
    POST   /_simulator/imports/{id}              Simulator.set_import: status, and further keys
    POST   /_simulator/urls/expire               Simulator.expire_urls
"""

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import MappingProxyType, NoneType
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from prolific_async.simulator.answer_contents import AnswerContents
from prolific_async.simulator.faults import Fault, FaultQueue
from prolific_async.simulator.request_body import read_body
from prolific_async.simulator.request_log import RequestLog, SeenRequest
from prolific_async.simulator.responses import RefusedError, json_response

__all__ = ["CONTROL_PREFIX", "control_routes"]

CONTROL_PREFIX = "/_simulator/"
_Route = tuple[Callable[..., web.RouteDef], str, Handler]
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
        "dataset_id": (str, NoneType),
        "batch_items": (list, NoneType),
        "auto_sync_enabled": (bool,),
    }
)
_DATASET_FIELDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "name": (str,),
        "workspace_id": (str,),
        "status": (str,),
        "datapoints": (int,),
        "filename": (str,),
        "schema": (dict, NoneType),
    }
)
_ANSWER_FIELDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "participants": (int,),
        "study_id": (str, NoneType),
        "at": (str, NoneType),
    }
)
_TYPE_NAMES: Mapping[type, str] = MappingProxyType(
    {
        str: "text",
        int: "a whole number",
        bool: "true or false",
        list: "a list",
        dict: "an object",
        NoneType: "null",
    }
)


def control_routes(
    contents: AnswerContents,
    faults: FaultQueue,
    log: RequestLog,
    expire_urls: Callable[[], object],
) -> list[web.RouteDef]:
    """Return the routes by which a simulator is controlled.

    Args:
        contents: Adds and changes batches, datasets and answers.
        faults: The queue that faults are added to.
        log: The requests that the service has received.
        expire_urls: Makes all presigned URLs expire.
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
        _check_fields(given, _BATCH_FIELDS)
        return json_response(201, json.dumps({"id": contents.add_batch(**given)}).encode())

    async def fail(request: web.Request) -> web.Response:
        contents.fail(request.match_info["batch_id"])
        return web.Response(status=204)

    async def add_dataset(request: web.Request) -> web.Response:
        given = (await read_body(request)).json_object()
        _check_fields(given, _DATASET_FIELDS)
        return json_response(201, json.dumps({"id": contents.add_dataset(**given)}).encode())

    async def fail_imports(request: web.Request) -> web.Response:
        body = await read_body(request)
        given = body.json_object() if body.size else {}
        _check_fields(given, {"reason": (str, NoneType)})
        contents.fail_imports(request.match_info["dataset_id"], **given)
        return web.Response(status=204)

    async def expire(_: web.Request) -> web.Response:
        expire_urls()
        return web.Response(status=204)

    routes: list[_Route] = [
        (web.post, "faults", inject),
        (web.delete, "faults", clear_faults),
        (web.get, "requests", list_requests),
        (web.post, "batches", add_batch),
        (web.post, "batches/{batch_id:[^/]+}/fail", fail),
        (web.post, "datasets", add_dataset),
        (web.post, "datasets/{dataset_id:[^/]+}/fail", fail_imports),
        (web.post, "imports/{job_id:[^/]+}", _set_job(contents.set_import)),
        (web.post, "urls/expire", expire),
        *_answer_routes(contents),
    ]
    return [method(CONTROL_PREFIX + path, _refusing(handler)) for method, path, handler in routes]


def _answer_routes(contents: AnswerContents) -> list[_Route]:
    async def answer(request: web.Request) -> web.Response:
        body = await read_body(request)
        given = body.json_object() if body.size else {}
        _check_names(given, {"answer", *_ANSWER_FIELDS})
        _check_fields({key: given[key] for key in given.keys() - {"answer"}}, _ANSWER_FIELDS)
        if given.get("at") is not None:
            given["at"] = datetime.fromisoformat(given["at"])
        participants = contents.answer(request.match_info["batch_id"], **given)
        return json_response(201, json.dumps({"participants": participants}).encode())

    async def fail_exports(request: web.Request) -> web.Response:
        contents.fail_exports(request.match_info["batch_id"])
        return web.Response(status=204)

    return [
        (web.post, "batches/{batch_id:[^/]+}/answers", answer),
        (web.post, "batches/{batch_id:[^/]+}/exports/fail", fail_exports),
        (web.post, "exports/{job_id:[^/]+}", _set_job(contents.set_export)),
    ]


def _set_job(set_status: Callable[..., None]) -> Handler:
    async def set_it(request: web.Request) -> web.Response:
        shown = (await read_body(request)).json_object()
        status = shown.pop("status", None)
        _check_fields({"status": status}, {"status": (str,)})
        set_status(request.match_info["job_id"], status, **shown)
        return web.Response(status=204)

    return set_it


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


def _check_fields(given: Mapping[str, Any], known: Mapping[str, tuple[type, ...]]) -> None:
    _check_names(given, known)
    for name, value in given.items():
        # The exact type: True is an `int` of Python, but not a number of JSON.
        if type(value) not in (kinds := known[name]):
            raise TypeError(f"{name} must be {' or '.join(_TYPE_NAMES[kind] for kind in kinds)}")


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
