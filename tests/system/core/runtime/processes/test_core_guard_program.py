"""The guard as a program, in forks of this process: what it does at the end of its pipe, and of a run."""

import fcntl
import os
import secrets
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from aetherflow.core.runtime.processes import guard_program


@dataclass
class Guard:
    """A guard that runs."""

    pid: int
    pipes: list[int]
    twin: int = 0

    def doubled(self) -> bool:
        """True once its twin is there: whatever comes now is withstood."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        self.twin = int(children[0]) if children else 0
        return bool(children)

    def has_read(self) -> bool:
        """True once both have taken all that was told."""
        return all(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4) for pipe in self.pipes)

    def tell(self, *lines: str) -> None:
        """Write lines to both pipes, as a runner does."""
        for pipe in self.pipes:
            os.write(pipe, "".join(f"{line}\n" for line in lines).encode())

    def close(self) -> int:
        """The runner has ended; the exit code of the guard."""
        for pipe in self.pipes:
            os.close(pipe)
        self.pipes = []
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def mark() -> str:
    """Of the processes of one test: the twin of another test's guard may still look for its own."""
    return f"m{secrets.token_hex(8)}"


@pytest.fixture
def start(wait_for: Callable[..., None]) -> Iterator[Callable[[], Guard]]:
    """Fork a guard and wait for its twin."""
    with ExitStack() as running:

        def fork() -> Guard:
            (first, one), (second, two) = os.pipe(), os.pipe()
            child = os.fork()
            if child == 0:
                code = 99
                try:
                    os.close(one)
                    os.close(two)
                    os.dup2(first, 0)
                    os.setsid()
                    sys.argv[1:] = [str(second)]
                    guard_program.main()
                    code = 0
                finally:
                    os._exit(code)
            os.close(first)
            os.close(second)
            guard = Guard(child, [one, two])
            running.callback(lambda: guard.pipes and guard.close())
            wait_for(guard.doubled)
            return guard

        yield fork


@pytest.fixture
def group() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """A process that sleeps in a group of its own."""
    with ExitStack() as running:

        def make(mark: str = "", command: str = "exec sleep 100") -> "subprocess.Popen[bytes]":
            env = {**os.environ, guard_program.VARIABLE: mark} if mark else {**os.environ}
            process = subprocess.Popen(["sh", "-c", command], env=env, process_group=0, stdout=subprocess.PIPE)
            running.callback(end, process)
            return process

        def end(process: "subprocess.Popen[bytes]") -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

        yield make


Start = Callable[[], Guard]
Group = Callable[..., "subprocess.Popen[bytes]"]
Wait = Callable[..., None]


def test_a_runner_that_dies_takes_its_groups_along(
    start: Start, group: Group, mark: str, wait_for: Wait, lives: Callable[[int], bool]
) -> None:
    registered, marked, ended, foreign = group(), group(f"{mark}.1"), group(), group(f"x{mark}.1")
    guard = start()
    guard.tell(f"mark {mark}", f"add {registered.pid} {guard_program.born(registered.pid)}", f"add {ended.pid}")
    guard.tell(f"del {ended.pid}")
    assert guard.close() == 0
    assert (registered.wait(60), marked.wait(60)) == (-signal.SIGTERM, -signal.SIGTERM)
    wait_for(lambda: not lives(guard.twin))
    assert (ended.poll(), foreign.poll()) == (None, None)


def test_who_ignores_the_request_is_killed(start: Start, group: Group, mark: str) -> None:
    deaf = group(command="trap '' TERM; echo ready; while :; do sleep 1; done")
    assert deaf.stdout is not None
    assert deaf.stdout.readline() == b"ready\n"
    guard = start()
    guard.tell(f"mark {mark}", f"add {deaf.pid}")
    assert guard.close() == 0
    assert deaf.wait(60) == -signal.SIGKILL


def test_a_run_that_ended_leaves_nothing_to_do(start: Start, group: Group, mark: str, wait_for: Wait) -> None:
    kept = group(f"{mark}.1")
    guard = start()
    guard.tell(f"mark {mark}", f"add {kept.pid}")
    wait_for(guard.has_read)
    guard.tell("end")
    assert guard.close() == 0
    assert kept.poll() is None


def test_signals_of_a_terminal_do_not_end_the_guard(start: Start, group: Group, mark: str) -> None:
    registered = group()
    guard = start()
    guard.tell(f"mark {mark}", f"add {registered.pid}")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        os.kill(guard.pid, number)
    assert guard.close() == 0
    assert registered.wait(60) == -signal.SIGTERM


def test_the_twin_acts_where_the_first_one_was_killed(start: Start, group: Group, mark: str) -> None:
    registered = group()
    guard = start()
    guard.tell(f"mark {mark}", f"add {registered.pid}")
    os.kill(guard.pid, signal.SIGKILL)
    assert guard.close() == -signal.SIGKILL
    assert registered.wait(60) == -signal.SIGTERM


def test_a_runner_that_dies_before_it_says_anything(start: Start) -> None:
    assert start().close() == 0


def test_at_the_time_that_was_told_all_are_ended_though_the_runner_lives(
    start: Start, group: Group, mark: str, wait_for: Wait, lives: Callable[[int], bool]
) -> None:
    guard = start()
    kept, foreign = group(f"{mark}.1"), group(f"x{mark}.1")
    guard.tell(f"mark {mark}", f"until {time.monotonic() + 0.5}", f"add {kept.pid}")
    guard.tell(f"until {time.monotonic() + 3600}")
    time.sleep(1)
    assert kept.poll() is None, "the later time counts"
    until = time.monotonic() + 0.5
    guard.tell(f"until {until}")
    assert kept.wait(60) == -signal.SIGTERM
    assert time.monotonic() >= until
    late = group(f"{mark}.2")
    guard.tell(f"add {late.pid}")
    assert late.wait(60) == -signal.SIGTERM, "what was started afterwards ends, too"
    guard.tell(f"until {time.monotonic() + 3600}")
    wait_for(guard.has_read)
    again = group(f"{mark}.3")
    guard.tell(f"add {again.pid}")
    time.sleep(guard_program.TWIN_LATE_SECONDS + 1)
    assert (again.poll(), foreign.poll()) == (None, None), "the runner has got its run back"
    assert guard.close() == 0
    assert again.wait(60) == -signal.SIGTERM
    wait_for(lambda: not lives(guard.twin))


def test_the_twin_keeps_the_time_of_a_guard_that_was_killed(start: Start, group: Group, mark: str) -> None:
    guard = start()
    kept = group(f"{mark}.1")
    guard.tell(f"mark {mark}", f"until {time.monotonic() + 1}", f"add {kept.pid}")
    os.kill(guard.pid, signal.SIGKILL)
    assert kept.wait(60) == -signal.SIGTERM
    assert guard.close() == -signal.SIGKILL
