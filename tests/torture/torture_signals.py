"""One trial of the signal torture: a run with a tree of processes, a blow, and what is left of it all.

Processes are found by a variable of the test's own in their environment, not by the mark that the engine uses.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import warm

GRACE_SECONDS = 0.5
"""Grace of a stop in all trials."""
LIMIT_SECONDS = GRACE_SECONDS + 1.0
"""Everything must be gone by then."""
HEAD = "version: 1\nflow: {id: f}\njobs:\n  - id: a\n    steps:\n      - id: s\n        type: external.process\n"
TREES = {
    # shell text, and the number of processes once it is up
    "single": ("exec sleep 300", 1),
    "sh and sleep": ("sleep 300; true", 2),
    "depth 4": ('sh -c "sh -c \\"sh -c \'sleep 300; true\'; true\\"; true"; true', 5),
    "ignores TERM": ("trap '' TERM; sleep 300; sleep 300; true", 2),
    "setsid": ("setsid sh -c 'sleep 300; true' & setsid -f sleep 300; sleep 300; true", 5),
    "holds stdout": ("(sleep 300 & ) ; (setsid sleep 300 2>&1 & ) ; exec sleep 300", 3),
}
STUBBORN = {
    "three that ignore TERM": ("for i in 1 2 3; do sh -c 'trap \"\" TERM; sleep 300; sleep 300' & done; wait", 7),
    "ignores TERM in a session of its own": ("setsid sh -c 'trap \"\" TERM HUP; sleep 300; sleep 300' & sleep 300", 4),
    "ignores TERM and holds stdout": (
        "(trap '' TERM; sleep 300; sleep 300) & exec >&- 2>&-; trap '' TERM; sleep 300; sleep 300",
        4,
    ),
    "twice forked, ignores all": ("(trap '' TERM INT HUP; (setsid -f sh -c 'sleep 300; sleep 300') & ) ; sleep 300", 3),
}
"""Grandchildren that ignore SIGTERM; with the number of processes once they are up."""
BLOWS = ("TERM", "INT", "HUP", "QUIT", "KILL runner", "KILL guard", "KILL both")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def parents() -> dict[int, int]:
    """Parent of every process."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def wait_for(condition: Callable[[], object], seconds: float) -> float | None:
    """Seconds until the condition held; None if it did not."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            return None
        time.sleep(0.02)  # most conditions read all of /proc
    return time.monotonic() - started


@dataclass
class Trial:
    """A run under way in a folder of its own."""

    folder: Path
    tree: str
    inputs: str = ""
    """Further inputs of the step."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Write the flow and start the run."""
        text, self.expected = {**TREES, **STUBBORN}[self.tree]
        (self.folder / "flow.yaml").write_text(
            HEAD + "        inputs: {shell: true, command: !raw '" + text.replace("'", "''") + "', "
            "log: {stdout: capture}" + self.inputs + "}\n"
        )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
        self.env = {
            **inherited,
            "AETHERFLOW_WORK_ROOT": str(self.folder / "work"),
            "AETHERFLOW_STATE_ROOT": str(self.folder / "state"),
            "AETHERFLOW_STOP_GRACE_SECONDS": str(GRACE_SECONDS),
            "TORTURE_TRIAL": self.token,
        }
        with (self.folder / "err").open("wb") as err, _default_signals():
            self.runner = warm.Popen(
                [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml", "--run-id", "r", "-q"],
                cwd=self.folder,
                env=self.env,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )

    def descendants(self) -> list[int]:
        """Living processes of this trial, except the runner and its guards."""
        found = []
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and int(path.name) != self.runner.pid:
                with contextlib.suppress(OSError):
                    environment = (path / "environ").read_bytes()
                    if f"TORTURE_TRIAL={self.token}".encode() in environment and alive(int(path.name)):
                        found.append(int(path.name))
        return found

    def guards(self) -> list[int]:
        """The guard and its twin, as far as they live; the guard first."""
        above = parents()
        first = [pid for pid, parent in above.items() if parent == self.runner.pid and _is_guard(pid)]
        return first + [pid for pid, parent in above.items() if parent in first and _is_guard(pid)]

    def is_up(self) -> bool:
        """Whether the whole tree stands, and both guards."""
        return len(self.descendants()) >= self.expected and len(self.guards()) == 2

    def strike(self, blow: str, order: int) -> list[int]:
        """Deliver the blow; returns the guards there were."""
        guards = self.guards()
        if blow == "KILL runner":
            self.runner.kill()
        elif blow in ("KILL guard", "KILL both"):
            victims = [guards[0], self.runner.pid] if blow == "KILL both" else [guards[order % len(guards)]]
            for pid in victims[:: 1 - 2 * (order % 2)]:
                os.kill(pid, signal.SIGKILL)
        else:
            self.runner.send_signal(signal.Signals[f"SIG{blow}"])
        return guards

    def close(self) -> None:
        """Leave nothing behind, whatever the engine did."""
        for pid in (*self.descendants(), *self.guards(), self.runner.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.runner.wait()


def _is_guard(pid: int) -> bool:
    try:
        return b"guard_program" in Path(f"/proc/{pid}/cmdline").read_bytes() and alive(pid)
    except OSError:
        return False


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """A process that begins meanwhile ignores none of them, even where the tests do."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def trial(folder: Path, tree: str, inputs: str = "") -> Iterator[Trial]:
    """A trial that ends without a trace."""
    folder.mkdir(parents=True)
    run = Trial(folder, tree, inputs)
    try:
        yield run
    finally:
        run.close()
