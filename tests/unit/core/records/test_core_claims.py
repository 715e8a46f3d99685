"""Claims in one state file, by runs of the same time: who is first, and what the other one is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.base.claim_errors import ClaimBusyError
from aetherflow.core.base.errors import LostOwnershipError, RunBusyError
from aetherflow.core.kernel.state.records import Intervention, StepEffects, StepEnd
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.sql import keys_from
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records import resolving
from aetherflow.core.records.claims import Claims
from aetherflow.core.records.claims_end import end_claims
from aetherflow.core.records.run_lock import run_lock
from aetherflow.core.records.step_claims import StagedClaim, StepClaims, identity_of
from aetherflow.core.testing.state_base import FACTS, FROZEN, KEY, parts_of, start


class Night:
    """Runs of one flow, each with a connection of its own and a step under way."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "f.sqlite"
        self.stores: list[StateStore] = []

    def begin(self, run_id: str) -> RunState:
        store = StateStore(self.path)
        self.stores.append(store)
        run = RunState(store, "flow", run_id)
        run.unit.parts = parts_of(run)
        run.load()
        run.begin(FACTS, FROZEN, {"hash": "text"}, Intervention())
        if "job" not in run.jobs:
            run.start_job("job", "job-hash")
            run.steps.start(start())
        return run

    def rows(self) -> list[tuple[Any, ...]]:
        query = "SELECT key, run_id, state, taken_from FROM claims ORDER BY at, key, run_id"
        return self.stores[0].connection.execute(query).fetchall()

    def ledger(self) -> dict[str, str]:
        return dict(self.stores[0].connection.execute("SELECT key, value FROM ledger"))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    found = Night(tmp_path)
    yield found
    for store in found.stores:
        store.close()


def staged(run: RunState, *keys: str, value: Any = 1) -> StepEffects:
    claims = {("n", key): Claims(run).stage("n", key, value, None, {}) for key in keys}
    return StepEffects(of_parts={StepClaims: StepClaims(claims)})


def commit(run: RunState, effects: StepEffects) -> list[StagedClaim]:
    return Claims(run).commit(KEY, StepClaims.of(effects))


def finish(run: RunState, effects: StepEffects) -> None:
    run.steps.finish(KEY, StepEnd(Status.SUCCESS, "{}", None, effects))


def test_of_two_at_once_the_later_one_fails_and_has_claimed_nothing(night: Night) -> None:
    one, two = night.begin("one"), night.begin("two")
    first, second = staged(one, "b", "c"), staged(two, "a", "b")
    commit(one, first)
    with pytest.raises(ClaimBusyError, match="'b' of ledger n is claimed by run one") as error:
        commit(two, second)
    assert (error.value.run_id, error.value.code) == ("one", "AF5303")
    assert [row[:2] for row in night.rows()] == [("b", "one"), ("c", "one")]
    with pytest.raises(ClaimBusyError, match="claimed by run one"):
        finish(two, second)
    two.steps.fail(KEY, Status.FAILED, "busy")
    assert two.steps.latest[KEY].status is Status.FAILED, "the attempt is recorded as what it was"
    assert two.steps.start(start()) == 2
    finish(two, staged(two, "a"))
    # within one millisecond rows have no order
    assert sorted(row[:2] for row in night.rows()) == [("a", "two"), ("b", "one"), ("c", "one")]


def test_what_was_read_has_to_be_there_still(night: Night) -> None:
    one, two, three = night.begin("one"), night.begin("two"), night.begin("three")
    unseen = {"": dict[str, str]()}  # both have listed everything, and found nothing
    first, late = staged(one, "a"), Claims(two)
    finish(one, first)
    one.finish(Status.SUCCESS)
    effects = StepEffects(of_parts={StepClaims: StepClaims({("n", "a"): late.stage("n", "a", 1, None, unseen)})})
    with pytest.raises(ClaimBusyError, match="claimed by run one"):
        late.commit(KEY, StepClaims.of(effects))
    marks = {key: mark for key, (_, mark) in three.steps.entries("n", "").items()}
    again = Claims(three).stage("n", "a", 2, None, {"": dict[str, str](), "a": marks})
    assert commit(three, StepEffects(of_parts={StepClaims: StepClaims({("n", "a"): again})})) == [again]


