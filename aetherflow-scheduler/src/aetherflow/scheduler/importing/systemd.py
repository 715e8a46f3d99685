"""Makes items of timers of systemd and the services that they start."""

import datetime as dt
import re
from typing import NamedTuple
from zoneinfo import ZoneInfo

from aetherflow.core.embedding import Reason, said
from aetherflow.scheduler.export.times import unusual
from aetherflow.scheduler.importing.drafts import Difference, Draft, Imported, Names
from aetherflow.scheduler.importing.on_calendar_text import Calendar, NoCronError, cron_text, merged, read_calendar
from aetherflow.scheduler.importing.services import read_service
from aetherflow.scheduler.importing.unit_files import Setting, Unit, service_of
from aetherflow.scheduler.time.cron import Cron

_MINUTE = dt.timedelta(minutes=1)
_YEAR = dt.timedelta(days=300)
"""From one of two changes of the clock to the next one of its kind it is longer."""
_SAID = {
    ("Timer", "Persistent"),
    ("Timer", "Unit"),
    ("Timer", "AccuracySec"),
    ("Timer", "RemainAfterElapse"),
    ("Unit", "Description"),
    ("Unit", "Documentation"),
    ("Unit", "RequiresMountsFor"),
    ("Service", "Type"),
    ("Service", "SyslogIdentifier"),
    ("Service", "RemainAfterExit"),
}
"""Settings that an item does not need, or that are read elsewhere."""


class SystemdImport:
    """Imports timers and services into one document, for a scheduler that runs as an account; None: as root."""

    def __init__(self, zone: str, account: str | None) -> None:
        self.found = Imported(zone, overlap="skip")
        self._account = account
        self._names = Names()

    def add(self, units: list[Unit]) -> None:
        """Import the timers among some units; the services that they start are among these, too."""
        by_name = {unit.name: unit for unit in units}
        used: set[str] = set()
        for timer in [unit for unit in units if unit.path.suffix == ".timer"]:
            service = by_name.get(service_of(timer))
            if service is None:
                self._leave(timer, said(Difference.NO_SERVICE, unit=service_of(timer)))
                continue
            used.add(service.name)
            self._timer(timer, service)
        for unit in units:
            if unit.path.suffix == ".service" and unit.name not in used:
                self._leave(unit, said(Difference.NO_TIMER))
            self.found.lines += unit.lines

    def _leave(self, unit: Unit, reason: Reason) -> None:
        for each in unit.settings:
            for line in (each.line, *each.more):
                line.leave(reason)

    def _timer(self, timer: Unit, service: Unit) -> None:
        program = read_service(service, self._account)
        if program is None:
            reason = said(Difference.NO_COMMAND, unit=service.name)
            self._leave(timer, reason)
            self._leave(service, reason)
            return
        crons = self._crons(timer)
        wish = program.item or timer.path.stem
        ids = [self._names.of(wish) for _ in crons]
        description = service.last("Unit", "Description") or timer.last("Unit", "Description")
        comments = [description.value] if description is not None else []
        own = [line.text for unit in (timer, service) for line in unit.lines if line.became == "comment"]
        comments += [text.strip()[1:].strip() for text in own]
        for name, when in zip(ids, crons, strict=True):
            draft = Draft(name, when.cron, program.command, comments=[*comments, f"{timer.name}, {service.name}"])
            if when.zone != self.found.zone:
                draft.keys["timezone"] = when.zone
            draft.keys |= program.keys
            persistent = timer.last("Timer", "Persistent")
            if persistent is not None and persistent.value.lower() in ("true", "yes", "on", "1"):
                draft.keys["misfire"] = "last"
            draft.keys["replaces"] = service.name
            self.found.drafts.append(draft)
        self._account_for(timer, ids)
        self._account_for(service, ids)
        if len(crons) > 1:
            for each in timer.all("Timer", "OnCalendar"):
                each.line.reasons.append(said(Difference.SEVERAL, count=len(crons)))

    def _crons(self, timer: Unit) -> "list[_When]":
        """The expressions of a timer; a line that has none is left."""
        found: dict[str, list[tuple[Setting, Calendar]]] = {}
        instants: list[tuple[Setting, Calendar]] = []
        for each in timer.all("Timer", "OnCalendar"):
            try:
                calendar = read_calendar(each.value)
                if calendar.times is not None:
                    cron_text(calendar.times)
            except NoCronError as error:
                each.line.leave(said(Difference.CALENDAR, text=each.value, why=error.args[0]))
                continue
            if calendar.times is None:
                instants.append((each, calendar))
            else:
                found.setdefault(calendar.zone or self.found.zone, []).append((each, calendar))
        whens: list[_When] = []
        for zone, lines in found.items():
            sets = merged([calendar.times for _, calendar in lines if calendar.times is not None])
            whens += [_When(cron_text(times), cron_text(times, elapsed=True), zone) for times in sets]
        return self._with_instants(whens, instants)

    def _with_instants(self, whens: "list[_When]", instants: list[tuple[Setting, Calendar]]) -> "list[_When]":
        """Choose for each expression how it goes by at changes of the clock; leave instants that none of them has."""
        at = [self._instants(calendar) for _, calendar in instants]
        whole = frozenset(instant for line in at for instant in line)
        chosen = [max(when.both, key=lambda one: one.likeness(whole)) for when in whens]
        for (each, _), line in zip(instants, at, strict=True):
            if not all(any(when.has(instant) for when in chosen) for instant in line):
                why = "it names a year, and no other line has these times"
                each.line.leave(said(Difference.CALENDAR, text=each.value, why=why))
        return chosen

    def _instants(self, calendar: Calendar) -> list[dt.datetime]:
        zone = ZoneInfo(calendar.zone or self.found.zone)
        return [at.replace(tzinfo=zone).astimezone(dt.UTC) for at in calendar.at]

    def _account_for(self, unit: Unit, ids: list[str]) -> None:
        """Say of each setting what became of it."""
        for each in unit.settings:
            for line in (each.line, *each.more):
                if line.became == "blank":
                    line.became = "item" if ids else "setting"
                    line.items = list(ids)
            if each.line.became == "left" or not each.value:
                continue
            if not unit.counts(each):
                each.line.tell(said(Difference.TAKEN_BACK))
                continue
            told = _told(each)
            if not ids and (told is None or not told[1]):
                told = said(Difference.NOTHING_LEFT), True
            if told is not None:
                if told[1]:
                    each.line.items = []
                    each.line.leave(told[0])
                else:
                    each.line.tell(told[0])


