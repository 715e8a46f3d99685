"""What is due by one rule: which notifications are sent now, later or not at all. Nothing here reads or writes.

A rule sends one cause of one flow or item once, until it has recovered; then a new failure is a new incident. What a
rule holds back during quiet hours, or for its digest, is sent in one message afterwards.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify.rules import FAILING, RECOVERED, SIGNALS, Rule


class Delivery(NamedTuple):
    """A notification that a rule has put into a message."""

    notification: Notification
    at: dt.datetime
    sent: bool
    """False while it is still being tried."""


class Message(NamedTuple):
    """What one rule sends at one time."""

    id: str
    """32 hex digits, made of the rule and its notifications; the same until it is sent."""
    rule: Rule
    notifications: tuple[Notification, ...]
    firsts: tuple[Notification | None, ...] = ()
    """For each the notification that opened its incident, if that is another."""
    reminder: bool = False
    """Whether it reminds of what is still open."""
    accepted: tuple[str, ...] = ()
    """Recipients who have it already: the others were refused."""


def as_json(message: Message) -> dict[str, Any]:
    """The message without its rule in JSON types, for `from_json`."""
    return {
        "id": message.id,
        "notifications": [_plain(each) for each in message.notifications],
        "firsts": [_plain(each) for each in message.firsts],
        "reminder": message.reminder,
        "accepted": list(message.accepted),
    }


def from_json(data: Mapping[str, Any], rule: Rule) -> Message:
    """The message that `as_json` has written; KeyError or TypeError for anything else."""
    notifications, firsts = (tuple(map(_read, data[name])) for name in ("notifications", "firsts"))
    more = data["reminder"], tuple(data["accepted"])
    return Message(data["id"], rule, notifications, firsts, *more)  # type: ignore[arg-type]  # no None among them


def _plain(notification: Notification | None) -> dict[str, Any] | None:
    return None if notification is None else {**notification._asdict(), "at": notification.at.isoformat()}


def _read(data: Mapping[str, Any] | None) -> Notification | None:
    return None if data is None else Notification(**{**data, "at": dt.datetime.fromisoformat(data["at"])})


def due(
    notifications: Iterable[Notification], history: Sequence[Delivery], rule: Rule, now: dt.datetime
) -> list[Message]:
    """The messages that one rule has to send now, beyond those of its history.

    `notifications`: all that may concern it, sent or not, as far back as an incident is to be sent only once.
    """
    delivered = {each.notification.id for each in history}
    known = {each.id: each for each in (*notifications, *(each.notification for each in history))}
    # each recovery, since the item may run another flow by now
    timeline = sorted((each for each in known.values() if each.event == RECOVERED or rule.is_about(each)), key=_order)
    found = list(_notifiable(timeline, delivered, rule))
    now_due = [each for each in found if each[0].id not in delivered and _opens(each[0], rule, now) <= now]
    news = {id(incident) for _, incident in now_due}
    quiet = [each for each in found if id(each[1]) not in news]
    return [*_messages(now_due, rule), *_reminders(quiet, history, rule, now)]


Candidate = tuple[Notification, "_Incident | None"]


class _Incident:
    """All that happened to one flow or item until it recovered."""

    def __init__(self, first: Notification) -> None:
        self.first = first
        self.newest = first
        self.causes = dict[str, list[Notification]]()
        self.ended = False

    def add(self, notification: Notification) -> None:
        self.newest = notification
        self.causes.setdefault(notification.cause, []).append(notification)

    def is_healed_by(self, recovery: Notification) -> bool:
        return any(_heals(recovery, notification) for same in self.causes.values() for notification in same)


def _order(notification: Notification) -> tuple[dt.datetime, str]:
    return notification.at, notification.id


def _subject(notification: Notification) -> tuple[str, str]:
    if notification.item is not None:
        return "item", notification.item
    return ("flow", notification.flow) if notification.flow is not None else ("file", notification.flow_file or "")


def _notifiable(timeline: Sequence[Notification], delivered: set[str], rule: Rule) -> Iterator[Candidate]:
    """What a rule sends at some time, in the order of time, each with its incident."""
    found: list[Candidate] = []
    current: dict[tuple[str, str], _Incident] = {}
    incidents: list[_Incident] = []
    for each in timeline:
        if each.event in SIGNALS:
            found += [(each, None)] if each.event in rule.events else []
        elif each.event == RECOVERED:
            ended = [current.pop(key) for key in [key for key, one in current.items() if one.is_healed_by(each)]]
            for one in ended:
                one.ended = True
            oldest = min(ended, key=lambda one: _order(one.first), default=None)
            # the recovery of what was never sent is not sent, unless nothing but recoveries is sent at all
            alone = not rule.events - SIGNALS - {RECOVERED} and rule.is_about(each)
            if each.event in rule.events and (oldest is not None or alone):
                found.append((each, oldest))
        elif each.event in rule.events and not (each.event in FAILING and each.failures < rule.spec.min_failures):
            if (key := _subject(each)) not in current:
                incidents.append(current.setdefault(key, _Incident(each)))
            current[key].add(each)
    for one in incidents:
        for same in one.causes.values():
            # of those with one cause the first, or that which was sent before an earlier one came to be known
            found.append((next((each for each in same if each.id in delivered), same[0]), one))
    return iter(sorted(found, key=lambda each: _order(each[0])))


def _heals(recovery: Notification, opened: Notification) -> bool:
    if recovery.item is not None and opened.item is not None:
        return recovery.item == opened.item
    if recovery.flow is not None and opened.flow is not None:
        return recovery.flow == opened.flow
    return _subject(recovery) == _subject(opened) or (
        recovery.flow_file is not None and recovery.flow_file == opened.flow_file
    )


def _opens(notification: Notification, rule: Rule, now: dt.datetime) -> dt.datetime:
    return now if notification.event in SIGNALS else rule.opens(notification.at, now)


def _messages(found: Sequence[Candidate], rule: Rule) -> Iterator[Message]:
    """One message for each notification, and one for all that were held back.

    What is over by the time at which it is first sent is sent together with its recovery: it is no alarm any more.
    """
    held = [each for each in found if each[0].event not in SIGNALS and rule.holds(each[0].at)]
    if held:
        yield _message(held, rule)
    free = [each for each in found if each not in held]
    over = {id(incident) for each, incident in free if each.event == RECOVERED and incident is not None}
    together: dict[int, list[Candidate]] = {}
    for each in free:
        notification, incident = each
        if incident is None or id(incident) not in over:
            yield _message([each], rule)
            continue
        together.setdefault(id(incident), []).append(each)
        if notification.event == RECOVERED:
            yield _message(together[id(incident)], rule)


def _message(found: Sequence[Candidate], rule: Rule, *, again: dt.datetime | None = None) -> Message:
    notifications = tuple(each for each, _ in found)
    firsts = tuple(
        incident.first if incident is not None and incident.first.id != each.id else None for each, incident in found
    )
    return Message(message_id(rule, notifications, again), rule, notifications, firsts, again is not None)


def message_id(rule: Rule, notifications: Sequence[Notification], again: dt.datetime | None = None) -> str:
    """The id of the message of a rule with these notifications; `again`: when they were sent last."""
    parts = [rule.key, *(each.id for each in notifications), *([again.isoformat()] if again is not None else [])]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _reminders(
    found: Sequence[Candidate], history: Sequence[Delivery], rule: Rule, now: dt.datetime
) -> Iterator[Message]:
    if (span := rule.repeats) is None:
        return
    last: dict[str, dt.datetime] = {}
    for each in history:
        last[each.notification.id] = max(each.at, last.get(each.notification.id, each.at))
    for incident in {id(one): one for _, one in found if one is not None and not one.ended}.values():
        times = [last[each.id] for same in incident.causes.values() for each in same if each.id in last]
        if times and max(times) + span <= now and rule.quiet_until(now) is None:
            yield _message([(incident.newest, incident)], rule, again=max(times))
