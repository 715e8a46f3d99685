from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument, TakeOverOption


def tick(
    file: ScheduleArgument,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ITEM", help="Look only at this item; may be given several times."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until nothing of these items waits: spaced catch-up runs, say.")
    ] = False,
    take_over: TakeOverOption = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Do one pass: start what is due, wait for it, end.

    For hosts that use cron instead of a running scheduler: call it every minute. Passes may overlap; each
    slot is started by one of them. Slots that have no room, or a time before which they must not start, wait for the
    next pass; --wait stays for them instead, as the line @reboot of an exported crontab does. Ends with 1 if a slot
    failed; does nothing while `aetherflow-scheduler run` works on the same ledger.

    Example: aetherflow-scheduler tick scheduler.yaml
    """
    one_pass(file, items=item or [], wait=wait, take_over=take_over, quiet=quiet, as_json=as_json)


def one_pass(
    file: Path,
    *,
    items: Sequence[str] = (),
    wait: bool = False,
    take_over: bool = False,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run one pass, print its result, and exit with its code."""
    from aetherflow.core.embedding import unhindered
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.loop.tick import tick as do_pass

    unhindered()
    done = do_pass(load(file), items=items, wait=wait, take_over=take_over, quiet=quiet)
    if as_json:
        report = {
            "schema": SCHEMA,
            "slots": [row.as_json() for row in done.rows],
            "waiting": len(done.waiting),
            "leader": {"pid": done.leader.pid, "host": done.leader.host} if done.leader else None,
            "exit_code": done.exit_code,
        }
        print_json(report)
    if done.exit_code:
        raise typer.Exit(done.exit_code)
