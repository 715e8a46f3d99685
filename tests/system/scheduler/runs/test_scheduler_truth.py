"""A slot's fate is its run's: what a person does to a run counts for its slot, and for those that follow it."""

import datetime as dt
import json
import shlex
import signal
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

import warm
from scheduler_bench import Bench, PreparedBenches, today

pytestmark = pytest.mark.xdist_group("truth")  # one worker prepares
DAY = 86_400
NOON = "T00:00:00Z"


def item(name: str, **more: Any) -> Mapping[str, Any]:
    """One slot, of the last midnight; what follows it may wait for a week."""
    given = {"cron": "0 0 * * *", "since": today().isoformat(), "misfire": "last", "misfire_grace_time": 7 * DAY}
    return {"id": name, "flow": f"{name}.yaml", **given, **more}


def follower(**more: Any) -> Mapping[str, Any]:
    return {**item("report"), "after": "sales", **more}


def write_night(bench: "Bench") -> None:
    bench.flow(["sh", "-c", f"echo sales >> {bench.folder}/ran; test -e {bench.folder}/good"], "sales")
    bench.flow(["sh", "-c", f"echo report >> {bench.folder}/ran"], "report")
    bench.schedule_of(item("sales"), follower())


@pytest.fixture
def night(bench: "Bench") -> "Bench":
    """The item `sales`, which fails until the file `good` is there; `report` follows it."""
    write_night(bench)
    return bench


PROGRAMS = {"aetherflow": "aetherflow.core", "aetherflow-scheduler": "aetherflow.scheduler"}


