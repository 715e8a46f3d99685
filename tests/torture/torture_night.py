"""A project that tells by two real servers, whose runs and senders are forks that a test kills where it wants."""

import contextlib
import datetime as dt
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base import durable
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.runtime.notify import start
from aetherflow.core.runtime.notify.start import SendRequest
from aetherflow.core.runtime.sending.sender import send_all
from aetherflow.core.runtime.workspace.places import SENDER
from aetherflow.core.testing.failpoints import arm
from aetherflow.scheduler.cli.app import main as scheduler_main
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.runs.notifying import send_request_of
from aetherflow.scheduler.time.clock import Clock
from http_server import Running, running
from mail_server import MailServer, Start
from torture_bench import HANG_SECONDS, Bench, warm_up
from torture_tier import Suite, sample, sized
from warm import forking
from warm_request import EXECUTABLE

KILLED = -signal.SIGKILL
PROJECT = """\
version: 1
resources:
  post: {{kind: mail, driver: smtp, config: {{host: localhost, port: {mail}, tls: none, from_addr: n@x.test}}}}
  hook: {{kind: rest, driver: httpx, config: {{base_url: "http://localhost:{http}/echo"}}}}
notify:
  - {{to: post, recipients: [oncall@x.test]}}
  - {{to: hook}}
"""
HEAD = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: one, type: torture_effect}, "
FAILS = HEAD + "{id: s, type: fail, inputs: {message: no}}]}]\n"
WELL = HEAD + "{id: s, type: torture_effect}]}]\n"
FAILS_ALONE = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n"
WELL_ALONE = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
"""Without steps of the test, for runs that are processes of their own."""
ASKS = HEAD + "{id: s, type: torture_effect, effect: once}]}]\n"
WRONG = HEAD + "{id: s, type: no_such_type}]}]\n"
SCHEDULE = """\
version: 1
timezone: UTC
state: {state}
items: [{{id: night, cron: "{cron}", flow: flow.yaml, since: "{since}"{more}}}]
"""


start_sender = start.start_sender
"""The true one; forks have none unless they ask for it."""
SHIFT = "TORTURE_SHIFT"
"""Seconds by which the wall clock of a project's processes is ahead."""
SHIFTED = f"""\
import os, time
def shift(seconds, clock=time.time, clock_ns=time.time_ns):
    time.time = lambda: clock() + seconds
    time.time_ns = lambda: clock_ns() + round(seconds * 10**9)
shift(float(os.environ.get("{SHIFT}", "0")))
"""


