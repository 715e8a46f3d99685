"""The pure decisions against a model that is as plain as can be."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aetherflow.scheduler.reasons import SlotReason, said
from aetherflow.scheduler.schedule.policy import (
    AfterStatus,
    Capacity,
    DueSlot,
    Misfire,
    OtherSlot,
    Status,
    all_of,
    current_slot,
    decide_after,
    decide_due,
    decide_overlap,
    is_ready,
)
from aetherflow.scheduler.schedule.spec import RetrySpec

slots = st.lists(st.integers(0, 2000), max_size=30, unique=True).map(sorted)
misfires = st.sampled_from(["skip", "last", "all"])


def model(due: Sequence[DueSlot], now: int, misfire: Misfire, grace: int, most: int) -> dict[int, str]:
    """What becomes of each slot, by looking at one slot after the other."""
    found = {}
    for each in due:
        if each.excluded is not None:
            found[each.slot] = "SKIPPED"
            continue
        late = now - each.slot > grace
        if misfire == "skip" and late:
            found[each.slot] = "MISSED"
            continue
        later = [
            other
            for other in due
            if other.slot > each.slot
            and other.excluded is None
            and not (misfire == "skip" and now - other.slot > grace)
        ]
        keeps = not later if misfire != "all" else len(later) < most
        found[each.slot] = "WAITING" if keeps else "MISSED"
    return found


@given(slots, st.data(), misfires, st.integers(0, 500), st.integers(1, 12), st.integers(0, 50), st.integers(0, 20))
def test_due_slots(
    instants: list[int], data: st.DataObject, misfire: Misfire, grace: int, most: int, spacing: int, ahead: int
) -> None:
    now = data.draw(st.integers(max(instants, default=0), 2500))
    excluded = data.draw(st.sets(st.sampled_from(instants or [0])))
    due = [DueSlot(slot, said(SlotReason.PAUSED, why="") if slot in excluded else None) for slot in instants]
    verdicts = decide_due(due, now, misfire=misfire, grace_ms=grace, max_catch_up=most, spacing_ms=spacing, ahead=ahead)
    assert [verdict.slot for verdict in verdicts] == instants
    assert {verdict.slot: verdict.status for verdict in verdicts} == model(due, now, misfire, grace, most)
    assert all((verdict.reason is None) == (verdict.status == Status.WAITING) for verdict in verdicts)
    kept = [verdict for verdict in verdicts if verdict.status == Status.WAITING]
    assert len(kept) <= (most if misfire == "all" else 1)
    assert [verdict.delay_ms for verdict in kept] == [index * spacing for index in range(len(kept))]
    behind = misfire == "all" and 0 < ahead <= most
    for verdict in kept:
        late = misfire == "all" and now - verdict.slot > grace
        assert verdict.catch_up == (len(kept) > 1 or behind or late)


others = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.booleans()).map(
        lambda facts: OtherSlot(facts[0], f"r{facts[0]}", facts[1], facts[2] or facts[1])
    ),
    max_size=6,
    unique_by=lambda other: other.slot,
)


@given(others, st.booleans(), st.booleans())
def test_allow_never_waits(found: list[OtherSlot], begun: bool, queued: bool) -> None:
    assert decide_overlap(20, found, "allow", begun=begun, queued=queued) == "start"


@given(others, st.sampled_from(["skip", "queue", "kill_old"]), st.booleans())
def test_no_new_slot_starts_beside_another(found: list[OtherSlot], overlap: str, queued: bool) -> None:
    turn = decide_overlap(20, found, overlap, begun=False, queued=queued)  # type: ignore[arg-type]
    if not found:
        assert turn == "start"
    elif queued or overlap == "queue":
        assert turn == "wait"
    else:
        assert turn == {"skip": "skip", "kill_old": "replace"}[overlap]


@given(others, st.sampled_from(["skip", "queue", "kill_old"]))
def test_somebody_may_always_go_on(found: list[OtherSlot], overlap: str) -> None:
    """Whatever waits and runs, the slots of an item never wait for each other in a ring."""
    if any(other.running for other in found) or not found:
        return
    turns = [
        decide_overlap(
            own.slot,
            [other for other in found if other is not own],
            overlap,  # type: ignore[arg-type]
            begun=own.begun,
            queued=True,
        )
        for own in found
    ]
    assert turns.count("start") == 1


@given(st.integers(1, 5), st.dictionaries(st.sampled_from("xy"), st.integers(1, 3)), st.lists(st.sampled_from("xyz")))
def test_room(most: int, pools: dict[str, int], running: list[str]) -> None:
    in_pool = {name: running.count(name) for name in set(running)}
    room = Capacity(most, pools, len(running), in_pool)
    for pool in (None, "x", "y", "z"):
        fits = len(running) < most and (pool is None or running.count(pool) < pools.get(pool, most))
        assert (room.full(pool) is None) == fits


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1e6), st.floats(1, 10), st.none() | st.floats(0, 1e5))
def test_retry_delays(failures: int, most: int, backoff: float, factor: float, ceiling: float | None) -> None:
    retry = RetrySpec(
        max_attempts=most, backoff_seconds=backoff, backoff_multiplier=factor, max_backoff_seconds=ceiling
    )
    delay = retry.wait_after(failures)
    if failures >= most:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= (ceiling if ceiling is not None else 86400)
        assert delay <= backoff * factor ** (failures - 1) * 1.0001


@given(st.integers(0, 100), st.none() | st.integers(0, 100), st.none() | st.integers(0, 100))
def test_a_wait_ends(now: int, until: int | None, since: int | None) -> None:
    ready = is_ready(now, until, since)
    assert ready or (until is not None and now < until)
    if since is not None and now < since:
        assert ready


def test_after() -> None:
    wanted: AfterStatus
    for wanted in ("success", "any"):
        assert decide_after(Status.SUCCESS, wanted) == "start"
        for status in (Status.WAITING, Status.RUNNING, Status.INTERRUPTED):
            assert decide_after(status, wanted) == "wait"
    for ended in (Status.FAILED, Status.UNKNOWN, Status.SKIPPED, Status.MISSED, None):
        assert (decide_after(ended), decide_after(ended, "any")) == ("skip", "start")
    stopped = Status.INTERRUPTED
    assert (decide_after(stopped, goes_on=False), decide_after(stopped, "any", goes_on=False)) == ("skip", "start")


@given(st.lists(st.sampled_from(["start", "wait", "skip"]), min_size=1))
def test_after_several(each: list[Any]) -> None:
    decided = all_of(each)
    assert (decided == "start") == (set(each) == {"start"})
    assert (decided == "wait") == ("wait" in each)


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_current_slot(before: int, now_after: int, gap: int) -> None:
    now = before + now_after % gap
    following = before + gap
    found = current_slot(now, before, following, 60)
    assert found in (before, following)
    if found == following:
        assert following - now <= min(60, gap / 10)
    else:
        assert following - now > min(60, gap / 10)
    assert current_slot(now, None, None, 60) is None
