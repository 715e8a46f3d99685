"""`aetherflow runs prune` without ages: what the retention of the project file lets go."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.base import durable
from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.typed import typed_here
from aetherflow.core.cli.history_text import runs_text
from aetherflow.core.cli.lookup import flows_of
from aetherflow.core.cli.notes import notes_of
from aetherflow.core.cli.pruned import PRUNE_SCHEMA, carry_out, row, text_of
from aetherflow.core.cli.unreadable import unreadable_in
from aetherflow.core.console.amounts import size_text
from aetherflow.core.console.streams import print_json
from aetherflow.core.kernel.state.pruning import Freed
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.runtime.retention import Expiry, Kept, judge, remove_logs, remove_workspaces
from aetherflow.core.runtime.workspace.places import work_root
from aetherflow.core.runtime.workspace.store_places import state_root

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.registry_file import KnownFlow
    from aetherflow.core.runtime.environment.spec.retention import RetentionSpec


def prune_by_policy(
    flow: str | None, config: Path | None, senseless: str | None, *, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Carry out the retention, or show what it would do; returns the exit code.

    UsageError where there is none, and for an option that is `senseless` without an age.
    """
    if senseless is not None:
        fix = "leave it out, or give an age: --older-than 30d"
        raise UsageError(f"{senseless} means nothing to the retention of a project", fix=fix)
    snapshot = build_snapshot(Path.cwd(), ambient=os.environ, config=config)
    document, spec = snapshot.project.document, snapshot.project.spec.retention
    if document is None or spec is None or not (spec.runs or spec.logs or spec.failed_workspaces):
        fix = "give --keep-last N, --older-than 30d, or both; or write `retention: {runs: 90d}` into the project file"
        raise UsageError("nothing says which runs may go", fix=fix)
    root, now = state_root(snapshot), now_ms()
    flows = flows_of(root, flow)
    found = judge(root, flow, spec, Path(document.file), work_root(None, snapshot.settings, snapshot.env), now)
    found.errors.extend(unreadable_in(root).values())
    count = len(found.runs) + len(found.logs) + len(found.workspaces)
    asks = count and not yes and sys.stdin.isatty()
    if not as_json and found.runs and (dry_run or asks):
        typer.echo(runs_text(found.runs, notes_of(found.runs, config)))
    if not dry_run and asks:
        typer.confirm(f"{_going(found)}. Delete them?", abort=True, err=True)
    freed = None if dry_run else _carry_out(root, flows, found)
    if as_json:
        print_json(_document(found, spec, freed))
    else:
        lines = [f"would be deleted: {_going(found)}"] if freed is None else _deleted(*freed)
        typer.echo("\n".join([*lines, *_kept(found)]))
    for each in found.errors:
        typer.echo(f"{each.code} {each}\n  fix: {each.fix}", err=True)
    return 4 if found.errors else 0


def _carry_out(root: Path, flows: "list[KnownFlow]", found: Expiry) -> tuple[Freed, Freed, Freed]:
    folders, logs = remove_workspaces(found.workspaces, found.errors), remove_logs(root, found.logs, found.errors)
    # a run goes after its folders: nobody would find them any more
    stay = {run for run, _ in found.workspaces}.difference(folders.runs, folders.busy)
    ids: dict[str, list[str]] = {}
    for each in flows:
        if durable.is_there(Path(each.state_path)):
            ids.setdefault(each.state_path, []).append(each.flow_id)
    doomed = {path: [run for run in found.runs if run.state_path == path and run not in stay] for path in ids}
    doomed = {path: runs for path, runs in doomed.items() if runs}
    return carry_out(root, {path: ids[path] for path in doomed}, doomed, found.errors), logs, folders


def _runs(number: int) -> str:
    return f"{number} run{'s' * (number != 1)}"


def _going(found: Expiry) -> str:
    logs, folders = len(found.logs), len(found.workspaces)
    return f"{_runs(len(found.runs))}, the logs of {_runs(logs)}, the job folders of {_runs(folders)} that ended badly"


def _deleted(runs: Freed, logs: Freed, folders: Freed) -> list[str]:
    lines = [text_of(runs)]
    if logs.runs:
        lines.append(f"deleted the logs of {_runs(len(logs.runs))}: {logs.files:,} files, {size_text(logs.bytes)}")
    if folders.runs:
        size = f"{folders.files:,} files, {size_text(folders.bytes)}"
        lines.append(f"deleted the job folders of {_runs(len(folders.runs))} that ended badly: {size}")
    return lines


def _kept(found: Expiry) -> list[str]:
    commands = {Kept.NEEDS_PERSON: typed_here("status"), Kept.CLAIMS: typed_here("claims", "list")}
    numbers = Counter(why for _, why in found.kept)
    return [
        f"kept {_runs(numbers[why])}: {why.words}" + (f": {commands[why]}" if why in commands else "")
        for why in Kept
        if numbers[why]
    ]


def _document(found: Expiry, spec: "RetentionSpec", freed: tuple[Freed, Freed, Freed] | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema": PRUNE_SCHEMA,
        "dry_run": freed is None,
        "retention": spec.model_dump(exclude_none=True),
    }
    if freed is None:
        runs, logs, folders = found.runs, found.logs, [run for run, _ in found.workspaces]
    else:
        runs, logs, folders = (each.runs for each in freed)
    document |= {"runs": list(map(row, runs)), "logs": list(map(row, logs)), "workspaces": list(map(row, folders))}
    document["kept"] = [{**row(run), "reason_code": why.value, "reason": why.words} for run, why in found.kept]
    document["claiming"] = [f"{run.flow_id}/{run.run_id}" for run, why in found.kept if why is Kept.CLAIMS]
    if freed is not None:
        total = {name: sum(getattr(each, name) for each in freed) for name in ("rows", "files", "bytes")}
        document |= {**total, "busy": [f"{run.flow_id}/{run.run_id}" for run in freed[0].busy]}
    return document
