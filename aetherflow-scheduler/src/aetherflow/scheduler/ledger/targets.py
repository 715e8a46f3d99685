"""What items run, as the runs record it; a ledger notes it for `aetherflow status`, which reads no document."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.scheduler.ledger.records import note_fact
from aetherflow.scheduler.ledger.store import Ledger

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

_NOTED = "targets"
"""Name of the fact in the ledger."""


class Target(NamedTuple):
    """The flow of an item, as its runs record it."""

    flow: str | None
    """The file that its runs record, absolute; None for a flow in a bundle."""
    manifest: str | None
    bundle_flow: str | None
    part: bool
    """Whether it executes one job of its flow."""


def target_of(item: "Item") -> Target:
    flow = item.flow
    if item.command is not None:
        from aetherflow.core.embedding import wrapped_path

        flow = wrapped_path(item.command.folder, item.id)
    manifest = str(item.manifest) if item.manifest is not None else None
    return Target(str(flow) if flow is not None else None, manifest, item.bundle_flow, item.spec.flow_job is not None)


def noted_targets(ledger: Ledger) -> dict[str, Target]:
    """Item to what it ran when a scheduler, a tick or a trigger last read its document."""
    rows = ledger.read("SELECT value FROM meta WHERE name=?", (_NOTED,))
    return {item: Target(*found) for item, found in json.loads(rows[0][0]).items()} if rows else {}


def unnoted_targets(ledger: Ledger, items: Iterable["Item"]) -> dict[str, Target]:
    """The targets of items for which the ledger has none, or another one."""
    noted = noted_targets(ledger)
    return {item.id: found for item in items if noted.get(item.id) != (found := target_of(item))}


def note_targets(ledger: Ledger, items: Iterable["Item"]) -> None:
    """Write the targets of items into the ledger. Call it inside a transaction."""
    if new := unnoted_targets(ledger, items):
        note_fact(ledger.db, _NOTED, json.dumps(noted_targets(ledger) | new, sort_keys=True))
