"""`status` beside living, killed and waiting processes, on a terminal, and with hooks of other distributions."""

import json
import os
import pty
import re
import shlex
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_history import OK, flow

import warm
from aetherflow.core.records.registry import forget
from core_project import Result

if TYPE_CHECKING:
    from core_project import Project

SLEEPS = """\
jobs:
  - id: main
    steps:
      - id: pay
        type: external.process
        inputs: {shell: true, command: 'echo $$ > $EFFECTS.pid; exec sleep 60'}
"""
HOOK = """
from aetherflow.core.api import Acknowledged, NeedsPerson, hookimpl

@hookimpl
def aetherflow_needs_person(state_root):
    assert (state_root / "engine/registry.sqlite").exists()
    yield NeedsPerson("MISSED", "hr", 1_000_000, "host down", slot="2026-11-24T00:15:00Z", commands=("run hr",))
    yield NeedsPerson("FAILED", "item", 2_000_000, run_id="r", flow_id="f", holds_up=("report (due 06:00)",), owner="x")
    yield NeedsPerson("LATE", "slow", 3_000_000, acknowledged=Acknowledged("ada", 1, "known", 99_999_999_999_999))
"""


def begin(project: "Project", wait_for: Callable[..., None], reap: list[int], *arguments: str) -> Any:
    """A run that has begun its step, which leads its own process."""
    process = project.start("run", *arguments)
    pid = project.effects.with_name("effects.pid")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    reap += [process.pid, int(pid.read_text())]
    pid.unlink()
    return process


