"""Finding and ending all processes of a run; executed as a program, this file is the run's guard.

A process is found by its process group, or by the mark in its environment, which every child gets and its descendants
inherit, even if they leave the group (`setsid`, daemons). Marks are read from /proc; on systems without it only groups
are ended.

The guard ends the run's processes when the runner dies for any reason. It is started by path, so that it costs no
import of the package: `python -I -S guard_program.py FD`. From its stdin, a pipe that only the runner writes to, it
reads lines:

    mark MARK          the mark in the environment of every child
    add GROUP [BIRTH]  a process group of the run, and the start time of its leader
    del GROUP          the group has ended
    until TIME         by this monotonic time the processes must have been ended, unless a later one is set before
    end                the run has ended; nothing is left

The end of the pipe without `end` means that the runner is dead. It comes only after every child that is being started
has executed its program, since a child holds the pipe until then. So no child is missed, registered or not.

With `until` the processes of a runner that lives are ended, too, also of one that was stopped: another one may own its
run by then.

The guard forks a twin at its start. The twin reads its own pipe, descriptor FD, with the same lines, and acts after the
first guard has finished or died: killing one of the two has no effect.

Why: `signal` makes enumerations of its numbers, which takes longer than all else that a guard does at its start;
`_signal` is what it stands on. Where that is missing, `signal` does the same. Tried with Python 3.11 to 3.13.
"""

import os
import select
import sys
import time

try:
    import _signal as signal  # type: ignore[import-not-found]
except ImportError:
    import signal

VARIABLE = "AETHERFLOW_GUARD"
"""Environment variable with the marks of a child, those of enclosing runs first: `mark:mark.n`."""
KILL_WAIT_SECONDS = 2.0
"""Time to wait for processes to end after SIGKILL; one that hangs in the kernel (a dead network disk) is given up."""
GRACE_SECONDS = 0.5
"""Seconds between SIGTERM and SIGKILL for processes whose runner is dead."""
TWIN_WAIT_SECONDS = 5.0
"""How long the twin waits for the first guard to do the work."""
TWIN_LATE_SECONDS = 3.0
"""How much later than the first guard the twin ends the processes of a runner that lives."""
READ_SECONDS = 2
"""Seconds between two reads of the pipe, whose buffer holds the lines of 2,000 children."""
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)
"""Signals that a terminal, service manager or container sends to all processes; only the runner's end counts here."""
_NEEDLE = f"\0{VARIABLE}=".encode()


def numbers() -> set[int]:
    """All process ids; empty where there is no /proc."""
    try:
        return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 as cheap as can be
    except OSError:
        return set()


def born(pid: int) -> str:
    """Start time of a process in ticks since boot, to distinguish it from a later one with its id; "" if unknown."""
    return (_stat(pid) or [""] * 20)[19]


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", 0) as file:  # noqa: PTH123 pathlib would double the time to start
        return file.read()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (state, parent, group …); empty if the process is gone."""
    try:
        return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def carries(environment: bytes, mark: bytes, needle: bytes = _NEEDLE) -> bool:
    """Whether an environment, as /proc shows it, has the mark or a mark below it (`MARK.n`)."""
    if mark not in environment:
        return False
    _, found, rest = (b"\0" + environment).partition(needle)
    marks = rest.partition(b"\0")[0].split(b":") if found else []
    return any(one == mark or one.startswith(mark + b".") for one in marks)


class Search:
    """Finds the processes that have a mark.

    `others` are process ids without the mark; they are not read again while they live. The caller keeps the set, so
    that later searches are faster; a reused id in it would be missed, for which all ids must wrap around in between.
    """

    def __init__(self, mark: str, others: "set[int] | None" = None, variable: str = VARIABLE) -> None:
        self._mark = mark.encode()
        self._needle = f"\0{variable}=".encode()
        self._others = set() if others is None else others
        self.calm = False
        """True if the last look found only known processes: none can have started meanwhile."""
        self.unclear = False
        """True if the last look found a process that was executing a new program, whose environment is empty then."""

    def look(self) -> list[int]:
        """Ids of the living processes with the mark."""
        found = []
        now = numbers()
        now.discard(os.getpid())
        self._others &= now
        unknown = now - self._others
        self.calm, self.unclear = not unknown, False
        for pid in unknown:
            try:
                environment = _read(pid, "environ")
            except PermissionError:
                self._others.add(pid)  # of another user
                continue
            except OSError:
                continue  # it has ended
            if carries(environment, self._mark, self._needle):
                found.append(pid)
            elif environment or _is_bare(pid):
                self._others.add(pid)
            else:
                self.unclear = True
        return found


def _is_bare(pid: int) -> bool:
    """Whether a process without environment stays so: a zombie, a kernel thread, one started without environment.

    Otherwise it is just executing a new program: then it has no arguments either.
    """
    stat = _stat(pid)
    try:
        return (
            not stat or stat[0] in "ZX" or stat[2] == "0" or bool(_read(pid, "cmdline") and not _read(pid, "environ"))
        )
    except OSError:
        return True


def group_lives(group: int, since: str = "") -> bool:
    """Whether a group has members other than zombies; `since`, the leader's start time, detects a reused id."""
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
    """Send a signal to groups and single processes; those that are gone or belong to another user are skipped."""
    for signal_one, numbers_of in ((os.killpg, groups), (os.kill, strays)):
        for target in numbers_of:
            try:
                signal_one(target, number)
            except (ProcessLookupError, PermissionError):
                pass


