"""``prolific-async simulate``: the simulator's command, with typer's help pages and errors."""

from typing import Annotated, Any

import typer

from prolific_async.cli.command_runner import handle_output_error
from prolific_async.simulator.command import DESCRIPTION, OPTIONS, serve

__all__ = ["DESCRIPTION", "simulate"]


def _option(name: str) -> Any:
    option = OPTIONS[name]

    def parse(text: str) -> Any:
        try:
            return option.parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(
        f"--{name}",
        metavar=option.metavar,
        help=option.help,
        parser=parse,
        show_default=option.default is not None,
    )


def simulate(
    *,
    port: Annotated[Any, _option("port")] = OPTIONS["port"].default,
    storage_port: Annotated[Any, _option("storage-port")] = OPTIONS["storage-port"].default,
    setup: Annotated[Any, _option("setup")] = OPTIONS["setup"].default,
    imports: Annotated[Any, _option("imports")] = OPTIONS["imports"].default,
    exports: Annotated[Any, _option("exports")] = OPTIONS["exports"].default,
    token: Annotated[Any, _option("token")] = OPTIONS["token"].default,
    workspace_id: Annotated[Any, _option("workspace-id")] = OPTIONS["workspace-id"].default,
    batch_id: Annotated[Any, _option("batch-id")] = OPTIONS["batch-id"].default,
) -> None:
    """Run ``prolific_async.simulator.command.serve``."""
    try:
        code = serve(
            port=port,
            storage_port=storage_port,
            setup=setup,
            imports=imports,
            exports=exports,
            token=token,
            workspace_id=workspace_id,
            batch_id=batch_id,
        )
    except OSError as error:
        code = handle_output_error(error)
    raise typer.Exit(code)
