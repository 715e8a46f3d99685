"""Time in which processes worked at a run, from its journal."""

from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.records.history import INTERVENTIONS, PastRun
from aetherflow.core.records.reading import read

_STARTS = f"""SELECT at, (SELECT b.at FROM journal b WHERE b.flow_id=j.flow_id AND b.run_id=j.run_id AND b.seq<j.seq
    AND b.event NOT IN {INTERVENTIONS} ORDER BY b.seq DESC LIMIT 1)
    FROM journal j WHERE flow_id=? AND run_id=? AND event='run_start' ORDER BY seq"""  # noqa: S608 names are ours


def worked_ms(run: PastRun) -> int | None:
    """Time in which processes worked at a run, without the time between them; None if the end is not known.

    A process that was killed counts up to its last transition.
    """
    if run.generation == 1 or run.duration_ms is None:
        return run.duration_ms

    def select(db: durable.Database) -> list[tuple[int, int | None]]:
        return db.execute(_STARTS, (run.flow_id, run.run_id)).fetchall()

    starts = read(Path(run.state_path), select)
    ends = [before for _, before in starts[1:]] + [run.started_at + run.duration_ms]
    return sum(max((end or at) - at, 0) for (at, _), end in zip(starts, ends, strict=True))
