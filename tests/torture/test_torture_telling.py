"""N1: whoever starts a run, and wherever it or its sender is killed, its end is told by mail and by HTTP, once."""

import datetime as dt
import json
import shlex
import shutil
from collections import Counter

import pytest

from torture_night import ASKS, FAILS, KILLED, WELL, WELL_ALONE, WRONG, Night
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow


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
