"""The truth about slots: that of their runs, as the state files have it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.ledger.targets import Target, target_of
from aetherflow.scheduler.reasons import GOES_ON, Reason, SlotReason, code_of, one_line, said
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:  # a pass in which nothing has failed asks no state
    from aetherflow.core.embedding import Act, Healed, PastRun, Place, Resumes, RunRecords, Trouble, WantedRun
    from aetherflow.scheduler.schedule.schedule import Schedule


PARTIAL = "partial"
"""What the core says of a run that ended well without some of its jobs."""
_BAD = frozenset({Status.FAILED, Status.UNKNOWN, Status.INTERRUPTED})
_UNKNOWN = Target(None, None, None, part=False)


@dataclass(frozen=True, slots=True)
class Fate:
    """What a slot has become by its run, and not by its launcher."""

    status: Status
    reason: Reason | None
    finished_at: int | None
    place: tuple[str, str] | None
    """Flow id and state file of its run; None where another run has healed it."""


class Truth:
    """Asks the states of runs; those that cannot be reached say nothing. Writes nothing.

    To be kept while a process lives: a state that has not changed is not read again.
    """

    def __init__(self, targets: Callable[[], Mapping[str, Target]], root: Path) -> None:
        """`targets` gives what the items run, and is called once at most; `root` is the state root."""
        self._read_targets, self._root = targets, root
        self._seen: object = None

    @cached_property
    def _targets(self) -> Mapping[str, Target]:
        return self._read_targets()

    @cached_property
    def _records(self) -> "RunRecords":
        from aetherflow.core.embedding import RunRecords

        return RunRecords(self._root)

    @cached_property
    def _resumes(self) -> "Resumes":
        from aetherflow.core.embedding import Resumes

        return Resumes(self._root)

    def runs(self, rows: Iterable[SlotRow], *, changed: bool = False) -> "dict[tuple[str, int], Trouble]":
        """The runs of slots, by item and slot; `changed`: without those that the registry has as the ledger has them.

        The registry is behind where a run could not write it, so that is not for commands of people.
        """
        asked = {row.run_id: row for row in rows}
        found = self._records.find(self._wanted(asked.values(), changed=changed))
        return {(asked[run_id].item, asked[run_id].slot): run for run_id, run in found.items()}

    def places(self, rows: Iterable[SlotRow]) -> "dict[str, Place]":
        """Run id of slots to where the run is recorded, as the registry has it."""
        return self._records.places(self._wanted(rows, changed=False))

    def require_readable(self, rows: Iterable[SlotRow]) -> None:
        """Raise the StateError of the first of the state root, and the states of these slots, that cannot be read."""
        from aetherflow.core.embedding import require_readable

        require_readable(self._root, sorted({Path(row.state_path) for row in rows if row.state_path}))

    def acts(self, rows: Iterable[SlotRow]) -> "dict[str, tuple[Act, ...]]":
        """Run id to what persons did about runs that did not end well, and about starts that were refused."""
        found = {each.run.run_id: tuple(each.acts) for each in self.runs(rows).values()}
        return self._records.refused() | found

    def run(self, row: SlotRow) -> "Trouble | None":
        """The run of a slot; None where it cannot be asked."""
        return self.runs([row]).get((row.item, row.slot))

    def settled(self, rows: Iterable[SlotRow]) -> frozenset[tuple[str, int]]:
        """Item and slot of those of which a person has settled another run than their own since."""
        return frozenset((row.item, row.slot) for row, healed in self._healed(rows) if not healed.good)

    def commands(self, found: "Trouble") -> tuple[str, ...]:
        """What goes on with a run that did not end well, as the core says it: two for a step that has to be decided."""
        return self._resumes.commands(found.run, [step for step, _ in found.asks])

    def changes(self, rows: Sequence[SlotRow], *, quick: bool = False) -> list[tuple[SlotRow, Fate]]:
        """Those of some slots that are something else than the ledger says; what waits, or was left out, stays so.

        A slot is well if its own run is, or another whole run of the same flow with the same slot and parameters.
        """
        rows = [row for row in rows if row.status not in (Status.SUCCESS, Status.WAITING) and not _is_left_out(row)]
        runs = self.runs(rows, changed=quick) if rows else {}
        elsewhere = {(row.item, row.slot): healed for row, healed in self._healed(rows) if healed.good}
        found = []
        for row in rows:
            key = (row.item, row.slot)
            fate = fate_of(row, runs[key], partial=self.is_partial(row.item)) if key in runs else None
            if key in elsewhere and (fate is None or fate.status != Status.SUCCESS):
                fate = _healed_by(row, elsewhere[key])
            if fate is not None:
                found.append((row, fate))
        return found

    def _healed(self, rows: Iterable[SlotRow]) -> "list[tuple[SlotRow, Healed]]":
        bad = [row for row in rows if row.status in _BAD or row.status in (Status.MISSED, Status.SKIPPED)]
        found = self._records.healed(self._wanted(bad, changed=False)) if bad else {}
        return [(row, found[row.run_id]) for row in bad if row.run_id in found]

    def begin(self) -> None:
        """Begin a look of which `note` says that it has changed nothing."""
        self._seen = None
        self._records.begin()

    def note(self, ledger: object) -> None:
        """The look has changed nothing; `ledger` is what changes when the ledger does."""
        self._seen = ledger

    def is_as_before(self, ledger: object) -> bool:
        """Whether the same look would change nothing again: nobody has written to what it has read."""
        return self._seen is not None and self._seen == ledger and self._records.is_as_before()

    def told(self, rows: Sequence[SlotRow]) -> list[SlotRow]:
        """Slots as they are, whatever the ledger says so far: for commands that write nothing."""
        changed = {(row.item, row.slot): fate for row, fate in self.changes(rows)}
        told = [_as(row, changed.get((row.item, row.slot))) for row in rows]
        runs = self.runs(failed) if (failed := [row for row in told if row.status == Status.FAILED]) else {}
        return [_as_run(row, runs.get((row.item, row.slot))) for row in told]

    def is_partial(self, item: str) -> bool | None:
        """Whether runs of an item execute a part of their flow; None for an item that is not known here."""
        return self._targets[item].part if item in self._targets else None

    def goes_on(self, row: SlotRow, found: "Trouble") -> bool:
        """Whether a resume of its run does what the slot is for: one of 1.0 would run all jobs of the flow.

        A command that was wrapped has no resume, it is started again.
        """
        from aetherflow.core.embedding import stands_in_no_file

        if stands_in_no_file(found.run):
            return False
        return bool(found.run.jobs) or not self.is_partial(row.item)

    def _wanted(self, rows: Iterable[SlotRow], *, changed: bool) -> "Iterator[WantedRun]":
        from aetherflow.core.embedding import Place, WantedRun, subject_of

        for row in rows:
            place = Place(row.flow_id, row.state_path) if row.flow_id and row.state_path else None
            known = _as_known(row.status, row.reason_code, told=bool(row.told_by)) if changed else frozenset[str]()
            target = self._targets.get(row.item, _UNKNOWN)
            yield WantedRun(
                row.run_id,
                place,
                target.flow,
                target.manifest,
                known,
                target.bundle_flow,
                subject=subject_of(iso(row.slot), row.given),
                since=row.started_at or 0,
                unlike=tuple(
                    run_id_of(item, row.slot) for item in self._by_flow.get(target[:3], ()) if item != row.item
                ),
            )

    @cached_property
    def _by_flow(self) -> dict[tuple[str | None, ...], list[str]]:
        found = dict[tuple[str | None, ...], list[str]]()
        for item, target in self._targets.items():
            found.setdefault(target[:3], []).append(item)
        return found


def truth_of(schedule: "Schedule") -> Truth:
    """The truth about the slots of a schedule."""
    return Truth(lambda: {item.id: target_of(item) for item in schedule.items}, schedule.state_root)


def fate_of(row: SlotRow, found: "Trouble", *, partial: bool | None) -> Fate | None:
    """What a slot is by its run; None if that is what the ledger says. `partial`: a part of the flow is all of it.

    A run that was asked for a part says so itself, which counts where `partial` is not known; one of 1.0 does not.

    A run that was killed, or stopped, is INTERRUPTED; what that makes of its slot the scheduler alone knows.
    """
    run, place = found.run, (found.run.flow_id, found.run.state_path)
    part_done = not found.undone if run.jobs else partial
    if run.status == Status.SUCCESS and (run.reason_code != PARTIAL or (part_done and partial is not False)):
        # one that its scheduler left RUNNING was never anything else
        healed = None if row.status == Status.RUNNING else said(SlotReason.HEALED, was=row.status)
        return Fate(Status.SUCCESS, healed, run.finished_at, place)
    if row.status == Status.RUNNING:
        return None  # its process died: the next scheduler goes on
    if run.status == Status.UNKNOWN and (row.status != Status.UNKNOWN or row.told_by):
        return Fate(Status.UNKNOWN, said(SlotReason.UNDECIDED), run.finished_at, place)
    if run.status == Status.FAILED and (_may_fail(row.status, row.reason_code) or row.told_by or _went_on(row, run)):
        return Fate(Status.FAILED, error_of(found), run.finished_at, place)
    return None


def _is_left_out(row: SlotRow) -> bool:
    """Whether a slot was skipped on purpose; one that was skipped for another slot may have been made up for."""
    return row.status == Status.SKIPPED and row.reason_code not in (SlotReason.AFTER, SlotReason.AFTER_HEALED)


def _went_on(row: SlotRow, run: "PastRun") -> bool:
    """Whether the run of a slot that FAILED was resumed by hand since, and has ended once more."""
    known = row.status == Status.FAILED and row.finished_at is not None
    return known and not (row.started_at or 0) <= run.last_seen <= (row.finished_at or 0)


def _as_run(row: SlotRow, found: "Trouble | None") -> SlotRow:
    """A slot that FAILED, whose run was stopped or killed, as INTERRUPTED: as `aetherflow status` calls the run."""
    if found is None or found.run.status != Status.INTERRUPTED:
        return row
    if _went_on(row, found.run):
        why = said(SlotReason.INTERRUPTED)
        row = row._replace(reason=why, reason_code=why.code, finished_at=found.run.last_seen)
    return row._replace(status=Status.INTERRUPTED)


def _healed_by(row: SlotRow, healed: "Healed") -> Fate:
    by = f"run {healed.by}" if healed.by is not None else "another run"
    return Fate(Status.SUCCESS, said(SlotReason.HEALED_BY, was=row.status, run=by), healed.at, None)


def error_of(found: "Trouble") -> Reason:
    """The error of a run that failed, in one line."""
    where = ".".join(name for name in (found.job, found.step) if name)
    error = one_line(found.error or found.run.error or "FAILED")
    return said(SlotReason.RUN, error=one_line(f"{where}: {error}") if where else error)


@cache
def _as_known(status: Status, code: str | None, *, told: bool) -> frozenset[str]:
    """The statuses of its run that make nothing else of a slot: see `fate_of`."""
    found = {Status.INTERRUPTED}
    if status == Status.UNKNOWN and not told:
        found.add(Status.UNKNOWN)
    if status == Status.RUNNING or not (_may_fail(status, code) or told or code == SlotReason.REFUSED):
        found.add(Status.FAILED)
    return frozenset(map(str, found))


def _may_fail(status: Status, code: str | None) -> bool:
    """Whether a slot was no failure so far; one that was interrupted and goes on by itself is the scheduler's."""
    stopped = status == Status.INTERRUPTED and code not in GOES_ON
    return stopped or status in (Status.UNKNOWN, Status.MISSED)


def _as(row: SlotRow, fate: Fate | None) -> SlotRow:
    if fate is None:
        return row
    return row._replace(
        status=fate.status,
        reason=fate.reason,
        reason_code=code_of(fate.reason),
        finished_at=fate.finished_at,
        told_by=None,
        flow_id=row.flow_id if fate.place is None else fate.place[0],
    )
