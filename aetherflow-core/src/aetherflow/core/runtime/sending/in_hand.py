"""What a person has in hand: it stays open, and nobody is reminded of it."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.contracts.notification import Notification
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.records import registry
from aetherflow.core.records.acts import Act, Verb, acts_of, standing
from aetherflow.core.records.reading import read
from aetherflow.core.records.refused import open_refusals
from aetherflow.core.runtime.sending.book import Book
from aetherflow.core.runtime.sending.ledgers import Ledgers


class InHand(NamedTuple):
    """That a person has acknowledged or resolved it."""

    until: int | None
    """UTC epoch milliseconds; None for good."""


def in_hand(notification: Notification, root: Path, book: Book, ledgers: Ledgers) -> InHand | None:
    """What persons have said of the run, the slot or the refused start; None if nothing of it counts now."""
    document = book.document_of(notification.id)
    if document is not None:
        for until in ledgers.acknowledged(Path(document), notification.item, notification.slot):
            return InHand(until)
    with suppress(AetherflowError, sqlite3.Error, OSError):  # what cannot be read now says nothing
        return _by_acts(
            _of_refused(notification, root, book) if notification.event == "refused" else _of_run(notification, root)
        )
    return None


def _by_acts(acts: list[Act]) -> InHand | None:
    for verb in (Verb.RESOLVE, Verb.ACK):
        if (act := standing(acts, verb, now_ms())) is not None:
            return InHand(act.until)
    return None


def _of_run(notification: Notification, root: Path) -> list[Act]:
    flow, run = notification.flow, notification.run_id
    if flow is None or run is None:
        return []
    found = list[Act]()
    for known in registry.known_flows(root):
        if known.flow_id == flow:
            found += read(Path(known.state_path), lambda db: acts_of(db, flow, run))
    return found


def _of_refused(notification: Notification, root: Path, book: Book) -> list[Act]:
    numbers = {number for taken, number, _ in book.open_refusals() if taken.notification.id == notification.id}
    return [act for refused, acts in registry.look(root, open_refusals) if refused.id in numbers for act in acts]
