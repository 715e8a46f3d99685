"""Folders of runs that a cleanup removes, or leaves for the sake of open claims."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import CLEANUP
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records.amending import amend, hold

_BEFORE = """WITH RECURSIVE before (flow_id, run_id) AS (
    SELECT flow_id, taken_from FROM claims WHERE flow_id=? AND run_id=?
    UNION SELECT c.flow_id, c.taken_from FROM before b JOIN claims c USING (flow_id, run_id))
    SELECT run_id FROM before JOIN runs r USING (flow_id, run_id) WHERE r.status<>'RUNNING' AND NOT EXISTS
    (SELECT 1 FROM claims c WHERE c.flow_id=r.flow_id AND c.run_id=r.run_id AND c.state='open')"""


class KeptFolder(NamedTuple):
    """A folder that the cleanup of a run left for the sake of its open claims."""

    state: str
    flow_id: str
    run_id: str
    path: str


def mark_removed(unit: Unit, folders: Iterable[str], by: str) -> None:
    """Record that the cleanup of a run removes folders, with all artifacts in them; called before it does."""
    with unit.transaction("artifacts removed"):
        for folder in folders:
            note_gone(unit.db, (unit.flow_id, unit.run_id), folder, by)


def keep_folders(unit: Unit, folders: Iterable[str], policy: str) -> None:
    """Note that the cleanup leaves folders for open claims, to be removed when these are final."""
    with unit.transaction("folders kept"):
        unit.journal("folders_kept", folders=list(folders), policy=policy)


def release_folders(db: durable.Database, members: Iterable[Member]) -> list[KeptFolder]:
    """Within a transaction, once claims of this file have become final: the folders that may go now, noted as gone.

    Those of runs that these were taken from are among them.
    """
    query = "SELECT detail FROM journal WHERE flow_id=? AND run_id=? AND event='folders_kept'"
    found = []
    for member in dict.fromkeys(each for last in members for each in (last, *_taken_from(db, last))):
        key = (member.flow_id, member.run_id)
        texts = db.execute(query, key).fetchall()
        for (text,) in texts:
            kept = json.loads(text)
            for folder in kept["folders"]:
                note_gone(db, key, folder, f"{CLEANUP}{kept['policy']}")
                found.append(KeptFolder(*member, folder))
        if texts:
            amend(db, *key)
    return found


def note_gone(db: durable.Database, run: tuple[str, str], folder: str, by: str) -> None:
    """Within a transaction, before a folder is removed: the artifacts of a run in it are gone, and by what.

    The caller chains what the run is then.
    """
    hold(db, *run)
    gone = "UPDATE artifacts SET gone_by=? WHERE flow_id=? AND run_id=? AND gone_by IS NULL AND substr(path, 1, ?)=?"
    db.execute(gone, (by, *run, len(folder) + 1, f"{folder}/"))


def _taken_from(db: durable.Database, member: Member) -> list[Member]:
    """The runs before it, at any remove, that have ended and have no open claim any more."""
    rows = db.execute(_BEFORE, (member.flow_id, member.run_id))
    return [Member(member.state, member.flow_id, run_id) for (run_id,) in rows]