def test_of_two_that_take_over_at_once_the_later_one_fails(night: Night) -> None:
    old, one, two = night.begin("old"), night.begin("one"), night.begin("two")
    commit(old, staged(old, "a"))
    old.finish(Status.FAILED)
    first, second = staged(one, "a"), staged(two, "a")
    commit(one, first)
    with pytest.raises(ClaimBusyError) as error:
        commit(two, second)
    assert error.value.run_id == "one"
    assert night.rows() == [("a", "old", "lost", None), ("a", "one", "open", "old")]


def test_who_takes_over_keeps_the_old_run_from_going_on_meanwhile(night: Night) -> None:
    old, new = night.begin("old"), night.begin("new")
    commit(old, staged(old, "a"))
    old.finish(Status.FAILED)
    effects = staged(new, "a")
    lock = run_lock(night.stores[0].path, "flow", "old")
    lock.acquire("old")  # it is resumed, after the other one has looked
    with pytest.raises(ClaimBusyError, match="run old is being executed by") as error:
        commit(new, effects)
    assert error.value.run_id == "old"
    lock.release()
    with (
        Claims(new).taking(list(StepClaims.of(effects).staged.values())),
        pytest.raises(Exception, match="being executed"),
    ):
        lock.acquire("old")
    commit(new, effects)
    lock.acquire("old")
    lock.release()


def test_a_run_that_is_being_resolved_cannot_go_on_meanwhile(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    old = night.begin("old")
    commit(old, staged(old, "a"))
    old.finish(Status.FAILED)
    ended, lock = end_claims, run_lock(night.stores[0].path, "flow", "old")

    def end(*given: Any) -> int:
        with pytest.raises(RunBusyError):
            lock.acquire("old")
        return ended(*given)

    monkeypatch.setattr(resolving, "end_claims", end)
    found = resolving.resolve(night.path, "flow", "old", "done", actor="ann", host="here", reason="by hand")
    assert (found.claims, night.ledger()) == (1, {"a": "1"})
    lock.acquire("old")
    lock.release()


def test_a_run_that_lost_its_claims_while_it_slept_does_not_end_well(night: Night) -> None:
    old, new = night.begin("old"), night.begin("new")
    finish(old, staged(old, "a"))
    night.stores[0].connection.execute("UPDATE runs SET heartbeat_at=0 WHERE run_id='old'")  # its host was suspended
    finish(new, staged(new, "a"))
    with pytest.raises(LostOwnershipError, match="run old has lost its claims to run new"):
        old.finish(Status.SUCCESS)
    assert night.ledger() == {}
    new.finish(Status.SUCCESS)
    assert night.ledger() == {"a": "1"}


def test_a_key_may_be_claimed_again_and_again(night: Night) -> None:
    for number, name in enumerate(("one", "two", "three")):
        run = night.begin(name)
        finish(run, staged(run, "a", value=number))
        run.finish(Status.SUCCESS)
        assert night.ledger() == {"a": str(number)}
    assert [row[2] for row in night.rows()] == ["final"] * 3


def test_what_is_claimed_has_one_name() -> None:
    found = identity_of("f", "n", "k", {"b": 1, "a": [None, "ü"]})
    assert found == identity_of("f", "n", "k", {"a": [None, "ü"], "b": 1})
    others = [("g", "n", "k", {}), ("f", "m", "k", {}), ("f", "n", "l", {}), ("f", "n", "k", {"b": 2})]
    assert len({found, *(identity_of(*each) for each in others)}) == 5


@given(st.text(max_size=3), st.lists(st.text(max_size=5), max_size=20))
def test_keys_that_start_with_a_text_are_found(prefix: str, keys: list[str]) -> None:
    condition, (low, *high) = keys_from(prefix)
    assert condition == ("key>=? AND key<?" if high else "key>=?")
    found = [key for key in keys if key >= low and all(key < bound for bound in high)]
    assert found == [key for key in keys if key.startswith(prefix)]