def typed(bench: "Bench", command: str, code: int = 0, folder: str = "/") -> str:
    """Type a command as it was printed, in another folder."""
    program, *arguments = shlex.split(command)
    done = warm.run(
        [sys.executable, "-m", PROGRAMS[program], *arguments],
        cwd=folder,
        env=bench.env(HOME=str(bench.folder)),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return str(done.stdout)


def aetherflow(bench: "Bench", *arguments: str, code: int = 0) -> str:
    return typed(bench, shlex.join(["aetherflow", *arguments]), code, str(bench.folder))


def fates(bench: "Bench") -> list[tuple[Any, ...]]:
    return bench.rows("SELECT item, status, reason_code FROM slots ORDER BY item DESC")


def run_id(bench: "Bench", name: str = "sales") -> str:
    (found,) = bench.rows("SELECT run_id FROM slots WHERE item=?", name)[0]
    return str(found)


def ran(bench: "Bench") -> list[str]:
    return (bench.folder / "ran").read_text().split()


def needs(bench: "Bench", code: int) -> list[dict[str, Any]]:
    found = json.loads(bench.command("status", "scheduler.yaml", "--json", code=code))
    assert found["ok"] is (code == 0)
    return list(found["needs_person"])


def fail(bench: "Bench") -> None:
    bench.command("tick", "scheduler.yaml", "-q", code=1)
    assert fates(bench) == [("sales", "FAILED", "run"), ("report", "SKIPPED", "after")]
    (bench.folder / "good").touch()


def write_night_and_fail(bench: "Bench") -> None:
    write_night(bench)
    fail(bench)


@pytest.fixture
def failed(prepared_benches: PreparedBenches) -> Iterator["Bench"]:
    """As `night`, after `fail`."""
    with prepared_benches.after(write_night_and_fail) as bench:
        yield bench


def test_a_resume_by_hand_heals_the_slot_and_what_follows_it_runs(failed: "Bench") -> None:
    (need,) = needs(failed, code=1)
    assert (need["status"], need["item"], need["holds_up"]) == ("FAILED", "sales", ["report"])
    assert "\nit held up report: the scheduler starts that now, or " in aetherflow(failed, "resume", run_id(failed))
    failed.command("tick", "scheduler.yaml")
    assert fates(failed) == [("sales", "SUCCESS", "healed"), ("report", "SUCCESS", None)]
    assert ran(failed) == ["sales", "sales", "report"]
    assert needs(failed, code=0) == []
    assert failed.rows("SELECT json_extract(detail, '$.was') FROM journal WHERE event='reread'") == [("FAILED",)]
    assert failed.rows("SELECT status FROM attempts WHERE item='sales'") == [("FAILED",)]  # that start did fail


def test_a_scheduler_that_runs_sees_it_too(failed: "Bench", until: Any) -> None:
    process = failed.start("run", "scheduler.yaml")
    until(lambda: "this scheduler leads" in failed.told_so_far())
    aetherflow(failed, "resume", run_id(failed))
    until(lambda: fates(failed) == [("sales", "SUCCESS", "healed"), ("report", "SUCCESS", None)])
    assert failed.stop(process) == 0
    assert ran(failed) == ["sales", "sales", "report"]


def test_commands_that_only_look_tell_the_truth_and_write_nothing(failed: "Bench") -> None:
    aetherflow(failed, "resume", run_id(failed))
    before = failed.rows("SELECT * FROM slots")
    told = failed.command("audit", "scheduler.yaml", code=1)
    assert "after sales, which has succeeded since" in told
    assert told.endswith("no gap in 2 expected slots: 1 SKIPPED, 1 SUCCESS\n")
    assert [need["item"] for need in needs(failed, code=1)] == ["report"]
    day = today().isoformat(), (today() + dt.timedelta(days=1)).isoformat()
    backfill = ("backfill", "scheduler.yaml", "sales", "--from", day[0], "--to", day[1], "--include", "failed")
    assert failed.command(*backfill, "--dry-run") == "0 slots of sales would run\n"
    assert failed.rows("SELECT * FROM slots") == before
    assert failed.command(*backfill) == "0 of 0 slots have run, 0 of them failed\n"
    assert fates(failed)[0] == ("sales", "SUCCESS", "healed")
    assert ran(failed) == ["sales", "sales"]


def test_a_trigger_finds_the_slot_healed(failed: "Bench") -> None:
    aetherflow(failed, "resume", run_id(failed))
    told = failed.command("run-item", "scheduler.yaml", "sales", "--slot", today().isoformat() + NOON)
    assert "ended before with SUCCESS" in told
    assert ran(failed) == ["sales", "sales"]


def test_later_than_the_grace_it_is_listed_with_the_command(night: "Bench") -> None:
    night.schedule_of(item("sales"), follower(misfire_grace_time=1))
    fail(night)
    aetherflow(night, "resume", run_id(night))
    night.command("tick", "scheduler.yaml")
    assert fates(night) == [("sales", "SUCCESS", "healed"), ("report", "SKIPPED", "after_healed")]
    (need,) = needs(night, code=1)
    assert (need["status"], need["item"], need["cause"]) == (
        "MISSED",
        "report",
        "after sales, which has succeeded since",
    )
    assert f"next: {need['commands'][0]}" in night.command("status", "scheduler.yaml", code=1)
    night.command("audit", "scheduler.yaml", code=1)
    assert need["commands"][0] in aetherflow(night, "status", code=1)
    typed(night, need["commands"][0])
    assert fates(night)[1] == ("report", "SUCCESS", None)
    assert needs(night, code=0) == []
    night.command("audit", "scheduler.yaml")
    aetherflow(night, "status")


@pytest.mark.parametrize("end", ["run", "ack"])
def test_what_follows_a_slot_that_was_settled_as_done_is_listed_with_the_command(failed: "Bench", end: str) -> None:
    aetherflow(failed, "runs", "resolve", run_id(failed), "--as", "done", "--reason", "loaded by hand")
    failed.command("tick", "scheduler.yaml")
    assert ran(failed) == ["sales"], "it has not succeeded: nothing starts by itself"
    (need,) = needs(failed, code=1)
    assert (need["status"], need["item"], need["reason_code"]) == ("MISSED", "report", "after_settled")
    assert need["cause"] == "after sales, which a person has settled as done"
    assert need["commands"][0] in aetherflow(failed, "status", code=1)
    if end == "run":
        typed(failed, need["commands"][0])
        assert ran(failed) == ["sales", "report"]
    else:
        failed.command("ack", "scheduler.yaml", "report", "--slot", need["slots"][0], "--reason", "nobody reads it")
    assert needs(failed, code=0) == []
    aetherflow(failed, "status")


def test_what_follows_an_abandoned_slot_is_given_up_with_it(failed: "Bench") -> None:
    aetherflow(failed, "runs", "resolve", run_id(failed), "--as", "abandoned", "--reason", "too late")
    assert needs(failed, code=0) == []


@pytest.mark.parametrize("grace", [1, 7 * DAY])
def test_without_a_pass_since_the_resume_what_may_run_is_listed_all_the_same(night: "Bench", grace: int) -> None:
    night.schedule_of(item("sales"), follower(misfire_grace_time=grace))
    fail(night)
    aetherflow(night, "resume", run_id(night))
    (need,) = needs(night, code=1)
    assert (need["status"], need["item"], need["reason_code"]) == ("MISSED", "report", "after_healed")
    assert need["commands"][0] in aetherflow(night, "status", code=1)
    night.command("audit", "scheduler.yaml", "--fail-on", "missed", code=1)
    typed(night, need["commands"][0])
    assert ran(night) == ["sales", "sales", "report"]
    assert needs(night, code=0) == []
    aetherflow(night, "status")
    night.command("audit", "scheduler.yaml")


def test_what_a_leader_is_about_to_start_needs_nobody(night: "Bench", until: Any) -> None:
    night.schedule_of(item("sales"), follower(), lease_seconds=600)
    fail(night)
    process = night.start("run", "scheduler.yaml")
    until(lambda: "this scheduler leads" in night.told_so_far())
    process.send_signal(signal.SIGSTOP)  # between the resume and its next look
    try:
        aetherflow(night, "resume", run_id(night))
        assert needs(night, code=0) == []
        aetherflow(night, "status")
        night.command("audit", "scheduler.yaml")
    finally:
        process.send_signal(signal.SIGCONT)
    until(lambda: fates(night) == [("sales", "SUCCESS", "healed"), ("report", "SUCCESS", None)])
    assert night.stop(process) == 0


def test_a_retry_by_the_scheduler_heals_as_well(failed: "Bench") -> None:
    failed.command("run-item", "scheduler.yaml", "sales", "--slot", today().isoformat() + NOON)
    assert fates(failed) == [("sales", "SUCCESS", None), ("report", "SKIPPED", "after_healed")]
    failed.command("tick", "scheduler.yaml")
    assert fates(failed) == [("sales", "SUCCESS", None), ("report", "SUCCESS", None)]


def test_a_run_that_is_still_bad_stays_so(failed: "Bench") -> None:
    (failed.folder / "good").unlink()
    aetherflow(failed, "resume", run_id(failed), code=1)
    failed.command("tick", "scheduler.yaml")
    assert fates(failed) == [("sales", "FAILED", "run"), ("report", "SKIPPED", "after")]
    assert len(needs(failed, code=1)) == 1
    assert failed.rows("SELECT * FROM journal WHERE event='reread'") == []


def to_full_disk(bench: "Bench", name: str) -> None:
    """Let what the run of today prints go to a device that is full."""
    stamp = f"{name}-{today():%Y%m%d}T000000Z"
    folder = bench.folder / "ledger.sqlite.d/logs" / name
    folder.mkdir(parents=True)
    (folder / f"{stamp}.1.json").symlink_to("/dev/full")


def test_a_run_whose_output_is_lost_is_what_its_state_says(night: "Bench") -> None:
    (night.folder / "good").touch()
    to_full_disk(night, "sales")
    night.command("tick", "scheduler.yaml")
    assert [row[:2] for row in fates(night)] == [("sales", "SUCCESS"), ("report", "SUCCESS")]
    assert night.rows("SELECT told_by, flow_id, state_path FROM slots WHERE item='sales'") == [
        (None, "sales", f"{night.folder}/state/sales.sqlite")
    ]


def test_one_that_failed_is_told_by_its_state(night: "Bench") -> None:
    to_full_disk(night, "sales")
    night.command("tick", "scheduler.yaml", code=1)
    ((status, code, reason, told_by),) = night.rows(
        "SELECT status, reason_code, reason, told_by FROM slots WHERE item='sales'"
    )
    assert (status, code, told_by) == ("FAILED", "run", None)
    assert "exit code" in reason


def test_without_a_state_the_exit_code_counts(night: "Bench") -> None:
    lost = f"rm -f {night.folder}/state/*.sqlite*; kill -9 $PPID"
    night.flow(["sh", "-c", lost], "sales")
    night.command("tick", "scheduler.yaml", code=1)
    assert night.rows("SELECT status, reason_code, told_by FROM slots WHERE item='sales'") == [
        ("FAILED", "killed", "exit_code")
    ]
    assert "killed by SIGKILL (by exit code)" in night.command("status", "scheduler.yaml", code=1)
    assert "FAILED, by exit code, killed by SIGKILL" in night.command("audit", "scheduler.yaml", code=1)


def test_a_refused_start_needs_a_person_once(night: "Bench") -> None:
    night.write("version: 1\nflow: {id: sales}\njobs: nope\n", "sales.yaml")
    night.command("tick", "scheduler.yaml", code=1)
    assert fates(night) == [("sales", "FAILED", "refused"), ("report", "SKIPPED", "after")]
    (need,) = needs(night, code=1)
    assert (need["status"], need["run_id"]) == ("REFUSED", run_id(night))
    found = json.loads(aetherflow(night, "status", "--json", code=1))
    (shown,) = found["needs_person"]
    assert (shown["status"], shown["name"], shown["commands"]) == ("REFUSED", "sales", need["commands"])
    night.flow(["true"], "sales")
    typed(night, need["commands"][0])
    assert fates(night)[0] == ("sales", "SUCCESS", None)


def test_status_of_the_core_shows_a_slot_once(night: "Bench") -> None:
    night.schedule_of(item("sales"), follower(), item("hr", misfire="skip", misfire_grace_time=1, flow="report.yaml"))
    night.command("tick", "scheduler.yaml", code=1)
    found = json.loads(aetherflow(night, "status", "--json", code=1))
    shown = {(each["status"], each["name"]): each for each in found["needs_person"]}
    assert set(shown) == {("FAILED", "sales"), ("MISSED", "hr")}
    assert shown["FAILED", "sales"]["holds_up"] == ["report"]
    (night.folder / "good").touch()
    for need in found["needs_person"]:
        typed(night, need["commands"][0])  # of `hr` the other one leaves it as it is
    found = json.loads(aetherflow(night, "status", "--json", code=1))
    assert [(each["status"], each["name"]) for each in found["needs_person"]] == [("MISSED", "report")]
    night.command("tick", "scheduler.yaml")
    aetherflow(night, "status")
    assert night.rows("SELECT DISTINCT status FROM slots") == [("SUCCESS",)]


def test_what_is_in_hand_does_not_fail_the_audit_and_is_shown(failed: "Bench") -> None:
    aetherflow(failed, "runs", "ack", run_id(failed), "--reason", "ticket 4711")
    told = failed.command("audit", "scheduler.yaml")
    assert "acknowledged" in told
    (need,) = needs(failed, code=0)
    assert need["in_hand"] is True
    assert "ticket 4711" in failed.command("status", "scheduler.yaml")


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [(None, 1), ("failed", 1), ("missed", 0), ("late", 0), ("missed,failed", 1), ("none", 0), ("nothing", 2), ("", 2)],
)
def test_what_fails_an_audit_is_asked_for(failed: "Bench", fail_on: str | None, code: int) -> None:
    given = [] if fail_on is None else ["--fail-on", fail_on]
    failed.command("audit", "scheduler.yaml", *given, code=code)
    found = json.loads(failed.command("audit", "scheduler.yaml", "--json", *given, code=code))
    assert found["ok"] is (code == 0)
    if code != 2:
        (finding,) = found["findings"]
        assert (finding["kind"], finding["item"], finding["status"]) == ("failed", "sales", "FAILED")


