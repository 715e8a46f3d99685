"""Finding flows and runs for commands about past runs."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import StateError, UsageError

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.history import PastRun
    from aetherflow.core.kernel.state.registry_file import KnownFlow


def state_root_here(config: Path | None) -> Path:
    """The state root for flows in the working directory."""
    from aetherflow.core.runtime.workspace.state_root import find_state_root

    return find_state_root(Path.cwd(), os.environ, config)


def flows_of(root: Path, flow_id: str | None) -> list["KnownFlow"]:
    """All known flows, or those with an id (one per state file); UsageError for an unknown id."""
    from aetherflow.core.kernel.state.registry import known_flows

    known = known_flows(root)
    if flow_id is None:
        return known
    found = [flow for flow in known if flow.flow_id == flow_id]
    if not found:
        from aetherflow.core.base.suggest import did_you_mean

        ids = sorted({flow.flow_id for flow in known})
        fix = did_you_mean(flow_id, ids, what="flows") if ids else f"no flow has run under {root}"
        raise UsageError(f"no run of a flow {flow_id!r} is known under {root}", fix=fix)
    return found


def find_run(root: Path, run_id: str, flow_id: str | None, command: str) -> "PastRun":
    """The run with an id; UsageError if there is none, or if there are several. `command` is used in the fix."""
    found = runs_of(root, run_id, flow_id)
    if not found:
        of = f" of flow {flow_id}" if flow_id else ""
        raise UsageError(f"no run {run_id!r}{of} is known under {root}", fix="aetherflow runs list")
    if len(found) > 1:
        lines = [f"  {run.flow_id}  {run.status}  {run.state_path}" for run in found]
        several = len({run.flow_id for run in found}) > 1
        message = f"{len(found)} {'flows' if several else 'state files'} have a run {run_id!r}:\n" + "\n".join(lines)
        if several:
            raise UsageError(message, fix=f"{command} {shlex.quote(run_id)} --flow {found[0].flow_id}")
        raise UsageError(message, fix="give one of the two flows another id, or its runs other ids")
    return found[0]


def runs_of(root: Path, run_id: str, flow_id: str | None = None) -> list["PastRun"]:
    """All runs with an id, read from their state files."""
    from aetherflow.core.kernel.state.registry import find_runs, known_flows

    places = {(run.flow_id, run.state_path) for run in find_runs(root, run_id)}
    found = _present(places, run_id, flow_id)
    if not found:  # it may be missing in the registry, if that was lost: search every state file
        places = {(flow.flow_id, flow.state_path) for flow in known_flows(root)}
        found = _present(places, run_id, flow_id)
    return found


def _present(places: Iterable[tuple[str, str]], run_id: str, flow_id: str | None) -> list["PastRun"]:
    from aetherflow.core.kernel.state.history import list_runs

    found = []
    for flow, path in sorted(places):
        if flow_id is None or flow == flow_id:
            try:
                found += list_runs(Path(path), flow_id=flow, run_id=run_id)
            except StateError:
                if Path(path).exists():
                    raise
    return found


def resume_commands(root: Path, run: "PastRun", config: Path | None = None) -> tuple[str, ...]:
    """What resumes a run: one command line; of a step that asks two, the first if it was done, the second if not.

    For a run that a step started they are those of the outer run, unless it asks itself. `config` is the project file
    that the command at hand was given.
    """
    from aetherflow.core.kernel.state.history import open_questions

    if stands_in_no_file(run):
        return (in_folder(run.working_dir, command_again(run)),)
    asked = open_questions(run)
    if not asked and (outer := outer_run(root, run)) is not None:
        return resume_commands(root, outer, config)
    if not asked:
        return (_resume(root, run, config),)
    return tuple(_resume(root, run, config, "--decide", f"{asked[0]}={answer}") for answer in ("done", "again"))


def resume_command(root: Path, run: "PastRun", config: Path | None = None) -> str:
    """The same as one command line; where a step asks, the one that prints the question."""
    if stands_in_no_file(run):
        return in_folder(run.working_dir, command_again(run))
    outer = outer_run(root, run)
    return _resume(root, run, config) if outer is None else resume_command(root, outer, config)


def _resume(root: Path, run: "PastRun", config: Path | None, *options: str) -> str:
    return shlex.join(["aetherflow", "resume", *named(root, run.flow_id, run.run_id), *options, *_project(run, config)])


def rest_command(run: "PastRun", config: Path | None = None) -> str:
    """What runs the jobs that a run of some of its jobs has left out."""
    from aetherflow.core.kernel.state.history import bundle_of

    words = ["aetherflow", "run"]
    if (bundle := bundle_of(run)) is not None:
        words += ["--bundle-manifest", bundle["manifest"], "--flow-yaml", bundle["flow"]]
    else:
        words.append(run.flow_path)
    return shlex.join([*words, "--run-id", run.run_id, *_project(run, config)])


def attempt_logs(run: "PastRun", step: str) -> list[Path]:
    """The logs of what `JOB.STEP` of a run and its items have printed, in the order of its attempts."""
    job_id, _, step_id = step.partition(".")
    folder = run.log_path.with_name(run.run_id) / job_id
    return sorted(folder.glob(f"{step_id}[.[]*log"), key=lambda path: (path.stat().st_mtime_ns, path))


def named(root: Path, flow_id: str, run_id: str) -> list[str]:
    """The words that name a run to a command."""
    from aetherflow.core.kernel.state.registry import flow_ids_of

    return [run_id, *(["--flow", flow_id] if flow_ids_of(root, run_id) - {flow_id} else [])]


def _project(run: "PastRun", config: Path | None) -> list[str]:
    """The project file that leads to a run from here: that of the run, if another one was given to the command."""
    own = Path(run.config) if run.config is not None else None
    if config is None or own is None or not own.is_file() or (config.exists() and own.samefile(config)):
        return config_option(config)
    return config_option(own)


def config_option(config: Path | None) -> list[str]:
    return [] if config is None else ["--config", str(config)]


def in_folder(folder: str | None, command: str) -> str:
    """A command line as it is typed here to have it executed there."""
    return command if folder is None or folder == str(Path.cwd()) else f"cd {shlex.quote(folder)} && {command}"


def resolve_commands(root: Path, run: "PastRun", config: Path | None = None) -> tuple[str, str]:
    """The two command lines that settle a run."""
    words = ["aetherflow", "runs", "resolve", *named(root, run.flow_id, run.run_id), "--reason", "TEXT"]
    words += config_option(config)
    return shlex.join([*words, "--as", "done"]), shlex.join([*words, "--as", "abandoned"])


def plain(path: str | Path) -> str:
    """A path as it is shown: without `..`, unless a link makes that another file."""
    short = os.path.normpath(path)
    return short if Path(short).resolve() == Path(path).resolve() else str(path)


def stands_in_no_file(run: "PastRun") -> bool:
    """True for a run without a flow file: that of `aetherflow wrap`."""
    return run.trigger == "wrap"  # the value in states since 1.0


def command_again(run: "PastRun") -> str:
    """The command line that a run was started with, as a person would type it."""
    return words_again(run.command)


def words_again(command: str) -> str:
    """The recorded words of a command line, as a person would type them."""
    try:
        return shlex.join(["aetherflow", *shlex.split(command)[1:]])
    except ValueError:  # a masked secret took a quote along
        return command


def outer_run(root: Path, run: "PastRun") -> "PastRun | None":
    """The run that a step of which started this one, if it has not ended well itself."""
    if run.trigger != "flow" or not run.parent:
        return None
    flow_id, _, run_id = run.parent.partition("/")
    found = runs_of(root, run_id, flow_id)
    return found[0] if len(found) == 1 and found[0].status in ("FAILED", "INTERRUPTED", "UNKNOWN") else None


def lock_store_here(config: Path | None) -> Path:
    """The lock store for flows in the working directory."""
    from aetherflow.core.runtime.environment.snapshot import build_snapshot
    from aetherflow.core.runtime.workspace.places import lock_store

    snapshot = build_snapshot(Path.cwd(), config=config)
    return lock_store(snapshot.settings, snapshot.env)
