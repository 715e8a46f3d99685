"""What the exports share: the items, the command that every target starts, and what a target does differently."""

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
"""Signs that these take for their own; systemd-run would have them expanded a second time."""
YEARS = 10
"""How far ahead changes of the clock are written down; the zones' rules are not known for longer either."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written for a target."""

    files: dict[str, str]
    """Name of a file to its text."""
    notes: tuple[str, ...]
    """What the target does differently from `aetherflow-scheduler run`; also in the files, as comments."""


@dataclass(frozen=True, slots=True)
class Command:
    """The command of every item."""

    program: tuple[str, ...]
    file: str
    """The scheduler document, as an absolute path where the command runs."""
    trigger: str
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the command needs."""
    quiet: bool = False
    """Nothing is printed while all is well: cron mails what is."""

    def run_item(self, item: "Item") -> list[str]:
        """Run the item's current slot."""
        return [*self.program, "run-item", self.file, item.id, "--trigger", self.trigger, *self._quiet]

    def tick(self, items: Iterable["Item"], *, wait: bool = False) -> list[str]:
        """Run whatever is due of some items: nothing, most of the time. `wait`: also what may start only later."""
        chosen = [part for item in items for part in ("--item", item.id)]
        return [*self.program, "tick", self.file, *chosen, *(["--wait"] if wait else []), *self._quiet]

    @property
    def _quiet(self) -> list[str]:
        return ["--quiet"] if self.quiet else []


def places_here(env: Mapping[str, str]) -> dict[str, str]:
    """The settings of this shell that say where state and work are: another trigger does not have them by itself."""
    return {name: env[name] for name in _PLACES if env.get(name)}


def program_here(given: str | None) -> tuple[str, ...]:
    """The program as a target on this machine has to call it: with its full path, since PATH is another one there."""
    if given is not None:
        return (given,)
    beside = Path(sys.executable).with_name(PROGRAM)
    if beside.is_file():
        return (str(beside),)
    found = shutil.which(PROGRAM)
    return (str(Path(found).absolute()),) if found else (sys.executable, "-m", "aetherflow.scheduler")


def plain_words(words: Sequence[str], target: str) -> None:
    """Refuse what no quoting of a target carries."""
    for word in words:
        if any(letter in word for letter in _NOT_IN.get(target, "") + "\n\r\0"):
            raise UsageError(f"{target} cannot hold the name {word!r}", fix="rename the file or folder")


def one_word(text: str, option: str) -> str:
    """The name of an account or an address; UsageError for what a target would read as something else."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.@+,-]*\$?", text, re.ASCII):
        raise UsageError(f"{option} {text!r} is no account or address", fix="write it without blanks and signs")
    return text


def chosen_items(schedule: "Schedule", wanted: Sequence[str]) -> list["Item"]:
    """The enabled items, or those of them that are wanted."""
    for name in wanted:
        schedule.item(name)
    found = [item for item in schedule.items if item.spec.enabled and (not wanted or item.id in wanted)]
    if not found:
        raise UsageError("there is nothing to export: no item is enabled", fix="enable an item, or name another")
    return found


def disabled_note(items: Sequence["Item"], wanted: Sequence[str]) -> list[str]:
    """Items that are left out because they are switched off."""
    names = [item.id for item in items if not item.spec.enabled and (not wanted or item.id in wanted)]
    return [f"not exported, `enabled: false`: {', '.join(names)}"] if names else []


_MARK = f"# Written by `{PROGRAM} export` from "


def comment(title: str, document: str, notes: Iterable[str]) -> str:
    """The head of a file that was written from a document."""
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
    """The document that a file was written from, by its first two lines; None for a file that is not ours."""
    _, mark, rest = head.partition(_MARK)
    return rest.rstrip("\n") if mark else None
