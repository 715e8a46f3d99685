"""Who does something and where, as it is written down."""

import contextlib
import getpass
import os
from functools import cache
from pathlib import Path


def actor() -> str:
    """The account of this process; its number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def hostname() -> str:
    """The name of this machine, as of `socket.gethostname`, without importing socket."""
    return os.uname().nodename


@cache
def boot_id() -> str:
    """What tells this boot of the host, in which its monotonic clock counts, from all others."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        with contextlib.suppress(OSError):  # a kernel without time namespaces
            boot += " " + str(Path("/proc/self/ns/time").readlink())
        return boot
    return f"host {hostname()}"
