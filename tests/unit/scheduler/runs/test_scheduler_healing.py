"""Reading slots again costs nothing as long as nobody has written to what was read."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherflow.core.embedding import durable
from aetherflow.core.runtime import run_record
from aetherflow.scheduler.ledger.records import insert
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.runs.dependants import Dependants
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.runs.healing import reread
from aetherflow.scheduler.time.clock import Clock

HOUR = 3_600_000


class Looks:
    """Counts the looks at slots that are not well."""

    def __init__(self, folder: Path) -> None:
        self.path, self.root = folder / "ledger.sqlite", folder / "state"
        self.root.mkdir()
        self.ledger = Ledger(self.path, Clock())
        self.ledger.enter("scheduler")
        self.truth = Truth(dict, self.root)
        self._followers = Dependants(self.ledger, [])
        self.fail(1)

    def fail(self, slot: int, **more: object) -> None:
        """Enter a slot that has failed."""
        row = {"item": "i", "slot": slot * HOUR, "status": "FAILED", "reason": "x", "reason_code": "run", "attempts": 1}
        row |= {"run_id": f"i-{slot}", "trigger": "scheduler", "host": "h", "claimed_at": 1, "finished_at": 2}
        with self.ledger.transaction("fail"):
            insert(self.ledger.db, "slots", row | more)

    def look(self) -> int:
        """How often one call looks for them."""
        said: list[str] = []
        assert isinstance(self.ledger.db, durable.SqliteDatabase)
        self.ledger.db.set_trace_callback(said.append)
        reread(self.ledger, self.truth, self._followers, Events("CRITICAL"), quick=True)
        self.ledger.db.set_trace_callback(None)
        return sum("'MISSED')" in each for each in said)


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    monkeypatch.setattr(run_record, "SETTLED_NS", 0)
    found = Looks(tmp_path)
    yield found
    found.ledger.leave()
    found.ledger.close()


def test_what_nobody_has_written_to_is_not_read_again(looks: Looks) -> None:
    assert [looks.look() for _ in range(3)] == [1, 0, 0]


def test_a_slot_that_has_failed_since_is_looked_at(looks: Looks) -> None:
    looks.look()
    looks.fail(2)
    assert [looks.look(), looks.look()] == [1, 0]


def test_what_another_process_writes_to_the_ledger_counts(looks: Looks) -> None:
    looks.look()
    with contextlib.closing(sqlite3.connect(looks.path)) as other:
        other.execute("UPDATE slots SET reason='y'")
        other.commit()
    assert [looks.look(), looks.look()] == [1, 0]


def test_what_is_written_to_the_registry_counts(looks: Looks) -> None:
    looks.look()
    (looks.root / "engine").mkdir()
    (looks.root / "engine/registry.sqlite").write_bytes(b"")
    assert [looks.look(), looks.look()] == [1, 0]


def test_the_state_file_of_a_slot_counts(looks: Looks) -> None:
    state = looks.root / "f.sqlite"
    looks.fail(3, flow_id="f", state_path=str(state))
    assert [looks.look(), looks.look()] == [1, 0], "it is not there"
    state.write_bytes(b"")
    assert [looks.look(), looks.look()] == [1, 0]
