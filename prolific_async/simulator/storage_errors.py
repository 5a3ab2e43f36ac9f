"""Error responses of the storage, in the XML of S3."""

from collections.abc import Mapping
from types import MappingProxyType
from xml.sax.saxutils import escape

import attrs
from aiohttp import web

__all__ = ["StorageRefusedError", "xml_response"]


@attrs.define
class StorageRefusedError(Exception):
    """A request that the storage refuses.

    Args:
        status: The status of the response.
        code: The code of S3, such as "AccessDenied".
        message: The sentence beside it.
        more: Further elements of the document, by name.
        headers: Further headers of the response.
    """

    status: int
    code: str
    message: str
    more: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})


def xml_response(refused: StorageRefusedError, request_id: str) -> web.Response:
    """Respond with the error document of a refusal."""
    elements = {
        "Code": refused.code,
        "Message": refused.message,
        **refused.more,
        "RequestId": request_id,
    }
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    headers = {"Content-Type": "application/xml", **refused.headers}
    return web.Response(status=refused.status, body=document.encode(), headers=headers)
