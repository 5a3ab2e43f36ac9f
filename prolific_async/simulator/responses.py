"""JSON responses in the form of the service's, and the exception for requests that it refuses."""

import http
import json
from collections.abc import Mapping
from typing import TypeAlias

import attrs
from aiohttp import web

__all__ = ["JSON_TYPE", "RefusedError", "encode_error", "error_response", "json_response"]

JSON_TYPE = "application/json"
Detail: TypeAlias = str | Mapping[str, list[str]]


@attrs.define
class RefusedError(Exception):
    """A request that gets an error response: its status, and a sentence or complaints by field."""

    status: int
    detail: Detail

    def response(self) -> web.Response:
        """Make the error response."""
        return error_response(self.status, self.detail)


def json_response(status: int, document: bytes) -> web.Response:
    """Respond with encoded JSON."""
    return web.Response(status=status, body=document, headers={"Content-Type": JSON_TYPE})


def error_response(status: int, detail: Detail) -> web.Response:
    """Respond with the service's standard error."""
    return json_response(status, encode_error(status, detail))


def encode_error(status: int, detail: Detail) -> bytes:
    """Encode the service's standard error, as "API Fundamentals" in its documentation shows it."""
    error = {
        "status": status,
        # The service does not publish its own numbers; these only look like them.
        "error_code": 140_000 + status,
        "title": _title(status),
        "detail": detail,
    }
    return json.dumps({"error": error}).encode()


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"
