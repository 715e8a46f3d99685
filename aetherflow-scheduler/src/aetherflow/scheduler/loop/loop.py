"""The main loop of `aetherflow-scheduler run`: leader election, planning, starting, watching and draining."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import StateError
from aetherflow.core.embedding import durable
from aetherflow.scheduler.launchers import Launcher, load_launcher
from aetherflow.scheduler.ledger.attempt_logs import prune_logs
from aetherflow.scheduler.ledger.document_owner import check_owner
from aetherflow.scheduler.ledger.known import note_schedule
from aetherflow.scheduler.ledger.leader import Leadership
from aetherflow.scheduler.ledger.places import open_ledger
from aetherflow.scheduler.ledger.store import SCHEDULER, DeposedError, Fault, fault_of
from aetherflow.scheduler.loop.planning import Planner
from aetherflow.scheduler.loop.reloading import Reloading
from aetherflow.scheduler.loop.stopping import StopRequest
from aetherflow.scheduler.loop.supervisor import Supervisor
from aetherflow.scheduler.reasons import SlotReason, said
from aetherflow.scheduler.runs.adoption import adopt, resume_interrupted
from aetherflow.scheduler.runs.dispatcher import Dispatcher
from aetherflow.scheduler.runs.events import Events, events_for
from aetherflow.scheduler.runs.forewarning import Forewarning
from aetherflow.scheduler.runs.launcher_watch import LauncherWatch
from aetherflow.scheduler.runs.notifying import Notifier
from aetherflow.scheduler.runs.watching import kill_after_seconds
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

NAP_SECONDS = 1.0
"""Longest wait of the loop; a set clock, a machine that slept and a changed file are noticed within this time."""
ADOPT_SECONDS = 5.0
"""Interval of the checks for slots whose process has died."""
PRUNE_SECONDS = 86400.0
FOREWARN_SECONDS = 60.0
HEARTBEATS_SECONDS = 2.0
DRAIN_SECONDS = 30.0
DEPOSED = "another scheduler has taken the lead; this one stands by"


class Scheduler:
    """One scheduler process on one ledger."""

    def __init__(
        self,
        schedule: "Schedule",
        *,
        clock: Clock | None = None,
        events: Events | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        take_over: bool = False,
        load: "Callable[[Path], Schedule] | None" = None,
        launchers: Callable[[str], Launcher] = load_launcher,
    ) -> None:
        self.clock = clock or Clock()
        self.stop = StopRequest(self.clock)
        self._events = events or events_for(schedule.path.parent)
        self._schedule = schedule
        self._drain_seconds = drain_seconds
        self._take_over = take_over
        self._ledger = open_ledger(schedule, self.clock)
        self._notifier = Notifier(self._ledger)
        self._forewarning = Forewarning(self._ledger)
        self._supervisor = Supervisor()
        self._leadership: Leadership | None = None
        self._planner: Planner | None = None
        self._launchers = launchers
        self._dispatcher = self._new_dispatcher()
        self._launcher_watch = LauncherWatch(self._ledger, launchers, self._events)
        self._reloading = Reloading(schedule, load or _load, self.clock, self._events)
        self._left: list[Dispatcher] = []
        """Dispatchers from before this process was deposed: their runs are reaped, and nothing is written for them."""
        self._standby_told = False
        self._fault: Fault | None = None
        self._next: dict[str, float] = {}

    def run(self) -> int:
        """Run until a signal asks to stop; returns the exit code."""
        try:
            with self.stop.handling_signals(reloads=True):
                self._enter()
                while not self.stop.asked:
                    self._guarded(self._pass)
                    self._live()
                    self.clock.wait(self._nap())
                self._drain()
        finally:
            self._close()
        return 0

    def _enter(self) -> None:
        self._check_document()  # here it ends the process
        self._ledger.enter(SCHEDULER)
        if (warning := note_schedule(self._schedule)) is not None:
            self._events.warning("not_noted", warning)
        self._notifier.begin(self._schedule)
        self._leadership = Leadership(self._ledger, self._schedule.spec.lease_seconds)
        enabled = sum(item.spec.enabled for item in self._schedule.items)
        message = f"scheduler of {self._schedule.path} with {enabled} items; ledger {self._schedule.state}"
        self._events.info("scheduler_start", message, pid=os.getpid(), items=enabled)

    def _close(self) -> None:
        try:
            self._ledger.leave()
        except StateError as error:
            self._events.error("ledger_error", str(error))
        finally:
            if self._leadership is not None:
                self._leadership.close()
            self._ledger.close()
        self._events.info("scheduler_end", "scheduler ended")

    def _guarded(self, work: Callable[[], None]) -> None:
        """Call `work`. A ledger that cannot be written is reported once, and the next pass tries again."""
        try:
            work()
        except DeposedError:
            self._step_down()
        except durable.ReplacedFileError:
            raise  # no later pass finds the file again
        except StateError as error:
            if self._fault != (fault := fault_of(error)):
                self._fault = fault
                self._events.error("ledger_error", f"{error}; trying again", fix=error.fix)
        else:
            if self._fault is not None:
                self._events.info("ledger_back", "the ledger can be written again")
            self._fault = None

    def _live(self) -> None:
        """Report to the watcher of this process that it continues, and how."""
        self._supervisor.alive(self.clock.monotonic())
        role = "stands by" if self._planner is None else f"leads, {len(self._dispatcher.live)} runs"
        self._supervisor.status(role if self._fault is None else f"{role}; the ledger cannot be written")

    # One pass

    def _pass(self) -> None:
        for left in self._left:
            left.reap_only()
        self._left = [left for left in self._left if left.live]
        leads = self._lead()
        if self._planner is not None and self._planner.plan():
            self._dispatcher.changed()
        self._reload()  # what was due before is entered as it was expected
        if not leads:
            return
        if self._is_time("adopt", ADOPT_SECONDS):
            self._dispatcher.reread(quick=True)  # first: what has ended needs no new start
            self._dispatcher.wake()
            adopt(self._ledger, self._events, leading=True)
            resume_interrupted(self._ledger, self._events, drained_only=True)
            self._dispatcher.changed()
        self._dispatcher.step()
        if self._is_time("late", NAP_SECONDS):
            self._dispatcher.check_late()
            self._forewarn()
            self._notifier.look(self._schedule)
        if self._is_time("heartbeats", HEARTBEATS_SECONDS):
            self._launcher_watch.look(self._schedule)
        if self._is_time("prune", PRUNE_SECONDS):
            prune_logs(self._ledger.side)

    def _forewarn(self) -> None:
        if self._is_time("forewarn", FOREWARN_SECONDS):
            self._forewarning.look(self._schedule, self._events)

    def _nap(self) -> float:
        if self._planner is None:
            return min(NAP_SECONDS, self._schedule.spec.lease_seconds / 3)
        due = self._planner.next_due()
        left = NAP_SECONDS if due is None else (due - self.clock.now_ms()) / 1000
        return min(NAP_SECONDS, max(left, 0.0 if self._fault is None else 0.5))

    def _is_time(self, what: str, seconds: float) -> bool:
        now = self.clock.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + seconds
        return True

    # Leading

    def _lead(self) -> bool:
        assert self._leadership is not None  # noqa: S101 made when it entered
        if self._planner is not None:
            if not self._leadership.lost() or self._leadership.retake():
                return True
            raise DeposedError(DEPOSED)
        if not self._leadership.leads():
            if not self._leadership.take():
                if not self._standby_told:
                    self._standby_told = True
                    self._events.info("standby", "another scheduler leads; this one stands by")
                return False
            self._standby_told = False
            self._events.info("leading", "this scheduler leads", token=self._ledger.token)
        self._dispatcher.reread()
        adopt(self._ledger, self._events, leading=True)
        resume_interrupted(self._ledger, self._events, drained_only=False)
        self._planner = self._synced()
        self._dispatcher.changed()
        return True

    def _check_document(self) -> None:
        if not self._take_over:
            check_owner(self._ledger, self._schedule.path, self._schedule.enabled)

    def _synced(self) -> Planner:
        self._check_document()
        planner = Planner(
            self._ledger,
            self._schedule.items,
            self._events,
            trigger="scheduler",
            file=self._schedule.path,
        )
        planner.sync()
        return planner

    def _step_down(self) -> None:
        """Become a standby: another scheduler leads and has taken over the runs."""
        assert self._leadership is not None  # noqa: S101 made when it entered
        self._events.warning("deposed", DEPOSED)
        self._leadership.give_up()
        self._planner = None
        self._standby_told = True
        self._left.append(self._dispatcher)
        self._dispatcher = self._new_dispatcher()

    def _new_dispatcher(self) -> Dispatcher:
        return Dispatcher(self._ledger, self._schedule, self._events, launchers=self._launchers)

    # The file

    def _reload(self) -> None:
        if self.stop.reload:
            self.stop.reload = False
            self._reloading.ask()
        found = self._reloading.look()
        if found is None:
            return
        if found.state != self._schedule.state:
            message = f"{found.path}: `state` was changed, which takes a restart; the schedule stays as it was"
            self._events.error("reload_refused", message)
            return
        self._schedule = found
        self._dispatcher.use(found)
        if self._planner is not None:
            self._planner = None  # should the next line fail: it is made again in the next pass
            self._planner = self._synced()
        enabled = sum(item.spec.enabled for item in found.items)
        self._events.info("reloaded", f"{found.path} was read again: {enabled} items", items=enabled)

    # The end

    def _drain(self) -> None:
        """Start nothing more, let runs end for the drain time, then stop the rest so that they can be resumed."""
        self._supervisor.stopping()
        live = self._dispatcher.live
        message = f"stopping: {len(live)} runs have {self._drain_seconds:g} s to end"
        self._events.info("draining", message if live else "stopping", runs=len(live), signal=self.stop.signal)
        until = self.clock.monotonic() + self._drain_seconds
        # what cannot be written down by then is found out by the next scheduler
        last = until + 3 * kill_after_seconds()
        while self._dispatcher.live and self.clock.monotonic() < last:
            self._supervisor.alive(self.clock.monotonic())
            if self.clock.monotonic() >= until or self.stop.times > 1:
                for each in self._dispatcher.live:
                    self._dispatcher.stop(each, said(SlotReason.DRAINED), drained=True)
            self._guarded(lambda: self._dispatcher.step(start=False))
            if self._dispatcher.live:
                self.clock.wait(0.2)
        self._guarded(lambda: self._notifier.look(self._schedule))


def run_scheduler(path: str | Path) -> int:
    """Run the scheduler of a document until a signal stops it; returns the exit code.

    Raises SpecError for a file that is not valid, StateError for a ledger that cannot be used.
    """
    return Scheduler(_load(Path(path))).run()


def _load(path: Path) -> "Schedule":
    from aetherflow.scheduler.document.reading import load_schedule

    return load_schedule(path)
