from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowIdOption, JsonOption
from aetherflow.core.console.commands import LazyGroup
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.records.checking import StateInfo

STATE_SCHEMA = 1


class _State(LazyGroup):
    lazy: ClassVar = {
        name: f"aetherflow.core.cli.state:{name}"
        for name in ("info", "check", "backup", "restore", "migrate", "forget")
    } | {"copy": "aetherflow.core.cli.state_copy:copy", "accept": "aetherflow.core.cli.state_accept:accept"}


app = typer.Typer(
    cls=_State,
    help="States: look, check, back up, restore, accept, migrate, forget, copy.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Which = Annotated[
    Path | None,
    typer.Argument(metavar="FLOW|STATE", readable=False, help="Flow file, or state file.", show_default=False),
]


@app.callback()
def _group() -> None:
    pass


def info(
    which: Which = None, flow: FlowIdOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show what a state file holds: schema, sizes, rows, flows, oldest and newest run.

    Example: aetherflow state info flow.yaml
    """
    import dataclasses

    from aetherflow.core.cli.state_files import state_file
    from aetherflow.core.records.checking import state_info

    found = state_info(state_file(which, flow, config))
    if as_json:
        print_json({"schema": STATE_SCHEMA, "state": dataclasses.asdict(found)})
    else:
        typer.echo(_info_text(found))


def check(
    which: Which = None,
    flow: FlowIdOption = None,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Also read every stored output, artifact and log, and compare its hash.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a state file: the database, its rows, their chain, stored outputs; --read-data: artifacts and logs too.

    Exit code 1 with findings.

    Example: aetherflow state check --flow nightly --read-data
    """
    import dataclasses

    from aetherflow.core.cli.lookup import state_root_here
    from aetherflow.core.cli.state_files import state_file
    from aetherflow.core.records.checking import DAMAGED, check_state
    from aetherflow.core.runtime.proof.chains import check_chain
    from aetherflow.core.runtime.proof.roots import check_against_registry

    path = state_file(which, flow, config)
    findings = check_state(path, read_data=read_data)
    if all(finding.what != DAMAGED for finding in findings):
        findings += check_chain(path)
        findings += check_against_registry(state_root_here(config), path, read_data=read_data)
    if as_json:
        document = {"schema": STATE_SCHEMA, "ok": not findings, "state_path": str(path)}
        shown = [dataclasses.asdict(finding) for finding in findings]
        print_json({**document, "findings": shown})
    else:
        for finding in findings:
            typer.echo(f"{finding.where}: {finding.what}")
        count = f"{len(findings)} finding{'s' * (len(findings) != 1)}"
        typer.echo(f"FAIL: {path} ({count})" if findings else f"OK: {path}")
    raise typer.Exit(1 if findings else 0)


def backup(
    which: Which = None,
    flow: FlowIdOption = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", readable=False, help="New file, a tar archive.  [required]")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a state with its stored outputs into one file, consistent while runs go on.

    Logs and artifacts are not part of it. Of a state in a server it names the command of the server's own tool.

    Example: aetherflow state backup flow.yaml --to nightly.tar
    """
    import dataclasses

    from aetherflow.core.base import durable
    from aetherflow.core.cli.state_files import in_server, require_option, state_file
    from aetherflow.core.console.amounts import size_text
    from aetherflow.core.records.backup import backup_state

    target = require_option(to, "--to")
    path = state_file(which, flow, config)
    if durable.server_at(path) is not None:
        raise in_server(path, target)
    found = backup_state(path, target)
    if as_json:
        print_json({"schema": STATE_SCHEMA, "backup": dataclasses.asdict(found)})
    else:
        typer.echo(f"wrote {found.file}: {_runs(found.runs)}, {found.blobs} stored outputs, {size_text(found.size)}")


def restore(
    which: Which = None,
    flow: FlowIdOption = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", readable=False, help="The backup.  [required]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of a state; what is replaced is kept beside it. Refused while a run is live.

    The backup is checked completely before anything changes. If it is older than the run index knows, it is accepted,
    as by `state accept`: the runs whose ends it lacks are listed, and are not executed again.

    Example: aetherflow state restore flow.yaml --from nightly.tar
    """
    import dataclasses
    import sys

    from aetherflow.core.base import durable
    from aetherflow.core.base.actor import actor, hostname
    from aetherflow.core.cli.lookup import root_to_write
    from aetherflow.core.cli.state_files import in_server, lost_lines, lost_runs, require_option, state_file
    from aetherflow.core.records.backup import restore_state
    from aetherflow.core.runtime.adopting import accept, adopt, older_end

    wanted = require_option(source, "--from")
    path = state_file(which, flow, config, may_be_missing=True)
    if durable.server_at(path) is not None:
        raise in_server(path, None)
    if path.exists() and not yes and sys.stdin.isatty():
        typer.confirm(f"Replace the history in {path}?", abort=True, err=True)
    root = root_to_write(config)
    found = restore_state(path, wanted)
    who = {"actor": actor(), "host": hostname(), "reason": f"restored from {wanted.name}"}
    lost = accept(root, path, **who) if older_end(root, path) is not None else adopt(root, path)
    if as_json:
        print_json({"schema": STATE_SCHEMA, "restored": {**dataclasses.asdict(found), "lost": lost_runs(lost)}})
        return
    typer.echo(f"restored {path} from {found.file}: {_runs(found.runs)}, {found.blobs} stored outputs")
    if found.kept_aside:
        typer.echo(f"what it replaced: {found.kept_aside}")
    for line in lost_lines(lost):
        typer.echo(line)


def migrate(
    which: Which = None, flow: FlowIdOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Bring a state file of an older version to this one's schema, after a copy beside it.

    A run does the same by itself; this is for files that no run opens any more.

    Example: aetherflow state migrate flow.yaml
    """
    from aetherflow.core.cli.lookup import flows_of, root_to_write
    from aetherflow.core.cli.state_files import migrate_file, state_file
    from aetherflow.core.records.claim_history import taken_in_vain
    from aetherflow.core.runtime.adopting import adopt, older_end

    path, root = state_file(which, flow, config), root_to_write(config)
    before, after, copy = migrate_file(path)
    known = str(path) in {flow.state_path for flow in flows_of(root, None)}
    if copy is not None and known and older_end(root, path) is None:  # that is accepted by somebody, or not at all
        adopt(root, path)
    if as_json:
        document = {"schema": STATE_SCHEMA, "state_path": str(path), "from": before, "to": after}
        print_json({**document, "backup": str(copy) if copy else None})
    elif before == after:
        typer.echo(f"nothing to do: {path} has schema {after}")
    else:
        kept = f"\nbackup: {copy}" if copy is not None else ""
        typer.echo(f"migrated {path} from schema {before} to {after}{kept}")
        for line in taken_in_vain(path):
            typer.echo(line)


def forget(
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; needed where a run had not ended well.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget the runs of state files that are there no more, so that `status` speaks of them no longer.

    Of servers, those that no resource of the project file leads to.

    Only the registry changes. Of runs that had not ended well it keeps your name and the reason; `runs show` of one
    tells them. A file that comes back is known again after the next run of its flow. Where a disk is not mounted, mount
    it instead.

    Example: aetherflow state forget --reason "the test host was rebuilt"
    """
    from aetherflow.core.base.actor import actor, hostname
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.cli.lookup import flows_of, state_root_here
    from aetherflow.core.cli.next_steps import not_well
    from aetherflow.core.cli.state_files import is_lost
    from aetherflow.core.records.overview import overview
    from aetherflow.core.records.registry import forget_files, look
    from aetherflow.core.runtime.unreadable import require_readable

    root = state_root_here(config)
    require_readable(root)
    lost = [flow for flow in flows_of(root, None) if is_lost(Path(flow.state_path))]
    gone = sorted({flow.state_path for flow in lost})
    bad = not_well(lost, look(root, overview).latest)
    if bad and not dry_run and not reason.strip():
        message = f"--reason is missing: the last known run of {', '.join(bad)} had not ended well"
        raise UsageError(message, fix='say why nobody needs it any more: --reason "the host was rebuilt"')
    who = {"actor": actor(), "host": hostname(), "reason": reason}
    removed = None if dry_run else forget_files(root, gone, **who)
    if as_json:
        document = {"schema": STATE_SCHEMA, "dry_run": dry_run, "state_paths": gone, "runs": removed, "not_well": bad}
        print_json(document)
        return
    for path in gone:
        typer.echo(path)
    count = f"{len(gone)} state file{'s' * (len(gone) != 1)}"
    typer.echo(f"{count} would be forgotten" if removed is None else f"forgot {count} and {_runs(removed)}")


def _info_text(found: "StateInfo") -> str:
    from aetherflow.core.base.times import iso
    from aetherflow.core.console.amounts import size_text

    flows = ", ".join(f"{name} ({_runs(count)})" for name, count in found.flows.items())
    lines = {
        "state": found.path,
        "schema": str(found.schema),
        "size": f"{size_text(found.size)}, write-ahead log {size_text(found.wal_size)}",
        "outputs": f"{found.blobs} files, {size_text(found.blobs_size)}",
        "logs": size_text(found.logs_size),
        "rows": ", ".join(f"{name} {count:,}" for name, count in found.rows.items()),
        "flows": flows or "none",
        "runs": f"from {iso(found.oldest)} to {iso(found.newest)}" if found.oldest else "none",
        "live": ", ".join(found.live) or "none",
    }
    return "\n".join(f"{name:<8} {text}" for name, text in lines.items())


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"
