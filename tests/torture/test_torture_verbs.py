"""C3: nights of a schedule with hold, skip, release and ack at random; what is shown agrees with a model all along."""

import datetime as dt
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.embedding import iso
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.loop.tick import tick
from aetherflow.scheduler.runs.dispatcher import Dispatcher
from aetherflow.scheduler.time import clock as clocks
from aetherflow.scheduler.time.clock import to_ms
from scheduler_bench import START, Bench
from torture_tier import SEED, sized, suite
from torture_verbs import ITEMS, MINUTE, Act, Model, Policy, document

pytestmark = pytest.mark.slow
MINUTES = 14
QUARTER = 15_000
PASS_MS = 5_000
"""How long after something a `tick` comes."""


class Night:
    """A night, what happens in it at random, and what has to come of it."""

    def __init__(self, folder: Path, chance: random.Random, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.bench, self.chance, self.capsys = Bench(folder), chance, capsys
        self.ticks = chance.random() < 0.5
        self.on = chance.random() < 0.7
        self.number = 0
        begin = to_ms(START)
        policies = {item: Policy.at_random(chance) for item in ITEMS}
        minutes = range(1, MINUTES + 8)
        at = {minute: begin + 30_000 + (minute - 1) * MINUTE for minute in minutes}  # 12:01 and so on
        even = [at[minute] for minute in minutes if minute % 2 == 0]
        slots = {"a": even, "b": even, "c": [at[minute] for minute in minutes if minute % 3 == 1]}
        failing = {(item, slot) for item in ITEMS for slot in slots[item] if chance.random() < 0.1}
        self.model = Model(begin, slots, policies, failing)
        self.bench.schedule_of(*document(policies, iso(begin)), max_running=20)
        self.bench.launcher.seconds = dict.fromkeys(ITEMS, 0.3)
        start = self.bench.launcher.start

        def fails(request: Any, ended: Any) -> Any:
            slot = to_ms(dt.datetime.fromisoformat(request.slot))
            self.bench.launcher.codes = {request.item: [int((request.item, slot) in failing)]}
            return start(request, ended)

        monkeypatch.setattr(self.bench.launcher, "start", fails)
        assert Dispatcher.__init__.__kwdefaults__ is not None
        monkeypatch.setitem(Dispatcher.__init__.__kwdefaults__, "launchers", lambda _: self.bench.launcher)
        monkeypatch.setattr(clocks, "Clock", lambda: self.bench.clock)
        monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(folder / "state"))
        self.events: list[tuple[int, str]] = []
        for minute in range(MINUTES):
            base = at[1] + minute * MINUTE
            self.events += [(base, "due"), (base + QUARTER, "act"), (base + 2 * QUARTER, "toggle")]
            self.events += [(base + 3 * QUARTER, "over")]

    @property
    def now(self) -> int:
        return self.bench.clock.wall

    def happen(self) -> None:
        """The whole night, and a scheduler in the end."""
        if self.ticks:
            self._pass_by_pass()
        else:
            self._with_a_scheduler()
        for _ in range(2):
            self._pass()
            self.check()

    def _pass_by_pass(self) -> None:
        for at, event in self.events:
            self._until(at)
            self._do(event)
            self._until(at + PASS_MS)
            if self.on:
                self._pass()
            if self.chance.random() < 0.1:
                self._until(at + 10_000)
                self.check()

    def _pass(self) -> None:
        tick(self.bench.load(), quiet=True, clock=self.bench.clock, events=self.bench.events())
        self.model.settle(self.now)

    def _with_a_scheduler(self) -> None:
        left = list(self.events)
        while left:
            number = next((n for n, (_, event) in enumerate(left) if event == "toggle"), len(left) - 1) + 1
            span, left = left[:number], left[number:]
            if self.on:
                self._live(span)
            else:
                for at, event in span:
                    self._until(at)
                    self._do(event)
                    self._look(at)

    def _live(self, span: list[tuple[int, str]]) -> None:
        self.model.settle(self.now)
        for at, event in span[:-1]:
            self._plan(at, lambda event=event: self._do(event))
            # told after the scheduler has seen it
            self._plan(at + PASS_MS, lambda: self.model.settle(self.now))
            if self.chance.random() < 0.15:
                self._plan(at + 10_000, lambda: self.check(led=True))
        self.bench.run_for(dt.timedelta(milliseconds=span[-1][0] - self.now))
        self._do(span[-1][1])

    def _plan(self, at: int, what: Any) -> None:
        self.bench.clock.at(dt.timedelta(milliseconds=at - self.now), what)

    def _look(self, at: int) -> None:
        if self.chance.random() < 0.15:
            self._until(at + 10_000)
            self.check()

    def _until(self, at: int) -> None:
        if at > self.now:
            self.bench.clock.pass_time((at - self.now) / 1000)

    def _do(self, event: str) -> None:
        if event == "toggle":
            self.on = self.chance.random() < (0.75 if self.on else 0.25)
        elif event == "act":
            for _ in range(self.chance.choice([0, 1, 2, 4])):
                self.act()

    # A person

    def command(self, *words: str) -> tuple[int, Any]:
        """Exit code and JSON answer of a command."""
        self.capsys.readouterr()
        code = main([words[0], str(self.bench.file), *words[1:], "--json"])
        told = self.capsys.readouterr()
        assert "Traceback" not in told.err, told.err
        return code, json.loads(told.out)

    def act(self) -> None:
        """One verb at random, on a slot that may be known, over, to come, or none at all."""
        chance, model, now = self.chance, self.model, self.now
        verb = chance.choices(("hold", "skip", "release", "ack"), (35, 20, 25, 20))[0]
        missed = [key for key, fate in model.fates.items() if fate in ("MISSED misfire", "MISSED max_catch_up")]
        item = chance.choice(missed)[0] if verb == "ack" and missed else chance.choice(ITEMS)
        following = verb != "ack" and chance.random() < 0.3
        near = [slot for slot in model.slots[item] if abs(slot - now) < 6 * MINUTE]
        open_ones = [act.slot for act in model.open(now) if act.item == item]
        likely = {"release": open_ones, "ack": [at for name, at in missed if name == item]}.get(verb, [])
        slot: int | None = chance.choice(likely if likely and chance.random() < 0.8 else near)
        if chance.random() < 0.05:
            slot = chance.choice(near) + 1000
        if following:
            slot = model.next_of(verb, item, now)
        until = None
        if verb != "release" and chance.random() < 0.5:
            until = now // MINUTE * MINUTE + chance.randint(0, 5) * MINUTE + 3 * QUARTER
        self.number += 1
        reason = f"reason {self.number}"
        words = [verb, item, "--reason", reason]
        words += ["--next"] if following else ["--slot", iso(slot)]
        words += ["--until", iso(until)] if until is not None else []
        before = len(model.acts)
        done = slot is not None and model.does(verb, item, slot, reason, until, now)
        code, told = self.command(*words)
        assert code == (0 if done else 2), (words, told, model.fates)
        if verb != "ack" and done:
            (act,) = model.acts[before:]
            assert (told["slot"], told["verb"], told["reason"]) == (iso(act.slot), verb, reason)
            fate = model.fates.get((item, act.slot))
            assert told["status"] == (fate.split()[0] if fate else None), (words, told)

    # What is shown

    def check(self, *, led: bool = False) -> None:
        """`next`, `status`, `audit`, the ledger and its journal agree with the model."""
        now, model = self.now, self.model
        found = (
            {
                (item, slot): status if status in ("WAITING", "SUCCESS", "FAILED") else f"{status} {code}"
                for item, slot, status, code in self.bench.rows("SELECT item, slot, status, reason_code FROM slots")
            }
            if (self.bench.folder / "ledger.sqlite").exists()
            else {}
        )
        assert found == model.fates, (self.bench.clock.now(), set(found.items()) ^ set(model.fates.items()))
        self._check_starts()
        if not found:
            return
        self._check_journal()
        self._check_next(now)
        self._check_status(now)
        self._check_audit(now, led=led)

    def _check_starts(self) -> None:
        started = self.bench.launcher.started()
        assert len(started) == len(set(started)), "a slot ran twice"
        assert len(started) == len(self.model.ran)

    def _check_journal(self) -> None:
        verbs = ("hold", "skip", "release", "ack")
        query = "SELECT event, item, slot, json_extract(detail, '$.reason') FROM journal ORDER BY seq"
        told = [row for row in self.bench.rows(query) if row[0] in verbs]
        assert told == [(act.verb, act.item, act.slot, act.reason) for act in self.model.acts]

    def _check_next(self, now: int) -> None:
        until = now + 5 * MINUTE
        code, told = self.command("next", *ITEMS, "--from", iso(now), "--until", iso(until))
        kept = {(act.item, iso(act.slot)): act.verb for act in self.model.open(now) if now <= act.slot < until}
        assert code == 0
        acts = {(each["item"], each["slot"]): each["act"]["verb"] for each in told["slots"] if each["act"]}
        assert acts == kept
        assert {key for key, verb in kept.items() if verb == "skip"} == {
            (each["item"], each["slot"]) for each in told["slots"] if each["skipped"]
        }

    def _check_status(self, now: int) -> None:
        code, told = self.command("status")
        needs = {(each["item"], slot) for each in told["needs_person"] for slot in each["slots"]}
        assert needs == {(item, iso(slot)) for item, slot in self.model.needs(now)}
        assert code == int(bool(needs))
        shown = [(each["id"], act["slot"], act["verb"]) for each in told["items"] for act in each["acts"]]
        assert sorted(shown) == sorted((act.item, iso(act.slot), act.verb) for act in self.model.open(now))

    def _check_audit(self, now: int, *, led: bool) -> None:
        model = self.model
        _, told = self.command("audit", "--from", iso(model.since), "--to", iso(now + 1000))
        gaps = model.gaps(now, led=led)
        assert {(each["item"], each["slot"]) for each in told["gaps"]} == {(item, iso(slot)) for item, slot in gaps}
        counts: dict[str, int] = {}
        for key, fate in model.fates.items():
            if key not in gaps:
                counts[fate.split()[0]] = counts.get(fate.split()[0], 0) + 1
        assert told["counts"] == counts
        findings = {(each["item"], each["slot"]) for each in told["findings"] if each["settled"] is None}
        assert findings == {(item, iso(slot)) for item, slot in model.needs(now)}
        acts = [(each["verb"], each["item"], each["slot"], each["reason"]) for each in told["acts"]]
        assert acts == [_told(act) for act in model.acts if act.slot <= now]


def _told(act: Act) -> tuple[str, str, str, str]:
    return act.verb, act.item, iso(act.slot), act.reason


def test_a_thousand_nights_with_verbs(
    world_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with suite("C3", 12) as counted:
        for number in range(sized(3, 1000)):
            chance = random.Random(f"{SEED}-C3-{number}")
            with (
                counted.case(f"night {number}"),
                tempfile.TemporaryDirectory(dir=world_place) as folder,
                monkeypatch.context() as patched,
            ):
                Night(Path(folder), chance, patched, capsys).happen()
