"""The frozen schedule that the loop, the commands and the exports use."""

import datetime as dt
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aetherflow.core.api import Problem, UsageError
from aetherflow.core.embedding import LEDGERS, as_given, did_you_mean, durable, engine_folder, find_state_root
from aetherflow.scheduler.schedule.calendars import Days, Window
from aetherflow.scheduler.schedule.spec import SchedulerFileSpec, SchedulerItemSpec
from aetherflow.scheduler.time.cron import Cron

_LONGEST = 16
"""MariaDB has 64 characters for a name in all, with that of the resource's database."""


def ledger_place(root: Path, document: Path) -> Path:
    """The ledger of a document whose `state` names none; both are absolute. Two documents never share one.

    In a server its name is part of that of a schema: the path of the document counts, which is the same on all hosts.
    """
    digest = hashlib.sha256(os.fsencode(document)).hexdigest()[:8]
    if durable.in_server(root):
        return root / f"{re.sub('[^a-z0-9]+', '_', document.stem.lower())[:_LONGEST]}_{digest}"
    return engine_folder(root) / LEDGERS / f"{document.stem}-{digest}.sqlite"


@dataclass(frozen=True, slots=True)
class ItemCommand:
    """What an item runs in place of a flow."""

    words: tuple[str, ...]
    """The program and its arguments."""
    folder: Path
    """The folder in which it runs, that of the document."""


@dataclass(frozen=True, eq=False)
class Item:
    """One item with defaults applied, absolute paths and parsed times."""

    spec: SchedulerItemSpec
    cron: Cron
    """The item's cron expression; for an item with `after` and without `cron`, that of the other item."""
    zone: ZoneInfo
    """The zone of the item whose cron expression is used."""
    flow: Path | None
    """The flow's file, absolute; None if the flow is in a bundle, and for a command."""
    manifest: Path | None
    """The file of the bundle's manifest, absolute; None if the flow is in none."""
    bundle_flow: str | None
    """The flow's path in the bundle; None for its entry flow."""
    command: ItemCommand | None
    """None if the item runs a flow."""
    since: dt.datetime | None
    """First instant from which slots are expected, in UTC; None: from when the item is first seen."""
    deadline: Cron | None
    """When a time of day comes, in the item's zone; None without `deadline`."""
    days: Days
    blackouts: tuple[Window, ...]
    line: int
    """Line of the document on which the item begins."""

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def after(self) -> tuple[str, ...]:
        """Ids of the items whose slots must have ended, as `after_status` says; none if it follows no other."""
        return self.spec.follows

    @property
    def params(self) -> Mapping[str, Any]:
        return as_given(self.spec.params)


@dataclass(frozen=True, eq=False)
class Schedule:
    """A scheduler document that was read and has no errors."""

    path: Path
    """Absolute path of the document."""
    spec: SchedulerFileSpec
    items: tuple[Item, ...]
    """All items in the order of the document, including disabled ones."""
    named: Path | None
    """The ledger that the document names, absolute; None if it names none."""
    warnings: tuple[Problem, ...] = ()
    read: frozenset[Path] = frozenset()
    """Files that were read with the document, absolute: those of holidays."""

    @cached_property
    def state_root(self) -> Path:
        """That of runs in the folder of the document. Raises what settings raise that cannot be used."""
        return find_state_root(self.path.parent, os.environ)

    @property
    def state(self) -> Path:
        """The ledger, absolute; that of 1.0 until it was moved."""
        return self.named or ledger_place(self.state_root, self.path)

    @property
    def enabled(self) -> frozenset[str]:
        """Ids of the items that are enabled."""
        return frozenset(item.id for item in self.items if item.spec.enabled)

    def item(self, name: str) -> Item:
        """The item of an id. Raises UsageError for an unknown id."""
        found = next((item for item in self.items if item.id == name), None)
        if found is None:
            fix = did_you_mean(name, [item.id for item in self.items], what="items of this file")
            raise UsageError(f"{self.path.name} has no item {name!r}", fix=fix)
        return found
