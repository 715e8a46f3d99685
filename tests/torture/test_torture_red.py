"""C4: nights with clocks that jump, two hosts, lost brokers: the red rows of `status` are those of a model."""

import contextlib
import copy
import datetime as dt
import io
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.durable import database
from aetherflow.core.cli import main as core
from aetherflow.core.embedding import iso
from aetherflow.core.kernel.locks import clock as lock_clock
from aetherflow.core.kernel.state import records
from aetherflow.scheduler.cli import main as scheduler
from aetherflow.scheduler.launchers import LateHeartbeat, Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.runs.dispatcher import Dispatcher
from aetherflow.scheduler.time.clock import Clock, to_ms
from scheduler_bench import START, FakeClock
from scheduler_bench import Bench as ScheduleBench
from torture_bench import Bench
from torture_red import ENDS, GRACE, HOUR, ITEMS, LEASE, SECOND, Model, Red, Run
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow
PLAIN = ("f", "g")
"""Flows that no schedule starts."""
FLOW = """\
version: 1
flow: {{id: {name}{params}}}
jobs: [{{id: a, steps: [{{id: first, type: torture_turn}}, {{id: once, type: torture_turn, effect: once}}]}}]
"""
PARAMS = ", params: {n: {type: string}}"
WRONG = "version: 1\nflow: {id: f}\njobs: nope\n"
WATCHED = ("worker_late", "no_worker", "broker_unreachable")
FORKED = ("kill", "ask", "freeze")
"""Turns in which the process ends, or stops."""


