"""N1: a week of incidents: each cause is told once, each recovery once, and each next command works when typed."""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import random
import shlex
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.cli import main
from aetherflow.scheduler.cli.app import main as scheduler_main
from torture_bench import HANG_SECONDS
from torture_night import KILLED, Night
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow

FLOW = """\
version: 1
flow: {{id: {name}}}
jobs:
  - id: a
    steps:
      - {{id: one, type: external.process, inputs: {{command: [cat, "{folder}/{name}.one"]}}}}
      - {{id: two, type: external.process, inputs: {{command: [cat, "{folder}/{name}.two"]}}}}
"""
DOCUMENT = """\
version: 1
timezone: UTC
state: {ledger}
items:
  - {{id: {name}, cron: "0 {hours} * * *", flow: {name}.yaml, misfire_grace_time: 7200, late_after_seconds: 600}}
"""
EVERY = 8
"""Hours from one slot of a subject to its next."""
CAUSES = {
    "run": ("one", "two", "refused", "interrupted"),
    "tick": ("one", "two", "refused", "missed", "late"),
    "run-item": ("one", "two", "refused", "late"),
}
"""What goes wrong with what is started so; nobody but `tick` and the scheduler look for missed slots."""


@dataclasses.dataclass
class Subject:
    """A flow that cron starts, or an item of the scheduler; and what is to be told of it."""

    name: str
    hour: int
    trigger: str
    open: set[str] = dataclasses.field(default_factory=set)
    expected: list[str] = dataclasses.field(default_factory=list)
    runs: int = 0
    skipped: bool = False
    newest: str = ""
    """The slot that was started last."""

    def goes_wrong(self, cause: str) -> None:
        if cause not in self.open:
            self.expected.append(cause)
        self.open.add(cause)

    def is_well(self) -> None:
        if self.open:
            self.expected.append("recovered")
        self.open.clear()


