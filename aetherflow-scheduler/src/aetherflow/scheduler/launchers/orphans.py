"""Processes of runs that a scheduler left behind when it died: whether they go on, and signals for them."""

import os
import signal
from pathlib import Path

from aetherflow.core.embedding import is_dead


def birth_of(pid: int) -> str | None:
    """When a process began, as the system counts; None if there is none, or where that cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rfind(b")") + 2 :].split()  # the name before it may hold anything
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return fields[19].decode()


def is_written(log: Path) -> bool:
    """Whether a run that was started with this log goes on: it holds a kernel lock on it from its first moment.

    So it shows before anybody has written down its process, and if nobody does.
    """
    return log.exists() and not is_dead(log.parent, log.name)


def signal_orphan(pid: int | None, birth: str | None, number: int) -> bool:
    """Signal a run that an earlier scheduler started; False if it is gone. Never signals another process."""
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
