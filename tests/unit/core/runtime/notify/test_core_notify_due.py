"""What one rule tells, when, and in which message."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.environment.spec.notify import Opening
from aetherflow.core.runtime.notify.due import Delivery, Message, as_json, due, from_json
from aetherflow.core.runtime.notify.rules import Rule
from notifications import START, notification, rule


def told_by(given: Rule, *told: Notification, at: Sequence[float] = (1000,)) -> list[list[str]]:
    """The ids' last digits of each message, by a sender that comes at these minutes."""
    return [[each.id[-1] for each in message.notifications] for message in sent(given, told, at)]


def sent(given: Rule, told: Sequence[Notification], at: Sequence[float]) -> list[Message]:
    history: list[Delivery] = []
    messages: list[Message] = []
    for minutes in at:
        now = START + dt.timedelta(minutes=minutes)
        new = due([each for each in told if each.at <= now], history, given, now)
        history += [Delivery(each, now, True) for message in new for each in message.notifications]
        messages += new
    return messages


def test_each_failure_of_another_cause_is_told_in_a_message_of_its_own() -> None:
    found = [notification(1), notification(2, cause="b"), notification(3), notification(4, flow="weekly")]
    assert told_by(rule(), *found) == [["1"], ["2"], ["4"]]


def test_the_same_cause_is_told_once_until_it_recovers() -> None:
    found = [notification(1), notification(2), notification(3, "recovered"), notification(4)]
    assert told_by(rule(), *found, at=range(6)) == [["1"], ["3"], ["4"]]
    assert told_by(rule(), *found, at=[9, 9, 9]) == [["1", "3"], ["4"]]


def test_a_recovery_ends_an_incident_also_for_a_rule_that_does_not_tell_it() -> None:
    found = [notification(1), notification(2, "recovered"), notification(3)]
    assert told_by(rule(events=["failed"]), *found, at=range(5)) == [["1"], ["3"]]


def test_the_recovery_of_what_was_never_told_is_not_told() -> None:
    found = [notification(1, failures=1), notification(2, "recovered")]
    assert told_by(rule(min_failures=2), *found) == []
    assert told_by(rule(events=["refused", "recovered"]), *found) == []


def test_what_is_over_before_anybody_was_told_is_one_message_with_its_recovery() -> None:
    found = [notification(1), notification(2, cause="b"), notification(3, flow="other"), notification(4, "recovered")]
    messages = sent(rule(), found, [5])
    assert [[each.id[-1] for each in message.notifications] for message in messages] == [["3"], ["1", "2", "4"]]
    assert [first and first.id[-1] for first in messages[1].firsts] == [None, "1", "1"]


def test_a_rule_for_recoveries_alone_tells_each() -> None:
    assert told_by(rule(events=["recovered"]), notification(1), notification(2, "recovered")) == [["2"]]


def test_failures_are_told_from_so_many_in_a_row_on() -> None:
    found = [notification(number, failures=number, cause=f"{number % 2}") for number in (1, 2, 3, 4)]
    assert told_by(rule(min_failures=3), *found, at=range(6)) == [["3"], ["4"]]


@pytest.mark.parametrize("event", ["unknown", "refused", "missed", "late"])
def test_what_does_not_heal_by_the_next_run_alone_is_told_at_once(event: str) -> None:
    assert told_by(rule(min_failures=3), notification(1, event)) == [["1"]]


def test_a_failure_that_comes_to_be_known_later_is_not_told_beside_the_one_that_was() -> None:
    first, second = notification(1), notification(2)
    now = START + dt.timedelta(hours=1)
    assert due([first, second], [Delivery(second, now, True)], rule(), now) == []


def test_a_message_that_is_still_being_tried_is_not_made_again() -> None:
    now = START + dt.timedelta(hours=1)
    assert due([notification(1)], [Delivery(notification(1), now, False)], rule(), now) == []