class _Time:
    """The module `time` with the wall clock of a night."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def time_ns(self) -> int:
        return self._clock.wall * 1_000_000

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _Ended(Running):
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def poll(self) -> Outcome:
        return self._outcome

    def terminate(self) -> None:
        """It has ended."""

    kill = terminate


class _Launcher(Launcher):
    """Executes each run to its end before it returns."""

    def __init__(self, night: "Night") -> None:
        self._night = night

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        slot = to_ms(dt.datetime.fromisoformat(request.slot))
        self._night.note_run(request.item, slot, request.run_id)
        code, told = self._night.execute(self._night.turn_of(request.item, slot), *request.arguments)
        ended()
        return _Ended(Outcome(code, json.loads(told) if told else None))

    def late_heartbeats(self, lease_seconds: float, queues: Collection[str | None]) -> Sequence[LateHeartbeat]:
        return [LateHeartbeat(code, f"{code} it is", 0) for code in sorted(self._night.model.watched)]


class Night:
    """A folder in which runs, schedulers and persons do things at random, and the model of it."""

    def __init__(self, folder: Path, chance: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.chance = folder, chance
        self.bench = ScheduleBench(folder)
        self.clock = self.bench.clock
        self.states = folder / "state"
        self.states.mkdir()
        self.model = Model(to_ms(START))
        self.number = 0
        self.copies: dict[str, tuple[bytes, dict[str, Run]]] = {}
        """Flow to its state as it was at some time of the night, and the model's runs of then."""
        self.slot_turns: dict[tuple[str, int], str] = {}
        self.frozen: list[int] = []
        self.told: list[str] = []
        for name in (*PLAIN, *ITEMS):
            self.write(name)
        self.bench.schedule_of(
            *(
                {"id": item, "cron": cron, "flow": f"{item}.yaml", "since": iso(to_ms(START)), "overlap": "allow"}
                | {"misfire": "skip", "misfire_grace_time": GRACE // SECOND}
                for item, cron in (("a", "0 * * * *"), ("b", "0 * * * *"), ("c", "30 */2 * * *"))
            ),
            max_running=20,
            lease_seconds=LEASE // SECOND,  # of the real clock: it is not renewed while a scheduler leads here
        )
        self.bench.launcher = _Launcher(self)  # type: ignore[assignment]
        self._enter(monkeypatch)

    def _enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (records, database, lock_clock):
            monkeypatch.setattr(module, "time", _Time(self.clock))
        for name in ("now", "now_ms", "monotonic", "wait", "wake"):
            own = getattr(self.clock, name)
            monkeypatch.setattr(Clock, name, lambda _, *given, own=own: own(*given))
        assert Dispatcher.__init__.__kwdefaults__ is not None
        monkeypatch.setitem(Dispatcher.__init__.__kwdefaults__, "launchers", lambda _: self.bench.launcher)
        monkeypatch.setattr(sys, "argv", ["aetherflow"])
        self.bench.enter(monkeypatch)

    def write(self, name: str) -> None:
        text = FLOW.format(name=name, params=PARAMS if name in PLAIN else "")
        (self.folder / f"{name}.yaml").write_text(text)

    @property
    def now(self) -> int:
        return self.clock.wall

    # Commands

    def command(self, program: Callable[[list[str]], int], *words: str) -> tuple[int, str]:
        """Exit code and stdout of a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        sys.argv = ["aetherflow", *words]  # which a refused start writes down
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = program([*words])
        self.errors = err.getvalue()
        return code, out.getvalue()

    def execute(self, turn: str, *words: str, elsewhere: bool = False) -> tuple[int, str]:
        """A run with this turn; one that is killed or stopped is a fork, of a host of its own if `elsewhere`."""
        os.environ["TURN"] = turn
        if turn not in FORKED:
            return self.command(core, *words)
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                if elsewhere:
                    uname = list(os.uname())
                    uname[1] = "elsewhere"
                    os.uname = lambda: os.uname_result(uname)
                signal.alarm(600)
                self.command(core, *words)
            finally:
                os._exit(99)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            self.frozen.append(child)
            return 0, ""
        code = os.waitstatus_to_exitcode(status)
        assert code == -signal.SIGKILL, f"a run that was to be killed ended with {code}; {self._so_far()}"
        return code, ""

    def person(self, program: Callable[[list[str]], int], *words: str) -> None:
        """A command that must succeed."""
        self.told.append(" ".join(words))
        code, _ = self.command(program, *words)
        assert code == 0, (words, self.errors, self.told)

    # Slots

    def turn_of(self, item: str, slot: int) -> str:
        """How the run of a slot ends; decided once for its first start, then by whoever starts it again."""
        if (item, slot) not in self.slot_turns:
            own = random.Random(f"{self.chance_of_slots}-{item}-{slot}")
            self.slot_turns[item, slot] = own.choices(("good", "fail", "kill", "ask"), (60, 20, 10, 10))[0]
        return self.slot_turns[item, slot]

    chance_of_slots = ""

    def note_run(self, item: str, slot: int, run_id: str) -> None:
        """Also by a fork."""
        with (self.folder / "started").open("a") as file:
            file.write(f"{item} {slot} {run_id}\n")

    def run_of(self, item: str, slot: int) -> str:
        """The id of the run that was started last for a slot."""
        path = self.folder / "started"
        lines = path.read_text().splitlines() if path.exists() else []
        found = next((line.split()[2] for line in reversed(lines) if line.startswith(f"{item} {slot} ")), None)
        assert found is not None, f"{item} {slot} was not started; {self._so_far()}"
        return found

    def started(self, keys: list[tuple[str, int]], at: int) -> None:
        """These slots were started, and their runs have ended as they had to."""
        for item, slot in keys:
            run_id = self.run_of(item, slot)
            self.model.fates[item, slot] = run_id
            self.model.ends(item, run_id, slot, self.turn_of(item, slot), at)

    # What happens

    def happen(self) -> None:
        """The whole night."""
        self.chance_of_slots = str(self.chance.random())
        self._tick()
        for _ in range(self.chance.randint(6, 12)):
            self.clock.pass_time(self.chance.choice([5, 45, 90, 600, 1800, 3600, 4500]))
            if self.chance.random() < 0.3:
                hours = self.chance.choice([-5, -2, -1, 1, 2, 5])
                self.clock.wall += hours * HOUR
                self.told.append(f"the clock jumps by {hours} h")
            acts = [self._run, self._tick, self._lead, self._refuse, self._again, self._resolve, self._ack, self._act]
            self.chance.choices(acts, (30, 15, 12, 6, 15, 8, 8, 8))[0]()
            if self.chance.random() < 0.5:
                self.check()
            if self.chance.random() < 0.2:
                self._copy()
        self.check()
        self._break()
        self._renew_index()

    def _subject(self) -> tuple[str, str]:
        return self.chance.choice(PLAIN), self.chance.choice("12")

    def _new(self) -> str:
        self.number += 1
        return f"r{self.number}"

    def _run(self) -> None:
        flow, n = self._subject()
        turn = self.chance.choices((*ENDS,), (35, 30, 15, 15, 5))[0]
        elsewhere = turn in ("kill", "ask") and self.chance.random() < 0.4
        run_id = self._new()
        words = ("run", f"{flow}.yaml", "--run-id", run_id, "--param", f"n={n}", "-q")
        self.told.append(f"{self.clock.now():%d %H:%M:%S} {' '.join(words)}: {turn}{' elsewhere' * elsewhere}")
        self.execute(turn, *words, elsewhere=elsewhere)
        self.model.ends(flow, run_id, n, turn, self.now, elsewhere=elsewhere)

    def _refuse(self) -> None:
        flow, n = self._subject()
        run_id = self._new()
        (self.folder / f"{flow}.yaml").write_text(WRONG.replace("id: f", f"id: {flow}"))
        self.told.append(f"{run_id} of {flow} {n} is refused")
        code, _ = self.execute("good", "run", f"{flow}.yaml", "--run-id", run_id, "--param", f"n={n}", "-q")
        self.write(flow)
        assert code == 2
        self.model.is_refused(flow, run_id, n)

    def _tick(self) -> None:
        at = self.now
        self.told.append(f"{self.clock.now():%d %H:%M:%S} tick")
        keys = self.model.decide(at)
        code, _ = self.command(scheduler, "tick", "scheduler.yaml", "-q")
        assert code in (0, 1), (self.errors, self.told)
        self.started(keys, at)

    def _lead(self) -> None:
        """A scheduler leads for a while; then it is stopped, or killed."""
        model, begin = self.model, self.now
        seconds = self.chance.choice([8, 200, 700, 1500])
        killed = self.chance.random() < 0.5
        model.watched = frozenset(self.chance.sample(WATCHED, self.chance.choice([0, 1, 2])))
        ends = f"{'killed' if killed else 'stopped'}, late: {', '.join(sorted(model.watched))}"
        self.told.append(f"{self.clock.now():%d %H:%M:%S} a scheduler for {seconds} s, {ends}")
        spans = [begin, *(slot + SECOND for slot in self._slots_in(begin, begin + seconds * 1000))]
        if killed:
            child = os.fork()
            if child == 0:  # pragma: no cover
                self._live(seconds + 100, seconds)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
            self.clock.pass_time(seconds)
            for at in spans:
                self.started(model.decide(at), at)
            model.killed_at = begin
        else:
            looks = self.chance.random() < 0.6

            def look() -> None:
                for at in spans:
                    if at <= self.now:
                        self.started(model.decide(at), at)
                model.led, model.killed_at = True, None
                self.check()
                model.led = False

            if looks:
                self.clock.at(dt.timedelta(seconds=seconds - 4), look)
            self.bench.run_for(dt.timedelta(seconds=seconds))
            for at in spans:
                self.started(model.decide(at), at)
            model.killed_at = None

    def _slots_in(self, begin: int, end: int) -> list[int]:
        found = set[int]()
        for period, offset in ITEMS.values():
            found.update(range((begin - offset) // period * period + period + offset, end - 2 * SECOND, period))
        return sorted(found)

    def _live(self, seconds: int, dies_after: int) -> None:  # pragma: no cover
        """In a fork: a scheduler that dies without a word."""
        code = 98
        try:
            signal.alarm(600)
            self.clock.at(dt.timedelta(seconds=dies_after), lambda: os._exit(9))
            self.bench.run_for(dt.timedelta(seconds=seconds))
        finally:
            os._exit(code)

    def _red(self, *statuses: str) -> list[Red]:
        rows = self.model.rows(self.now)
        return sorted(each for each in rows if each[0] in statuses)

    def _again(self) -> None:
        """A run goes on, or its slot is run again, or another run of the same slot does what it should have done."""
        red = self._red("FAILED", "INTERRUPTED", "UNKNOWN", "MISSED")
        if not red:
            return
        status, name, what = self.chance.choice(red)
        assert what is not None
        turn = self.chance.choices(("good", "fail"), (80, 20))[0]
        slots = {run_id: slot for (_, slot), run_id in self.model.fates.items()}
        if (int(what) if status == "MISSED" else slots.get(what, 0)) > self.now:
            return  # by a clock that was set back its time has not come
        self.told.append(f"{self.clock.now():%d %H:%M:%S} {status} {name} {what} again: {turn}")
        if status == "MISSED":
            self._run_item(name, int(what), turn)
            return
        run = self.model.runs[what]
        slot = run.subject if isinstance(run.subject, int) else None
        if slot is not None and status != "UNKNOWN" and self.chance.random() < 0.6:
            if self.chance.random() < 0.5:
                self._run_item(name, slot, turn)
                return
            run_id = self._new()
            code, _ = self.execute(turn, "run", f"{name}.yaml", "--run-id", run_id, "--slot", iso(slot), "-q")
            assert code == int(turn == "fail"), self.errors
            self.model.ends(name, run_id, slot, turn, self.now)
            return
        words = ["resume", what, "--flow", name, "-q", "--accept-changes"]
        if status == "UNKNOWN":
            turn = "good"
            words += ["--decide", f"a.once={self.chance.choice(['done', 'again'])}", "--reason", "looked"]
        code, _ = self.execute(turn, *words)
        assert code in (0, 1), (self.errors, self.told)
        self.model.ends(name, what, run.subject, turn if code else "good", self.now)

    def _run_item(self, item: str, slot: int, turn: str) -> None:
        self.slot_turns[item, slot] = turn
        code, _ = self.command(scheduler, "run-item", "scheduler.yaml", item, "--slot", iso(slot), "-q")
        assert code in (0, 1), (self.errors, self.told)
        self.started([(item, slot)], self.now)

    def _resolve(self) -> None:
        if not (red := self._red("FAILED", "INTERRUPTED", "UNKNOWN", "REFUSED")):
            return
        status, name, what = self.chance.choice(red)
        assert what is not None
        how = self.chance.choice(("done", "abandoned"))
        self.person(core, "runs", "resolve", *self._named(status, name, what), "--as", how, "--reason", "looked at it")
        (self.model.refused if status == "REFUSED" else self.model.runs)[what].closed = True

    def _named(self, status: str, name: str, what: str) -> list[str]:
        if status != "REFUSED":
            return [what, "--flow", name]
        needs = json.loads(self.command(core, "status", "--json")[1])["needs_person"]
        return [next(need["handle"] for need in needs if need["run_id"] == what)]

    def _ack(self) -> None:
        if not (red := self._red("FAILED", "INTERRUPTED", "UNKNOWN", "REFUSED", "MISSED")):
            return
        status, name, what = self.chance.choice(red)
        assert what is not None
        if status == "MISSED":
            self.person(scheduler, "ack", "scheduler.yaml", name, "--slot", iso(int(what)), "--reason", "too late")
            self.model.acked.add((name, int(what)))
            return
        self.person(core, "runs", "ack", *self._named(status, name, what), "--reason", "in hand")
        (self.model.refused if status == "REFUSED" else self.model.runs)[what].acked = True

    def _act(self) -> None:
        """A hold, a skip or a release."""
        held = sorted(key for key, fate in self.model.fates.items() if fate == "WAITING" and key in self.model.acts)
        if held and self.chance.random() < 0.6:
            item, slot = self.chance.choice(held)
            self.person(scheduler, "release", "scheduler.yaml", item, "--slot", iso(slot), "--reason", "now")
            del self.model.acts[item, slot]
            return
        item = self.chance.choice([*ITEMS])
        period, offset = ITEMS[item]
        slot = (self.now - offset) // period * period + period + offset
        while (item, slot) in self.model.fates or (item, slot) in self.model.acts or slot <= self.model.since:
            slot += period
        verb = self.chance.choice(("hold", "skip"))
        self.person(scheduler, verb, "scheduler.yaml", item, "--slot", iso(slot), "--reason", "later")
        self.model.acts[item, slot] = verb

    def _copy(self) -> None:
        """Keep the state of a flow as it is; without the end of a run, it is taken for one that was begun again."""
        flow = self.chance.choice(PLAIN)
        path, kept = self.states / f"{flow}.sqlite", self.folder / "kept.sqlite"
        if any(run.flow == flow and run.status in ("SUCCESS", "FAILED") for run in self.model.runs.values()):
            with contextlib.closing(sqlite3.connect(path)) as db, contextlib.closing(sqlite3.connect(kept)) as to:
                db.backup(to)
            self.copies[flow] = kept.read_bytes(), copy.deepcopy(self.model.runs)
            kept.unlink()

    def _is_newer(self, flow: str) -> bool:
        """Whether a run of a flow has ended since its state was copied."""
        before = self.copies[flow][1]
        runs = (run for run in self.model.runs.values() if run.flow == flow and run.status in ("SUCCESS", "FAILED"))
        return any(run.run_id not in before or before[run.run_id].place != run.place for run in runs)

    def _renew_index(self) -> None:
        """A newer version has had the run index."""
        path = self.states / "engine/registry.sqlite"
        if not path.exists():
            return
        with contextlib.closing(sqlite3.connect(path)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            db.execute("PRAGMA user_version=99")
            self.model.newer_index = True
            self.told.append("the run index is newer")
            self.check()
            self.model.newer_index = False
            db.execute(f"PRAGMA user_version={version}")
        self.check()

    def _break(self) -> None:
        """In the end the state file of a flow is lost, damaged, or put back by an older copy, and comes back."""
        frozen = {run.flow for run in self.model.runs.values() if run.status == "FROZEN"}
        there = [flow for flow in PLAIN if flow not in frozen and (self.states / f"{flow}.sqlite").exists()]
        if not there:
            return
        flow = self.chance.choice(there)
        ways = ["GONE", "UNREADABLE"] + ["OLDER", "OLDER"] * (flow in self.copies and self._is_newer(flow))
        how = self.chance.choice(ways)
        self.told.append(f"{flow} is {how}")
        files = [self.states / f"{flow}.sqlite{suffix}" for suffix in ("", "-wal", "-shm")]
        kept = {file: file.read_bytes() for file in files if file.exists()}
        for file in kept:
            file.unlink()
        if how == "UNREADABLE":
            files[0].write_bytes(b"nothing of this is a database" * 100)
        if how == "OLDER":
            data, self.model.copied = self.copies[flow]
            files[0].write_bytes(data)
            files[0].chmod(0o600)
        self.model.broken[flow] = how
        self.check()
        self.model.broken.clear()
        files[0].unlink(missing_ok=True)
        for file, data in kept.items():
            file.write_bytes(data)
        self.check()

    def close(self) -> None:
        for child in self.frozen:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    # What is shown

    def check(self) -> None:
        """Both statuses show in red what the model says, and say so by their exit codes."""
        now, model = self.now, self.model
        code, text = self.command(core, "status", "--json")
        assert not self.errors, f"{self.errors}; {self._so_far()}"
        expected, shown = model.rows(now), [_core_row(need) for need in json.loads(text)["needs_person"]]
        assert len(set(shown)) == len(shown), f"shown twice: {sorted(shown, key=str)}; {self._so_far()}"
        more, less = set(shown) - expected, expected - set(shown)
        assert not more | less, f"status shows too much: {more}, and not: {less}; {self._so_far()}"
        red = 4 if any(status == "UNREADABLE" for status, _, _ in expected) else int(bool(expected))
        assert code == red, f"exit code of status {code}; {self._so_far()}"
        code, text = self.command(scheduler, "status", "scheduler.yaml", "--json")
        expected = model.rows_of_schedule(now)
        needs = [need for need in json.loads(text)["needs_person"] if not need["in_hand"]]
        shown = [row for need in needs for row in _schedule_rows(need)]
        assert len(set(shown)) == len(shown), f"shown twice: {sorted(shown, key=str)}; {self._so_far()}"
        more, less = set(shown) - expected, expected - set(shown)
        assert not more | less, f"scheduler status shows too much: {more}, and not: {less}; {self._so_far()}"
        assert code == int(bool(expected)), f"exit code of scheduler status {code}; {self._so_far()}"

    def _so_far(self) -> str:
        return f"{self.clock.now():%d %H:%M:%S} after\n" + "\n".join(self.told)


def _ms(slot: str) -> str:
    return str(to_ms(dt.datetime.fromisoformat(slot)))


def _core_row(need: dict[str, Any]) -> Red:
    status, name = need["status"], need["name"].removesuffix(".yaml")
    if status in ("GONE", "UNREADABLE", "OLDER"):
        return status, name, None
    if status == "MISSED":
        return status, name, _ms(need["slot"])
    if status == "LATE" and need["run_id"] is None:
        return status, need["name"], need["reason_code"]
    return status, name, need["run_id"]


def _schedule_rows(need: dict[str, Any]) -> Iterator[Red]:
    status, item = need["status"], need["item"]
    if item is None:
        yield status, "scheduler.yaml", need["reason_code"]
    for slot in need["slots"]:
        yield status, item, _ms(slot) if status == "MISSED" else need["run_id"]


def test_two_thousand_nights(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with suite("C4", 17) as counted:
        for number in range(sized(15, 2000)):
            chance = random.Random(f"{SEED}-C4-{number}")
            with (
                counted.case(f"night {number}"),
                tempfile.TemporaryDirectory(dir=bench.folder) as folder,
                monkeypatch.context() as patched,
            ):
                patched.setenv("TURN", "good")
                night = Night(Path(folder), chance, patched)
                try:
                    night.happen()
                finally:
                    night.close()
