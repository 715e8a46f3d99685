"""`status` and `runs`: what an operator sees of the past, also of runs whose process is gone."""

import contextlib
import json
import shlex
import signal
import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from core_history import OK, by_flow, flow, runs, status

if TYPE_CHECKING:
    from core_project import Project
BAD = "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: ['false']}}]}]\n"
SLEEPS = """\
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs: {shell: true, command: 'echo $$ > $EFFECTS.pid; echo waiting; exec sleep 60'}
"""


@pytest.fixture
def sleeping(project: "Project", wait_for: Callable[..., None], reap: list[int]) -> Iterator[Any]:
    """A run `r` of flow `slow` that is under way."""
    flow(project, "slow", SLEEPS)
    process = project.start("run", "slow.yaml", "--run-id", "r")
    pid = project.effects.with_name("effects.pid")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    reap += [process.pid, int(pid.read_text())]
    yield process
    process.kill()
    process.communicate()


def test_one_line_per_flow(project: "Project") -> None:
    for flow_id, jobs in (("good", OK), ("bad", BAD)):
        flow(project, flow_id, jobs)
        project.cli("run", f"{flow_id}.yaml", "--run-id", f"{flow_id}-1")
    result = project.cli("status", "--all")
    assert result.code == 1, "somebody has to look at the failed one"
    lines = result.out.partition("\n\n")[2].splitlines()
    assert lines[0].split() == ["status", "flow", "run", "started", "lasted", "note"]
    assert lines[1].split()[:3] == ["failed", "bad", "bad-1"]
    assert lines[1].endswith("next: aetherflow resume bad-1")
    assert lines[2].split()[:3] == ["ok", "good", "good-1"]
    flow(project, "bad", OK)
    assert project.cli("resume", "bad-1").code == 0
    assert project.cli("status").code == 0


def test_a_run_under_way_and_after_kill_9(project: "Project", sleeping: Any, wait_for: Callable[..., None]) -> None:
    document = status(project)
    assert by_flow(document) == {"slow": "running"}
    assert document["flows"][0]["reason"].startswith(f"pid {sleeping.pid} on ")
    assert runs(project)[0]["status"] == "RUNNING"
    assert runs(project, "--status", "interrupted") == []
    sleeping.send_signal(signal.SIGKILL)
    sleeping.wait()
    assert by_flow(status(project)) == {"slow": "interrupted"}
    assert status(project)["flows"][0]["next"] == "aetherflow resume r"
    (found,) = runs(project, "--status", "interrupted")
    assert (found["status"], found["reason"], found["finished_at"]) == ("INTERRUPTED", "its process is gone", None)
    assert runs(project, "--status", "running") == []
    shown = project.cli("runs", "show", "r").out
    assert "run r of flow slow: INTERRUPTED (its process is gone)" in shown
    assert "RUNNING" not in shown
    with contextlib.closing(sqlite3.connect(project.states / "slow.sqlite")) as db:
        assert db.execute("SELECT status FROM runs").fetchall() == [("RUNNING",)], "looking changes nothing"
    flow(project, "slow", OK)
    wait_for(lambda: project.cli("resume", "r", "--accept-changes").code == 0)
    assert by_flow(status(project)) == {"slow": "ok"}


def test_looking_does_not_keep_a_run_from_starting(project: "Project") -> None:
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    with contextlib.closing(sqlite3.connect(project.state)) as db:
        db.execute("UPDATE runs SET status='RUNNING'")
        db.commit()
    flow(project, "f", OK)
    import threading

    stop = threading.Event()

    def look() -> None:
        from aetherflow.core.records.history import latest_run

        while not stop.is_set():
            latest_run(project.state, "f")

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(5):
            assert project.command("run", "f.yaml", "--run-id", "r").code == 0
            with contextlib.closing(sqlite3.connect(project.state)) as db:
                db.execute("UPDATE runs SET status='FAILED'")
                db.commit()
    finally:
        stop.set()
        watcher.join()


