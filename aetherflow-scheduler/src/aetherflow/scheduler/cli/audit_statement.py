"""The options `--sign` and `--verify` of `audit`."""

import datetime as dt
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.embedding import print_json

if TYPE_CHECKING:
    from aetherflow.scheduler.audit.proving import Proven
    from aetherflow.scheduler.schedule.schedule import Schedule


def sign_audit(schedule: "Schedule", day: str, key: Path, out: Path, *, as_json: bool) -> None:
    """Sign the statement about a day: writes it, its signature and a page for people. Raises UsageError, StateError."""
    import hashlib
    import os

    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import durable, sign_text
    from aetherflow.scheduler.audit.statement import NAMESPACE, PRINCIPAL, note_statement, statement_of, text_of
    from aetherflow.scheduler.audit.statement_page import page_of
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.ledger.slots import Slots
    from aetherflow.scheduler.time.clock import to_ms

    start, end = _day(schedule, day)
    if out.exists():
        raise UsageError(f"{out} is there already", fix="name another file: a statement is never overwritten")
    with ledger_of(schedule, read_only=False) as ledger:
        if to_ms(end) > ledger.clock.now_ms():
            raise UsageError(f"{day} is not over", fix="sign a day when it is over")
        active = [row for row in Slots(ledger).active() if to_ms(start) <= row.slot < to_ms(end)]
        if active:
            first = f"{active[0].item} {active[0].status}"
            raise UsageError(f"{len(active)} slots of {day} have not ended: {first}", fix="sign it once they have")
        statement = statement_of(schedule, ledger, start, end)
        text = text_of(statement)
        made = sign_text(text, NAMESPACE, key.expanduser(), _passphrase, os.environ.get("SSH_AUTH_SOCK"))
        page = page_of(statement, hashlib.sha256(text).hexdigest())
        for path, data in ((_sig(out), made.text.encode()), (_page(out), page.encode()), (out, text)):
            durable.write_bytes(path, data, mode=durable.SOURCE_FILE_MODE)
        note_statement(ledger, statement, text)
    wrong = [f"{each['path']}: {told}" for each in statement["states"] for told in each["findings"]]
    line = f'{PRINCIPAL} namespaces="{NAMESPACE}" {made.public_line}'
    if as_json:
        report = {"schema": SCHEMA, "ok": not wrong, "number": statement["number"], "statement": str(out)}
        report |= {"signature": str(_sig(out)), "page": str(_page(out)), "key": made.key, "allowed_signers": line}
        print_json({**report, "findings": wrong})
    else:
        slots = f"{len(statement['slots'])} slots, {len(statement['runs'])} runs"
        typer.echo(f"signed: statement {statement['number']} about {day}, {slots}, by {made.key}")
        typer.echo(f"wrote {out}, {_sig(out).name} and {_page(out).name}")
        check = shlex.join(["aetherflow-scheduler", "audit", "--verify", str(out), "--signers", "allowed_signers"])
        typer.echo(f"whom it may convince has this line in allowed_signers:\n{line}\ncheck it: {check}")
        for each in wrong:
            typer.echo(f"warning: {each}", err=True)
    if wrong:
        raise typer.Exit(1)


def verify_audit(files: list[Path], signers: Path, schedule: "Schedule | None", *, as_json: bool) -> None:
    """Verify statements, the oldest first, and with a schedule its ledger and states. Ends with 1 for a finding."""
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.audit.proving import against_ledger, follow_each_other, read_statement
    from aetherflow.scheduler.audit.statement_page import page_of
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import ledger_of

    proven = []
    for path in files:
        try:
            proven.append(read_statement(path, signers))
        except OSError as error:
            fix = "name the statement; its signature lies beside it, with the ending .sig"
            raise UsageError(f"{path} cannot be verified: {error}", fix=fix) from error
    findings = [f"{each.path.name}: {told}" for each in proven for told in each.findings]
    for each in proven:
        page = _page(each.path)
        if each.key and page.exists() and page.read_text(encoding="utf-8") != page_of(each.statement, each.digest):
            findings.append(f"{page.name} does not say what the statement says")
    findings += follow_each_other(proven)
    if schedule is not None:
        with ledger_of(schedule, read_only=True) as ledger:
            findings += against_ledger(schedule, ledger, [each for each in proven if each.key])
    if as_json:
        report = {"schema": SCHEMA, "ok": not findings, "findings": findings, "recomputed": schedule is not None}
        report["statements"] = [_described(each) for each in proven]
        print_json(report)
    else:
        typer.echo("\n".join([*(_told(each) for each in proven if each.key), *findings]))
        against = "" if schedule is None else "; ledger and states say the same"
        typer.echo(f"{len(findings)} finding{'s' * (len(findings) != 1)}" if findings else f"it holds{against}")
    if findings:
        raise typer.Exit(1)


def _described(each: "Proven") -> dict[str, Any]:
    names = ("number", "previous", "schedule", "from", "to", "signed_at", "signed_by", "expected", "counts", "gaps")
    told = {name: each.statement.get(name) for name in names}
    return {"file": str(each.path), "sha256": each.digest, "key": each.key or None, **told}


def _told(each: "Proven") -> str:
    found = each.statement
    counts = ", ".join(f"{number} {status}" for status, number in sorted(found["counts"].items())) or "no slots"
    return (
        f"{each.path.name}: statement {found['number']} about {found['from']} to {found['to']}: {found['expected']} "
        f"expected slots, {counts}, {len(found['gaps'])} gaps\n  signed {found['signed_at']} by {found['signed_by']}, "
        f"key {each.key}"
    )


def _day(schedule: "Schedule", text: str) -> tuple[dt.datetime, dt.datetime]:
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.cli.instants import zone_of

    try:
        day, zone = dt.date.fromisoformat(text), zone_of(schedule)
        following = day + dt.timedelta(days=1)
    except (ValueError, OverflowError):
        raise UsageError(f"--date {text!r} is no day", fix="write 2026-11-29") from None
    start, end = (dt.datetime.combine(each, dt.time(), zone).astimezone(dt.UTC) for each in (day, following))
    return start, end


def _passphrase() -> str | None:
    import getpass
    import os
    import sys

    from aetherflow.core.embedding import PASSPHRASE

    found = os.environ.get(PASSPHRASE)
    if found is None and sys.stdin.isatty():
        found = getpass.getpass("Passphrase of the key: ")
    return found


def _sig(out: Path) -> Path:
    return out.with_name(f"{out.name}.sig")


def _page(out: Path) -> Path:
    return out.with_name(f"{out.name}.html")
