"""What this machine does between the phases of a run: registry, first events, folders."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.kernel.sequencing.results import ArtifactSummary
from aetherflow.core.kernel.sequencing.run import KernelRun
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import CLEANUP, RunFacts, StepKey, now_ms
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.acts import RunActs
from aetherflow.core.records.claims import Claims
from aetherflow.core.records.folders import keep_folders, mark_removed
from aetherflow.core.records.heartbeat import Heartbeat
from aetherflow.core.records.outbox import STARTED, NotificationRows
from aetherflow.core.records.registry import register
from aetherflow.core.records.registry_chain import Sealed
from aetherflow.core.records.registry_file import Registered, subject_of
from aetherflow.core.records.run_claims import RunClaims
from aetherflow.core.records.run_lock import lease_of
from aetherflow.core.runtime.logs.events import Events
from aetherflow.core.runtime.logs.latest_progress import LatestProgress
from aetherflow.core.runtime.logs.log_hash import log_hash, sync_logs
from aetherflow.core.runtime.opening.opening import Opened
from aetherflow.core.runtime.workspace.store_places import state_root
from aetherflow.core.runtime.workspace.workspace import Workspace, remove_kept

if TYPE_CHECKING:
    from aetherflow.core.runtime.opening.artifact_copies import ArtifactCopies


class Phases:
    """Implements `RunPhases`: registers the run, emits its first events, cleans up its folders."""

    def __init__(
        self,
        opened: Opened,
        store: StateStore,
        facts: RunFacts,
        workspace: Workspace,
        events: Events,
        run: KernelRun,
        latest: LatestProgress,
        services: RunServices,
        lock: RunLock,
    ) -> None:
        self._opened = opened
        self._store = store
        self._facts = facts
        self._workspace = workspace
        self._events = events
        self._run = run
        self._latest = latest
        self._services = services
        self._lease = lease_of(lock)
        self._warning: str | None = None
        self._fetched = 0
        self._started_at = 0
        self._also_notified: frozenset[str] = frozenset()
        self._claims = RunClaims(opened.state, self._claimed)

    def entering(self) -> None:
        """Before the first row is written: artifacts of another host are here, whatever is recorded can be found."""
        if (copies := self._opened.copies) is not None:
            self._fetched = copies.fetch(self._workspace, self._services.check_stop)
        found = self._opened.found
        self._started_at = found.started_at if found else now_ms()
        if rules := self._opened.flow.snapshot.project.spec.notify:
            from aetherflow.core.runtime.notify.rules import SIGNALS, notified_events  # most projects have none

            self._also_notified = notified_events(rules) & SIGNALS
        parts = (RunActs(), self._claims, NotificationRows(self._also_notified))
        self._opened.state.unit.parts = parts if self._lease is None else (self._lease, *parts)
        self._warning = self._register(beginning=True)

    def ended(self, status: Status) -> None:
        """The run is recorded as ended; where the registry cannot be written, the state file is asked later on."""
        state = self._opened.state
        self._claims_ended(status)
        self._register(status, *state.ended(), claiming=Claims(state).holders(), sealed=self._sealed())

    def _sealed(self) -> Sealed:
        folder = self._store.side / "logs" / self._opened.flow.flow_id
        try:
            sync_logs(folder, self._opened.run_id)
            return Sealed(self._opened.state.head, *log_hash(folder, self._opened.run_id))
        except OSError:  # a log that is gone meanwhile is no reason not to say how the run ended
            return Sealed(self._opened.state.head)

    def _register(
        self,
        status: Status = Status.RUNNING,
        ended_at: int | None = None,
        reason_code: str | None = None,
        claiming: Sequence[str] | None = None,
        sealed: Sealed | None = None,
        *,
        beginning: bool = False,
    ) -> str | None:
        opened = self._opened
        flow, frozen, given = opened.flow, opened.frozen, opened.inputs
        run = Registered(
            flow.flow_id,
            opened.run_id,
            str(flow.state_path),
            self._facts.flow_path,
            self._started_at,
            status,
            ended_at,
            subject_of(frozen.slot, frozen.params),
            subject_of(frozen.slot, given.params) if opened.found is None else None,
            self._facts.parent,
            reason_code,
            None,
            self._facts.manifest,
        )
        state = self._store.connection if beginning else None
        return register(state_root(flow.snapshot), run, claiming, sealed, state)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write heartbeats, with the renewals of the lease if the run has one, and tell how the run begins."""
        unit, services = self._opened.state.unit, self._services
        beat = Heartbeat(unit.db, unit.flow_id, unit.run_id, unit.generation, self._latest.text)
        lost, kept = partial(services.stop.request, signal.SIGTERM), services.processes.keep_until
        with beat if self._lease is None else self._lease.beating(beat.write, lost, kept):
            self._tell_begin()
            yield

    def _tell_begin(self) -> None:
        """Emit `run_start`, changes of plugins and definitions, and warnings."""
        opened, emit = self._opened, self._events.emit
        emit("run_start", flow_id=opened.flow.flow_id, run_id=opened.run_id, yaml=str(opened.flow.document.file))
        if (note := opened.part_note) is not None:
            emit("log", level="INFO", logger="aetherflow", message=note)
        if self._fetched:
            emit("log", level="INFO", logger="aetherflow", message=f"{self._fetched} artifacts were fetched")
        for plugin, before, now in opened.plan.plugins:
            emit("plugin_changed", plugin=plugin, before=before, now=now)
        for change in opened.plan.changes:
            kept = "its result is kept" if change.finished else "the new text counts"
            step_id = change.key.step or None
            emit("definition_changed", job_id=change.key.job, step_id=step_id, note=kept, diff=change.diff)
        warnings = [self._warning] if self._warning is not None else []
        warnings += [f"{error.code} {error.message}" for error, _ in opened.flow.catalog.notices]
        if self._store.migrated:  # once in the life of a state file
            from aetherflow.core.records.claim_history import taken_in_vain

            warnings += taken_in_vain(self._store.path)
        for message in warnings:
            emit("log", level="WARNING", logger="aetherflow", message=message)
        if STARTED in self._also_notified and self._facts.outermost is None:
            from aetherflow.core.runtime.notify.start import start_for

            start_for(opened.flow.snapshot, self._started_at)

    def jobs_ended(self, *, failed: bool, whole: bool) -> None:
        """Remove the folders of the run as the flow asks, but for those with files that its open claims need.

        This comes before the run is recorded as finished: after a crash in between it is resumed and cleaned again.
        A run without some of its jobs keeps its folders for them, until another run has taken its claims over.
        """
        policy = self._opened.flow.spec.flow.workspace.cleanup_policy
        recorded = self._opened.state.steps.artifacts()
        self._note_gone({item.path: item.removed for item in recorded if item.removed})
        if policy == "never" or (policy == "on_success" and failed):
            return
        jobs = [job.job_id for job in self._run.jobs]
        needed = [Path(path) for path in Claims(self._opened.state).files()]
        folders = {job: self._workspace.job_path(job) for job in jobs}
        kept = [job for job, folder in folders.items() if any(path.is_relative_to(folder) for path in needed)]
        if kept:
            noted = [folders[job] for job in kept] if whole else self._workspace.removable(jobs)
            keep_folders(self._opened.state.unit, map(str, noted), policy)
        if not whole:
            return
        jobs = [job for job in jobs if job not in kept]
        doomed = self._workspace.removable(jobs)
        if recorded and doomed:
            mark_removed(self._opened.state.unit, map(str, doomed), f"{CLEANUP}{policy}")
        self._workspace.cleanup(jobs)
        for item in self._artifacts_in(doomed):
            item.removed = item.removed or policy
        if self._opened.copies is not None and not kept:
            self._remove_copies(self._opened.copies)

    def _remove_copies(self, copies: "ArtifactCopies") -> None:
        try:
            copies.remove()
        except ConnectorError as error:
            self._events.emit("log", level="WARNING", logger="aetherflow", message=f"{error.code} {error}")

    def _claimed(self, key: StepKey, told: Mapping[str, Any]) -> None:
        self._emit("claimed", job_id=key.job, step_id=key.step, item=key.item or None, **told)

    def _claims_ended(self, status: Status) -> None:
        end = self._claims.end
        if end.final:
            self._emit("claims_final", count=end.final, note="taken for good: no later run takes it again")
        if end.open:
            self._emit("claims_open", count=end.open, note=self._goes_on(status))
        if end.released:
            self._remove_released(end.released)

    def _goes_on(self, status: Status) -> str:
        """Which end open claims come to."""
        run_id = self._opened.run_id
        if (around := self._opened.state.outermost).run_id != run_id and status is Status.SUCCESS:
            return f"they become final when run {around.run_id} ends well"
        if status is Status.SUCCESS:
            return (
                f"they become final when the other jobs have ended well too: {typed_anywhere('runs', 'show', run_id)}"
            )
        return f"{typed_anywhere('resume', run_id)}, or the next run takes them over"

    def _emit(self, event: str, **fields: Any) -> None:
        self._events.emit(event, flow_id=self._opened.flow.flow_id, run_id=self._opened.run_id, **fields)

    def _remove_released(self, folders: Sequence[tuple[str, str, str, str]]) -> None:
        """Remove the folders that were kept for claims that are final now."""
        paths = [Path(folder) for *_, folder in folders]
        for item in self._artifacts_in(paths):
            item.removed = self._opened.flow.spec.flow.workspace.cleanup_policy
        for message in remove_kept(folders, self._opened.state.outermost):
            self._events.emit("log", level="WARNING", logger="aetherflow", message=message)

    def _note_gone(self, gone: dict[str, str]) -> None:
        """Tell in the summary which files a later step has moved or deleted."""
        for item in self._artifacts() if gone else ():
            item.removed = gone.get(item.path)

    def _artifacts_in(self, folders: list[Path]) -> list[ArtifactSummary]:
        found = self._artifacts()
        return [item for item in found if any(Path(item.path).is_relative_to(folder) for folder in folders)]

    def _artifacts(self) -> list[ArtifactSummary]:
        return [item for job in self._run.jobs for step in job.steps for item in step.artifacts]
