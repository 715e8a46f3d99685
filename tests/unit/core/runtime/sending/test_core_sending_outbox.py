"""Rows of transitions: written with them, taken once, and told by the rules that were there."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_clock import ahead

from aetherflow.core.base import durable
from aetherflow.core.base.durable import failpoint
from aetherflow.core.kernel.state import sql
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records import outbox
from aetherflow.core.records.reading import read
from aetherflow.core.records.registry_file import empty_registry
from aetherflow.core.runtime.notify import deliver
from aetherflow.core.runtime.notify.start import SendRequest
from aetherflow.core.runtime.sending import book as books
from aetherflow.core.runtime.sending import collect
from aetherflow.core.runtime.sending.collect import _of_run, _of_slot, _rows
from aetherflow.core.runtime.sending.ledgers import LedgerSource, Slot, SlotTransition
from aetherflow.core.runtime.sending.sender import DAY_MS, is_needed, send_all
from telling import RULES, WELL

if TYPE_CHECKING:
    from telling import Telling


def test_a_failure_is_told_with_what_a_person_needs(telling: "Telling") -> None:
    telling.fails("the sea is rough", "--run-id", "r1")
    assert telling.send() == ["failed the sea is rough"]
    (told,) = telling.told()
    assert (told.flow, told.run_id, told.job, told.step, told.failures) == ("f", "r1", "a", "s", 1)
    assert told.code == "AF5001"
    assert told.next is not None
    assert "aetherflow resume r1" in told.next
    assert told.log == str(telling.project.states / "f.sqlite.d/logs/f/r1.jsonl")
    assert telling.outbox()[0][3], "taken"
    assert telling.send() == []
    assert not is_needed(telling.requests[-1])


def test_one_cause_is_told_once_another_too_and_the_recovery(telling: "Telling") -> None:
    telling.fails("row 7 is wrong", "--run-id", "r1")
    assert telling.send() == ["failed row 7 is wrong"]
    telling.fails("row 8 is wrong", "--run-id", "r2")
    assert telling.send() == []
    telling.fails("changed host key", "--run-id", "r2")
    assert telling.send() == ["failed changed host key"]
    telling.succeeds("--run-id", "r3")
    assert telling.send() == ["recovered it is well again"]
    telling.succeeds("--run-id", "r4")
    assert telling.send() == []
    assert [(run, event, detail.get("failures")) for run, event, detail, _ in telling.outbox()] == [
        ("r1", "failed", 1),
        ("r2", "failed", 2),
        ("r2", "failed", 3),
        ("r3", "recovered", None),
    ]


def test_a_clock_that_was_ahead_neither_hides_a_failure_nor_keeps_an_incident_open(
    telling: "Telling", monkeypatch: pytest.MonkeyPatch
) -> None:
    with ahead(monkeypatch):
        telling.fails("no", "--run-id", "r1")
        assert telling.send() == ["failed no"]
    telling.succeeds("--run-id", "r2")
    assert telling.send() == ["recovered it is well again"]
    with ahead(monkeypatch):
        telling.fails("no", "--run-id", "r3")
        telling.succeeds("--run-id", "r4")
        assert telling.send() == ["failed no", "recovered it is well again"]
    telling.fails("no", "--run-id", "r5")
    assert telling.send() == ["failed no"], "the same cause, but after the recovery"


def test_an_older_run_that_ends_well_at_last_heals_nothing_while_a_later_one_is_broken(telling: "Telling") -> None:
    telling.fails("no", "--run-id", "r1")
    telling.fails("no", "--run-id", "r2")
    assert telling.send() == ["failed no"]
    telling.succeeds("--run-id", "r1")
    assert telling.send() == []
    telling.succeeds("--run-id", "r2")
    assert telling.send() == ["recovered it is well again"]
    telling.fails("no", "--run-id", "r3")
    telling.succeeds("--run-id", "r4")
    telling.fails("no", "--run-id", "r3")
    telling.send()
    telling.succeeds("--run-id", "r3")
    assert telling.send() == ["recovered it is well again"], "the later one is well"


def test_the_row_is_in_the_transaction_of_the_end(telling: "Telling", monkeypatch: pytest.MonkeyPatch) -> None:
    telling.fails("first", "--run-id", "r1")
    insert = sql.insert

    def torn(*arguments: object, **named: object) -> None:
        insert(*arguments, **named)  # type: ignore[arg-type]
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("aetherflow.core.records.outbox.insert", torn)
    telling.project.flow(WELL)
    assert telling.project.cli("run", "flow.yaml", "-q", "--run-id", "r2").code == 4
    assert len(telling.outbox()) == 1
    assert telling.project.rows("SELECT status FROM runs WHERE run_id='r2'") == [("RUNNING",)]


def test_runs_of_other_parameters_heal_nothing(telling: "Telling") -> None:
    head = "version: 1\nflow: {id: f, params: {to: {type: string}}}\n"
    fails = "jobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n"
    for number, (country, jobs) in enumerate([("fr", fails), ("de", WELL), ("fr", WELL)]):
        telling.project.write(head + jobs)
        telling.project.cli("run", "flow.yaml", "-q", "--run-id", f"r{number}", "--param", f"to={country}")
    assert [(run, event) for run, event, *_ in telling.outbox()] == [("r0", "failed"), ("r2", "recovered")]


def test_a_run_inside_is_told_with_the_one_around_it(telling: "Telling") -> None:
    inner = telling.project.write(
        "version: 1\nflow: {id: inner}\njobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: x}}]}]\n",
        "inner.yaml",
    )
    call = f"jobs: [{{id: a, steps: [{{id: call, type: run_flow, inputs: {{flow: {inner.name}}}}}]}}]\n"
    telling.project.flow(call)
    assert telling.project.cli("run", "flow.yaml", "-q", "--run-id", "r1").code == 1
    telling.send()
    assert [(told.flow, told.step) for told in telling.told()] == [("f", "call")]


def test_what_was_before_the_rules_is_not_told(telling: "Telling") -> None:
    project = telling.project
    (project.folder / "aetherflow.yaml").unlink()
    telling.fails("last month", "--run-id", "r1")
    assert telling.requests == []
    project.write(RULES, "aetherflow.yaml")
    telling.fails("today", "--run-id", "r2")
    assert telling.send() == ["failed today"]


def test_a_rule_counts_for_what_happened_shortly_before_its_first_sender(telling: "Telling") -> None:
    """A kill between the commit of a run and the start of its sender loses nothing."""
    telling.fails("at night", "--run-id", "r1")
    os.utime(telling.project.folder / "aetherflow.yaml", (time.time() - 3600,) * 2)
    request = SendRequest(telling.project.states, telling.project.folder)
    send_all(request, dict(os.environ))
    assert [told.message for told in telling.told()] == ["at night"]
    assert DAY_MS == 86_400_000


def test_what_a_rule_could_not_send_is_sent_by_the_one_in_its_place(telling: "Telling") -> None:
    telling.down = True
    telling.fails("no", "--run-id", "r1")
    assert telling.send() == []
    assert telling.unsent == [(1, "[Errno 111] nobody there")]
    telling.project.write(RULES.replace("receiver", "another"), "aetherflow.yaml")
    telling.down = False
    assert telling.send() == ["failed no"]
    assert telling.unsent == []
    telling.fails("no", "--run-id", "r2")
    assert telling.send() == [], "the cause was told by the rule before"


def test_who_has_a_mail_does_not_get_it_again(telling: "Telling", monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the recipients of a mail the server has refused some: it is tried again for them."""
    tried: list[tuple[str, ...]] = []

    def send(message: deliver.Message, snapshot: object) -> None:
        del snapshot
        tried.append(message.accepted)
        error = deliver.NotSentError("refused: b@example.com (452 mailbox full)")
        error.accepted = ("a@example.com",)
        raise error

    monkeypatch.setattr(deliver, "send", send)
    telling.fails("no", "--run-id", "r1")
    telling.send()
    telling.send()
    assert tried == [(), ("a@example.com",)]
    assert telling.unsent == [(2, "AF6101 refused: b@example.com (452 mailbox full)")]
    telling.project.write(RULES.replace("receiver", "another"), "aetherflow.yaml")
    telling.send()
    assert telling.unsent == [], "who corrects the rule does not send it once more to those who have it"
    assert len(tried) == 2


