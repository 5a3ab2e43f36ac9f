"""Hypothesis strategies of what the service may send: valid and nearly valid documents.

Source: https://docs.prolific.com/api-reference/ai-task-builder (the batch, its status, the list),
https://docs.prolific.com/api-reference (API Fundamentals: errors).
"""

from __future__ import annotations

import copy
from datetime import UTC
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

texts = st.text(max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | texts
    # NaN equals nothing, and JSON has no infinity.
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
counts = st.integers(0, 2**40)


def unknown_keys(known: set[str]) -> st.SearchStrategy[dict[str, Any]]:
    # Names of our own inside are likely collisions, so they are tried.
    ours = st.sampled_from(["extra", "_nulls", "nulls", "_batches", "batches", "self", "setup"])
    names = (texts | ours).filter(lambda name: name not in known)
    return st.dictionaries(names, json_values, max_size=3)


@st.composite
def wire_objects(
    draw: st.DrawFn,
    required: dict[str, st.SearchStrategy[Any]],
    optional: dict[str, st.SearchStrategy[Any]],
) -> dict[str, Any]:
    """Mappings with some of the optional keys, some of them null, and unknown keys."""
    wire = {key: draw(values) for key, values in required.items()}
    for key, values in optional.items():
        match draw(st.sampled_from(["absent", "null", "given"])):
            case "null":
                wire[key] = None
            case "given":
                wire[key] = draw(values)
    wire |= draw(unknown_keys({*required, *optional}))
    return dict(draw(st.permutations(list(wire.items()))))


moments = st.datetimes(timezones=st.just(UTC)).map(
    lambda moment: moment.isoformat().replace("+00:00", "Z")
)
datasets = wire_objects({"id": texts, "total_datapoint_count": counts}, {"filename": texts})
task_details = wire_objects({"task_name": texts}, {"task_introduction": texts, "task_steps": texts})
batches = wire_objects(
    {
        "id": texts,
        "created_at": moments,
        "created_by": texts,
        "datasets": st.lists(datasets, max_size=3),
        "name": texts,
        "status": st.sampled_from(["UNINITIALISED", "PROCESSING", "READY", "ERROR"]) | texts,
        "total_task_count": counts,
        "total_instruction_count": counts,
        "workspace_id": texts,
    },
    {
        "task_details": task_details,
        "schema_version": counts,
        "total_task_groups": counts,
        "batch_items": st.lists(st.dictionaries(texts, json_values, max_size=2), max_size=2),
        "auto_sync_enabled": st.booleans(),
        "tasks_per_group": counts,
    },
)

lists = st.fixed_dictionaries(
    {},
    optional={
        "results": st.none() | st.lists(batches, max_size=3),
        "meta": st.none() | st.fixed_dictionaries({}, optional={"count": st.integers(-1, 3)}),
        "_links": st.fixed_dictionaries(
            {"next": st.none() | st.fixed_dictionaries({"href": st.none() | texts})}
        ),
        "news": json_values,
    },
)
statuses = st.fixed_dictionaries(
    {},
    optional={"status": st.none() | st.sampled_from(["READY", "PROCESSING"]) | texts, "n": texts},
)

details = texts | st.lists(texts, max_size=2) | st.dictionaries(texts, st.lists(texts, max_size=2))
issues = st.fixed_dictionaries(
    {"type": texts, "message": texts},
    optional={"field": texts, **dict.fromkeys(("page", "row", "column", "item"), counts)},
)
errors = st.one_of(
    st.fixed_dictionaries(
        {
            "error": st.fixed_dictionaries(
                {"status": counts, "error_code": counts, "title": texts, "detail": details},
                optional={"additional_information": texts, "interactive": st.booleans()},
            )
        }
    ),
    st.fixed_dictionaries({"message": texts, "detail": texts}),
    st.fixed_dictionaries({"detail": texts}),
    st.fixed_dictionaries(
        {
            "type": st.just("INVALID_BATCH_ITEMS"),
            "message": texts,
            "issues": st.lists(issues, max_size=3),
        }
    ),
    json_values,
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a document with each of its keys."""
    if isinstance(document, dict | list):
        keys = list(document) if isinstance(document, dict) else range(len(document))
        for key in keys:
            yield document, key
            yield from places(document[key])


@st.composite
def nearly(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> Any:
    """Documents in which one value, at any depth, is missing or replaced."""
    document = copy.deepcopy(draw(documents))
    if found := list(places(document)):
        container, key = draw(st.sampled_from(found))
        if draw(st.booleans()):
            container[key] = draw(json_values)
        else:
            del container[key]
    return document
