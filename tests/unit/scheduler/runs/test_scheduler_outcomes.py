"""How a start ended: by what the run tells, else by its state, else by its exit code."""

from typing import Any

import pytest

from aetherflow.core.embedding import Trouble
from aetherflow.core.records.history import PastRun
from aetherflow.scheduler.launchers import Outcome
from aetherflow.scheduler.reasons import SlotReason, said
from aetherflow.scheduler.runs.outcomes import decide_end


def told(status: str | None, **more: Any) -> dict[str, Any]:
    return {"status": status, "flow_id": "f", "state_path": "/f", "error": None, **more}


def recorded(status: str) -> Trouble:
    none: dict[str, Any] = dict.fromkeys(PastRun._fields)
    return Trouble(
        PastRun(**none | {"status": status, "flow_id": "g", "state_path": "/g"}),
        "j",
        "s",
        "no",
        None,
        [],
        None,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("code", "summary", "state", "end"),
    [
        # the run has told it: nobody asks the state
        (0, told("SUCCESS"), "FAILED", ("SUCCESS", None, False, None)),
        (1, told("SUCCESS"), "FAILED", ("SUCCESS", "recorded", False, None)),
        (-9, told("SUCCESS"), "FAILED", ("SUCCESS", "recorded", False, None)),
        (1, told("FAILED"), "SUCCESS", ("FAILED", "exit_code", True, None)),
        (1, told("UNKNOWN"), "SUCCESS", ("UNKNOWN", "undecided", False, None)),
        (2, told(None, error={"message": "no"}), "SUCCESS", ("FAILED", "refused", False, None)),
        # its words are lost
        (1, None, "SUCCESS", ("SUCCESS", "recorded", False, None)),
        (-9, None, "SUCCESS", ("SUCCESS", "recorded", False, None)),
        (1, None, "FAILED", ("FAILED", "run", True, None)),
        (0, None, "FAILED", ("FAILED", "run", True, None)),
        (2, None, "FAILED", ("FAILED", "run", False, None)),
        (1, None, "UNKNOWN", ("UNKNOWN", "undecided", False, None)),
        (-9, None, "INTERRUPTED", ("FAILED", "killed", True, None)),
        (143, None, "INTERRUPTED", ("INTERRUPTED", "stopped_outside", False, None)),
        (0, None, "SUCCESS", ("SUCCESS", None, False, None)),
        # and so is its state
        (0, None, None, ("SUCCESS", None, False, "exit_code")),
        (1, None, None, ("FAILED", "exit_code", True, "exit_code")),
        (-11, None, None, ("FAILED", "killed", True, "exit_code")),
        (2, None, None, ("FAILED", "exit_code", False, "exit_code")),
    ],
)
def test_how_a_start_ended(code: int, summary: Any, state: str | None, end: tuple[Any, ...]) -> None:
    found = decide_end(
        Outcome(code, summary), None, drained=False, recorded=lambda: None if state is None else recorded(state)
    )
    reason = found.reason.code if found.reason is not None else None
    assert (found.status, reason, found.retry, found.told_by) == end
    assert found.place == (("f", "/f") if summary is not None else None if state is None else ("g", "/g"))


@pytest.mark.parametrize("drained", [True, False])
def test_what_was_stopped_although_it_had_succeeded_is_success(drained: bool) -> None:
    why = said(SlotReason.DRAINED) if drained else said(SlotReason.TIMEOUT, seconds=5.0)
    found = decide_end(Outcome(143), why, drained=drained, recorded=lambda: recorded("SUCCESS"))
    assert found.status == "SUCCESS"
    found = decide_end(Outcome(143), why, drained=drained, recorded=lambda: recorded("INTERRUPTED"))
    assert found.status == ("INTERRUPTED" if drained else "FAILED")
