"""``prolific-async batch create``, ``update``, ``sync`` and ``preview``."""

from typing import Annotated, Any

import typer

from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode, exit_code_of
from prolific_async.cli.help_pages import UsageError
from prolific_async.cli.json_files import read_layout
from prolific_async.cli.options import AsJson, BatchId, Url, Workspace, text
from prolific_async.cli.options import timeout as seconds
from prolific_async.cli.output import print_error, print_json, print_line
from prolific_async.cli.progress_display import progress_display
from prolific_async.cli.wait_report import outcome_document
from prolific_async.client import ProlificClient
from prolific_async.errors import WaitError
from prolific_async.job_models import BatchSync
from prolific_async.models import Batch, TaskDetails

__all__ = ["create", "preview", "sync", "update"]

_TASK_NAME = text("--task-name", "The task's headline.")
_INTRODUCTION = text("--introduction", "What the task is about, in basic HTML.")
_STEPS = text("--steps", "What participants do, in basic HTML.")
_DATASET = text("--dataset", "The dataset to make tasks from, in any state.", metavar="ID")
_LAYOUT = typer.Option(
    "--layout",
    parser=read_layout,
    metavar="FILE",
    help="JSON file of the pages: a list of them, alone or under the key batch_items.",
    show_default=False,
)
_AUTO_SYNC = typer.Option(
    "--auto-sync/--no-auto-sync",
    help="Whether rows added later become tasks automatically, which may mean more pay.",
    show_default=False,
)


def create(
    *,
    workspace: Workspace,
    name: Annotated[
        str,
        text("--name", "The batch's name; a unique one lets it be found if a response is lost."),
    ],
    task_name: Annotated[str, _TASK_NAME],
    introduction: Annotated[str, _INTRODUCTION],
    steps: Annotated[str, _STEPS],
    layout: Annotated[Any, _LAYOUT] = None,
    dataset: Annotated[str | None, _DATASET] = None,
    auto_sync: Annotated[bool | None, _AUTO_SYNC] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    r"""Make a batch and print its id; 'setup' then builds its tasks.

    Example:
      batch=$(prolific-async batch create --workspace "$WORKSPACE_ID" \
        --name "Round 1" --task-name "Rate the answers" \
        --introduction "Two answers to each question." --steps "Read both." \
        --layout layout.json --dataset "$dataset")
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            batch = await client.batches.create(
                workspace,
                name=name,
                task=TaskDetails(task_name, introduction, steps),
                items=layout,
                dataset=dataset,
                auto_sync=auto_sync,
            )
        return _print_batch(batch, as_json=as_json)

    run_command(work())


def update(
    batch_id: BatchId,
    *,
    name: Annotated[str | None, text("--name", "Its new name.")] = None,
    task_name: Annotated[str | None, _TASK_NAME] = None,
    introduction: Annotated[str | None, _INTRODUCTION] = None,
    steps: Annotated[str | None, _STEPS] = None,
    layout: Annotated[Any, _LAYOUT] = None,
    clear_items: Annotated[bool, typer.Option("--clear-items", help="Remove the layout.")] = False,
    dataset: Annotated[str | None, _DATASET] = None,
    auto_sync: Annotated[bool | None, _AUTO_SYNC] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Change the given parts of a batch and nothing else, and print its id.

    The three texts of a task are changed together. Whether a layout can be
    changed after 'setup' is up to the service.

    Example:
      prolific-async batch update "$batch" --layout layout.json --no-auto-sync
    """
    if clear_items and layout is not None:
        raise UsageError("--clear-items and --layout cannot be given together")
    given = {
        "name": name,
        "task": _task(task_name, introduction, steps),
        "items": layout,
        "dataset": dataset,
        "auto_sync": auto_sync,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if clear_items:
        changes["items"] = None
    if not changes:
        raise UsageError("give something to change, such as --name or --layout")

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            batch = await client.batches.update(batch_id, **changes)
        return _print_batch(batch, as_json=as_json)

    run_command(work())


def sync(
    batch_id: BatchId,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the tasks are built.")] = False,
    timeout: Annotated[float | None, seconds("Seconds to wait; by default half an hour.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Start to build tasks for rows added after 'setup', and print the sync's id.

    The batch must be READY, and its dataset have a schema (V4). More tasks
    under an active study may mean more pay.

    With --wait there are two more columns: the status and the number of new
    tasks. With --json --wait the object has, beside those of the sync, the keys
    outcome ("ready", "failed", "timed_out" or "gave_up"), job (null, or the
    sync that failed) and error (null, or type and message).

    Example:
      prolific-async batch sync "$batch" --wait
    """
    if timeout is not None and not wait:
        raise UsageError("--timeout needs --wait")

    async def work() -> ExitCode:
        display = progress_display(as_json=as_json)

        async def sync_and_wait() -> tuple[BatchSync, BatchSync | WaitError | None]:
            begun = await client.batches.sync(batch_id)
            if not wait:
                return begun, None
            try:
                return begun, await begun.wait(
                    timeout=... if timeout is None else timeout, on_event=display.add_event
                )
            except WaitError as error:
                return begun, error

        async with ProlificClient(base_url=url) as client:
            begun, outcome = await display.show_during(sync_and_wait())
        return _print_sync(begun, outcome, as_json=as_json)

    run_command(work())


def preview(batch_id: BatchId, *, as_json: AsJson = False, url: Url = None) -> None:
    """Print the address at which people see a READY batch; they need a login there.

    Example:
      prolific-async batch preview "$batch"
    """

    async def work() -> ExitCode:
        async with ProlificClient(base_url=url) as client:
            address = await client.batches.preview_url(batch_id)
        if as_json:
            print_json({"batch_id": batch_id, "preview_url": address})
        else:
            print_line(address)
        return ExitCode.OK

    run_command(work())


def _task(name: str | None, introduction: str | None, steps: str | None) -> TaskDetails | None:
    texts = {"--task-name": name, "--introduction": introduction, "--steps": steps}
    missing = [option for option, text in texts.items() if text is None]
    if len(missing) == len(texts):
        return None
    if missing:
        raise UsageError(f"the texts of a task are changed together: give {' and '.join(missing)}")
    return TaskDetails(str(name), introduction, steps)


def _print_sync(
    begun: BatchSync, outcome: BatchSync | WaitError | None, *, as_json: bool
) -> ExitCode:
    error = outcome if isinstance(outcome, WaitError) else None
    newest = outcome if isinstance(outcome, BatchSync) else begun
    if as_json:
        print_json(newest.to_dict() | outcome_document(outcome))
    if error is not None:
        print_error(error)
        return exit_code_of(error)
    if not as_json:
        cells = (
            (newest.id,) if outcome is None else (newest.id, newest.status, newest.tasks_created)
        )
        print_line(*cells)
    return ExitCode.OK


def _print_batch(batch: Batch, *, as_json: bool) -> ExitCode:
    if as_json:
        print_json(batch.to_dict())
    else:
        print_line(batch.id)
    return ExitCode.OK
