"""The children of a run: they are started with a mark and under the guard, and ended with all descendants."""

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
"""Variable with the idempotency key, for the child's own use."""
STEP_VARIABLE = "AETHERFLOW_STEP_MARK"
"""Variable by which a later attempt finds processes of an earlier one. The value is equal for all attempts of a step in
one run, and different for a run of the same names in another state file."""
LEFTOVER_GRACE_SECONDS = 0.5
"""Seconds between SIGTERM and SIGKILL for descendants of a child that has ended by itself."""


class Processes:
    """The living children of a run, each the leader of a process group, and their descendants in any group.

    Only the thread that waits for attempts calls `start`, so that no child is started after a stop. The other methods
    may be called from any thread.
    """

    def __init__(self, state_path: Path) -> None:
        self._state_path = state_path
        self._mark = secrets.token_hex(16)
        self._guard = Guard(self._mark)
        self._live: dict[int, tuple[durable.ChildProcess, str, str]] = {}
        """Process id of each child to its process, start time and mark."""
        self._others: set[int] = set()
        """Ids of processes that do not belong to the run."""
        self._count = 0

    def start(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: int = subprocess.DEVNULL
    ) -> durable.ChildProcess:
        """Start a child and register it with the guard; OSError if one of them cannot be started."""
        self._guard.ready()
        if not self._count:
            self._others = guard_program.numbers()
        self._count += 1
        mark = f"{self._mark}.{self._count}"
        outer = os.environ.get(VARIABLE)  # this run may be a child of another one
        process = durable.spawn(argv, cwd=cwd, env={**env, VARIABLE: f"{outer}:{mark}" if outer else mark}, stdin=stdin)
        birth = guard_program.born(process.pid)
        self._live[process.pid] = process, birth, mark
        self._guard.add(process.pid, birth)
        return process

    def end(self, process: "subprocess.Popen[bytes]", grace: float) -> None:
        """End a child with its group and other descendants: SIGTERM, `grace` seconds, SIGKILL.

        If the child has ended by itself, its descendants have at most LEFTOVER_GRACE_SECONDS.
        """
        entry = self._live.get(process.pid)
        if entry is None or entry[0] is not process:
            return
        _, birth, mark = entry
        grace = grace if process.poll() is None else min(grace, LEFTOVER_GRACE_SECONDS)
        guard_program.end({process.pid: birth}, Search(mark, self._others), grace)
        with contextlib.suppress(subprocess.TimeoutExpired):  # given up, for example a process of another user
            process.wait(guard_program.KILL_WAIT_SECONDS)
        # only now: a stop during the grace time must still find the child
        self._live.pop(process.pid, None)
        self._guard.remove(process.pid)

    def of_step(self, key: str) -> dict[str, str]:
        """Environment variables for the children of a step; `key` is its idempotency key."""
        return {KEY_VARIABLE: key, STEP_VARIABLE: self._step_mark(key)}

    def _step_mark(self, key: str) -> str:
        # the folder of the run's lock: many states in servers have the same name, and runs of the same names
        folder = durable.side_folder(self._state_path).resolve()
        return hashlib.sha256(f"{folder}\0{key}".encode(errors="surrogateescape")).hexdigest()[:32]

    def end_orphans(self, step_key: str) -> None:
        """Kill the processes that an earlier attempt of a step left running.

        The guard of a dead runner ends them too, but within half a second, during which a new attempt would share its
        files with them.
        """
        guard_program.end({}, Search(self._step_mark(step_key), variable=STEP_VARIABLE), grace=0)

    def signal_all(self, number: int) -> None:
        """Send a signal to every living child and descendant."""
        if self._count:
            guard_program.send(*guard_program.targets(self._groups(), Search(self._mark)), number)

    def end_all(self, grace: float = LEFTOVER_GRACE_SECONDS) -> None:
        """At the end of an attempt: end all children and descendants that are left."""
        if self._live:
            guard_program.end(self._groups(), Search(self._mark), grace)
            for pid, (process, _, _) in list(self._live.items()):
                process.poll()
                self._live.pop(pid, None)
                self._guard.remove(pid)

    def keep_until(self, deadline: float) -> None:
        """Let the guard end all children at this monotonic time, unless a later one is set before."""
        self._guard.keep_until(deadline)

    def tend(self) -> None:
        """Replace a killed guard; called repeatedly while the run waits."""
        self._guard.tend()

    def close(self) -> None:
        """At the end of the run: end all children and descendants that are left, then the guard."""
        if self._count:
            guard_program.end(self._groups(), Search(self._mark), LEFTOVER_GRACE_SECONDS)
        self._guard.close()

    def _groups(self) -> dict[int, str]:
        return {pid: birth for pid, (_, birth, _) in list(self._live.items())}
