"""Advice for a call whose response was lost, by its method and path."""

from __future__ import annotations

_WHERE_TO_LOOK = {
    "batches": "for the batch in the workspace",
    "duplicate": "for the copy in the workspace",
    "setup": "at the batch's status",
    "export": "at batches.exports()",
}


def may_be_repeated(method: str, path: str) -> bool:
    """Return whether a call may be sent twice without an effect beyond the first one's.

    The service stores identical appended records only once, and runs syncs of a batch in turn:
    https://docs.prolific.com/api-reference/ai-task-builder (append datapoints, sync a batch).
    """
    if method == "POST":
        return path.endswith(("/sync", "/datapoints"))
    if method == "PATCH":
        return path.rpartition("/")[0].endswith("/batches")
    return method in ("GET", "DELETE")


def try_again(method: str, path: str) -> str:
    """Return the advice for a call whose response was lost."""
    if may_be_repeated(method, path):
        return "try again"
    return f"it may have run, so {look_first(path)}"


def look_first(path: str) -> str:
    """Return the advice to find out first whether a POST, or the PUT of a file, has run."""
    if "/upload-url/" in path:
        return "look at the dataset before you upload it again"
    parent, _, last = path.rpartition("/")
    if last == "datasets":
        return "make another dataset: none can be listed, and one without rows costs nothing"
    if parent.endswith("/datasets"):
        return "look at the dataset's schema before you send it again"
    place = _WHERE_TO_LOOK.get(last, "for what it may have made or changed")
    return f"look {place} before you send it again"


def makes_a_batch(path: str) -> bool:
    """Return whether a POST makes a batch, which the list of its workspace shows."""
    return path.endswith(("/batches", "/duplicate"))
