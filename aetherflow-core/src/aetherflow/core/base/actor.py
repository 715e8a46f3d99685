"""Who does something, as it is written down."""

import getpass
import os


def actor() -> str:
    """The account of this process; its number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
