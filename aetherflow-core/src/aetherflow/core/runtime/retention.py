"""What the retention of a project (`retention:` of its file) lets go, what it keeps, and why.

It judges only the runs of its project, whoever else uses the state root, and takes none that somebody may still need:
one that a process executes, that needs a person as `status` counts it, that has open claims, or that is a part of such
a run.
"""

import contextlib
import glob
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import RunBusyError, StateError
from aetherflow.core.base.said import ReasonCode
from aetherflow.core.kernel.state import registry
from aetherflow.core.kernel.state.chain import amend
from aetherflow.core.kernel.state.claims_end import any_open, note_gone
from aetherflow.core.kernel.state.family import Member, family_of
from aetherflow.core.kernel.state.history import PastRun, circumstances, list_runs
from aetherflow.core.kernel.state.overview import overview
from aetherflow.core.kernel.state.pruning import Freed, remove
from aetherflow.core.kernel.state.records import CLEANUP
from aetherflow.core.kernel.state.registry_file import Registered
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.trouble import trouble_of
from aetherflow.core.runtime.environment.project_file import find_project
from aetherflow.core.runtime.environment.spec.retention import RetentionSpec
from aetherflow.core.runtime.environment.spec.span import seconds_of
from aetherflow.core.runtime.workspace.workspace import Workspace, remove_job_folder


class Kept(ReasonCode):
    """Why a run stays although it is old enough to go."""

    LIVE = "live", "a process executes it"
    NEEDS_PERSON = "needs_person", "needs a person"
    CLAIMS = "claims", "has open claims"
    PART = "part", "is a part of a run that stays"
    LAST = "last", "is the last one of its flow"


@dataclass(slots=True)
class Expiry:
    """What goes and what stays; runs with the oldest first, in the order of their flows."""

    runs: list[PastRun] = field(default_factory=list)
    """Those that go as a whole."""
    logs: list[PastRun] = field(default_factory=list)
    """Those that lose their logs."""
    workspaces: list[tuple[PastRun, list[Path]]] = field(default_factory=list)
    """Those that ended badly and lose their job folders."""
    kept: list[tuple[PastRun, Kept]] = field(default_factory=list)
    errors: list[StateError] = field(default_factory=list)
    """Of state files that cannot be read; the others are judged all the same."""


class _Limits(NamedTuple):
    """Instants in epoch milliseconds: what began before them goes. 0: nothing does."""

    runs: int
    logs: int
    failed_workspaces: int

    @classmethod
    def of(cls, spec: RetentionSpec, now: int) -> "_Limits":
        spans = (spec.runs, spec.logs, spec.failed_workspaces)
        return cls(*(0 if span is None else now - seconds_of(span) * 1000 for span in spans))


def judge(root: Path, flow_id: str | None, spec: RetentionSpec, project: Path, work_root: Path, now: int) -> Expiry:
    """Judge the runs that belong to the project file, of all flows or of one; `work_root` is that of flows without one.

    Changes nothing.
    """
    limits, expiry = _Limits.of(spec, now), Expiry()
    old: list[tuple[PastRun, bool]] = []
    whys: dict[Member, Kept] = {}
    needs = set(_in_need(root))
    for flow in registry.known_flows(root):  # all of them: a run of one may be a part of a run of another
        try:
            if not durable.is_there(path := Path(flow.state_path)):
                continue
            runs = list_runs(path, flow_id=flow.flow_id)
            for number, run in enumerate(reversed(runs), 1):
                whys |= {_member(run): why for why in [_why(run, needs, max(limits))] if why is not None}
                if run.started_at < max(limits):
                    old.append((run, number == len(runs)))
        except StateError as error:
            expiry.errors.append(error)
    _keep_parts([run for run, _ in old], {*whys, *needs}, whys)
    for run, last in old:
        if flow_id not in (None, run.flow_id) or not _is_of(run, project):
            continue
        why = whys.get(_member(run))
        if why is not None:
            expiry.kept.append((run, why))
        else:
            _take(expiry, run, limits, work_root, last=last)
    return expiry


def remove_logs(root: Path, runs: Iterable[PastRun], errors: list[StateError]) -> Freed:
    """Delete the logs of runs and of their attempts, after it is noted in the registry of the state root.

    The history of the runs stays. What fails is added to `errors`.
    """
    freed = Freed()
    for run in runs:
        with _reported(run, errors), contextlib.suppress(RunBusyError), _member(run).held():
            registry.let_logs_go(root, run.flow_id, run.run_id, run.state_path)
            for path in _logs_of(run):
                remove(path, freed)
            freed.runs.append(run)
    return freed