def test_a_message_that_cannot_be_read_keeps_nobody_else_from_being_told(telling: "Telling") -> None:
    telling.down = True
    telling.fails("no", "--run-id", "r1")
    telling.send()
    telling.down = False
    telling.book("UPDATE messages SET body='{\"accepted\": []}'")
    telling.fails("another", "--run-id", "r2")
    assert telling.send() == ["failed another"]
    assert telling.unsent == [(2, "'notifications'")]


def test_tries_wait_longer_and_longer(telling: "Telling", monkeypatch: pytest.MonkeyPatch) -> None:
    telling.down = True
    telling.fails("no", "--run-id", "r1")
    clock = [time.time_ns() // 1_000_000]
    monkeypatch.setattr("aetherflow.core.runtime.sending.sender.now_ms", lambda: clock[0])
    waits = []
    for _ in range(4):
        telling.send()
        ((not_before,),) = telling.book("SELECT not_before FROM messages")
        waits.append((not_before - clock[0]) / 1000)
    assert waits == list(books.BACKOFF_SECONDS[:4])
    clock[0] += 61_000
    assert is_needed(telling.requests[-1])
    telling.down = False
    assert telling.send() == ["failed no"]


def test_a_sender_that_stays_tries_again_as_long_as_its_time_lasts(
    telling: "Telling", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "BACKOFF_SECONDS", (0.01, 0.01, 900))
    telling.down = True
    telling.fails("no", "--run-id", "r1")
    send_all(telling.requests[-1], dict(os.environ), stay=60)
    assert telling.unsent == [(3, "[Errno 111] nobody there")], "the fourth try is for a later one"
    telling.down = False
    send_all(telling.requests[-1], dict(os.environ), stay=60)
    assert telling.told() == [], "it is not due"
    assert telling.send() == ["failed no"]


def test_what_keeps_runs_from_starting_keeps_nobody_from_being_told(telling: "Telling") -> None:
    telling.fails("no", "--run-id", "r1")
    telling.project.write(f"{RULES}env_files: [{{type: dotenv, path: gone.env}}]\n", "aetherflow.yaml")
    assert telling.send() == ["failed no"]


def test_status_says_what_could_not_be_sent(telling: "Telling") -> None:
    telling.down = True
    telling.fails("no", "--run-id", "r1")
    telling.send()
    shown = telling.project.cli("status")
    assert shown.code == 1
    assert "NOT SENT  1 message, the oldest of " in shown.out
    assert "tried once: [Errno 111] nobody there\n  next: aetherflow status --notify" in shown.out
    document = json.loads(telling.project.cli("status", "--json").out)
    assert not document["ok"]
    (told,) = document["not_sent"]
    assert (told["tries"], told["error"]) == (1, "[Errno 111] nobody there")
    telling.down = False
    assert "NOT SENT" not in telling.project.cli("status", "--notify").out
    assert [each.message for each in telling.told()] == ["no"]


def test_a_refused_start_is_told_and_what_heals_it(telling: "Telling") -> None:
    telling.project.write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: no_such_type}]}]\n")
    assert telling.project.cli("run", "flow.yaml", "--run-id", "r1").code == 2
    (told,) = telling.send()
    assert told.startswith("refused flow.yaml:3:")
    assert telling.told()[0].flow == "f"
    assert telling.project.cli("run", "flow.yaml", "--run-id", "r1").code == 2
    assert telling.send() == [], "the same again"
    telling.succeeds("--run-id", "r1")
    assert telling.send() == ["recovered it is well again"]
    assert telling.send() == []


