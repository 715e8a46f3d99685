"""Faults of a third-party launcher name package, file and line, and its traceback is in the log of the slot's run."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wheels

from scheduler_bench import day

if TYPE_CHECKING:
    from scheduler_bench import Bench

LAUNCHERS = """\
from aetherflow.scheduler.launchers import Launcher, Running
from acme_l.queues import queue

class Starts(Launcher):
    def start(self, request, ended):
        queue()

class Polls(Launcher):
    def start(self, request, ended):
        ended()
        return Handle()

class Handle(Running):
    def poll(self):
        queue()
    def terminate(self):
        pass
    def kill(self):
        pass

class Made(Launcher):
    def __init__(self):
        queue()
    def start(self, request, ended):
        raise NotImplementedError

class Exits(Launcher):
    def start(self, request, ended):
        print("not for stdout")
        raise SystemExit(3)

class Nothing(Launcher):
    def start(self, request, ended):
        return None
"""
POINTS = "[aetherflow.launchers]\n" + "".join(
    f"{name.lower()} = acme_l.launchers:{name}\n" for name in ("Starts", "Polls", "Made", "Exits", "Nothing")
)
FILES = {
    "acme_l/__init__.py": "",
    "acme_l/launchers.py": LAUNCHERS,
    "acme_l/queues.py": "def queue():\n    return {}['q']\n",
}


@pytest.mark.parametrize("launcher", ["starts", "polls", "made"])
def test_a_fault_of_a_launcher_names_its_line(bench: "Bench", launcher: str) -> None:
    site = bench.folder / "site"
    wheels.install(site, "acme-l", POINTS, FILES)
    bench.flow(["true"])
    bench.schedule_of(
        {"id": "a", "flow": "flow.yaml", "cron": "0 0 * * *", "since": day(0), "misfire": "last", "launcher": launcher}
    )
    bench.command("tick", "scheduler.yaml", code=1, PYTHONPATH=str(site))
    said = f"the launcher '{launcher}' has a fault: KeyError: q (acme-l 1.0, acme_l/queues.py:2)"
    assert said in bench.errors
    ((reason, log),) = bench.rows("SELECT reason, log FROM slots")
    assert reason.endswith(said)
    assert f"log {log}" in bench.errors
    text = Path(log).read_text()
    assert text.startswith(f'Traceback (most recent call last):\n  File "{site}/acme_l/launchers.py", line '), text
    assert f'  File "{site}/acme_l/queues.py", line 2, in queue\n' in text
    assert text.endswith("KeyError: 'q'\n")


def test_a_launcher_that_exits_fails_its_slot_alone(bench: "Bench") -> None:
    site = bench.folder / "site"
    wheels.install(site, "acme-l", POINTS, FILES)
    bench.flow(["true"])
    item = {"id": "a", "flow": "flow.yaml", "cron": "0 0 * * *", "since": day(0), "misfire": "last"}
    bench.schedule_of(item | {"launcher": "exits"}, item | {"id": "b"})
    bench.command("tick", "scheduler.yaml", code=1, PYTHONPATH=str(site))
    assert "the launcher 'exits' has a fault: SystemExit: 3 (acme-l 1.0, acme_l/launchers.py:" in bench.errors
    assert bench.rows("SELECT item, status FROM slots ORDER BY item") == [("a", "FAILED"), ("b", "SUCCESS")]


def test_a_launcher_that_gives_no_run_is_named(bench: "Bench") -> None:
    site = bench.folder / "site"
    wheels.install(site, "acme-l", POINTS, FILES)
    bench.flow(["true"])
    bench.schedule_of(
        {"id": "a", "flow": "flow.yaml", "cron": "0 0 * * *", "since": day(0), "misfire": "last", "launcher": "nothing"}
    )
    bench.command("tick", "scheduler.yaml", code=1, PYTHONPATH=str(site))
    assert "the launcher 'nothing' has a fault: TypeError: start() gave NoneType, not a Running" in bench.errors