def remove_workspaces(found: Iterable[tuple[PastRun, list[Path]]], errors: list[StateError]) -> Freed:
    """Delete job folders, after it is noted that their artifacts are gone. What fails is added to `errors`.

    Those of a run that a process has resumed since it was judged stay: it may have ended well.
    """
    freed = Freed()
    for run, folders in found:
        with _reported(run, errors):
            try:
                with _member(run).held():
                    (freed.runs if _remove_folders(run, folders, freed) else freed.busy).append(run)
            except RunBusyError:
                freed.busy.append(run)
    return freed


def _remove_folders(run: PastRun, folders: list[Path], freed: Freed) -> bool:
    key = (run.flow_id, run.run_id)
    with closing(StateStore(Path(run.state_path))) as store, durable.transaction(store.connection, "retention"):
        known = store.find_run(*key)
        if known is None or known.generation != run.generation:
            return False
        for folder in folders:
            note_gone(store.connection, key, str(folder), f"{CLEANUP}retention")
        amend(store.connection, *key)
    for folder in folders:
        sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]
        if remove_job_folder(folder, *key):
            freed.files += len(sizes)
            freed.bytes += sum(sizes)
    return True


@contextlib.contextmanager
def _reported(run: PastRun, errors: list[StateError]) -> Iterator[None]:
    try:
        yield
    except StateError as error:
        errors.append(error)
    except (sqlite3.Error, OSError) as error:
        message = f"{getattr(error, 'filename', None) or run.state_path}: {getattr(error, 'strerror', None) or error}"
        errors.append(StateError(message, fix="check the disk and the permissions, then prune again"))


def _member(run: PastRun) -> Member:
    return Member.of(Path(run.state_path), run.flow_id, run.run_id)


def _in_need(root: Path) -> Iterator[Member]:
    """The runs that need a person, and those that had open claims when they ended."""
    found = registry.look(root, overview)
    for run, healed in found.open:
        if run.open_claims or not healed or _asks(run):
            yield Member.of(Path(run.state_path), run.flow_id, run.run_id)


def _asks(run: Registered) -> bool:
    """Whether it waits for a decision, which no later run takes for it."""
    try:
        found = trouble_of(Path(run.state_path), [(run.flow_id, run.run_id)])
    except StateError:
        return True
    return any(each.asks or each.run.status in (Status.UNKNOWN, Status.RUNNING) for each in found)


def _why(run: PastRun, needs: set[Member], limit: int) -> Kept | None:
    """Why a run stays, whatever its age; of one that is younger than every limit it is not asked whether it claims."""
    if run.status == Status.RUNNING:
        return Kept.LIVE
    member = _member(run)
    whole = run.status == Status.SUCCESS and run.reason_code is None and run.trigger != "flow"
    if run.started_at < limit and not whole and any_open(family_of(member)):
        return Kept.CLAIMS
    return Kept.NEEDS_PERSON if member in needs else None


def _keep_parts(runs: list[PastRun], needed: set[Member], whys: dict[Member, Kept]) -> None:
    """A run that a step of another one started is needed when that one is resumed."""
    stays = {f"{member.flow_id}/{member.run_id}" for member in needed}
    for run in sorted(runs, key=lambda each: each.started_at):  # the outer ones first
        if run.parent in stays and _member(run) not in whys:
            whys[_member(run)] = Kept.PART
            stays.add(f"{run.flow_id}/{run.run_id}")


def _is_of(run: PastRun, project: Path) -> bool:
    found = Path(run.config) if run.config is not None else find_project(Path(run.flow_path).parent)
    return found is not None and found.resolve() == project.resolve()


def _take(expiry: Expiry, run: PastRun, limits: _Limits, work_root: Path, *, last: bool) -> None:
    folders = []
    if run.status != Status.SUCCESS and run.started_at < limits.failed_workspaces:
        folders = _folders_of(run, work_root)
    if folders:
        expiry.workspaces.append((run, folders))
    if last:  # what `status` and the next resume look at
        if run.started_at < max(limits.runs, limits.logs):
            expiry.kept.append((run, Kept.LAST))
    elif run.started_at < limits.runs:
        expiry.runs.append(run)
    elif run.started_at < limits.logs and any(path.exists() for path in _logs_of(run)):
        expiry.logs.append(run)


def _logs_of(run: PastRun) -> tuple[Path, Path]:
    return run.log_path, run.log_path.with_name(run.run_id)


def _folders_of(run: PastRun, work_root: Path) -> list[Path]:
    """The job folders that belong to a run; one of its name that somebody else has made is none."""
    root = Path(circumstances(run).get("work_root") or work_root)
    jobs = sorted(path.parent.name for path in (root / run.flow_id).glob(f"*/{glob.escape(run.run_id)}"))
    return Workspace(root, {}, run.flow_id, run.run_id).removable(jobs)
