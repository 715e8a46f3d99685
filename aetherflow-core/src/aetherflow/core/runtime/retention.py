"""What the retention of a project (`retention:` of its file) lets go, what it keeps, and why.

It judges only the runs of its project, also in a shared state root, and takes none that somebody may still need:
one that a process executes, that needs a person as `status` counts it, that has open claims, or that is a part of such
a run.
"""

import glob
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import RunBusyError, StateError
from aetherflow.core.base.said import ReasonCode
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import CLEANUP
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records import registry
from aetherflow.core.records.amending import amend
from aetherflow.core.records.folders import note_gone
from aetherflow.core.records.history import PastRun, circumstances, latest_run, list_runs
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.overview import overview
from aetherflow.core.records.pruning import Freed, claiming_among, held_here, oldest_runs
from aetherflow.core.records.reading import read
from aetherflow.core.records.registry_file import Registered
from aetherflow.core.records.run_lock import held
from aetherflow.core.records.trouble import trouble_of
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
    """One page of the runs of a flow, the oldest first: those that go, and those that stay."""

    runs: list[PastRun] = field(default_factory=list)
    """Those that go as a whole."""
    logs: list[PastRun] = field(default_factory=list)
    """Those that lose their logs."""
    workspaces: list[tuple[PastRun, list[Path]]] = field(default_factory=list)
    """Those that ended badly and lose their job folders."""
    kept: list[tuple[PastRun, Kept]] = field(default_factory=list)

    @property
    def all(self) -> list[PastRun]:
        """The runs of which something goes."""
        return [*self.runs, *self.logs, *(run for run, _ in self.workspaces)]

    def only(self, confirmed: Callable[[PastRun], bool]) -> "Expiry":
        """Return what goes of the confirmed runs."""
        folders = [each for each in self.workspaces if confirmed(each[0])]
        return Expiry([*filter(confirmed, self.runs)], [*filter(confirmed, self.logs)], folders, self.kept)


class _Limits(NamedTuple):
    """Instants in epoch milliseconds: what began before them goes. 0: nothing does."""

    runs: int
    logs: int
    failed_workspaces: int

    @classmethod
    def of(cls, spec: RetentionSpec, now: int) -> "_Limits":
        spans = (spec.runs, spec.logs, spec.failed_workspaces)
        return cls(*(0 if span is None else now - seconds_of(span) * 1000 for span in spans))


class Judge:
    """Judges the runs that belong to a project file, page by page; changes nothing.

    What is held of all runs is which of them somebody may still need.
    """

    def __init__(self, root: Path, spec: RetentionSpec, project: Path, work_root: Path, now: int) -> None:
        """`work_root` is that of flows without one."""
        self._limits, self._work_root, self._project = _Limits.of(spec, now), work_root, project.resolve()
        self._is_ours = cache(self._is_of)
        self._whys = dict[Member, Kept]()
        self.errors: list[StateError] = []
        """Errors of states that cannot be read; the others are still judged."""
        self.unread = set[Path]()
        """The states that cannot be read."""
        states = dict[Path, list[str]]()
        for flow in registry.known_flows(root):  # all of them: a run of one may be a part of a run of another
            if durable.is_there(path := Path(flow.state_path)):
                states.setdefault(path, []).append(flow.flow_id)
        self._needs = set(_in_need(root))
        for path, flow_ids in states.items():
            try:
                self._look(path, flow_ids)
            except StateError as error:
                self.errors.append(error)
                self.unread.add(path)
        self._keep_parts(states.keys() - self.unread)

    def _look(self, path: Path, flow_ids: Iterable[str]) -> None:
        """Find out which runs of a state are executed, or have claims that are open."""
        for run in list_runs(path, statuses=frozenset({Status.RUNNING})):
            self._whys[_member(run)] = Kept.LIVE
        for flow_id in flow_ids:
            for page in oldest_runs(path, flow_id, before=max(self._limits)):
                held = claiming_among(path, page)
                self._whys |= {_member(run): Kept.CLAIMS for run in page if run.run_id in held}

    def _keep_parts(self, paths: Iterable[Path]) -> None:
        """A run that a step of another one started is needed when that one is resumed."""
        level = {f"{each.flow_id}/{each.run_id}" for each in (*self._whys, *self._needs)}
        while level:
            found = set[Member]()
            for path in paths:
                found |= _parts(path, level, max(self._limits))
            new = found.difference(self._whys)
            self._whys |= dict.fromkeys(new, Kept.PART)
            level = {f"{each.flow_id}/{each.run_id}" for each in new.difference(self._needs)}

    def pages(self, path: Path, flow_id: str) -> Iterator[Expiry]:
        """The runs of a flow that are old. StateError."""
        last = latest_run(path, flow_id)
        for page in oldest_runs(path, flow_id, before=max(self._limits)):
            expiry = Expiry()
            for run in page:
                if self._is_ours(run.config, run.flow_path):
                    self._take(expiry, run, last=last is not None and run.run_id == last.run_id)
            yield expiry

    def _is_of(self, config: str | None, flow_path: str) -> bool:
        found = Path(config) if config is not None else find_project(Path(flow_path).parent)
        return found is not None and found.resolve() == self._project

    def _take(self, expiry: Expiry, run: PastRun, *, last: bool) -> None:
        limits, member = self._limits, _member(run)
        why = Kept.LIVE if run.status == Status.RUNNING else self._whys.get(member)
        if member in self._needs and why in (None, Kept.PART):
            why = Kept.NEEDS_PERSON
        if why is not None:
            expiry.kept.append((run, why))
            return
        folders = []
        if run.status != Status.SUCCESS and run.started_at < limits.failed_workspaces:
            folders = _folders_of(run, self._work_root)
        if folders:
            expiry.workspaces.append((run, folders))
        if last:  # what `status` and the next resume look at
            if run.started_at < max(limits.runs, limits.logs):
                expiry.kept.append((run, Kept.LAST))
        elif run.started_at < limits.runs:
            expiry.runs.append(run)
        elif run.started_at < limits.logs and any(path.exists() for path in _logs_of(run)):
            expiry.logs.append(run)


