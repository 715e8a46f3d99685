"""Shared by all exports: the chosen items, the command that a target starts, and checks of its words."""

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import UsageError

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

PROGRAM = "aetherflow-scheduler"
_PLACES = (
    "AETHERFLOW_CONFIG",
    "AETHERFLOW_LOCK_STORE",
    "AETHERFLOW_PLUGIN_PATHS",
    "AETHERFLOW_STATE_ROOT",
    "AETHERFLOW_WORK_ROOT",
)
_NOT_IN = {"crontab": "\\", "systemd-run": "$"}
"""Characters that a target cannot be given even quoted; systemd-run would expand `$` a second time."""
YEARS = 10
"""How many years of clock changes an export covers; the rules of zones are not reliable for longer."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export."""

    files: dict[str, str]
    """File name to content."""
    notes: tuple[str, ...]
    """How the target differs from `aetherflow-scheduler run`; also written into the files as comments."""


@dataclass(frozen=True, slots=True)
class Command:
    """The command line that the target starts for items."""

    program: tuple[str, ...]
    file: str
    """Absolute path of the scheduler document on the host that runs the command."""
    trigger: str
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the command needs."""
    quiet: bool = False
    """Whether the command prints nothing on success: cron mails any output."""

    def run_item(self, item: "Item") -> list[str]:
        """The words of a command that runs the current slot of an item."""
        return [*self.program, "run-item", self.file, item.id, "--trigger", self.trigger, *self._quiet]

    def tick(self, items: Iterable["Item"], *, wait: bool = False) -> list[str]:
        """The words of a `tick` command for some items.

        With `wait`, it also waits for slots that may start only later.
        """
        chosen = [part for item in items for part in ("--item", item.id)]
        return [*self.program, "tick", self.file, *chosen, *(["--wait"] if wait else []), *self._quiet]

    @property
    def _quiet(self) -> list[str]:
        return ["--quiet"] if self.quiet else []


def places_here(env: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that locate state and work folders; the target would not inherit them."""
    return {name: env[name] for name in _PLACES if env.get(name)}


def program_here(given: str | None) -> tuple[str, ...]:
    """The words that start the program on this machine, with its full path: cron and systemd have another PATH."""
    if given is not None:
        return (given,)
    beside = Path(sys.executable).with_name(PROGRAM)
    if beside.is_file():
        return (str(beside),)
    found = shutil.which(PROGRAM)
    return (str(Path(found).absolute()),) if found else (sys.executable, "-m", "aetherflow.scheduler")


def plain_words(words: Sequence[str], target: str) -> None:
    """Raise UsageError for words that cannot be quoted for the target."""
    for word in words:
        if any(letter in word for letter in _NOT_IN.get(target, "") + "\n\r\0"):
            raise UsageError(f"{target} cannot hold the name {word!r}", fix="rename the file or folder")


def one_word(text: str, option: str) -> str:
    """Return an account name or address unchanged; raise UsageError if the target would misread it."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.@+,-]*\$?", text, re.ASCII):
        raise UsageError(f"{option} {text!r} is no account or address", fix="write it without blanks and signs")
    return text


def chosen_items(schedule: "Schedule", wanted: Sequence[str]) -> list["Item"]:
    """The enabled items, restricted to the ids in `wanted` if there are any."""
    for name in wanted:
        schedule.item(name)
    found = [item for item in schedule.items if item.spec.enabled and (not wanted or item.id in wanted)]
    if not found:
        raise UsageError("there is nothing to export: no item is enabled", fix="enable an item, or name another")
    return found


def disabled_note(items: Sequence["Item"], wanted: Sequence[str]) -> list[str]:
    """A note on the items that are left out because they are disabled; empty without any."""
    names = [item.id for item in items if not item.spec.enabled and (not wanted or item.id in wanted)]
    return [f"not exported, `enabled: false`: {', '.join(names)}"] if names else []


def chosen_note(items: Sequence["Item"]) -> list[str]:
    """A note on the items whose days a calendar chooses, which no target can say; empty without any."""
    names = [item.id for item in items if item.cron.chosen is not None]
    message = "the calendar chooses the days (`roll`, `nth`); `tick` decides each day at these times"
    return [f"{message}: {', '.join(names)}"] if names else []


_MARK = f"# Written by `{PROGRAM} export` from "


def comment(title: str, document: str, notes: Iterable[str]) -> str:
    """The comment at the head of an exported file, with its document and the notes."""
    lines = [
        f"# {title}",
        f"{_MARK}{document}",
        "# Write it again when the schedule has changed; changes here are lost.",
    ]
    told = [f"# - {note}" for note in notes]
    if told:
        lines += ["# What is different from `aetherflow-scheduler run`:", *told]
    return "".join(f"{line}\n" for line in lines)


def written_for(head: str) -> str | None:
    """The document that a file was exported from, by its first two lines; None for a file that no export wrote."""
    _, mark, rest = head.partition(_MARK)
    return rest.rstrip("\n") if mark else None
