"""N1: whoever starts a run, and wherever it or its sender is killed, its end is told by mail and by HTTP, once."""

import contextlib
import datetime as dt
import io
import json
import os
import shlex
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aetherflow.core.base.durable import failpoint as failpoints
from aetherflow.core.runtime.notify import start
from aetherflow.core.runtime.notify.start import Errand
from aetherflow.core.runtime.sending.sender import send_all
from aetherflow.scheduler.cli.app import main as scheduler_main
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.runs.telling import errand_of
from http_server import Running, running
from mail_server import MailServer, Start
from torture_bench import HANG_SECONDS, Bench, warm_up
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

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


@dataclass
class Night:
    """A project that tells by two real servers."""

    bench: Bench
    mail: MailServer
    http: Running

    @property
    def errand(self) -> Errand:
        document = self.bench.folder / "scheduler.yaml"
        if not document.exists():
            return Errand(self.bench.states, self.bench.folder)
        return errand_of(load_schedule(document), time.time_ns() // 1_000_000)._replace(root=self.bench.states)

    def settle(self) -> None:
        """Wait for the senders of runs that the scheduler has started."""
        end = time.monotonic() + HANG_SECONDS
        while any(str(self.bench.states).encode() in each and b"sending.sender" in each for each in _commands()):
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
                failpoints.setting = failpoint
                # the test starts the senders: a detached one would be the same, at a time that nobody knows
                start.start_sender = lambda errand, env: None
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
            os.waitpid(self.bench.fork(*arguments, failpoint=failpoint, before=_without_senders), 0)[1]
        )

    def scheduler(self, *arguments: str, failpoint: str = "") -> int:
        """A command of the scheduler; its runs are processes of their own, whose senders find nothing to do yet."""
        return self.fork(lambda: scheduler_main([*arguments]), failpoint)

    def send(self, failpoint: str = "") -> int:
        """A sender, as whoever comes next starts it, or `status --notify`."""
        self.settle()
        code = self.fork(lambda: send_all(self.errand, dict(os.environ)), failpoint)
        assert code in (0, KILLED), self.bench.error_text()
        return code

    def points(self, work: Callable[[str], object]) -> list[str]:
        """The names of the failpoints that some work passes."""
        names = self.bench.folder / "points"
        names.unlink(missing_ok=True)
        work(f"log:{names}")
        return names.read_text().splitlines()

    @property
    def mails(self) -> Counter[tuple[str, str]]:
        """Event and Message-ID of what the mail server took."""
        return Counter((each.message["Subject"].split()[0], each.message["Message-ID"]) for each in self.mail.box.mails)

    @property
    def posts(self) -> Counter[tuple[str, str]]:
        """Event and Idempotency-Key of what the HTTP server took."""
        return Counter(
            (json.loads(hit.body)["notifications"][0]["event"].upper(), hit.headers["idempotency-key"])
            for hit in self.http.api.hits
        )

    def check(self, expected: str, *, also: frozenset[str] = frozenset(), twice: bool = False) -> None:
        """Told once, by each receiver; another event only if it may be, and a message twice only under one id."""
        for got in (self.mails, self.posts):
            events = Counter(event for event, _ in got)
            assert events[expected] == 1, f"{expected} was told {events[expected]} times: {got}"
            assert events.keys() - also <= {expected}, f"more than that was told: {got}"
            assert max(events.values()) == 1, f"one cause was told twice: {got}"
            assert max(got.values()) <= (2 if twice else 1), f"one message came {max(got.values())} times: {got}"

    def forget(self) -> None:
        self.bench.forget()
        self.hear()

    def hear(self) -> None:
        """Forget what was received."""
        self.mail.box.mails.clear()
        self.http.api.reset()

    def schedule(self, *, at: dt.datetime, since: dt.datetime, more: str = "") -> str:
        """Write a schedule with one slot a day."""
        text = SCHEDULE.format(
            state=self.bench.states / "ledger.sqlite",
            cron=f"{at.minute} {at.hour} * * *",
            since=f"{since:%Y-%m-%dT%H:%M:%SZ}",
            more=more,
        )
        (self.bench.folder / "scheduler.yaml").write_text(text)
        return "scheduler.yaml"


def _commands() -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield process.read_bytes()


def _without_senders() -> None:
    start.start_sender = lambda errand, env: None


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
        yield found


def killed_here(name: str) -> bool:
    """Whether a kill at a point may come between the receiver's yes and its record."""
    return name in ("message accepted", "begin message sent", "commit message sent")


def test_the_sender_is_killed_at_every_point(night: Night) -> None:
    """Whichever transition it is, however far its sender gets: the next one tells the rest."""
    bench = night.bench
    with suite("N1 sender", 15) as counted:
        for event, make in (("FAILED", fail), ("REFUSED", refuse), ("INTERRUPTED", kill_run), ("UNKNOWN", ask)):
            make(night)
            kept = bench.folder / "kept"
            shutil.copytree(bench.states, kept)
            names = night.points(night.send)
            numbers = [number for number, name in enumerate(names, 1) if full() or _tells(name)]
            for number in sample(numbers, sized(2, len(numbers)), f"N1-{event}"):
                with counted.case(f"{event}: sender killed at {number}, {names[number - 1]}"):
                    shutil.rmtree(bench.states)
                    shutil.copytree(kept, bench.states)
                    night.hear()
                    assert night.send(f"{number}:kill") == KILLED
                    night.send()
                    night.check(event, twice=killed_here(names[number - 1]), also=EARLIER.get(event, frozenset()))
            shutil.rmtree(kept)
            night.forget()


EARLIER = {"UNKNOWN": frozenset({"INTERRUPTED"})}


