from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption

if TYPE_CHECKING:
    from aetherflow.core.base.errors import StateError
    from aetherflow.core.kernel.state.history import PastRun
    from aetherflow.core.kernel.state.pruning import Freed

PRUNE_SCHEMA = 1


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

    Example: aetherflow runs prune --older-than 30d --keep-last 10
    """
    import json
    import sys

    from aetherflow.core.base.errors import StateError, UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.history_text import runs_text
    from aetherflow.core.cli.lookup import flows_of, state_root_here
    from aetherflow.core.cli.notes import notes_of
    from aetherflow.core.console.since import span_ms
    from aetherflow.core.kernel.state.pruning import doomed_runs
    from aetherflow.core.kernel.state.records import now_ms

    if keep_last is None and older_than is None:
        raise UsageError("nothing says which runs may go", fix="give --keep-last N, --older-than 30d, or both")
    root = state_root_here(config)
    before = None if older_than is None else now_ms() - span_ms(older_than, "--older-than")
    rules: dict[str, Any] = {"keep_last": 1 if keep_last is None else keep_last, "before": before}
    flows: dict[str, list[str]] = {}
    doomed: dict[str, list[PastRun]] = {}
    claiming: list[PastRun] = []
    errors: list[StateError] = []
    for known in flows_of(root, flow):
        path = Path(known.state_path)
        if path.exists():
            try:
                found, held = doomed_runs(path, known.flow_id, include_unfinished=include_unfinished, **rules)
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
    total = _carry_out(root, flows, doomed, errors) if not dry_run else None
    if as_json:
        typer.echo(json.dumps(_document(runs, claiming, total), ensure_ascii=False, indent=2))
    elif total is None:
        typer.echo(f"{len(runs)} run{'s' * (len(runs) != 1)} would be deleted")
    else:
        typer.echo(_text(total))
    if claiming and not as_json:
        count, listed = len(claiming), typed_here("claims", "list")
        typer.echo(f"kept {count} run{'s' * (count != 1)} for claims that are open: {listed}")
    for each in errors:
        typer.echo(f"{each.code} {each}\n  fix: {each.fix}", err=True)
    raise typer.Exit(4 if errors else 0)


def _carry_out(
    root: Path, flows: dict[str, list[str]], doomed: dict[str, list["PastRun"]], errors: list["StateError"]
) -> "Freed":
    from aetherflow.core.base.errors import StateError
    from aetherflow.core.kernel.state.pruning import Freed, prune
    from aetherflow.core.kernel.state.registry import forget

    total = Freed()
    for path, flow_ids in flows.items():
        removed: list[PastRun] = []
        try:
            freed = prune(Path(path), flow_ids, doomed[path], removed.append)
        except StateError as error:
            errors.append(error)
            freed = Freed(runs=removed)
        finally:
            forget(root, [(run.flow_id, run.run_id, Path(path)) for run in removed])
        total.runs += freed.runs
        total.busy += freed.busy
        total.rows += freed.rows
        total.files += freed.files
        total.bytes += freed.bytes
    return total


def _document(runs: list["PastRun"], claiming: list["PastRun"], total: "Freed | None") -> dict[str, Any]:
    shown = runs if total is None else total.runs
    document: dict[str, Any] = {"schema": PRUNE_SCHEMA, "dry_run": total is None}
    document["runs"] = [
        {
            "flow_id": run.flow_id,
            "run_id": run.run_id,
            "status": run.status,
            "started_at": run.started_at,
            "state_path": run.state_path,
        }
        for run in shown
    ]
    document["claiming"] = [f"{run.flow_id}/{run.run_id}" for run in claiming]
    if total is not None:
        document |= {"rows": total.rows, "files": total.files, "bytes": total.bytes}
        document |= {"busy": [f"{run.flow_id}/{run.run_id}" for run in total.busy]}
    return document


def _text(total: "Freed") -> str:
    from aetherflow.core.console.amounts import size_text

    count = len(total.runs)
    freed = f"{total.rows:,} rows, {total.files:,} files, {size_text(total.bytes)} freed"
    lines = [f"deleted {count} run{'s' * (count != 1)}: {freed}"]
    lines += [f"kept {run.run_id} of flow {run.flow_id}: a process executes it" for run in total.busy]
    return "\n".join(lines)