@dataclass
class Night:
    """A project that tells by two real servers."""

    bench: Bench
    mail: MailServer
    http: Running
    hushed: bool = False
    """Whether whoever starts something starts no sender."""
    due: int = 0
    """The slot of the schedule whose time has come, in UTC epoch milliseconds."""

    @property
    def request(self) -> SendRequest:
        document = self.bench.folder / "scheduler.yaml"
        if not document.exists():
            return SendRequest(self.bench.states, self.bench.folder)
        return send_request_of(load_schedule(document), time.time_ns() // 1_000_000)._replace(root=self.bench.states)

    def senders(self) -> list[bytes]:
        """The command lines of the living senders of this project."""
        return [each for each in _commands() if str(self.bench.states).encode() in each and b"sending.sender" in each]

    @contextlib.contextmanager
    def hush(self) -> Iterator[None]:
        """Let no sender get its turn, and end those that wait for theirs."""
        side = durable.side_folder(start.book_of(self.bench.states))
        with LockStore(side / "locks.sqlite") as locks:
            lease = locks.acquire(SENDER, Owner("notify", "nobody"))
            self.hushed = True
            try:
                yield
            finally:
                self.hushed = False
                self.end_all()
                while self.senders():  # one that was just about to be started
                    self.end_all()
                lease.release()

    def settle(self) -> None:
        """Wait for the senders of runs that the scheduler has started."""
        end = time.monotonic() + HANG_SECONDS
        while self.senders():
            assert time.monotonic() < end, "a sender does not end"
            time.sleep(0.05)

    def fork(self, work: Callable[[], object], failpoint: str = "") -> int:
        """Do it in a forked process; its exit code, or minus its signal."""
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 99
            try:
                signal.alarm(HANG_SECONDS)
                os.chdir(self.bench.folder)
                os.environ.update(self.bench.env)
                arm(failpoint)
                _begin()
                with (
                    self.bench.errors.open("w") as err,
                    contextlib.redirect_stdout(io.StringIO()),
                    contextlib.redirect_stderr(err),
                ):
                    code = int(work() or 0)  # type: ignore[call-overload]
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def run(self, failpoint: str = "", *arguments: str) -> int:
        """`aetherflow run`, or another command of it, as cron and systemd start it."""
        return os.waitstatus_to_exitcode(
            os.waitpid(self.bench.fork(*arguments, failpoint=failpoint, before=_begin), 0)[1]
        )

    def scheduler(self, *arguments: str, failpoint: str = "") -> int:
        """A command of the scheduler; its runs are processes of their own, whose senders find nothing to do yet."""
        return self.fork(lambda: scheduler_main([*arguments]), failpoint)

    def send(self, failpoint: str = "") -> int:
        """A sender, as whoever comes next starts it, or `status --notify`."""
        self.settle()
        code = self.fork(lambda: send_all(self.request, dict(os.environ)), failpoint)
        assert code in (0, KILLED), self.bench.error_text()
        return code

    def end_all(self) -> None:
        """End all processes that the project has started, as systemd, a container or a CI job does at its own end."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # one that was forked has the environment of the warm interpreter there, and its own folder
                ours = f"AETHERFLOW_STATE_ROOT={self.bench.states}\0".encode() in (process / "environ").read_bytes()
                if ours or (process / "cwd").readlink() == self.bench.folder:
                    os.kill(int(process.name), signal.SIGKILL)

    def points(self, work: Callable[[str], object]) -> list[str]:
        """The names of the failpoints that some work passes."""
        names = self.bench.folder / "points"
        names.unlink(missing_ok=True)
        work(f"log:{names}")
        return names.read_text().splitlines()

    @property
    def mails(self) -> Counter[tuple[str, str]]:
        """Event and Message-ID of what the mail server took; several events of one mail are counted in its subject."""
        found: Counter[tuple[str, str]] = Counter()
        for mail in self.mail.box.mails:
            subject = mail.message["Subject"]
            for count, event in re.findall(r"(\d+) ([A-Z]+)", subject) or [(1, subject.split()[0])]:
                found[event, mail.message["Message-ID"]] += int(count)
        return found

    @property
    def posts(self) -> Counter[tuple[str, str]]:
        """Event and Idempotency-Key of what the HTTP server took."""
        return Counter(
            (each["event"].upper(), hit.headers["idempotency-key"])
            for hit in self.http.api.hits
            for each in json.loads(hit.body)["notifications"]
        )

    def notified(self) -> list[dict[str, Any]]:
        """What the HTTP server took."""
        return [each for hit in self.http.api.hits for each in json.loads(hit.body)["notifications"]]

    def check(self, expected: str, *, also: frozenset[str] = frozenset(), twice: bool = False) -> None:
        """Told once, by each receiver; another event only if it may be, and a message twice only under one id.

        A run that is killed again in another step is told again: that is another cause.
        """
        places = {each["step"] for each in self.notified() if each["event"].upper() == expected}
        most = len(places) if expected == "INTERRUPTED" else 1
        for got in (self.mails, self.posts):
            events = Counter(event for event, _ in got)
            assert 1 <= events[expected] <= most, f"{expected} was told {events[expected]} times: {got}"
            assert events.keys() - also <= {expected}, f"more than that was told: {got}"
            assert max(events.values()) <= max(most, 1), f"one cause was told twice: {got}"
            assert max(got.values()) <= (2 if twice else 1), f"one message came {max(got.values())} times: {got}"

    def kill_senders(
        self, counted: Suite, event: str, name: str, *, also: frozenset[str] = frozenset(), everywhere: bool = False
    ) -> None:
        """Kill a sender of what waits now at its points, each time anew; the next one sends what is left, once.

        :param name: of the sample that T0 takes
        :param everywhere: also where the sender changes nothing
        """
        kept = self.bench.folder / "kept"
        shutil.copytree(self.bench.states, kept)
        names = self.points(self.send)
        numbers = [number for number, point in enumerate(names, 1) if everywhere or tells(point)]
        for number in sample(numbers, sized(2, len(numbers)), name):
            with counted.case(f"{event}: sender killed at {number}, {names[number - 1]}"):
                shutil.rmtree(self.bench.states)
                shutil.copytree(kept, self.bench.states)
                self.hear()
                assert self.send(f"{number}:kill") == KILLED
                self.send()
                self.check(event, twice=killed_here(names[number - 1]), also=also)
        shutil.rmtree(kept)

    def slots(self, since: int = 0) -> list[str]:
        """The states of the slots of the ledger."""
        ledger = self.bench.states / "ledger.sqlite"
        if not ledger.exists():
            return []
        query = "SELECT status FROM slots WHERE slot>=? ORDER BY slot"
        with contextlib.closing(sqlite3.connect(ledger)) as db, contextlib.suppress(sqlite3.OperationalError):
            return [status for (status,) in db.execute(query, (since,))]
        return []  # killed before there was a table

    def forget(self) -> None:
        self.bench.forget()
        self.hear()

    def hear(self) -> None:
        """Forget what was received."""
        self.mail.box.mails.clear()
        self.http.api.reset()

    def set_clock(self, now: dt.datetime) -> None:
        """Let all processes of the project have another time."""
        (self.bench.folder / "site/sitecustomize.py").write_text(SHIFTED)
        ahead = now - dt.datetime.now(dt.UTC)
        self.bench.env |= {SHIFT: str(ahead.total_seconds()), "PYTHONPATH": str(self.bench.folder / "site")}

    def schedule(self, *, at: dt.datetime, since: dt.datetime, more: str = "", hourly: bool = False) -> str:
        """Write a schedule with one slot a day, or an hour."""
        text = SCHEDULE.format(
            state=self.bench.states / "ledger.sqlite",
            cron=f"{at.minute} {'*' if hourly else at.hour} * * *",
            since=f"{since:%Y-%m-%dT%H:%M:%SZ}",
            more=more,
        )
        (self.bench.folder / "scheduler.yaml").write_text(text)
        self.due = int(at.timestamp() * 1000)
        return "scheduler.yaml"


def _commands() -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*"):  # below it a glob asks for processes that are gone by now
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_bytes()


def telling(program: Callable[[list[str]], int], *words: str) -> int:
    """In a fork: a command that starts true senders."""
    start.start_sender = start_sender
    return program(list(words))


def killed_here(name: str) -> bool:
    """Whether a kill at a point may come between the receiver's yes and its record."""
    return name in ("message accepted", "begin message sent", "commit message sent")


def tells(name: str) -> bool:
    """Whether something changes at a point of a sender; the others are those of the lease."""
    words = ("message", "notifications", "outbox", "run gone", "rules", "book")
    return any(word in name for word in words)


def _begin() -> None:
    """In a fork: set the clock. The test starts the senders: a detached one is the same at a time that nobody knows.

    What else it starts is forked by the warm interpreter.
    """
    start.start_sender = lambda request, env: None
    sys.executable = os.environ[EXECUTABLE]
    if (shift := float(os.environ.get(SHIFT, "0"))) != 0:
        exec(SHIFTED)  # what the processes of a scheduler do as they start
        Clock.now = lambda self: dt.datetime.now(dt.UTC) + dt.timedelta(seconds=shift)  # type: ignore[method-assign]


@pytest.fixture
def night(bench: Bench, start_mail_server: Start) -> Iterator[Night]:
    mail = start_mail_server("none")
    with running() as http:
        found = Night(bench, mail, http)
        bench.write(FAILS)
        warm_up(bench)
        bench.forget()
        (bench.folder / "aetherflow.yaml").write_text(PROJECT.format(mail=mail.port, http=http.port))
        found.hear()
        bench.env |= forking()
        yield found
