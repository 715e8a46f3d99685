"""P2: what changed since a flow last worked, beside at least five innocent differences: the cause comes first."""

import contextlib
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wheels

from core_project import Project
from torture_tier import SEED, full, sized, suite

pytestmark = pytest.mark.slow

FLOW = """
version: 1
flow:
  id: nightly
  params:
    limit: {type: string, default: "100"}
    colour: {type: string, default: "red"}
    unread: {type: string, default: "1"}
jobs:
  - id: load
    steps:
      - {id: extract, type: lab.read, inputs: {file: FOLDER/orders.csv}, outputs: {rows: rows}}
      - id: check
        type: lab.read
        inputs: {file: FOLDER/rules.csv, sql: "select SQL", limit: "{{params.limit}}", region: "{{env.REGION}}",
          token: "{{env.API_TOKEN}}", rows: "{{steps.extract.rows}}", fails: true}
  - id: other
    steps:
      - id: noise
        type: lab.noise
        inputs: {file: FOLDER/noise.csv, text: "TEXT", colour: "{{params.colour}}", noise: "{{env.NOISE}}"}
"""
STEPS = """
import time
from pathlib import Path
from typing import Any

from aetherflow.core.api import Step, StepError, StepResult


class Read(Step[Any]):
    def run(self) -> StepResult:
        path = self.ctx.read_path(self.inputs["file"])
        if self.inputs.get("fails") and path.with_name("broken").exists():
            if path.with_name("slow").exists():
                time.sleep(0.8)
                raise StepError("the peer has timed out")
            raise StepError("it does not add up")
        return StepResult(output={"rows": len(path.read_text().splitlines())})


class Noise(Read):
    pass
"""
ENTRIES = "[aetherflow.steps]\nlab.read = lab_steps:Read\nlab.noise = lab_steps:Noise\n"
CANARIES = ("canary-one-secret", "canary-two-secret")


