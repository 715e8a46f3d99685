"""Two schedules whose items and flows have the same ids and whose runs stand in one state: the second is told so."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scheduler_bench import Bench


@pytest.fixture
def checkouts(bench: "Bench") -> "Bench":
    """The folders one and two: the same schedule and flow twice, with a ledger each and one state root."""
    for name in ("one", "two"):
        bench.flow(["touch", f"{bench.folder}/ran-{name}"])
        (bench.folder / name).mkdir()
        (bench.folder / "flow.yaml").rename(bench.folder / name / "flow.yaml")
        item = {"id": "daily", "cron": "0 0 * * *", "misfire": "last", "since": "2026-01-01", "flow": "flow.yaml"}
        bench.write(json.dumps({"timezone": "UTC", "state": "led.sqlite", "items": [item]}), f"{name}/scheduler.yaml")
    return bench


def test_a_slot_whose_run_another_schedule_has_made_says_so(checkouts: "Bench") -> None:
    checkouts.command("run-item", "one/scheduler.yaml", "daily", "-q")
    assert "nothing was run" not in checkouts.errors
    assert (checkouts.folder / "ran-one").exists()
    done = json.loads(checkouts.command("run-item", "two/scheduler.yaml", "daily", "--json", "-q"))
    assert not (checkouts.folder / "ran-two").exists()
    said = f"nothing was run: {checkouts.folder}/state/flow.sqlite has its run as SUCCESS at 20"
    (warning,) = checkouts.errors.splitlines()
    assert " WARNING daily " in warning
    assert said in warning
    assert "set another AETHERFLOW_STATE_ROOT" in warning
    assert done["status"] == "SUCCESS"
    assert done["reason"].startswith(said)


def test_with_a_state_root_of_its_own_it_runs(checkouts: "Bench") -> None:
    for name in ("one", "two"):
        checkouts.command("run-item", f"{name}/scheduler.yaml", "daily", "-q", AETHERFLOW_STATE_ROOT=f"{name}/state")
        assert checkouts.errors == ""
        assert (checkouts.folder / f"ran-{name}").exists()


def test_what_an_earlier_start_of_the_same_slot_has_done_is_no_news(
    checkouts: "Bench", until: Callable[..., Any]
) -> None:
    """The run goes on and ends well without the process that started it; the next start has nothing to do."""
    go = checkouts.folder / "go"
    checkouts.flow(["sh", "-c", f"echo x >> {checkouts.folder}/ran; while ! test -e {go}; do sleep 0.05; done"])
    (checkouts.folder / "flow.yaml").rename(checkouts.folder / "one/flow.yaml")
    process = checkouts.start("run-item", "one/scheduler.yaml", "daily", "--trigger", "cron")
    until((checkouts.folder / "ran").exists)
    process.kill()
    process.wait()
    go.touch()
    checkouts.command("tick", "one/scheduler.yaml")
    assert "nothing was run" not in checkouts.errors
    shown = checkouts.command("run-item", "one/scheduler.yaml", "daily", "--json")
    assert (json.loads(shown)["status"], json.loads(shown)["reason"]) == ("SUCCESS", None)
    assert (checkouts.folder / "ran").read_text() == "x\n"
