from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.console.streams import print_json


def copy(
    source: Annotated[Path, typer.Argument(metavar="FROM", readable=False, help="State root, state file, or server.")],
    target: Annotated[Path, typer.Argument(metavar="TO", readable=False, help="The same, where it goes.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy states with their outputs, logs, ledgers and lock tokens, from files to a server or back; the source stays.

    Of a state root also the ledgers of schedules, refused starts and notifications. A server is named
    `//postgres:RESOURCE`, by a resource of the project file. At the end every row of every run is compared. It may be
    repeated: what is there already is left. Refused while a run is live, or a scheduler.

    Example: aetherflow state copy ~/.local/state/aetherflow/state //postgres:ops_db
    """
    import dataclasses

    from aetherflow.core.base import durable
    from aetherflow.core.cli.hooks_here import HooksHere
    from aetherflow.core.cli.lookup import state_root_here
    from aetherflow.core.cli.state import STATE_SCHEMA
    from aetherflow.core.runtime.sending.copying import copy_told
    from aetherflow.core.runtime.state_copy import copy_states

    state_root_here(config)  # from then on it is known how servers are reached
    source, target = (each if durable.in_server(each) else each.expanduser().absolute() for each in (source, target))
    done = copy_states(source, target)
    beside = [*HooksHere(config).copied(source, target, done.places), *copy_told(source, target)]
    if as_json:
        shown = dataclasses.asdict(done) | {"targets": [str(path) for path in done.targets], "beside": beside}
        del shown["places"]
        print_json({"schema": STATE_SCHEMA, "copied": shown})
        return
    left = f", {done.left} were there already" if done.left else ""
    typer.echo(f"copied {done.runs} run{'s' * (done.runs != 1)} to {target}{left}")
    for line in beside:
        typer.echo(line)
    typer.echo(f"{done.rows:,} rows, {done.outputs} stored outputs; both sides have the sha256 {done.sha256[:16]}…")
