"""Durable waits."""

try:
    from prolific_async.durable.batches import DurableBatches, Preparation
except ModuleNotFoundError as error:
    if error.name != "dbos":
        raise
    raise ImportError(
        "prolific_async.durable needs the extra: pip install 'prolific-async[durable]'"
    ) from error

__all__ = ["DurableBatches", "Preparation"]
