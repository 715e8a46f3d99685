"""What became of runs, by their ids: what a program goes by that has started them, before any exit code."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import REGISTRY
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.acts import Act, Verb, standing
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.overview import AFTER, OF_ITS_SUBJECT, WHOLE, is_healed
from aetherflow.core.records.refused import HEALS, open_refusals
from aetherflow.core.records.registry_file import read_registry
from aetherflow.core.records.trouble import Trouble, trouble_of

SETTLED_NS = 2_000_000_000
"""A file that was written a shorter time ago may change once more within one tick of its clock."""
_Facts = tuple[tuple[int, int, int] | None, ...]
_GOOD = "SELECT s.ended_at || ' ' || s.run_id FROM runs s"
_LAST = "ORDER BY s.recorded DESC LIMIT 1"
_OF_RUNS = f"""SELECT r.run_id, r.flow_id, r.state_path, r.settled, r.ended_at, coalesce(r.ended_at, r.started_at),
    ({_GOOD} WHERE {OF_ITS_SUBJECT} AND {AFTER} AND {WHOLE} {_LAST}),
    (SELECT s.ended_at FROM runs s WHERE {OF_ITS_SUBJECT} AND {AFTER} AND s.settled<>'before' AND s.run_id<>r.run_id
    {_LAST})
    FROM runs r WHERE r.run_id """  # noqa: S608 names are ours
_OF_SLOTS = f"""SELECT s.subject, s.given, s.recorded, s.ended_at, s.run_id FROM runs s
    WHERE {WHOLE} AND substr(s.subject, 1, """  # noqa: S608 names are ours
_OF_FILE = "s.flow_id IN (SELECT flow_id FROM flows WHERE flow_path=?)"
_IN_BUNDLE = "s.manifest=? AND substr(s.flow_path, length(s.flow_path) - length(?) + 1)=?"
_OF_REFUSALS = f"""SELECT r.run_id, ({_GOOD} WHERE {HEALS} {_LAST}) FROM refused r
    WHERE NOT EXISTS (SELECT 1 FROM runs k WHERE k.run_id=r.run_id
    AND (k.flow_id=r.flow_id OR k.flow_path=r.flow_path OR k.manifest=r.manifest)) AND r.run_id """  # noqa: S608 names are ours


class Place(NamedTuple):
    """The flow of a run, and the file that holds it."""

    flow_id: str
    state_path: str


class WantedRun(NamedTuple):
    """A run that is asked for. Runs of other flows may have its id: what is given here tells them apart."""

    run_id: str
    place: Place | None = None
    """As an earlier start of the run reported it."""
    flow_path: str | None = None
    """Absolute; of a flow that stands in no bundle."""
    manifest: str | None = None
    """That of the bundle, absolute."""
    unless: frozenset[str] = frozenset()
    """Statuses that say nothing new: where the registry has one of them, the state is not asked."""
    bundle_flow: str | None = None
    """Its path in the bundle; None for the entry flow, whose path nobody knows here."""
    subject: str | None = None
    """Its slot and parameters, as `subject_of` makes them: for a slot without a run, any run of these counts."""
    since: int = 0
    """That run was recorded then or later; UTC epoch milliseconds."""
    unlike: tuple[str, ...] = ()
    """How ids of runs begin that don't count: those of other slots of the same flow, time and parameters."""


class Healed(NamedTuple):
    """What has healed a run that did not end well, or a start that was refused: another run of the same slot."""

    at: int
    by: str | None
    """Id of that run, which was SUCCESS; None if it was removed since, or a person has settled it."""
    good: bool = True
    """False: a person has settled that run."""
    ended_at: int | None = None
    """The end of the run that was healed, as it was registered."""


def acknowledged(acts: Sequence[Act]) -> Act | None:
    """The act by which a person has a run in hand, for now."""
    return standing(list(acts), Verb.ACK, now_ms())


def resolved(acts: Sequence[Act]) -> Act | None:
    """The act that settles a run, or a start that was refused, for good."""
    found, ack = standing(list(acts), Verb.RESOLVE, now_ms()), standing(list(acts), Verb.ACK, now_ms())
    return ack if found is None and ack is not None and ack.value is not None and ack.until is None else found


class _Known(NamedTuple):
    place: Place
    flow_path: str
    status: str | None
    """As the run registered last; None if that is not known."""


def run_record(root: Path, wanted: WantedRun) -> Trouble | None:
    """The run under the state root; None where its state cannot be reached, or no run of that id is recorded."""
    return RunRecords(root).find([wanted]).get(wanted.run_id)


class RunRecords:
    """Looks up many runs again and again: a file that has not changed since is not read once more. Writes nothing."""

    def __init__(self, root: Path) -> None:
        """`root` is the state root."""
        self._root, self._registry = root, durable.engine_store(root, REGISTRY)
        self._registered: _Facts = ()
        self._known: dict[str, list[_Known]] = {}
        self._files: dict[str, tuple[_Facts, dict[tuple[str, str], Trouble | None]]] = {}
        self._healed: dict[str, dict[Place | None, Healed]] = {}
        self._healed_at: _Facts = ()
        self._asked: dict[Path, _Facts] = {}
        self._under_way = False

    def begin(self) -> None:
        """Begin a look: `is_as_before` compares with what is asked from now on."""
        self._asked, self._under_way = {self._registry: _facts(self._registry)}, False

    def is_as_before(self) -> bool:
        """Whether all that was asked since `begin` would be answered the same: no file was written meanwhile.

        A run under way may be killed, which is written nowhere.
        """
        same = (facts and _facts(path) == facts for path, facts in self._asked.items())
        return bool(self._asked) and not self._under_way and all(same)

    def find(self, wanted: Iterable[WantedRun]) -> dict[str, Trouble]:
        """Run id to the run; left out are those that are not recorded, and those whose state cannot be reached."""
        asked = {each.run_id: each for each in self._named(list(wanted))}
        by_file: dict[str, list[tuple[str, str]]] = {}
        for run_id, place in self.places(asked.values()).items():
            by_file.setdefault(place.state_path, []).append((place.flow_id, run_id))
        found: list[Trouble] = []
        for path, keys in by_file.items():
            with suppress(StateError):
                found += self._in_file(path, keys)
        return {each.run.run_id: each for each in found if _is_meant(asked[each.run.run_id], each.run)}

    def places(self, wanted: Iterable[WantedRun]) -> dict[str, Place]:
        """Run id to where to ask for the run; left out are those that are not recorded, and whose state is gone."""
        asked = {each.run_id: each for each in wanted}
        self._look_up(asked)
        return {run_id: place for run_id, each in asked.items() if (place := self._place(each)) is not None}

    def refused(self) -> dict[str, tuple[Act, ...]]:
        """Run id to what persons did, of starts that were refused before the state was opened."""
        with suppress(sqlite3.Error, OSError):
            found = read_registry(self._root, open_refusals)
            return {refused.run_id: tuple(acts) for refused, acts in found if refused.run_id is not None}
        return {}

    def healed(self, wanted: Iterable[WantedRun]) -> dict[str, Healed]:
        """Run id to what has healed it, of runs that did not end well and of refused starts, as `status` counts it.

        Not of a run that lives, asks whether a step was done, or has open claims.
        """
        asked = {each.run_id: each._replace(unless=frozenset()) for each in wanted}
        self._look_up_healed(asked.values())
        if not (found := {run_id: self._healed[run_id] for run_id in asked if self._healed.get(run_id)}):
            return {}
        named = {each.run_id: each for each in self._named([asked[run_id] for run_id in found])}
        runs, healed = self.find(named.values()), dict[str, Healed]()
        for run_id, by_place in found.items():
            places = (*(each.place for each in self._fitting(named[run_id])), None)
            place = next((place for place in places if place in by_place), None)
            if (one := by_place.get(place)) is not None and _may_be_healed(run_id, place, runs.get(run_id), one):
                healed[run_id] = one
        return healed

    def _look_up_healed(self, wanted: Iterable[WantedRun]) -> None:
        facts = _facts(self._registry)
        if not facts or facts != self._healed_at:
            self._healed, self._healed_at = {}, facts
        missing = [each for each in wanted if each.run_id not in self._healed]
        with suppress(sqlite3.Error, OSError):
            found = read_registry(self._root, lambda db: _healed_in(db, missing)) if missing else {}
            self._healed |= {each.run_id: found.get(each.run_id, {}) for each in missing}

    def _named(self, wanted: list[WantedRun]) -> list[WantedRun]:
        """With the flow that the refused start of a run has named, where nothing else is known of it."""
        query = "SELECT DISTINCT run_id, flow_path, manifest FROM refused WHERE run_id IS NOT NULL"
        named: dict[str, list[tuple[str, str | None]]] = {}
        if any(each[1:4] == (None, None, None) for each in wanted):
            with suppress(sqlite3.Error, OSError):
                for run_id, *flow in read_registry(self._root, lambda db: db.execute(query).fetchall()):
                    named.setdefault(run_id, []).append((flow[0], flow[1]))
        return [
            each._replace(flow_path=flows[0][0], manifest=flows[0][1])
            if each[1:4] == (None, None, None) and len(flows := named.get(each.run_id, [])) == 1
            else each
            for each in wanted
        ]

    def _look_up(self, run_ids: Iterable[str]) -> None:
        facts = _facts(self._registry)
        if not facts or facts != self._registered:
            self._known, self._registered = {}, facts
        missing = [run_id for run_id in run_ids if run_id not in self._known]
        query = "SELECT run_id, flow_id, state_path, flow_path, status FROM runs WHERE run_id"

        def select(db: durable.Database) -> dict[str, list[_Known]]:
            known: dict[str, list[_Known]] = {run_id: [] for run_id in missing}
            for wanted, some in among(missing):
                for run_id, *place, flow_path, status in db.execute(f"{query} {wanted} ORDER BY started_at", some):
                    known[run_id].append(_Known(Place(*place), flow_path, status))
            return known

        with suppress(sqlite3.Error, OSError):  # without an index there is still what the runs have reported
            self._known |= read_registry(self._root, select) if missing else {}

    def _place(self, wanted: WantedRun) -> Place | None:
        """Where to ask for a run; None where that is not known, or where it would say nothing new."""
        for each in self._fitting(wanted):
            if each.status in wanted.unless:
                return None
            if (path := Path(each.place.state_path)) not in self._asked:
                self._asked[path] = _facts(path)
            if durable.is_there(path):
                return each.place
        return None

    def _fitting(self, wanted: WantedRun) -> list[_Known]:
        """The registered runs that may be meant, the likeliest first."""
        known = self._known.get(wanted.run_id, [])
        if not known and wanted.place is None:  # as of thousands of slots that were missed
            return []
        told = [each for each in known if each.place == wanted.place]
        if wanted.place is not None and not told:
            told = [_Known(wanted.place, "", None)]
        fits = [each for each in known if wanted.manifest is not None or each.flow_path == wanted.flow_path]
        return [*told, *reversed(fits)]

    def _in_file(self, path: str, keys: list[tuple[str, str]]) -> list[Trouble]:
        facts = _facts(Path(path))
        before, known = self._files.get(path, ((), {}))
        if not facts or facts != before:
            known = {}
        missing = [key for key in keys if key not in known]
        if missing:
            found = {(each.run.flow_id, each.run.run_id): each for each in trouble_of(Path(path), missing)}
            known |= {key: found.get(key) for key in missing}
        self._files[path] = facts, {key: each for key, each in known.items() if each is None or each.run.finished_at}
        asked = [each for key in keys if (each := known[key]) is not None]
        self._under_way |= any(each.run.finished_at is None for each in asked)
        return asked


def _healed_in(db: durable.Database, wanted: Sequence[WantedRun]) -> dict[str, dict[Place | None, Healed]]:
    """Run id and place, which is None where no run is recorded, to the run that has resolved it."""
    runs, refused = list[Any](), list[tuple[str, str | None]]()
    for part, some in among(each.run_id for each in wanted):
        runs += db.execute(_OF_RUNS + part, some).fetchall()
        refused += db.execute(_OF_REFUSALS + part, some).fetchall()
    known = {row[0] for row in (*runs, *refused)}
    found = _of_slots(db, [each for each in wanted if each.run_id not in known])
    for run_id, flow_id, path, settled, known_end, ended, good, acted in runs:
        if good or settled == "healed":  # by a run that was forgotten since
            at, by = _good_run(good) if good else (ended, None)
            found.setdefault(run_id, {})[Place(flow_id, path)] = Healed(at, by, ended_at=known_end)
        elif acted is not None:
            found.setdefault(run_id, {})[Place(flow_id, path)] = Healed(acted, None, good=False, ended_at=known_end)
    refusals: dict[str, list[str | None]] = {}
    for run_id, good in refused:
        refusals.setdefault(run_id, []).append(good)
    for run_id, all_good in refusals.items():
        if None not in all_good:
            found[run_id] = {None: Healed(*max(_good_run(good or "") for good in all_good))}
    return found


def _of_slots(db: durable.Database, wanted: Iterable[WantedRun]) -> dict[str, dict[Place | None, Healed]]:
    """The same of slots that have no run of their own: any run of the slot has done what it was for."""
    found: dict[str, dict[Place | None, Healed]] = {}
    by_flow: dict[tuple[str, ...], dict[str, list[WantedRun]]] = {}
    for each in wanted:
        flow = each.flow_path if each.manifest is None else each.bundle_flow
        if each.subject is not None and flow is not None:
            named = (flow,) if each.manifest is None else (each.manifest, flow, flow)
            by_flow.setdefault(named, {}).setdefault(each.subject.partition(" params ")[0], []).append(each)
    for key, slots in by_flow.items():
        length, of_flow = len(next(iter(slots))), _OF_FILE if len(key) == 1 else _IN_BUNDLE
        for part, some in among(slots):
            query = f"{_OF_SLOTS}{length}) {part} AND {of_flow} ORDER BY s.recorded"
            for subject, given, recorded, ended_at, run_id in db.execute(query, (*some, *key)):
                for each in slots[subject[:length]]:
                    meant = each.subject in (subject, given) and recorded >= each.since
                    if meant and not run_id.startswith(each.unlike):
                        found[each.run_id] = {None: Healed(ended_at, run_id)}
    return found


def _good_run(found: str) -> tuple[int, str | None]:
    ended_at, _, run_id = found.partition(" ")
    return int(ended_at), run_id


def _may_be_healed(run_id: str, place: Place | None, trouble: Trouble | None, healed: Healed) -> bool:
    if healed.by == run_id and place is not None:  # it ended well itself; then its state is an older copy
        older = trouble is None or trouble.run.status not in (Status.RUNNING, Status.SUCCESS)
        return older and durable.is_there(Path(place.state_path))
    if trouble is None:  # it was refused, or its state is gone; else it is another run than the one that is meant
        return place is None or not durable.is_there(Path(place.state_path))
    run = trouble.run
    ended = is_healed(healed.ended_at, healed.at, run)
    return run.status != Status.RUNNING and not trouble.asks and not trouble.open_claims and ended


def _is_meant(wanted: WantedRun, run: PastRun) -> bool:
    told = wanted.place == (run.flow_id, run.state_path)
    return told or wanted.manifest is None or wanted.manifest == run.manifest


def _facts(path: Path) -> _Facts:
    """What changes when the file is written; empty where it may change without showing it, as in a server."""
    if durable.server_at(path) is not None:
        return ()
    path = durable.real_file(path)
    found: list[tuple[int, int, int] | None] = []
    for each in (path, path.with_name(f"{path.name}-wal")):
        try:
            stat = each.stat()
        except OSError:
            found.append(None)
            continue
        if time.time_ns() - stat.st_mtime_ns < SETTLED_NS:
            return ()
        found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
