"""What a service manager hears of a scheduler: over a real socket, as systemd listens."""

import datetime as dt
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aetherflow.scheduler.loop.supervisor import Supervisor
from scheduler_bench import Bench, day

Until = Callable[..., Any]


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(address)
        made.setblocking(False)
        yield made


def heard(made: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(made.recv(4096).decode())
        except BlockingIOError:
            return found


def test_ready_alive_and_stopping_are_told(bench: "Bench", until: Until) -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"})
    with manager(str(bench.folder / "notify")) as made:
        lines: list[str] = []
        env = {"NOTIFY_SOCKET": str(bench.folder / "notify"), "WATCHDOG_USEC": "300000"}
        process = bench.start("run", "scheduler.yaml", **env)

        def lives() -> bool:
            lines.extend(heard(made))
            return lines.count("WATCHDOG=1") > 1

        until(lives)
        assert lines[:2] == ["READY=1", "WATCHDOG=1"]
        assert "STATUS=leads, 0 runs" in lines
        assert bench.stop(process) == 0
        assert heard(made)[-1] == "STOPPING=1"


def test_what_a_run_starts_does_not_speak_for_the_scheduler(bench: "Bench", until: Until) -> None:
    seen = bench.folder / "seen"
    bench.flow(["sh", "-c", f"env > {seen}.part && mv {seen}.part {seen}"])
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "since": day(2), "misfire": "last"})
    with manager(str(bench.folder / "notify")):
        process = bench.start("run", "scheduler.yaml", NOTIFY_SOCKET=str(bench.folder / "notify"), WATCHDOG_USEC="9")
        until(seen.exists)
        assert bench.stop(process) == 0
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & {line.partition("=")[0] for line in seen.read_text().splitlines()}


def test_a_ledger_that_cannot_be_written_is_shown_and_what_was_due_meanwhile_is_entered(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *", "misfire": "all"})
    with manager(str(bench.folder / "notify")) as made:
        monkeypatch.setenv("NOTIFY_SOCKET", str(bench.folder / "notify"))
        scheduler = bench.scheduler()
        slots: list[int] = []

        def refuse(number: int) -> None:
            scheduler._ledger.db.execute(f"PRAGMA query_only={number}")
            slots.append(len(bench.slots("a")))

        bench.clock.at(dt.timedelta(seconds=90), lambda: refuse(1))
        bench.clock.at(dt.timedelta(seconds=270), lambda: refuse(0))
        bench.clock.until, bench.clock.at_end = bench.clock.mono + 300, scheduler.stop.stop
        assert scheduler.run() == 0
        told = [line for line in heard(made) if line.startswith("STATUS=")]
    shown = [line.endswith("; the ledger cannot be written") for line in told]
    assert (shown.count(True) >= 1, shown[0], shown[-1]) == (True, False, False)
    assert slots[0] == slots[1], "nothing was entered meanwhile"
    assert len(bench.slots("a")) >= slots[1] + 3
    said = bench.told.getvalue()
    assert (said.count("trying again"), said.count("the ledger can be written again")) == (1, 1)


def test_a_socket_without_a_name_in_the_file_system() -> None:
    name = f"aetherflow-test-{os.getpid()}"
    with manager(f"\0{name}") as made:
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).status("leads")
        assert heard(made) == ["STATUS=leads"]


def test_nobody_who_hears_disturbs_nothing(bench: "Bench") -> None:
    nobody = Supervisor({"NOTIFY_SOCKET": str(bench.folder / "gone"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    nobody.alive(0.0)
    nobody.stopping()
    with manager(str(bench.folder / "full")) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf = Supervisor({"NOTIFY_SOCKET": str(bench.folder / "full"), "WATCHDOG_USEC": "30000000"})
        for now in range(100_000, 200_000, 11):  # nobody reads: the next message is dropped, and waits for no one
            deaf.alive(now)
        assert heard(made)[0] == "READY=1"


def test_the_watchdog_of_another_process_is_not_ours(bench: "Bench") -> None:
    with manager(str(bench.folder / "notify")) as made:
        env = {"NOTIFY_SOCKET": str(bench.folder / "notify"), "WATCHDOG_USEC": "30000000"}
        Supervisor({**env, "WATCHDOG_PID": "1"}).alive(100.0)
        assert heard(made) == ["READY=1"]
        ours = Supervisor({**env, "WATCHDOG_PID": str(os.getpid())})
        for now in (100.0, 109.9, 110.0, 119.0):
            ours.alive(now)
        assert heard(made) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]


def test_a_signal_before_the_first_pass_starts_nothing(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *"})
    made = bench.scheduler()
    made.stop.stop(signal.SIGTERM)
    assert made.run() == 0
    assert bench.launcher.started() == []
