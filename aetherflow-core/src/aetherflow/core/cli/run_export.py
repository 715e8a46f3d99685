from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption, RunIdArgument, StatePathOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun

EXPORT_SCHEMA = 1


def export(
    run_id: RunIdArgument,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", readable=False, help="New file, JSON, gzip.  [required]")
    ] = None,
    flow: FlowIdOption = None,
    state_path: StatePathOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what is recorded of a run into one file, for a ticket: without secrets, outputs and data.

    It holds the record of the run, its log, what its programs printed last, and what is different since the last
    SUCCESS of the flow. Of variables it holds names and keyed hashes, of files names, sizes and hashes.

    Example: aetherflow runs export nightly-2026-11-24 --to ticket.json.gz
    """
    import gzip
    import json

    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.cli.lookup import find_run, state_root_here
    from aetherflow.core.cli.state_files import require_option
    from aetherflow.core.console.amounts import size_text
    from aetherflow.core.runtime.comparing.capsule import capsule_of

    target = require_option(to, "--to")
    if target.exists():
        raise UsageError(f"{target} exists, and no file is overwritten", fix="name a new file")
    run = find_run(state_root_here(config), run_id, flow, state_path, "runs export", "--to", str(target))
    capsule: dict[str, Any] = {"schema": EXPORT_SCHEMA, **capsule_of(run, _before(run))}
    data = gzip.compress(json.dumps(capsule, ensure_ascii=False, indent=1).encode(), mtime=0)
    try:
        with durable.AtomicFile(target.absolute()) as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error}", fix="name another file") from error
    size = target.stat().st_size
    if as_json:
        print_json({"schema": EXPORT_SCHEMA, "file": str(target), "size": size})
    else:
        typer.echo(f"wrote {target}: {size_text(size)}")


def _before(run: "PastRun") -> "PastRun | None":
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.cli.run_diff import last_good

    try:
        return last_good(run)
    except UsageError:
        return None
