from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.history import PastRun
    from aetherflow.core.kernel.state.pruning import Freed


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
    in its ledger are not touched. Exit code 4 if a state file could not be pruned; the others are all the same.

    Without --keep-last and --older-than, what `retention` of the project file lets go: also only the logs of a run, or
    the job folders of one that ended badly. What needs a person stays, and it is told what is kept, and why.

    Example: aetherflow runs prune --older-than 30d --keep-last 10
    """
    import sys

    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import StateError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.history_text import runs_text
    from aetherflow.core.cli.lookup import flows_of, state_root_here
    from aetherflow.core.cli.notes import notes_of
    from aetherflow.core.cli.pruned import carry_out, text_of
    from aetherflow.core.cli.unreadable import unreadable_in
    from aetherflow.core.console.since import span_ms
    from aetherflow.core.kernel.state.pruning import doomed_runs
    from aetherflow.core.kernel.state.records import now_ms

    if keep_last is None and older_than is None:
        from aetherflow.core.cli.retaining import prune_by_policy

        given = "--include-unfinished" if include_unfinished else None
        raise typer.Exit(prune_by_policy(flow, config, given, dry_run=dry_run, yes=yes, as_json=as_json))
    root = state_root_here(config)
    before = None if older_than is None else now_ms() - span_ms(older_than, "--older-than")
    flows: dict[str, list[str]] = {}
    doomed: dict[str, list[PastRun]] = {}
    claiming: list[PastRun] = []
    errors: list[StateError] = [*unreadable_in(root).values()]
    for known in flows_of(root, flow):
        try:
            if not durable.is_there(path := Path(known.state_path)):
                continue
            found, held = doomed_runs(
                path,
                known.flow_id,
                keep_last=1 if keep_last is None else keep_last,
                before=before,
                include_unfinished=include_unfinished,
            )
        except StateError as error:  # other state files are still pruned
            errors.append(error)
        else:
            flows.setdefault(known.state_path, []).append(known.flow_id)
            doomed.setdefault(known.state_path, []).extend(found)
            claiming += held
    runs = [run for found in doomed.values() for run in found]
    if not as_json and runs and (dry_run or (not yes and sys.stdin.isatty())):
        typer.echo(runs_text(runs, notes_of(runs, config)))
    if not dry_run and not yes and runs and sys.stdin.isatty():
        typer.confirm(f"Delete {len(runs)} run{'s' * (len(runs) != 1)}?", abort=True, err=True)
    total = carry_out(root, flows, doomed, errors) if not dry_run else None
    if as_json:
        print_json(_document(runs, claiming, total))
    elif total is None:
        typer.echo(f"{len(runs)} run{'s' * (len(runs) != 1)} would be deleted")
    else:
        typer.echo(text_of(total))
    if claiming and not as_json:
        count, listed = len(claiming), typed_here("claims", "list")
        typer.echo(f"kept {count} run{'s' * (count != 1)} for claims that are open: {listed}")
    for each in errors:
        typer.echo(f"{each.code} {each}\n  fix: {each.fix}", err=True)
    raise typer.Exit(4 if errors else 0)


def _document(runs: list["PastRun"], claiming: list["PastRun"], total: "Freed | None") -> dict[str, Any]:
    from aetherflow.core.cli.pruned import PRUNE_SCHEMA, row

    shown = runs if total is None else total.runs
    document: dict[str, Any] = {"schema": PRUNE_SCHEMA, "dry_run": total is None}
    document["runs"] = list(map(row, shown))
    document["claiming"] = [f"{run.flow_id}/{run.run_id}" for run in claiming]
    if total is not None:
        document |= {"rows": total.rows, "files": total.files, "bytes": total.bytes}
        document |= {"busy": [f"{run.flow_id}/{run.run_id}" for run in total.busy]}
    return document
