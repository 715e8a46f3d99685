"""Finding and ending the processes of a run, wherever they went; run as a program, this file is the run's guard.

A process is known by its process group, or by the mark that every child carries in its environment and hands down to
its descendants, also to those that leave the group (`setsid`, daemons). Marks are read from /proc; where there is
none, only groups are ended.

The guard ends the run's processes when the runner dies, however it dies. It is started by path, so that it costs no
import of the package: `python -I -S guard_program.py FD`. From its stdin, a pipe that only the runner writes to, it
reads lines:

    mark MARK          what the environment of every child holds
    add GROUP [BIRTH]  a process group of the run, and when its leader was started
    del GROUP          the group has ended
    end                the run has ended; nothing is left

The end of the pipe without `end` means that the runner is dead. It also comes only after every child under way has
become its program: until then the child holds the pipe too. So no child is missed, registered or not.

The guard doubles itself at its start. The twin reads a pipe of its own, descriptor FD, with the same lines, and acts
after the first one is through or dead: killing one of the two disarms nothing.
"""

import os
import signal
import sys
import time

VARIABLE = "AETHERFLOW_GUARD"
"""Holds the marks of a child, those of enclosing runs first: `mark:mark.n`."""
KILL_WAIT_SECONDS = 2.0
"""Time to see processes vanish after SIGKILL; one that the kernel cannot end, a dead network disk, is given up."""
GRACE_SECONDS = 0.5
"""Between SIGTERM and SIGKILL for processes without a runner."""
TWIN_WAIT_SECONDS = 5.0
"""How long the twin leaves the work to the first one."""
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)
"""What a terminal, a service manager or a container sends to all processes; the runner's end is what counts here."""
_NEEDLE = f"\0{VARIABLE}=".encode()


def numbers() -> set[int]:
    """All process ids; empty where there is no /proc."""
    try:
        return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 as cheap as can be
    except OSError:
        return set()


def born(pid: int) -> str:
    """When a process was started, in ticks since boot; tells it from a later one with the same id. "" if unknown."""
    return (_stat(pid) or [""] * 20)[19]


def _stat(pid: int) -> list[str]:
    """State, parent, group … of a process, from the third field of its stat on."""
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:  # noqa: PTH123 pathlib would double the time to start
            return file.read().decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def carries(environment: bytes, mark: bytes) -> bool:
    """Whether an environment as the kernel shows it holds the mark, or one below it."""
    if mark not in environment:
        return False
    _, found, rest = (b"\0" + environment).partition(_NEEDLE)
    marks = rest.partition(b"\0")[0].split(b":") if found else []
    return any(one == mark or one.startswith(mark + b".") for one in marks)


class Search:
    """Looks for processes that carry a mark; what was seen without it is not read again."""

    def __init__(self, mark: str, without: "frozenset[int] | set[int]" = frozenset()) -> None:
        self._mark = mark.encode()
        self._others = {*without, os.getpid()}

    def look(self) -> list[int]:
        """Those that live now."""
        found = []
        for pid in numbers() - self._others:
            try:
                with open(f"/proc/{pid}/environ", "rb", 0) as file:  # noqa: PTH123 pathlib would double the time to start
                    environment = file.read()
            except OSError:
                continue
            if carries(environment, self._mark):
                found.append(pid)
            elif environment:  # empty: a zombie, or a process between two programs, which is to be read again
                self._others.add(pid)
        return found


def group_lives(group: int, since: str = "") -> bool:
    """Whether a group has members other than zombies, and its number was not given to a later one."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    leader = _stat(group)
    if since and leader and leader[19] != since:
        return False
    if leader and leader[0] not in "ZX":
        return True
    rows = [row for pid in numbers() if (row := _stat(pid))]
    return not rows or any(row[2] == str(group) and row[0] not in "ZX" for row in rows)


def send(groups: "list[int]", strays: "list[int]", number: int) -> None:
    """Signal groups, and single processes; those that are gone, or belong to somebody else by now, are passed over."""
    for signal_one, targets in ((os.killpg, groups), (os.kill, strays)):
        for target in targets:
            try:
                signal_one(target, number)
            except (ProcessLookupError, PermissionError):
                pass


def targets(groups: "dict[int, str]", search: Search) -> "tuple[list[int], list[int]]":
    """What lives: groups, and marked processes outside of them. `groups` maps a group to the birth of its leader."""
    live = [group for group, since in groups.items() if group_lives(group, since)]
    return live, [pid for pid in search.look() if _group_of(pid) not in live]


def end(groups: "dict[int, str]", search: Search, grace: float) -> None:
    """SIGTERM to groups and marked processes, `grace` seconds to react, then SIGKILL, until nobody is left."""
    if grace <= 0 or not _until_gone(groups, search, signal.SIGTERM, grace):
        _until_gone(groups, search, signal.SIGKILL, KILL_WAIT_SECONDS)


def _until_gone(groups: "dict[int, str]", search: Search, number: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    told: set[int] = set()
    clean = 0
    pause = 0.001
    while clean < 2:  # a process may start another one and end while it is looked at: one look may miss both
        live, strays = targets(groups, search)
        if not live and not strays:
            clean += 1
            continue
        clean = 0
        if time.monotonic() >= deadline:
            return False
        if number == signal.SIGKILL:
            told.clear()  # members that were being born escape one SIGKILL, but SIGTERM is a request: once for each
        send([group for group in live if group not in told], [pid for pid in strays if pid not in told], number)
        told.update(live, strays)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


# The program


def listen(pipe: int) -> "tuple[str, dict[int, str]] | None":
    """Mark and groups at the end of the pipe; None if the run has ended well."""
    mark, groups, rest = "", {}, b""
    while data := os.read(pipe, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word, *values = line.decode().split()
            if word == "end":
                return None
            if word == "mark":
                mark = values[0]
            elif word == "add":
                groups[int(values[0])] = values[1] if len(values) > 1 else ""
            else:
                groups.pop(int(values[0]), None)
    return mark, groups


def main() -> None:
    """Wait for the end of the runner, end what it left."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    second = int(sys.argv[1])
    first = os.getpid()
    twin = os.fork()
    pipe, other = (0, second) if twin else (second, 0)
    os.close(other)
    left = listen(pipe)
    if left is None:
        if twin:
            os.waitpid(twin, 0)  # a zombie would stay where the first process of a container reaps none
        return
    deadline = time.monotonic() + TWIN_WAIT_SECONDS
    while not twin and os.getppid() == first and time.monotonic() < deadline:
        time.sleep(0.01)
    mark, groups = left
    if mark:
        end(groups, Search(mark), GRACE_SECONDS)


if __name__ == "__main__":
    main()
