"""Runs on Celery workers over real brokers: a worker that dies, freezes or ends hands its runs on; stops; queues."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import warm
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from celery_workers import Herd, herd_on

pytestmark = pytest.mark.xdist_group("rabbit")  # one worker starts the server


@pytest.fixture
def herd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Herd]:
    with herd_on(tmp_path, request.getfixturevalue(request.param), monkeypatch) as made:
        yield made


@pytest.mark.parametrize("herd", ["rabbit_url"], indirect=True)
def test_runs_survive_their_workers(herd: Herd) -> None:
    launcher, names = CeleryLauncher(), {"a", "b", "c"}
    first = herd.worker()
    for name in names:
        herd.order(launcher, name)
    herd.until(lambda: len(herd.of(first)) == 2 == len(herd.waiting()))
    second = herd.worker()
    herd.until(lambda: len(herd.of(second)) == 1 and len(herd.waiting()) == 3)
    os.kill(second.pid, signal.SIGSTOP)  # its run, a process of its own, goes on
    lost = herd.lose(first)
    third = herd.worker()
    # a frozen worker may have been given what the lost one had
    herd.until(lambda: len({*herd.of(second), *herd.of(third)}) > 1 or "ready" in herd.log(2))
    os.kill(second.pid, signal.SIGCONT)
    herd.until(lambda: {*herd.of(second), *herd.of(third)} == names)
    herd.go.touch()
    assert herd.until_all_have_ended() == dict.fromkeys(names, 0)
    assert herd.lines() == sorted(f"{step} {name}" for step in (0, 1) for name in names), "no finished step ran twice"
    rows = herd.query("SELECT run_id, generation FROM runs WHERE status='SUCCESS'")
    generations: dict[str, int] = dict(rows)
    assert generations == {name: 2 if name in lost else 1 for name in names}
    listed = warm.run(
        [sys.executable, "-m", "aetherflow.core", "locks", "list", "--json"],
        env=herd.env,
        capture_output=True,
        check=True,
    )
    assert b'"key"' not in listed.stdout, "no lock is held at the end"
    assert b"s3cret" not in b"".join(path.read_bytes() for path in herd.folder.glob("worker-*.log"))


@pytest.mark.parametrize("herd", ["rabbit_url"], indirect=True)
def test_a_worker_that_ends_hands_its_run_on_and_a_scheduler_can_stop_it(herd: Herd) -> None:
    launcher = CeleryLauncher()
    first, run = herd.worker("--queue", "own"), herd.order(launcher, "a", queue="own")
    herd.until(lambda: herd.of(first) and herd.waiting())
    first.send_signal(signal.SIGTERM)
    second = herd.worker("--queue", "own")
    assert first.wait(60) == 0
    assert "Traceback" not in herd.log(0)
    herd.until(lambda: herd.of(second) and herd.waiting())
    assert run.poll() is None, "the run goes on"
    run.terminate()
    assert herd.until_all_have_ended() == {"a": 143}
    assert herd.query("SELECT status, generation FROM runs") == [("INTERRUPTED", 2)]
    herd.go.touch()
    herd.order(launcher, "a", attempt=2, queue="own")
    assert herd.until_all_have_ended() == {"a": 0}
    assert herd.lines() == ["0 a", "1 a"]


def test_a_schedule_names_launcher_and_queue_and_its_stop_reaches_the_worker(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with herd_on(tmp_path, redis_url, monkeypatch) as herd:
        item = {"id": "i", "cron": "@daily", "flow": "flow.yaml", "params": {"n": "a"}}
        document = {"timezone": "UTC", "state": "state/ledger.sqlite", "defaults": {"launcher": "celery", "queue": "q"}}
        (tmp_path / "scheduler.yaml").write_text(json.dumps({**document, "items": [item]}))
        herd.worker("--queue", "q")
        argv = [sys.executable, "-m", "aetherflow.scheduler", "run-item", "scheduler.yaml", "i"]
        first = warm.Popen(argv, cwd=tmp_path, env=herd.env, stderr=subprocess.DEVNULL)
        herd.until(herd.waiting)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 143
        assert herd.query("SELECT status, generation FROM runs") == [("INTERRUPTED", 1)]
        herd.go.touch()
        slot = herd.query("SELECT slot FROM runs")[0][0]
        again = warm.run(
            [*argv, "--slot", slot], cwd=tmp_path, env=herd.env, capture_output=True, text=True, check=False
        )
        assert again.returncode == 0, again.stderr
        assert herd.query("SELECT status, generation FROM runs") == [("SUCCESS", 2)]
        assert herd.lines() == ["0 a", "1 a"]


@pytest.mark.parametrize("herd", ["rabbit_url"], indirect=True)
def test_an_idle_worker_hears_of_its_end(herd: Herd) -> None:
    worker = herd.worker()
    herd.until(lambda: " ready." in herd.log(0))
    worker.terminate()
    assert worker.wait(7) == 0  # the loop of Celery would have slept for ten seconds


MARKS = """\
import os

from aetherflow.core.api import Step, register_step


@register_step("marks")
class Marks(Step):
    def run(self):
        assert not hasattr(os, "mark")
        os.mark = "left"
"""


@pytest.mark.parametrize("herd", ["rabbit_url"], indirect=True)
def test_short_runs_share_a_process_and_nothing_else(herd: Herd, tmp_path: Path) -> None:
    herd.go.touch()
    herd.worker()
    launcher = CeleryLauncher()

    def process_of(name: str) -> int:
        herd.order(launcher, name)
        assert set(herd.until_all_have_ended().values()) == {0}, (tmp_path / f"state/ledger.d/{name}.1.log").read_text()
        return herd.owners()[name]

    first = process_of("a")
    assert process_of("b") == first
    os.kill(first, signal.SIGKILL)  # it is free
    second = process_of("c")
    (tmp_path / "marks.py").write_text(MARKS)
    (tmp_path / "aetherflow.yaml").write_text("version: 1\nplugins: {paths: [marks.py]}\n")
    with (tmp_path / "flow.yaml").open("a") as flow:
        flow.write("\n      - {id: marks, type: marks}\n")
    assert process_of("d") == second
    assert len({second, process_of("e"), process_of("f")}) == 3, "code of others has a process for itself"
