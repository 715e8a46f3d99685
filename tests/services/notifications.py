"""Notifications and rules for tests."""

import datetime as dt
from typing import Any

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.kernel.resolver.dates import parse_zone
from aetherflow.core.runtime.environment.spec.notify import NotifySpec
from aetherflow.core.runtime.notify.rules import Rule

START = dt.datetime(2026, 11, 28, 3, 10, tzinfo=dt.UTC)


def notification(number: int = 1, event: str = "failed", **given: Any) -> Notification:
    """A failure of step load.fetch of the flow nightly; `minutes` after START, by default as many as its number."""
    minutes = given.pop("minutes", number)
    plain: dict[str, Any] = {
        "id": f"{number:032x}",
        "event": event,
        "cause": "a",
        "at": START + dt.timedelta(minutes=minutes),
        "flow": "nightly",
        "flow_file": "/srv/flows/nightly.yaml",
        "run_id": f"run-{number}",
        "item": None,
        "slot": None,
        "job": "load",
        "step": "fetch",
        "code": "AF5101",
        "message": "exit code 2",
        "next": f"aetherflow resume run-{number}",
        "owner": None,
        "runbook_url": None,
        "log": None,
        "failures": 1,
    }
    return Notification(**{**plain, **given})


def rule(zone: str = "UTC", **spec: Any) -> Rule:
    """A rule that sends to the resource `post`."""
    from aetherflow.core.runtime.notify.rules import _key  # the key is no part of what tests say

    found = NotifySpec.model_validate({"to": "post", **spec})
    return Rule(_key(found, zone), found, parse_zone(zone), found.notified_events())
