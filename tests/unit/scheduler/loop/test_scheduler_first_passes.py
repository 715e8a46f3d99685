"""Processes that are the first on a new ledger at the same time: what one enters, the other one must not undo."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.loop.planning import Planner
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.time.clock import Clock

ITEM = {"id": "a", "flow": "flow.yaml", "cron": "0 0 * * *", "since": "2026-03-01", "misfire": "all"}


@pytest.mark.parametrize("read", ["present", "cursors"])
@pytest.mark.parametrize("entered", [False, True], ids=["seen", "planned"])
def test_an_item_that_another_process_enters_meanwhile_keeps_its_slots(
    read: str, entered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scheduler.yaml"
    file.write_text(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", "items": [ITEM]}))
    items = load_schedule(file).items
    ledgers = [Ledger(tmp_path / "ledger.sqlite", Clock()) for _ in range(2)]
    mine, theirs = (Planner(each, items, Events(stream=StringIO()), trigger="tick", file=file) for each in ledgers)
    original = getattr(Epochs, read)

    def then_theirs(epochs: Epochs) -> Any:
        found = original(epochs)
        monkeypatch.setattr(Epochs, read, original)
        theirs.sync()
        if entered:
            theirs.plan()
        return found

    monkeypatch.setattr(Epochs, read, then_theirs)
    mine.sync()
    assert mine.plan() is not entered
    statuses = dict(ledgers[0].read("SELECT status, count(*) FROM slots GROUP BY status"))
    begins = ledgers[0].read("SELECT count(*) FROM epochs")
    for each in ledgers:
        each.close()
    assert statuses["WAITING"] == 10
    assert begins == [(1,)]