def _parts(path: Path, parents: Iterable[str], before: int) -> set[Member]:
    """The runs of a state that steps of these runs (`FLOW/RUN`) have started."""
    query, state = "SELECT flow_id, run_id FROM runs WHERE started_at<? AND parent", Member.of(path, "", "").state

    def select(db: durable.Database) -> set[Member]:
        found = (db.execute(f"{query} {these}", values).fetchall() for these, values in among(parents, before))
        return {Member(state, *key) for rows in found for key in rows}

    return read(path, select)


def remove_logs(root: Path, runs: Sequence[PastRun], errors: list[StateError]) -> Freed:
    """Delete the logs of runs of one flow and of their attempts, after it is noted in the registry of the state root.

    The history of the runs stays. What fails is added to `errors`.
    """
    freed = Freed()
    if not runs:
        return freed
    path, flow_id = Path(runs[0].state_path), runs[0].flow_id
    with _reported(path, errors), held_here(path, flow_id, [run.run_id for run in runs]) as locks:
        registry.let_logs_go(root, flow_id, list(locks), str(path))
        freed.runs = [run for run in runs if run.run_id in locks]
        names = [log.name for run in freed.runs for log in _logs_of(run)]
        freed.clear(runs[0].log_path.parent, names)
    return freed


def remove_workspaces(found: Iterable[tuple[PastRun, list[Path]]], errors: list[StateError]) -> Freed:
    """Delete job folders, after it is noted that their artifacts are gone. What fails is added to `errors`.

    Those of a run that a process has resumed since it was judged stay: it may have ended well.
    """
    freed = Freed()
    for run, folders in found:
        with _reported(Path(run.state_path), errors):
            try:
                with held(_member(run)):
                    (freed.runs if _remove_folders(run, folders, freed) else freed.busy).append(run)
            except RunBusyError:
                freed.busy.append(run)
    return freed


def _remove_folders(run: PastRun, folders: list[Path], freed: Freed) -> bool:
    key = (run.flow_id, run.run_id)
    with closing(open_state(Path(run.state_path))) as store, durable.transaction(store.connection, "retention"):
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


@contextmanager
def _reported(path: Path, errors: list[StateError]) -> Iterator[None]:
    try:
        yield
    except StateError as error:
        errors.append(error)
    except (sqlite3.Error, OSError) as error:
        message = f"{getattr(error, 'filename', None) or path}: {getattr(error, 'strerror', None) or error}"
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


def _logs_of(run: PastRun) -> tuple[Path, Path]:
    return run.log_path, run.log_path.with_name(run.run_id)


def _folders_of(run: PastRun, work_root: Path) -> list[Path]:
    """The job folders that belong to a run; one of its name that somebody else has made is none."""
    root = Path(circumstances(run).get("work_root") or work_root)
    jobs = sorted(path.parent.name for path in (root / run.flow_id).glob(f"*/{glob.escape(run.run_id)}"))
    return Workspace(root, {}, run.flow_id, run.run_id).removable(jobs)
