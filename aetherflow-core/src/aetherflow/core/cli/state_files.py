"""Finding the state file of a command, and migrating it."""

import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base import durable
from aetherflow.core.base.errors import SpecError, StateError, UsageError
from aetherflow.core.base.location import absolute
from aetherflow.core.base.typed import typed_here

if TYPE_CHECKING:
    from aetherflow.core.records.registry_file import Registered

LOST_SHOWN = 10


def state_file(which: Path | None, flow_id: str | None, config: Path | None, *, may_be_missing: bool = False) -> Path:
    """The absolute path of the state file that is named by its path, a flow file, or a flow id. Raises UsageError."""
    if which is not None and flow_id is not None:
        raise UsageError("the state is named twice, as an argument and by --flow", fix="name it once")
    if which is None and flow_id is None:
        raise UsageError("no state is named", fix="give a flow file, a state file, or --flow ID")
    if which is None:
        return _of_known_flow(flow_id or "", config)
    if which.suffix in (".yaml", ".yml"):
        found = _of_flow_file(which, config)
        if not durable.is_there(found) and not may_be_missing:
            raise UsageError(f"the flow {which} has no state file {found}", fix=typed_here("run", str(which)))
        return found
    if durable.in_server(which):
        from aetherflow.core.cli.lookup import state_root_here

        state_root_here(config)  # from then on it is known how servers are reached
    if not durable.is_there(which) and not may_be_missing:
        raise UsageError(f"there is no file {which}", fix="give a flow file, a state file, or --flow ID")
    return which.absolute()


def is_lost(path: Path) -> bool:
    """Whether there is no such file, or nothing here says how to reach the server."""
    try:
        return not durable.is_there(path)
    except StateError:
        return True


def in_server(path: Path, target: Path | None) -> UsageError:
    """That the server's own tools back up and restore what is in it; `target` is where a backup was to go.

    StateError if the server has to be asked and cannot be.
    """
    from aetherflow.core.kernel.state.unusable import unreadable
    from aetherflow.core.runtime.workspace.state_server import backend_at

    backend = backend_at(path)
    message = (
        f"{path} is in a database server, whose own tools back it up and restore it, with all that belongs together"
    )
    if backend is None or target is None:
        return UsageError(message, fix="restore a backup of the server, while nothing uses it")
    try:
        return UsageError(message, fix=backend.backup_command(target))
    except OSError as error:
        raise unreadable(path, error) from error


def require_option(value: Path | None, option: str) -> Path:
    """The value of a required option; UsageError if it is missing."""
    if value is None:
        raise UsageError(f"{option} is missing", fix=f"name the file: {option} FILE")
    return value


def migrate_file(path: Path) -> tuple[int, int, Path | None]:
    """Migrate a file; returns the schema before and after, and the backup.

    None for that if nothing was done, and of a server, whose own tool makes backups. StateError.
    """
    import sqlite3

    from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
    from aetherflow.core.kernel.state.store import BUSY_SECONDS
    from aetherflow.core.records.checking import check_schema
    from aetherflow.core.records.migration import migrate, prepare_schema

    if durable.server_at(path) is not None:
        return _migrate_in_server(path)
    before = check_schema(path)
    if before == SCHEMA_VERSION:
        return before, before, None
    try:
        with closing(durable.connect(path, busy_seconds=BUSY_SECONDS)) as db:
            copy = migrate(db, path)
            prepare_schema(db, path)  # refuses a newer schema
    except (sqlite3.Error, OSError) as error:
        fix = "check the file, its permissions and the disk; nothing was changed"
        raise StateError(f"state file {path} cannot be migrated: {error}", fix=fix) from error
    return before, SCHEMA_VERSION, copy


def _migrate_in_server(path: Path) -> tuple[int, int, Path | None]:
    from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
    from aetherflow.core.kernel.state.unusable import unreadable
    from aetherflow.core.records.migration import open_state
    from aetherflow.core.records.reading import read_store

    try:
        before = read_store(path, lambda db: db.schema_version())
    except OSError as error:
        raise unreadable(path, error) from error
    open_state(path).close()
    return before, SCHEMA_VERSION, None


def _of_known_flow(flow_id: str, config: Path | None) -> Path:
    from aetherflow.core.cli.lookup import flows_of, state_root_here

    paths = sorted({flow.state_path for flow in flows_of(state_root_here(config), flow_id)})
    if len(paths) > 1:
        message = f"flow {flow_id} has {len(paths)} state files:\n" + "\n".join(f"  {path}" for path in paths)
        raise UsageError(message, fix=f"name one of them: {shlex.quote(paths[0])}")
    return Path(paths[0])


def _of_flow_file(path: Path, config: Path | None) -> Path:
    from aetherflow.core.checks.prepare import prepare_flow
    from aetherflow.core.cli.lookup import state_root_here
    from aetherflow.core.records.registry import known_flows
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    try:
        return prepare_flow(path, build_snapshot(path.absolute().parent, config=config, run_hooks=True)).state_path
    except SpecError:  # a flow with errors may still have a history
        named = {str(absolute(path)), str(path.absolute())}
        found = {flow.state_path for flow in known_flows(state_root_here(config)) if flow.flow_path in named}
        if len(found) != 1:
            raise
        return Path(found.pop())


def lost_runs(lost: "list[Registered]") -> list[dict[str, object]]:
    """The runs that a state lacks, for `--json`."""
    names = ("flow_id", "run_id", "status", "ended_at")
    return [{name: getattr(run, name) for name in names} for run in lost]


def lost_lines(lost: "list[Registered]") -> Iterator[str]:
    """The same as lines of text, those that ended last."""
    from aetherflow.core.base.times import iso

    if lost:
        yield "the state lacks the ends of these runs, which are not executed again under their ids:"
    for run in sorted(lost, key=lambda run: run.ended_at or 0)[-LOST_SHOWN:]:
        yield f"  {run.flow_id}  {run.run_id}  {run.status} at {iso(run.ended_at)}"
    if len(lost) > LOST_SHOWN:
        yield f"  and {len(lost) - LOST_SHOWN} before them"