class _When(NamedTuple):
    """An expression in its zone, and the same one that goes by elapsed time."""

    cron: str
    elapsed: str
    zone: str

    @property
    def both(self) -> "tuple[_When, _When]":
        return self, self._replace(cron=self.elapsed)

    def likeness(self, added: frozenset[dt.datetime]) -> int:
        """How many lines for single instants it makes superfluous, less those that it would need at its own."""
        if not added:
            return 0
        first, last = min(added), max(added)
        own = unusual(Cron.parse(self.cron), ZoneInfo(self.zone), first - _YEAR, last.year - first.year + 1)
        return sum(map(self.has, added)) - sum(at not in added for at, _ in own if at <= last + _YEAR)

    def has(self, at: dt.datetime) -> bool:
        """Whether it fires in a minute."""
        return any(True for _ in Cron.parse(self.cron).between(at, at + _MINUTE, ZoneInfo(self.zone)))


_LEFT: dict[str, Difference] = {
    "Restart": Difference.RESTART,
    "RestartSec": Difference.RESTART,
    "OnFailure": Difference.FAILURE,
}


def _told(setting: Setting) -> tuple[Reason, bool] | None:
    """What is to be said of a setting, and whether it was left; None if the item does the same."""
    section, key = setting.section, setting.key
    if section == "Install" or (section, key) in _SAID or key in ("OnCalendar", *_OF_COMMAND):
        return _of_carried(setting)
    if key in ("RandomizedDelaySec", "FixedRandomDelay"):
        return said(Difference.SPREAD, setting=key), False
    if section == "Timer":
        return said(Difference.MONOTONIC) if re.match(r"On\w+Sec\Z", key) else said(Difference.HARDENING), True
    if key.startswith(("Condition", "Assert")):
        return said(Difference.CONDITION), True
    return said(_LEFT.get(key, Difference.HARDENING)), True


_OF_COMMAND = frozenset(
    [
        "ExecStart",
        "ExecStartPre",
        "ExecStartPost",
        "User",
        "Environment",
        "EnvironmentFile",
        "WorkingDirectory",
        "TimeoutStartSec",
        "RuntimeMaxSec",
        "Nice",
        "UMask",
        "StandardOutput",
        "StandardError",
    ]
)


def _of_carried(setting: Setting) -> tuple[Reason, bool] | None:
    key, value = setting.key, setting.value
    if (key, value) == ("Type", "forking"):
        return said(Difference.BACKGROUND), False
    if key == "Persistent" and value.lower() in ("true", "yes", "on", "1"):
        return said(Difference.MISFIRE), False
    if key in ("StandardOutput", "StandardError") and value not in ("journal", "inherit", "null"):
        return said(Difference.OUTPUT, files=value), False
    return None
