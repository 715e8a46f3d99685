"""The sender: takes open transitions, decides by the rules who is notified, and sends it. One at a time per state root.

The writer of a row starts a sender (`runtime.notify.start`); it runs on its own, within limits of time, and leaves
what it could not send to the next one.
"""

import datetime as dt
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import LOCKS
from aetherflow.core.base.errors import AetherflowError, LockBusyError
from aetherflow.core.base.times import iso
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.unusable import unreadable
from aetherflow.core.records.registry import known_flows
from aetherflow.core.runtime.notify.start import SendRequest, book_of
from aetherflow.core.runtime.sending.book import WHAT, Book, from_ms, to_ms
from aetherflow.core.runtime.sending.collect import collect, has_open
from aetherflow.core.runtime.sending.ledgers import Ledgers, LedgerSource
from aetherflow.core.runtime.sending.reading import project_above
from aetherflow.core.runtime.workspace.engine_files import make_engine_folder
from aetherflow.core.runtime.workspace.places import SENDER
from aetherflow.core.runtime.workspace.state_root import host_root

if TYPE_CHECKING:
    from aetherflow.core.contracts.notification import Notification
    from aetherflow.core.kernel.locks.store import LockStore
    from aetherflow.core.runtime.environment.snapshot import Snapshot
    from aetherflow.core.runtime.notify.deliver import Delivery, Message
    from aetherflow.core.runtime.notify.rules import Rule
    from aetherflow.core.runtime.sending.in_hand import InHand

LIMIT_SECONDS = 900.0
"""Time for which a sender stays to try again what a receiver did not take."""
HARD_SECONDS = 300
"""What is added to it for a receiver that hangs; then the kernel ends the sender."""
LEASE_SECONDS = 60.0
POLL_SECONDS = 1.0
DAY_MS = 86_400_000


def send_all(request: SendRequest, env: Mapping[str, str], *, stay: float = 0) -> None:
    """Send what is due. `stay`: seconds for which to try again; 0 tries all once, whatever the backoff.

    With `stay` it returns at once while another sender works and one more waits for its turn: that one sees all that is
    there now. Without, somebody waits for what is sent: it waits for its turn.
    Raises StateError if the book cannot be used, and what `build_snapshot` and the rules raise.
    """
    from aetherflow.core.kernel.locks.records import Owner
    from aetherflow.core.kernel.locks.store import LockStore

    make_engine_folder(host_root(request.root))
    with LockStore(durable.store_beside(book_of(request.root), LOCKS)) as locks:
        if stay and any(each.alive for each in locks.waiters()):
            return
        owner = Owner("notify", f"sender-{os.getpid()}")
        try:
            lease = locks.acquire(
                _key(request.root), owner, ttl_seconds=LEASE_SECONDS, wait_seconds=stay or HARD_SECONDS
            )
        except LockBusyError:
            return
        with _reported(request.root), lease, closing(Book(request.root)) as book:
            sender = _Sender(request, book, env)
            deadline = time.monotonic() + stay
            while True:
                lease.check()
                wait = sender.work(at_once=not stay)
                if wait is None or time.monotonic() + wait >= deadline:
                    return
                if _somebody_waits(locks, wait):
                    return


def _key(root: Path) -> str:
    """In a server the locks of flows have names, too."""
    return SENDER if durable.server_at(root) is None else f"notifications {SENDER}"


@contextmanager
def _reported(root: Path) -> Iterator[None]:
    errors: type[Exception] = sqlite3.Error if (server := durable.server_at(root)) is None else server.error
    try:
        yield
    except errors as error:
        raise unreadable(book_of(root), error, WHAT) from error


