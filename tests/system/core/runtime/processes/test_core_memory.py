"""Memory holds secrets: what ends badly writes no core file, and what lives long shows it to nobody."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from brokers import redis_running
from celery_workers import lay_keys
from warm import true_start

if TYPE_CHECKING:
    from core_project import Project

LONG = (
    "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {shell: true, command: 'ulimit -c; sleep 60'}}]}]\n"
)
SCHEDULE = "version: 1\ntimezone: UTC\nstate: ledger.sqlite\nitems: [{id: i, cron: '@yearly', flow: flow.yaml}]\n"
POWERLESS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
"""Two processes of root that may do what those of any one account may."""
READS = """
import os, sys
for name in ("environ", "mem"):
    try:
        with open(f"/proc/{sys.argv[1]}/{name}", "rb"):
            print("reads", name)
    except PermissionError:
        pass
"""


def limit_of(pid: int) -> str:
    """The soft limit of core files of a process."""
    found = re.search(r"Max core file size +(\S+)", Path(f"/proc/{pid}/limits").read_text())
    assert found is not None
    return found[1]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are read in /proc")
def test_a_run_that_crashes_and_what_it_starts_write_no_core_file(
    project: "Project", wait_for: Callable[..., None]
) -> None:
    project.flow(LONG)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    run = true_start("limits are those of a process").Popen(
        project.argv("run", "flow.yaml", "--run-id", "r"),
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )
    try:
        logs = project.states
        wait_for(lambda: any(path.read_bytes() for path in logs.rglob("*.log") if "s." in path.name), seconds=30)
        assert limit_of(run.pid) == "0"
        assert [path.read_text() for path in logs.rglob("*.log") if "s." in path.name] == ["0\n"], "of the program"
    finally:
        run.send_signal(signal.SIGABRT)
    assert run.wait(30) == -signal.SIGABRT
    assert [path.name for path in project.folder.iterdir() if path.name.startswith("core")] == []


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can be another account")
@pytest.mark.parametrize("command", [["run", "scheduler.yaml"], ["worker"]], ids=["scheduler", "worker"])
def test_programs_of_the_account_do_not_read_the_memory_of_what_lives_long(
    command: list[str], project: "Project", wait_for: Callable[..., None]
) -> None:
    """The address of the broker has a password, which runs do not see, not in the environment of a worker either."""
    project.flow(LONG)
    project.write(SCHEDULE, "scheduler.yaml")
    log = project.folder / "log"
    with redis_running() as url, log.open("wb") as out:
        process = true_start("a fork has the environment of the warm interpreter in /proc").Popen(
            [*POWERLESS, sys.executable, "-m", "aetherflow.scheduler", *command],
            cwd=project.folder,
            env={
                **project.env,
                **lay_keys(project.folder / "keys"),
                "AETHERFLOW_BROKER_URL": url,
                "PYTHONWARNINGS": "",
            },
            stdout=out,
            stderr=out,
        )
        try:
            begun = (project.folder / "ledger.sqlite").exists
            wait_for(lambda: begun() or b"ready" in log.read_bytes() or process.poll() is not None, seconds=60)
            assert process.poll() is None, log.read_text()
            assert limit_of(process.pid) == "0"
            words = [*POWERLESS, sys.executable, "-c", READS, str(process.pid)]
            seen = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            assert seen == ""
        finally:
            process.terminate()
            process.wait(60)
