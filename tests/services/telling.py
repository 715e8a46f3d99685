"""Sends what a project has to tell in this process, to a receiver that is a list; and looks into its outboxes."""

import contextlib
import json
import os
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify import deliver, start
from aetherflow.core.runtime.notify.start import SendRequest
from aetherflow.core.runtime.sending.book import not_sent
from aetherflow.core.runtime.sending.sender import send_all

if TYPE_CHECKING:
    from core_project import Project

RULES = "version: 1\nnotify:\n  - command: [receiver]\n"
FAILS = 'jobs: [{{id: a, steps: [{{id: s, type: fail, inputs: {{message: "{}"}}}}]}}]\n'
WELL = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"

LEDGER = """
PRAGMA user_version=3;
CREATE TABLE slots (item TEXT, slot INTEGER, run_id TEXT, status TEXT, not_before INTEGER, reason_code TEXT);
CREATE TABLE outbox (seq INTEGER PRIMARY KEY, id TEXT, item TEXT, slot INTEGER, run_id TEXT, event TEXT, detail TEXT,
    at INTEGER, done_at INTEGER);
INSERT INTO slots VALUES ('f', 0, 'r1', 'RUNNING', NULL, NULL);
"""
"""That of a scheduler, as far as a sender reads it: a slot that runs."""


@dataclass
class Telling:
    """A project, what it has started to be sent, and what its receiver got."""

    project: "Project"
    requests: list[SendRequest] = field(default_factory=list)
    got: list[deliver.Message] = field(default_factory=list)
    down: bool = False
    """Whether the receiver refuses everything."""

    def fails(self, why: str, *options: str) -> None:
        """A run of flow.yaml fails."""
        self.project.flow(FAILS.format(why))
        assert self.project.cli("run", "flow.yaml", "-q", "--accept-changes", *options).code == 1

    def succeeds(self, *options: str) -> None:
        """A run of flow.yaml ends well."""
        self.project.flow(WELL)
        done = self.project.cli("run", "flow.yaml", "-q", "--accept-changes", *options)
        assert done.code == 0, done

    def send(self) -> list[str]:
        """Do the last request that was started, once; what came new: events with messages."""
        before = len(self.got)
        send_all(self.requests[-1], dict(os.environ))
        return [f"{each.event} {each.message}" for each in self.told(before)]

    def told(self, first: int = 0) -> list[Notification]:
        """What the receiver was told."""
        return [each for message in self.got[first:] for each in message.notifications]

    def outbox(self) -> list[tuple[str, str, Any, bool]]:
        """The rows of the state: run, event, detail, and whether it was taken."""
        query = "SELECT run_id, event, detail, done_at IS NOT NULL FROM outbox ORDER BY seq"
        return [(run, event, json.loads(detail), bool(done)) for run, event, detail, done in self.project.rows(query)]

    def book(self, query: str) -> list[Any]:
        """Rows of the sender's book."""
        with contextlib.closing(sqlite3.connect(start.book_of(self.project.states))) as db, db:
            return db.execute(query).fetchall()

    @property
    def unsent(self) -> list[tuple[int, str | None]]:
        """How often each message that was not sent was tried, and why it was not."""
        return [(each.tries, each.error) for each in not_sent(self.project.states)]


@pytest.fixture
def telling(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Telling:
    """A project with one rule that tells everything; senders are not started, but noted."""
    found = Telling(project)
    project.write(RULES, "aetherflow.yaml")

    def send(message: deliver.Message, snapshot: object) -> None:
        del snapshot
        if found.down:
            raise ConnectionRefusedError(111, "nobody there")
        found.got.append(message)

    monkeypatch.setattr(deliver, "send", send)
    monkeypatch.setattr(start, "start_sender", lambda request, env: found.requests.append(request))
    return found