@pytest.mark.parametrize(("misfire", "code"), [("skip", 1), ("last", 0)])
def test_missed_slots_fail_an_audit_unless_a_later_one_stands_for_them(night: "Bench", misfire: str, code: int) -> None:
    since = (today() - dt.timedelta(days=3)).isoformat()
    night.schedule_of(item("report", since=since, misfire=misfire, misfire_grace_time=1))
    night.command("tick", "scheduler.yaml")
    night.command("audit", "scheduler.yaml", code=code)
    night.command("audit", "scheduler.yaml", "--fail-on", "failed")
    found = needs(night, code=code)
    assert [len(need["slots"]) for need in found] == [4] * code
    for need in found:
        typed(night, need["commands"][0])
    assert needs(night, code=0) == []


@pytest.mark.parametrize("days", [0, 3])
def test_what_is_to_be_skipped_if_missed_can_be_left_by_the_printed_command(night: "Bench", days: int) -> None:
    since = (today() - dt.timedelta(days=days)).isoformat()
    night.schedule_of(item("report", since=since, misfire="skip", misfire_grace_time=1))
    night.command("tick", "scheduler.yaml")
    (need,) = needs(night, code=1)
    extent = f"{days + 1} slots from {since}T00:00:00Z to {today().isoformat()}T00:00:00Z; " if days else ""
    assert need["cause"].startswith(f"{extent}not started in time: ")
    assert f"\n  or leave it: {need['leave']}\n" in night.command("status", "scheduler.yaml", code=1) + "\n"
    assert f"or: {need['leave']}\n" in aetherflow(night, "status", code=1)
    typed(night, need["leave"])
    assert needs(night, code=0) == []
    assert night.rows("SELECT DISTINCT status FROM slots") == [("MISSED",)]


