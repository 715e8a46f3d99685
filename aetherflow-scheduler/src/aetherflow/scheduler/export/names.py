"""Names that the targets accept, made from item ids; two items that would share one are an error."""

import re
from collections.abc import Callable, Iterable

from aetherflow.core.api import UsageError

UNIT_MAX = 255 - len(".service")
"""systemd's limit for the name of a unit, with its suffix."""
CRONJOB_MAX = 52
"""Kubernetes appends 11 characters to the name of a CronJob, and jobs may have 63."""


def unit_name(prefix: str, item_id: str) -> str:
    """`aetherflow-etl-nightly`; signs that systemd does not take are written in hexadecimal."""
    return re.sub(r"[^A-Za-z0-9:_.-]", _hexadecimal, f"{prefix}-{item_id}")


def _hexadecimal(letter: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter[0].encode())


def resource_name(prefix: str, item_id: str) -> str:
    """A DNS-1123 label: lower case, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{item_id}".lower())
    return name.strip("-")


def distinct(ids: Iterable[str], name_of: Callable[[str], str], longest: int, what: str) -> dict[str, str]:
    """The name of every item; refuses two items with one name, and names that are too long."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for item_id in ids:
        name = name_of(item_id)
        if (other := taken.setdefault(name, item_id)) != item_id:
            raise UsageError(
                f"items {other!r} and {item_id!r} would both be the {what} {name!r}", fix="rename one of them"
            )
        if len(name.encode()) > longest:
            raise UsageError(
                f"item {item_id!r}: the {what} {name!r} is longer than {longest} characters",
                fix="give a shorter --prefix, or the item a shorter id",
            )
        names[item_id] = name
    return names