def targets(groups: "dict[int, str]", search: Search) -> "tuple[list[int], list[int]]":
    """The living groups, and the marked processes outside of them. `groups`: group to its leader's start time."""
    live = [group for group, since in groups.items() if group_lives(group, since)]
    return live, [pid for pid in search.look() if _group_of(pid) not in live]


def end(groups: "dict[int, str]", search: Search, grace: float) -> None:
    """End groups and marked processes: SIGTERM, `grace` seconds to react, then SIGKILL until none is left."""
    if grace <= 0 or not _until_gone(groups, search, signal.SIGTERM, grace):
        _until_gone(groups, search, signal.SIGKILL, KILL_WAIT_SECONDS)


def _until_gone(groups: "dict[int, str]", search: Search, number: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    told: set[int] = set()
    clean = 0
    pause = 0.001
    while clean < 2:  # a process may start another one and end during a look, which then misses both
        live, strays = targets(groups, search)
        if not live and not strays:
            clean += 2 if search.calm else 1
            if search.unclear:
                time.sleep(0.001)
            continue
        clean = 0
        if time.monotonic() >= deadline:
            return False
        if number == signal.SIGKILL:
            told.clear()  # SIGKILL is repeated: a process that is being forked escapes it. SIGTERM is sent once to each
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


def listen(pipe: int, lag: float) -> "tuple[str, dict[int, str]] | None":
    """Read the pipe to its end; returns the mark and the groups, or None if the run has ended properly.

    Meanwhile end what is there `lag` seconds after the time that was set.
    """
    mark, rest = "", b""
    groups: dict[int, str] = {}
    until = ended = float("inf")
    os.set_blocking(pipe, False)
    hangup = select.poll()
    hangup.register(pipe, 0)  # only the end of the pipe wakes it: waking for the line of every child costs too much
    while True:
        left = until + lag - time.monotonic() if until != ended or groups else READ_SECONDS
        hangup.poll(round(min(max(left, 0.0), READ_SECONDS) * 1000))
        try:
            data = os.read(pipe, 1 << 20)
        except BlockingIOError:
            if time.monotonic() >= until + lag and (until != ended or groups):
                end(groups, Search(mark), GRACE_SECONDS)
                groups, ended = {}, until
            continue
        if not data:
            return mark, groups
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word, *values = line.decode().split()
            if word == "end":
                return None
            if word == "mark":
                mark = values[0]
            elif word == "until":
                until = float(values[0])
            elif word == "add":
                groups[int(values[0])] = values[1] if len(values) > 1 else ""
            else:
                groups.pop(int(values[0]), None)


def main() -> None:
    """Wait for the end of the runner, then end the processes that it left."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    second = int(sys.argv[1])
    first = os.getpid()
    twin = os.fork()
    pipe, other = (0, second) if twin else (second, 0)
    os.close(other)
    left = listen(pipe, 0.0 if twin else TWIN_LATE_SECONDS)
    if left is None:
        if twin:
            os.waitpid(twin, 0)  # else a zombie remains in a container whose first process reaps none
        return
    deadline = time.monotonic() + TWIN_WAIT_SECONDS
    while not twin and os.getppid() == first and time.monotonic() < deadline:
        time.sleep(0.01)
    mark, groups = left
    if mark:
        end(groups, Search(mark), GRACE_SECONDS)


if __name__ == "__main__":
    main()
    os._exit(0)  # the end of a run waits for it, and freeing all that an interpreter has takes as long as its start
