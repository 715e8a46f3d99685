"""Slots that a user has run by hand: no list types a command for them, and none names what is resolved."""

import json
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import pytest

import warm
from scheduler_bench import Bench, today

pytestmark = pytest.mark.xdist_group("truth")
WEEK = 7 * 86_400
PROGRAMS = {"aetherflow": "aetherflow.core", "aetherflow-scheduler": "aetherflow.scheduler"}


def item(name: str, **more: Any) -> Mapping[str, Any]:
    """One slot, of the last midnight."""
    given = {"cron": "0 0 * * *", "since": today().isoformat(), "misfire": "last", "misfire_grace_time": WEEK}
    return {"id": name, "flow": f"{name}.yaml", **given, **more}


LATE = {"misfire": "skip", "misfire_grace_time": 1}


def slot() -> str:
    return f"{today().isoformat()}T00:00:00Z"


def typed(bench: Bench, *words: str, code: int | None = 0) -> str:
    program, *rest = words
    done = warm.run(
        [sys.executable, "-m", PROGRAMS[program], *rest],
        cwd=str(bench.folder),
        env=bench.env(HOME=str(bench.folder)),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert code in (None, done.returncode), (words, done.returncode, done.stdout, done.stderr)
    return f"{done.stdout}{done.stderr}"


def rows(bench: Bench) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What both statuses list, by `--json`."""
    core = json.loads(typed(bench, "aetherflow", "status", "--json", code=None))["needs_person"]
    own = json.loads(typed(bench, "aetherflow-scheduler", "status", "scheduler.yaml", "--json", code=None))
    return core, own["needs_person"]


def shown(bench: Bench) -> str:
    """Both statuses, as text and as page, and the audit."""
    page = bench.folder / "page.html"
    found = []
    for words in (["aetherflow", "status"], ["aetherflow-scheduler", "status", "scheduler.yaml"]):
        found.append(typed(bench, *words, code=0))
        typed(bench, *words, "--html", str(page))
        found.append(page.read_text())
        page.unlink()
    return "\n".join([*found, typed(bench, "aetherflow-scheduler", "audit", "scheduler.yaml")])


def write_flows(bench: Bench) -> None:
    bench.flow(["sh", "-c", f"echo sales >> {bench.folder}/ran; test -e {bench.folder}/good"], "sales")
    bench.flow(["sh", "-c", f"echo report >> {bench.folder}/ran"], "report")


def ran(bench: Bench, name: str) -> int:
    return (bench.folder / "ran").read_text().split().count(name)


def tick(bench: Bench, code: int | None = 0) -> str:
    return typed(bench, "aetherflow-scheduler", "tick", "scheduler.yaml", code=code)


def test_a_missed_slot_that_was_run_by_hand_is_no_work(bench: Bench) -> None:
    write_flows(bench)
    (bench.folder / "good").touch()
    bench.schedule_of(item("sales", **LATE), item("other", flow="sales.yaml", **LATE))
    tick(bench)
    assert [len(found) for found in rows(bench)] == [2, 2]
    typed(bench, "aetherflow", "run", "sales.yaml", "--slot", slot(), "--run-id", "by-hand")
    assert "run-item" not in (text := shown(bench))
    assert "MISSED; run by-hand of the same slot has succeeded since" in text
    for command in (["run-item", "scheduler.yaml", "sales", "--slot", slot()], ["tick", "scheduler.yaml"]):
        typed(bench, "aetherflow-scheduler", *command)
    assert ran(bench, "sales") == 1
    assert bench.rows("SELECT status, reason_code FROM slots WHERE item='sales'") == [("SUCCESS", "healed_by")]


def test_another_item_of_the_flow_makes_up_for_nothing(bench: Bench) -> None:
    """Of two items of one flow each has a run of its own."""
    write_flows(bench)
    (bench.folder / "good").touch()
    bench.schedule_of(item("sales"), item("other", flow="sales.yaml", **LATE))
    tick(bench)
    assert ran(bench, "sales") == 1
    assert [[need["item"] for need in rows(bench)[1]], [need["name"] for need in rows(bench)[0]]] == [["other"]] * 2


@pytest.mark.parametrize("params", [(), ("--param", "land=de")])
def test_parameters_tell_slots_apart(bench: Bench, params: tuple[str, ...]) -> None:
    steps = [{"id": "step", "type": "external.process", "inputs": {"command": ["true"]}}]
    flow = {"id": "lands", "params": {"land": {"type": "string", "default": "fr"}}}
    document = {"version": 1, "flow": flow, "jobs": [{"id": "job", "steps": steps}]}
    (bench.folder / "lands.yaml").write_text(json.dumps(document))
    bench.schedule_of(item("german", flow="lands.yaml", params={"land": "de"}, **LATE))
    tick(bench)
    typed(bench, "aetherflow", "run", "lands.yaml", "--slot", slot(), *params)
    assert [len(found) for found in rows(bench)] == ([0, 0] if params else [1, 1])


def test_a_slot_that_another_one_held_up_and_that_was_run_by_hand_does_not_run_again(bench: Bench) -> None:
    write_flows(bench)
    bench.schedule_of(item("sales"), item("report", after="sales"))
    tick(bench, code=1)
    (bench.folder / "good").touch()
    typed(bench, "aetherflow", "run", "report.yaml", "--slot", slot())
    for found in rows(bench):
        assert [list(need["holds_up"]) for need in found] == [[]]
    (run_id,) = bench.rows("SELECT run_id FROM slots WHERE item='sales'")[0]
    typed(bench, "aetherflow", "resume", run_id)
    text = shown(bench)
    assert "run-item" not in text
    assert "after sales" not in text
    tick(bench)
    assert (ran(bench, "sales"), ran(bench, "report")) == (2, 1)
    assert "run-item" not in shown(bench)


def test_copies_of_a_state_and_a_ledger_from_before_name_nothing_that_is_resolved(bench: Bench) -> None:
    write_flows(bench)
    bench.schedule_of(item("sales"), item("report", after="sales", misfire_grace_time=1))
    tick(bench, code=1)
    (bench.folder / "good").touch()
    for name in ("ledger.sqlite", "state/sales.sqlite"):
        shutil.copy(bench.folder / name, f"{bench.folder}/{name}.before")
    (run_id,) = bench.rows("SELECT run_id FROM slots WHERE item='sales'")[0]
    typed(bench, "aetherflow", "resume", run_id)
    typed(bench, "aetherflow-scheduler", "run-item", "scheduler.yaml", "report", "--slot", slot())
    for name in ("ledger.sqlite", "state/sales.sqlite"):
        shutil.move(f"{bench.folder}/{name}.before", bench.folder / name)
    core, own = rows(bench)
    assert own == []
    assert [need["status"] for need in core] == ["OLDER"]
    assert "after sales: FAILED" not in typed(bench, "aetherflow-scheduler", "status", "scheduler.yaml")


def test_what_may_run_names_no_failure_that_is_resolved(bench: Bench) -> None:
    write_flows(bench)
    bench.schedule_of(item("sales"), item("report", after="sales"))
    tick(bench, code=1)
    (bench.folder / "good").touch()
    (run_id,) = bench.rows("SELECT run_id FROM slots WHERE item='sales'")[0]
    typed(bench, "aetherflow", "resume", run_id)
    text = typed(bench, "aetherflow-scheduler", "status", "scheduler.yaml", code=1)
    assert "SKIPPED: after sales, which has succeeded since" in text
    assert "after sales: FAILED" not in text


def test_the_cause_of_a_slot_is_that_of_the_last_end_of_its_run(bench: Bench) -> None:
    bench.flow(["sh", "-c", f"test -e {bench.folder}/good || exit 3; exit 4"], "sales")
    bench.schedule_of(item("sales"))
    tick(bench, code=1)
    assert ["exit code 3" in need["cause"] for found in rows(bench) for need in found] == [True, True]
    (bench.folder / "good").touch()
    (run_id,) = bench.rows("SELECT run_id FROM slots WHERE item='sales'")[0]
    typed(bench, "aetherflow", "resume", run_id, code=1)
    assert ["exit code 4" in need["cause"] for found in rows(bench) for need in found] == [True, True]


def test_both_statuses_call_a_killed_run_interrupted(bench: Bench) -> None:
    bench.flow(["sh", "-c", "kill -9 $PPID; sleep 5"], "sales")
    bench.schedule_of(item("sales"))
    tick(bench, code=1)
    core, own = rows(bench)
    assert [need["status"] for need in (*core, *own)] == ["INTERRUPTED"] * 2
    assert own[0]["commands"] == core[0]["commands"]
    text = typed(bench, "aetherflow-scheduler", "status", "scheduler.yaml", code=1)
    assert "INTERRUPTED sales" in text
    assert "FAILED" not in text
    assert "FAILED" not in typed(bench, "aetherflow-scheduler", "audit", "scheduler.yaml", code=1)


@pytest.mark.parametrize("by_hand", [True, False])
def test_no_message_is_about_a_slot_that_was_run_by_hand(bench: Bench, by_hand: bool) -> None:
    write_flows(bench)
    (bench.folder / "good").touch()
    bench.write("version: 1\n", "aetherflow.yaml")
    bench.schedule_of(item("sales", **LATE), notify=[{"command": ["sh", "-c", f"cat >> {bench.folder}/mails"]}])
    if by_hand:
        typed(bench, "aetherflow", "run", "sales.yaml", "--slot", slot())
    tick(bench)
    typed(bench, "aetherflow", "status", "--notify", code=None)
    mails = bench.folder / "mails"
    assert (mails.exists() and "run-item" in mails.read_text()) is not by_hand
