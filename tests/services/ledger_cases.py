"""What a scheduler's ledger does, in a file and in a server."""

import datetime as dt
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from aetherflow.core.api import StateError
from aetherflow.scheduler.ledger.acts import Acts, SlotVerb, acknowledged_slots
from aetherflow.scheduler.ledger.epochs import Epochs, Pauses
from aetherflow.scheduler.ledger.leader import Leadership, current_leader
from aetherflow.scheduler.ledger.pruning import find_old, prune, pruned_until
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import DeposedError, Ledger
from aetherflow.scheduler.reasons import SlotReason, said
from aetherflow.scheduler.schedule.policy import Status, Verdict
from aetherflow.scheduler.time.clock import Clock, from_ms

MINUTE, DAY = 60_000, 86_400_000
START = 1_772_452_800_000
SLOTS = [START + number * MINUTE for number in range(6)]


class HandClock(Clock):
    """Stands still unless it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = START + 3600_000

    def now(self) -> dt.datetime:
        return from_ms(self.wall)


class LedgerCases:
    """Override `path`."""

    def path(self, place: Path) -> Path:
        """What names the ledger at a place, an empty folder."""
        raise NotImplementedError

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
        """Opens the ledger; two share their rows."""
        found: list[Ledger] = []

        def make(**more: Any) -> Ledger:
            found.append(Ledger(self.path(tmp_path), HandClock(), **more))
            return found[-1]

        yield make
        for each in found:
            each.close()

    def claim(self, ledger: Ledger, slots: list[int], status: Status = Status.WAITING, item: str = "a") -> int:
        why = said(SlotReason.MISFIRE, late="1 h") if status is Status.MISSED else None
        verdicts = [Verdict(slot, status, why) for slot in slots]
        with ledger.transaction("claim"):
            return len(Slots(ledger).claim(item, verdicts, trigger="run"))

    def end(self, ledger: Ledger, slot: int, status: Status) -> None:
        slots = Slots(ledger)
        with ledger.transaction("end"):
            row = slots.find("a", slot)
            assert row is not None
            running = slots.begin(row, "run", "/log") if row.status == Status.WAITING else row
            assert running is not None
            assert slots.end(running, status, said(SlotReason.EXIT_CODE, number=1), 1, {})

    def told(self, ledger: Ledger) -> list[tuple[int, str, int]]:
        rows = ledger.read("SELECT slot, event, detail FROM outbox ORDER BY seq")
        assert ledger.read("SELECT id FROM outbox ORDER BY id") == ledger.read("SELECT id FROM outbox ORDER BY seq")
        return [(SLOTS.index(slot), event, json.loads(detail)["failures"]) for slot, event, detail in rows]

    # Slots

    def test_a_slot_is_claimed_once(self, opened: Callable[..., Ledger]) -> None:
        first, second = opened(), opened()
        assert self.claim(first, SLOTS[:3]) == 3
        assert self.claim(second, SLOTS) == 3
        assert [row.slot for row in Slots(second).active()] == SLOTS
        assert list(Slots(first).between("a", SLOTS[1], SLOTS[2])) == SLOTS[1:3]
        assert [row.slot for row in (Slots(first).latest("a"), Slots(first).latest("a", SLOTS[2])) if row] == [
            SLOTS[5], SLOTS[2],
        ]  # fmt: skip

    def test_many_claim_at_once(self, opened: Callable[..., Ledger]) -> None:
        ledgers, new = [opened() for _ in range(3)], list[int]()

        def work(ledger: Ledger) -> None:
            for slot in SLOTS:
                new.append(self.claim(ledger, [slot]))

        threads = [Thread(target=work, args=(ledger,)) for ledger in ledgers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(new) == len(SLOTS)

    def test_what_others_have_changed_is_not_changed_again(self, opened: Callable[..., Ledger]) -> None:
        first, second = opened(), opened()
        self.claim(first, SLOTS[:1])
        before = Slots(second).find("a", SLOTS[0])
        assert before is not None
        with first.transaction("begin"):
            assert Slots(first).begin(before, "run", "/log") is not None
        with second.transaction("begin"):
            assert Slots(second).begin(before, "run", "/log") is None
        assert [each.attempt for each in Slots(first).attempts("a", SLOTS[0])] == [1]
        assert Slots(first).room(5, {}).running == 1

    def test_one_that_was_missed_by_a_clock_that_was_ahead_is_decided_anew(self, opened: Callable[..., Ledger]) -> None:
        ledger = opened()
        assert self.claim(ledger, SLOTS[:1], Status.MISSED) == 1
        clock = ledger.clock
        assert isinstance(clock, HandClock)
        clock.wall = SLOTS[0] - 1
        assert self.claim(ledger, SLOTS[:1]) == 1
        row = Slots(ledger).find("a", SLOTS[0])
        assert row is not None
        assert (row.status, row.reason) == (Status.WAITING, None)

    # What is told

    def test_bad_ends_are_told_with_their_number_and_the_recovery(self, opened: Callable[..., Ledger]) -> None:
        ledger = opened()
        self.claim(ledger, SLOTS)
        for slot, status in zip(SLOTS, (Status.FAILED, Status.UNKNOWN, Status.SUCCESS, Status.SUCCESS), strict=False):
            self.end(ledger, slot, status)
        assert self.told(ledger) == [(0, "failed", 1), (1, "unknown", 2), (2, "recovered", 0)]
        ((detail, at),) = ledger.read("SELECT detail, at FROM outbox WHERE event='failed'")
        assert json.loads(detail) == {
            "code": "exit_code", "message": "exit code 1", "log": "/log", "failures": 1, "started_at": at,
        }  # fmt: skip

    def test_an_older_slot_heals_nothing_while_a_later_one_is_broken(self, opened: Callable[..., Ledger]) -> None:
        ledger = opened()
        self.claim(ledger, SLOTS[:2])
        self.end(ledger, SLOTS[1], Status.FAILED)
        self.end(ledger, SLOTS[0], Status.SUCCESS)
        assert self.told(ledger) == [(1, "failed", 1)]

    def test_missed_slots_are_told_unless_they_were_given_up(self, opened: Callable[..., Ledger]) -> None:
        ledger = opened()
        self.claim(ledger, SLOTS[:2], Status.MISSED)
        with ledger.transaction("claim"):
            given_up = [Verdict(SLOTS[2], Status.MISSED, said(SlotReason.COALESCED))]
            Slots(ledger).claim("a", given_up, trigger="run")
        assert self.told(ledger) == [(0, "missed", 1), (1, "missed", 2)]
        row = Slots(ledger).find("a", SLOTS[1])
        assert row is not None
        with ledger.transaction("late"):
            assert Slots(ledger).note_late(row, "is late")
        assert self.told(ledger)[-1] == (1, "late", 2)

    # Acts, epochs, pauses

    def test_acts_stand_until_their_time_or_the_next_one(self, opened: Callable[..., Ledger]) -> None:
        ledger, other = opened(), opened()
        self.claim(ledger, SLOTS[:2])
        for verb, until in ((SlotVerb.HOLD, None), (SlotVerb.SKIP, None), (SlotVerb.ACK, ledger.clock.now_ms() + 1)):
            with ledger.transaction("act"):
                Acts(ledger).write(verb, "a", SLOTS[0], "ticket 7", until)
        found = Acts(other).of("a", SLOTS[0])
        assert found is not None
        assert found.verb == SlotVerb.SKIP
        assert [act.slot for act in Acts(other).open()] == [SLOTS[0]]
        assert acknowledged_slots(other) == {("a", SLOTS[0])}
        self.end(ledger, SLOTS[0], Status.SUCCESS)
        assert Acts(other).open() == []

    def test_epochs_and_pauses(self, opened: Callable[..., Ledger]) -> None:
        ledger = opened()
        definition = {"cron": "* * * * *", "timezone": "UTC"}
        epochs, pauses = Epochs(ledger), Pauses(ledger)
        with ledger.transaction("epochs"):
            epochs.set_cursor("a", SLOTS[0])
            epochs.set_cursor("a", SLOTS[1])
            epochs.set_file("a", "/scheduler.yaml")
            epochs.begin("a", definition, SLOTS[0])
            epochs.begin("a", definition, SLOTS[2])
            epochs.end("a", SLOTS[1])
            pauses.begin("a", SLOTS[1], None, "ticket 7", "ada")
            assert pauses.end("a", SLOTS[0]) == 1
        assert (epochs.cursors(), epochs.files()) == ({"a": SLOTS[1]}, {"a": "/scheduler.yaml"})
        assert [(each.since, each.until) for each in epochs.all("a")] == [(SLOTS[0], SLOTS[1]), (SLOTS[2], SLOTS[2])]
        assert [(each.since, each.until) for each in pauses.of("a", SLOTS[0], SLOTS[5])] == [(SLOTS[1], SLOTS[1])]

    def test_old_slots_are_pruned_but_for_the_last_ones(self, opened: Callable[..., Ledger]) -> None:
        ledger = opened()
        self.claim(ledger, SLOTS)
        for slot in SLOTS:
            self.end(ledger, slot, Status.FAILED)
        clock = ledger.clock
        assert isinstance(clock, HandClock)
        clock.wall += 3 * DAY
        kept = [("a", SLOTS[1])]
        assert [each.slots for each in find_old(ledger, SLOTS[4], kept)] == [3]
        assert [each.slots for each in prune(ledger, SLOTS[4], kept)] == [3]
        assert list(Slots(ledger).between("a", SLOTS[0], SLOTS[5])) == [SLOTS[1], *SLOTS[4:]]
        assert ledger.read("SELECT count(*) FROM attempts") == ledger.read("SELECT count(*) FROM outbox") == [(3,)]
        assert pruned_until(ledger) == {"a": SLOTS[3] + 1000}
        assert prune(ledger, SLOTS[4], kept) == []

    # Processes

    def test_each_change_of_others_is_seen(self, opened: Callable[..., Ledger]) -> None:
        ledger, other = opened(), opened()
        changes, seen = ledger.changes(), ledger.seen()
        assert (ledger.changes(), ledger.seen()) == (changes, seen)
        self.claim(ledger, SLOTS[:1])
        assert ledger.changes() == changes, "they are its own"
        assert ledger.seen() != seen
        seen = ledger.seen()
        self.claim(other, SLOTS[1:2])
        assert ledger.changes() != changes
        assert ledger.seen() != seen

    def test_one_leads_and_who_was_deposed_writes_nothing(self, opened: Callable[..., Ledger]) -> None:
        first, second = opened(), opened()
        one, two = Leadership(first, 30), Leadership(second, 30)
        assert one.take()
        assert not two.take()
        found = current_leader(second)
        assert found is not None
        assert found.pid == os.getpid()
        one_token, first.token = first.token, None
        one.give_up()
        assert two.take()
        first.token = one_token
        assert second.token is not None
        assert one_token is not None
        assert second.token > one_token
        with pytest.raises(DeposedError):
            self.claim(first, SLOTS[:1])
        assert Slots(second).active() == []
        self.claim(second, SLOTS[:1])
        one.close()
        two.close()
        assert current_leader(second) is None

    def test_the_end_of_an_owner_is_noticed(self, opened: Callable[..., Ledger], tmp_path: Path) -> None:
        ledger = opened()
        ledger.enter("run")
        (into, out) = os.pipe()
        if (pid := os.fork()) == 0:
            other = Ledger(self.path(tmp_path), HandClock())
            other.enter("tick")
            os.write(out, (other.me or "").encode())
            signal.pause()
        name = os.read(into, 100).decode()
        assert {each.kind for each in ledger.owners().values()} == {"run", "tick"}
        assert not ledger.is_gone(name)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert ledger.is_gone(name)
        assert not ledger.is_gone(ledger.me)
        ledger.leave()
        assert "run" not in {each.kind for each in ledger.owners().values()}
        os.close(into)
        os.close(out)

    # Readers

    def test_a_reader_makes_nothing_and_changes_nothing(self, opened: Callable[..., Ledger]) -> None:
        assert Slots(opened(read_only=True)).active() == []
        ledger = opened()
        self.claim(ledger, SLOTS[:1])
        reader = opened(read_only=True)
        assert [row.slot for row in Slots(reader).active()] == SLOTS[:1]
        with pytest.raises(StateError):
            self.claim(reader, SLOTS[1:2])
