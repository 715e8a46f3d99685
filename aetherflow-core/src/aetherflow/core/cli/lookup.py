"""Finding flows and runs for commands about past runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import UsageError

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun
    from aetherflow.core.records.registry_file import KnownFlow, Registered


def state_root_here(config: Path | None) -> Path:
    """The state root for flows in the working directory."""
    from aetherflow.core.runtime.workspace.state_root import find_state_root

    return find_state_root(Path.cwd(), os.environ, config)


def root_to_write(config: Path | None) -> Path:
    """The state root for flows in the working directory, whose engine files are in their folder. StateError."""
    from aetherflow.core.runtime.workspace.engine_files import make_engine_folder
    from aetherflow.core.runtime.workspace.state_root import host_root

    root = state_root_here(config)
    if os.path.isdir(host_root(root)):  # noqa: PTH112 for one that is missing or may not be entered the command says so
        make_engine_folder(host_root(root))
    return root


def places_here(config: Path | None) -> tuple[Path, Path]:
    """Return the state root and the lock store for flows in the working directory."""
    from aetherflow.core.runtime.workspace.state_root import find_places

    return find_places(Path.cwd(), os.environ, config)


def flows_of(root: Path, flow_id: str | None) -> list["KnownFlow"]:
    """All known flows, or those with an id (one per state file); UsageError for an unknown id, StateError if unread."""
    from aetherflow.core.records.registry import known_flows

    known = known_flows(root)
    if flow_id is None:
        return known
    found = [flow for flow in known if flow.flow_id == flow_id]
    if not found:
        from aetherflow.core.base.suggest import did_you_mean
        from aetherflow.core.runtime.unreadable import require_readable

        require_readable(root)
        ids = sorted({flow.flow_id for flow in known})
        fix = did_you_mean(flow_id, ids, what="flows") if ids else f"no flow has run under {root}"
        raise UsageError(f"no run of a flow {flow_id!r} is known under {root}", fix=fix)
    return found


def find_run(root: Path, run_id: str, flow_id: str | None, state: str | None, command: str, *options: str) -> "PastRun":
    """The run with an id; UsageError if there is none, or several; StateError if a file that may have it is unread.

    `state` is the path of its state, if that was given; `command` and its `options` are used in the fix.
    """
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.runtime.resuming import runs_of
    from aetherflow.core.runtime.unreadable import require_readable

    found = runs_of(root, run_id, flow_id, None if state is None else Path(state))
    if not found:
        require_readable(root)
        of = (f" of flow {flow_id}" if flow_id else "") + (f" in {state}" if state else "")
        gone = _forgotten(root, run_id, flow_id) or _lost(root, run_id, flow_id)
        raise UsageError(f"no run {run_id!r}{of} is known under {root}{gone}", fix=typed_here("runs", "list"))
    if len(found) > 1:
        lines = [f"  {run.flow_id}  {run.status}  {run.state_path}" for run in found]
        first, flows = found[0], {run.flow_id for run in found}
        message = f"{len(found)} {'flows' if len(flows) > 1 else 'states'} have a run {run_id!r}:\n" + "\n".join(lines)
        more = ["--flow", first.flow_id] if len(flows) > 1 or flow_id else []
        more += ["--state-path", first.state_path] if [run.flow_id for run in found].count(first.flow_id) > 1 else []
        raise UsageError(message, fix=typed_here(*command.split(), run_id, *more, *options))
    return found[0]


def _forgotten(root: Path, run_id: str, flow_id: str | None) -> str:
    """Who has forgotten a run that did not end well, and why; empty if nobody has."""
    import sqlite3

    from aetherflow.core.base.times import iso
    from aetherflow.core.records.registry_file import read_registry

    query = (
        "SELECT flow_id, coalesce(status, 'of an unknown end'), actor, host, at, reason FROM forgotten "
        "WHERE run_id=? AND flow_id=coalesce(?, flow_id) ORDER BY at DESC LIMIT 1"
    )
    try:
        found = read_registry(root, lambda db: db.execute(query, (run_id, flow_id)).fetchone())
    except (sqlite3.Error, OSError):  # no registry, or one of 1.0
        return ""
    if found is None:
        return ""
    flow, status, actor, host, at, reason = found
    return (
        f"; one of flow {flow}, {status}, was forgotten with its state file by {actor} on {host} at {iso(at)}: {reason}"
    )


def _lost(root: Path, run_id: str, flow_id: str | None) -> str:
    """That the run index knows the end of a run, and its state doesn't; empty if it knows none."""
    from aetherflow.core.base.times import iso

    return "".join(
        f"; the run index knows that one of flow {run.flow_id} ended {run.status} at {iso(run.ended_at)}, "
        f"and the state {run.state_path} doesn't have it"
        for run in _lost_runs(root, run_id, flow_id)[:1]
    )


