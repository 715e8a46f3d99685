"""Exports a crontab: one line per item, in the zone that cron runs in."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import UsageError
from aetherflow.scheduler.export.target import Command, Exported, chosen_note, comment, one_word, plain_words
from aetherflow.scheduler.export.target_zone import same_rules

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

_LONGEST = 998
"""Maximum length of a command that cron accepts."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EVERY_MINUTE = "* * * * *"


def crontab(
    items: Sequence["Item"], command: Command, *, zone: str, user: str | None, mail_to: str | None, notes: Sequence[str]
) -> Exported:
    """Make the crontab of an account, or with `user` a file for /etc/cron.d.

    Debian's cron only knows the zone of the machine. Items of other zones get a line that calls `tick` every minute,
    which starts their slots when they are due.
    """
    elsewhere = [item for item in items if not same_rules(item.zone.key, zone)]
    here = [item for item in items if item not in elsewhere]
    caught_up = [item for item in here if item.spec.misfire != "skip"]
    told = [*notes, *_notes(zone, here, elsewhere, caught_up)]
    plain_words(list(command.env.values()), "crontab")
    lines = ["SHELL=/bin/sh", f"PATH={_path(command)}", *(f"{name}={value}" for name, value in command.env.items())]
    if mail_to is not None:
        lines.append(f"MAILTO={one_word(mail_to, '--mailto')}")
    account = f"{one_word(user, '--user')} " if user else ""
    lines += [f"{item.cron.normal} {account}{_escaped(command.run_item(item))}" for item in here if not _is_loose(item)]
    lines += [f"{item.cron.every_day} {account}{_escaped(command.tick([item]))}" for item in here if _is_loose(item)]
    if elsewhere:
        lines.append(f"{EVERY_MINUTE} {account}{_escaped(command.tick(elsewhere))}")
    if caught_up:
        lines.append(f"@reboot {account}{_escaped(command.tick(caught_up, wait=True))}")
    form = f"a file for /etc/cron.d, run as {user}" if user else "the crontab of an account"
    head = comment(f"Items for cron, {form}; times in {zone}.", command.file, told)
    return Exported({"crontab": head + "\n".join(lines) + "\n"}, tuple(told))


def _is_loose(item: "Item") -> bool:
    """Whether its line fires on more days than the item has slots."""
    return item.cron.chosen is not None


def _notes(zone: str, here: Sequence["Item"], elsewhere: Sequence["Item"], caught_up: Sequence["Item"]) -> list[str]:
    notes = []
    if elsewhere:
        names = ", ".join(f"{item.id} ({item.zone.key})" for item in elsewhere)
        notes.append(f"cron has one zone, here {zone}; other zones are looked after every minute by `tick`: {names}")
    notes += chosen_note(here)
    if here:
        notes.append(
            "while cron does not run, nothing is started and nothing is recorded; the next start of an item accounts "
            "for its slots since then, as its `misfire` says"
        )
    if caught_up:
        names = ", ".join(item.id for item in caught_up)
        notes.append(f"missed slots run when cron starts after a boot, else with the next slot of the item: {names}")
    return notes


def _path(command: Command) -> str:
    folder = str(Path(command.program[0]).parent)
    known = _SYSTEM_PATH.split(":")
    return _SYSTEM_PATH if folder in {*known, "."} else f"{folder}:{_SYSTEM_PATH}"


def _escaped(words: Sequence[str]) -> str:
    """Quote a command for sh, and escape `%`, which cron would read as a line end."""
    plain_words(words, "crontab")
    text = shlex.join(words).replace("%", r"\%")
    if len(text) > _LONGEST:
        raise UsageError(
            f"cron takes commands of {_LONGEST} characters, this one has {len(text)}: {text[:60]}...",
            fix="move the file to a shorter path, or export fewer items at a time: --item ID",
        )
    return text


def check_file_name(path: Path, user: str | None) -> list[str]:
    """Notes on a file name for /etc/cron.d: cron silently ignores some names."""
    if (user or path.absolute().parent.name == "cron.d") and not re.fullmatch(r"[A-Za-z0-9_-]+", path.name):
        return [f"cron reads no file named {path.name!r} in /etc/cron.d: only letters, digits, _ and - may stand in it"]
    return []