def test_missed_slots_that_nobody_will_make_up_for(night: "Bench") -> None:
    since = (today() - dt.timedelta(days=3)).isoformat()
    night.schedule_of(item("report", since=since, misfire="skip", misfire_grace_time=1), item("sales"))
    night.command("tick", "scheduler.yaml", code=1)
    why = ("--reason", "prices of yesterday")
    told = night.command("ack", "scheduler.yaml", "report", "--before", today().isoformat(), *why)
    assert told == "3 missed slots of report need nobody: prices of yesterday\n"
    assert {need["item"]: len(need["slots"]) for need in needs(night, code=1)} == {"report": 1, "sales": 1}
    slot = ("--slot", today().isoformat())
    night.command("ack", "scheduler.yaml", "report", *slot, *why)
    assert json.loads(night.command("ack", "scheduler.yaml", "report", *slot, *why, "--json"))["slots"] == []
    assert [need["item"] for need in needs(night, code=1)] == ["sales"]
    assert "report" not in aetherflow(night, "status", code=1)
    night.command("audit", "scheduler.yaml", "--fail-on", "missed")
    found = json.loads(night.command("audit", "scheduler.yaml", "--json", code=1))
    assert [each["settled"] for each in found["findings"]] == ["acknowledged"] * 4 + [None]
    assert night.rows("SELECT count(*) FROM journal WHERE event='ack'") == [(4,)]
    night.command("ack", "scheduler.yaml", "sales", *slot, *why, code=2)
    assert "aetherflow runs ack RUN_ID" in night.errors
    night.command("ack", "scheduler.yaml", "sales", *why, code=2)
    night.command("backfill", "scheduler.yaml", "report", "--from", since, "--to", today().isoformat(), "-q")
    assert night.rows("SELECT count(*) FROM slots WHERE item='report' AND status='SUCCESS'") == [(3,)]


