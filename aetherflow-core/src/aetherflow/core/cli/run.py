"""`aetherflow run`."""

from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption


def run(
    flow: Annotated[
        Path | None, typer.Argument(metavar="FLOW", readable=False, help="Flow file.", show_default=False)
    ] = None,
    flow_yaml: Annotated[
        Path | None, typer.Option("--flow-yaml", readable=False, help="Flow file, instead of the argument.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of the run; an unfinished one is resumed.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Parameter of the flow.")] = None,
    slot: Annotated[str | None, typer.Option(metavar="INSTANT", help="Instant that the run stands for.")] = None,
    data_date: Annotated[str | None, typer.Option(metavar="DATE", help="Date of the data.")] = None,
    config: ConfigOption = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing on success.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Run a flow, job after job, step after step.

    Steps that an earlier process of the same --run-id finished are not repeated; their outputs are read from the
    state. Progress goes to stderr, the result to stdout.

    Example: aetherflow run flow.yaml --run-id 2026-11-24
    """
    from aetherflow.core.cli.arguments import flow_paths
    from aetherflow.core.cli.execution import execute
    from aetherflow.core.resolve.params import parse_assignments

    (path,) = flow_paths([flow] if flow else None, flow_yaml)
    given = {"run_id": run_id, "params": parse_assignments(param or []), "slot": slot, "data_date": data_date}
    execute(path, config=config, quiet=quiet, as_json=as_json, given=given)
