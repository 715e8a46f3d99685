"""Exports systemd timers and services: one pair of files per item."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from aetherflow.core.api import UsageError
from aetherflow.scheduler.export.names import UNIT_MAX, distinct, unit_name
from aetherflow.scheduler.export.on_calendar import OnCalendar, on_calendar
from aetherflow.scheduler.export.target import (
    PROGRAM,
    YEARS,
    Command,
    Exported,
    chosen_note,
    comment,
    one_word,
    plain_words,
)

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

Scope = Literal["system", "user"]

SERVICE = """\
{head}[Unit]
Description={description}
RequiresMountsFor={mounts}

[Service]
Type=oneshot
{user}{env}WorkingDirectory={folder}
ExecStart={command}
# the run gets the request to stop through its parent, which then waits for it
KillMode=mixed
TimeoutStopSec=90
"""
TIMER = """\
{head}[Unit]
Description={description}

[Timer]
Unit={unit}.service
{calendar}
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""


def systemd(
    items: Sequence["Item"],
    command: Command,
    *,
    prefix: str,
    user: str | None,
    scope: Scope,
    now: dt.datetime,
    notes: Sequence[str],
) -> Exported:
    """Make a service and a timer for each item.

    At clock changes systemd treats local times differently from cron. The slots that it would skip are extra lines of
    the timer; where it fires twice, the ledger runs the slot once.
    """
    if user is not None and scope == "user":
        raise UsageError("--user and --scope user exclude each other", fix="units of a user run as that user")
    if user is not None:
        one_word(user, "--user")
    names = distinct([item.id for item in items], lambda item_id: unit_name(prefix, item_id), UNIT_MAX, "unit")
    together = [item for item in items if item.spec.overlap != "skip"]
    times = {item.id: on_calendar(item.cron, item.zone, now, YEARS) for item in items}
    files: dict[str, str] = {}
    for item in items:
        unit, description = names[item.id], _specifiers(f"AetherFlow {item.id} of {command.file}")
        plain_words([command.file, *command.program, *command.env.values()], "systemd")
        folder = _specifiers(command.file.rpartition("/")[0] or "/")
        files[f"{unit}.service"] = SERVICE.format(
            head=comment(f"Item {item.id}.", command.file, _notes([item], together, times, now)),
            description=description,
            folder=folder,
            mounts=_quoted(folder),
            user=f"User={user}\n" if user and item not in together else "",
            env="".join(
                f"Environment={_quoted(_specifiers(f'{name}={value}'))}\n" for name, value in command.env.items()
            ),
            command=_words(_start(item, command, user, scope, exact=times[item.id].exact)),
        )
        files[f"{unit}.timer"] = TIMER.format(
            head=comment(f"When item {item.id} starts: {item.cron.text}", command.file, []),
            description=f"When {description} starts",
            unit=unit,
            calendar="\n".join(f"OnCalendar={line}" for line in times[item.id].lines),
        )
    return Exported(files, (*notes, *_notes(items, together, times, now)))


def _start(item: "Item", command: Command, user: str | None, scope: Scope, *, exact: bool) -> list[str]:
    # a timer that fires more often than the item has slots calls `tick`, which asks the ledger what is due
    run = command.run_item(item) if exact else command.tick([item])
    if item.spec.overlap == "skip":
        return run
    plain_words(run, "systemd-run")
    # systemd does not start a unit that is running; a separate unit per slot leaves overlaps to the item's policy
    account = [f"--uid={user}"] if user else []
    manager = ["--user"] if scope == "user" else []
    properties = ["--property=KillMode=mixed", "--property=TimeoutStopSec=90"]
    properties += [f"--setenv={name}={value}" for name, value in command.env.items()]
    return ["/usr/bin/systemd-run", *manager, "--collect", "--quiet", "--same-dir", *account, *properties, *run]


def _notes(
    items: Sequence["Item"], together: Sequence["Item"], times: Mapping[str, OnCalendar], now: dt.datetime
) -> list[str]:
    notes = []
    if any(times[item.id].added for item in items):
        notes.append(
            "systemd passes over times that a change of the clock leaves out, and over the second pass of an hour that "
            f"comes twice; lines in UTC add these instants until {now.year + YEARS}: export again before that, and "
            "when a zone's rules change"
        )
    notes += chosen_note(items)
    if loose := [item.id for item in items if not times[item.id].exact and item.cron.chosen is None]:
        notes.append(
            f"systemd fails at the clock changes of the zone; `tick` decides at times in UTC: {', '.join(loose)}"
        )
    if alone := [item.id for item in items if item not in together]:
        notes.append(
            f"while a run goes on, systemd starts its item no second time; such slots are MISSED, not SKIPPED: "
            f"{', '.join(alone)}"
        )
    if apart := [item.id for item in items if item in together]:
        notes.append(
            "runs that may overlap, wait or replace each other are units of their own, run-*.service; follow them with "
            f"`journalctl -t {PROGRAM}`: {', '.join(apart)}"
        )
    notes.append(
        "while systemd does not run, nothing is recorded; at the next start each item accounts for its slots since "
        "then, as its `misfire` says"
    )
    return notes


def _words(words: Sequence[str]) -> str:
    return " ".join(_word(word) for word in words)


def _word(word: str) -> str:
    """Quote one word of `ExecStart=`: `%` and `$` are escaped, blanks and special characters quoted."""
    return _quoted(_specifiers(word).replace("$", "$$"))


def _quoted(text: str) -> str:
    if text and all(letter.isalnum() or letter in "/._-=:,@+%$" for letter in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
