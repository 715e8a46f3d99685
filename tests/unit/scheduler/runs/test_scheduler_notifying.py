"""What is to be told of slots: rows of the ledger's outbox, and the senders that are started for them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core import embedding
from aetherflow.core.base import durable
from aetherflow.core.runtime.sending import ledgers
from aetherflow.core.runtime.sending.ledgers import HOLD_MS, LedgerSource, Slot
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.truth import Fate
from aetherflow.scheduler.loop.session import session
from aetherflow.scheduler.reasons import GOES_ON
from aetherflow.scheduler.runs.notifying import WAIT_SECONDS, send_request_of
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:
    from aetherflow.core.runtime.notify.start import SendRequest
    from scheduler_bench import Bench

ONCE = {"id": "f", "cron": "1 12 * * *"}
RULES = [{"command": ["receiver"]}]


@pytest.fixture
def requests(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> "list[SendRequest]":
    """The senders that were started."""
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(bench.folder / "state"))
    found: list[SendRequest] = []

    def start_sender(request: "SendRequest", env: Mapping[str, str]) -> int:
        del env
        found.append(request)
        return 4711

    monkeypatch.setattr(embedding, "start_sender", start_sender, raising=False)
    return found


def outbox(bench: "Bench") -> list[tuple[str, str, Any]]:
    """Item, event and failures in a row."""
    rows = bench.rows("SELECT item, event, detail FROM outbox ORDER BY seq")
    return [(item, event, json.loads(detail)["failures"]) for item, event, detail in rows]


def test_a_failure_is_a_row_when_no_start_is_left(bench: "Bench", requests: "list[SendRequest]") -> None:
    retry = {"max_attempts": 2, "backoff_seconds": 1}
    bench.schedule_of({**ONCE, "retry": retry}, notify=RULES)
    bench.launcher.codes = {"f": [1, 1]}
    bench.minutes(2)
    assert bench.slots() == {"f 12:01": "FAILED"}
    assert outbox(bench) == [("f", "failed", 1)]
    assert {(each.document, each.ledger) for each in requests} == {(bench.file, bench.folder / "ledger.sqlite")}
    assert requests[0].again == f"aetherflow-scheduler run-item {bench.file} {{item}} --slot {{slot}}"
    assert requests[0].look == f"aetherflow-scheduler status {bench.file}"


def test_the_commands_name_the_document_whatever_it_is_called(bench: "Bench") -> None:
    document = bench.folder / "a {b}" / "scheduler.yaml"
    document.parent.mkdir()
    document.write_text("timezone: UTC\nstate: ledger.sqlite\nitems: []\n")
    request = send_request_of(load_schedule(document), 0)
    source = LedgerSource(document, request.again, request.look)
    assert source.command("f", 0) == f"aetherflow-scheduler run-item '{document}' f --slot 1970-01-01T00:00:00Z"
    assert source.look == f"aetherflow-scheduler status '{document}'"


def test_one_that_a_retry_has_helped_is_none(bench: "Bench", requests: "list[SendRequest]") -> None:
    bench.schedule_of({**ONCE, "retry": {"max_attempts": 2}}, notify=RULES)
    bench.launcher.codes = {"f": [1]}
    bench.minutes(2)
    assert bench.slots() == {"f 12:01": "SUCCESS"}
    assert outbox(bench) == []
    assert requests == []


def test_failures_are_counted_until_the_recovery(bench: "Bench", requests: "list[SendRequest]") -> None:
    bench.schedule_of({"id": "f", "cron": "* * * * *"}, {"id": "g", "cron": "* * * * *"}, notify=RULES)
    bench.launcher.codes = {"f": [1, 1, 0, 1]}
    bench.minutes(5.5)
    assert outbox(bench) == [
        ("f", "failed", 1),
        ("f", "failed", 2),
        ("f", "recovered", 0),
        ("f", "failed", 1),
        ("f", "recovered", 0),
    ]
    assert requests


def end_well(bench: "Bench", slot: int) -> None:
    with bench.ledger() as ledger, ledger.transaction("test"):
        row = Slots(ledger).find("f", slot)
        assert row is not None
        assert Slots(ledger).settle(row, Fate(Status.SUCCESS, None, bench.clock.now_ms(), None))


def test_an_older_slot_that_ends_well_at_last_heals_nothing_while_a_later_one_is_broken(
    bench: "Bench", requests: "list[SendRequest]"
) -> None:
    bench.schedule_of({"id": "f", "cron": "* * * * *"}, notify=RULES)
    bench.launcher.codes = {"f": [1, 1]}
    bench.minutes(2.5)
    assert outbox(bench) == [("f", "failed", 1), ("f", "failed", 2)]
    older, newer = (slot for (slot,) in bench.rows("SELECT slot FROM slots ORDER BY slot"))
    end_well(bench, older)
    assert len(outbox(bench)) == 2
    end_well(bench, newer)
    assert outbox(bench)[2:] == [("f", "recovered", 0)]
    assert requests


def test_missed_slots_are_rows_but_not_those_that_a_later_one_stands_for(bench: "Bench") -> None:
    since = f"{bench.clock.now():%Y-%m-%dT}09:00:00Z"
    hourly = {"cron": "0 * * * *", "since": since, "misfire_grace_time": 60}
    bench.schedule_of({"id": "skips", **hourly, "misfire": "skip"}, {"id": "once", **hourly, "misfire": "last"})
    bench.minutes(0.5)
    assert {item for item, event, _ in outbox(bench) if event == "missed"} == {"skips"}
    assert {item for item, *_ in outbox(bench)} == {"skips"}


def test_a_late_slot_is_a_row_and_no_failure(bench: "Bench", requests: "list[SendRequest]") -> None:
    bench.schedule_of({**ONCE, "late_after_seconds": 30}, notify=RULES)
    bench.launcher.seconds = {"f": 90}
    bench.minutes(4)
    assert outbox(bench) == [("f", "late", 0), ("f", "recovered", 0)]
    (late, _) = bench.rows("SELECT detail FROM outbox ORDER BY seq")
    assert json.loads(late[0])["message"] == "has not ended 30 s after its slot"
    assert requests


def test_what_a_scheduler_interrupts_and_resumes_is_none(bench: "Bench") -> None:
    bench.schedule_of(ONCE)
    bench.launcher.seconds = {"f": 90}
    bench.minutes(1.2, drain_seconds=1)
    assert bench.slots() == {"f 12:01": "INTERRUPTED"}
    assert outbox(bench) == []


def test_without_rules_nobody_is_told_not_even_by_those_of_tomorrow(
    bench: "Bench", requests: "list[SendRequest]"
) -> None:
    bench.schedule_of(ONCE)
    bench.launcher.codes = {"f": [1]}
    bench.minutes(2)
    assert outbox(bench) == [("f", "failed", 1)]
    bench.minutes(0.1)
    assert bench.rows("SELECT count(*) FROM outbox WHERE done_at IS NULL") == [(0,)]
    assert requests == []


def test_a_project_file_that_is_wrong_stops_no_scheduler(bench: "Bench", requests: "list[SendRequest]") -> None:
    bench.schedule_of(ONCE)
    bench.launcher.codes = {"f": [1]}
    made = bench.scheduler()
    bench.write("version: 1\nnotify: 7\n", "aetherflow.yaml")
    bench.clock.until = bench.clock.mono + 120
    bench.clock.at_end = made.stop.stop
    assert made.run() == 0
    bench.clock.until = None
    assert outbox(bench) == [("f", "failed", 1)]
    assert requests == []


def test_the_sender_has_the_codes_of_the_reasons() -> None:
    assert ledgers.GOES_ON == GOES_ON


def test_a_run_that_is_started_again_is_held_for_a_time(monkeypatch: pytest.MonkeyPatch, bench: "Bench") -> None:
    monkeypatch.setattr("aetherflow.core.runtime.sending.ledgers.now_ms", lambda: 1_000_000_000)
    ended = 1_000_000_000 - HOLD_MS - 1

    def slot(status: str, not_before: int | None = None, reason: str | None = None) -> Slot:
        return Slot(LedgerSource(bench.file, "", ""), "f", 0, status, not_before, reason)

    assert slot("WAITING").goes_on(ended + 2)
    assert not slot("WAITING").goes_on(ended), "its scheduler does not come back"
    assert slot("WAITING", 1_000_000_000).goes_on(ended), "it is to wait so long"
    assert not slot("FAILED").goes_on(1_000_000_000)
    assert slot("INTERRUPTED", reason="drained").goes_on(1_000_000_000)
    assert not slot("INTERRUPTED", reason="stopped").goes_on(1_000_000_000)


@pytest.mark.parametrize("waits", [True, False])
def test_a_sender_is_waited_for_only_where_it_would_not_outlive_its_starter(
    bench: "Bench", requests: "list[SendRequest]", monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    waited: list[tuple[int, float]] = []
    monkeypatch.setattr(durable, "wait_detached", lambda pid, seconds: waited.append((pid, seconds)))
    bench.schedule_of(ONCE, notify=RULES)
    with session(bench.load(), "test", only_mine=True, waits=waits, clock=bench.clock, events=bench.events()) as here:
        columns = "id, item, slot, run_id, event, detail, at"
        here.ledger.db.execute(f"INSERT INTO outbox ({columns}) VALUES ('1', 'f', 0, 'r', 'late', '{{}}', 1)")
    assert len(requests) == 1
    assert waited == ([(4711, WAIT_SECONDS)] if waits else [])


def test_rules_count_from_the_time_of_the_ledger_s_clock(bench: "Bench", requests: "list[SendRequest]") -> None:
    bench.schedule_of(ONCE, notify=RULES)
    began = bench.clock.now_ms()
    bench.launcher.codes = {"f": [1]}
    bench.minutes(2)
    assert {each.since for each in requests} == {began}


def test_what_waits_is_looked_for_each_minute_of_the_ledger_s_clock(
    bench: "Bench", requests: "list[SendRequest]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "is_needed", lambda _: True, raising=False)
    bench.schedule_of(ONCE, notify=RULES)
    bench.minutes(10)
    assert 10 <= len(requests) <= 12
