"""What a slot is by its run: the table of fates."""

from typing import Any

import pytest

from aetherflow.core.embedding import Trouble
from aetherflow.core.records.history import PastRun
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.truth import fate_of
from aetherflow.scheduler.schedule.policy import Status


def trouble(status: str, reason_code: str | None = None, part: str | None = None, undone: int = 0) -> Trouble:
    given: dict[str, Any] = dict.fromkeys(PastRun._fields)
    given |= {"status": status, "reason_code": reason_code, "flow_id": "f", "state_path": "/f", "finished_at": 7}
    run = PastRun(**given | {"part": part})
    return Trouble(run, "load", "orders", "duplicate key\nmore", "AF1", [], None, 0, None, undone=undone)


def row(status: Status, code: str | None = None, told_by: str | None = None) -> SlotRow:
    given: dict[str, Any] = dict.fromkeys(SlotRow._fields)
    return SlotRow(**given | {"status": status, "reason_code": code, "reason": code, "told_by": told_by})


@pytest.mark.parametrize(
    ("slot", "code", "run", "fate"),
    [
        ("FAILED", "run", "SUCCESS", ("SUCCESS", "healed")),
        ("FAILED", "run", "FAILED", None),
        ("FAILED", "run", "UNKNOWN", ("UNKNOWN", "undecided")),
        ("FAILED", "timeout", "INTERRUPTED", None),
        ("FAILED", "run", "RUNNING", None),
        ("UNKNOWN", "undecided", "SUCCESS", ("SUCCESS", "healed")),
        ("UNKNOWN", "undecided", "FAILED", ("FAILED", "run")),
        ("UNKNOWN", "undecided", "UNKNOWN", None),
        ("UNKNOWN", "undecided", "INTERRUPTED", None),
        ("INTERRUPTED", "stopped", "SUCCESS", ("SUCCESS", "healed")),
        ("INTERRUPTED", "stopped", "FAILED", ("FAILED", "run")),
        ("INTERRUPTED", "drained", "FAILED", None),
        ("INTERRUPTED", "drained", "SUCCESS", ("SUCCESS", "healed")),
        ("MISSED", "misfire", "SUCCESS", ("SUCCESS", "healed")),
        ("MISSED", "misfire", "FAILED", ("FAILED", "run")),
        ("MISSED", "misfire", "INTERRUPTED", None),
        ("RUNNING", None, "SUCCESS", ("SUCCESS", None)),
        ("RUNNING", None, "FAILED", None),
        ("RUNNING", None, "UNKNOWN", None),
    ],
)
def test_the_fate_of_a_slot(slot: str, code: str | None, run: str, fate: tuple[str, str | None] | None) -> None:
    found = fate_of(row(Status(slot), code), trouble(run), partial=False)
    if fate is None:
        assert found is None
        return
    assert found is not None
    assert (found.status, found.reason.code if found.reason else None) == fate
    assert (found.finished_at, found.place) == (7, ("f", "/f"))


def test_a_part_of_a_flow_heals_only_the_item_that_runs_that_part() -> None:
    part = trouble("SUCCESS", "partial")
    assert fate_of(row(Status.FAILED, "run"), part, partial=False) is None
    found = fate_of(row(Status.FAILED, "run"), part, partial=True)
    assert found is not None
    assert found.status == "SUCCESS"


@pytest.mark.parametrize("partial", [None, False, True])
@pytest.mark.parametrize("undone", [0, 1])
def test_a_run_that_says_its_part_heals_once_that_is_done(undone: int, partial: bool | None) -> None:
    """Also for one who knows no item; not an item of the whole flow. Of two jobs that it was asked for, one is left."""
    found = fate_of(row(Status.FAILED, "run"), trouble("SUCCESS", "partial", '["a", "b"]', undone), partial=partial)
    assert (found is not None) is (undone == 0 and partial is not False)


def test_what_the_exit_code_told_is_set_right_once_the_state_can_be_asked() -> None:
    found = fate_of(row(Status.FAILED, "exit_code", "exit_code"), trouble("FAILED"), partial=False)
    assert found is not None
    assert (found.status, found.reason) == ("FAILED", "load.orders: duplicate key")
