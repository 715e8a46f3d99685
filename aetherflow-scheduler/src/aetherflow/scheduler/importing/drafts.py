"""What an import makes: items, what became of each line, and how an item differs from what it replaces."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from aetherflow.core.embedding import Reason, ReasonCode

Became = Literal["item", "comment", "setting", "blank", "left"]
_LONGEST = 60


class Difference(ReasonCode):
    """Codes of how an item differs from what it replaces, and of why a line was left."""

    # The item does something else

    OUTPUT = "output", "output goes to the log of each run, not to {files}"
    BACKGROUND = "background", "runs in the foreground: what a command leaves running is ended with it"
    LOCK = "lock", "holds the lock {key!r}; a program outside that takes {file} itself is not held up"
    NOT_AT_ONCE = "lock_waits", "waits for the lock if another item holds it; `flock -n` gave up"
    WAITS = "wait_limit", "waits for the lock without a limit; `flock` gave up after {seconds} s"
    SIGNAL = "signal", "is stopped by SIGTERM, then SIGKILL; `timeout` sent {signal}"
    ACCOUNT = "account", "changes to the account {user} by runuser: the scheduler has to run as root"
    STEP = "step", "{given!r} is written {normal!r}, which is how cron reads it"
    ANY_CRON = "not_debian", "{remark}"
    EITHER_DAY = "either_day", "{remark}, as under cron"
    CRON_TZ = "cron_tz", "is started by the clock of {zone}, as cronie does; Debian's cron ignores CRON_TZ"
    SEVERAL = "several_times", "is one of {count} items: one expression cannot say all these times"
    SPREAD = "random_delay", "starts at its time; {setting} delayed it at random"
    MISFIRE = "persistent", "runs the last of the slots that were missed, as the timer did (misfire: last)"
    ENV_FILE = "env_file", "{file} is read by the shell, where `$` and blanks without quotes have a meaning"
    SECRET = "secret", "{name} looks like a secret, and stands in the document as plain text: move it to an env file"
    CHAIN = "commands_in_a_row", "runs its {count} commands one after the other in a shell, up to the first that fails"
    OURS = "starts_an_item", "starts an item of another scheduler document already: keep one of the two"

    NO_MAIL = "no_mail", "says nothing any more: the schedule sends no mail of this form"
    TAKEN_BACK = "taken_back", "has no effect: a line below it takes its place"
    INPUT = "input", "reads what stands behind the first `%` without a backslash: {text!r}"

    # A line was left

    REBOOT = "reboot", "a scheduler has no reboot: let a unit of systemd start it, `WantedBy=multi-user.target`"
    TIMES = "times", "{error}: {fix}"
    ENTRY = "entry", "is no entry of a crontab: {why}"
    TEXT = "text", "holds bytes that are no UTF-8, or the character NUL: write it again"
    NAME = "variable_name", "{name!r} is no name of a variable: set it in the command"
    OTHER_ACCOUNT = "other_account", "runs as {user}: import it with --user {user}, for a scheduler of that account"
    UNREAD = "unread_file", "cron reads no file of this name in /etc/cron.d: rename the file if it is to run"
    MAIL = "mail", "cron mailed output to {to}: name a mail resource in `notify`, as the comment in the document shows"
    NOTHING_SET = "unused_variable", "{name} was set, and no item uses it"
    DELAY = "cron_delay", "{name} has no counterpart: spread the minutes of the items by hand"
    CALENDAR = "on_calendar", "{text!r} cannot be said as a cron expression: {why}"
    MONOTONIC = "monotonic", "counts from a boot or a start, not by the clock: write a `cron`, or keep the timer"
    NO_SERVICE = "no_service", "{unit} was not found beside it: name it, too"
    NO_TIMER = "no_timer", "no timer of those that are imported starts it"
    NO_COMMAND = "no_command", "{unit} has no ExecStart that can be read"
    FAILS = "fails_silently", "has to succeed: `-` before the command let it fail"
    SPECIFIER = "specifier", "{text!r} has a specifier or prefix of systemd: write what it stands for"
    RESTART = "restart", "write `retry: {{max_attempts: 3}}` for an item that is to be started again"
    FAILURE = "on_failure", "write a rule of `notify` for failures"
    HARDENING = (
        "unit_setting",
        "belongs to a unit of systemd: set it for the service of the scheduler, if all items need it",
    )
    CONDITION = "condition", "write it into the command: `test -e FILE && …`"
    NO_SETTING = "no_setting", "is no setting of a unit"
    NOTHING_LEFT = "nothing_left", "was the setting of a unit of which no item was made"


@dataclass(slots=True)
class Line:
    """One line of what was imported, and what became of it."""

    file: str
    number: int
    text: str
    became: Became = "blank"
    items: list[str] = field(default_factory=list)
    """Ids of the items that it is part of."""
    reasons: list[Reason] = field(default_factory=list)
    """How these differ from what cron or systemd did; of a line that was left, why."""

    @property
    def at(self) -> str:
        return f"{self.file}:{self.number}"

    def tell(self, reason: Reason) -> None:
        """Say how the items differ, once."""
        if reason.code not in [each.code for each in self.reasons]:
            self.reasons.append(reason)

    def leave(self, reason: Reason) -> None:
        """Say that the line was not carried over."""
        self.became = "left"
        self.reasons.append(reason)

    def as_json(self) -> dict[str, Any]:
        """The line as reports for machines have it."""
        told = [{"code": each.code, "message": str(each)} for each in self.reasons]
        shown = {"file": self.file, "line": self.number, "text": self.text, "became": self.became}
        return {**shown, "items": self.items, "differences": told}


@dataclass(slots=True)
class Draft:
    """An item that is being made."""

    id: str
    cron: str
    command: list[str]
    keys: dict[str, Any] = field(default_factory=dict)
    """Further keys of the item, in the order in which they are written."""
    comments: list[str] = field(default_factory=list)
    """Lines above the item, without `#`."""


@dataclass(slots=True)
class Imported:
    """The items of an import, and all lines that it has read."""

    zone: str
    drafts: list[Draft] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    """Comments at the top of the document."""
    tail: list[str] = field(default_factory=list)
    """Comments below the last item, without `#`."""
    overlap: str = "allow"
    """The key of `defaults`: cron starts a command although its last run goes on, systemd does not."""
    mail_to: dict[str, None] = field(default_factory=dict)
    """To whom cron mailed, in the order of the lines."""


class Names:
    """Gives ids that are unique, and that `aetherflow wrap` takes for the name of a history."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, wish: str) -> str:
        """An id like a wish, which may be any text."""
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", wish).strip("-_")[:_LONGEST].strip("-_") or "item"
        name = base = plain if plain[0].isascii() and plain[0].isalpha() else f"item-{plain}"
        number = 1
        while name.lower() in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name.lower())
        return name


def count(lines: Iterable[Line]) -> dict[str, int]:
    """How many lines became what."""
    counts = dict.fromkeys(("item", "setting", "comment", "blank", "left"), 0)
    for line in lines:
        counts[line.became] += 1
    return counts
