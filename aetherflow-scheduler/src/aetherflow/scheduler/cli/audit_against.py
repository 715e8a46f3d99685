"""What `audit --against` prints: the slots of a schedule beside the starts of a log."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.shown import SHOWN

if TYPE_CHECKING:
    from aetherflow.scheduler.audit.against import Comparison, StartFinding
    from aetherflow.scheduler.schedule.schedule import Schedule


def audit_against(
    schedule: "Schedule",
    logs: Sequence[Path],
    first: dt.datetime | None,
    last: dt.datetime | None,
    wanted: frozenset[str],
    *,
    as_json: bool,
) -> None:
    """Compare, print, and end with 1 if there is a finding of a wanted kind."""
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.audit.against import compare, span_of
    from aetherflow.scheduler.audit.start_log import read_logs
    from aetherflow.scheduler.time.parsing import read_zone

    zone = read_zone(schedule.spec.timezone or schedule.spec.defaults.timezone or "UTC")
    log = read_logs(logs, zone, dt.datetime.now(dt.UTC))
    span = span_of(log, first, last)
    if span is None:
        raise UsageError(
            "the logs cover no minute of that time", fix="give logs of more time, or other times by --from and --to"
        )
    found = compare(schedule, log, *span)
    if log.unread:
        typer.echo(f"note: lines without a time that can be read, left out: {log.unread}", err=True)
    if found.not_compared:
        told = ", ".join(found.not_compared)
        typer.echo(f"note: without `replaces`, so no log tells of them: {told}", err=True)
    counted = [each for each in found.findings if each.kind in wanted]
    if as_json:
        print_json(_report(found, wanted, log.unread, ok=not counted))
    else:
        _show(found)
    if counted:
        raise typer.Exit(1)


def _report(found: "Comparison", wanted: frozenset[str], unread: int, *, ok: bool) -> dict[str, Any]:
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.time.clock import to_ms

    report: dict[str, Any] = {"schema": SCHEMA, "ok": ok, "from": iso(to_ms(found.start)), "to": iso(to_ms(found.end))}
    report |= {"expected": found.expected, "in_time": found.in_time, "counts": found.counts}
    report |= {"findings": [each.as_json() for each in found.findings], "fail_on": sorted(wanted)}
    return report | {"not_compared": found.not_compared, "unread_lines": unread}


def _show(found: "Comparison") -> None:
    from aetherflow.core.embedding import iso, table
    from aetherflow.scheduler.time.clock import to_ms

    def shown(at: dt.datetime | None) -> str:
        return "-" if at is None else iso(to_ms(at))

    slots = [each for each in found.findings if each.kind != "unknown"]
    if slots:
        rows = [[each.kind, each.item or "-", shown(each.slot), shown(each.at)] for each in slots[:SHOWN]]
        typer.echo(table(["KIND", "ITEM", "SLOT", "STARTED"], rows))
        if len(slots) > SHOWN:
            typer.echo(f"… and {len(slots) - SHOWN} more; --json has all")
    unknown: dict[str, list[StartFinding]] = {}
    for each in found.findings:
        if each.kind == "unknown":
            unknown.setdefault(each.what, []).append(each)
    if unknown:
        lines = [[str(len(own)), shown(own[0].at), what] for what, own in list(unknown.items())[:SHOWN]]
        typer.echo(table(["UNKNOWN", "FIRST", "START"], lines))
        if len(unknown) > SHOWN:
            typer.echo(f"… and {len(unknown) - SHOWN} others; --json has all")
    counts = found.counts
    told = ", ".join(f"{counts[kind]} {kind}" for kind in ("lost", "doubled", "late") if counts[kind])
    verdict = f"{found.in_time} of {found.expected} slots in time" + (f", {told}" if told else "")
    strange = counts["unknown"]
    starts = f"{strange} unknown start{'s' * (strange != 1)}" if strange else "no unknown start"
    typer.echo(f"{shown(found.start)} to {shown(found.end)}: {verdict}, {starts}")