def test_a_late_slot_fails_an_audit_that_asks_for_it(night: "Bench") -> None:
    (night.folder / "good").touch()
    night.schedule_of(item("sales", late_after_seconds=1))
    night.command("tick", "scheduler.yaml")
    assert night.rows("SELECT late FROM slots") == [(1,)]
    night.command("audit", "scheduler.yaml")
    night.command("audit", "scheduler.yaml", "--fail-on", "late", code=1)


def test_a_question_that_a_person_answers_heals_the_slot(night: "Bench") -> None:
    night.flow(["sh", "-c", "kill -9 $PPID; sleep 5"], "sales", effect="once")
    night.command("tick", "scheduler.yaml", code=1)
    run = run_id(night)
    aetherflow(night, "resume", run, code=1)
    night.command("tick", "scheduler.yaml")
    assert fates(night)[0][:2] == ("sales", "UNKNOWN")
    (need,) = needs(night, code=1)
    asked = [f"aetherflow resume {run} --decide job.step={answer}" for answer in ("done", "again")]
    assert need["commands"] == asked
    told = night.command("status", "scheduler.yaml", code=1)
    assert f"  next, if it was done: {asked[0]}\n  next, if it was not:  {asked[1]}\n" in told
    typed(night, asked[0], folder=str(night.folder))
    night.command("tick", "scheduler.yaml")
    assert fates(night) == [("sales", "SUCCESS", "healed"), ("report", "SUCCESS", None)]


