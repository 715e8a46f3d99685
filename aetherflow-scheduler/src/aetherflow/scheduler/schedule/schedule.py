"""A schedule that is read and frozen: what the loop, the commands and the exports work with."""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aetherflow.core.api import Problem, UsageError
from aetherflow.core.embedding import as_given, did_you_mean, find_state_root
from aetherflow.scheduler.schedule.calendars import Days, Window
from aetherflow.scheduler.schedule.spec import SchedulerFileSpec, SchedulerItemSpec
from aetherflow.scheduler.time.cron import Cron


@dataclass(frozen=True, eq=False)
class Item:
    """One item with its defaults laid under it, its paths absolute, its times read."""

    spec: SchedulerItemSpec
    cron: Cron
    """Its own; of an item with `after` and without `cron` that of the other item."""
    zone: ZoneInfo
    """Likewise that of the item whose cron it goes by."""
    flow: Path | None
    """The flow's file, absolute; None if it stands in a bundle."""
    manifest: Path | None
    """The file of the bundle's manifest, absolute; None if the flow is a file."""
    bundle_flow: str | None
    """The flow's path in the bundle; None for its entry flow."""
    since: dt.datetime | None
    """First instant whose slots are expected, in UTC; None: when the item is first seen."""
    days: Days
    blackouts: tuple[Window, ...]
    line: int
    """Line of the document on which it begins."""

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def after(self) -> str | None:
        """Id of the item whose slot must have ended in SUCCESS; None if there is none."""
        return self.spec.after

    @property
    def params(self) -> Mapping[str, Any]:
        return as_given(self.spec.params)


@dataclass(frozen=True, eq=False)
class Schedule:
    """A scheduler document with all of it read and checked."""

    path: Path
    """Path of the document, absolute."""
    spec: SchedulerFileSpec
    items: tuple[Item, ...]
    """In the order of the document, those that are not enabled included."""
    state: Path
    """File of the ledger, absolute."""
    warnings: tuple[Problem, ...] = ()

    @cached_property
    def state_root(self) -> Path:
        """That of runs in the folder of the document. Raises what settings raise that cannot be used."""
        return find_state_root(self.path.parent, os.environ)

    @property
    def enabled(self) -> frozenset[str]:
        """Ids of the items that are enabled."""
        return frozenset(item.id for item in self.items if item.spec.enabled)

    def item(self, name: str) -> Item:
        """The item of an id; UsageError for an unknown one."""
        found = next((item for item in self.items if item.id == name), None)
        if found is None:
            fix = did_you_mean(name, [item.id for item in self.items], what="items of this file")
            raise UsageError(f"{self.path.name} has no item {name!r}", fix=fix)
        return found
