from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption


def prune(
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", metavar="N", min=0, help="Keep the last N runs of each flow.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="SPAN", help="Only runs that were started before: 30d, 12w.")
    ] = None,
    flow: FlowIdOption = None,
    include_unfinished: Annotated[
        bool, typer.Option("--include-unfinished", help="Also INTERRUPTED and UNKNOWN runs, which can be resumed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete old runs: their history, their logs, their stored outputs.

    Only runs that ended with SUCCESS or FAILED, never a running one, nor one that has open claims, itself or in a run
    inside it (`claims list`). The last run of each flow stays unless --keep-last 0. Artifacts and what a flow remembers
    in its ledger are not touched. Exit code 4 if a state file could not be pruned; the others still are.

    Without --keep-last and --older-than, what `retention` of the project file lets go: also only the logs of a run, or
    the job folders of one that ended badly. What needs attention stays. The command lists what it keeps, and why.

    Example: aetherflow runs prune --older-than 30d --keep-last 10
    """
    from aetherflow.core.cli.pruned import Ages, prune_by_age
    from aetherflow.core.cli.retaining import prune_by_policy

    if keep_last is None and older_than is None:
        given = "--include-unfinished" if include_unfinished else None
        raise typer.Exit(prune_by_policy(flow, config, given, dry_run=dry_run, yes=yes, as_json=as_json))
    ages = Ages(1 if keep_last is None else keep_last, older_than, include_unfinished)
    raise typer.Exit(prune_by_age(ages, flow, config, dry_run=dry_run, yes=yes, as_json=as_json))
