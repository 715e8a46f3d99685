import datetime as dt
import shlex
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

LONGEST = 60
"""Characters of a command in the table."""


def list_items(file: ScheduleArgument, as_json: JsonOption = False) -> None:
    """List the items of a scheduler document, with what they run and their next slot.

    For what has run, see `status`. Warnings of the document go to stderr.

    Example: aetherflow-scheduler list scheduler.yaml
    """
    from aetherflow.core.embedding import table
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.document.reading import show_path

    schedule = load(file)
    now = dt.datetime.now(dt.UTC)
    found = [_described(item, now) for item in schedule.items]
    if as_json:
        report = {"schema": SCHEMA, "path": str(schedule.path), "state": str(schedule.state), "items": found}
        print_json(report)
        return
    rows = [
        [
            each["id"],
            each["cron"] or f"(that of {', '.join(item.after)})",
            each["timezone"],
            each["next_local"] or ("not enabled" if not each["enabled"] else "never"),
            _short(each["command"]) or show_path(each["bundle_manifest"] or each["flow"], schedule.path.parent),
        ]
        for each, item in zip(found, schedule.items, strict=True)
    ]
    typer.echo(table(["ITEM", "CRON", "ZONE", "NEXT", "RUNS"], rows) if rows else f"{schedule.path.name} has no items")


def _short(words: list[str]) -> str:
    text = " ".join(shlex.join(words).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _described(item: "Item", now: dt.datetime) -> dict[str, Any]:
    from aetherflow.core.embedding import iso, masked_by_name
    from aetherflow.scheduler.cli.shown import local_text
    from aetherflow.scheduler.document.commands import masked_words
    from aetherflow.scheduler.schedule.slots import next_slot
    from aetherflow.scheduler.time.clock import to_ms

    slot = next_slot(item, max(now, item.since - dt.timedelta(microseconds=1)) if item.since else now)
    slot = slot if item.spec.enabled else None
    return {
        "id": item.id,
        "cron": item.spec.cron,
        "after": item.spec.after,
        "timezone": item.zone.key,
        "enabled": item.spec.enabled,
        "pool": item.spec.pool,
        "flow": str(item.flow) if item.flow else item.bundle_flow,
        "command": masked_words(item.command.words) if item.command else [],
        "flow_job": item.spec.flow_job,
        "bundle_manifest": str(item.manifest) if item.manifest else None,
        "params": masked_by_name(item.params),
        "next": iso(to_ms(slot.at)) if slot else None,
        "next_local": local_text(slot.local) if slot else None,
    }