def test_the_incident_of_an_item_is_not_ended_by_another_item_of_the_flow() -> None:
    found = [notification(1, item="a"), notification(2, item="b"), notification(3, "recovered", item="a")]
    found += [notification(4, item="a"), notification(5, item="b")]
    assert told_by(rule(), *found) == [["2"], ["1", "3"], ["4"]]


def test_a_run_by_hand_ends_the_incident_of_the_item() -> None:
    assert told_by(rule(), notification(1, item="a"), notification(2, "recovered")) == [["1", "2"]]


def test_an_item_that_runs_another_flow_by_now_has_recovered() -> None:
    found = [
        notification(1, item="a"),
        notification(2, "recovered", item="a", flow="weekly"),
        notification(3, item="a"),
    ]
    assert told_by(rule(flows=["nightly"]), *found) == [["1", "2"], ["3"]]


def test_a_recovery_after_the_failure_has_left_the_timeline_is_told() -> None:
    now = START + dt.timedelta(days=30)
    (message,) = due([notification(2, "recovered")], [Delivery(notification(1), START, True)], rule(), now)
    assert message.firsts == (notification(1),)


@pytest.mark.parametrize(
    ("flows", "given_names", "expected"),
    [
        (["night*"], {}, True),
        (["weekly"], {}, False),
        (["item-*"], {"item": "item-a"}, True),
        (["nightly"], {"flow": None}, True),
        (["weekly"], {"flow": None}, False),
        (["weekly"], {"flow": None, "flow_file": None}, True),
    ],
)
def test_a_rule_is_about_flows_items_and_what_has_no_name(
    flows: list[str], given_names: dict[str, Any], expected: bool
) -> None:
    assert bool(told_by(rule(flows=flows), notification(1, **given_names))) is expected


# Time


def test_what_happens_in_quiet_hours_follows_in_one_message() -> None:
    # START is at 03:10
    found = [notification(1), notification(2, cause="b"), notification(3, "recovered"), notification(4, minutes=175)]
    times = [5, 169.9, 170, 176]
    assert told_by(rule(quiet="22:00-06:00"), *found, at=times) == [["1", "2", "3"], ["4"]]


def test_what_was_not_sent_before_the_quiet_hours_waits_for_their_end() -> None:
    early = notification(1, minutes=-600)  # 17:10
    assert told_by(rule(quiet="22:00-06:00"), early, at=[0, 169, 171]) == [["1"]]
    assert told_by(rule(quiet="22:00-06:00"), early, at=[0, 169]) == []


def test_a_digest_gathers_what_happened_until_its_time() -> None:
    found = [notification(1), notification(2, flow="weekly"), notification(3, minutes=250, flow="monthly")]
    times = [5, 229, 230, 300, 1669, 1670]
    assert told_by(rule(digest="07:00"), *found, at=times) == [["1", "2"], ["3"]]


def test_a_digest_that_nobody_sent_comes_with_the_next_one() -> None:
    found = [notification(1), notification(2, minutes=1500, flow="weekly")]
    assert told_by(rule(digest="07:00"), *found, at=[1700]) == [["1", "2"]]


def test_an_open_failure_is_told_again_until_it_recovers() -> None:
    found = [notification(1, minutes=0), notification(2, minutes=90), notification(3, "recovered", minutes=200)]
    messages = sent(rule(repeat="1h"), found, range(0, 400, 10))
    assert [(each.notifications[0].id[-1], each.reminder) for each in messages] == [
        *(("1", False), ("1", True), ("2", True), ("2", True)),
        ("3", False),
    ]
    assert len({each.id for each in messages}) == len(messages)


def test_a_reminder_waits_for_the_end_of_the_quiet_hours() -> None:
    messages = sent(rule(repeat="1h", quiet="04:00-06:00"), [notification(1, minutes=0)], range(0, 200, 10))
    assert [each.reminder for each in messages] == [False, True]


def test_the_times_are_those_of_the_zone() -> None:
    # 03:10 in UTC is 04:10 in Berlin
    berlin = rule("Europe/Berlin", quiet="22:00-04:11")
    assert told_by(berlin, notification(1, minutes=0), at=[0, 0.9]) == []
    assert told_by(berlin, notification(1, minutes=0), at=[0, 1]) == [["1"]]


NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]
INSTANTS = st.integers(0, 2 * 525_600).map(lambda minutes: NEW_YEAR + dt.timedelta(minutes=minutes))
TIMES = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")


@given(
    zone=st.sampled_from(ZONES),
    start=TIMES,
    end=TIMES,
    now=INSTANTS,
)
def test_quiet_hours_end_at_their_end_whatever_the_clocks_do(zone: str, start: str, end: str, now: dt.datetime) -> None:
    if start == end:
        return
    quiet = rule(zone, quiet=f"{start}-{end}")
    until = quiet.quiet_until(now)
    local = now.astimezone(quiet.zone)
    change = {(local + dt.timedelta(days=days)).utcoffset() for days in (-1, 0, 1)}
    if len(change) == 1:  # on other days the wall clock says it all
        wall = f"{local:%H:%M}"
        inside = start <= wall < end if start < end else wall >= start or wall < end
        assert (until is not None) is inside
    if until is not None:
        assert now < until <= now + dt.timedelta(hours=25)
        assert quiet.quiet_until(until) is None
        if (until.astimezone(quiet.zone) + dt.timedelta(0)).strftime("%H:%M") != end:
            assert len(change) > 1  # that time of day was left out


@given(
    zone=st.sampled_from(ZONES),
    clock=TIMES,
    now=INSTANTS,
)
def test_there_is_a_digest_every_day(zone: str, clock: str, now: dt.datetime) -> None:
    digest = rule(zone, digest=clock)
    first = digest.opens(now, now)
    second = digest.opens(first + dt.timedelta(microseconds=1), now)
    assert now <= first <= now + dt.timedelta(hours=25)
    assert dt.timedelta(hours=23) <= second - first <= dt.timedelta(hours=25)
    assert digest.opens(first, now) == first


EVENTS = (*get_args(Opening), "recovered", "started", "succeeded")
OPENING = frozenset(get_args(Opening))
NAMES = [
    {"item": "one", "flow": "nightly", "flow_file": "/srv/nightly.yaml"},
    {"item": "two", "flow": "weekly", "flow_file": "/srv/weekly.yaml"},
    {"item": "three", "flow": "nightly", "flow_file": "/srv/nightly.yaml"},
    {"item": None, "flow": "nightly", "flow_file": "/srv/nightly.yaml"},
    {"item": None, "flow": "weekly", "flow_file": "/srv/weekly.yaml"},
    {"item": None, "flow": None, "flow_file": "/srv/nightly.yaml"},
    {"item": None, "flow": None, "flow_file": None},
]
"""What items, flows and starts that were refused are called; an item always has the same names."""
NOTIFICATIONS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        lambda names, event, cause, minutes, failures: {
            **names, "event": event, "cause": cause, "minutes": minutes, "failures": failures,
        },
        st.sampled_from(NAMES),
        st.sampled_from(EVENTS),
        st.sampled_from("ab"),
        st.integers(0, 4000),
        st.integers(1, 3),
    ),
    max_size=12,
)  # fmt: skip
RULES = st.builds(
    lambda zone, events, flows, least, more: rule(zone, events=events, flows=flows, min_failures=least, **more),
    st.sampled_from(ZONES),
    st.lists(st.sampled_from(EVENTS), unique=True),
    st.sampled_from([[], ["night*"], ["weekly", "two"]]),
    st.integers(1, 3),
    st.sampled_from([{}, {"quiet": "22:00-06:00"}, {"quiet": "03:00-23:00"}, {"digest": "07:00"}, {"repeat": "30m"}]),
)


