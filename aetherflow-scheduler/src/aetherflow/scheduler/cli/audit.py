import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption
from aetherflow.scheduler.cli.shown import SHOWN

if TYPE_CHECKING:
    from aetherflow.scheduler.audit.audit import Audit
    from aetherflow.scheduler.schedule.schedule import Schedule

KINDS = ("failed", "missed", "late")
USUAL = ("failed", "missed")
OF_LOGS = ("lost", "doubled", "late", "unknown")


def audit(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            readable=False,
            help="The scheduler document; may be left out with --verify.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Begin; omitted: when each item was first seen.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, left out; omitted: now.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="What ends with 1 beside gaps: failed, missed, late; or none. Omitted: failed,missed. With --against: "
            "lost, doubled, late, unknown; omitted: all.",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="LOG",
            readable=False,
            help="Compare the slots with what cron or systemd started: syslog, journalctl -o json; - is stdin.",
        ),
    ] = None,
    date: Annotated[
        str | None, typer.Option("--date", metavar="DAY", help="The day that is signed, in the document's zone.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", readable=False, help="SSH key; KEY.pub: that of the agent."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", readable=False, help="The statement that --sign writes.")
    ] = None,
    verify: Annotated[
        list[Path] | None,
        typer.Option("--verify", metavar="FILE", readable=False, help="A statement; several: the oldest first."),
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option("--signers", metavar="FILE", readable=False, help="File allowed_signers, for --verify."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every expected slot is accounted for, and how: ran, runs, was skipped or missed, with a reason.

    Slots are expected from when an item was first seen (or its `since:`, seen or not), by the cron that it had then;
    also of items that cron or systemd triggers. Items that were never seen are named. Changes nothing.

    Ends with 1 if there is a gap, or a slot of --fail-on: failed (FAILED, UNKNOWN, stopped by hand), missed (MISSED, or
    skipped for a slot that has succeeded since), late (marked by `deadline` or `late_after_seconds`). Of these, what a
    person has resolved or acknowledged is shown, and does not count. Slots that wait are shown with what they wait for,
    and what persons did to slots: hold, release, skip, ack.

    With --against the slots are compared with a log in place of the ledger, by `replaces` of each item, over the time
    that the log covers: which slots were lost, doubled or late, and which starts belong to no item. Ends with 1 if any.

    With --date, --sign and --out a day that is over is signed: all slots, runs with their files, rows and deliveries,
    human acts, and the ends of the chains of ledger and states. --verify needs the statement, its signature beside it
    and --signers. With the document, too, ledger and states are held against it. Ends with 1 for any finding.

    Example: aetherflow-scheduler audit scheduler.yaml --from 2026-11-01 --to 2026-12-01
    """
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.audit.audit import audit as compare
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import check_span, instant, ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.leader import current_leader
    from aetherflow.scheduler.ledger.places import is_there

    if verify or file is None:
        _verify(verify, signers, file, as_json=as_json)
        return
    wanted = _kinds(fail_on, against=bool(against))
    schedule = load(file)
    if date or sign or out:
        _sign(schedule, date, sign, out, as_json=as_json)
        return
    first, last = instant(schedule, start, "--from"), instant(schedule, end, "--to")
    check_span(first, last)
    if against:
        from aetherflow.scheduler.cli.audit_against import audit_against

        audit_against(schedule, against, first, last, wanted, as_json=as_json)
        return
    with ledger_of(schedule, read_only=True) as ledger:
        is_new = not is_there(schedule.state)
        led = current_leader(ledger) is not None
        found = compare(schedule, ledger, first, last or dt.datetime.now(dt.UTC), led=led)
    if is_new:
        typer.echo(f"note: there is no ledger yet: {schedule.state}", err=True)
    forgotten = {name: iso(at) for name, at in found.pruned.items()}
    if forgotten:
        told = ", ".join(f"{name} before {at}" for name, at in forgotten.items())
        typer.echo(f"note: pruned, so nothing can be said of these: {told}", err=True)
    if found.never_seen:
        typer.echo(f"note: never seen, so no slot is expected yet: {', '.join(found.never_seen)}", err=True)
    counted = [each for each in found.findings if each.kind in wanted and each.settled is None]
    if as_json:
        gaps = [gap.as_json() for gap in found.gaps]
        report: dict[str, Any] = {"schema": SCHEMA, "ok": not (gaps or counted), "expected": found.expected}
        report |= {"pending": found.pending, "counts": found.counts, "gaps": gaps, "never_seen": found.never_seen}
        report |= {"pruned": forgotten, "fail_on": sorted(wanted)}
        report |= {"findings": [each.as_json() for each in found.findings]}
        report["acts"] = [act.as_json() for act in found.acts]
        report["waiting"] = [
            {"item": row.item, "slot": iso(row.slot), "reason": row.reason, "reason_code": row.reason_code}
            for row in found.waiting
        ]
        print_json(report)
    else:
        _show(found, wanted)
    if found.gaps or counted:
        raise typer.Exit(1)


def _verify(verify: list[Path] | None, signers: Path | None, file: Path | None, *, as_json: bool) -> None:
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.cli.audit_statement import verify_audit
    from aetherflow.scheduler.cli.loading import load

    if not verify:
        raise UsageError("no scheduler document is named", fix="name it, or the statement that is to be verified")
    if signers is None:
        raise UsageError(
            "--verify needs to know who may sign", fix="name the file with their keys, in the format of allowed_signers"
        )
    verify_audit(verify, signers, load(file) if file is not None else None, as_json=as_json)


def _sign(schedule: "Schedule", date: str | None, key: Path | None, out: Path | None, *, as_json: bool) -> None:
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.cli.audit_statement import sign_audit

    if date is None or key is None or out is None:
        raise UsageError(
            "a statement needs --date, --sign and --out", fix="name the day, the key and the file that is written"
        )
    sign_audit(schedule, date, key, out, as_json=as_json)


def _kinds(text: str | None, *, against: bool) -> "frozenset[str]":
    from aetherflow.core.api import UsageError

    known = OF_LOGS if against else KINDS
    if text is None:
        return frozenset(known if against else USUAL)
    given = frozenset(word for each in text.split(",") if (word := each.strip()))
    if given == {"none"}:
        return frozenset()
    if not given or not given <= set(known):
        raise UsageError(f"--fail-on {text!r} is not known", fix=f"write a list of {', '.join(known)}; or none")
    return given


def _show(found: "Audit", wanted: frozenset[str]) -> None:
    from aetherflow.core.embedding import iso, table

    if found.gaps:
        rows = [[gap.item, iso(gap.slot), gap.problem] for gap in found.gaps[:SHOWN]]
        typer.echo(table(["ITEM", "SLOT", "GAP"], rows))
        if len(found.gaps) > SHOWN:
            typer.echo(f"… and {len(found.gaps) - SHOWN} more; --json has all")
    shown = [each for each in found.findings if each.kind in wanted]
    if shown:
        rows = [
            [
                each.row.item,
                iso(each.row.slot),
                each.kind,
                each.row.shown + (f", {each.settled}" if each.settled else ""),
            ]
            for each in shown[-SHOWN:]
        ]
        typer.echo(table(["ITEM", "SLOT", "KIND", "STATUS"], rows))
        if len(shown) > SHOWN:
            typer.echo(f"… and {len(shown) - SHOWN} before them; --json has all")
    if found.waiting:
        waiting = [[row.item, iso(row.slot), row.reason or ""] for row in found.waiting[-SHOWN:]]
        typer.echo(table(["ITEM", "SLOT", "WAITS"], waiting))
    if found.acts:
        acts = [[act.item, iso(act.slot), *act.told] for act in found.acts[-SHOWN:]]
        typer.echo(table(["ITEM", "SLOT", "ACT", "BY", "AT", "REASON"], acts))
        if len(found.acts) > SHOWN:
            typer.echo(f"… and {len(found.acts) - SHOWN} before them; --json has all")
    counts = ", ".join(f"{number} {status}" for status, number in sorted(found.counts.items()))
    verdict = f"{len(found.gaps)} gaps" if found.gaps else "no gap"
    typer.echo(f"{verdict} in {found.expected} expected slots" + (f": {counts}" if counts else ""))
