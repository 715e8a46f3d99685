"""`aetherflow runs prune` without ages: what the retention of the project file lets go."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.typed import typed_here
from aetherflow.core.cli.lookup import flows_of
from aetherflow.core.cli.pruned import (
    PRUNE_SCHEMA,
    ShownRun,
    Total,
    all_pages,
    as_shown,
    carry_out,
    exit_code,
    names_of,
    row,
    runs_of,
    shown,
    states_of,
    text_of,
)
from aetherflow.core.console.amounts import size_text
from aetherflow.core.console.streams import print_json
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.pruning import Freed
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.runtime.retention import Expiry, Judge, Kept, remove_logs, remove_workspaces
from aetherflow.core.runtime.unreadable import unreadable_in
from aetherflow.core.runtime.workspace.engine_files import make_engine_folder_of
from aetherflow.core.runtime.workspace.places import work_root
from aetherflow.core.runtime.workspace.store_places import state_root

if TYPE_CHECKING:
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
    root = state_root(snapshot)
    if not dry_run:
        make_engine_folder_of(snapshot)
    judge = Judge(root, spec, Path(document.file), work_root(None, snapshot.settings, snapshot.env), now_ms())
    judge.errors.extend(unreadable_in(root).values())
    states = {path: ids for path, ids in states_of(flows_of(root, flow)).items() if path not in judge.unread}
    asks = not dry_run and not yes and sys.stdin.isatty()
    work = _Work(root, judge, as_json=as_json)
    if dry_run or asks:
        found = all_pages(states, judge.pages, judge.errors)
        seen: set[ShownRun] = set()
        for page in found if as_json else shown(found, lambda each: each.runs, config):
            work.count(page)
            seen.update(map(as_shown, page.all) if asks else ())
        if seen:
            typer.confirm(f"{work.going}. Delete them?", abort=True, err=True)
        if asks:
            work = _Work(root, judge, as_json=as_json, confirmed=seen)
    if not dry_run:
        carry_out(root, states, work.flows, work.runs, judge.errors)
    if as_json:
        print_json(work.document(spec, dry_run=dry_run))
    else:
        lines = [f"would be deleted: {work.going}"] if dry_run else work.deleted
        typer.echo("\n".join([*lines, *work.stays]))
    return exit_code(judge.errors)


class _Work:
    """The numbers of what the retention deletes and keeps, or would; for `--json` also rows."""

    def __init__(self, root: Path, judge: Judge, *, as_json: bool, confirmed: set[ShownRun] | None = None) -> None:
        """`confirmed`: the runs that may be deleted after a question; None without one."""
        self._root, self._judge, self._confirmed = root, judge, confirmed
        self.runs, self._logs, self._workspaces = (Total([] if as_json else None) for _ in range(3))
        self._kept: list[dict[str, Any]] | None = [] if as_json else None
        self._numbers = Counter[Kept]()

    def count(self, page: Expiry) -> None:
        """Count a page of which nothing is deleted."""
        self.runs.add(Freed(page.runs))
        self._logs.add(Freed(page.logs))
        self._workspaces.add(Freed([run for run, _ in page.workspaces]))
        self._keep(page)

    def flows(self, path: Path, flow_ids: Iterable[str]) -> Iterator[tuple[str, Iterable[list[PastRun]]]]:
        """The flows of a state that have runs to delete, each with these page by page."""
        for flow_id in flow_ids:
            pages = filter(None, map(self._rest_of, self._judge.pages(path, flow_id)))
            if (first := next(pages, None)) is not None:
                yield flow_id, chain([first], pages)

    def _rest_of(self, page: Expiry) -> list[PastRun]:
        """Delete of a page what isn't a run as a whole; returns the runs that go next."""
        if (confirmed := self._confirmed) is not None:
            page = page.only(lambda run: as_shown(run) in confirmed)
        self._keep(page)
        folders = remove_workspaces(page.workspaces, self._judge.errors)
        self._workspaces.add(folders)
        self._logs.add(remove_logs(self._root, page.logs, self._judge.errors))
        # a run goes after its folders: nobody would find them any more
        stay = {run for run, _ in page.workspaces}.difference(folders.runs, folders.busy)
        return [run for run in page.runs if run not in stay]

    def _keep(self, page: Expiry) -> None:
        self._numbers.update(why for _, why in page.kept)
        if self._kept is not None:
            self._kept += ({**row(run), "reason_code": why.value, "reason": why.words} for run, why in page.kept)

    @property
    def going(self) -> str:
        """The counted runs, logs and folders as text."""
        logs, folders = runs_of(self._logs.runs), runs_of(self._workspaces.runs)
        return f"{runs_of(self.runs.runs)}, the logs of {logs}, the job folders of {folders} that ended badly"

    @property
    def deleted(self) -> list[str]:
        """Lines about what was deleted."""
        lines, logs, folders = [text_of(self.runs)], self._logs, self._workspaces
        if logs.runs:
            lines.append(f"deleted the logs of {runs_of(logs.runs)}: {logs.files:,} files, {size_text(logs.bytes)}")
        if folders.runs:
            size = f"{folders.files:,} files, {size_text(folders.bytes)}"
            lines.append(f"deleted the job folders of {runs_of(folders.runs)} that ended badly: {size}")
        return lines

    @property
    def stays(self) -> list[str]:
        """Lines about what stays, with the reasons."""
        commands = {Kept.NEEDS_PERSON: typed_here("status"), Kept.CLAIMS: typed_here("claims", "list")}
        return [
            f"kept {runs_of(self._numbers[why])}: {why.words}" + (f": {commands[why]}" if why in commands else "")
            for why in Kept
            if self._numbers[why]
        ]

    def document(self, spec: "RetentionSpec", *, dry_run: bool) -> dict[str, Any]:
        """The document of `--json` of `runs prune`."""
        every, kept = (self.runs, self._logs, self._workspaces), self._kept or []
        document: dict[str, Any] = {"schema": PRUNE_SCHEMA, "dry_run": dry_run}
        document |= {"retention": spec.model_dump(exclude_none=True)}
        document |= zip(("runs", "logs", "workspaces"), (each.listed for each in every), strict=True)
        document |= {"kept": kept}
        claiming = [each for each in kept if each["reason_code"] == Kept.CLAIMS.value]
        document["claiming"] = [f"{each['flow_id']}/{each['run_id']}" for each in claiming]
        if not dry_run:
            document |= {name: sum(getattr(each, name) for each in every) for name in ("rows", "files", "bytes")}
            document["busy"] = names_of(self.runs.busy)
        return document
