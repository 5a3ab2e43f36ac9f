"""Parsers of options that name a JSON file, which is checked before anything is sent."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer

from prolific_async.cli.output import printable
from prolific_async.cli.stdin import is_utf_16, utf_16_message
from prolific_async.dataset_schema import DatasetSchema

__all__ = ["read_layout", "read_schema", "unreadable_message"]

T = TypeVar("T")

_BATCH_ITEMS = "batch_items"


def read_layout(path: str) -> list[dict[str, Any]]:
    """Read the pages of a batch's layout from a file; a parser for an option.

    Raises:
        typer.BadParameter: The file cannot be read, or has no list of pages.

    """
    return _read(path, _pages)


def read_schema(path: str) -> DatasetSchema:
    """Read a dataset's schema from a file; a parser for an option.

    Raises:
        typer.BadParameter: The file cannot be read, or has no schema.

    """
    return _read(path, _schema)


def unreadable_message(path: str, error: OSError) -> str:
    """Return the error message for a file that cannot be read."""
    return f"'{printable(path)}' cannot be read ({error.strerror or error})"


def _read(path: str, check: Callable[[Any], T]) -> T:
    try:
        return check(_parsed_json(Path(path).read_bytes()))
    except OSError as error:
        raise typer.BadParameter(unreadable_message(path, error)) from None
    except ValueError as error:
        raise typer.BadParameter(f"'{printable(path)}' {error}") from None


def _parsed_json(data: bytes) -> Any:
    if is_utf_16(data[:4]):
        raise ValueError(utf_16_message("").strip())
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (see its byte {error.start}): save it as UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is not JSON: {error.msg} ({where})") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"it holds {constant}")


def _pages(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, dict) and set(document) == {_BATCH_ITEMS}:
        document = document[_BATCH_ITEMS]
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        wanted = f'a list of pages, or {{"{_BATCH_ITEMS}": [...]}}'
        raise ValueError(f"holds no layout: it must be {wanted}")
    return document


def _schema(document: Any) -> DatasetSchema:
    if not isinstance(document, Mapping) or document.keys() - {"strict"} != {"fields"}:
        wanted = '{"fields": {"name": {"type": "text"}, ...}}, and perhaps "strict"'
        raise ValueError(f"holds no schema: it must be {wanted}")
    try:
        return DatasetSchema(document["fields"], document.get("strict", True))
    except ValueError as error:
        raise ValueError(f"holds no schema: {error}") from None
