"""A wrapped command line: what it prints, what is remembered, that nothing of it is left behind."""

import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from core_project import Project

TREE = "(trap '' TERM; echo $BASHPID $$ > $EFFECTS.pids; sleep 120) & sleep 120"


def rows(project: "Project", sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(project.states / "x.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def test_a_command_that_ends_well(project: "Project") -> None:
    found = project.command(
        "wrap", "--id", "x", "--json", "--", "sh", "-c", 'pwd; echo "$1 {{env.HOME}} ${HOME:+h}"', "-", "a  b"
    )
    assert found.code == 0, found.err
    summary = json.loads(found.out)
    assert (summary["flow_id"], summary["status"]) == ("x", "SUCCESS")
    assert f"{project.folder}\na  b {{{{env.HOME}}}} h\n" in found.err
    log = project.states / f"x.sqlite.d/logs/x/{summary['run_id']}/wrap/command.1.log"
    assert log.read_text() == f"{project.folder}\na  b {{{{env.HOME}}}} h\n"
    assert rows(project, "SELECT trigger, status FROM runs") == [("wrap", "SUCCESS")]
    assert list(project.work.rglob("*.log")) == []


def test_with_quiet_only_a_failure_is_told(project: "Project") -> None:
    good = project.command("wrap", "--id", "x", "-q", "--", "sh", "-c", "echo out; echo err >&2")
    assert (good.code, good.out, good.err) == (0, "", "")
    bad = project.command("wrap", "--id", "x", "-q", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (bad.code, bad.out) == (1, "")
    assert bad.err.startswith("FAILED wrap.command\n  AF5101 exit code 3")
    assert "    out\n" in bad.err
    assert bad.err.endswith("next: aetherflow wrap --id x -q sh -c 'echo out; echo err >&2; exit 3'\n")
    status = json.loads(project.cli("status", "--json").out)
    assert [(flow["flow_id"], flow["status"]) for flow in status["flows"]] == [("x", "failed")]
    assert "wrap --id x -q sh -c" in status["flows"][0]["next"]
    run_id = status["flows"][0]["run_id"]
    shown = project.cli("runs", "show", run_id).out
    assert "exit code 3" in shown
    refused = project.cli("resume", run_id)
    assert refused.code == 2
    assert "is one of a command line, which has no flow file" in refused.err


def test_a_run_id_makes_it_happen_once(project: "Project") -> None:
    line = (
        "wrap",
        "--id",
        "x",
        "--run-id",
        "2026-11-24",
        "--",
        "sh",
        "-c",
        "echo once >> $EFFECTS; test -e $EFFECTS.ok",
    )
    assert project.command(*line).code == 1
    project.effects.with_name("effects.ok").touch()
    assert project.command(*line).code == 0
    again = project.command(*line)
    assert (again.code, again.out) == (0, "")
    assert "nothing to do: run 2026-11-24 of flow x ended SUCCESS" in again.err
    assert project.lines() == ["once"] * 2
    assert rows(project, "SELECT attempt, status FROM step_runs ORDER BY 1") == [(1, "FAILED"), (2, "SUCCESS")]


def test_what_to_do_while_the_lock_is_held(project: "Project", wait_for: "Callable[..., None]") -> None:
    script = "echo > $EFFECTS.on; until test -e $EFFECTS.go; do sleep 0.05; done; echo first >> $EFFECTS"
    holder = project.start("wrap", "--id", "x", "--lock", "k", "--", "sh", "-c", script)
    try:
        wait_for(lambda: project.effects.with_name("effects.on").exists())
        other = ("wrap", "--id", "y", "--lock", "k")
        busy = project.command(*other, "--", "true")
        assert busy.code == 3
        assert "AF3101" in busy.err
        skipped = project.command(*other, "--if-busy", "skip", "--", "true")
        assert skipped.code == 0
        assert "nothing done" in skipped.err
        started = time.monotonic()
        assert project.command(*other, "--if-busy", "wait", "--wait", "0.5", "--", "true").code == 3
        assert time.monotonic() - started > 0.5
        waiting = project.start(*other, "--if-busy", "wait", "--", "sh", "-c", "echo second >> $EFFECTS")
        project.effects.with_name("effects.go").touch()
        waiting.communicate(timeout=20)
        assert waiting.returncode == 0
        assert project.lines() == ["first", "second"]
    finally:
        project.effects.with_name("effects.go").touch()
        holder.communicate(timeout=20)


def test_a_run_of_a_slot_without_a_lock(project: "Project", wait_for: "Callable[..., None]") -> None:
    """As a scheduler calls it: slots may overlap, and a second process of one run waits for the first."""
    script = 'echo "$0 $AETHERFLOW_SLOT" >> $EFFECTS; until test -e $EFFECTS.go; do sleep 0.05; done'
    way = ("wrap", "--id", "x", "--trigger", "scheduler", "--no-lock", "--if-busy", "wait")
    started: list[Any] = []
    try:
        for name in ("one", "two"):
            slot = f"2026-11-2{len(started)}T01:00+01:00"
            words = (*way, "--run-id", name, "--slot", slot, "--json", "--", "sh", "-c", script, name)
            started.append(project.start(*words))
            wait_for(lambda name=name: any(line.startswith(name) for line in project.lines()))
        started.append(project.start(*way, "--run-id", "one", "--slot", "2026-11-20T00:00Z", "--json", "--", "false"))
    finally:
        project.effects.with_name("effects.go").touch()
        for process in started:
            process.communicate(timeout=60)
    assert [process.returncode for process in started] == [0, 0, 0]
    assert project.lines() == ["one 2026-11-20T00:00:00Z", "two 2026-11-21T00:00:00Z"]
    assert rows(project, "SELECT trigger, slot FROM runs ORDER BY run_id") == [
        ("scheduler", "2026-11-20T00:00:00Z"),
        ("scheduler", "2026-11-21T00:00:00Z"),
    ]


def test_its_own_lock(project: "Project", wait_for: "Callable[..., None]") -> None:
    script = "echo > $EFFECTS.on; until test -e $EFFECTS.go; do sleep 0.05; done"
    holder = project.start("wrap", "--id", "x", "--if-busy", "skip", "--", "sh", "-c", script)
    try:
        wait_for(lambda: project.effects.with_name("effects.on").exists())
        skipped = project.command(
            "wrap", "--id", "x", "--if-busy", "skip", "-q", "--", "sh", "-c", "echo y >> $EFFECTS"
        )
        assert (skipped.code, skipped.err) == (0, "")
        assert project.lines() == []
    finally:
        project.effects.with_name("effects.go").touch()
        holder.communicate(timeout=20)


def test_the_time_limit_ends_the_whole_tree(project: "Project", lives: "Callable[[int], bool]") -> None:
    started = time.monotonic()
    found = project.command(
        "wrap", "--id", "x", "--timeout", "1", "--", "bash", "-c", TREE.replace("trap '' TERM; ", "")
    )
    assert found.code == 1
    assert "still running after 1 s" in found.err
    assert time.monotonic() - started < 50
    assert not any(lives(int(pid)) for pid in project.lines("effects.pids")[0].split())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_ends_the_whole_tree(
    project: "Project", number: int, code: int, wait_for: "Callable[..., None]", lives: "Callable[[int], bool]"
) -> None:
    project.env["AETHERFLOW_STOP_GRACE_SECONDS"] = "0.5"
    process = project.start("wrap", "--id", "x", "--", "bash", "-c", TREE)
    wait_for(lambda: project.lines("effects.pids"))
    os.kill(process.pid, number)
    process.wait(20)
    assert process.returncode == code
    pids = [int(pid) for pid in project.lines("effects.pids")[0].split()]
    wait_for(lambda: not any(map(lives, pids)))
    assert json.loads(project.cli("status", "--json").out)["flows"][0]["status"] == "interrupted"
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()


def test_a_program_that_is_not_there(project: "Project") -> None:
    found = project.command("wrap", "--id", "x", "--", "no-such-program")
    assert found.code == 1
    assert "AF5101 no-such-program: No such file or directory" in found.err


def test_secrets_of_the_environment_are_masked(project: "Project") -> None:
    project.env["DB_PASSWORD"] = "hunter2hunter2"
    found = project.command("wrap", "--id", "x", "--", "sh", "-c", "echo $DB_PASSWORD hunter2hunter2; exit 1")
    assert found.code == 1
    assert "hunter2" not in found.out + found.err
    assert b"hunter2hunter2" not in b"".join(path.read_bytes() for path in project.states.rglob("*") if path.is_file())


@given(
    words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=4)
)
@settings(max_examples=10)
def test_arguments_arrive_as_they_are(project: "Project", words: list[str]) -> None:
    nasty = ["", "-q", "--", "{{x}}", "${A}", "a'b\"", "\n", "!raw", *words]
    shown = project.effects.with_name("argv")
    shown.unlink(missing_ok=True)
    script = f"import json, sys; open({str(shown)!r}, 'w').write(json.dumps(sys.argv[1:]))"
    assert project.cli("wrap", "--id", "x", "-q", "--", sys.executable, "-c", script, *nasty).code == 0
    assert json.loads(shown.read_text()) == nasty
