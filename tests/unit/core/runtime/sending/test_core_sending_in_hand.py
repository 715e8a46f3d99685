"""Reminders: until it recovers, or a person has it in hand."""

import datetime as dt
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from aetherflow.core.runtime.notify import start
from aetherflow.core.runtime.sending.ledgers import Ledgers, LedgerSource
from telling import LEDGER, RULES

if TYPE_CHECKING:
    from telling import Telling

REPEAT = RULES + "    repeat: 1h\n"
HOUR_MS = 3_600_000
WRONG = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: no_such_type}]}]\n"


@pytest.fixture
def reminding(telling: "Telling") -> "Telling":
    telling.project.write(REPEAT, "aetherflow.yaml")
    return telling


def reminded(telling: "Telling", hours: int = 2) -> list[str]:
    """What is told again after some hours: the book is made older by as much."""
    with closing(sqlite3.connect(start.book_of(telling.project.states))) as db, db:
        db.execute("UPDATE messages SET made_at=made_at-?1, sent_at=sent_at-?1", (hours * HOUR_MS,))
    return telling.send()


def look_at(telling: "Telling") -> int | None:
    """When somebody has to look again."""
    ((found,),) = telling.book("SELECT look_at FROM rules WHERE look_at IS NOT NULL") or [(None,)]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "words", [("ack", "r1"), ("ack", "--before", "0m"), ("resolve", "r1", "--as", "abandoned")], ids=" ".join
)
def test_what_a_person_has_in_hand_is_not_told_again(reminding: "Telling", words: tuple[str, ...]) -> None:
    reminding.fails("no", "--run-id", "r1")
    assert reminding.send() == ["failed no"]
    assert reminded(reminding) == ["failed no"]
    done = reminding.project.cli("runs", *words, "--reason", "ticket 4711")
    assert done.code == 0, done
    assert reminded(reminding) == []
    assert look_at(reminding) is None
    reminding.fails("no", "--run-id", "r2")
    assert reminded(reminding) == ["failed no"], "nobody has that one in hand"
    reminding.succeeds("--run-id", "r3")
    assert reminding.send() == ["recovered it is well again"], "it is told what it was, in hand or not"


def test_when_the_time_is_over_it_is_told_again(reminding: "Telling") -> None:
    reminding.fails("no", "--run-id", "r1")
    reminding.send()
    assert reminding.project.cli("runs", "ack", "r1", "--until", "3h", "--reason", "x").code == 0
    assert reminded(reminding) == []
    assert (look_at(reminding) or 0) - time.time_ns() // 1_000_000 == pytest.approx(3 * HOUR_MS, abs=HOUR_MS)
    with closing(durable.connect(reminding.project.state, busy_seconds=1)) as db:
        db.execute("UPDATE acts SET until=?", (time.time_ns() // 1_000_000 - 1,))
    assert reminding.send() == ["failed no"]


def test_a_run_that_goes_on_and_fails_again_is_no_more_in_hand(reminding: "Telling") -> None:
    reminding.fails("no", "--run-id", "r1")
    reminding.send()
    assert reminding.project.cli("runs", "ack", "r1", "--reason", "x").code == 0
    assert reminding.project.cli("resume", "r1", "-q").code == 1
    assert reminded(reminding) == ["failed no"]


def test_a_refused_start_may_be_in_hand(reminding: "Telling") -> None:
    reminding.project.write(WRONG)
    assert reminding.project.cli("run", "flow.yaml", "--run-id", "r1").code == 2
    assert len(reminding.send()) == 1
    assert len(reminded(reminding)) == 1
    done = reminding.project.cli("runs", "ack", "refused-1", "--reason", "x")
    assert done.code == 0, done
    assert reminded(reminding) == []


def test_a_missed_slot_may_need_nobody(reminding: "Telling") -> None:
    """The ledger is that of a scheduler, as far as a sender reads it."""
    reminding.project.states.mkdir()
    ledger, document = reminding.project.states / "ledger.sqlite", reminding.project.folder / "scheduler.yaml"
    with closing(durable.connect(ledger, busy_seconds=1)) as db:
        db.execute("CREATE TABLE acts (item TEXT, slot INTEGER, verb TEXT, until INTEGER, ended_at INTEGER)")
        db.execute(
            "INSERT INTO acts VALUES ('night', 1000, 'ack', NULL, NULL), ('night', 2000, 'hold', NULL, NULL), "
            "('night', 3000, 'ack', 4000, NULL)"
        )
        db.execute("CREATE TABLE slots (item TEXT, slot INTEGER, status TEXT)")
        db.execute("INSERT INTO slots VALUES ('night', 2000, 'MISSED'), ('night', 5000, 'SUCCESS')")
    ledgers = Ledgers({ledger: LedgerSource(document, "")})
    assert ledgers.acknowledged(document, "night", "1970-01-01T00:00:01Z") == [None]
    assert ledgers.acknowledged(document, "night", "1970-01-01T00:00:02Z") == [], "held"
    assert ledgers.acknowledged(document, "night", "1970-01-01T00:00:03Z") == [], "its time is over"
    assert ledgers.acknowledged(document, "night", "1970-01-01T00:00:05Z") == [None], "made up for since"
    assert ledgers.acknowledged(document.with_name("other.yaml"), "night", "1970-01-01T00:00:01Z") == []


def test_a_slot_is_told_again_when_the_time_of_its_acknowledgement_is_over(reminding: "Telling") -> None:
    reminding.fails("no", "--run-id", "r1")
    reminding.send()
    reminding.succeeds("--run-id", "r1")
    reminding.send()
    ledger, now = reminding.project.folder / "ledger.sqlite", time.time_ns() // 1_000_000
    with closing(sqlite3.connect(ledger)) as db, db:
        db.executescript(LEDGER)
        db.execute("CREATE TABLE acts (item TEXT, slot INTEGER, verb TEXT, until INTEGER, ended_at INTEGER)")
        db.execute(
            "INSERT INTO outbox VALUES (1, 's', 'g', 0, 'r2', 'missed', '{\"message\": \"late\"}', ?, NULL)", (now,)
        )
    document = reminding.project.folder / "scheduler.yaml"
    reminding.requests[-1] = reminding.requests[-1]._replace(document=document, ledger=ledger, again="{item} {slot}")
    assert reminding.send() == ["missed late"]
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("INSERT INTO acts VALUES ('g', 0, 'ack', ?, NULL)", (now + 3 * HOUR_MS,))
    assert reminded(reminding) == []
    assert look_at(reminding) == now + 3 * HOUR_MS, "nothing else may start a sender then"


def test_a_reminder_that_quiet_hours_hold_back_is_looked_for_at_their_end(reminding: "Telling") -> None:
    reminding.fails("no", "--run-id", "r1")
    reminding.send()
    now = dt.datetime.now(dt.UTC)
    first, last = (now + dt.timedelta(hours=hours) for hours in (-1, 1))
    reminding.project.write(f'{REPEAT}    quiet: "{first:%H:%M}-{last:%H:%M}"\n', "aetherflow.yaml")
    assert reminded(reminding) == []
    # of the rule before nobody waits for anything
    assert look_at(reminding) == int(last.replace(second=0, microsecond=0).timestamp() * 1000)