def typed(project: "Project", command: str, **options: Any) -> Result:
    """Type a command line that was printed into a shell, where `aetherflow` is this one."""
    words = f'aetherflow() {{ {shlex.join(project.argv())} "$@"; }}; {command}'
    given: dict[str, Any] = {"cwd": project.folder, "env": project.env} | options
    done = subprocess.run(["bash", "-c", words], **given, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def document(project: "Project") -> dict[str, Any]:
    result = project.command("status", "--json")
    found: dict[str, Any] = json.loads(result.out)
    unreadable = any(need["status"] == "UNREADABLE" for need in found["needs_person"])
    assert result.code == (4 if unreadable else 0 if found["ok"] else 1)
    return found


def test_what_was_killed_while_it_sent_asks_at_once(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "slow", SLEEPS.replace("type: external.process", "type: external.process\n        effect: once"))
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (need,) = document(project)["needs_person"]
    assert (need["status"], need["run_id"]) == ("UNKNOWN", "r")
    what = "main.pay was interrupted; whether it had its effect is not known"
    log = project.states / "slow.sqlite.d/logs/slow/r.jsonl"
    assert need["cause"] == f"{what}; no output of it is recorded; the run's log: {log}"
    commands = ["aetherflow resume r --decide main.pay=done", "aetherflow resume r --decide main.pay=again"]
    assert need["commands"] == commands
    text = project.command("status").out
    assert f"         look; if it was done: {commands[0]}\n         if it was not: {commands[1]}" in text
    all_of_it = project.command("runs", "show", "r").out
    assert re.search(r"pay +INTERRUPTED +idempotency key [0-9a-f]{32}\n", all_of_it)
    shown = all_of_it.splitlines()[-2:]
    assert shown == [f"next, if it was done: {commands[0]}", f"next, if it was not:  {commands[1]}"]
    assert typed(project, commands[0]).code == 0
    assert document(project)["needs_person"] == []


def test_where_it_printed_something_is_said(project: "Project", wait_for: Callable[..., None], reap: list[int]) -> None:
    asking = SLEEPS.replace("type: external.process", "type: external.process\n        effect: once")
    flow(project, "slow", asking.replace("echo $$ > $EFFECTS.pid", "echo sent 4711; echo $$ > $EFFECTS.pid"))
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    wait_for(lambda: any("sent 4711" in log.read_text() for log in project.states.rglob("pay.1.log")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (need,) = document(project)["needs_person"]
    (log,) = project.states.rglob("pay.1.log")
    what = "main.pay was interrupted; whether it had its effect is not known"
    assert need["cause"] == f"{what}; what it printed: {log}"
    assert str(log) in project.command("status").out


def killed(project: "Project", wait_for: Callable[..., None], reap: list[int], *arguments: str) -> None:
    process = begin(project, wait_for, reap, *arguments)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_question_is_asked_of_each_run_until_it_is_answered(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    once = SLEEPS.replace("type: external.process", "type: external.process\n        effect: once")
    flow(project, "pay", once)
    stopped = begin(project, wait_for, reap, "pay.yaml", "--run-id", "stopped")
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate()
    killed(project, wait_for, reap, "pay.yaml", "--run-id", "killed")
    killed(project, wait_for, reap, "pay.yaml", "--run-id", "asked")
    assert project.command("resume", "asked").code == 1
    flow(project, "pay", OK)
    assert project.command("run", "pay.yaml", "--run-id", "good").code == 0

    def asking() -> set[tuple[str, str, int]]:
        return {(need["run_id"], need["status"], need["times"]) for need in document(project)["needs_person"]}

    assert asking() == {(run_id, "UNKNOWN", 1) for run_id in ("stopped", "killed", "asked")}
    forget(project.states, [("pay", "good", project.states / "pay.sqlite")])
    flow(project, "pay", once)
    assert project.command("resume", "asked", "--decide", "main.pay=done").code == 0
    assert asking() == {("stopped", "UNKNOWN", 1), ("killed", "UNKNOWN", 1)}
    for run_id in ("stopped", "killed"):
        given = ["runs", "resolve", run_id, "--as", "abandoned", "--reason", "the bank has it not"]
        assert project.command(*given).code == 0
    assert asking() == set()


def test_a_question_says_about_which_item(project: "Project", wait_for: Callable[..., None], reap: list[int]) -> None:
    each = "for_each: [1, 2, 3]\n        effect: once"
    command = "test {{item}} = 1 && exit; echo $$ > $EFFECTS.pid; exec sleep 60"
    each_of = SLEEPS.replace("type: external.process", f"type: external.process\n        {each}")
    flow(project, "pay", each_of.replace("echo $$ > $EFFECTS.pid; exec sleep 60", command))
    killed(project, wait_for, reap, "pay.yaml", "--run-id", "r")
    (need,) = document(project)["needs_person"]
    assert need["cause"].startswith(
        "main.pay (item 2) was interrupted; whether it had its effect is not known; no output"
    )


def test_a_child_that_asks_comes_before_its_parent_which_waits(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "child", SLEEPS.replace("type: external.process", "type: external.process\n        effect: once"))
    flow(project, "outer", "jobs: [{id: a, steps: [{id: s, type: run_flow, inputs: {flow: child.yaml}}]}]\n")
    killed(project, wait_for, reap, "outer.yaml", "--run-id", "o")
    project.command("resume", "o")
    child, parent = document(project)["needs_person"]
    assert (child["name"], child["status"], child["holds_up"]) == ("child", "UNKNOWN", ["outer/o"])
    assert (parent["name"], parent["commands"]) == ("outer", [])
    assert {each["flow_id"]: each["next"] for each in document(project)["flows"]}["outer"] is None
    assert typed(project, child["commands"][0]).code == 0
    (parent,) = document(project)["needs_person"]
    assert parent["commands"] == ["aetherflow resume o"]


def test_a_run_under_way_is_shown_and_a_killed_one_needs_a_person(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "slow", SLEEPS)
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    text = project.command("status")
    assert text.code == 0
    (line,) = (line for line in text.out.splitlines() if line.startswith("running"))
    assert f"pid {process.pid} on " in line
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (need,) = document(project)["needs_person"]
    assert (need["status"], need["reason_code"]) == ("INTERRUPTED", "gone")
    assert need["cause"] == "its process is gone, in main.pay"
    assert need["commands"] == ["aetherflow resume r"]


def test_a_stopped_run_says_by_what(project: "Project", wait_for: Callable[..., None], reap: list[int]) -> None:
    flow(project, "slow", SLEEPS)
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    (need,) = document(project)["needs_person"]
    assert (need["status"], need["cause"]) == ("INTERRUPTED", "main.pay: stopped by signal 15")


def test_an_open_question_says_look_then_decide(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "payments", SLEEPS.replace("id: pay\n", "id: pay\n        effect: once\n"))
    process = begin(project, wait_for, reap, "payments.yaml", "--run-id", "r")
    process.kill()
    process.communicate()
    assert project.command("resume", "r").code == 1
    lines = project.command("status").out.splitlines()
    assert lines[1].startswith("UNKNOWN  payments ")
    assert "main.pay was interrupted; whether it had its effect is not known" in " ".join(" ".join(lines).split())
    assert "         look; if it was done: aetherflow resume r --decide main.pay=done" in lines
    assert project.command("resume", "r", "--decide", "main.pay=done", "--reason", "the bank has it").code == 0
    assert document(project)["needs_person"] == []


def test_a_run_that_waits_for_a_lock_says_for_which(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    locked = """\
jobs:
  - id: main
    steps:
      - id: pay
        type: with_lock
        inputs:
          lock_key: warehouse
          wait_seconds: 60
          step: {type: external.process, inputs: {shell: true, command: 'echo $$ > $EFFECTS.pid; exec sleep 60'}}
"""
    flow(project, "one", locked)
    flow(project, "two", locked)
    holding = begin(project, wait_for, reap, "one.yaml", "--run-id", "holds")
    waiting = project.start("run", "two.yaml", "--run-id", "waits")
    reap.append(waiting.pid)
    wait_for(lambda: "waits for lock warehouse" in project.command("status").out)
    found = {run["run_id"]: run["waits_for"] for run in document(project)["running"]}
    assert found == {"holds": None, "waits": "warehouse"}
    for process in (waiting, holding):
        process.terminate()
        process.communicate()


def test_a_start_beside_a_living_run_is_refused_until_that_has_ended(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "slow", SLEEPS, ", locks: {scope: flow}")
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    assert project.command("run", "slow.yaml", "--run-id", "s").code == 3
    (need,) = document(project)["needs_person"]
    assert (need["status"], need["reason_code"], need["run_id"]) == ("REFUSED", "busy", "s")
    assert project.command("run", "slow.yaml", "--run-id", "r").code == 3
    assert len(document(project)["needs_person"]) == 1, "a run that goes on needs nobody"
    process.kill()
    process.communicate()
    flow(project, "slow", OK.replace("id: a", "id: main").replace("id: s", "id: pay"), ", locks: {scope: flow}")
    wait_for(lambda: project.command("resume", "r", "--accept-changes").code == 0)
    assert document(project)["needs_person"] == []


def test_on_a_terminal_a_typing_error_is_no_refused_start(project: "Project") -> None:
    flow(project, "f", OK)
    project.write("version: [", "broken.yaml")
    for arguments in (["run", "no-such.yaml"], ["run", "f.yaml", "--param", "colour=red"], ["run", "broken.yaml"]):
        master, terminal = pty.openpty()
        done = warm.run(
            project.argv(*arguments), cwd=project.folder, env=project.env, stderr=terminal, check=False, timeout=60
        )
        os.close(terminal)
        os.close(master)
        assert done.returncode == 2
    found = document(project)["needs_person"]
    assert [need["name"] for need in found] == ["broken.yaml"], "that flow is broken for all, and only one saw it"
    assert project.command("run", "no-such.yaml").code == 2
    assert {need["name"] for need in document(project)["needs_person"]} == {"broken.yaml", "no-such.yaml"}


def test_the_command_of_a_refused_start_works_from_anywhere(project: "Project") -> None:
    flow(project, "f", OK.replace("check_items", "chek_items"))
    assert project.command("run", "f.yaml", "--param", "a=b c").code == 2
    elsewhere = project.folder / "else where"
    elsewhere.mkdir()
    done = warm.run(
        project.argv("status", "--json"), cwd=elsewhere, env=project.env, capture_output=True, text=True, check=False
    )
    (command,) = json.loads(done.stdout)["needs_person"][0]["commands"]
    assert command == f"cd {project.folder} && aetherflow run f.yaml --param 'a=b c'"


def test_commands_work_where_status_was_typed(project: "Project") -> None:
    flows, elsewhere = project.folder / "flows", project.folder / "else where"
    flows.mkdir()
    elsewhere.mkdir()
    config = project.write("version: 1\nroots: {work: work, state: ../data}\n", "flows/aetherflow.yaml")
    for flow_id, item in (("f", "'{{env.NOT_THERE}}'"), ("g", "1")):
        flow(project, flow_id, OK.replace("[1]", f"[{item}]")).rename(flows / f"{flow_id}.yaml")
    env = {name: value for name, value in project.env.items() if not name.startswith("AETHERFLOW_")}
    here: dict[str, Any] = {"cwd": elsewhere, "env": {**env, "HOME": str(elsewhere)}}
    there = {**here, "cwd": flows}
    assert typed(project, "aetherflow run f.yaml --run-id r", **there).code == 1
    assert typed(project, "aetherflow run g.yaml", **there).code == 0
    (project.folder / "data" / "g.sqlite").unlink()
    line = f"aetherflow status --config {config}"
    found = json.loads(typed(project, f"{line} --json", **here).out)["needs_person"]
    commands = {need["status"]: need["commands"] for need in found}
    assert commands == {
        "FAILED": [f"aetherflow resume r --config {config}"],
        "GONE": [f"aetherflow state forget --config {config}"],
    }
    went_on = typed(project, commands["FAILED"][0], cwd=elsewhere, env={**here["env"], "NOT_THERE": "1"})
    assert went_on.code == 0, went_on
    assert "forgot 1 state file " in typed(project, commands["GONE"][0], **here).out
    assert typed(project, line, **here).code == 0
    (project.folder / "data" / "f.sqlite").write_text("no database")
    (need,) = json.loads(typed(project, f"{line} --json", **here).out)["needs_person"]
    assert (need["status"], need["commands"]) == (
        "UNREADABLE",
        [f"aetherflow state restore {project.folder}/data/f.sqlite --from FILE --config {config}"],
    )
    assert f" {project.folder}/data/f.sqlite " in need["cause"].replace(":", " ").replace(",", " ")
    alone = typed(project, "aetherflow status", **here)
    assert (alone.code, alone.out.startswith(f"no run under {elsewhere}/")) == (0, True)
    assert f"no aetherflow.yaml stands in {elsewhere} or above it" in alone.out
    assert alone.out.endswith("or name its file: aetherflow status --config FILE\n")


def test_what_a_refused_resume_says_is_the_next_command(project: "Project") -> None:
    two = "jobs: [{{id: main, steps: [{{id: a, type: check_items, inputs: {{items: [{}]}}}}, {{id: b, type: {}}}]}}]\n"
    flow(project, "f", two.format(1, "fail, inputs: {message: no}"))
    assert project.command("run", "f.yaml", "--run-id", "e1").code == 1
    flow(project, "f", two.format(2, "check_items, inputs: {items: [1]}"))
    (need,) = document(project)["needs_person"]
    assert typed(project, need["commands"][0]).code == 2
    (need,) = document(project)["needs_person"]
    commands = ["aetherflow resume e1 --accept-changes", "aetherflow resume e1 --from-step main.a"]
    assert (need["error_code"], need["commands"]) == ("AF3003", commands)
    assert f"         next: {commands[0]}\n         or: {commands[1]}\n" in project.command("status").out
    assert typed(project, commands[0]).code == 0
    assert document(project)["needs_person"] == []


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ([], "give day: aetherflow run f.yaml --param day=VALUE"),
        (["--param", "colour=red"], "correct it: aetherflow run f.yaml --param colour=red"),
        (["--param", "api_token=hunter22"], "give api_token: aetherflow run f.yaml --param api_token=VALUE"),
    ],
)
def test_a_command_that_cannot_work_as_it_stands_is_no_next_command(
    project: "Project", given: list[str], hint: str
) -> None:
    declared = "api_token: {type: string}" if "api_token" in hint else "day: {}"
    flow(
        project,
        "f",
        OK if "token" not in hint else OK.replace("check_items", "chek_items"),
        f", params: {{{declared}}}",
    )
    assert project.command("run", "f.yaml", *given).code == 2
    dismiss = "aetherflow runs resolve refused-1 --as abandoned --reason TEXT"
    (need,) = document(project)["needs_person"]
    assert (need["hint"].replace("correct it and give", "give"), need["commands"]) == (hint, [dismiss])
    text = project.command("status").out
    assert f"         next: {need['hint']}\n         or dismiss it: {dismiss}\n" in text
    assert "hunter22" not in text + json.dumps(need)
    assert typed(project, dismiss).code == 0
    assert document(project)["needs_person"] == []


def test_a_mistake_on_the_command_line_is_corrected_or_dismissed(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.command("run", "f.yaml", "--flow-job", "none").code == 2
    (need,) = document(project)["needs_person"]
    assert need["hint"] == "correct it: aetherflow run f.yaml --flow-job none", "the same again is refused again"
    assert need["commands"] == ["aetherflow runs resolve refused-1 --as abandoned --reason TEXT"]
    assert typed(project, need["commands"][0]).code == 0


def test_without_its_flow_file_nothing_can_go_on(project: "Project") -> None:
    flow(project, "f", OK.replace("items: [1]", "items: ['{{env.NOT_THERE}}']"))
    assert project.command("run", "f.yaml", "--run-id", "r").code == 1
    assert project.command("run", "other.yaml").code == 2
    (project.folder / "f.yaml").rename(project.folder / "g.yaml")
    found = {need["name"]: (need["hint"], need["commands"]) for need in document(project)["needs_person"]}
    dismiss = "aetherflow runs resolve {} --as abandoned --reason TEXT"
    here = f"bring {project.folder}/"
    assert found == {
        "f": (f"{here}f.yaml back: aetherflow resume r", [dismiss.format("r")]),
        "other.yaml": (f"{here}other.yaml back: aetherflow run other.yaml", [dismiss.format("refused-1")]),
    }
    for _, (command,) in found.values():
        assert typed(project, command).code == 0
    assert document(project)["needs_person"] == []


def test_hooks_add_what_they_know(project: "Project") -> None:
    project.module("acme_status", HOOK)
    project.plugin("acme", "[aetherflow.hooks.status]\nx = acme_status\n")
    flow(project, "f", OK.replace("items: [1]", "items: ['{{env.NOT_THERE}}']"))
    assert project.command("run", "f.yaml", "--run-id", "r").code == 1
    found = document(project)
    assert [(need["status"], need["name"], need["holds_up"], need["owner"]) for need in found["needs_person"]] == [
        ("FAILED", "f", ["report (due 06:00)"], "x"),
        ("MISSED", "hr", [], None),
    ]
    assert [need["name"] for need in found["in_hand"]] == ["slow"]
    text = project.command("status").out
    assert "         holds up report (due 06:00) · owner x" in text
    assert "MISSED   hr    slot Tue 24 Nov 00:15" in text
    assert json.loads(project.command("status", "--json", "--flow", "h*").out)["needs_person"][0]["name"] == "hr"


def test_a_hook_that_fails_is_shown_and_hides_nothing(project: "Project") -> None:
    project.module(
        "acme_status", HOOK.replace("    assert (state_root", "    raise OSError('no ledger')\n    assert (state_root")
    )
    project.plugin("acme", "[aetherflow.hooks]\nx = acme_status\n")
    flow(project, "f", OK)
    assert project.command("run", "f.yaml").code == 0
    (need,) = document(project)["needs_person"]
    assert (need["status"], need["name"], need["error_code"]) == ("UNREADABLE", "acme:x", "AF2111")
    assert "no ledger" in need["cause"]


def test_a_run_does_not_import_what_only_status_asks(project: "Project") -> None:
    project.module("acme_status", "raise SystemExit('imported')\n")
    project.plugin("acme", "[aetherflow.hooks.status]\nx = acme_status\n")
    flow(project, "f", OK)
    assert project.command("run", "f.yaml").code == 0
    assert "AF2102" in project.command("status").out + project.command("status").err


def beat_late(project: "Project", run_id: str, seconds: int) -> None:
    """Let the last heartbeat of a run be so old; one that is stopped writes none in between."""
    with closing(sqlite3.connect(project.states / "slow.sqlite", timeout=30)) as db, db:
        query = "UPDATE runs SET heartbeat_at=heartbeat_at-? WHERE run_id=?"
        assert db.execute(query, (seconds * 1000, run_id)).rowcount == 1


def test_a_run_that_is_stopped_is_late_and_the_typed_command_continues_it(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "slow", SLEEPS)
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2][1] == "T")
    assert document(project)["ok"]  # for a minute it isn't late
    beat_late(project, "r", 61)
    (need,) = document(project)["needs_person"]
    assert (need["status"], need["reason_code"], need["run_id"]) == ("LATE", "stopped", "r")
    assert document(project)["running"] == []
    assert project.command("status").code == 1
    assert f"next: kill -CONT {process.pid}" in project.command("status").out
    refused = project.command("runs", "ack", "r", "--reason", "known")
    assert refused.code == 2, refused
    assert "Its LATE row disappears with the next heartbeat" in " ".join(refused.err.split())
    (command,) = need["commands"]
    assert typed(project, command).code == 0
    wait_for(lambda: document(project)["ok"])
    process.terminate()
    process.communicate()


def test_a_run_that_writes_no_heartbeat_is_late(
    project: "Project", wait_for: Callable[..., None], reap: list[int]
) -> None:
    flow(project, "slow", SLEEPS)
    process = begin(project, wait_for, reap, "slow.yaml", "--run-id", "r")
    for seconds in (61, -600):  # also of a clock that was ahead: a living process would have written it again
        beat_late(project, "r", seconds)
        (need,) = document(project)["needs_person"]
        assert (need["status"], need["reason_code"]) == ("LATE", "no_heartbeat")
        assert str(process.pid) in need["hint"]
    wait_for(lambda: document(project)["ok"])
    process.terminate()
    process.communicate()
