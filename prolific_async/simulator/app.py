"""The simulated service as an aiohttp application: routes and middlewares."""

from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from prolific_async.simulator.answer_routes import answer_routes
from prolific_async.simulator.batch_editing_routes import editing_routes
from prolific_async.simulator.batch_routes import batch_routes
from prolific_async.simulator.batch_task_routes import task_routes
from prolific_async.simulator.control_routes import CONTROL_PREFIX
from prolific_async.simulator.dataset_routes import dataset_routes
from prolific_async.simulator.dataset_state import Datasets
from prolific_async.simulator.exports import Exports
from prolific_async.simulator.fault_middleware import apply_faults
from prolific_async.simulator.faults import FaultQueue
from prolific_async.simulator.request_log import RequestLog, log_requests
from prolific_async.simulator.responses import RefusedError, error_response
from prolific_async.simulator.state import State
from prolific_async.simulator.workspace_routes import workspace_routes

__all__ = ["make_app"]


def make_app(
    state: State,
    token: str,
    faults: FaultQueue,
    log: RequestLog,
    control_routes: Iterable[web.RouteDef] = (),
    datasets: Datasets | None = None,
    exports: Exports | None = None,
) -> web.Application:
    """Make the application that serves a state.

    Args:
        state: The state that requests read and change.
        token: The token that requests must carry.
        faults: The faults that requests meet.
        log: The log of the requests.
        control_routes: Routes of the simulator itself. Their requests meet no faults and are not
            logged.
        datasets: The datasets of the state; without them there are only the first batch routes.
        exports: The exports of its batches; without them there are no routes of answers.
    """
    app = web.Application(
        middlewares=[
            _service_only(log_requests(log)),
            _service_only(apply_faults(faults, state.utc_now)),
            _respond_to_refusals,
            _require_token(token),
        ]
    )
    more = [] if datasets is None else [*dataset_routes(datasets), *task_routes(datasets)]
    if exports is not None:
        more += answer_routes(exports)
    routes = [
        *batch_routes(state),
        *editing_routes(state),
        *more,
        *workspace_routes(state),
        *control_routes,
    ]
    app.add_routes(_with_and_without_slash(routes))
    return app


def _with_and_without_slash(routes: Iterable[web.RouteDef]) -> Iterable[web.RouteDef]:
    # The service accepts both (contract test of github.com/prolific-oss/cli). It does not redirect,
    # which would lose the body of a POST.
    for route in routes:
        for slash in ("", "/"):
            yield web.RouteDef(route.method, route.path + slash, route.handler, route.kwargs)


def _service_only(middleware: Middleware) -> Middleware:
    """Make a middleware skip the requests to the simulator's control endpoints."""

    @web.middleware
    async def skip_control(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.rel_url.raw_path.startswith(CONTROL_PREFIX):
            return await handler(request)
        return await middleware(request, handler)

    return skip_control


@web.middleware
async def _respond_to_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals, by a handler or by aiohttp's router, into the service's error responses."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return refused.response()
    except web.HTTPMethodNotAllowed as refused:
        response = error_response(405, f"{request.method} is not allowed here.")
        response.headers[hdrs.ALLOW] = refused.headers[hdrs.ALLOW]
        return response
    except web.HTTPNotFound:
        return error_response(404, "There is no such page.")


def _require_token(token: str) -> Middleware:
    authorization = f"Token {token}"

    @web.middleware
    async def require_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get(hdrs.AUTHORIZATION) != authorization:
            raise RefusedError(
                401, "Authentication credentials were not provided or are not valid."
            )
        return await handler(request)

    return require_token