def test_a_run_whose_process_is_gone_is_told_once(telling: "Telling") -> None:
    telling.succeeds("--run-id", "r1")
    state = telling.project.state
    with closing(StateStore(state)) as store:
        query = "UPDATE runs SET status='RUNNING', finished_at=NULL, heartbeat_at=?"
        store.connection.execute(query, (time.time_ns() // 1_000_000,))
    with closing(durable.connect(telling.project.states / "engine/registry.sqlite", busy_seconds=1)) as db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL")
    assert is_needed(telling.requests[-1])
    assert telling.send() == ["interrupted its process ended without a word"]
    assert telling.send() == []
    assert not is_needed(telling.requests[-1])


def test_a_killed_run_that_is_over_is_noticed_once_though_the_clock_was_set_back(telling: "Telling") -> None:
    """Noticed again, its recovery would be the latest event, and that of the next failure would not be sent."""
    telling.succeeds("--run-id", "r1")
    with closing(StateStore(telling.project.state)) as store:
        ahead = time.time_ns() // 1_000_000 + 3_600_000
        query = "UPDATE runs SET status='RUNNING', finished_at=NULL, heartbeat_at=?"
        store.connection.execute(query, (ahead,))
    with closing(durable.connect(telling.project.states / "engine/registry.sqlite", busy_seconds=1)) as db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL")
    assert telling.send() == ["interrupted its process ended without a word"]
    telling.succeeds("--run-id", "r2")
    assert telling.send() == ["recovered it is well again"]
    telling.fails("no", "--run-id", "r3")
    assert telling.send() == ["failed no"]
    telling.succeeds("--run-id", "r3")
    assert telling.send() == ["recovered it is well again"]


def test_runs_that_were_killed_and_have_been_followed_by_a_good_one_are_told_as_over(telling: "Telling") -> None:
    """In one message, with their recovery: a fresh alarm would wake somebody for nothing."""
    for run in ("r1", "r2", "r3"):
        telling.succeeds("--run-id", run)
    with closing(StateStore(telling.project.state)) as store:
        query = "UPDATE runs SET status='RUNNING', finished_at=NULL, heartbeat_at=started_at+1 WHERE run_id<>'r3'"
        store.connection.execute(query)
    with closing(durable.connect(telling.project.states / "engine/registry.sqlite", busy_seconds=1)) as db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL WHERE run_id<>'r3'")
    gone, well = "interrupted its process ended without a word", "recovered it is well again"
    assert telling.send() == [gone, well]
    assert [len(message.notifications) for message in telling.got] == [2]
    assert [told.run_id for told in telling.told()] == ["r1", "r3"]
    assert telling.send() == []
    telling.fails("no", "--run-id", "r4")
    assert telling.send() == ["failed no"], "a new incident"


def test_a_killed_run_that_is_noticed_after_a_later_failure_does_not_end_it(telling: "Telling") -> None:
    for run in ("r1", "r2"):
        telling.succeeds("--run-id", run)
    with closing(StateStore(telling.project.state)) as store:
        query = "UPDATE runs SET status='RUNNING', finished_at=NULL, heartbeat_at=started_at+1 WHERE run_id='r1'"
        store.connection.execute(query)
    with closing(durable.connect(telling.project.states / "engine/registry.sqlite", busy_seconds=1)) as db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL WHERE run_id='r1'")
    telling.fails("no", "--run-id", "r3")
    assert sorted(telling.send()) == ["failed no", "interrupted its process ended without a word"]
    telling.succeeds("--run-id", "r4")
    assert telling.send() == ["recovered it is well again"]


def test_a_run_that_went_on_meanwhile_is_not_gone(telling: "Telling") -> None:
    telling.succeeds("--run-id", "r1")
    with closing(StateStore(telling.project.state)) as store:
        unit = Unit(store, "f", "r1")
        unit.generation = 1
        assert outbox.record_gone(unit) is None, "it has ended"
        store.connection.execute("UPDATE runs SET status='RUNNING', generation=2")
        assert outbox.record_gone(unit) is None, "another process has it"
    assert telling.outbox() == []


def test_started_and_succeeded_only_where_a_rule_asks(telling: "Telling") -> None:
    telling.succeeds("--run-id", "r1")
    assert telling.outbox() == []
    rules = "version: 1\nnotify:\n  - command: [receiver]\n    events: [started, succeeded, failed]\n"
    telling.project.write(rules, "aetherflow.yaml")
    telling.succeeds("--run-id", "r2")
    assert [(run, event) for run, event, *_ in telling.outbox()] == [("r2", "started"), ("r2", "succeeded")]
    telling.send()
    assert [(told.event, told.message) for told in telling.told()] == [
        ("started", "it has begun"),
        ("succeeded", "it ended well"),
    ]
    telling.fails("no", "--run-id", "r3")
    telling.send()
    assert [(told.event, told.message) for told in telling.told()[2:]] == [
        ("started", "it has begun"),
        ("failed", "no"),
    ]


@pytest.mark.parametrize(
    "point",
    [
        "commit take notifications",
        "committed take notifications",
        "commit outbox taken",
        "committed outbox taken",
        "commit enter message",
        "committed enter message",
        "send message",
        "message accepted",
        "commit message sent",
        "committed message sent",
    ],
)
def test_a_sender_that_ends_anywhere_loses_nothing(
    telling: "Telling", monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """What comes twice after an end between the receiver's yes and the record has the same id."""
    telling.fails("no", "--run-id", "r1")

    def stop(name: str, stream: object, data: bytes) -> None:
        if name == point:
            raise KeyboardInterrupt

    monkeypatch.setattr(failpoint, "act", stop)
    with pytest.raises(KeyboardInterrupt):
        telling.send()
    monkeypatch.setattr(failpoint, "act", None)
    telling.send()
    ids = [message.id for message in telling.got]
    assert len(set(ids)) == 1
    assert len(ids) == (2 if point in ("message accepted", "commit message sent") else 1)


def test_pruned_runs_take_their_rows_along(telling: "Telling") -> None:
    telling.fails("no", "--run-id", "r1")
    telling.succeeds("--run-id", "r2")
    assert len(telling.outbox()) == 2
    done = telling.project.cli("runs", "prune", "--keep-last", "1", "--yes")
    assert done.code == 0, done
    assert [run for run, *_ in telling.outbox()] == ["r2"]


def ages(telling: "Telling", days: int) -> list[list[str]]:
    """Events of notifications, and of those that were sent, when so many days have passed."""
    with closing(books.Book(telling.project.states)) as book:
        book.forget_old(time.time_ns() // 1_000_000 + days * DAY_MS)
    query = "SELECT event FROM notifications {} ORDER BY at"
    told = "JOIN deliveries ON notification=notifications.id JOIN messages ON message=messages.id"
    return [[event for (event,) in telling.book(query.format(part))] for part in ("", told)]


def test_what_no_rule_needs_is_forgotten(telling: "Telling", monkeypatch: pytest.MonkeyPatch) -> None:
    rules = "version: 1\nnotify:\n  - command: [receiver]\n    events: [started, succeeded, failed]\n"
    telling.project.write(rules, "aetherflow.yaml")
    telling.fails("no", "--run-id", "r1")
    telling.fails("no", "--run-id", "r2")
    telling.succeeds("--run-id", "r3")
    telling.send()
    told = ["started", "failed", "started", "started", "succeeded"]
    every = ["started", "failed", "started", "failed", "started", "recovered", "succeeded"]
    assert ages(telling, 1) == [every, told]
    assert ages(telling, 3) == [["failed", "failed", "recovered"], ["failed"]]
    assert ages(telling, 31) == [["failed", "recovered"], ["failed"]], "a new failure is a new incident"
    assert ages(telling, 399) == [["failed", "recovered"], ["failed"]]
    assert ages(telling, 401) == [[], []]
    assert telling.book("SELECT * FROM messages") == []
    with closing(sqlite3.connect(telling.project.state)) as db, db:
        db.execute("UPDATE outbox SET done_at=NULL WHERE event='started'")
    monkeypatch.setattr(books, "now_ms", lambda: time.time_ns() // 1_000_000 + 3 * DAY_MS)
    assert telling.send() == [], "a ping of the day before yesterday is wrong today"


def test_a_file_that_cannot_be_read_now_is_asked_another_time(telling: "Telling") -> None:
    telling.fails("no", "--run-id", "r1")
    telling.project.state.rename(telling.project.state.with_suffix(".away"))
    assert telling.send() == []
    telling.project.state.with_suffix(".away").rename(telling.project.state)
    assert telling.send() == ["failed no"]
    assert durable.real_file(telling.project.state).exists()


def test_a_command_of_a_scheduler_is_started_again_by_it(telling: "Telling") -> None:
    """With the lock of its item, and recorded for its slot; a flow is resumed, whoever started it."""
    telling.fails("no", "--run-id", "r1")
    path = telling.project.state
    ((row, run),) = read(path, lambda db: _rows(db, path))
    source = LedgerSource(
        Path("/s.yaml"), "scheduler run-item /s.yaml {item} --slot {slot}", "scheduler status /s.yaml"
    )
    slot = Slot(source, "f", 0, "FAILED", None, None)
    wrapped = run._replace(flow_path=str(telling.project.folder / "wrap f"))
    found, plain = (_of_run(path.parent, row, each, slot).notification for each in (wrapped, run))
    assert found.next == "scheduler run-item /s.yaml f --slot 1970-01-01T00:00:00Z"
    assert found.flow_file is None, "there is no such file"
    assert plain.next is not None
    assert "aetherflow resume r1" in plain.next
    detail = {"code": "late", "message": "no end"}
    late = _of_slot(source, None, SlotTransition("1", "f", 0, "r1", "late", detail, 1, "RUNNING"))
    assert late.notification.next == "scheduler status /s.yaml", "it waits or runs"


@pytest.mark.parametrize("text", [None, "version: 1\nnotify: 7\n", "version: ["])
def test_a_document_that_is_gone_or_wrong_keeps_nobody_else_from_being_told(
    telling: "Telling", text: str | None
) -> None:
    telling.fails("no", "--run-id", "r1")
    document = telling.project.folder / "scheduler.yaml"
    if text is not None:
        document.write_text(text)
    ledger = telling.project.states / "ledger.sqlite"
    telling.requests.append(telling.requests[-1]._replace(document=document, ledger=ledger))
    assert telling.send() == ["failed no"]


def test_a_sender_finds_running_runs_by_indexes() -> None:
    with closing(empty_registry()) as db:
        plan = " ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {collect._RUNNING}"))
    assert "SCAN runs USING INDEX open_runs" in plan
    assert "SCAN runs USING INDEX runs_before" in plan