def _lost_runs(root: Path, run_id: str, flow_id: str | None) -> "list[Registered]":
    """The runs with an id whose ends only the run index knows."""
    import sqlite3

    from aetherflow.core.base.errors import StateError
    from aetherflow.core.records.history import list_runs
    from aetherflow.core.records.registry_file import Registered, read_registry

    query = (
        f"SELECT {', '.join(Registered._fields)} FROM runs WHERE run_id=? AND flow_id=coalesce(?, flow_id) "  # noqa: S608 ours
        "AND ended_at IS NOT NULL AND status<>'RUNNING' ORDER BY ended_at DESC"
    )
    try:
        found = read_registry(root, lambda db: [Registered(*row) for row in db.execute(query, (run_id, flow_id))])
        return [run for run in found if not list_runs(Path(run.state_path), flow_id=run.flow_id, run_id=run_id)]
    except (sqlite3.Error, OSError, StateError):  # no registry, or one of 1.0; a state that is not there
        return []


def close_lost(root: Path, run_id: str, flow_id: str | None, state: str | None, **who: str) -> "Registered | None":
    """Close a run that only the run index knows; returns it as it was, None if there is none, or several."""
    from aetherflow.core.runtime.adopting import close

    found = [run for run in _lost_runs(root, run_id, flow_id) if state in (None, run.state_path)]
    if len(found) != 1:
        return None
    close(root, found[0], **who)
    return found[0]


def attempt_logs(run: "PastRun", step: str) -> list[Path]:
    """The logs of what `JOB.STEP` of a run and its items have printed, in the order of its attempts."""
    job_id, _, step_id = step.partition(".")
    folder = run.log_path.with_name(run.run_id) / job_id
    return sorted(folder.glob(f"{step_id}[.[]*log"), key=lambda path: (path.stat().st_mtime_ns, path))


def elsewhere(config: Path | None, command: str) -> str:
    """What to say below "nothing is here": that the state root may be another one; empty where somebody chose it."""
    from aetherflow.core.runtime.environment.project_file import PROJECT_FILE, find_project

    here = Path.cwd()
    if config is not None or "AETHERFLOW_STATE_ROOT" in os.environ or find_project(here) is not None:
        return ""
    return (
        f"\nno {PROJECT_FILE} stands in {here} or above it, and one may set another state root\n"
        f"  fix: go to the folder of the project, or name its file: aetherflow {command} --config FILE"
    )


def resolve_commands(root: Path, run: "PastRun", config: Path | None = None) -> tuple[str, str]:
    """The two command lines that settle a run."""
    from aetherflow.core.base.typed import command_line
    from aetherflow.core.runtime.resuming import named

    words = ["runs", "resolve", *named(root, run.flow_id, run.run_id, run.state_path), "--reason", "TEXT"]
    done, abandoned = (command_line(*words, "--as", answer, config=config) for answer in ("done", "abandoned"))
    return done, abandoned


def plain(path: str | Path) -> str:
    """A path as it is shown: without `..`, unless a link makes that another file."""
    short = os.path.normpath(path)
    return short if Path(short).resolve() == Path(path).resolve() else str(path)


def lock_store_here(config: Path | None) -> Path:
    """The lock store for flows in the working directory."""
    return places_here(config)[1]
