"""What the simulated service answers, as values: a status, bytes and headers."""

import http
import json
from collections.abc import Mapping

import attrs

__all__ = ["Answer", "error_answer", "json_answer"]

JSON_TYPE = "application/json"


@attrs.frozen
class Answer:
    """One HTTP answer before it is sent.

    Args:
        status: The HTTP status.
        body: The bytes as they go out; the length header follows from them.
        headers: Further headers, `Content-Type` among them.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return the same answer with more headers; a name in any case replaces its like."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return attrs.evolve(self, headers={**kept, **headers})


def json_answer(status: int, document: bytes) -> Answer:
    """Answer with a document that is JSON already."""
    return Answer(status, document, {"Content-Type": JSON_TYPE})


def error_answer(
    status: int, detail: str | Mapping[str, list[str]], headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer with the service's standard error, as "API Fundamentals" of its docs shows it.

    Args:
        status: The HTTP status, repeated in the body.
        detail: One sentence, or the complaints by field.
        headers: Further headers, none by default.
    """
    error = {
        "status": status,
        # The service's own numbers are not published: these only look like them.
        "error_code": 140_000 + status,
        "title": _title(status),
        "detail": detail,
    }
    return json_answer(status, json.dumps({"error": error}).encode()).with_headers(headers or {})


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"
