"""Many slots at once are entered in batches: each of them a transaction of bounded size."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from aetherflow.core.embedding import durable
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.loop import planning
from aetherflow.scheduler.loop.planning import Planner
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.time.clock import Clock, from_ms, to_ms

START = dt.datetime(2026, 3, 2, 12, 0, 30, tzinfo=dt.UTC)
ITEMS = 7


class HandClock(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.wall = to_ms(START)

    def now(self) -> dt.datetime:
        return from_ms(self.wall)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.sqlite", HandClock())
    yield made
    made.close()


@pytest.mark.parametrize(("most", "sizes"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (5000, [7])])
def test_a_transaction_enters_no_more_slots_than_a_batch(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, most: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(planning, "BATCH", most)
    items = [{"id": f"i{n}", "flow": "flow.yaml", "cron": "* * * * *"} for n in range(ITEMS)]
    file = tmp_path / "scheduler.yaml"
    file.write_text(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", "items": items}))
    planner = Planner(ledger, load_schedule(file).items, Events(stream=StringIO()), trigger="run", file=file)
    planner.sync()
    clock = ledger.clock
    assert isinstance(clock, HandClock)
    clock.wall = to_ms(dt.datetime(2026, 3, 2, 12, 1, 1, tzinfo=dt.UTC))
    told: list[str] = []
    assert isinstance(ledger.db, durable.SqliteDatabase)
    ledger.db.set_trace_callback(told.append)
    assert planner.plan()
    ledger.db.set_trace_callback(None)
    entered: list[int] = []
    before = ""
    for statement in told:
        if statement.startswith("BEGIN"):
            entered.append(0)
        elif re.match(r"INSERT INTO slots", statement) and statement != before:  # told again with its trigger
            entered[-1] += 1
        before = statement
    assert [number for number in entered if number] == sizes
    assert ledger.db.execute("SELECT count(*) FROM slots").fetchone()[0] == ITEMS
    assert not planner.plan(), "nothing is left"