class Lab:
    """A flow that has worked once, and fails once after something has changed."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.project, self.random, self.env = project, random.Random(name), monkeypatch
        self.params: dict[str, str] = {}
        self.flow = FLOW.replace("FOLDER", str(project.folder))
        self.after: list[str] = []
        """Statements that change what the second run has recorded: of other hosts, engines and plugins."""
        for file, rows in (("orders", 1000), ("rules", 50), ("noise", 300)):
            self.write(file, rows)
        for variable, value in (("REGION", "north"), ("NOISE", "a"), ("API_TOKEN", CANARIES[0])):
            monkeypatch.setenv(variable, value)

    def write(self, file: str, rows: int, head: str = "id,amount") -> None:
        lines = [head, *(f"{number},{self.random.randint(1, 999)}" for number in range(rows))]
        self.path(file).write_text("\n".join(lines) + "\n" if rows or head else "")

    def path(self, file: str) -> Path:
        return self.project.folder / f"{file}.csv"

    def run(self, run_id: str, code: int) -> None:
        self.project.write(self.flow, "flow.yaml")
        given = [each for item in self.params.items() for each in ("--param", "=".join(item))]
        done = self.project.cli("run", "flow.yaml", "-q", "--run-id", run_id, *given)
        assert done.code == code, done

    def record(self) -> None:
        with contextlib.closing(sqlite3.connect(self.project.states / "nightly.sqlite")) as db:
            for statement in self.after:
                db.execute(statement)
            db.commit()

    def plugin(self, name: str) -> None:
        self.after.append(
            f'UPDATE journal SET detail=replace(detail, \'"lab.{name}":"lab-steps 1.0"\', '
            f"'\"lab.{name}\":\"lab-steps 1.1\"') WHERE run_id='bad' AND event='run_start'"
        )


def _input(file: str, change: str) -> Callable[[Lab], None]:
    def apply(lab: Lab) -> None:
        rows = 1000 if file == "orders" else 50
        sizes = {"truncated": rows // 10, "empty": 0, "twice": rows * 2, "schema": rows}
        lab.write(file, sizes[change], {"empty": "", "schema": "id;sum;country"}.get(change, "id,amount"))

    return apply


def _sql(lab: Lab) -> None:
    lab.flow = lab.flow.replace("select SQL", "select SQL where amount > 1")


READS = {"orders": {("input", "orders"), ("output", "load.extract.rows")}, "rules": {("input", "rules")}}
CAUSES: dict[str, tuple[Callable[[Lab], object], set[tuple[str, str]]]] = {
    "changed SQL": (_sql, {("definition", "load.check")}),
    "parameter": (lambda lab: lab.params.update(limit="7"), {("parameter", "limit")}),
    "env key": (lambda lab: lab.env.setenv("REGION", "south"), {("variable", "REGION")}),
    "secret rotated": (lambda lab: lab.env.setenv("API_TOKEN", CANARIES[1]), {("variable", "API_TOKEN")}),
    "plugin version": (lambda lab: lab.plugin("read"), {("plugin", "lab.read")}),
    "engine": (lambda lab: lab.after.append("UPDATE runs SET engine_version='9' WHERE run_id='bad'"), {("engine", "")}),
    "host": (lambda lab: lab.after.append("UPDATE runs SET host='other' WHERE run_id='bad'"), {("host", "")}),
    **{
        f"input {change} ({file})": (_input(file, change), READS[file])
        for change in ("truncated", "empty", "schema", "twice")
        for file in READS
    },
}
INNOCENT: dict[str, Callable[[Lab], object]] = {
    "another step": lambda lab: setattr(lab, "flow", lab.flow.replace("TEXT", "TEXT, longer")),
    "a parameter that nobody reads": lambda lab: lab.params.update(unread="2"),
    "a parameter of another step": lambda lab: lab.params.update(colour="blue"),
    "a variable of another step": lambda lab: lab.env.setenv("NOISE", "b"),
    "another plugin": lambda lab: lab.plugin("noise"),
    "rows of another step": lambda lab: lab.write("noise", 900),
    "orders of another day": lambda lab: lab.write("orders", 1000 + lab.random.randint(-40, 40)),
    "who started it": lambda lab: lab.after.append("UPDATE runs SET actor='cron', trigger='tick' WHERE run_id='bad'"),
    "the day": lambda lab: lab.after.append(
        "UPDATE runs SET run_date='2030-01-01', data_date='2030-01-01' WHERE run_id='bad'"
    ),
}


@pytest.fixture
def labs(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project.plugin("lab-steps", ENTRIES)
    project.module("lab_steps", STEPS)
    monkeypatch.syspath_prepend(project.site)
    wheels.forget()
    yield project
    monkeypatch.undo()
    wheels.forget()


def ranks(labs: Project, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> int:
    """At which place the cause stands, from 1 on; 99 if it does not."""
    for path in labs.folder.iterdir():
        if path.suffix in (".csv", ".yaml") or path.name in ("broken", "slow"):
            path.unlink()
    # the run index, too: it knows the runs of the state, and would refuse their ids
    for state in (*labs.states.glob("nightly.sqlite*"), *labs.states.glob("engine/registry.sqlite*")):
        if state.is_file():
            state.unlink()
    lab = Lab(labs, monkeypatch, f"{SEED}-{name}-{number}")
    cause, accepted = CAUSES[name]
    lab.run("good", 0)
    innocent = [each for each in INNOCENT if not ("orders" in name and "orders" in each)]
    for each in lab.random.sample(innocent, lab.random.randint(5, len(innocent))):
        INNOCENT[each](lab)
    cause(lab)
    (labs.folder / "broken").touch()
    lab.run("bad", 1)
    lab.record()
    shown = labs.cli("runs", "diff", "bad", "--json")
    text = labs.cli("runs", "diff", "good", "bad").out
    assert shown.code == 0, shown
    assert not any(canary in text + shown.out for canary in CANARIES)
    found = json.loads(shown.out)["differences"]
    assert len(found) >= 6, found
    for place, each in enumerate(found, 1):
        if any(each["kind"] == kind and words in each["name"] for kind, words in accepted):
            return place
    return 99


def test_the_cause_is_named(labs: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of twelve kinds: the true cause first in 70 %, among three in 95 %; no secret is shown."""
    names = [name for number in range(sized(1, 3)) for name in CAUSES][: sized(16, 40)]
    places: dict[str, int] = {}
    with suite("P2 causes", 11) as counted:
        for number, name in enumerate(names):
            with counted.case(name):
                places[f"{name} {number}"] = ranks(labs, monkeypatch, name, number)
        with counted.case("how often it comes first, and among three"):
            first = sum(place == 1 for place in places.values()) / len(places)
            three = sum(place <= 3 for place in places.values()) / len(places)
            print(f"first {first:.0%}, among three {three:.0%}")
            assert (first >= 0.7, three >= 0.95) == (True, True), places
    assert full() or len(places) == len(CAUSES)


def test_equal_runs_differ_in_nothing(labs: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(labs, monkeypatch, "equal")
    lab.run("good", 0)
    lab.run("again", 0)
    shown = json.loads(labs.cli("runs", "diff", "again", "--json").out)
    assert (shown["before"]["run_id"], shown["differences"]) == ("good", [])
    assert labs.cli("runs", "diff", "good", "again").out.endswith("nothing that is recorded is different\n")
