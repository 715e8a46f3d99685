"""The time zone of this machine, and comparison of zones."""

import os
import zoneinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from aetherflow.core.api import UsageError

_LOCALTIME = Path("/etc/localtime")


def machine_zone() -> str:
    """The name of the time zone in which cron runs on this machine.

    Ignores TZ of this process: cron is started by the system and does not inherit it.
    """
    target = os.path.realpath(_LOCALTIME)
    for root in (*zoneinfo.TZPATH, "/usr/share/zoneinfo"):
        name = os.path.relpath(target, os.path.realpath(root))
        if not name.startswith("..") and is_zone(name):
            return name
    raise UsageError("/etc/localtime does not name the time zone of this machine", fix="name it: --zone Europe/Berlin")


def is_zone(name: str) -> bool:
    """Whether a name is a known IANA time zone."""
    try:
        ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def same_rules(one: str, other: str) -> bool:
    """Whether two names have the same rules, as UTC and Etc/UTC have."""
    return one == other or ((rules := _rules(one)) is not None and rules == _rules(other))


def _rules(name: str) -> bytes | None:
    for root in zoneinfo.TZPATH:
        try:
            return (Path(root) / name).read_bytes()
        except OSError:
            continue
    return None
