"""Notifies of what happened to slots: starts a sender of the core when there is something to send."""

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import SpecError
from aetherflow.scheduler.ledger.store import Ledger

if TYPE_CHECKING:
    from aetherflow.core.embedding import SendRequest
    from aetherflow.scheduler.schedule.schedule import Schedule

LOOK_SECONDS = 60.0
"""Interval of the looks for what was held back, or could not be sent before."""
WAIT_SECONDS = 30.0
_OPEN = "SELECT max(seq) FROM outbox WHERE done_at IS NULL"


class Notifier:
    """Watches the outbox of a ledger. Without rules, rows are marked as taken: rules of tomorrow do not send them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since = ledger.clock.now_ms()
        self._schedule: Schedule | None = None
        self._rules = False
        self._seen: int | None = None
        self._next = 0.0
        self._sender: int | None = None

    def begin(self, schedule: "Schedule") -> None:
        """Before the first run is started: its sender has to know that it is one of a slot."""
        with suppress(SpecError):  # of a project file that is wrong for now
            self._schedule, self._rules = schedule, has_rules(schedule)
        if self._rules:
            from aetherflow.core.embedding import note_ledger

            with suppress(Exception):  # no slot depends on it
                note_ledger(send_request_of(schedule, self._since))

    def look(self, schedule: "Schedule") -> None:
        """Start a sender if there is anything new, or if something else may be sent by now. Returns at once."""
        newest: int | None = self._ledger.read(_OPEN)[0][0]
        due = self._ledger.clock.monotonic() >= self._next
        if not due and newest in (None, self._seen):
            return
        if due or schedule is not self._schedule:
            self.begin(schedule)
        self._seen = newest
        if due:
            self._next = self._ledger.clock.monotonic() + LOOK_SECONDS
        if self._rules:
            self._start(schedule, new=newest is not None)
        elif due and newest is not None:
            with self._ledger.transaction("nobody is notified"):
                self._ledger.db.execute("UPDATE outbox SET done_at=at WHERE done_at IS NULL")

    def wait(self) -> None:
        """Give the sender some time, where the starter of this process ends all that is left of it."""
        if self._sender is not None:
            from aetherflow.core.embedding import durable

            durable.wait_detached(self._sender, WAIT_SECONDS)

    def _start(self, schedule: "Schedule", *, new: bool) -> None:
        from aetherflow.core.embedding import is_needed, start_sender

        with suppress(Exception):  # no slot depends on it: the next command sends it
            request = send_request_of(schedule, self._since)
            if new or is_needed(request):
                self._sender = start_sender(request, os.environ)


def send_request_of(schedule: "Schedule", since: int) -> "SendRequest":
    """What a sender is given for a schedule; its rules were read at `since`, in UTC epoch milliseconds."""
    from aetherflow.core.embedding import SendRequest

    root, folder = schedule.state_root, schedule.path.parent
    document = shlex.quote(str(schedule.path))
    look, literal = f"aetherflow-scheduler status {document}", document.replace("{", "{{").replace("}", "}}")
    again = f"aetherflow-scheduler run-item {literal} {{item}} --slot {{slot}}"
    return SendRequest(root, folder, None, since, schedule.path, schedule.state, again, look)


def has_rules(schedule: "Schedule") -> bool:
    """Whether anybody is to be notified, by the document or by the project file of its folder."""
    if schedule.spec.notify:
        return True
    from aetherflow.core.embedding import build_snapshot, find_project, may_have_rules

    named = os.environ.get("AETHERFLOW_CONFIG")
    project = Path(named) if named else find_project(schedule.path.parent)
    if not may_have_rules(project):
        return False
    return bool(build_snapshot(schedule.path.parent, ambient=dict(os.environ)).project.spec.notify)
