"""Finds and signals the run processes that a dead scheduler left behind."""

import os
import signal
from pathlib import Path

from aetherflow.core.embedding import is_dead


def birth_of(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot, from /proc; None if it has ended or there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rfind(b")") + 2 :].split()  # the program name before it may contain blanks and parentheses
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return fields[19].decode()


def is_written(log: Path) -> bool:
    """Whether the run that was started with this log is still running: it holds a kernel lock on the log.

    The lock exists from the start of the process, so this also works if the ledger has no process id yet.
    """
    return log.exists() and not is_dead(log.parent, log.name)


def signal_orphan(pid: int | None, birth: str | None, number: int) -> bool:
    """Signal a run that an earlier scheduler started; False if it has ended. A reused process id is never signalled."""
    if pid is None or birth is None or birth_of(pid) != birth:
        return False
    try:
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