def _somebody_waits(locks: "LockStore", seconds: float) -> bool:
    """Wait so long, unless another sender comes: it has seen more, and still tries again."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if any(each.alive for each in locks.waiters()):
            return True
        time.sleep(min(left, POLL_SECONDS))
    return False


def reach_states(request: SendRequest, env: Mapping[str, str]) -> None:
    """Let the paths of states in servers lead there; nothing where all are files. Raises what `build_snapshot` does."""
    paths = [str(request.root)]
    if not durable.in_server(request.root):
        paths = [flow.state_path for flow in known_flows(request.root)]
    if any(map(durable.in_server, paths)):
        from aetherflow.core.runtime.workspace.state_server import use_state_servers  # most states are files

        use_state_servers(_snapshot_of(request, env))


def _snapshot_of(request: SendRequest, env: Mapping[str, str]) -> "Snapshot":
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    build = partial(build_snapshot, request.folder, ambient=env, config=request.config, run_hooks=True)
    try:
        return build()
    except AetherflowError:  # what keeps runs from starting must not keep anybody from being notified
        return build(bare=True)


class _Sender:
    """One sender at work, which holds the lease."""

    def __init__(self, request: SendRequest, book: Book, env: Mapping[str, str]) -> None:
        self._request = request
        self._book = book
        for ledger, source in _given(request).items():
            book.note_ledger(ledger, source)
        self._ledgers = Ledgers(book.ledgers())
        self._snapshot = _snapshot_of(request, env)
        self._rules = self._rules_of()

    def _rules_of(self) -> "dict[str, tuple[Rule, ...]]":
        """Scope to rules: those of the project file, and of the documents that stand below it."""
        from aetherflow.core.runtime.notify.rules import document_rules, project_rules

        found: dict[str, tuple[Rule, ...]] = {}
        own = self._snapshot.project.document
        project = Path(own.file).resolve() if own is not None else None
        if project is not None:
            found[f"project {project}"] = project_rules(self._snapshot)
        for document in {source.document for source in self._book.ledgers().values()}:
            given = document == self._request.document
            if given or (project is not None and document.exists() and project_above(document.parent) == project):
                # a document that is gone or wrong for now keeps nobody else from being notified
                with suppress(AetherflowError, OSError):
                    found[f"document {document}"] = document_rules(document, self._snapshot)
        return found

    def work(self, *, at_once: bool) -> float | None:
        """Take, decide, send. Returns the seconds until there is something to try again; None if there is nothing."""
        collect(self._request.root, self._book, self._ledgers)
        by_key = {key: rule for scope in self._rules for key, rule in self._decide(scope).items()}
        for message in self._book.unsent(self._rules):
            if at_once or message.not_before <= now_ms():
                self._send(message.id, by_key)
        self._book.forget_old(now_ms())
        left = [message.not_before for message in self._book.unsent(self._rules)]
        awaited = self._book.awaited(self._rules)
        left += [awaited] if awaited is not None else []
        return max(0.0, (min(left) - now_ms()) / 1000) if left else None

    def _decide(self, scope: str) -> "dict[str, Rule]":
        """Enter the messages that the rules of a scope have to send; returns its rules by key."""
        from aetherflow.core.runtime.notify.deliver import as_json, due

        book, rules, now = self._book, {rule.key: rule for rule in self._rules[scope]}, dt.datetime.now(dt.UTC)
        book.reopen(scope, rules)
        since = book.first_seen(scope, rules, self._seen(scope))
        known = book.notifications(scope)
        for key, rule in rules.items():
            counted = [each for each, again in known if again or to_ms(each.at) >= since[key]]
            times = list[dt.datetime]()
            for message in due(counted, book.history(scope, key, rules), rule, now):
                hand = self._in_hand(message) if message.reminder else None
                if hand is None:
                    book.enter(scope, key, as_json(message), (each.id for each in message.notifications), to_ms(now))
                elif hand.until is not None:
                    times.append(from_ms(hand.until))
            times += _held_until(counted, book.history(scope, key, rules), rule, now)
            book.look_again(scope, key, min((to_ms(at) for at in times if at > now), default=None))
        return rules

    def _in_hand(self, reminder: "Message") -> "InHand | None":
        from aetherflow.core.runtime.sending.in_hand import in_hand  # few rules remind anybody

        return in_hand(reminder.notifications[0], self._request.root, self._book, self._ledgers)

    def _seen(self, scope: str) -> int:
        """Since when a rule counts that is new: the file was as it is, and no longer than a day before its reader."""
        file, since = Path(scope.partition(" ")[2]), self._request.since or now_ms()
        return max(min(int(file.stat().st_mtime * 1000), since), since - DAY_MS)

    def _send(self, message_id: str, rules: "Mapping[str, Rule]") -> None:
        from aetherflow.core.runtime.notify.deliver import from_json, send

        found = next(each for each in self._book.unsent() if each.id == message_id)
        durable.hit("send message")
        try:
            message: Message = from_json(found.body, rules[found.rule])
            send(message, self._snapshot)
        except Exception as error:  # noqa: BLE001 whatever a receiver does, the next one is served
            self._book.failed(found, _said(error), now_ms(), accepted=getattr(error, "accepted", ()))
            return
        durable.hit("message accepted")
        self._book.sent(found.id, now_ms())


def note_ledger(request: SendRequest) -> None:
    """Let senders know of a ledger before its first run starts: what a run is for says whether it is notified yet.

    Raises StateError, sqlite3.Error, OSError.
    """
    with closing(Book(request.root)) as book:
        for ledger, source in _given(request).items():
            book.note_ledger(ledger, source)


def _given(request: SendRequest) -> dict[Path, LedgerSource]:
    if request.ledger is None or request.document is None:
        return {}
    return {request.ledger: LedgerSource(request.document, request.again, request.look)}


def _held_until(
    notifications: "Sequence[Notification]", history: "Sequence[Delivery]", rule: "Rule", now: dt.datetime
) -> "list[dt.datetime]":
    """When a rule may have something to send that it does not send now: after quiet hours, at a digest, a reminder."""
    delivered = {each.notification.id for each in history}
    recent = now - dt.timedelta(days=2)
    times = [rule.opens(each.at, now) for each in notifications if each.id not in delivered and each.at > recent]
    reminders = [each.at + rule.repeats for each in history if rule.repeats is not None]
    if reminders and min(reminders) <= now and (end := rule.quiet_until(now)) is not None:
        times.append(end)
    return times + reminders


def _said(error: Exception) -> str:
    """An error in one line, with its code; `send` has masked it."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"{error.code} {line}" if isinstance(error, AetherflowError) else line


def main(text: str) -> int:
    """The program of a detached sender."""
    os.umask(0o077)
    signal.alarm(int(LIMIT_SECONDS) + HARD_SECONDS)
    request = SendRequest.read(text)
    try:
        reach_states(request, os.environ)
        if is_needed(request):
            send_all(request, dict(os.environ), stay=LIMIT_SECONDS)
    except (AetherflowError, OSError, sqlite3.Error) as error:
        print(f"{iso(now_ms())} {error}", file=sys.stderr)  # noqa: T201 its log
        return 1
    return 0


def is_needed(request: SendRequest) -> bool:
    """Whether there may be anything to send; asked before the environment is built, which takes longer."""
    given = _given(request)
    if not durable.is_there(book_of(request.root)):
        return has_open(request.root, Ledgers(given))
    project = request.config.resolve() if request.config is not None else project_above(request.folder)
    with closing(Book(request.root)) as book:
        known = book.ledgers() | given
        scopes = [f"project {project}", *(f"document {source.document}" for source in known.values())]
        awaited = book.awaited(scopes)
        due = bool(book.unsent(scopes)) or (awaited is not None and awaited <= now_ms())
    return due or has_open(request.root, Ledgers(known))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
