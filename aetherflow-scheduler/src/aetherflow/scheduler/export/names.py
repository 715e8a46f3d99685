"""Makes names that the targets accept from item ids; two items with the same name are an error."""

import re
from collections.abc import Callable, Iterable

from aetherflow.core.api import UsageError

UNIT_MAX = 255 - len(".service")
"""systemd's limit for the name of a unit, without the suffix `.service`."""
CRONJOB_MAX = 52
"""Names of jobs have at most 63 characters, and Kubernetes appends 11 to the name of the CronJob."""


def unit_name(prefix: str, item_id: str) -> str:
    """A unit name such as `aetherflow-etl-nightly`; characters that systemd does not accept become hexadecimal."""
    return re.sub(r"[^A-Za-z0-9:_.-]", _hexadecimal, f"{prefix}-{item_id}")


def _hexadecimal(letter: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter[0].encode())


def resource_name(prefix: str, item_id: str) -> str:
    """A DNS-1123 label for an item: lower-case letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{item_id}".lower())
    return name.strip("-")


def distinct(ids: Iterable[str], name_of: Callable[[str], str], longest: int, what: str) -> dict[str, str]:
    """Item id to name. Raises UsageError if two items share a name, or a name is longer than `longest`."""
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
