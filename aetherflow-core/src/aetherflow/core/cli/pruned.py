"""`aetherflow runs prune` by given ages, and the parts that the retention of a project uses, too."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import typer

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.typed import typed_here
from aetherflow.core.cli.history_text import runs_text
from aetherflow.core.cli.lookup import flows_of, root_to_write, state_root_here
from aetherflow.core.cli.notes import key_of, notes_of
from aetherflow.core.console.amounts import size_text
from aetherflow.core.console.since import span_ms
from aetherflow.core.console.streams import print_json
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.pruning import Freed, doomed_runs, prune
from aetherflow.core.records.registry import forget
from aetherflow.core.records.registry_file import KnownFlow
from aetherflow.core.runtime.unreadable import unreadable_in

T = TypeVar("T")
PRUNE_SCHEMA = 1
AT_ONCE = 1000
"""Runs that are shown in one table, and that the run index forgets in one transaction."""
States = dict[Path, list[str]]
"""The states that are there to the ids of their flows."""
ShownRun = tuple[str, str, str, int]
"""State, flow, run and generation: a run as you were shown it before the question."""


class Ages(NamedTuple):
    """The options that say which runs go."""

    keep_last: int
    older_than: str | None
    include_unfinished: bool


@dataclass(slots=True)
class Total:
    """Numbers of what goes; of each run its item of `--json`, only where that is asked for."""

    listed: list[dict[str, Any]] | None = None
    """The items of `runs` of `--json`; None for text."""
    runs: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    busy: list[PastRun] = field(default_factory=list)

    def add(self, freed: Freed) -> None:
        """Count what went at once."""
        self.runs += len(freed.runs)
        self.rows += freed.rows
        self.files += freed.files
        self.bytes += freed.bytes
        self.busy += freed.busy
        if self.listed is not None:
            self.listed += map(row, freed.runs)


def prune_by_age(ages: Ages, flow: str | None, config: Path | None, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Delete runs, or show which would be; returns the exit code. UsageError."""
    root = state_root_here(config) if dry_run else root_to_write(config)
    before = None if ages.older_than is None else now_ms() - span_ms(ages.older_than, "--older-than")
    asks = not dry_run and not yes and sys.stdin.isatty()
    total, claiming, errors = Total([] if as_json else None), list[str](), [*unreadable_in(root).values()]
    confirmed: set[ShownRun] | None = None
    states = states_of(flows_of(root, flow))

    def pages(path: Path, flow_id: str) -> Iterator[list[PastRun]]:
        unfinished = ages.include_unfinished
        for runs, held in doomed_runs(path, flow_id, ages.keep_last, before, include_unfinished=unfinished):
            claiming.extend(names_of(held))
            yield [run for run in runs if confirmed is None or as_shown(run) in confirmed]

    if dry_run or asks:
        found = all_pages(states, pages, errors)
        seen: set[ShownRun] = set()
        for page in found if as_json else shown(found, list, config):
            total.add(Freed(page if dry_run else []))
            seen.update(map(as_shown, page) if asks else ())
        if seen:
            typer.confirm(f"Delete {runs_of(len(seen))}?", abort=True, err=True)
        confirmed = seen if asks else None
    if not dry_run:
        claiming.clear()
        carry_out(root, states, lambda path, ids: ((each, pages(path, each)) for each in ids), total, errors)
    if as_json:
        print_json(_document(total, claiming, dry_run=dry_run))
    else:
        typer.echo(f"{runs_of(total.runs)} would be deleted" if dry_run else text_of(total))
        if claiming:
            typer.echo(f"kept {runs_of(len(claiming))} for claims that are open: {typed_here('claims', 'list')}")
    return exit_code(errors)


def states_of(flows: Iterable[KnownFlow]) -> States:
    """Return the states of flows that are there."""
    states: States = {}
    for flow in flows:
        if durable.is_there(path := Path(flow.state_path)):
            states.setdefault(path, []).append(flow.flow_id)
    return states


def all_pages(states: States, pages: Callable[[Path, str], Iterable[T]], errors: list[StateError]) -> Iterator[T]:
    """The pages of all flows; a state that cannot be read goes to `errors`, and out of `states`."""
    for path, flow_ids in list(states.items()):
        try:
            for flow_id in flow_ids:
                yield from pages(path, flow_id)
        except StateError as error:
            errors.append(error)
            del states[path]


def shown(pages: Iterable[T], runs: Callable[[T], list[PastRun]], config: Path | None) -> Iterator[T]:
    """Yield the pages, and print their runs as tables of many."""
    some: list[PastRun] = []
    for page in pages:
        some += runs(page)
        if len(some) >= AT_ONCE:
            typer.echo(runs_text(some, notes_of(some, config)))
            some = []
        yield page
    if some:
        typer.echo(runs_text(some, notes_of(some, config)))


def carry_out(
    root: Path,
    states: States,
    flows: Callable[[Path, list[str]], Iterable[tuple[str, Iterable[Sequence[PastRun]]]]],
    total: Total,
    errors: list[StateError],
) -> None:
    """Delete the runs of the flows that `flows` gives of each state; where that fails goes to `errors`."""
    for path, flow_ids in states.items():
        gone: list[tuple[str, str, Path]] = []
        try:
            for freed in prune(path, flows(path, flow_ids)):
                total.add(freed)
                gone += [(run.flow_id, run.run_id, path) for run in freed.runs]
                if len(gone) >= AT_ONCE:
                    forget(root, gone)
                    gone = []
        except StateError as error:  # other states are still pruned
            errors.append(error)
        finally:
            forget(root, gone)


def exit_code(errors: Iterable[StateError]) -> int:
    """Print the errors; 4 if there are some."""
    found = list(errors)
    for each in found:
        typer.echo(f"{each.code} {each}\n  fix: {each.fix}", err=True)
    return 4 if found else 0


def _document(total: Total, claiming: list[str], *, dry_run: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"schema": PRUNE_SCHEMA, "dry_run": dry_run, "runs": total.listed, "claiming": claiming}
    if not dry_run:
        document |= {"rows": total.rows, "files": total.files, "bytes": total.bytes, "busy": names_of(total.busy)}
    return document


def names_of(runs: Iterable[PastRun]) -> list[str]:
    """The names `FLOW/RUN` of runs, as `--json` has them."""
    return [f"{run.flow_id}/{run.run_id}" for run in runs]


def as_shown(run: PastRun) -> ShownRun:
    """Return the key of a run as it was shown."""
    return *key_of(run), run.generation


def row(run: PastRun) -> dict[str, Any]:
    """The item of `runs` for a run in `--json` of `runs prune`."""
    return {
        "flow_id": run.flow_id,
        "run_id": run.run_id,
        "status": run.status,
        "started_at": run.started_at,
        "state_path": run.state_path,
    }


def runs_of(number: int) -> str:
    """A number of runs as text."""
    return f"{number} run{'s' * (number != 1)}"


def text_of(total: Total) -> str:
    """List what was deleted, and the runs that a process has."""
    freed = f"{total.rows:,} rows, {total.files:,} files, {size_text(total.bytes)} freed"
    lines = [f"deleted {runs_of(total.runs)}: {freed}"]
    lines += [f"kept {run.run_id} of flow {run.flow_id}: a process has resumed it" for run in total.busy]
    return "\n".join(lines)