def _tells(name: str) -> bool:
    """Points between which something changes; the others are those of the lease."""
    words = ("message", "notifications", "outbox", "run gone", "rules", "book")
    return any(word in name for word in words)


def fail(night: Night) -> None:
    night.bench.write(FAILS)
    assert night.run() == 1


def refuse(night: Night) -> None:
    night.bench.write(WRONG)
    assert night.run() == 2


def kill_run(night: Night) -> None:
    night.bench.write(WELL)
    names = night.points(night.run)
    night.bench.forget()
    assert night.run(f"{names.index('commit step RUNNING') + 2}:kill") == KILLED


def ask(night: Night) -> None:
    night.bench.write(ASKS)
    names = night.points(night.run)
    night.bench.forget()
    assert night.run(f"{names.index('create s.txt') + 1}:kill") == KILLED
    assert night.run() == 1


def test_the_run_is_killed_at_the_end(night: Night) -> None:
    """A run of cron, systemd or CI: killed before its end is recorded it is told as gone, then as what it became."""
    bench = night.bench
    bench.write(FAILS)
    names = night.points(night.run)
    bench.forget()
    first = names.index("begin run FAILED") + 1
    with suite("N1 run", 15) as counted:
        points = list(range(first, len(names) + 1))
        for number in sample(points, sized(3, len(points)), "N1-run"):
            with counted.case(f"run killed at {number}, {names[number - 1]}"):
                night.hear()
                assert night.run(f"{number}:kill") == KILLED
                night.send()
                recorded = bench.rows("SELECT status FROM runs")[0][0]
                night.check("FAILED" if recorded == "FAILED" else "INTERRUPTED")
                assert night.run() == 1
                night.send()
                night.check("FAILED", also=frozenset({"INTERRUPTED"}))
                bench.write(WELL)
                assert night.run("", "resume", "r", "--accept-changes") == 0
                night.send()
                night.check("RECOVERED", also=frozenset({"INTERRUPTED", "FAILED"}))
                bench.write(FAILS)
            bench.forget()


@pytest.mark.parametrize("by", ["tick", "run-item"])
def test_the_scheduler_is_killed(night: Night, by: str) -> None:
    """Runs and slots: one message for both, whichever of the two processes is killed."""
    bench = night.bench
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    document = night.schedule(at=now, since=now - dt.timedelta(hours=1), more=", misfire_grace_time: 3600")
    words = (by, document, "-q") if by == "tick" else (by, document, "night", "--trigger", "cron", "-q")
    bench.write(FAILS_ALONE)
    names = night.points(lambda failpoint: night.scheduler(*words, failpoint=failpoint))
    night.settle()
    night.forget()
    with suite(f"N1 {by}", 15) as counted:
        points = [number for number, name in enumerate(names, 1) if full() or "slot" in name or "spawn" in name]
        for number in sample(points, sized(1, 25), f"N1-{by}"):
            with counted.case(f"{by} killed at {number}, {names[number - 1]}"):
                assert night.scheduler(*words, failpoint=f"{number}:kill") == KILLED
                night.send()
                end = time.monotonic() + HANG_SECONDS
                while _slots(bench) != ["FAILED"]:
                    assert time.monotonic() < end, f"the slot never ends: {_slots(bench)}, {bench.error_text()}"
                    night.scheduler(*words)
                night.send()
                night.check("FAILED", also=frozenset({"INTERRUPTED"}))
            night.forget()


def _slots(bench: Bench) -> list[str]:
    ledger = bench.states / "ledger.sqlite"
    if not ledger.exists():
        return []
    with contextlib.closing(sqlite3.connect(ledger)) as db, contextlib.suppress(sqlite3.OperationalError):
        return [status for (status,) in db.execute("SELECT status FROM slots WHERE status<>'MISSED'")]
    return []  # killed before there was a table


def test_missed_slots_are_told_and_their_recovery(night: Night) -> None:
    bench = night.bench
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    past = now - dt.timedelta(minutes=30)
    bench.write(WELL_ALONE)
    with suite("N1 missed", 15) as counted, counted.case("three slots missed, one run by hand"):
        document = night.schedule(at=past, since=past - dt.timedelta(days=2, minutes=1))
        assert night.scheduler("tick", document, "-q") == 0
        night.send()
        night.check("MISSED")
        command = json.loads(night.http.api.hits[0].body)["notifications"][0]["next"]
        program, *words = shlex.split(command)
        assert (program, words[0]) == ("aetherflow-scheduler", "run-item")
        assert night.scheduler(*words, "-q") == 0, "the next command works as it stands"
        night.send()
        night.check("RECOVERED", also=frozenset({"MISSED"}))


def test_receivers_that_are_down_change_nothing_of_the_run(night: Night) -> None:
    """A server that is not there, and a webhook that is wrong: what could not be sent is sent by the next sender."""
    bench = night.bench
    bench.write(FAILS)
    project = bench.folder / "aetherflow.yaml"
    text = project.read_text()
    with suite("N1 receivers", 15) as counted:
        for down, wrong in (("mail", f"port: {night.mail.port}"), ("hook", "/echo")):
            with counted.case(f"{down} is down"):
                project.write_text(text.replace(wrong, {"mail": "port: 1", "hook": "/status/404"}[down]))
                assert night.run() == 1
                night.send()
                night.send()
                events = Counter(event for event, _ in (night.posts if down == "mail" else night.mails))
                assert events == {"FAILED": 1}, "the other receiver has nothing to do with it"
                night.http.api.hits[:] = [hit for hit in night.http.api.hits if hit.path == "/echo"]
                project.write_text(text)
                night.send()
                night.check("FAILED")
            night.forget()
