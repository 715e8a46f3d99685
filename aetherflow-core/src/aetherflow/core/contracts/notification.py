"""The notification of a run or a slot: the seam between what records transitions and what sends messages."""

from datetime import datetime
from typing import NamedTuple


class Notification(NamedTuple):
    """What one message is about: a transition of a run or of a slot, written when it happened."""

    id: str
    """32 hex digits, stable; Message-ID and Idempotency-Key are made of it."""
    event: str
    """failed, unknown, interrupted, refused, missed, late or recovered."""
    cause: str
    """What is notified once: a hash of code, step and message without numbers."""
    at: datetime
    """When the transition was recorded, in UTC."""
    flow: str | None
    flow_file: str | None
    run_id: str | None
    item: str | None
    """Of a scheduler document."""
    slot: str | None
    job: str | None
    step: str | None
    code: str | None
    """Error or reason code."""
    message: str
    """For people; secrets are masked in it."""
    next: str | None
    """A command that is typed next."""
    owner: str | None
    runbook_url: str | None
    log: str | None
    """Path of the run's log."""
    failures: int
    """Failures in a row of this flow or item, this one included."""
