"""Whether a run that a dead process has left goes on: on this host by its process, elsewhere by its state."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from aetherflow.scheduler.launchers.orphans import birth_of
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.runs.adoption import is_over
from aetherflow.scheduler.schedule.policy import Status, Verdict
from aetherflow.scheduler.time.clock import Clock


@dataclass
class Told:
    """What the state says of a run; None: nothing."""

    status: str | None

    def run(self, row: SlotRow) -> Any:
        del row
        return None if self.status is None else cast("Any", type("Found", (), {"run": self}))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.sqlite", Clock())
    yield made
    made.close()


def left(ledger: Ledger, host: str, pid: int | None) -> SlotRow:
    slots = Slots(ledger)
    with ledger.transaction("left"):
        slots.claim("a", [Verdict(0, Status.WAITING, None)], trigger="run", owner="gone")
        row = slots.find("a", 0)
        assert row is not None
        running = slots.begin(row, "run", str(ledger.path.parent / "log"))
        assert running is not None
        slots.update(running, host=host, pid=pid, birth=None if pid is None else birth_of(pid), owner="gone")
        found = slots.find("a", 0)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("host", "lives", "status", "over"),
    [
        (None, True, None, False),
        (None, True, "SUCCESS", False),
        (None, False, "RUNNING", False),  # a worker has it
        (None, False, "FAILED", True),
        (None, False, None, True),
        ("elsewhere", True, "RUNNING", False),
        ("elsewhere", True, "INTERRUPTED", True),  # that process is another one
        ("elsewhere", True, None, True),
    ],
)
def test_a_run_that_was_left(ledger: Ledger, host: str | None, lives: bool, status: str | None, over: bool) -> None:
    row = left(ledger, host or ledger.host, os.getpid() if lives else None)
    assert is_over(ledger, row, cast("Truth", Told(status))) is over
