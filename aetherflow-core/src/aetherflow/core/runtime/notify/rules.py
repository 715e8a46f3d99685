"""The rules of notifications as they are applied: which events each sends, and the times at which it sends."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.environment.spec.span import seconds_of

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.snapshot import Snapshot
    from aetherflow.core.runtime.environment.spec.notify import NotifySpec

FAILING = frozenset({"failed", "interrupted"})
"""Events that may heal by the next run alone: `min_failures` counts them."""
SIGNALS = frozenset({"started", "succeeded"})
"""Events that open and close nothing: each is sent, and none is held back."""
RECOVERED = "recovered"


class Rule(NamedTuple):
    """One rule, with the zone of its times."""

    key: str
    """Hash of the rule's content: an edited rule is another one."""
    spec: "NotifySpec"
    zone: dt.tzinfo
    events: frozenset[str]
    """The events that it sends."""

    def is_about(self, notification: Notification) -> bool:
        """Whether the rule is about this flow or item. What names neither flow, item nor file is sent by every rule."""
        names = [
            notification.flow,
            notification.item,
            PurePath(notification.flow_file).stem if notification.flow_file and not notification.flow else None,
        ]
        known = [name for name in names if name]
        return not (self.spec.flows and known) or any(
            fnmatchcase(name, pattern) for name in known for pattern in self.spec.flows
        )

    def opens(self, at: dt.datetime, now: dt.datetime) -> dt.datetime:
        """The instant from which on what happened `at` may be sent: the end of the quiet hours, or the next digest."""
        if self.spec.digest is not None:
            return next_time(self.spec.digest, self.zone, at)
        return self.quiet_until(now) or now

    def holds(self, at: dt.datetime) -> bool:
        """Whether what happens then is sent later, together with the rest."""
        return self.spec.digest is not None or self.quiet_until(at) is not None

    def quiet_until(self, now: dt.datetime) -> dt.datetime | None:
        """The end of the quiet hours around an instant; None outside of them."""
        return None if self.spec.quiet is None else end_of_window(self.spec.quiet, self.zone, now)

    @property
    def repeats(self) -> dt.timedelta | None:
        """After what time an open incident is sent again."""
        return None if self.spec.repeat is None else dt.timedelta(seconds=seconds_of(self.spec.repeat))


def project_rules(snapshot: "Snapshot") -> tuple[Rule, ...]:
    """The rules of the project file."""
    return _rules(snapshot.project.spec.notify, snapshot.project.spec.timezone)


def document_rules(path: Path, snapshot: "Snapshot") -> tuple[Rule, ...]:
    """The rules of a scheduler document, in its zone or that of the project. SpecError for wrong ones."""
    from aetherflow.core.kernel.yaml.binder import bind  # only what sends for a document reads it
    from aetherflow.core.runtime.environment.documents import load_document
    from aetherflow.core.runtime.environment.spec.notify import DocumentSpec

    document = load_document(path, snapshot.limits)
    spec, problems = bind(DocumentSpec, document.data, document.source)
    if spec is None:
        raise SpecError(problems)
    return _rules(spec.notify, spec.timezone or snapshot.project.spec.timezone)


def notified_events(specs: Iterable["NotifySpec"]) -> frozenset[str]:
    """The events that at least one rule sends."""
    return frozenset[str]().union(*(spec.notified_events() for spec in specs))


def _rules(specs: Sequence["NotifySpec"], timezone: str | None) -> tuple[Rule, ...]:
    if not specs:
        return ()
    from aetherflow.core.kernel.resolver.dates import parse_zone  # most projects have no rules

    zone = dt.UTC if timezone is None else parse_zone(timezone)
    rules = [Rule(_key(spec, timezone), spec, zone, spec.notified_events()) for spec in specs]
    return tuple({rule.key: rule for rule in rules}.values())


def _key(spec: "NotifySpec", timezone: str | None) -> str:
    content = f"{spec.model_dump_json(exclude_defaults=True)} {timezone or 'UTC'}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _clock(text: str) -> dt.time:
    return dt.time.fromisoformat(text)


def _instant(day: dt.date, clock: dt.time, zone: dt.tzinfo) -> dt.datetime:
    """A time of day as an instant: of two the first, and for one that the clocks leave out, as long after midnight."""
    return dt.datetime.combine(day, clock, zone).astimezone(dt.UTC)


def next_time(clock: str, zone: dt.tzinfo, at: dt.datetime) -> dt.datetime:
    """The first instant with this time of day at or after another instant."""
    day = at.astimezone(zone).date()
    days = (day + dt.timedelta(days=more) for more in (-1, 0, 1, 2))
    return next(found for each in days if (found := _instant(each, _clock(clock), zone)) >= at)


def end_of_window(window: str, zone: dt.tzinfo, now: dt.datetime) -> dt.datetime | None:
    """The end of the window `22:00-06:00` that an instant lies in, the end itself not part of it; None outside."""
    start, end = map(_clock, window.split("-"))
    day = now.astimezone(zone).date()
    for first in (day - dt.timedelta(days=1), day):
        last = first + dt.timedelta(days=1) if end < start else first
        ends = _instant(last, end, zone)
        if _instant(first, start, zone) <= now < ends:
            return ends
    return None