@given(facts=NOTIFICATIONS, by=RULES, visits=st.lists(st.integers(0, 4000), max_size=8))
def test_nothing_is_lost_and_nothing_told_twice(facts: list[dict[str, Any]], by: Rule, visits: list[int]) -> None:
    told = [notification(number, **each) for number, each in enumerate(facts, 1)]
    # at last somebody comes every four hours, at one of which nothing is held back
    visits = [*sorted(visits), *range(4000, 4000 + 2 * 1440, 230)]
    messages = sent(by, told, visits)
    first = [each for message in messages if not message.reminder for each in message.notifications]
    assert len(first) == len({each.id for each in first}), "told twice"
    told_ids = {each.id for each in first}
    for each in told:
        if each.id in told_ids:
            assert each.event in by.events
            assert by.is_about(each) or each.event == "recovered"
        elif each.event in by.events and by.is_about(each):
            assert _is_covered(each, told, told_ids, by), each


def _is_covered(each: Notification, told: list[Notification], told_ids: set[str], by: Rule) -> bool:
    """Whether the rules of the page explain why it is in no message."""
    if each.event in ("started", "succeeded"):
        return False
    if each.event == "recovered":
        return bool(by.events & OPENING) and not any(
            other.id in told_ids and other.event in OPENING and _since(other, each, told) for other in told
        )
    if each.event in ("failed", "interrupted") and each.failures < by.spec.min_failures:
        return True
    return any(
        other.id in told_ids
        and other.event in OPENING
        and (other.item, other.cause) == (each.item, each.cause)
        and (each.item is not None or (other.flow or other.flow_file) == (each.flow or each.flow_file))
        and not any(_between(other, each, one) and _may_heal(one, other) for one in told)
        for other in told
    )


def _may_heal(recovery: Notification, opened: Notification) -> bool:
    if recovery.item and opened.item:
        return recovery.item == opened.item
    if recovery.flow and opened.flow:
        return recovery.flow == opened.flow
    if recovery.flow_file or opened.flow_file:
        return recovery.flow_file == opened.flow_file
    return (recovery.item, recovery.flow) == (opened.item, opened.flow)


def _between(first: Notification, last: Notification, each: Notification) -> bool:
    low, high = sorted([(first.at, first.id), (last.at, last.id)])
    return each.event == "recovered" and low < (each.at, each.id) < high


def _since(opened: Notification, recovery: Notification, told: list[Notification]) -> bool:
    """Whether a failure was still open when it recovered."""
    return (
        (opened.at, opened.id) < (recovery.at, recovery.id)
        and _may_heal(recovery, opened)
        and not any(_between(opened, recovery, one) and _may_heal(one, opened) for one in told)
    )


# Messages


def test_the_id_of_a_message_is_made_of_rule_and_content() -> None:
    (one,), (same,), (other,) = (sent(each, [notification(1)], [5]) for each in (rule(), rule(), rule(repeat="1h")))
    assert one.id == same.id != other.id
    assert len(one.id) == 32


def test_a_message_is_read_as_it_was_written() -> None:
    found = [notification(1), notification(2, "recovered")]
    for message in sent(rule(quiet="03:00-06:00"), found, [500]):
        assert from_json(json.loads(json.dumps(as_json(message))), message.rule) == message


def test_a_week_of_incidents_is_one_message_and_one_recovery_each() -> None:
    """Fifty flows fail, each for some hours, every quarter of an hour, with numbers in the message that change."""
    told: list[Notification] = []
    for flow in range(50):
        start = flow * 190
        for number in range(1, 2 + flow % 9):
            message, minutes = f"timeout after {number} s", start + 15 * number
            failed = notification(len(told), flow=f"flow{flow}", minutes=minutes, failures=number, message=message)
            told.append(failed)
        told.append(notification(len(told), "recovered", flow=f"flow{flow}", minutes=start + 15 * 12))
    messages = sent(rule(), told, range(0, 7 * 1440 + 400, 60))
    counts = Counter((each.notifications[0].flow, each.notifications[0].event) for each in messages)
    assert counts == {(f"flow{flow}", event): 1 for flow in range(50) for event in ("failed", "recovered")}
    assert [each for each in messages if len(each.notifications) != 1] == []
