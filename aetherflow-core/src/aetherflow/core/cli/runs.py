from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aetherflow.core.cli.arguments import (
    ConfigOption,
    FlowIdOption,
    HtmlOption,
    JsonOption,
    RunIdArgument,
    StatePathOption,
)
from aetherflow.core.console.commands import LazyGroup
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.cli.hooks_here import HooksHere
    from aetherflow.core.records.history import PastRun

RUNS_SCHEMA = 1


class RunStatus(StrEnum):
    running = "running"
    success = "success"
    failed = "failed"
    interrupted = "interrupted"
    unknown = "unknown"


class _Runs(LazyGroup):
    lazy: ClassVar = {
        "list": "aetherflow.core.cli.runs:list_runs",
        "show": "aetherflow.core.cli.runs:show",
        "ack": "aetherflow.core.cli.ack:ack",
        "diff": "aetherflow.core.cli.run_diff:diff",
        "export": "aetherflow.core.cli.run_export:export",
        "logs": "aetherflow.core.cli.run_logs:logs",
        "resolve": "aetherflow.core.cli.resolve:resolve",
        "prune": "aetherflow.core.cli.prune:prune",
    }


app = typer.Typer(
    cls=_Runs,
    help="The history of runs: list, show, compare, acknowledge, settle, read logs, export, prune.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def list_runs(
    flow: FlowIdOption = None,
    status: Annotated[list[RunStatus] | None, typer.Option("--status", help="Only runs of this status.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only runs started since: 24h, 7d, 2026-11-24.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs of all flows, the last started first.

    A run whose process is gone is shown as INTERRUPTED. Exit code 4 if a state file could not be read; the others are
    still listed.

    Example: aetherflow runs list --flow nightly --status failed --since 7d
    """
    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import StateError
    from aetherflow.core.cli.history_text import run_json, runs_text
    from aetherflow.core.cli.lookup import elsewhere, flows_of, state_root_here
    from aetherflow.core.cli.notes import key_of, notes_of
    from aetherflow.core.console.since import instant_ms
    from aetherflow.core.kernel.state.records import now_ms
    from aetherflow.core.records import history
    from aetherflow.core.runtime.unreadable import as_rows

    root = state_root_here(config)
    wanted: dict[str, Any] = {"since": instant_ms(since, now_ms()), "limit": limit, "flow_id": flow}
    wanted["statuses"] = frozenset(each.value.upper() for each in status or [])
    found: list[PastRun] = []
    unreadable = as_rows(root)
    files = {durable.real_file(Path(known.state_path)): known.state_path for known in flows_of(root, flow)}
    for path in files.values():
        try:
            found += history.list_runs(Path(path), **wanted)
        except StateError as error:
            unreadable.append({"state_path": path, "error": str(error), "fix": error.fix})
    found = sorted(found, key=lambda run: (-run.started_at, run.flow_id, run.run_id))[:limit]
    notes = notes_of(found, config)
    if as_json:
        shown = [run_json(run, notes[key_of(run)]) for run in found]
        document = {"schema": RUNS_SCHEMA, "runs": shown, "unreadable": unreadable}
        print_json(document)
    else:
        typer.echo(runs_text(found, notes) if found else f"no such run under {root}{elsewhere(config, 'runs list')}")
        for each in unreadable:
            typer.echo(f"AF4001 {each['error']}\n  fix: {each['fix']}", err=True)
    raise typer.Exit(4 if unreadable else 0)


def show(
    run_id: RunIdArgument,
    flow: FlowIdOption = None,
    state_path: StatePathOption = None,
    journal: Annotated[bool, typer.Option("--journal", help="Also every transition, in order.")] = False,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="Instead: what each step read and made, with rows and hashes.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Show all that is recorded about a run: jobs, steps, attempts, times, reasons, artifacts, who started it.

    With --html also outputs, the ends of the logs, and where each value comes from, as a page to pass on.

    Example: aetherflow runs show nightly-2026-11-24 --journal

    Example: aetherflow runs show nightly-2026-11-24 --receipts
    """
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.history_text import details_json, details_text
    from aetherflow.core.cli.hooks_here import HooksHere
    from aetherflow.core.cli.lookup import find_run, state_root_here
    from aetherflow.core.cli.notes import key_of, notes_of
    from aetherflow.core.cli.summary import following
    from aetherflow.core.records.claim_history import list_claims
    from aetherflow.core.records.history import run_details
    from aetherflow.core.runtime.resuming import Resumes, named, stands_in_no_file

    if html is not None:
        from aetherflow.core.console.pages import require_pages

        require_pages("run", html, json=as_json)
    root = state_root_here(config)
    journal = journal or html is not None
    found = run_details(find_run(root, run_id, flow, state_path, "runs show"), journal=journal)
    if found is None:
        raise UsageError(f"run {run_id!r} was removed a moment ago", fix=typed_here("runs", "list"))
    if receipts:
        from aetherflow.core.cli.receipts import receipts_json, receipts_of, receipts_text

        listed = receipts_of(found)
        if as_json:
            print_json(receipts_json(found.run, listed))
        else:
            typer.echo(receipts_text(found.run, listed))
        return
    goes_on = found.run.status in ("FAILED", "INTERRUPTED", "UNKNOWN")
    claims = list_claims(Path(found.run.state_path), flow_id=found.run.flow_id, run_id=found.run.run_id)
    note = notes_of([found.run], config)[key_of(found.run)]
    resumes, hooks = Resumes(root, config), HooksHere(config)
    told = hooks.notes(root, found.run.run_id)
    again = _by_its_scheduler(hooks, root, found.run) if goes_on and stands_in_no_file(found.run) else None
    commands = () if not goes_on else (again,) if again else resumes.commands(found.run)
    if as_json or html is not None:
        command = (again or resumes.command(found.run)) if goes_on else None
        document = {"schema": RUNS_SCHEMA, **details_json(found, note, claims, journal), "notes": told, "next": command}
        if html is not None:
            from aetherflow.core.cli.run_page import page_document
            from aetherflow.core.console.pages import write_page

            page = page_document(
                document, found, commands, resumes, named(root, found.run.flow_id, run_id, found.run.state_path)
            )
            typer.echo(write_page(html, "run", page, config))
            return
        print_json(document)
    else:
        lines = following(commands)
        if found.run.partial:
            lines.append(f"for the other jobs: {resumes.rest(found.run)}")
        typer.echo("\n".join([details_text(found, note, claims, journal), *told, *lines]))


def _by_its_scheduler(hooks: "HooksHere", root: Path, run: "PastRun") -> str | None:
    """What starts a command of a scheduler again: with its lock, and recorded for its slot."""
    found = (need.commands for need in hooks.needs(root, None) if need.run_id == run.run_id)
    return next((commands[0] for commands in found if commands), None)
