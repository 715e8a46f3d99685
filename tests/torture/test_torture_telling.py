"""N1: whoever starts a run, and wherever it or its sender is killed, its end is told by mail and by HTTP, once."""

import datetime as dt
import json
import os
import shlex
import shutil
import sqlite3
import time
from collections import Counter

import pytest

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.cli import main
from aetherflow.core.runtime.sending.sender import send_all
from torture_bench import HANG_SECONDS
from torture_image import mounted, require_mounts, run
from torture_night import ASKS, FAILS, KILLED, WELL, WELL_ALONE, WRONG, Night, killed_here, telling
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow


def test_the_sender_is_killed_at_every_point(night: Night) -> None:
    """Whichever transition it is, however far its sender gets: the next one tells the rest."""
    with suite("N1 sender", 15) as counted:
        for event, make in (("FAILED", fail), ("REFUSED", refuse), ("INTERRUPTED", kill_run), ("UNKNOWN", ask)):
            make(night)
            also = EARLIER.get(event, frozenset())
            night.kill_senders(counted, event, f"N1-{event}", also=also, everywhere=full())
            night.forget()


EARLIER = {"UNKNOWN": frozenset({"INTERRUPTED"})}


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


def test_a_refused_start_that_is_tried_again_is_told_once(night: Night) -> None:
    """The scheduler is killed before it knows; the second start of the slot is refused as the first one was."""
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    night.bench.write(WRONG)
    with suite("N1 refused twice", 15) as counted, counted.case("run-item is killed before it ends its slot"):
        document = night.schedule(at=now, since=now - dt.timedelta(minutes=30), more=", misfire_grace_time: 3600")
        words = ("run-item", document, "night", "--trigger", "cron", "-q")
        names = night.points(lambda point: night.scheduler(*words, failpoint=point))
        night.settle()
        night.forget()
        assert night.scheduler(*words, failpoint=f"{names.index('begin slot FAILED') + 1}:kill") == KILLED
        end = time.monotonic() + HANG_SECONDS
        while night.slots() != ["FAILED"]:
            assert time.monotonic() < end, f"the slot never ends: {night.slots()}"
            night.scheduler(*words)
        night.send()
        night.check("REFUSED")


WRONG_PLACES = {
    "no mail server": "mail",
    "/status/404": "hook",
    "/status/401": "hook",
}
"""What is wrong, and with which receiver."""


def test_receivers_that_are_down_change_nothing_of_the_run(night: Night) -> None:
    """A server that is not there, and a webhook that is wrong: what could not be sent is sent by the next sender."""
    bench = night.bench
    bench.write(FAILS)
    project = bench.folder / "aetherflow.yaml"
    text = project.read_text()
    with suite("N1 receivers", 15) as counted:
        for wrong, down in WRONG_PLACES.items():
            with counted.case(wrong):
                place = (f"port: {night.mail.port}", "port: 1") if down == "mail" else ("/echo", wrong)
                project.write_text(text.replace(*place))
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


def test_a_receiver_that_hangs_holds_nobody_up(night: Night) -> None:
    """The run has ended while its true sender waits for an answer; killed there, it is followed by the next one."""
    bench = night.bench
    bench.write(FAILS)
    project = bench.folder / "aetherflow.yaml"
    text = project.read_text()
    with suite("N1 hanging", 15) as counted, counted.case("an HTTP server that does not answer"):
        project.write_text(text.replace("/echo", "/slow/3600"))
        assert night.fork(lambda: telling(main, "run", "flow.yaml", "--run-id", "r", "-q")) == 1
        assert bench.rows("SELECT status FROM runs") == [("FAILED",)]
        end = time.monotonic() + HANG_SECONDS
        while not night.http.api.count("/slow/3600"):
            assert time.monotonic() < end, "the sender asks nobody"
            time.sleep(0.02)
        assert night.senders(), "it waits, and the run has ended"
        night.end_all()
        night.http.api.reset()
        project.write_text(text)
        night.send()
        night.check("FAILED")


def test_a_disk_that_is_full_while_it_is_sent(night: Night) -> None:
    """No space at whatever a sender writes: the next one sends it, once."""
    bench = night.bench
    fail(night)
    kept = bench.folder / "kept"
    shutil.copytree(bench.states, kept)
    names = night.points(night.send)

    def send() -> int:
        try:
            send_all(night.request, dict(os.environ))
        except (AetherflowError, OSError, sqlite3.Error):  # as a sender's process does
            return 4
        return 0

    with suite("N1 no space", 15) as counted:
        for number in sample(range(1, len(names) + 1), sized(1, len(names)), "N1-no-space"):
            with counted.case(f"no space at {number}, {names[number - 1]}"):
                shutil.rmtree(bench.states)
                shutil.copytree(kept, bench.states)
                night.hear()
                assert night.fork(send, f"{number}:enospc") in (0, 4), bench.error_text()
                night.send()
                night.check("FAILED", twice=killed_here(names[number - 1]))
    shutil.rmtree(kept)


def test_a_full_disk_changes_nothing_of_the_run(night: Night) -> None:
    """On disks of all sizes a run ends as it does without rules; once there is room, its end is told."""
    bench = night.bench
    require_mounts(bench.folder, "tmpfs")
    bench.write(FAILS)
    project = bench.folder / "aetherflow.yaml"
    text = project.read_text()
    steps = 24
    sizes = [int(16 * 64 ** (step / (steps - 1))) for step in range(steps)]
    with suite("N1 full disk", 15) as counted:
        for size in sample(sizes, sized(1, steps), "N1-full-disk"):
            night.hear()
            ends = []
            for rules in ("version: 1\n", text):
                project.write_text(rules)
                with mounted("tmpfs", "tmpfs", f"size={size}k", bench.disk), counted.case(f"a disk of {size} KiB"):
                    code = night.fork(lambda: telling(main, "run", "flow.yaml", "--run-id", "r", "-q"))
                    night.settle()
                    assert code in (1, 4), bench.error_text()
                    ends.append((code, bench.try_rows("SELECT status FROM runs")))
                    if rules == text:
                        assert ends[0] == ends[1], "with rules it ends in another way than without"
                        run("mount", "-o", "remount,size=16m", str(bench.disk))
                        assert night.run() == 1
                        night.send()
                        night.check("FAILED", also=frozenset({"INTERRUPTED", "REFUSED"}))