def test_a_question_is_asked_with_the_words_to_answer_it(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "asks", SLEEPS.replace("id: s\n", "id: s\n        effect: once\n"))
    process = project.start("run", "asks.yaml", "--run-id", "r")
    pid = project.effects.with_name("effects.pid")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    reap.append(int(pid.read_text()))
    process.kill()
    process.communicate()
    for _ in range(2):  # killed, and after a start that asked
        document = status(project)
        assert by_flow(document) == {"asks": "unknown"}
        assert document["flows"][0]["next"] == "aetherflow runs show r"
        assert "resume r --decide a.s=again" in project.cli("runs", "show", "r").out
        assert project.cli("run", "asks.yaml", "--run-id", "r").code == 1
    for bad in ("a.s", "a.s=perhaps", "=done"):
        assert project.cli("resume", "r", "--decide", bad).code == 2
    result = project.cli("resume", "r", "--decide", "a.s=done", "--reason", "the peer has it")
    assert result.code == 0, result
    assert by_flow(status(project)) == {"asks": "ok"}
    shown = json.loads(project.cli("runs", "show", "r", "--json").out)
    (decision,) = [each for each in shown["interventions"] if each["event"] == "decided"]
    assert decision["detail"]["reason"] == "the peer has it"
    assert decision["detail"]["actor"]
    assert "the peer has it" in project.cli("runs", "show", "r").out


def test_since(project: "Project") -> None:
    for flow_id in ("old", "new"):
        flow(project, flow_id, BAD)
        project.cli("run", f"{flow_id}.yaml", "--run-id", flow_id)
    with contextlib.closing(sqlite3.connect(project.states / "old.sqlite")) as db:
        db.execute("UPDATE runs SET started_at = started_at - 90000000")
        db.commit()
    document = status(project, "--since", "24h")
    assert (by_flow(document), document["left_out"]) == ({"new": "failed"}, 1)
    assert project.cli("status", "--since", "24h").out.endswith("1 more did not run since 24h\n")
    assert [run["run_id"] for run in runs(project)] == ["new", "old"]
    assert [run["run_id"] for run in runs(project, "--since", "1d")] == ["new"]
    assert [run["run_id"] for run in runs(project, "--since", "2000-01-01T00:00+01:00")] == ["new", "old"]
    for bad in ("yesterday", "24", "-1h"):
        result = project.cli("status", f"--since={bad}")
        assert (result.code, "neither a span nor a time" in result.err or bad == "24") == (2, True)


def test_show_says_all_about_a_run(project: "Project") -> None:
    flow(
        project,
        "f",
        """\
jobs:
  - id: a
    steps:
      - {id: one, type: external.process, inputs: {command: [echo, hi]}}
      - {id: two, type: external.process, inputs: {shell: true, command: 'test -e go'}, outputs: {x: '1'}}
  - {id: b, depends_on: [a], steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
  - {id: c, when: "params.name == 'x'", steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
""",
        ", params: {name: {default: world}}",
    )
    assert project.cli("run", "f.yaml", "--run-id", "r", "--slot", "2026-11-24T03:00:00Z").code == 1
    flow(project, "g", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    text = project.cli("runs", "show", "r").out
    for words in ("run r of flow f: FAILED", "attempt  2", "params   name=world", "slot 2026-11-24T03:00:00Z",
                  "trigger cli", "blocked by a", "next: aetherflow resume r"):  # fmt: skip
        assert words in text, words
    assert "journal" not in text
    document = json.loads(project.cli("runs", "show", "r", "--json", "--journal").out)
    assert document["schema"] == 1
    assert document["params"] == {"name": "world"}
    assert {job["job_id"]: job["status"] for job in document["jobs"]} == {"a": "FAILED", "b": "BLOCKED", "c": "SKIPPED"}
    steps = [(step["step_id"], step["attempt"], step["status"]) for step in document["jobs"][0]["steps"]]
    assert steps == [("one", 1, "SUCCESS"), ("two", 1, "FAILED"), ("two", 2, "FAILED")]
    events = [entry["event"] for entry in document["journal"]]
    assert events.count("run_start") == 2
    assert events[-1] == "run_end"
    assert [entry["seq"] for entry in document["journal"]] == sorted(entry["seq"] for entry in document["journal"])


def test_equal_run_ids_in_two_flows_of_one_state_file(project: "Project") -> None:
    for flow_id in ("f", "g"):
        flow(project, flow_id, BAD, ", state: {path: shared.sqlite}")
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "r").code == 1
    for command in (["runs", "show"], ["runs", "logs"], ["resume"]):
        result = project.cli(*command, "r")
        assert result.code == 2
        assert "2 flows have a run 'r'" in result.err
        assert f"fix: aetherflow {' '.join(command)} r --flow f" in result.err
    assert "flow g: FAILED" in project.cli("runs", "show", "r", "--flow", "g").out
    assert "next: aetherflow resume r --flow g" in project.cli("status").out
    assert [run["flow_id"] for run in runs(project, "--flow", "g")] == ["g"]
    result = project.cli("runs", "show", "r", "--flow", "h")
    assert (result.code, "no run 'r' of flow h" in result.err) == (2, True)
    result = project.cli("runs", "list", "--flow", "hh")
    assert (result.code, "fix: flows: f, g" in result.err) == (2, True)


