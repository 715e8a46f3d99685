"""Children whose end is learnt in other ways than usual."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aetherflow.core.base import durable


def sleeper(tmp_path: Path, seconds: str) -> durable.ChildProcess:
    return durable.spawn(["sleep", seconds], cwd=tmp_path, env=os.environ)


def test_a_child_that_somebody_else_waited_for_has_ended_well(tmp_path: Path) -> None:
    with durable.spawn(["sh", "-c", "exit 3"], cwd=tmp_path, env=os.environ) as child:
        assert os.waitpid(child.pid, 0)[0] == child.pid
        assert (child.wait(), child.usage) == (0, None)


@pytest.mark.parametrize("lacks", ["the call", "descriptors"])
def test_a_system_that_does_not_tell_of_the_end_of_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    def none(pid: int) -> int:
        raise OSError(24, "Too many open files")

    if lacks == "the call":
        monkeypatch.delattr(os, "pidfd_open")
    else:
        monkeypatch.setattr(os, "pidfd_open", none)
    with sleeper(tmp_path, "0.2") as child:
        assert child.wait() == 0
        assert child.usage is not None
    with sleeper(tmp_path, "60") as child:
        began = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.1)
        assert time.monotonic() - began >= 0.1
        child.kill()
        assert child.wait() == -9


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc")
def test_a_guard_that_cannot_be_started_leaves_no_pipe() -> None:
    def pipes_open() -> set[str]:
        leads = (os.path.realpath(each) for each in Path("/proc/self/fd").iterdir())
        return {each for each in leads if "pipe:[" in each}

    before = pipes_open()
    with pytest.raises(FileNotFoundError):
        durable.spawn_guard(["/nowhere/python", "guard"])
    assert pipes_open() <= before  # the collector may close others in the meantime
    process, pipes = durable.spawn_guard([sys.executable, "-c", "import sys; sys.stdin.read()"])
    for pipe in pipes:
        pipe.close()
    assert process.wait(60) == 0


def test_a_detached_child_that_has_ended_is_reaped_when_the_next_one_is_started(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:

        def start(*argv: str) -> int:
            return durable.spawn_detached(argv, cwd=tmp_path, env=os.environ, output=log)

        lives, ended = start("sleep", "60"), start("echo", "written")
        os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
        waited = start("true")
        with pytest.raises(ChildProcessError):
            os.waitpid(ended, 0)
        durable.wait_detached(ended, 60)  # at once: there is nothing to wait for
        durable.wait_detached(waited, 60)
        began = time.monotonic()
        durable.wait_detached(lives, 0.05)
        assert time.monotonic() - began >= 0.05
        os.kill(lives, signal.SIGKILL)
        durable.wait_detached(lives, 60)
        durable.wait_detached(start("true"), 60)
    for pid in (waited, lives):
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    assert (tmp_path / "log").read_text() == "written\n"
