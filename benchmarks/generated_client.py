"""The client that openapi-python-client generates from openapi.yaml, generated at each use."""

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Any, NamedTuple

PACKAGE = "generated_task_builder"


class Generated(NamedTuple):
    """The names of the generated package that the benchmarks use."""

    client: Callable[..., AbstractAsyncContextManager[Any]]
    get_batch_status: Callable[..., Awaitable[Any]]
    duplicate_batch: Callable[..., Awaitable[Any]]
    duplicate_request: Callable[..., Any]


@contextmanager
def generating() -> Iterator[Generated]:
    """Generate the client into a temporary directory and import it from there."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "config.yaml")
        config.write_text("post_hooks: []\n")  # formatting would need another tool
        options = {
            "--path": str(Path(__file__).with_name("openapi.yaml")),
            "--output-path": str(Path(directory, PACKAGE)),
            "--config": str(config),
            "--meta": "none",
        }
        run(
            [sys.executable, "-m", "openapi_python_client", "generate", *chain(*options.items())],
            check=True,
            stdout=DEVNULL,
        )
        sys.path.insert(0, directory)
        try:
            yield Generated(
                import_module(PACKAGE).AuthenticatedClient,
                import_module(f"{PACKAGE}.api.batches.get_batch_status").asyncio,
                import_module(f"{PACKAGE}.api.batches.duplicate_batch").asyncio,
                import_module(f"{PACKAGE}.models").DuplicateRequest,
            )
        finally:
            sys.path.remove(directory)
