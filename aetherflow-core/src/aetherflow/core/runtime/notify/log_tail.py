"""The end of the log of a run, for messages."""

import datetime as dt
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aetherflow.core.contracts.notification import Notification

LINES, MOST_BYTES = 20, 1024 * 1024


def last_lines(notification: Notification) -> list[str]:
    """The last lines that the failed step printed, else those of the run's log; none if it cannot be read."""
    lines = (_end_of(notification.log, MOST_BYTES) or "").splitlines()
    events = [event for line in lines if (event := _event(line)) is not None]
    if not events:
        return [line for line in lines if line.strip()][-LINES:]
    return _printed(notification, events) or [_as_line(event, notification.message) for event in events[-LINES:]]


def whole_log(notification: Notification, most: int, mask: Callable[[str], str]) -> tuple[str, str] | None:
    """Name and text of the log to attach, its end if it is longer than `most` bytes; None if it cannot be read."""
    text = _end_of(notification.log, most)
    return None if text is None else (Path(notification.log or "").name, mask(text))


def _end_of(log: str | None, most: int) -> str | None:
    if not log:
        return None
    try:
        with os.fdopen(os.open(log, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would hold it up
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return None
            start = max(0, facts.st_size - most)
            file.seek(start)
            data = file.read(most)
    except (OSError, ValueError):
        return None
    if start:  # of a line that was cut a secret could be left in part
        data = data.partition(b"\n")[2]
    return data.decode(errors="replace")


def _event(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):  # a log that is no JSON may have a million lines
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def _printed(notification: Notification, events: list[dict[str, Any]]) -> list[str]:
    """What the step printed last, which is in the summary of the run."""
    jobs = next((each.get("jobs") for each in reversed(events) if each["event"] == "run_summary"), None)
    for job in jobs if isinstance(jobs, list) else ():
        error = job.get("error") if isinstance(job, dict) and job.get("job_id") == notification.job else None
        tail = error.get("tail") if isinstance(error, dict) else None
        if isinstance(tail, list):
            return [str(line) for line in tail][-LINES:]
    return []


def _as_line(event: dict[str, Any], cause: str) -> str:
    """An event in one line, without the cause of the failure, which the message tells above."""
    stamp = event.get("ts_ms")
    at = f"{dt.datetime.fromtimestamp(stamp / 1000, dt.UTC):%H:%M:%S} " if isinstance(stamp, int) else ""
    where = ".".join(str(event[key]) for key in ("job_id", "step_id") if event.get(key))
    texts = (event.get(key) for key in ("status", "message", "text", "error"))
    said = " ".join(str(each) for each in texts if each and each != cause)
    return f"{at}{' '.join(filter(None, (event['event'], where, said)))}"