@pytest.mark.parametrize("answer", ["done", "again"])
def test_a_once_step_that_was_killed_asks_at_once(night: "Bench", answer: str) -> None:
    kill = "{ kill -9 $PPID; sleep 60; }"  # it has no effect itself, however late it is ended
    night.flow(
        ["sh", "-c", f"test -e {night.folder}/good || {kill}; touch {night.folder}/sent"], "sales", effect="once"
    )
    night.command("tick", "scheduler.yaml", code=1)
    (night.folder / "good").touch()
    (need,) = needs(night, code=1)
    assert need["status"] == "UNKNOWN"
    assert need["cause"] == "killed by SIGKILL, a step has to be decided"
    typed(night, need["commands"][answer == "again"], folder=str(night.folder))
    assert (night.folder / "sent").exists() is (answer == "again")
    assert fates(night)[0][1] == "FAILED", "no pass has come by"
    assert {need["item"] for need in needs(night, code=1)} == {"report"}


@pytest.mark.parametrize("command", ["aetherflow", "aetherflow-scheduler"])
def test_both_statuses_print_one_command_for_a_slot_that_failed(failed: "Bench", command: str) -> None:
    shown = (
        aetherflow(failed, "status", code=1)
        if command == "aetherflow"
        else failed.command("status", "scheduler.yaml", code=1)
    )
    assert [line for line in shown.splitlines() if "next:" in line] == [
        line for line in shown.splitlines() if line.strip() == f"next: aetherflow resume {run_id(failed)}"
    ]
    assert shown.count("next:") == 1


@pytest.mark.parametrize("how", ["run-item", "run"])
def test_a_refused_slot_is_healed_by_any_run_of_it_without_a_pass(night: "Bench", how: str) -> None:
    night.write("version: 1\nflow: {id: sales}\njobs: nope\n", "sales.yaml")
    night.command("tick", "scheduler.yaml", code=1)
    slot = today().isoformat() + NOON
    (need,) = needs(night, code=1)
    assert need["commands"] == [f"aetherflow-scheduler run-item {night.file} sales --slot {slot}"]
    night.flow(["sh", "-c", f"test -e {night.folder}/good"], "sales")
    started = ("run", "sales.yaml", "--run-id", run_id(night), "--slot", slot)
    if how == "run":
        aetherflow(night, *started, code=1)
        (need,) = needs(night, code=1)
        assert (need["status"], need["commands"]) == ("FAILED", [f"aetherflow resume {run_id(night)}"])
    (night.folder / "good").touch()
    if how == "run":
        aetherflow(night, *started)
        assert fates(night)[0] == ("sales", "FAILED", "refused"), "no pass has come by"
    else:
        typed(night, need["commands"][0])
    assert [need["item"] for need in needs(night, code=1)] == ["report"]
    found = json.loads(aetherflow(night, "status", "--json", code=1))
    assert [each["name"] for each in found["needs_person"]] == ["report"]
    night.command("tick", "scheduler.yaml")
    assert [row[:2] for row in fates(night)] == [("sales", "SUCCESS"), ("report", "SUCCESS")]
    aetherflow(night, "status")


def test_a_refused_slot_is_healed_by_another_run_of_it(night: "Bench") -> None:
    night.write("version: 1\nflow: {id: sales}\njobs: nope\n", "sales.yaml")
    night.command("tick", "scheduler.yaml", code=1)
    night.flow(["true"], "sales")
    aetherflow(night, "run", "sales.yaml", "--run-id", "mine", "--slot", today().isoformat() + NOON)
    assert [need["item"] for need in needs(night, code=1)] == ["report"]
    found = json.loads(aetherflow(night, "status", "--json", code=1))
    assert [each["name"] for each in found["needs_person"]] == ["report"]
    night.command("audit", "scheduler.yaml", "--fail-on", "failed")
    night.command("run-item", "scheduler.yaml", "report", "--slot", today().isoformat() + NOON)
    assert needs(night, code=0) == []
    aetherflow(night, "status")


def backfill_failed(bench: "Bench", *more: str) -> str:
    span = ("--from", today().isoformat(), "--to", (today() + dt.timedelta(days=1)).isoformat())
    return bench.command("backfill", "scheduler.yaml", "sales", *span, "--include", "failed", *more)


def core_needs(bench: "Bench", code: int = 1) -> list[str]:
    found = json.loads(aetherflow(bench, "status", "--json", code=code))
    return [each["name"] for each in found["needs_person"]]


