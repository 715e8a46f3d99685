"""Faults from outside: strace kills the real command, or fails its call, at the n-th call of one kind.

strace counts per thread, and each step has a thread of its own; so every start also happens from the states between
the steps, where the next step's thread is the first one.
"""

import dataclasses
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from torture_bench import Bench, Result
from torture_invariants import Before, observe
from torture_tier import sample

KILLED_AT = ("fdatasync", "fsync", "renameat", "unlink", "unlinkat", "mkdirat", "pwrite64", "write", "openat")
FAILED_AT = (
    *("write", "pwrite64", "fdatasync", "fsync", "renameat", "mkdirat", "openat", "ftruncate", "unlink", "unlinkat"),
)
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")


@dataclasses.dataclass(frozen=True)
class Call:
    """One system call of a recorded run."""

    thread: int
    name: str
    ordinal: int
    """Which call of this name in its thread, from 1: what strace's `when=` counts."""
    text: str
    worked: bool

    @property
    def label(self) -> str:
        return f"{self.name} {self.ordinal} ({self.text[:150]})"


def require_strace() -> None:
    """The suite needs strace; with CI=true a skip is a failure."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")


def record(bench: Bench, names: Sequence[str]) -> list[Call]:
    """Run the real command and list its calls of these names."""
    log = bench.folder / "calls"
    prefix = ("strace", "-f", "-y", "--seccomp-bpf", "-o", str(log), "-e", f"trace={','.join(names)}")
    bench.command(prefix=prefix)
    calls = []
    count: dict[tuple[int, str], int] = {}
    for line in log.read_text(errors="replace").splitlines():
        if (found := _CALL.match(line)) is None:
            continue
        thread, name, text = int(found[1]), found[2], found[3]
        ordinal = count[thread, name] = count.get((thread, name), 0) + 1
        calls.append(Call(thread, name, ordinal, text, " = -1 " not in text))
    return calls


def targets(calls: list[Call], disk: Path) -> list[Call]:
    """The calls that can be hit: on the disk under test, and the first ones with their number."""
    first: dict[tuple[str, int], Call] = {}
    for call in calls:
        first.setdefault((call.name, call.ordinal), call)
    return [call for call in first.values() if call.worked and str(disk) in call.text]


def kill_at(bench: Bench, call: Call) -> Result:
    """Run the real command, killed when it enters the call."""
    inject = f"inject={call.name}:signal=SIGKILL:when={call.ordinal}"
    return bench.command(prefix=("strace", "-f", "-o", "/dev/null", "-e", f"trace={call.name}", "-e", inject))


def fail_at(bench: Bench, call: Call, error: str) -> tuple[Result, list[str]]:
    """Run the real command; the call fails, in each thread that gets that far. Also returns what failed.

    That may be another call than the recorded one: two starts of Python do not look at the same files.
    """
    inject = f"inject={call.name}:error={error}:when={call.ordinal}"
    log = bench.folder / "injected"
    options = ("-f", "-y", "--seccomp-bpf", "-o", str(log), "-e", f"trace={call.name}", "-e", inject)
    result = bench.command(prefix=("strace", *options))
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.endswith("(INJECTED)")]
    return result, [found[3] for line in lines if (found := _CALL.match(line)) is not None]


@dataclasses.dataclass(frozen=True)
class Base:
    """The disk after a kill between two steps, or an empty one."""

    name: str
    folder: Path | None
    effects: str
    befores: list[Before]

    def restore(self, bench: Bench) -> None:
        bench.forget()
        if self.folder is not None:
            shutil.rmtree(bench.disk)
            shutil.copytree(self.folder, bench.disk)
            bench.effects.write_text(self.effects)


def bases(bench: Bench, names: Sequence[str], most: int) -> Iterator[Base]:
    """An empty disk, then the disk after each step's end and after each job's; at most so many."""
    ends = [
        number
        for number, name in enumerate(names, 1)
        if name.startswith(("committed step ", "committed steps ", "committed job ")) and not name.endswith("RUNNING")
    ]
    for number in sample([0, *ends], most, "bases"):
        if number == 0:
            yield Base("start", None, "", [])
            continue
        bench.forget()
        bench.attempt(f"{number}")
        folder = bench.folder / "bases" / str(number)
        shutil.copytree(bench.disk, folder)
        yield Base(f"after point {number}", folder, "\n".join([*bench.lines(), ""]), [observe(bench)])
