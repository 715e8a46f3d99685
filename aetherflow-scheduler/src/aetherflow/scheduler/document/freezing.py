"""Makes the frozen items of a document: applies defaults, and parses times and paths."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from aetherflow.core.embedding import DocPath, Document, Problems, did_you_mean, format_path
from aetherflow.scheduler.document.chains import Chains
from aetherflow.scheduler.document.days import read_blackout, read_days
from aetherflow.scheduler.document.findings import Findings
from aetherflow.scheduler.document.paths import Paths
from aetherflow.scheduler.errors import CronError
from aetherflow.scheduler.schedule.calendars import Days, never
from aetherflow.scheduler.schedule.schedule import Item, ItemCommand
from aetherflow.scheduler.schedule.spec import SchedulerFileSpec, SchedulerItemSpec
from aetherflow.scheduler.time.cron import EITHER_DAY, Cron
from aetherflow.scheduler.time.parsing import read_begin, read_time, read_zone

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""Valid item ids: they start run ids, whose limit of 128 characters must leave room for the slot."""
UTC = ZoneInfo("UTC")
_LATE = frozenset({"deadline", "late_after_seconds"})
"""Keys of which an item has one; one of its own takes the place of the other one in `defaults`."""


class ItemTarget(NamedTuple):
    """What an item runs; known even if its times are invalid."""

    number: int
    """Its index in the document."""
    spec: SchedulerItemSpec
    flow: Path | None
    manifest: Path | None
    command: ItemCommand | None