def run_mine(bench: "Bench", *more: str, code: int = 0) -> None:
    """Run the slot by hand, under another id than the scheduler's."""
    aetherflow(bench, "run", "sales.yaml", "--run-id", "mine", "--slot", today().isoformat() + NOON, *more, code=code)


@pytest.mark.parametrize("how", ["failed", "refused"])
def test_another_run_of_the_slot_heals_it_in_both_views_and_the_ledger_follows(night: "Bench", how: str) -> None:
    if how == "refused":
        night.write("version: 1\nflow: {id: sales}\njobs: nope\n", "sales.yaml")
        night.command("tick", "scheduler.yaml", code=1)
        night.flow(["sh", "-c", f"echo sales >> {night.folder}/ran"], "sales")
    else:
        fail(night)
    run_mine(night)
    before = ran(night)
    assert [need["item"] for need in needs(night, code=1)] == core_needs(night) == ["report"]
    night.command("audit", "scheduler.yaml", "--fail-on", "failed")
    assert backfill_failed(night, "--dry-run") == "0 slots of sales would run\n"
    assert fates(night)[0][1] == "FAILED", "no pass has come by"
    night.command("tick", "scheduler.yaml")
    assert fates(night) == [("sales", "SUCCESS", "healed_by"), ("report", "SUCCESS", None)]
    told = night.rows("SELECT reason FROM slots WHERE item='sales'")
    assert told == [("it was FAILED; run mine of the same slot has succeeded since",)]
    assert backfill_failed(night) == "0 of 0 slots have run, 0 of them failed\n"
    assert ran(night) == [*before, "report"]
    assert needs(night, code=0) == []
    assert core_needs(night, code=0) == []
    night.command("audit", "scheduler.yaml")


@pytest.mark.parametrize("other", ["param", "part", "before", "bad"])
def test_what_is_not_the_same_slot_heals_it_in_neither_view(night: "Bench", other: str) -> None:
    with (night.folder / "sales.yaml").open() as file:
        flow = json.load(file)
    flow["flow"]["params"] = {"country": {"default": "de"}}
    flow["jobs"].append({"id": "more", "steps": [{"id": "s", "type": "check_items", "inputs": {"items": [1]}}]})
    night.write(json.dumps(flow), "sales.yaml")
    if other == "before":
        (night.folder / "good").touch()
        run_mine(night)
        (night.folder / "good").unlink()
    fail(night)
    if other == "bad":
        (night.folder / "good").unlink()
        run_mine(night, code=1)
    elif other != "before":
        run_mine(night, *{"param": ["--param", "country=fr"], "part": ["--flow-job", "job"]}[other])
    night.command("tick", "scheduler.yaml")
    assert fates(night) == [("sales", "FAILED", "run"), ("report", "SKIPPED", "after")]
    assert [need["item"] for need in needs(night, code=1)] == ["sales"]
    assert set(core_needs(night)) == {"sales"}
    assert backfill_failed(night, "--dry-run").endswith("1 slots of sales would run\n")


def test_a_slot_of_which_another_run_was_settled_needs_nobody_in_both_views(failed: "Bench") -> None:
    (failed.folder / "good").unlink()
    run_mine(failed, code=1)
    aetherflow(failed, "runs", "resolve", "mine", "--as", "abandoned", "--reason", "not needed")
    assert needs(failed, code=0) == []
    assert core_needs(failed, code=0) == []
    failed.command("audit", "scheduler.yaml", "--fail-on", "failed")
    failed.command("tick", "scheduler.yaml")
    assert fates(failed) == [("sales", "FAILED", "run"), ("report", "SKIPPED", "after")], "it has not succeeded"


def test_a_question_is_not_answered_by_another_run(night: "Bench") -> None:
    night.flow(["sh", "-c", "kill -9 $PPID; sleep 5"], "sales", effect="once")
    night.command("tick", "scheduler.yaml", code=1)
    night.flow(["true"], "sales", effect="once")
    run_mine(night)
    assert [need["status"] for need in needs(night, code=1)] == ["UNKNOWN"]
    assert core_needs(night) == ["sales"]
    night.command("tick", "scheduler.yaml")
    assert fates(night)[0][1] != "SUCCESS"


