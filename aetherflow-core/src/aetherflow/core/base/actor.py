"""Who does something and where, as it is written down."""

import getpass
import os


def actor() -> str:
    """The account of this process; its number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def hostname() -> str:
    """The name of this machine, as of `socket.gethostname`, without importing socket."""
    return os.uname().nodename
