from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption
from aetherflow.core.cli.state import Which
from aetherflow.core.console.streams import print_json


def accept(
    which: Which = None,
    flow: FlowIdOption = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; recorded with your name.  [required]")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a state that is older than the run index knows.

    `run` and `resume` refuse such a state (AF4005): a file was put back by an older copy, or a server was restored. Put
    the newer state back if you can. Else accept the older one: from then on runs begin in it. The runs whose ends it
    lacks are listed. They are not executed again under their ids, and those that did not succeed stay in `status` until
    you close them with `runs resolve`.

    Example: aetherflow state accept flow.yaml --reason "disk lost, restored from Monday's backup"
    """
    import sqlite3

    from aetherflow.core.base.actor import actor, hostname
    from aetherflow.core.base.errors import RunBusyError, StateError, UsageError
    from aetherflow.core.cli.lookup import root_to_write
    from aetherflow.core.cli.state import STATE_SCHEMA
    from aetherflow.core.cli.state_files import lost_lines, lost_runs, state_file
    from aetherflow.core.records.living import held_runs
    from aetherflow.core.runtime import adopting

    if not reason.strip():
        raise UsageError("--reason is missing", fix='say why: --reason "restored from a backup"')
    path = state_file(which, flow, config)
    root = root_to_write(config)
    lacks = adopting.older_end(root, path)
    if lacks is not None and (live := held_runs(path)):
        raise RunBusyError(f"run {live[0]} is live in {path}", fix="wait for it, or stop it; then repeat the command")
    try:
        who = {"actor": actor(), "host": hostname(), "reason": reason}
        lost = [] if lacks is None else adopting.accept(root, path, **who)
    except (sqlite3.Error, OSError) as error:
        raise StateError(
            f"{path} cannot be accepted: {error}", fix="check the disk and the server, then repeat"
        ) from error
    if as_json:
        document = {"schema": STATE_SCHEMA, "state_path": str(path), "accepted": lacks is not None}
        print_json({**document, "lost": lost_runs(lost)})
        return
    typer.echo(f"nothing to do: {path} isn't older than the run index knows" if lacks is None else f"accepted {path}")
    for line in lost_lines(lost):
        typer.echo(line)