class Freezer:
    """Freezes the items of a document. `items` are the items that the model accepted, by index."""

    def __init__(
        self,
        document: Document,
        spec: SchedulerFileSpec,
        items: Mapping[int, SchedulerItemSpec],
        problems: Problems,
    ) -> None:
        self.spec = spec
        self.bound = items
        self.named: list[ItemTarget] = []
        self.found = Findings(document, problems)
        self.paths = Paths(Path(document.file).absolute().parent, self.found)
        self.source = document.source
        self.zone = self._file_zone()

    def items(self) -> list[Item]:
        """The items that could be frozen; mistakes in the others are added to the findings."""
        specs = {index: self._with_defaults(item) for index, item in self.bound.items()}
        ids = self._ids()
        days = {index: self._days_of(index, item) for index, item in specs.items()}
        crons = {index: self._cron(index, item, days[index]) for index, item in specs.items()}
        zones = {index: self._zone_of(index, item) for index, item in specs.items()}
        chains = Chains(specs, ids, self.found)
        items = []
        for index, item in specs.items():
            sources = chains.sources_of(index)
            cron, zone = (crons[sources[0]], zones[sources[0]]) if sources else (None, zones[index])
            if len({_slots_of(crons[each], zones[each]) for each in sources}) > 1:
                names = ", ".join(repr(specs[each].id) for each in sources)
                message = f"{format_path(('items', index))}: the slots of {names} are not the same"
                fix = "add `cron:`, with the time at which it starts; it then waits for their latest slots before that"
                self.found.add("AF8007", message, chains.at(index), "after", fix)
            if (frozen := self._item(item, index, cron, zone, days[index])) is not None:
                items.append(frozen)
        return items

    def at(self, index: int, key: str) -> DocPath:
        """The path of an item's value of a key: in the item, else in `defaults`."""
        return ("items", index, key) if key in self.bound[index].model_fields_set else ("defaults", key)

    def _file_zone(self) -> ZoneInfo:
        if self.spec.timezone is None:
            own = all(item.timezone is not None for item in self.bound.values())
            if not own and self.spec.defaults.timezone is None and "timezone" not in self.found.document.data:
                message = "no timezone is given: all times are UTC"
                self.found.add(
                    "AF8004",
                    message,
                    (),
                    "no_timezone",
                    "add `timezone: Europe/Berlin`, or `timezone: UTC`",
                    severity="warning",
                )
            return UTC
        return self._zone(self.spec.timezone, ("timezone",))

    def _zone(self, name: str, path: DocPath) -> ZoneInfo:
        try:
            return read_zone(name)
        except ValueError as error:
            self.found.refused("AF8003", error, path, "unknown_timezone")
            return UTC

    def _zone_of(self, index: int, item: SchedulerItemSpec) -> ZoneInfo:
        if item.timezone is None:
            return self.zone
        path = self.at(index, "timezone")
        if item.cron is None and item.follows and path[0] == "items":
            names = ", ".join(map(repr, item.follows))
            message = f"timezone has no effect: without `cron` the slots are those of {names}"
            self.found.add("AF8007", message, path, "after", "remove it", severity="warning", key=True)
        return self._zone(item.timezone, path)

    def _with_defaults(self, item: SchedulerItemSpec) -> SchedulerItemSpec:
        defaults = self.spec.defaults
        own = item.model_fields_set
        laid = {name: getattr(defaults, name) for name in defaults.model_fields_set - own}
        if "params" in defaults.model_fields_set and "params" in own:
            laid["params"] = {**defaults.params, **item.params}
        if own & _LATE:
            laid = {name: value for name, value in laid.items() if name not in _LATE}
        return item.model_copy(update=laid) if laid else item

    def _ids(self) -> dict[str, int]:
        """Every id to its first index, including items that the model rejected."""
        first: dict[str, int] = {}
        for index, data in enumerate(self.found.document.data.get("items", ())):
            name = data.get("id") if isinstance(data, dict) else None
            if not isinstance(name, str):
                continue
            path: DocPath = ("items", index, "id")
            if not ID.match(name):
                fix = "use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 100 characters"
                self.found.add("AF1206", f"{name!r} is not an item id", path, "invalid_id", fix)
            if (other := first.setdefault(name, index)) != index:
                line = self.source.value(("items", other, "id")).line
                fix = f"rename it; the first one is on line {line}"
                self.found.add("AF8005", f"duplicate item id: {name}", path, "duplicate_id", fix)
        return first

    def _days_of(self, index: int, item: SchedulerItemSpec) -> Days:
        path = self.at(index, "calendar")
        days = read_days(item.calendar, path, self.paths, self.found)
        if item.cron is None and path[0] == "items" and (key := "roll" if days.roll else "nth" if days.nth else ""):
            message = f"{format_path(path)}: `{key}` chooses days for `cron`, which this item does not have"
            fix = f"remove `{key}`: the slots are those of the items that `after` names"
            self.found.add("AF8010", message, (*path, key), "calendar", fix)
        return days

    def _cron(self, index: int, item: SchedulerItemSpec, days: Days) -> Cron | None:
        path: DocPath = ("items", index, "cron")
        if item.cron is None:
            if not item.follows:
                message = f"{format_path(path[:-1])} lacks the key 'cron'"
                fix = 'add `cron: "0 2 * * *"`, or `after:` with the id of another item'
                self.found.add("AF1102", message, path[:-1], "missing", fix)
            return None
        try:
            found = Cron.parse(item.cron)
        except CronError as error:
            self.found.add(error.code, f"{format_path(path)}: {error.message}", path, "cron", error.fix)
            return None
        for remark in found.remarks:
            fix = (
                "write `*` for one of the two if that is not meant"
                if remark == EITHER_DAY
                else f'write "{found.normal}"'
            )
            self.found.add("AF8009", f"{format_path(path)}: {remark}", path, "cron_remark", fix, severity="warning")
        if days.nth and found.normal.split()[2::2] != ["*", "*"]:
            message = f"{format_path(path)}: `nth` of the calendar chooses the days, and {found.text!r} names days too"
            minute, hour, _, months, _ = found.normal.split()
            self.found.add("AF8010", message, path, "calendar", f'write "{minute} {hour} * {months} *"')
        applied = days.applied(found)
        if never(applied):
            message = f"{format_path(path)}: no month of {found.text!r} has so many days on which slots run"
            self.found.add("AF8002", message, (*self.at(index, "calendar"), "nth"), "calendar", "write less, or last")
        return applied

    def _command(self, item: SchedulerItemSpec, index: int) -> ItemCommand | None:
        if "command" not in item.model_fields_set and item.lock is None:
            return None
        from aetherflow.scheduler.document.commands import command_problem  # many documents have none

        if problem := command_problem(item, self.bound[index], self.found.document.data["items"][index]):
            key, message, fix = problem
            self.found.add("AF8014", message, ("items", index, key), "command", fix)
            return None
        return ItemCommand(tuple(item.command), self.paths.folder) if item.command else None

    def _deadline(self, item: SchedulerItemSpec, index: int) -> Cron | None:
        if item.deadline is None:
            return None
        path = self.at(index, "deadline")
        if item.late_after_seconds is not None:
            message = f"{format_path(path)}: `late_after_seconds` says too when it is late"
            self.found.add("AF8010", message, path, "deadline", "keep one of the two")
        try:
            return read_time(item.deadline)
        except ValueError as error:
            self.found.refused("AF8010", error, path, "time")
            return None

    def _item(self, item: SchedulerItemSpec, index: int, cron: Cron | None, zone: ZoneInfo, days: Days) -> Item | None:
        path: DocPath = ("items", index)
        if item.pool is not None and item.pool not in self.spec.pools:
            fix = (
                did_you_mean(item.pool, self.spec.pools, what="pools")
                if self.spec.pools
                else f"add `pools: {{{item.pool}: 1}}`"
            )
            self.found.add("AF8008", f"no pool {item.pool!r}", self.at(index, "pool"), "unknown_pool", fix)
        since = None
        if item.since is not None:
            try:
                since = read_begin(item.since, zone)
            except ValueError as error:
                self.found.refused("AF8010", error, self.at(index, "since"), "time")
        deadline = self._deadline(item, index)
        blackouts = tuple(
            window
            for number, each in enumerate(item.blackouts)
            if (window := read_blackout(each, (*self.at(index, "blackouts"), number), zone, self.found)) is not None
        )
        if item.enabled and (item.misfire, item.overlap) == ("all", "skip"):
            message = f"{format_path(path)}: `misfire: all` runs missed slots, and `overlap: skip` skips slots"
            message += " whose time comes while a run of the item takes longer than its interval"
            fix = "add `overlap: queue`, so that every slot runs"
            self.found.add("AF8016", message, self.at(index, "misfire"), "misfire", fix, severity="warning")
        command = self._command(item, index)
        flow, manifest, inside = self.paths.of_item(item, path, self.at(index, "bundle_manifest"))
        self.named.append(ItemTarget(index, item, flow, manifest, command))
        if cron is None:
            return None
        return Item(
            spec=item,
            cron=cron,
            zone=zone,
            flow=flow,
            manifest=manifest,
            bundle_flow=inside,
            command=command,
            since=since,
            deadline=deadline,
            days=days,
            blackouts=blackouts,
            line=self.source.value(path).line,
        )


def _slots_of(cron: Cron | None, zone: ZoneInfo) -> str | None:
    """What determines the slots of an expression; None for one that could not be read."""
    if cron is None:
        return None
    return f"{cron.normal} {zone.key} {cron.chosen.definition if cron.chosen is not None else ''}"