def test_equal_run_ids_of_one_flow_in_two_states(project: "Project") -> None:
    for name in ("one", "two"):
        project.write(
            f"version: 1\nflow: {{id: f, state: {{path: {project.states}/{name}.sqlite}}}}\n{BAD}", f"{name}.yaml"
        )
        assert project.cli("run", f"{name}.yaml", "--run-id", "r").code == 1
    one, two = (f"{project.states}/{name}.sqlite" for name in ("one", "two"))
    reason = ["--reason", "by hand"]
    for command in (["runs", "show"], ["runs", "logs"], ["runs", "diff"], ["resume"], ["runs", "ack", *reason],
                    ["runs", "resolve", "--as", "done", *reason]):  # fmt: skip
        words = [*command[:2], "r", *command[2:]] if command[0] == "runs" else [*command, "r"]
        result = project.cli(*words)
        assert (result.code, "2 states have a run 'r'" in result.err) == (2, True), result.err
        typed = shlex.split(result.err.rpartition("fix: aetherflow ")[2])
        assert typed[typed.index("--state-path") + 1] == one
        if command[-1] not in ("diff", "ack", "resume", *reason):
            assert project.cli(*typed).code == 0
    assert f"state  {two}\n" in project.cli("runs", "show", "r", "--state-path", two).out
    assert project.cli("runs", "resolve", "r", "--state-path", one, "--as", "done", *reason).code == 0
    shown = project.cli("status")
    assert (shown.code, f"aetherflow resume r --state-path {two}" in shown.out) == (1, True), shown.out
    assert f"resume r --state-path {one}" not in shown.out
    assert project.cli("runs", "ack", "--before", "2100-01-01", *reason).code == 0
    assert project.cli("status").code == 0
    result = project.cli("runs", "show", "r", "--state-path", "none.sqlite")
    assert (result.code, "no run 'r' in none.sqlite" in result.err) == (2, True)


def test_logs(project: "Project") -> None:
    jobs = OK.replace("check_items, inputs: {items: [1]}", "external.process, inputs: {command: [echo, 'a b']}")
    flow(project, "f", jobs)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    text = project.cli("runs", "logs", "r").out
    assert "  run_start flow_id=f run_id=r " in text
    events = json.loads(project.cli("runs", "logs", "r", "--json").out)["events"]
    assert [events[0]["event"], events[-1]["event"]] == ["run_start", "run_summary"]
    lines = project.cli("runs", "logs", "r", "--step", "a.s").out.splitlines()
    assert lines[0].startswith("==> ")
    assert lines[0].endswith("/logs/f/r/a/s.1.log")
    assert lines[1] == "a b"
    assert json.loads(project.cli("runs", "logs", "r", "--step", "a.s", "--json").out)["logs"][0]["text"] == "a b\n"
    result = project.cli("runs", "logs", "r", "--step", "a.t")
    assert (result.code, "did you mean 'a.s'?" in result.err) == (2, True)
    log = next(project.states.rglob("r.jsonl"))
    with log.open("a") as file:
        file.write('{"ts_ms": 17')  # the process was killed while it wrote
    assert project.cli("runs", "logs", "r").out.endswith('{"ts_ms": 17\n')
    log.unlink()
    assert project.cli("runs", "logs", "r").code == 2


def test_the_log_of_one_item_is_found_by_the_name_that_is_shown(project: "Project") -> None:
    items = "for_each: {items: [FR, DE], key: '{{item}}'}"
    step = f"{{id: s, type: external.process, {items}, inputs: {{command: [echo, 'of {{{{item}}}}']}}}}"
    flow(project, "f", f"jobs: [{{id: a, steps: [{step}]}}]\n")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    assert "s[FR]" in project.cli("runs", "show", "r").out
    found = json.loads(project.cli("runs", "logs", "r", "--step", "a.s[FR]", "--json").out)
    assert [each["text"] for each in found["logs"]] == ["of FR\n"]
    assert len(json.loads(project.cli("runs", "logs", "r", "--step", "a.s", "--json").out)["logs"]) == 2
    missing = project.cli("runs", "logs", "r", "--step", "a.s[FX]")
    assert missing.code == 2
    assert "a.s[FR]" in missing.err
