"""Late heartbeats of workers, over real brokers: what is killed, frozen or lost is shown, a planned stop is quiet."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import warm
from aetherflow.scheduler.launchers import broker, signing
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from brokers import redis_running
from celery_workers import Herd, herd_on

if TYPE_CHECKING:
    from scheduler_bench import Bench

pytestmark = pytest.mark.xdist_group("rabbit")  # one worker starts the server

LEASE = 1.0
BROKERS = pytest.mark.parametrize("herd", ["rabbit_url", "redis_url"], indirect=True)


@pytest.fixture
def herd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Herd]:
    with herd_on(tmp_path, request.getfixturevalue(request.param), monkeypatch) as made:
        yield made


class Watched(CeleryLauncher):
    """The launcher of a scheduler with an item of the usual queue."""

    def codes(self) -> set[str]:
        return {each.code for each in self.late_heartbeats(LEASE, [None])}


@BROKERS
def test_orders_that_the_broker_has_lost_are_given_again_within_two_lease_times(herd: Herd) -> None:
    launcher = Watched()
    assert launcher.codes() == set()
    worker = herd.worker()
    herd.order(launcher, "a")
    herd.until(lambda: herd.of(worker) and herd.waiting())
    lost = [herd.order(launcher, name, queue="other") for name in ("b", "c")]
    with broker.application().connection_for_write() as connection:
        bound = broker.queue("other").bind(connection.default_channel)
        bound.declare()
        herd.until(lambda: broker.ready_in(connection, "other") == 2)
        bound.purge()
    other = herd.worker("--queue", "other")
    herd.until(lambda: len(herd.of(other)) == 2)
    herd.until(lambda: launcher.late_heartbeats(LEASE, [None, "other"]) == [])
    herd.go.touch()
    assert herd.until_all_have_ended() == {"a": 0, "b": 0, "c": 0}
    assert herd.lines() == sorted(f"{step} {name}" for step in (0, 1) for name in "abc")
    assert len(lost) == 2


@BROKERS
def test_orders_that_wait_for_a_busy_worker_are_not_given_again(herd: Herd) -> None:
    launcher = Watched()
    launcher.codes()
    worker = herd.worker()
    for name in "abcdefg":
        herd.order(launcher, name)
    herd.until(lambda: len(herd.of(worker)) == 2 == len(herd.waiting()))
    end = time.monotonic() + 6 * LEASE
    while time.monotonic() < end:
        assert launcher.codes() == set()
        time.sleep(0.2)
    herd.go.touch()
    assert herd.until_all_have_ended() == dict.fromkeys("abcdefg", 0)


@BROKERS
def test_workers_that_are_frozen_or_killed_are_late_and_those_that_are_stopped_are_not(herd: Herd) -> None:
    launcher = Watched()
    herd.until(lambda: launcher.codes() == {"no_worker"})
    first = herd.worker()
    herd.until(lambda: launcher.codes() == set())
    first.send_signal(signal.SIGSTOP)
    herd.until(lambda: launcher.codes() == {"worker_late", "no_worker"})
    first.send_signal(signal.SIGCONT)
    herd.until(lambda: launcher.codes() == set())
    first.kill()
    herd.until(lambda: launcher.codes() == {"worker_late", "no_worker"})
    (late, _) = launcher.late_heartbeats(LEASE, [None])
    assert f"aetherflow-{first.pid}@" in late.text
    second = herd.worker()  # as a service manager does
    herd.until(lambda: launcher.codes() == set())
    second.terminate()
    assert second.wait(60) == 0
    end = time.monotonic() + 5 * LEASE
    while time.monotonic() < end:
        assert launcher.codes() == set()
        time.sleep(0.2)
    herd.order(launcher, "a")
    herd.until(lambda: launcher.codes() == {"no_worker"})
    herd.go.touch()
    herd.worker()
    assert herd.until_all_have_ended() == {"a": 0}
    herd.until(lambda: launcher.codes() == set())


def test_a_broker_that_is_frozen_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_running() as url, herd_on(tmp_path, url, monkeypatch) as herd:
        with broker.application().connection_for_write() as connection:
            server = connection.default_channel.client.info()["process_id"]
        launcher = Watched()
        herd.worker()
        launcher.codes()
        time.sleep(4 * LEASE)
        herd.until(lambda: launcher.codes() == set())
        os.kill(server, signal.SIGSTOP)
        try:
            herd.until(lambda: launcher.codes() == {"broker_unreachable"})
        finally:
            os.kill(server, signal.SIGCONT)
        herd.until(lambda: launcher.codes() == set())


def needs(bench: "Bench") -> list[str]:
    """The reason codes of `aetherflow status`."""
    argv = [sys.executable, "-m", "aetherflow.core", "status", "--json"]
    done = warm.run(argv, cwd=bench.folder, env=bench.env(), capture_output=True, text=True, check=False, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == int(not found["ok"])
    return [need["reason_code"] for need in found["needs_person"]]


def test_both_statuses_and_the_check_show_what_the_leader_knows(
    bench: "Bench", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    with redis_running() as url, herd_on(tmp_path, url, monkeypatch) as herd:
        item = {"id": "a", "cron": "0 3 1 1 *", "launcher": "celery"}
        bench.schedule_of(item, lease_seconds=LEASE)
        bench.flow(["true"])
        scheduler = bench.start("run", "scheduler.yaml", **{broker.URL: url, signing.FOLDER: herd.env[signing.FOLDER]})
        until((bench.folder / "state").exists)  # until then `status` ends with exit code 4: there is no state to read
        until(lambda: needs(bench) == ["no_worker"])
        assert "LATE: no worker takes orders of the queue aetherflow" in bench.command(
            "status", "scheduler.yaml", code=1
        )
        told = json.loads(bench.command("status", "scheduler.yaml", "--check", "--json", code=1))
        assert [each["reason_code"] for each in told["problems"]] == ["no_worker"]
        worker = herd.worker()
        until(lambda: needs(bench) == [])
        bench.command("status", "scheduler.yaml", "--check")
        os.kill(worker.pid, signal.SIGSTOP)
        until(lambda: sorted(needs(bench)) == ["no_worker", "worker_late"])
        os.kill(worker.pid, signal.SIGCONT)
        until(lambda: needs(bench) == [])
    until(lambda: needs(bench) == ["broker_unreachable"])
    assert bench.stop(scheduler) == 0
    assert needs(bench) == []  # a planned stop is quiet
