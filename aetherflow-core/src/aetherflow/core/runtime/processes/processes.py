"""The children of a run: started marked and guarded, ended as a whole."""

import contextlib
import hashlib
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.runtime.processes import guard_program
from aetherflow.core.runtime.processes.guard import Guard
from aetherflow.core.runtime.processes.guard_program import VARIABLE, Search

KEY_VARIABLE = "AETHERFLOW_IDEMPOTENCY_KEY"
"""For the child's own use."""
STEP_VARIABLE = "AETHERFLOW_STEP_MARK"
"""By it a later attempt finds what an earlier one left running: equal for all attempts of a step in one run, and no
other's, also where another state file has a run of the same names."""
LEFTOVER_GRACE_SECONDS = 0.5
"""Between SIGTERM and SIGKILL for what a child that ended by itself left behind."""


class Processes:
    """The children that still live, each the leader of a process group, and their descendants in any group.

    `start` is for the thread that waits for attempts: what it starts cannot slip past a stop. The rest may be called
    from any thread.
    """

    def __init__(self, state_path: Path) -> None:
        self._state_path = state_path
        self._mark = secrets.token_hex(16)
        self._guard = Guard(self._mark)
        self._live: dict[int, tuple[durable.ChildProcess, str, str]] = {}
        """Process, birth and mark of each child, by its number."""
        self._others: set[int] = set()
        """Processes known not to belong to the run."""
        self._count = 0

    def start(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> durable.ChildProcess:
        """Start a child and watch over it; OSError if it, or the guard, cannot be started."""
        self._guard.ready()
        if not self._count:
            self._others = guard_program.numbers()
        self._count += 1
        mark = f"{self._mark}.{self._count}"
        outer = os.environ.get(VARIABLE)  # this run may be a child of another one
        process = durable.spawn(argv, cwd=cwd, env={**env, VARIABLE: f"{outer}:{mark}" if outer else mark})
        birth = guard_program.born(process.pid)
        self._live[process.pid] = process, birth, mark
        self._guard.add(process.pid, birth)
        return process

    def end(self, process: "subprocess.Popen[bytes]", grace: float) -> None:
        """End a child with its group and its other descendants: SIGTERM, `grace` seconds, SIGKILL.

        If it has ended by itself, what it left behind has half a second.
        """
        entry = self._live.get(process.pid)
        if entry is None or entry[0] is not process:
            return
        _, birth, mark = entry
        grace = grace if process.poll() is None else min(grace, LEFTOVER_GRACE_SECONDS)
        guard_program.end({process.pid: birth}, Search(mark, self._others), grace)
        with contextlib.suppress(subprocess.TimeoutExpired):  # what cannot be ended, of another user say, is given up
            process.wait(guard_program.KILL_WAIT_SECONDS)
        # only now: a stop during the grace must still find it
        self._live.pop(process.pid, None)
        self._guard.remove(process.pid)

    def of_step(self, key: str) -> dict[str, str]:
        """What the environment of every child of a step holds; `key` is its idempotency key."""
        return {KEY_VARIABLE: key, STEP_VARIABLE: self._step_mark(key)}

    def _step_mark(self, key: str) -> str:
        return hashlib.sha256(f"{self._state_path.resolve()}\0{key}".encode(errors="surrogateescape")).hexdigest()[:32]

    def end_orphans(self, step_key: str) -> None:
        """Kill what an earlier attempt of a step left running: the guard of a dead runner may still be about it.

        Without this a new attempt could share its files with the old one for half a second.
        """
        guard_program.end({}, Search(self._step_mark(step_key), variable=STEP_VARIABLE), grace=0)

    def signal_all(self, number: int) -> None:
        """Send a signal to every child and descendant that lives."""
        if self._count:
            guard_program.send(*guard_program.targets(self._groups(), Search(self._mark)), number)

    def end_all(self, grace: float = LEFTOVER_GRACE_SECONDS) -> None:
        """End whatever is left, at the end of an attempt."""
        if self._live:
            guard_program.end(self._groups(), Search(self._mark), grace)
            for pid, (process, _, _) in list(self._live.items()):
                process.poll()
                self._live.pop(pid, None)
                self._guard.remove(pid)

    def tend(self) -> None:
        """Look after the guard, now and then while the run waits."""
        self._guard.tend()

    def close(self) -> None:
        """End whatever is left, at the end of the run, and let the guard go."""
        if self._count:
            guard_program.end(self._groups(), Search(self._mark), LEFTOVER_GRACE_SECONDS)
        self._guard.close()

    def _groups(self) -> dict[int, str]:
        return {pid: birth for pid, (_, birth, _) in list(self._live.items())}