class Week:
    """What happens to all subjects, slot by slot, and what their receivers get."""

    def __init__(self, night: Night, subjects: list[Subject], chance: random.Random) -> None:
        self.night, self.subjects, self.chance = night, subjects, chance
        self.folder = night.bench.folder
        self.begin = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        night.set_clock(self.begin)
        for each in subjects:
            self.mend(each)
            if each.trigger != "run":
                hours = ",".join(str(hour) for hour in range(each.hour, 24, EVERY))
                text = DOCUMENT.format(name=each.name, hours=hours, ledger=self.ledger(each))
                (self.folder / f"{each.name}.scheduler.yaml").write_text(text)
                self.tick(each)
        names = night.points(lambda point: night.run(point, "run", f"{subjects[0].name}.yaml", "--run-id", "first"))
        self.middle = names.index("rename .aetherflow-run.json") + 1

    def ledger(self, subject: Subject) -> Path:
        return self.night.bench.states / f"{subject.name}.ledger.sqlite"

    def tick(self, subject: Subject) -> None:
        assert self.night.scheduler("tick", f"{subject.name}.scheduler.yaml", "-q") in (0, 1), (
            self.night.bench.error_text()
        )

    def mend(self, subject: Subject) -> None:
        (self.folder / f"{subject.name}.yaml").write_text(FLOW.format(name=subject.name, folder=self.folder))
        for step in ("one", "two"):
            (self.folder / f"{subject.name}.{step}").write_text("well")

    def go_by(self, subject: Subject, slot: dt.datetime) -> None:
        """One slot of a subject: something goes wrong, or all is well again."""
        bad = self.chance.random() < (0.6 if subject.open else 0.75)
        cause = self.chance.choice(CAUSES[subject.trigger]) if bad else ""
        if cause == "missed":
            subject.skipped = True  # which comes to be known with the next slot
            return
        if subject.skipped:
            subject.goes_wrong("missed")
            subject.skipped = False
        self.night.set_clock(slot + dt.timedelta(minutes=30 if cause == "late" else 1))
        if cause == "refused":
            (self.folder / f"{subject.name}.yaml").write_text(f"version: 1\nflow: {{id: {subject.name}}}\njobs: 7\n")
        elif cause in ("one", "two"):
            (self.folder / f"{subject.name}.{cause}").unlink()
        code = self.start(subject, slot, cause)
        expected = {"": 0, "late": 0, "refused": 2, "interrupted": KILLED}.get(cause, 1)
        assert code == expected, f"{subject} {cause}: {code} {self.night.bench.error_text()}"
        if cause:
            subject.goes_wrong(cause)
        if cause in ("", "late"):
            subject.is_well()
        self.mend(subject)
        if cause == "interrupted" or self.chance.random() < 0.7:
            assert self.night.send() == 0
        if cause and self.chance.random() < 0.3:
            self.act(subject, cause)

    def start(self, subject: Subject, slot: dt.datetime, cause: str) -> int:
        night, document = self.night, f"{subject.name}.scheduler.yaml"
        subject.runs += 1
        subject.newest = f"{slot:%Y-%m-%dT%H:%M:%SZ}"
        if subject.trigger == "run":
            words = ("run", f"{subject.name}.yaml", "--run-id", f"{subject.name}-{subject.runs}", "-q")
            return night.run(f"{self.middle}:kill" if cause == "interrupted" else "", *words)
        if subject.trigger == "run-item" and cause != "late":
            return night.scheduler("run-item", document, subject.name, "--slot", f"{slot:%Y-%m-%dT%H:%M:%SZ}", "-q")
        end = time.monotonic() + HANG_SECONDS
        while (status := self.status(subject, slot)) not in ("SUCCESS", "FAILED"):
            assert time.monotonic() < end, f"{subject}: the slot is {status}"
            self.tick(subject)
        return 0 if status == "SUCCESS" else 2 if cause == "refused" else 1

    def status(self, subject: Subject, slot: dt.datetime) -> str | None:
        with contextlib.closing(sqlite3.connect(self.ledger(subject))) as db:
            row = db.execute("SELECT status FROM slots WHERE slot=?", (int(slot.timestamp() * 1000),)).fetchone()
        return row[0] if row is not None else None

    def act(self, subject: Subject, cause: str) -> None:
        """A person acknowledges or resolves it, or types the next command of its message."""
        way = self.chance.choice(("ack", "resolve", "type", "type"))
        if way == "type":
            assert self.night.send() == 0
            told = self.told(subject)[-1]
            if told["next"] is not None:
                assert self.type(told["next"]) == 0, f"{told['next']}: {self.night.bench.error_text()}"
                newest = f"{subject.name}-{subject.runs}" if subject.trigger == "run" else subject.newest
                if newest in (told["run_id"], told["slot"]):  # an older one heals nothing while the newest is broken
                    subject.is_well()
        elif cause in ("one", "two", "interrupted"):
            run = self.run_of(subject)
            words = ("ack", run) if way == "ack" else ("resolve", run, "--as", "abandoned")
            assert self.night.run("", "runs", *words, "--reason", "ticket 4711") == 0, self.night.bench.error_text()

    def run_of(self, subject: Subject) -> str:
        """The latest run."""
        if subject.trigger == "run":
            return f"{subject.name}-{subject.runs}"
        with contextlib.closing(sqlite3.connect(self.ledger(subject))) as db:
            return str(db.execute("SELECT run_id FROM slots ORDER BY started_at DESC LIMIT 1").fetchone()[0])

    def type(self, command: str) -> int:
        """Type a command as it stands, in whatever folder."""
        words = shlex.split(command)
        folder = "/"
        if words[0] == "cd":
            folder, words = words[1], words[3:]
        program, rest = {"aetherflow": main, "aetherflow-scheduler": scheduler_main}[words[0]], words[1:]

        def typed() -> int:
            os.chdir(folder)
            return program(rest)

        return self.night.fork(typed)

    def told(self, subject: Subject) -> list[dict[str, Any]]:
        """What was told of a subject, in the order of time."""
        told = [each for each in self.notifications() if subject.name in (each["item"], each["flow"])]
        return sorted(told, key=lambda each: str(each["at"]))

    def notifications(self) -> list[dict[str, Any]]:
        return [each for hit in self.night.http.api.hits for each in json.loads(hit.body)["notifications"]]


def test_a_week_of_incidents(night: Night) -> None:
    triggers = ("run", "tick", "run", "run-item")
    subjects = [Subject(f"s{number}", number % EVERY, triggers[number % 4]) for number in range(sized(4, 10))]
    with suite("N1 week", 15) as counted:
        week = Week(night, subjects, random.Random(f"{SEED}-N1-week"))
        for hour in range(sized(10, 7 * 24)):
            for subject in subjects:
                if hour % EVERY == subject.hour:
                    week.go_by(subject, week.begin + dt.timedelta(hours=hour))
        assert night.send() == 0
        for subject in subjects:
            with counted.case(f"{subject.name}, by {subject.trigger}"):
                told = week.told(subject)
                got = [each["step"] if each["event"] == "failed" else each["event"] for each in told]
                assert got == subject.expected, told
            counted.cases += max(len(subject.expected) - 1, 0)  # each of them is one
        with counted.case("nobody was told anything twice, nor by one way only"):
            assert set(night.posts.values()) == {1} == set(night.mails.values())
            assert (
                sum(night.posts.values()) == sum(night.mails.values()) == sum(len(each.expected) for each in subjects)
            )
