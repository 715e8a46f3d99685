"""A run and the slot that it is for are told as one, whenever the sender looks at which of them."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.runtime.sending import collect
from telling import LEDGER

if TYPE_CHECKING:
    from telling import Telling

ENDED = """
UPDATE slots SET status='FAILED';
INSERT INTO outbox (id, item, slot, run_id, event, detail, at)
    VALUES ('s1', 'f', 0, 'r1', 'failed', '{"failures": 1}', ?);
"""


class Night:
    """A run that is a slot, and a sender that looks while both change."""

    def __init__(self, telling: "Telling", monkeypatch: pytest.MonkeyPatch) -> None:
        self._telling, self._patch = telling, monkeypatch
        self._ledger = telling.project.folder / "ledger.sqlite"
        self.write(LEDGER)

    def write(self, script: str) -> None:
        with closing(sqlite3.connect(self._ledger)) as db:
            db.executescript(script.replace("?", str(time.time_ns() // 1_000_000)))

    def runs(self) -> None:
        self._telling.fails("no", "--run-id", "r1")

    def told(self, meanwhile: Callable[[], None] = lambda: None) -> list[str]:
        """What is told by a sender; `meanwhile` happens between its looks at runs and at slots."""
        take, document = collect._take_refused, self._telling.project.folder / "scheduler.yaml"

        def interrupted(root: Path, *rest: object) -> object:
            self._patch.setattr(collect, "_take_refused", take)
            meanwhile()
            return take(root, *rest)  # type: ignore[arg-type]

        self._patch.setattr(collect, "_take_refused", interrupted)
        last = self._telling.requests[-1]
        self._telling.requests[-1] = last._replace(document=document, ledger=self._ledger, again="again {item} {slot}")
        return self._telling.send()


@pytest.fixture
def night(telling: "Telling", monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(telling, monkeypatch)


def test_the_slot_ends_after_its_run_was_looked_at(night: Night) -> None:
    night.runs()
    assert night.told(lambda: night.write(ENDED)) == [], "the run waits for its scheduler"
    assert night.told() == ["failed no"]
    assert night.told() == []


def test_run_and_slot_end_after_runs_were_looked_at(night: Night, telling: "Telling") -> None:
    telling.fails("no", "--run-id", "r0")
    assert night.told() == ["failed no"]
    telling.succeeds("--run-id", "r0")
    assert night.told() == ["recovered it is well again"]

    def end() -> None:
        night.runs()
        night.write(ENDED)

    assert night.told(end) == []
    assert night.told() == ["failed no"]
    assert night.told() == []


def test_a_slot_that_is_started_again_is_told_neither_by_itself_nor_by_its_run(night: Night) -> None:
    night.runs()
    night.write(f"{ENDED} UPDATE slots SET status='WAITING'")
    assert night.told() == []
    night.write("UPDATE slots SET status='FAILED'")
    assert night.told() == ["failed no"]
    assert night.told() == []


def test_an_older_slot_that_ends_well_at_last_heals_nothing_while_a_later_one_is_broken(
    night: Night, telling: "Telling"
) -> None:
    night.runs()
    night.write(ENDED)
    assert night.told() == ["failed no"]
    night.write("INSERT INTO slots VALUES ('f', 60000, 'r2', 'FAILED', NULL, NULL)")
    telling.succeeds("--run-id", "r1")
    assert night.told() == []
    night.write("UPDATE slots SET status='SUCCESS'")
    night.write(ENDED.partition(";")[2].replace("'s1'", "'s2'").replace("'failed'", "'recovered'"))
    assert night.told() == ["recovered it is well again"], "by the ledger, which knows it"
