"""`status`: what needs a person stays visible until it is healed, acknowledged or forgotten."""

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_history import OK, flow, status

from aetherflow.core.records.registry import forget
from aetherflow.core.records.trouble import trouble_of

if TYPE_CHECKING:
    from core_project import Project

BAD = "jobs: [{id: load, steps: [{id: orders, type: fail, inputs: {message: duplicate key}}]}]\n"
DAY = 86_400_000


def needs(project: "Project", *arguments: str) -> list[tuple[str, str]]:
    return [(each["status"], each["name"]) for each in status(project, *arguments)["needs_person"]]


def sql(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def registry(project: "Project", *statements: str) -> None:
    sql(project.states / "engine/registry.sqlite", *statements)


# Runs


def test_a_failure_is_shown_with_cause_owner_runbook_and_the_command(project: "Project") -> None:
    flow(project, "sales", BAD, ", owner: finance-ops, runbook_url: 'https://wiki/sales'")
    flow(project, "geo", OK)
    assert project.cli("run", "sales.yaml", "--run-id", "r", "--slot", "2026-11-24T01:30Z").code == 1
    assert project.cli("run", "geo.yaml").code == 0
    result = project.cli("status")
    lines = result.out.splitlines()
    assert result.code == 1
    assert lines[0].endswith(" 1 needs a person")
    assert lines[1].split()[:3] == ["FAILED", "sales", "slot"]
    assert "load.orders: duplicate key (AF5001)" in " ".join(result.out.split())
    assert "         owner finance-ops · runbook: https://wiki/sales" in lines
    assert "         next: aetherflow resume r" in lines
    assert lines[-1] == "ok       1 flow (--all)"
    (need,) = status(project)["needs_person"]
    known = {name: need[name] for name in need if name != "since"}
    assert known == {
        "status": "FAILED", "name": "sales", "cause": "load.orders: duplicate key", "reason_code": "error",
        "error_code": "AF5001", "flow_id": "sales", "slot": "2026-11-24T01:30:00Z", "run_id": "r", "holds_up": [],
        "owner": "finance-ops", "runbook_url": "https://wiki/sales", "commands": ["aetherflow resume r"],
        "acknowledged": None, "times": 1, "handle": "r", "hint": None,
    }  # fmt: skip
    shown = json.loads(project.cli("runs", "show", "r", "--json").out)
    assert (shown["owner"], shown["runbook_url"]) == ("finance-ops", "https://wiki/sales")
    assert shown["jobs"][0]["error_code"] == "AF5001"


@pytest.mark.parametrize(
    ("heal", "healed"),
    [
        (["--param", "country=de", "--slot", "2026-11-24T01:30Z"], True),
        (["--param", "country=fr", "--slot", "2026-11-24T01:30Z"], False),
        (["--param", "country=de", "--slot", "2026-11-25T01:30Z"], False),
        (["--param", "country=de"], False),
    ],
)
def test_a_slot_is_healed_by_a_success_of_the_same_slot_and_parameters(
    project: "Project", heal: list[str], healed: bool
) -> None:
    flow(project, "f", BAD, ", params: {country: {}}")
    assert project.cli("run", "f.yaml", "--param", "country=de", "--slot", "2026-11-24T01:30Z").code == 1
    assert needs(project) == [("FAILED", "f")]
    flow(project, "f", OK, ", params: {country: {}}")
    assert project.cli("run", "f.yaml", *heal).code == 0
    assert needs(project) == ([] if healed else [("FAILED", "f")])


def test_one_slot_of_two_countries_is_two_failures(project: "Project") -> None:
    flow(project, "f", BAD, ", params: {country: {}}")
    for country in ("de", "fr"):
        given = ["--param", f"country={country}", "--slot", "2026-11-24T01:30Z"]
        assert project.cli("run", "f.yaml", "--run-id", country, *given).code == 1
    assert {each["run_id"] for each in status(project)["needs_person"]} == {"de", "fr"}


def test_without_slots_the_same_parameters_heal(project: "Project") -> None:
    flow(project, "f", BAD, ", params: {day: {default: '1'}}")
    for day in ("1", "2"):
        assert project.cli("run", "f.yaml", "--param", f"day={day}").code == 1
    assert needs(project) == [("FAILED", "f")] * 2
    flow(project, "f", OK, ", params: {day: {default: '1'}}")
    assert project.cli("run", "f.yaml").code == 0
    assert [each["run_id"] for each in status(project)["needs_person"]] != []
    assert len(needs(project)) == 1
    assert project.cli("run", "f.yaml", "--param", "day=2").code == 0
    assert needs(project) == []


def test_a_run_of_some_of_its_jobs_heals_nothing(project: "Project") -> None:
    two = (
        "jobs: [{{id: a, steps: [{{id: s, type: {}}}]}}, {{id: b, steps: [{{id: s, type: check_items, inputs: {}}}]}}]"
    )
    flow(project, "f", two.format("fail, inputs: {message: no}", "{items: [1]}"))
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    assert project.cli("run", "f.yaml", "--run-id", "part", "--flow-job", "b").code == 0
    assert needs(project) == [("FAILED", "f")]


def test_an_older_success_heals_nothing(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml").code == 0
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml").code == 1
    assert needs(project) == [("FAILED", "f")]


def test_the_last_of_several_equal_failures_speaks_for_all(project: "Project") -> None:
    flow(project, "f", BAD)
    for run_id in ("one", "two", "three"):
        assert project.cli("run", "f.yaml", "--run-id", run_id).code == 1
    (need,) = status(project)["needs_person"]
    assert (need["run_id"], need["times"]) == ("three", 3)
    assert "3 times" in project.cli("status").out


def test_a_resume_heals(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    flow(project, "f", OK.replace("id: a", "id: load").replace("id: s", "id: orders"))
    assert project.cli("resume", "r").code == 0
    assert needs(project) == []


def test_many_slots_of_one_flow_do_not_bury_the_others(project: "Project") -> None:
    flow(project, "f", BAD)
    flow(project, "g", BAD)
    for day in range(1, 7):
        assert project.cli("run", "f.yaml", "--slot", f"2026-11-0{day}T01:00Z").code == 1
    assert project.cli("run", "g.yaml").code == 1
    text = project.cli("status").out
    assert (text.count("FAILED"), "3 more of it, older, need a person (--all)" in text) == (4, True)
    assert project.cli("status", "--all").out.count("FAILED") == 7
    assert len(needs(project, "--flow", "f*")) == 6
    assert project.cli("status", "--flow", "h*").code == 0


def test_the_newest_slots_of_a_flow_are_shown_first(project: "Project") -> None:
    flow(project, "f", BAD)
    for day in (4, 3, 2, 1):  # made up for backwards: the oldest slot ended last
        assert project.cli("run", "f.yaml", "--run-id", f"r{day}", "--slot", f"2026-11-0{day}T01:00Z").code == 1
    assert [each["run_id"] for each in status(project)["needs_person"]] == ["r4", "r3", "r2", "r1"]
    text = project.cli("status").out
    assert [f"aetherflow resume r{day}" in text for day in (4, 3, 2, 1)] == [True, True, True, False]
    assert "1 more of it, older, needs a person (--all)" in text


# What persons do


def test_what_is_acknowledged_is_in_hand_until_its_time(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    flow(project, "f", BAD, ", owner: finance-ops, runbook_url: 'https://wiki/f'")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    result = project.cli("runs", "ack", "r", "--until", "2h", "--reason", "ticket 4711")
    assert (result.code, result.out) == (0, "f  r  FAILED: in hand\n")
    document = status(project)
    assert (document["ok"], document["needs_person"]) == (True, [])
    (held,) = document["in_hand"]
    ack = held["acknowledged"]
    assert ack["reason"] == "ticket 4711"
    assert 7_100_000 < ack["until"] - ack["at"] <= 7_200_000
    monkeypatch.setenv("COLUMNS", "200")  # after 22:00 the end has a date, too
    shown = project.cli("status")
    assert shown.code == 0
    assert "nothing needs a person" in shown.out
    line = next(line for line in shown.out.splitlines() if line.startswith("in hand  f  FAILED "))
    assert line.endswith('"ticket 4711"')
    assert f"ack by {ack['by']} until " in line
    about = "load.orders: duplicate key (AF5001) · owner finance-ops · runbook: https://wiki/f"
    assert f"{line}\n         {about}\n" in shown.out
    assert "ack" in project.cli("runs", "show", "r").out
    sql(project.state, "UPDATE acts SET until=1000")
    assert needs(project) == [("FAILED", "f")]


def test_the_shown_end_of_an_ack_is_not_before_its_end(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    assert project.cli("runs", "ack", "r", "--until", "2h", "--reason", "x").code == 0
    minute = status(project)["in_hand"][0]["acknowledged"]["until"] // 60_000 * 60_000
    shown = []
    for seconds in (0, 1, 59):
        sql(project.state, f"UPDATE acts SET until={minute + seconds * 1000}")
        shown.append(project.cli("status").out.partition("until ")[2].partition(' "x"')[0])
    hour_minute = [text[-5:] for text in shown]
    later = time.strftime("%H:%M", time.localtime(minute / 1000 + 60))
    assert hour_minute == [time.strftime("%H:%M", time.localtime(minute / 1000)), later, later]


def test_a_run_that_fails_again_is_not_in_hand(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    assert project.cli("runs", "ack", "r", "--reason", "mine").code == 0
    assert needs(project) == []
    assert project.cli("resume", "r").code == 1
    assert needs(project) == [("FAILED", "f")]


def test_all_before_a_day_are_written_off(project: "Project") -> None:
    for flow_id in ("old", "new"):
        flow(project, flow_id, BAD)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", flow_id).code == 1
    sql(project.states / "old.sqlite", f"UPDATE runs SET started_at=started_at-{DAY}, finished_at=finished_at-{DAY}")
    registry(project, f"UPDATE runs SET started_at=started_at-{DAY}, ended_at=ended_at-{DAY} WHERE flow_id='old'")
    result = project.cli("runs", "ack", "--before", "12h", "--reason", "long ago")
    assert (result.code, result.out) == (0, "old  old  FAILED: in hand\n")
    document = status(project)
    assert [each["name"] for each in document["needs_person"]] == ["new"]
    assert document["in_hand"] == []
    assert (
        "nothing that needs a person ended before"
        in project.cli("runs", "ack", "--before", "12h", "--reason", "again").out
    )
    registry(project, "UPDATE runs SET settled=NULL")
    assert needs(project) == [("FAILED", "new")], "the state says it, too"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name one run, or give --before"),
        (["r", "--before", "1d", "--reason", "x"], "name one run, or give --before"),
        (["r"], "--reason is missing"),
        (["r", "--reason", " "], "--reason is missing"),
        (["r", "--reason", "x", "--until", "soon"], "--until 'soon' is neither a span nor a time"),
        (["r", "--reason", "x", "--until", "2020-01-01"], "is over already"),
        (["s", "--reason", "x"], "no run 's' is known"),
        (["good", "--reason", "x"], "is SUCCESS: there is nothing to acknowledge"),
        (["refused-9", "--reason", "x"], "no refused start 'refused-9' is open"),
        (["--before", "soon", "--reason", "x"], "--before 'soon' is neither a span nor a time"),
    ],
)
def test_an_ack_that_cannot_be_says_why(project: "Project", arguments: list[str], words: str) -> None:
    for flow_id, jobs, run_id in (("f", BAD, "r"), ("g", OK, "good")):
        flow(project, flow_id, jobs)
        project.cli("run", f"{flow_id}.yaml", "--run-id", run_id)
    result = project.cli("runs", "ack", *arguments)
    assert (result.code, words in result.err, "  fix: " in result.err) == (2, True, True), result


# Refused starts


def refused(project: "Project", *arguments: str) -> dict[str, Any]:
    result = project.cli("run", *arguments)
    assert result.code in (2, 3, 4), result
    (need,) = status(project)["needs_person"]
    assert need["status"] == "REFUSED"
    return dict(need)


def test_an_invalid_flow_is_a_refused_start(project: "Project") -> None:
    flow(project, "f", OK.replace("check_items", "chek_items"), ", owner: ops")
    need = refused(project, "f.yaml")
    assert (need["name"], need["flow_id"], need["owner"]) == ("f", "f", "ops")
    assert (need["reason_code"], need["error_code"], need["handle"]) == ("invalid", "AF2101", "refused-1")
    assert need["cause"].startswith("f.yaml:3:")
    text = project.cli("status").out
    assert "REFUSED" in text
    assert "owner ops · `runs ack` and `runs resolve` take it as refused-1" in text
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml").code == 0
    assert needs(project) == []


def test_a_file_that_cannot_be_read_is_named_by_its_path(project: "Project") -> None:
    project.write("version: [", "f.yaml")
    need = refused(project, "f.yaml")
    assert (need["name"], need["flow_id"], need["error_code"]) == ("f.yaml", None, "AF1004")
    flow(project, "other", OK)
    assert project.cli("run", "other.yaml").code == 0
    assert needs(project) == [("REFUSED", "f.yaml")]
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml").code == 0
    assert needs(project) == []


@pytest.mark.parametrize(("ran_before", "name"), [(True, "f"), (False, "f.yaml")])
def test_a_refused_start_is_found_by_the_name_that_is_shown(project: "Project", ran_before: bool, name: str) -> None:
    flow(project, "f", OK)
    if ran_before:
        assert project.cli("run", "f.yaml").code == 0
    project.write("version: [", "f.yaml")
    assert refused(project, "f.yaml")["name"] == name
    assert needs(project, "--flow", name) == [("REFUSED", name)]
    assert needs(project, "--flow", "other*") == []


def test_a_refused_start_is_healed_by_the_same_parameters_only(project: "Project") -> None:
    head = ", params: {day: {default: '1'}}"
    flow(project, "f", OK.replace("check_items", "chek_items"), head)
    assert project.cli("run", "f.yaml", "--param", "day=2").code == 2
    flow(project, "f", OK, head)
    assert project.cli("run", "f.yaml").code == 0
    assert needs(project) == [("REFUSED", "f")]
    assert project.cli("run", "f.yaml", "--param", "day=2").code == 0
    assert needs(project) == []


def test_a_missing_value_in_the_environment(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    flow(project, "f", OK, ", state: {path: '{{env.WHERE}}/f.sqlite'}")
    need = refused(project, "f.yaml", "--slot", "2026-11-24T01:00Z")
    assert "WHERE" in need["cause"]
    assert need["slot"] == "2026-11-24T01:00:00Z"
    monkeypatch.setenv("WHERE", str(project.folder))
    assert project.cli("run", "f.yaml", "--slot", "2026-11-24T01:00:00+00:00").code == 0
    assert needs(project) == []


def test_equal_refusals_are_one(project: "Project") -> None:
    project.write("version: [", "f.yaml")
    for _ in range(3):
        assert project.cli("run", "f.yaml").code == 2
    (need,) = status(project)["needs_person"]
    assert need["times"] == 3


def test_a_refused_resume_is_told_with_its_run(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    project.write("version: [", "f.yaml")
    assert project.cli("resume", "r").code == 2
    (need,) = status(project)["needs_person"]
    assert (need["status"], need["run_id"]) == ("FAILED", "r")
    assert "to go on was refused: " in need["cause"]
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "again").code == 0
    assert needs(project) == []


def test_a_refused_start_is_acknowledged_by_its_handle(project: "Project") -> None:
    project.write("version: [", "f.yaml")
    need = refused(project, "f.yaml")
    assert project.cli("runs", "ack", need["handle"], "--until", "1h", "--reason", "in repair").code == 0
    document = status(project)
    assert (document["needs_person"], document["in_hand"][0]["acknowledged"]["reason"]) == ([], "in repair")
    registry(project, "UPDATE acts SET until=1000")
    assert needs(project) == [("REFUSED", "f.yaml")]
    assert project.cli("runs", "ack", "--before", "0s", "--reason", "gone for good").code == 0
    assert (needs(project), status(project)["in_hand"]) == ([], [])


@pytest.mark.parametrize("answer", ["done", "abandoned"])
def test_a_refused_start_is_resolved_by_its_handle(project: "Project", answer: str) -> None:
    project.write("version: [", "f.yaml")
    handle = refused(project, "f.yaml")["handle"]
    result = project.cli("runs", "resolve", handle, "--as", answer, "--reason", "nobody wants it")
    assert result.code == 0
    assert result.out.startswith(f"{handle} is resolved as {answer}: the refused start of /")
    assert (needs(project), status(project)["in_hand"]) == ([], [])
    assert refused(project, "f.yaml")["handle"] != handle, "one that comes later is another one"
    unknown = project.cli("runs", "resolve", "refused-99", "--as", "done", "--reason", "x")
    assert (unknown.code, "no refused start 'refused-99'" in unknown.err) == (2, True)


def test_a_secret_in_the_arguments_is_not_written_down(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    flow(project, "f", OK.replace("check_items", "chek_items"), ", params: {db_password: {}}")
    arguments = ["run", "f.yaml", "--param", "db_password=hunter2hunter2"]
    monkeypatch.setattr("sys.argv", ["aetherflow", *arguments])
    assert project.cli(*arguments).code == 2
    found = b"".join(path.read_bytes() for path in project.states.rglob("*") if path.is_file())
    assert b"hunter2hunter2" not in found
    assert b"db_password=***" in found


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "f.yaml", "--expect-fingerprint", "x"], ["resume", "unknown"], ["wrap", "--", "true"]],
)
def test_a_mistake_before_a_flow_is_known_is_no_start(project: "Project", arguments: list[str]) -> None:
    project.states.mkdir()
    assert project.cli(*arguments).code == 2
    assert needs(project) == []


def test_looking_is_no_start(project: "Project") -> None:
    project.states.mkdir()
    project.write("version: [", "f.yaml")
    for command in ("validate", "plan", "explain"):
        assert project.cli(command, "f.yaml").code == 2
    assert needs(project) == []


def test_pruning_brings_nothing_back(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "bad").code == 1
    project.write("version: [", "f.yaml")
    assert project.cli("run", "f.yaml").code == 2
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "good").code == 0
    forget(project.states, [("f", "good", project.state)])  # as `runs prune` does
    assert needs(project) == []
    registry(project, "UPDATE runs SET settled=NULL")
    assert needs(project) == [("FAILED", "f")]


def test_a_killed_run_that_was_healed_stays_so_when_its_healer_is_pruned(project: "Project") -> None:
    killed = "UPDATE runs SET status='RUNNING', {}=NULL WHERE run_id IN ('one', 'two')"
    for run_id in ("one", "two"):
        flow(project, "f", BAD, ", params: {p: {default: " + run_id + "}}")
        assert project.cli("run", "f.yaml", "--run-id", run_id).code == 1
    registry(project, killed.format("ended_at"))
    sql(project.state, killed.format("finished_at"))
    flow(project, "f", OK, ", params: {p: {default: one}}")
    assert project.cli("run", "f.yaml", "--run-id", "good").code == 0
    forget(project.states, [("f", "good", project.state)])  # as `runs prune` does, before anybody has looked
    assert [need["run_id"] for need in status(project)["needs_person"]] == ["two"], "nothing has healed that one"
    assert status(project)["running"] == []


# Files


def test_vanished_files_are_one_line_and_can_be_forgotten(project: "Project") -> None:
    for flow_id in ("a", "b", "c", "d", "good"):
        flow(project, flow_id, BAD if flow_id == "b" else OK)
        assert project.cli("run", f"{flow_id}.yaml").code == (flow_id == "b")
    for flow_id in ("a", "b", "c", "d"):
        (project.states / f"{flow_id}.sqlite").unlink()
    result = project.cli("status")
    assert (result.code, result.err) == (1, "")
    files = ", ".join(str(project.states / f"{flow_id}.sqlite") for flow_id in "abc")
    told = f"4 state files are gone: {files} and 1 more; the last known run of b had not ended well"
    assert told in " ".join(result.out.split())
    assert "         next: aetherflow state forget --reason TEXT\n" in result.out
    (need,) = status(project)["needs_person"]
    assert (need["status"], need["name"], need["reason_code"]) == ("GONE", "a, b, c and 1 more", "gone_not_well")
    assert need["commands"] == ["aetherflow state forget --reason TEXT"]
    shown = project.cli("state", "forget", "--dry-run").out
    assert "4 state files would be forgotten" in shown
    assert project.cli("status").code == 1
    refused = project.cli("state", "forget")
    assert (refused.code, "the last known run of b had not ended well" in refused.err) == (2, True)
    assert project.cli("status").code == 1
    assert "forgot 4 state files and 4 runs" in project.cli("state", "forget", "--reason", "a new disk").out
    assert project.cli("status").out.splitlines()[1:] == ["ok       1 flow (--all)"]
    assert project.cli("state", "forget").out == "forgot 0 state files and 0 runs\n"


def test_a_run_that_was_forgotten_says_by_whom_and_why(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    project.state.unlink()
    assert "no run 'r' is known" not in project.cli("status").out
    assert project.cli("state", "forget", "--reason", "a new disk").code == 0
    err = " ".join(project.cli("runs", "show", "r").err.split())
    assert "one of flow f, FAILED, was forgotten with its state file by " in err
    assert ": a new disk" in err
    assert "forgotten" not in project.cli("runs", "show", "other").err


def test_a_broken_file_among_good_ones(project: "Project") -> None:
    for flow_id in ("good", "broken"):
        flow(project, flow_id, OK)
        assert project.cli("run", f"{flow_id}.yaml").code == 0
    (project.states / "broken.sqlite").write_text("no database " * 500)
    result = project.cli("status")
    assert (result.code, result.err) == (4, "")
    assert "UNREADABLE broken" in result.out
    assert f"next: aetherflow state restore {project.states / 'broken.sqlite'} --from FILE" in result.out
    assert result.out.splitlines()[-1].split() == ["ok", "1", "flow", "(--all)"]


def test_a_state_that_knows_more_than_the_registry_decides(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    registry(project, "UPDATE runs SET status='RUNNING', ended_at=NULL")
    assert needs(project) == [("FAILED", "f")], "as after a kill between the two"
    (project.states / "engine/registry.sqlite").unlink()
    assert needs(project) == [("FAILED", "f")]
    assert not (project.states / "engine/registry.sqlite").exists()


def test_flows_that_are_well_open_no_state_file(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        flow(project, f"f{number}", OK)
        assert project.cli("run", f"f{number}.yaml").code == 0
    flow(project, "bad", BAD)
    assert project.cli("run", "bad.yaml").code == 1
    opened: list[str] = []

    def counted(path: Path, runs: Any) -> Any:
        opened.append(path.name)
        return trouble_of(path, runs)

    monkeypatch.setattr("aetherflow.core.cli.needs.trouble_of", counted)
    assert project.cli("status").code == 1
    assert opened == ["bad.sqlite"]


# Text


@pytest.mark.parametrize("columns", ["40", "72", "200"])
def test_words_and_commands_stay_whole_on_every_terminal(
    project: "Project", monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    message = "the quick brown fox jumps over the lazy dog and away it goes " * 3
    flow(project, "a-flow-with-a-long-name", BAD.replace("duplicate key", message.strip()))
    assert project.cli("run", "a-flow-with-a-long-name.yaml", "--run-id", "r" * 60).code == 1
    monkeypatch.setenv("COLUMNS", columns)
    lines = project.cli("status").out.splitlines()
    assert f"         next: aetherflow resume {'r' * 60}" in lines
    assert all(len(line) <= max(int(columns), 40) for line in lines if "next: " not in line), lines
    assert set(message.split()) <= set(" ".join(lines).split())


def test_a_message_cannot_speak_to_the_terminal(project: "Project") -> None:
    flow(project, "f", BAD.replace("duplicate key", '"red \\e[31m alert"'))
    assert project.cli("run", "f.yaml").code == 1
    assert "\x1b" not in project.cli("status").out


def test_words_of_persons_cannot_speak_to_the_terminal_either(project: "Project") -> None:
    flow(project, "f", BAD, ', owner: "fin\\u001b[31mance\\nnext: rm"')
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    assert "\n         owner fin [31mance next: rm\n" in project.cli("status").out
    assert project.cli("runs", "ack", "r", "--reason", "a\x1b[31mb\nFAILED   other").code == 0
    out = project.cli("status").out
    assert '"a [31mb FAILED   other"' in out
    assert "\x1b" not in out


def test_a_flow_that_nobody_knows_is_named(project: "Project") -> None:
    project.states.mkdir()
    assert project.cli("status").out == f"no run under {project.states}\n"
    flow(project, "sales", BAD)
    assert project.cli("run", "sales.yaml").code == 1
    assert project.cli("status", "--flow", "slaes").out == f"no run of a flow 'slaes' under {project.states}\n"


def test_times_are_told_in_the_zone_of_the_machine(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--slot", "2026-01-01T23:30Z").code == 1
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        text = project.cli("status").out
    finally:
        monkeypatch.undo()
        time.tzset()
    assert " CET (" in text.splitlines()[0] or " CEST (" in text.splitlines()[0]
    assert "slot Fri 02 Jan 00:30" in text


# Beside other commands


def test_a_resolved_run_needs_nobody_until_it_goes_on(project: "Project") -> None:
    flow(project, "f", BAD)
    for run_id in ("one", "two"):
        assert project.cli("run", "f.yaml", "--run-id", run_id).code == 1
    assert project.cli("runs", "resolve", "two", "--as", "done", "--reason", "by hand").code == 0
    assert needs(project) == [], "an earlier failure of the same thing is settled with it"
    (project.states / "engine/registry.sqlite").unlink()
    assert needs(project) == []
    assert project.cli("resume", "two").code == 1
    assert needs(project) == [("FAILED", "f")]


def test_a_run_inside_a_run_is_told_by_that(project: "Project") -> None:
    flow(project, "child", BAD)
    flow(project, "f", "jobs: [{id: a, steps: [{id: s, type: run_flow, inputs: {flow: child.yaml}}]}]\n")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    assert needs(project) == [("FAILED", "f")]
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "again").code == 0
    assert needs(project) == [], "the child is healed with the run around it"


def test_owner_and_runbook_may_be_templates(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "ops")
    flow(project, "f", BAD, ", owner: '{{env.TEAM}}', runbook_url: 'https://wiki/{{run.id}}'")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    (need,) = status(project)["needs_person"]
    assert (need["owner"], need["runbook_url"]) == ("ops", "https://wiki/r")
    assert "owner" in project.cli("explain", "f.yaml").out


def test_the_keys_of_the_document_are_pinned(project: "Project") -> None:
    flow(project, "f", BAD)
    flow(project, "g", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    assert project.cli("run", "g.yaml").code == 0
    document = status(project)
    assert list(document) == [
        "schema", "ok", "state_root", "at", "needs_person", "in_hand", "running", "gone", "older", "before", "counts",
        "flows", "left_out", "not_sent",
    ]  # fmt: skip
    assert list(document["needs_person"][0]) == [
        "status", "name", "since", "cause", "reason_code", "error_code", "flow_id", "slot", "run_id", "holds_up",
        "owner", "runbook_url", "commands", "acknowledged", "times", "handle",
        "hint",
    ]  # fmt: skip
    assert list(document["flows"][0]) == [
        "flow_id", "status", "run_id", "started_at", "finished_at", "duration_ms", "reason", "reason_code", "flow_yaml",
        "state_path", "next", "parent", "last_success_at", "last_success_ms",
    ]  # fmt: skip
    assert (document["counts"], document["left_out"]) == ({"failed": 1, "ok": 1}, 0)


def test_a_row_of_an_older_registry_is_brought_up_to_date_by_the_next_run(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    registry(project, "UPDATE runs SET status=NULL")
    assert needs(project) == [("FAILED", "f")], "the state file is asked"
    assert project.cli("run", "f.yaml", "--run-id", "s").code == 1
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db:
        rows = db.execute("SELECT run_id, status FROM runs ORDER BY 1").fetchall()
    assert rows == [("r", "FAILED"), ("s", "FAILED")], "and need not be asked after the next run"
