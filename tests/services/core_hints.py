"""Messages of aetherflow-core that name a command."""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from core_bundle_signing import make_key
from page_reading import page_commands

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.base import owners
from aetherflow.core.records.registry import register
from aetherflow.core.records.registry_file import Registered
from aetherflow.core.runtime.environment import administrator
from aetherflow.core.runtime.sending.book import Book
from claiming import FIND, change, flow, run, running
from core_project import Project, Result
from hint_cases import Cases
from old_data import DATA

OK = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
BAD = OK.replace("check_items, inputs: {items: [1]}", "fail, inputs: {message: no}")
TWO = """\
version: 1
flow: {id: f}
jobs:
  - {id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
  - {id: b, depends_on: [a], steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
"""
ONCE = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps: [{id: s, type: external.process, effect: once, inputs: {command: [sh, -c, 'test -e go']}}]
"""
PARENT = "version: 1\nflow: {id: p}\njobs: [{id: a, steps: [{id: s, type: run_flow, inputs: {flow: flow.yaml}}]}]\n"
CLAIM = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: test_claim}]}]\n"


@register_step("test_asks_for_another_run")
class Asks(Step[Any]):
    """Asks for the state of a step of run `other`."""

    def run(self) -> StepResult:
        """Do it."""
        self.ctx.state.get_step_status(self.job_id, "other", self.id)
        return StepResult()


case = CORE = Cases()
"""All of them. The variable INBOX names a folder with a.txt and b.txt."""


def started(project: Project, text: str, run_id: str = "r", name: str = "flow.yaml", *more: str) -> Result:
    project.write(text, name)
    return project.cli("run", name, "--run-id", run_id, *more)


def killed(project: Project, run_id: str = "r", name: str = "flow.yaml") -> None:
    """As if the run had been killed in its step that must not be repeated unasked."""
    assert started(project, ONCE, run_id, name).code == 1
    change(project, "UPDATE runs SET status='RUNNING', finished_at=NULL")
    change(project, "UPDATE job_runs SET status='RUNNING', finished_at=NULL")
    change(project, "UPDATE step_runs SET status='RUNNING', finished_at=NULL, error=NULL, error_code=NULL")
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db, db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL")


# Runs that are named


@case("cli/lookup", {"aetherflow runs list": (0, "no such run")})
def unknown_run(project: Project) -> Result:
    project.states.mkdir()
    return project.cli("runs", "show", "nobody")


@case(
    "cli/lookup", {"aetherflow resume r --flow f": (1, "AF5001 no"), "aetherflow resume r --flow g": (1, "AF5001 no")}
)
def two_flows_of_one_run_id(project: Project) -> Result:
    for flow_id in ("f", "g"):
        started(project, BAD.replace("id: f", f"id: {flow_id}"), "r", f"{flow_id}.yaml")
    return project.cli("status")


@case("cli/lookup", {"aetherflow resume r --flow f": (1, "run r")})
def one_of_two_is_not_named(project: Project) -> Result:
    two_flows_of_one_run_id(project)
    return project.cli("resume", "r")


@case("cli/unsent", {"aetherflow status --notify": (1, "NOT SENT")})
def a_message_that_was_not_sent(project: Project) -> Result:
    started(project, OK)
    with contextlib.closing(Book(project.states)) as book:
        book.enter("project of_somebody_else", "rule", {"id": "1" * 32}, [], 1)
        book.failed(book.unsent()[0], "nobody there", 1)
    return project.cli("status")


@case(
    "cli/run_page",
    {
        "aetherflow runs show r": (0, "run r of flow f: SUCCESS"),
        "aetherflow runs logs r": (0, "run_start"),
        "aetherflow runs show r --journal": (0, "run_end"),
        "aetherflow explain HERE/flow.yaml": (0, "Flow: HERE/flow.yaml"),
    },
)
def a_page_that_cannot_have_all(project: Project) -> Result:
    items = f"[{', '.join(map(str, range(170)))}]"
    started(project, OK.replace("{id: s,", f"{{id: s, for_each: {items},").replace("items: [1]", "items: ['{{item}}']"))
    assert project.cli("runs", "show", "r", "--html", str(project.folder / "page.html")).code == 0
    return Result(0, "\n".join(f"fix: {each}" for each in page_commands(project.folder / "page.html")), "")


@case(
    "cli/run_page",
    {
        "aetherflow runs diff bad": (0, "p69"),
        "aetherflow resume bad": (1, "no"),
        "aetherflow runs logs bad": (0, "run_start"),
        "aetherflow explain HERE/flow.yaml": (0, "p69"),
    },
)
def a_page_with_many_differences(project: Project) -> Result:
    for text, run_id in ((OK, "good"), (BAD, "bad")):
        params = ", ".join(f"p{number}: {{default: {run_id}}}" for number in range(70))
        started(project, text.replace("{id: f}", f"{{id: f, params: {{{params}}}}}"), run_id)
    assert project.cli("runs", "show", "bad", "--html", str(project.folder / "page.html")).code == 0
    return Result(0, "\n".join(f"fix: {each}" for each in page_commands(project.folder / "page.html")), "")


@case("cli/status", {"aetherflow runs diff bad": (0, "definition a.s"), "aetherflow resume bad": (1, "no")})
def a_page_of_a_flow_that_has_worked(project: Project) -> Result:
    started(project, OK, "good")
    started(project, BAD, "bad")
    page = project.folder / "page.html"
    assert project.cli("status", "--html", str(page)).code == 0
    return Result(0, "\n".join(f"fix: {each}" for each in page_commands(page)), "")


@case("cli/status", {"aetherflow status --all": (0, "2023-11-14T22:13:20Z")})
def a_page_of_some_of_the_flows(project: Project) -> Result:
    started(project, OK)
    registry(project, "UPDATE runs SET started_at=1700000000000, ended_at=1700000000500")
    page = project.folder / "page.html"
    assert project.cli("status", "--since", "1h", "--html", str(page)).code == 0
    return Result(0, "\n".join(f"fix: {each}" for each in page_commands(page)), "")


@case("cli/run_logs", {"aetherflow runs show r": (0, "run r of flow f: SUCCESS")})
def no_log_any_more(project: Project) -> Result:
    started(project, OK)
    (project.states / "f.sqlite.d/logs/f/r.jsonl").unlink()
    return project.cli("runs", "logs", "r")


@case("cli/summary", {"aetherflow runs show r": (0, "f24.txt"), "aetherflow resume r": (1, "no")})
def more_files_than_are_shown(project: Project) -> Result:
    write = "      - {{id: w{0}, type: file_write, inputs: {{path: f{0}.txt, content: x}}}}\n"
    head = "version: 1\nflow: {id: f, workspace: {cleanup_policy: never}}\njobs:\n  - id: a\n    steps:\n"
    fail = "      - {id: s, type: fail, inputs: {message: no}}\n"
    return started(project, head + "".join(map(write.format, range(25))) + fail)


@case("cli/summary runtime/resuming", {"aetherflow runs show r": (0, "aetherflow run HERE/flow.yaml --run-id r")})
def nothing_to_do_for_a_part(project: Project) -> Result:
    started(project, TWO, "r", "flow.yaml", "--flow-job", "a")
    return project.cli("resume", "r")


@case("runtime/resuming", {"aetherflow run HERE/flow.yaml --run-id r": (0, "SUCCESS")})
def the_rest_of_a_part(project: Project) -> Result:
    started(project, TWO, "r", "flow.yaml", "--flow-job", "a")
    return project.cli("runs", "show", "r")


@case("cli/resume", {"aetherflow run flow.yaml": (0, "SUCCESS")})
def nothing_recorded(project: Project) -> Result:
    project.write(OK)
    return project.cli("resume", "flow.yaml")


@case("cli/resume", {"aetherflow run FLOW --run-id r": (0, "SUCCESS")}, FLOW="moved.yaml", healed="status")
def the_flow_file_is_gone(project: Project) -> Result:
    started(project, BAD)
    (project.folder / "flow.yaml").rename(project.folder / "moved.yaml")
    project.write(OK, "moved.yaml")
    return project.cli("resume", "r")


@case(
    "cli/next_steps",
    {"aetherflow runs resolve r --as abandoned --reason TEXT": (0, "resolved as abandoned")},
    healed="status",
)
def one_that_can_only_be_dismissed(project: Project) -> Result:
    started(project, BAD)
    (project.folder / "flow.yaml").unlink()
    found = project.cli("status")
    return Result(found.code, "\n".join(line for line in found.out.splitlines() if "dismiss" in line), "")


@case("cli/resume", {"aetherflow resume r --config FILE": (0, "nothing to do")}, FILE="ops/aetherflow.yaml", bare=True)
def a_run_of_1_0_with_a_project_file(project: Project) -> Result:
    started(project, OK)
    command = f"aetherflow run {project.folder}/flow.yaml --config ops.yaml"
    change(project, f"UPDATE runs SET command='{command}', config=NULL, working_dir=NULL")
    return project.cli("resume", "r")


@case(
    "cli/resume builtins/commands/wrapped runtime/resuming",
    {"aetherflow wrap --id w --run-id r -- false": (1, "FAILED")},
)
def a_wrapped_command_is_not_resumed(project: Project) -> Result:
    project.cli("wrap", "--id", "w", "--run-id", "r", "--", "false")
    return project.cli("resume", "r")


@case("builtins/commands/wrap", {"aetherflow wrap --id backup -- COMMAND '…'": (0, "")}, COMMAND="true")
def a_wrapped_command_without_an_id(project: Project) -> Result:
    return project.cli("wrap", "--", "true")


@case("builtins/commands/wrapped", {"aetherflow wrap --id NAME -- COMMAND '…'": (0, "")}, COMMAND="true", NAME="w")
def a_wrapped_command_without_dashes(project: Project) -> Result:
    return project.cli("wrap", "--id", "w")


@case("runtime/opening/opening", {"aetherflow runs list": (0, "no such run")})
def from_a_step_of_an_unknown_run(project: Project) -> Result:
    project.write(OK)
    return project.cli("run", "flow.yaml", "--run-id", "r", "--from-step", "a")


@case("runtime/opening/opening", {"aetherflow run flow.yaml --run-id r --flow-job b --from-step b": (0, "SUCCESS")})
def from_a_job_outside_of_the_part(project: Project) -> Result:
    started(project, TWO, "r", "flow.yaml", "--flow-job", "a")
    return project.cli("resume", "r", "--from-step", "b")


@case("runtime/opening/opening", {"aetherflow run flow.yaml --run-id r": (0, "SUCCESS")})
def a_job_of_the_part_is_gone(project: Project) -> Result:
    started(
        project,
        TWO.replace("check_items, inputs: {items: [1]}", "fail, inputs: {message: no}", 1),
        "r",
        "flow.yaml",
        "--flow-job",
        "a",
    )
    project.write(TWO.replace("id: a", "id: aa").replace("[a]", "[aa]"))
    return project.cli("resume", "r")


# Questions, and runs inside of others


@case(
    "kernel/sequencing/execution",
    {
        "aetherflow resume r --decide a.s=done": (0, "SUCCESS"),
        "aetherflow resume r --decide a.s=again": (1, "AF5"),
    },
)
def a_step_that_asks(project: Project) -> Result:
    killed(project)
    return project.cli("resume", "r")


@case(
    "kernel/sequencing/answers",
    {"aetherflow resume r": (0, "nothing to do"), "aetherflow resume r --from-step a.s": (1, "AF5")},
)
def a_step_that_was_answered_otherwise(project: Project) -> Result:
    killed(project)
    project.cli("resume", "r", "--decide", "a.s=done")
    return project.cli("resume", "r", "--decide", "a.s=again")


@case(
    "runtime/resuming cli/needs",
    {
        "aetherflow resume r --decide a.s=done": (0, "SUCCESS"),
        "aetherflow resume r --decide a.s=again": (1, "AF5"),
    },
)
def a_step_that_asks_in_the_status(project: Project) -> Result:
    killed(project)
    project.cli("resume", "r")
    return project.cli("status")


@case(
    "runtime/subflow kernel/sequencing/execution",
    {
        "aetherflow resume INNER --decide a.s=done": (0, "SUCCESS"),
        "aetherflow resume INNER --decide a.s=again": (1, "AF5"),
        "aetherflow runs show INNER": (0, "of flow f: UNKNOWN"),
        "aetherflow resume r": (1, "then resume this flow"),
    },
)
def a_step_that_asks_inside(project: Project) -> tuple[Result, dict[str, str]]:
    project.write(ONCE)
    started(project, PARENT, "r", "parent.yaml")
    inner = project.rows("SELECT run_id FROM runs")[0][0]
    change(project, "UPDATE runs SET status='RUNNING', finished_at=NULL")
    change(project, "UPDATE job_runs SET status='RUNNING', finished_at=NULL")
    change(project, "UPDATE step_runs SET status='RUNNING', finished_at=NULL, error=NULL, error_code=NULL")
    found = project.cli("resume", "r")
    return _of(found, inner)


@case("runtime/subflow", {"aetherflow runs show INNER": (0, "FAILED"), "aetherflow resume r": (1, "no")})
def a_failure_inside(project: Project) -> tuple[Result, dict[str, str]]:
    project.write(BAD)
    found = started(project, PARENT, "r", "parent.yaml")
    return _of(found, project.rows("SELECT run_id FROM runs")[0][0])


@case("runtime/child_run", {"aetherflow runs show INNER": (0, "of flow f"), "aetherflow resume r": (1, "signal 9")})
def a_run_side_by_side_is_killed(project: Project) -> tuple[Result, dict[str, str]]:
    kill = "type: external.process, inputs: {shell: true, command: 'kill -9 $PPID'}"
    project.write(OK.replace("type: check_items, inputs: {items: [1]}", kill))
    several = PARENT.replace("type: run_flow,", "type: run_flow, for_each: {items: [1], max_parallel: 2},")
    found = started(project, several, "r", "parent.yaml")
    return _of(found, project.rows("SELECT run_id FROM runs")[0][0])


def _of(found: Result, inner: str) -> tuple[Result, dict[str, str]]:
    named = Result(found.code, found.out.replace(inner, "INNER"), found.err.replace(inner, "INNER"))
    return named, {"INNER": inner}


@case("runtime/subflow", {"aetherflow validate HERE/child.yaml": (2, "AF1102"), "aetherflow resume r": (1, "AF5")})
def an_invalid_flow_inside(project: Project) -> Result:
    project.write("version: 1\nflow: {id: c}\n", "child.yaml")
    call = PARENT.replace("flow: flow.yaml}", "flow: '{{job.id}}.yaml'}").replace("id: a,", "id: child,")
    return started(project, call)


@case(
    "kernel/sequencing/each",
    {"aetherflow runs show r": (0, "2 of 2 items failed"), "aetherflow resume r": (1, "items failed")},
)
def several_items_failed(project: Project) -> Result:
    inputs = "{message: no, fix: 'mend {{item}}'}"
    each = f"type: fail, for_each: {{items: [1, 2], on_error: continue}}, inputs: {inputs}"
    return started(project, OK.replace("type: check_items, inputs: {items: [1]}", each))


@case("runtime/context/step_state", {"aetherflow runs show other": (0, "run other"), "aetherflow resume r": (1, "AF5")})
def the_state_of_another_run(project: Project) -> Result:
    started(project, OK, "other")
    return started(project, OK.replace("check_items, inputs: {items: [1]}", "test_asks_for_another_run"))


# What runs have taken


@case(
    "runtime/phases",
    {"aetherflow resume one": (0, "SUCCESS")},
    healed="status",
)
def claims_stay_open(project: Project) -> Result:
    project.write(flow())
    return Result(1, run(project, "one", fail="load"), "")


@case("runtime/phases", {"aetherflow runs show one": (0, "aetherflow run HERE/flow.yaml --run-id one")})
def claims_of_a_part(project: Project) -> Result:
    project.write(flow())
    return Result(0, run(project, "one", "--flow-job", "take"), "")


@case("cli/claims", {"aetherflow resume one": (0, "SUCCESS")})
def open_claims(project: Project) -> Result:
    project.write(flow())
    run(project, "one", fail="load")
    return project.cli("claims", "list")


@case(
    "cli/claims",
    {
        "aetherflow resume one": (0, "SUCCESS"),
        "aetherflow runs resolve one --as abandoned --reason TEXT": (0, "2 claims are given back"),
    },
    healed="status",
)
def claims_that_later_runs_left(project: Project) -> Result:
    project.write(FIND)
    run(project, "one", fail="after")
    run(project, "two")
    return project.cli("claims", "list")


@case("cli/claims", {"aetherflow runs show one": (0, "FAILED")})
def claims_of_1_0_in_vain(project: Project) -> Result:
    project.write(flow())
    run(project, "one", fail="load")
    change(project, "UPDATE claims SET state='final', job_id=''")
    return project.cli("claims", "list", "--state", "final")


@case(
    "cli/lookup cli/needs runtime/resuming",
    {
        "aetherflow run HERE/flow.yaml --run-id part": (0, "SUCCESS"),
        "aetherflow runs resolve part --reason TEXT --as done": (0, "2 claims are final"),
        "aetherflow runs resolve part --reason TEXT --as abandoned": (0, "2 claims are given back"),
    },
    healed="status",
)
def a_part_whose_claims_later_runs_left(project: Project) -> Result:
    project.write(FIND)
    run(project, "part", "--flow-job", "take")
    run(project, "two")
    return project.cli("status")


@case(
    "records/lost_claims",
    {
        "aetherflow resume one --from-step take": (0, "SUCCESS"),
        "aetherflow runs resolve one --as abandoned --reason TEXT": (0, "resolved as abandoned"),
    },
)
def claims_that_another_run_took_over(project: Project) -> Result:
    project.write(flow())
    run(project, "one", fail="load")
    run(project, "two", fail="load")
    return project.cli("resume", "one")


@case(
    "cli/next_steps",
    {"aetherflow resume one --from-step take": (0, "SUCCESS"), "aetherflow resume two": (0, "SUCCESS")},
)
def one_that_goes_on_without_what_it_lost(project: Project) -> Result:
    project.write(flow())
    run(project, "one", "--slot", "2026-11-24T01:00Z", fail="load")
    run(project, "two", "--slot", "2026-11-25T01:00Z", fail="load")
    return project.cli("status")


@case("records/claims", {"aetherflow runs show one": (0, "run one"), "aetherflow resume three": (0, "SUCCESS")})
def a_key_that_a_living_run_holds(project: Project) -> Result:
    project.write(flow())
    run(project, "one", fail="load")
    project.write(CLAIM)
    with running(project, "one"):
        now = time.time_ns() // 1_000_000
        values = f"'f', 'marks', 'k', 'one', '1', 'a', 's', 'open', {now}"
        names = "flow_id, namespace, key, run_id, value, job_id, step_id, state, at"
        change(project, f"INSERT INTO claims ({names}) VALUES ({values})")
        told = run(project, "three", code=1)
    return Result(1, told, "")


@case(
    "runtime/context/ledgers",
    {
        "aetherflow runs resolve one --as done --reason TEXT": (0, "2 claims are final"),
        "aetherflow runs resolve one --as abandoned --reason TEXT": (0, "2 claims are given back"),
        "aetherflow resume two": (1, "is gone"),
    },
)
def a_file_that_was_taken_is_gone(project: Project) -> Result:
    project.write(flow(after="move"))
    run(project, "one", fail="load")
    (project.artifacts("take", "one") / "a.txt").unlink()
    return Result(1, run(project, "two", code=1), "")


@case("cli/pruned", {"aetherflow claims list": (0, "a.txt")})
def runs_that_are_kept_for_their_claims(project: Project) -> Result:
    project.write(flow())
    run(project, "one", fail="load")
    return project.cli("runs", "prune", "--keep-last", "0", "--include-unfinished", "--yes")


@case("cli/resolve", {"aetherflow claims list --state lost --run one": (0, "f29.txt")})
def more_files_were_taken_than_are_shown(project: Project) -> Result:
    for number in range(30):
        (project.folder / "inbox" / f"f{number:02}.txt").write_text("1")
    project.write(flow())
    run(project, "one", fail="load")
    return project.cli("runs", "resolve", "one", "--as", "abandoned", "--reason", "x")


@case("records/resolving", {"aetherflow resume one": (0, "SUCCESS")})
def a_run_that_was_settled_the_other_way(project: Project) -> Result:
    project.write(flow())
    run(project, "one", fail="load")
    assert project.cli("runs", "resolve", "one", "--as", "done", "--reason", "x").code == 0
    return project.cli("runs", "resolve", "one", "--as", "abandoned", "--reason", "x")


@case("records/resolving", {"aetherflow claims list": (0, "no claim is open")})
def a_run_that_needs_no_settling(project: Project) -> Result:
    started(project, OK)
    return project.cli("runs", "resolve", "r", "--as", "done", "--reason", "x")


# What needs a person


@case("cli/run_diff", {"aetherflow runs diff r r": (0, "nothing that is recorded is different")})
def three_runs_to_compare(project: Project) -> Result:
    started(project, BAD)
    return project.cli("runs", "diff", "q", "r", "r")


@case("cli/run_diff", {"aetherflow runs list --flow f": (0, "FAILED")})
def no_good_run_to_compare(project: Project) -> Result:
    started(project, BAD)
    return project.cli("runs", "diff", "r")


@case("cli/ack", {"aetherflow runs ack RUN_ID --reason TEXT": (0, "r  FAILED: in hand")}, RUN_ID="r", healed="status")
def an_ack_of_nothing(project: Project) -> Result:
    started(project, BAD)
    return project.cli("runs", "ack", "--reason", "x")


@case("cli/ack", {"aetherflow status": (0, "nothing needs a person")})
def nothing_to_acknowledge(project: Project) -> Result:
    started(project, OK)
    return project.cli("runs", "ack", "r", "--reason", "x")


@case("cli/ack", {"aetherflow status": (1, "aetherflow resume r")})
def a_refused_start_that_nobody_knows(project: Project) -> Result:
    started(project, BAD)
    return project.cli("runs", "ack", "refused-9", "--reason", "x")


@case("cli/status cli/next_steps", {"aetherflow state forget": (0, "forgot 1 state file")}, healed="status")
def a_state_file_that_is_gone(project: Project) -> Result:
    started(project, OK)
    project.state.unlink()
    return project.cli("status", "--all")


@case(
    "cli/status cli/status_text cli/older_version",
    {"aetherflow state migrate HERE/old.sqlite": (0, "from schema 2 to 3")},
)
def a_state_file_of_an_older_version(project: Project) -> Result:
    older(project)
    return project.cli("status", "--all")


@case(
    "kernel/state/unusable",
    {"aetherflow state migrate HERE/old.sqlite": (0, "from schema 2 to 3")},
    healed="state info old.sqlite",
)
def an_older_state_that_is_only_read(project: Project) -> Result:
    older(project)
    return project.cli("state", "info", str(project.folder / "old.sqlite"))


def older(project: Project) -> None:
    """A state file that 1.0.0 wrote."""
    path = project.folder / "old.sqlite"
    shutil.copy(DATA / "home/.local/state/aetherflow/state/failed.sqlite", path)
    assert register(project.states, Registered("failed", "r", str(path), "f.yaml", 1)) is None


@case("kernel/state/unusable", {"aetherflow state restore HERE/state/f.sqlite --from FILE": (0, "1 run")}, FILE="f.tar")
def a_state_file_that_is_damaged(project: Project) -> Result:
    started(project, OK)
    assert project.cli("state", "backup", "flow.yaml", "--to", "f.tar").code == 0
    project.state.write_text("no database " * 500)
    return project.cli("status")


@case("kernel/state/unusable", {"aetherflow state restore HERE/state/f.sqlite --from FILE": (0, "1 run")}, FILE="f.tar")
def a_damaged_state_file_that_is_read(project: Project) -> Result:
    a_state_file_that_is_damaged(project)
    return project.cli("state", "info", str(project.state))


def older_state(project: Project) -> Result:
    """A state file in the place of which an older copy was put, since one run has ended well and one has not."""
    started(project, OK, "one")
    copy = project.state.read_bytes()
    started(project, OK, "two")
    started(project, BAD, "three")
    project.state.write_bytes(copy)
    return project.cli("run", "flow.yaml", "--run-id", "four")


@case("records/older", {"aetherflow state accept HERE/state/f.sqlite --reason TEXT": (0, "f  two  SUCCESS")})
def an_older_state_that_is_refused(project: Project) -> Result:
    return older_state(project)


@case(
    "cli/older_rows",
    {
        "aetherflow state accept HERE/state/f.sqlite --reason TEXT": (0, "f  two  SUCCESS"),
        "aetherflow runs resolve three --as done --reason TEXT": (0, "run three is resolved as done"),
        "aetherflow runs resolve three --as abandoned --reason TEXT": (0, "run three is resolved as abandoned"),
    },
)
def an_older_state_that_status_shows(project: Project) -> Result:
    older_state(project)
    registry(project, "DELETE FROM refused")
    return project.cli("status")


@case("cli/status", {"aetherflow run HERE/flow.yaml": (0, "SUCCESS")})
def a_flow_whose_runs_were_deleted(project: Project) -> Result:
    started(project, OK, "one")
    started(project, OK, "two")
    change(project, "DELETE FROM runs")
    registry(project, "DELETE FROM runs")
    return project.cli("status", "--all")


@case(
    "cli/status_text",
    {
        "aetherflow resume old": (1, "AF5001 no"),
        "aetherflow runs ack --before T --reason TEXT": (0, "f  old  FAILED: in hand"),
    },
)
def runs_of_before_the_upgrade(project: Project) -> tuple[Result, dict[str, str]]:
    started(project, BAD, "old")
    registry(project, "UPDATE runs SET settled='before', ended_at=1700000000500")
    change(project, "UPDATE runs SET started_at=1700000000000, finished_at=1700000000500")
    found = project.cli("status")
    return Result(found.code, found.out.replace("2023-11-14T22:13:21Z", "T"), ""), {"T": "2023-11-14T22:13:21Z"}


def registry(project: Project, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db, db:
        db.execute(sql)


# Commands that lack something


@case("cli/locks", {"aetherflow locks list": (0, "no locks are held")})
def nobody_holds_the_lock(project: Project) -> Result:
    return project.cli("locks", "release", "key", "--reason", "x")


@case("cli/state_files", {"aetherflow run 'a flow.yaml'": (0, "SUCCESS")})
def no_state_of_a_flow(project: Project) -> Result:
    project.write(OK, "a flow.yaml")
    return project.cli("state", "info", "a flow.yaml")


@case("cli/explain", {"aetherflow validate 'a flow.yaml'": (2, "AF1103")})
def an_invalid_flow(project: Project) -> Result:
    project.write(OK.replace("version: 1", "version: 2"), "a flow.yaml")
    return project.cli("explain", "a flow.yaml")


@case("cli/upgrading", {"aetherflow validate 'a flow.yaml'": (2, "AF1103")})
def an_invalid_flow_of_0_9(project: Project) -> Result:
    project.write(OK.replace("version: 1", "version: 2"), "a flow.yaml")
    return project.cli("doctor", "--upgrade-from", "0.9", "a flow.yaml")


CODE = "def decode(value):\n    return value\n"


@case("checks/plugins", {"aetherflow validate --run-hooks 'a flow.yaml'": (0, "OK")})
def code_beside_the_flow(project: Project) -> Result:
    step = "from aetherflow.core.api import Step, register_step\n\n\n@register_step('mine')\nclass Mine(Step):\n"
    (project.folder / "plugins").mkdir()
    (project.folder / "plugins/mine.py").write_text(f"{step}    def run(self):\n        return None\n")
    with (project.folder / "ops/aetherflow.yaml").open("a") as file:
        file.write(f"plugins: {{paths: [{project.folder}/plugins]}}\n")
    project.write(OK.replace("check_items, inputs: {items: [1]}", "mine"), "a flow.yaml")
    return project.cli("validate", "a flow.yaml")


@case("cli/init", {"aetherflow run 'my flows/flow.yaml'": (0, "SUCCESS")}, bare=True)
def a_project_to_start_with(project: Project) -> Result:
    return project.cli("init", "my flows")


@case(
    "cli/bundle_init", {"aetherflow bundle sync --bundle-manifest 'a b.yaml'": (0, "CHANGED: bundle synced")}, bare=True
)
def a_manifest_to_start_with(project: Project) -> Result:
    bundle(project)
    return project.cli("bundle", "init", "nightly", "--base-path", "release", "--output", "a b.yaml")


@case("console/plugin_pages", {"aetherflow plugins docs aetherflow-builtins-reports": (0, "excel_read")})
def a_page_of_plugins(project: Project) -> Result:
    return project.cli("plugins", "docs", "aetherflow-builtins-reports")


@case("host/catalog", {"aetherflow plugins list --kind step": (0, "check_items")})
def a_step_that_nobody_provides(project: Project) -> Result:
    project.write(OK.replace("check_items", "acme_thing"))
    return project.cli("validate", "flow.yaml")


# Bundles


def bundle(project: Project) -> None:
    (project.folder / "release").mkdir()
    project.write(OK, "release/flow.yaml")
    project.write("{}\n", "release/profiles.yaml")
    source = "source: {type: filesystem, base_path: release}, layout: {profiles_file: profiles.yaml}"
    project.write(f"version: 1\nbundle: {{id: b, {source}, entry_flow: flow.yaml}}\n", "a bundle.yaml")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0


def two_versions(project: Project) -> None:
    bundle(project)
    project.write(OK + "# 2\n", "release/flow.yaml")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0


@case(
    "bundle/verify",
    {
        "aetherflow bundle sync --always --bundle-manifest 'a bundle.yaml'": (0, "bundle synced"),
        "aetherflow bundle rollback --bundle-manifest 'a bundle.yaml'": (0, "pinned"),
    },
    healed="plan -m 'a bundle.yaml'",
)
def a_damaged_bundle(project: Project) -> Result:
    two_versions(project)
    active = next(path for path in (project.states / "engine").rglob("flow.yaml") if path.read_text().endswith("# 2\n"))
    active.parent.chmod(0o755)
    active.chmod(0o644)
    active.write_text("version: 1\n")
    return project.cli("bundle", "verify", "-m", "a bundle.yaml")


@case("bundle/using", {"aetherflow bundle status --bundle-manifest 'a bundle.yaml'": (0, "active")})
def another_bundle_than_expected(project: Project) -> Result:
    bundle(project)
    return project.cli("run", "-m", "a bundle.yaml", "--expect-fingerprint", "0" * 64)


@case("bundle/using", {"aetherflow bundle status --bundle-manifest 'a bundle.yaml'": (0, "active")})
def too_short_a_fingerprint(project: Project) -> Result:
    bundle(project)
    return project.cli("run", "-m", "a bundle.yaml", "--expect-fingerprint", "0")


@case(
    "cli/bundle_versions", {"aetherflow bundle activate latest --bundle-manifest 'a bundle.yaml'": (0, "syncs replace")}
)
def a_bundle_that_goes_back(project: Project) -> Result:
    two_versions(project)
    return project.cli("bundle", "rollback", "-m", "a bundle.yaml")


@case("cli/flow_source", {"aetherflow bundle activate latest --bundle-manifest 'a bundle.yaml'": (0, "syncs replace")})
def a_pinned_bundle(project: Project) -> Result:
    a_bundle_that_goes_back(project)
    return project.cli("run", "-m", "a bundle.yaml")


@case("cli/explain cli/flow_source", {"aetherflow validate --bundle-manifest 'a bundle.yaml' flow.yaml": (2, "AF1103")})
def an_invalid_flow_of_a_bundle(project: Project) -> Result:
    bundle(project)
    project.write(OK.replace("version: 1", "version: 2"), "release/flow.yaml")
    return project.cli("explain", "-m", "a bundle.yaml", "flow.yaml")


@contextlib.contextmanager
def signers(project: Project, line: str) -> Iterator[None]:
    """The administrator's policy asks for signatures."""
    etc = project.folder / "etc"
    etc.mkdir()
    (etc / "policy.yaml").write_text("version: 1\nbundles: {signers: allowed_signers}\n")
    (etc / "allowed_signers").write_text(f"b {line}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(administrator, "POLICY_FILE", str(etc / "policy.yaml"))
        patch.setattr(owners, "ROOT", os.geteuid())
        yield


def signed(project: Project, text: str, *more: str) -> None:
    project.write(text, "release/flow.yaml")
    done = project.cli("bundle", "sign", "--key", "FILE", "-m", "a bundle.yaml", *more)
    assert done.code == 0, done.err


SIGN = "aetherflow bundle sign --key FILE --bundle-manifest 'a bundle.yaml'"
BACK = "--reason TEXT --bundle-manifest 'a bundle.yaml'"


@case("bundle/signed", {SIGN: (0, "signed: b version 1")})
def a_bundle_that_is_not_signed(project: Project) -> Result:
    bundle(project)
    with signers(project, make_key(project.folder / "FILE").line):
        return project.cli("run", "-m", "a bundle.yaml")


@case("bundle/signed", {SIGN.replace("FILE", "FILE --version 8"): (0, "signed: b version 8")})
def two_contents_of_one_version(project: Project) -> Result:
    bundle(project)
    with signers(project, make_key(project.folder / "FILE").line):
        signed(project, OK, "--version", "7")
        assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0
        (project.folder / "release/bundle.signed.json").unlink()
        signed(project, OK + "# 2\n", "--version", "7")
        return project.cli("run", "-m", "a bundle.yaml")


def an_older_version(project: Project) -> str:
    """Version 2 is active, the source has version 1 again; returns the line of the key."""
    bundle(project)
    line = make_key(project.folder / "FILE").line
    signed(project, OK)
    shutil.copytree(project.folder / "release", project.folder / "old")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0
    signed(project, OK + "# 2\n")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0
    shutil.rmtree(project.folder / "release")
    (project.folder / "old").rename(project.folder / "release")
    return line


@case("bundle/sync", {f"aetherflow bundle sync {BACK}": (0, "CHANGED: bundle synced")})
def an_older_version_at_the_source(project: Project) -> Result:
    with signers(project, an_older_version(project)):
        return project.cli("run", "-m", "a bundle.yaml")


@case("cli/bundle_versions", {f"aetherflow bundle rollback {BACK}": (0, "pinned")})
def a_rollback_without_a_reason(project: Project) -> Result:
    with signers(project, an_older_version(project)):
        return project.cli("bundle", "rollback", "-m", "a bundle.yaml")


@case("cli/bundle_versions", {f"aetherflow bundle activate previous {BACK}": (0, "pinned")})
def an_activation_without_a_reason(project: Project) -> Result:
    with signers(project, an_older_version(project)):
        return project.cli("bundle", "activate", "previous", "-m", "a bundle.yaml")


@case(
    "cli/bundle_sign",
    {
        "aetherflow bundle verify HERE/release --bundle-manifest 'a bundle.yaml' --signers allowed_signers": (
            0,
            "signed: b version 1",
        )
    },
)
def a_bundle_that_is_signed(project: Project) -> Result:
    bundle(project)
    project.write(f"b {make_key(project.folder / 'FILE').line}\n", "allowed_signers")
    return project.cli("bundle", "sign", "--key", "FILE", "-m", "a bundle.yaml")
