from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, OrderOption, QuietOption, SummaryJsonOption
from aetherflow.core.console.commands import Command

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.results import RunSummary
    from aetherflow.core.runtime.environment.snapshot import Snapshot
    from aetherflow.core.runtime.logs.events import Observer


def wrap(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND…", help="The command and its arguments.", show_default=False),
    ] = None,
    flow_id: Annotated[
        str | None, typer.Option("--id", metavar="NAME", help="Name of the command in the history. Required.")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="ID", help="Id of the run; a successful run is not repeated.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=0, help="Time limit; the command and its children are ended."),
    ] = None,
    lock: Annotated[
        str | None, typer.Option("--lock", metavar="KEY", help="Lock to hold meanwhile, as with_lock does.")
    ] = None,
    wait: Annotated[
        float | None, typer.Option("--wait", metavar="SECONDS", min=0, help="Time to wait for the lock.")
    ] = None,
    if_busy: Annotated[
        str | None, typer.Option("--if-busy", metavar="fail|skip|wait", help="If the lock is still not free.")
    ] = None,
    no_lock: Annotated[
        bool, typer.Option("--no-lock", help="No lock of its own; --if-busy is then of the --run-id alone.")
    ] = False,
    slot: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Slot of the run, an instant; the command gets it as AETHERFLOW_SLOT."),
    ] = None,
    trigger: Annotated[
        str, typer.Option(metavar="WORD", help="Origin of the run, for the history.", show_default=False)
    ] = "wrap",
    order: OrderOption = None,
    config: ConfigOption = None,
    quiet: QuietOption = False,
    as_json: SummaryJsonOption = False,
) -> None:
    """Run a command line with history, lock and time limit.

    The command runs in the current folder, without a shell and without standard input. Its output goes to stderr and
    to its log; with -q only to the log. At the time limit, and when aetherflow is stopped or killed, the command and
    all its children are ended. `status` and `runs` show it under its name. With --if-busy or --wait, and without
    --lock, it uses a lock of its own, so that it does not run twice at the same time.

    Exit code 0 if the command ended with 0, else 1; the command's own exit code is in the report.

    Example, in a crontab: aetherflow wrap --id backup --timeout 3600 --if-busy skip -q -- pg_dump -f /backup/db.sql db
    """
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.builtins.commands.wrapped import wrapped_document
    from aetherflow.core.checks.prepare import prepare_document
    from aetherflow.core.cli.arguments import busy_policy
    from aetherflow.core.cli.execution import execute, noted
    from aetherflow.core.cli.flow_source import FlowSource
    from aetherflow.core.cli.noted_start import NotedStart
    from aetherflow.core.runner import run_prepared

    if flow_id is None:
        raise UsageError("no --id is given", fix="name it, as in: aetherflow wrap --id backup -- COMMAND …")
    if no_lock and (lock is not None or wait is not None):
        raise UsageError("--no-lock excludes --lock and --wait", fix="leave one of them out")
    words = command or []
    policy = busy_policy(if_busy) if if_busy is not None else "fail"
    locked = not no_lock and (lock is not None or wait is not None or if_busy is not None)
    if policy == "wait" and wait is not None:
        policy = "fail"  # it does not wait for ever
    name = flow_id

    def start(snapshot: "Snapshot", observers: "list[Observer]") -> "RunSummary":
        document = wrapped_document(
            name,
            words,
            Path.cwd(),
            timeout_seconds=timeout or None,
            locked=locked,
            wait_seconds=wait or 0,
            slotted=slot is not None,
        )
        flow = prepare_document(document, snapshot)
        return run_prepared(
            flow,
            trigger=trigger,
            run_id=run_id,
            slot=slot,
            lock_key=lock,
            if_busy=policy,
            order=order,
            observers=observers,
        )

    source = FlowSource(Path.cwd() / f"wrap {flow_id}")
    noting = NotedStart(
        source.flow, flow_id=flow_id, given={"run_id": run_id, "slot": slot}, trigger=trigger, config=config
    )
    with noted(noting):
        execute(source, config=config, quiet=quiet, as_json=as_json, noting=noting, start=start)


app = typer.Typer(add_completion=False, rich_markup_mode=None, help=(wrap.__doc__ or "").partition("\n")[0])
app.command("wrap", cls=Command, context_settings={"allow_interspersed_args": False})(wrap)
