"""What the registry says of all flows at once: which runs nothing has healed, and how each flow stands."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.acts import Act
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.refused import Refused, open_refusals
from aetherflow.core.records.registry_file import Registered

if TYPE_CHECKING:
    from aetherflow.core.records.trouble import Trouble

Key = tuple[str, str, str]
"""State file, flow id and run id."""
_COLUMNS = (
    "r.flow_id, r.run_id, r.state_path, r.flow_path, r.started_at, r.status, r.ended_at, r.subject, r.given, r.parent, "
    "r.reason_code, r.settled, r.manifest, r.open_claims, r.recorded"
)
OF_ITS_SUBJECT = "s.flow_id=r.flow_id AND s.subject=r.subject"
"""Of a run `s`: it is of the same slot and parameters as `r`."""
WHOLE = "s.status='SUCCESS' AND coalesce(s.reason_code, '')<>'partial'"
AFTER = "s.recorded>=r.recorded"
"""Of a run `s`: it was recorded after `r`, whatever the clocks said."""
_HEALED = f"""coalesce((SELECT s.ended_at FROM runs s WHERE {OF_ITS_SUBJECT} AND {AFTER} AND ({WHOLE}
    OR (s.settled<>'before' AND s.state_path=r.state_path)) ORDER BY s.recorded DESC LIMIT 1), 0)"""  # noqa: S608 ours
_RUNS = f"SELECT {_COLUMNS}, {_HEALED} AS healed FROM runs r"  # noqa: S608 names are ours
_FOUND = f"WITH found AS MATERIALIZED ({_RUNS}"
_OPEN = f"""{_FOUND} WHERE r.status<>'SUCCESS' AND r.settled IS NULL
    UNION {_RUNS} WHERE r.status<>'SUCCESS' AND r.settled='before'
    UNION {_RUNS} WHERE r.open_claims=1 AND (r.settled IS NULL OR r.settled='healed'))
    SELECT * FROM found WHERE status IN ('RUNNING', 'INTERRUPTED', 'UNKNOWN') OR open_claims=1
    OR healed=0"""  # noqa: S608 names are ours
_LATEST = f"""SELECT {_COLUMNS} FROM flows f CROSS JOIN runs r WHERE r.flow_id=f.flow_id AND r.state_path=f.state_path
    AND r.run_id=(SELECT run_id FROM runs l WHERE l.flow_id=f.flow_id AND l.state_path=f.state_path
    ORDER BY l.recorded DESC, l.run_id DESC LIMIT 1)"""  # noqa: S608 names are ours
_SETTLE = f"""{_FOUND} WHERE r.status IN ('FAILED', 'INTERRUPTED', 'RUNNING')
    AND coalesce(r.settled, 'before')='before') SELECT * FROM found WHERE healed<>0"""  # noqa: S608 names are ours


_SUCCESSES = f"""SELECT flow_id, state_path, ended_at, ended_at - started_at FROM
    (SELECT s.flow_id, s.state_path, s.ended_at, s.started_at, row_number() OVER
    (PARTITION BY s.flow_id, s.state_path ORDER BY s.recorded DESC) AS place FROM runs s WHERE {WHOLE}) AS found
    WHERE place=1"""  # noqa: S608


class Overview(NamedTuple):
    """One consistent look at the registry."""

    open: list[tuple[Registered, int]]
    """Runs that did not end well, are RUNNING, or have open claims, each with the end of what resolves it (or 0): the
    last SUCCESS of its subject that was recorded after it, or the last run of its subject that a person has settled.
    Those that may ask whether a step was done are listed even if something would resolve them: their states say it."""
    latest: dict[tuple[str, str], Registered]
    """Flow id and state file to the run that was recorded last."""
    refused: list[tuple[Refused, list[Act]]]


def healed_runs(db: durable.Database) -> list[Registered]:
    """The runs that are healed; it asks their states, so no transaction may be open.

    A run that asks whether a step was done is not healed by others. A row that says RUNNING may be of a killed process.
    """
    found = [(Registered(*known), healed) for *known, healed in db.execute(_SETTLE).fetchall()]
    return [run for run, healed in found if run.status == Status.FAILED or not _may_ask_or_run(run, healed)]


def settle_healed(db: durable.Database, healed: Iterable[Registered], *, unchanged: bool) -> None:
    """Note which runs are healed, before those that healed them are forgotten; in a transaction of the caller.

    One that has gone on since it was looked at stays what it is; not `unchanged`: those that say RUNNING may have.
    """
    over = "settled='healed', status=CASE status WHEN 'RUNNING' THEN 'INTERRUPTED' ELSE status END"
    which = "flow_id=? AND run_id=? AND state_path=? AND status=? AND coalesce(ended_at, 0)=?"
    which += " AND coalesce(settled, 'before')='before'"
    keys = [
        (run.flow_id, run.run_id, run.state_path, run.status, run.ended_at or 0)
        for run in healed
        if unchanged or run.status != Status.RUNNING
    ]
    db.executemany(f"UPDATE runs SET {over} WHERE {which}", keys)  # noqa: S608 ours


def _may_ask_or_run(run: Registered, healed: int) -> bool:
    from aetherflow.core.records.trouble import trouble_of  # not needed by runs

    try:
        found = trouble_of(Path(run.state_path), [(run.flow_id, run.run_id)])
    except StateError:
        return durable.is_there(Path(run.state_path))
    return any(
        each.asks or each.run.status == Status.RUNNING or not is_healed(run.ended_at, healed, each.run)
        for each in found
    )


def is_healed(ended: int | None, healed: int, run: PastRun) -> bool:
    """Whether what was recorded after a run, and ended at `healed`, resolves it; 0: there is nothing.

    `ended` is the end of the run in the registry. What its state says beyond that, as of a killed run how long it was
    alive, has no place in the order of record: what ended in that time does not resolve it.
    """
    return healed > 0 and (ended == run.finished_at is not None or not run.started_at <= healed < run.last_seen)


def healed_by_states(
    rows: Mapping[Key, tuple[Registered, int]], known: "Mapping[Key, Trouble]"
) -> dict[Key, tuple[Registered, int]]:
    """Add what resolves a run by the states alone, to rows with the last first.

    A run that was killed after its success was committed, and before the registry knew it, resolves like any other.
    """
    found: dict[Key, tuple[Registered, int]] = {}
    ended: dict[tuple[str, str], int] = {}
    for key, (run, healed) in rows.items():
        subject = run.flow_id, run.subject or run.run_id
        found[key] = run, healed or ended.get(subject, 0)
        trouble = known.get(key)
        if trouble is not None and trouble.run.status == Status.SUCCESS and not trouble.run.partial:
            ended.setdefault(subject, trouble.run.last_seen)
    return found


def overview(db: durable.Database) -> Overview:
    """All of it, as a query for `registry.look`."""
    return Overview(
        [(Registered(*row[:-1]), row[-1]) for row in db.execute(_OPEN)],
        {(run.flow_id, run.state_path): run for run in (Registered(*row) for row in db.execute(_LATEST))},
        open_refusals(db),
    )


def last_successes(db: durable.Database) -> dict[tuple[str, str], tuple[int, int]]:
    """Flow id and state file to the end of the last run that was a whole SUCCESS, and how long it took, in ms."""
    return {(flow_id, path): (ended, took) for flow_id, path, ended, took in db.execute(_SUCCESSES)}
