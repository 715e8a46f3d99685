"""The book of the sender, `<state root>/notify.sqlite`: what was taken from outboxes, and what became of each message.

Where the state root names a server it is a schema there.

Only senders write it, one at a time. A message is entered before it is sent, and its receipt after the receiver's yes;
so none is lost, and one is sent twice only if the sender is killed in between, then under the same id.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.contracts.notification import Notification
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import insert, put
from aetherflow.core.kernel.state.unusable import newer, unreadable
from aetherflow.core.records.outbox import RECOVERED, STARTED, SUCCEEDED
from aetherflow.core.records.reading import read_store
from aetherflow.core.runtime.notify.deliver import Delivery
from aetherflow.core.runtime.notify.start import book_of
from aetherflow.core.runtime.sending.ledgers import LedgerSource

WHAT = "notification store"
BUSY_SECONDS = 10.0
SCHEMA_VERSION = 1
KEEP_MS = 400 * 86_400_000
"""Age at which what was sent is forgotten; a rule remembers an incident for as long."""
KEEP_UNDELIVERED_MS = 30 * 86_400_000
"""Age at which a failure is forgotten that no rule sent, such as one with a cause that was sent before."""
KEEP_SIGNAL_MS = 2 * 86_400_000
"""Age at which starts and ends for pings are forgotten: nothing is compared with them, and there may be many."""
BACKOFF_SECONDS = (10, 30, 60, 300, 900, 3600)
"""Waits after failed tries; the last one is repeated."""
_SIGNALS = (STARTED, SUCCEEDED)
_LEDGERS = durable.Table(
    "ledgers", "ledger TEXT NOT NULL, document TEXT NOT NULL, again TEXT NOT NULL, look TEXT NOT NULL", key="ledger"
)
"""Schedulers note theirs again where the others are copied."""
COPIED = (
    durable.Table(
        "notifications",
        "id TEXT NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, run_id TEXT, project TEXT, document TEXT, "
        "body TEXT NOT NULL, refused TEXT, again INTEGER NOT NULL DEFAULT 0",
        key="id",
        indexes=(
            "CREATE INDEX notifications_of_run ON notifications (run_id)",
            "CREATE INDEX notifications_of_project ON notifications (project, at)",
            "CREATE INDEX notifications_of_document ON notifications (document, at)",
        ),
    ),
    durable.Table(
        "rules", "scope TEXT NOT NULL, key TEXT NOT NULL, since INTEGER NOT NULL, look_at INTEGER", key="scope, key"
    ),
    durable.Table(
        "messages",
        "id TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, rule TEXT NOT NULL, body TEXT NOT NULL, "
        "made_at INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0, "
        "sent_at INTEGER, error TEXT",
        number="seq",
        indexes=("CREATE INDEX unsent ON messages (seq) WHERE sent_at IS NULL",),
    ),
    durable.Table(
        "deliveries",
        "message TEXT NOT NULL, notification TEXT NOT NULL",
        key="message, notification",
        indexes=("CREATE INDEX deliveries_of ON deliveries (notification)",),
    ),
)


class Taken(NamedTuple):
    """A notification, and whose rules it is for."""

    notification: Notification
    project: str | None
    """The project file that its run was started with, absolute."""
    document: str | None
    """The scheduler document of its slot, absolute."""
    refused: str | None = None
    """Of a refused start: its number in the registry and its time, as JSON."""


class Unsent(NamedTuple):
    """A message that no receiver has said yes to."""

    body: dict[str, Any]
    id: str
    scope: str
    rule: str
    made_at: int
    tries: int
    not_before: int
    error: str | None


class Book:
    """The open book; created if it is missing. Raises StateError if it cannot be used, or is of a newer version."""

    def __init__(self, root: Path) -> None:
        path = book_of(root)
        try:
            self._db = durable.open_store(path, "notify", busy_seconds=BUSY_SECONDS)
            try:
                self._prepare(path)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise unreadable(path, error, WHAT) from error

    def _prepare(self, path: Path) -> None:
        version = self._db.schema_version()
        if version > SCHEMA_VERSION:
            raise newer(WHAT, path, version, SCHEMA_VERSION)
        if version == 0:
            with durable.transaction(self._db, "create book"):
                self._db.await_turn("schema")
                if self._db.schema_version() == 0:
                    durable.execute_all(self._db, durable.statements_of(_LEDGERS, *COPIED), SCHEMA_VERSION)

    def close(self) -> None:
        self._db.close()

    # What was taken from outboxes

    def ledgers(self) -> dict[Path, LedgerSource]:
        """The ledgers of all schedulers that have sent something here."""
        rows = self._db.execute("SELECT ledger, document, again, look FROM ledgers")
        return {Path(ledger): LedgerSource(Path(document), *commands) for ledger, document, *commands in rows}

    def note_ledger(self, ledger: Path, source: LedgerSource) -> None:
        """Remember where a scheduler has its outbox."""
        if self.ledgers().get(ledger) != source:
            with durable.transaction(self._db, "note ledger"):
                row = {"ledger": str(ledger), "document": str(source.document)}
                put(self._db, "ledgers", ("ledger",), {**row, "again": source.again, "look": source.look})

    def take(self, found: Iterable[Taken]) -> None:
        """Enter notifications; those that are known stay as they are."""
        rows = [
            (each.id, to_ms(each.at), each.event, each.run_id, project, document, json.dumps(_plain(each)), refused)
            for each, project, document, refused in found
            if each.event not in _SIGNALS or to_ms(each.at) > now_ms() - KEEP_SIGNAL_MS  # else it was forgotten
        ]
        query = (
            "INSERT INTO notifications (id, at, event, run_id, project, document, body, refused) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        if rows:
            with durable.transaction(self._db, "take notifications"):
                self._db.executemany(query, rows)

    def has_bad(self, run_id: str, since: int) -> bool:
        """Whether a bad end of a run is known since an instant, in UTC epoch milliseconds."""
        query = "SELECT 1 FROM notifications WHERE run_id=? AND at>=? AND event IN (?, ?, ?, ?) LIMIT 1"
        bad = ("failed", "unknown", "interrupted", "refused")
        return self._db.execute(query, (run_id, since, *bad)).fetchone() is not None

    def has_event(self, run_id: str, event: str) -> bool:
        query = "SELECT 1 FROM notifications WHERE run_id=? AND event=? LIMIT 1"
        return self._db.execute(query, (run_id, event)).fetchone() is not None

    def document_of(self, notification: str) -> str | None:
        """The scheduler document of the slot that a notification is about."""
        row = self._db.execute("SELECT document FROM notifications WHERE id=?", (notification,)).fetchone()
        return row[0] if row is not None else None

    def open_refusals(self) -> list[tuple[Taken, int, int]]:
        """The refused starts whose recovery is not known yet, with their numbers and times in the registry."""
        query = "SELECT body, project, document, refused FROM notifications WHERE event='refused' AND refused<>''"
        found = [(Taken(_read(body), *rest), json.loads(rest[-1])) for body, *rest in self._db.execute(query)]
        return [(taken, number, at) for taken, (number, at) in found]

    def healed(self, refusal_id: str, recovery: Taken) -> None:
        """Enter that a refused start was healed, once."""
        self.take([recovery])
        with durable.transaction(self._db, "refused start healed"):
            self._db.execute("UPDATE notifications SET refused='' WHERE id=?", (refusal_id,))

    # What rules make of it

    def first_seen(self, scope: str, keys: Iterable[str], since: int) -> dict[str, int]:
        """Since when each rule counts: what happened before it was there is not sent."""
        known = dict(self._db.execute("SELECT key, since FROM rules WHERE scope=?", (scope,)).fetchall())
        new = [key for key in keys if key not in known]
        if new:
            with durable.transaction(self._db, "rules seen"):
                query = "INSERT INTO rules (scope, key, since) VALUES (?, ?, ?)"
                self._db.executemany(query, [(scope, key, since) for key in new])
        return known | dict.fromkeys(new, since)

    def look_again(self, scope: str, rule: str, at: int | None) -> None:
        """Note when a rule may have something to send that it holds back now; None: never."""
        where = (scope, rule)
        known = self._db.execute("SELECT look_at FROM rules WHERE scope=? AND key=?", where).fetchone()
        if known[0] != at:
            with durable.transaction(self._db, "rule holds back"):
                self._db.execute("UPDATE rules SET look_at=? WHERE scope=? AND key=?", (at, *where))

    def awaited(self, scopes: Iterable[str]) -> int | None:
        """The first instant at which a rule of some scopes may have something to send; None for never."""
        rows = self._db.execute("SELECT scope, look_at FROM rules WHERE look_at IS NOT NULL").fetchall()
        wanted = set(scopes)
        return min((at for scope, at in rows if scope in wanted), default=None)

    def reopen(self, scope: str, keys: Iterable[str]) -> None:
        """Let what rules that are there no more could not send be sent by those that are; nobody waits for them."""
        query = "SELECT key FROM rules WHERE scope=? AND look_at IS NOT NULL"
        for (key,) in self._db.execute(query, (scope,)).fetchall():
            if key not in set(keys):
                self.look_again(scope, key, None)
        gone = [each for each in self.unsent([scope]) if each.rule not in set(keys)]
        if not gone:
            return
        with durable.transaction(self._db, "rules gone"):
            for each in gone:
                if each.body["accepted"]:  # who has it does not get it again
                    self._db.execute("UPDATE messages SET sent_at=made_at WHERE id=?", (each.id,))
                    continue
                again = (
                    "UPDATE notifications SET again=1 WHERE id IN (SELECT notification FROM deliveries WHERE message=?)"
                )
                for query in (again, "DELETE FROM deliveries WHERE message=?", "DELETE FROM messages WHERE id=?"):
                    self._db.execute(query, (each.id,))

    def notifications(self, scope: str) -> list[tuple[Notification, bool]]:
        """Those of a scope, the oldest first, each with whether it counts for every rule, new ones too."""
        column, _, name = scope.partition(" ")
        where = {"project": "project=?", "document": "document=?"}[column]
        rows = self._db.execute(f"SELECT body, again FROM notifications WHERE {where} ORDER BY at, id", (name,))  # noqa: S608
        return [(_read(body), bool(again)) for body, again in rows]

    def history(self, scope: str, rule: str, others: Iterable[str]) -> list[Delivery]:
        """What a rule has sent or is sending, and what rules have sent that are there no more; `others` still are."""
        others = set(others) - {rule}
        query = (
            "SELECT n.body, m.made_at, m.sent_at, m.rule FROM messages m JOIN deliveries t ON t.message=m.id "
            "JOIN notifications n ON n.id=t.notification WHERE m.scope=? ORDER BY m.seq, n.at"
        )
        rows = self._db.execute(query, (scope,)).fetchall()
        return [
            Delivery(_read(body), from_ms(sent_at or made_at), sent_at is not None)
            for body, made_at, sent_at, key in rows
            if key not in others
        ]

    def enter(self, scope: str, rule: str, body: Mapping[str, Any], notifications: Iterable[str], now: int) -> None:
        """Write a message down, before it is sent for the first time; one that is known stays as it is."""
        row = {"id": body["id"], "scope": scope, "rule": rule, "body": json.dumps(body), "made_at": now}
        with durable.transaction(self._db, "enter message"):
            insert(self._db, "messages", row, once=True)
            rows = [(body["id"], each) for each in notifications]
            query = "INSERT INTO deliveries (message, notification) VALUES (?, ?) ON CONFLICT DO NOTHING"
            self._db.executemany(query, rows)

    def unsent(self, scopes: Iterable[str] | None = None) -> list[Unsent]:
        """Messages without a receipt, the oldest first; of all scopes by default."""
        wanted = None if scopes is None else set(scopes)
        return [each for each in _unsent(self._db) if wanted is None or each.scope in wanted]

    def sent(self, message_id: str, now: int) -> None:
        """Record the receiver's yes."""
        with durable.transaction(self._db, "message sent"):
            query = "UPDATE messages SET sent_at=?, tries=tries+1, error=NULL WHERE id=?"
            self._db.execute(query, (now, message_id))

    def failed(self, message: Unsent, error: str, now: int, *, accepted: Sequence[str] = ()) -> None:
        """Record a try that failed, before when there is no other, and the recipients who have the message by now."""
        body = json.dumps(message.body | ({"accepted": list(accepted)} if accepted else {}))
        wait = BACKOFF_SECONDS[min(message.tries, len(BACKOFF_SECONDS) - 1)]
        with durable.transaction(self._db, "message failed"):
            query = "UPDATE messages SET tries=tries+1, not_before=?, error=?, body=? WHERE id=?"
            self._db.execute(query, (now + wait * 1000, error, body, message.id))

    def forget_old(self, now: int) -> None:
        """Remove what no rule needs any more. Recoveries stay as long as the failures that they end."""
        old, undelivered = now - KEEP_MS, now - KEEP_UNDELIVERED_MS
        with durable.transaction(self._db, "forget messages"):
            signals = "DELETE FROM notifications WHERE event IN (?, ?) AND at<?"
            self._db.execute(signals, (*_SIGNALS, now - KEEP_SIGNAL_MS))
            self._db.execute("DELETE FROM messages WHERE sent_at<?", (old,))
            for side, table in (("message", "messages"), ("notification", "notifications")):
                self._db.execute(f"DELETE FROM deliveries WHERE {side} NOT IN (SELECT id FROM {table})")  # noqa: S608 ours
            self._db.execute(
                "DELETE FROM messages WHERE sent_at<? AND id NOT IN (SELECT message FROM deliveries)", (now,)
            )
            query = """DELETE FROM notifications WHERE (at<? OR at<? AND event<>?)
                AND id NOT IN (SELECT notification FROM deliveries)"""
            self._db.execute(query, (old, undelivered, RECOVERED))


def not_sent(root: Path) -> list[Unsent]:
    """The messages of a state root that no receiver has taken so far, the oldest first. Writes nothing."""
    try:
        found = read_store(book_of(root), _unsent, "notify")
    except (sqlite3.Error, OSError, StateError):
        return []  # nothing was ever sent, or `unusable_stores` reports why that is not known
    return [each for each in found if each.tries]


def _unsent(db: durable.Database) -> list[Unsent]:
    query = (
        "SELECT body, id, scope, rule, made_at, tries, not_before, error FROM messages WHERE sent_at IS NULL "
        "ORDER BY seq"
    )
    return [Unsent(json.loads(body), *rest) for body, *rest in db.execute(query)]


def to_ms(at: dt.datetime) -> int:
    """An instant in UTC epoch milliseconds."""
    return round(at.timestamp() * 1000)


def from_ms(at: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at / 1000, dt.UTC)


def _plain(notification: Notification) -> dict[str, Any]:
    return {**notification._asdict(), "at": notification.at.isoformat()}


def _read(body: str) -> Notification:
    data = json.loads(body)
    return Notification(**{**data, "at": dt.datetime.fromisoformat(data["at"])})