def test_an_item_of_one_job_is_gone_on_with_as_such(night: "Bench") -> None:
    """Both views print the resume, which runs no other job; the slot is healed by it."""
    with (night.folder / "sales.yaml").open() as file:
        flow = json.load(file)
    more = {"command": ["sh", "-c", f"echo more >> {night.folder}/ran"]}
    flow["jobs"].append({"id": "more", "steps": [{"id": "s", "type": "external.process", "inputs": more}]})
    night.write(json.dumps(flow), "sales.yaml")
    night.schedule_of(item("sales", flow_job="job"), follower())
    fail(night)
    (need,) = needs(night, code=1)
    found = json.loads(aetherflow(night, "status", "--json", code=1))["needs_person"]
    assert [each["commands"] for each in [need, *found]] == [[f"aetherflow resume {run_id(night)}"]] * 2
    typed(night, need["commands"][0])
    assert core_needs(night) == ["report"]
    assert [need["item"] for need in needs(night, code=1)] == ["report"]
    night.command("tick", "scheduler.yaml")
    assert fates(night) == [("sales", "SUCCESS", "healed"), ("report", "SUCCESS", None)]
    assert ran(night) == ["sales", "sales", "report"]


def test_a_run_of_another_flow_with_the_same_id_heals_nothing(night: "Bench") -> None:
    """Two schedules of one state root have items of one name: the first is refused, and the other one has run."""
    night.write("version: 1\nflow: {id: sales}\njobs: nope\n", "sales.yaml")
    night.command("tick", "scheduler.yaml", code=1)
    other = night.folder / "other"
    other.mkdir()
    night.flow(["true"], "hr")
    (night.folder / "hr.yaml").rename(other / "hr.yaml")
    items = [{**item("sales"), "flow": "hr.yaml"}]
    night.write(json.dumps({"timezone": "UTC", "state": "other.sqlite", "items": items}), "other/scheduler.yaml")
    night.command("tick", "other/scheduler.yaml")
    night.command("tick", "scheduler.yaml")
    assert fates(night)[0] == ("sales", "FAILED", "refused")


def test_a_ledger_of_the_first_version_is_healed_too(failed: "Bench") -> None:
    with closing(sqlite3.connect(failed.folder / "ledger.sqlite")) as db:
        db.execute("UPDATE slots SET flow_id=NULL, state_path=NULL")
        db.commit()
    aetherflow(failed, "resume", run_id(failed))
    failed.command("tick", "scheduler.yaml")
    assert fates(failed) == [("sales", "SUCCESS", "healed"), ("report", "SUCCESS", None)]


@pytest.mark.parametrize("source", ["flow", "bundle"])
@pytest.mark.parametrize("how", ["tick", "run-item", "backfill"])
def test_the_next_command_goes_on_with_the_run_from_any_folder(night: "Bench", how: str, source: str) -> None:
    (night.folder / "release").mkdir()
    written = "release/sales.yaml" if source == "bundle" else "sales.yaml"
    night.write(
        "version: 1\nflow: {id: sales, params: {name: {}}, workspace: {root: here}}\njobs: [{id: job, "
        "steps: [{id: step, type: external.process, inputs: {shell: true, command: "
        f"'echo {{{{params.name}}}} >> {night.folder}/ran; test -e {night.folder}/good'}}}}]}}]\n",
        written,
    )
    night.write("{}\n", "release/profiles.yaml")
    night.write(
        "version: 1\nbundle: {id: b, source: {type: filesystem, base_path: release}, entry_flow: sales.yaml, "
        "layout: {profiles_file: profiles.yaml}}\n",
        "bundle.yaml",
    )
    manifest = {} if source == "flow" else {"bundle_manifest": "bundle.yaml"}
    night.schedule_of({**item("sales"), "params": {"name": "Ada"}, **manifest})
    slot = today().isoformat() + NOON
    started = {
        "tick": ("-q",),
        "run-item": ("sales", "--slot", slot),
        "backfill": ("sales", "--from", slot, "--to", slot.replace("00Z", "01Z")),
    }
    night.command(how, "scheduler.yaml", *started[how], code=1)
    assert fates(night)[0] == ("sales", "FAILED", "run")
    (need,) = needs(night, code=1)
    assert need["commands"] == [f"aetherflow resume {run_id(night)}"]
    (night.folder / "good").touch()
    typed(night, need["commands"][0])
    assert ran(night) == ["Ada", "Ada"]
    assert not (night.folder / "release/here").exists()
    assert needs(night, code=0) == []
