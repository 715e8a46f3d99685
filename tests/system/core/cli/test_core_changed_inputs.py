"""A truncated input fails a check and is repaired: what is typed first does the load again, and the run succeeds."""

import json
import time
from typing import TYPE_CHECKING

import pytest

from db_places import new_database
from server_project import keep_states_in
from server_stores import SERVERS

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
version: 1
flow: {id: f}
jobs:
  - id: load
    steps:
      - id: rows
        type: file_copy
        inputs: {src: "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/in.csv", dest_dir: out, overwrite: true}
      - id: check
        type: external.process
        inputs: {shell: true, command: 'test $(wc -l < out/in.csv) -eq 3'}
"""
COMMAND = "aetherflow resume r --from-step load.rows"


@pytest.fixture(params=["file", *SERVERS])
def failed(request: pytest.FixtureRequest, project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    """A run whose check failed, since its input was truncated."""
    if request.param != "file":
        keep_states_in(project, new_database(request.getfixturevalue(request.param), "ops"))
        monkeypatch.setenv("OPS_PASSWORD", project.env["OPS_PASSWORD"])
    project.write(FLOW)
    (project.folder / "in.csv").write_text("a\n")
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 1
    return project


def test_the_first_command_heals_a_run_whose_input_was_repaired(failed: "Project") -> None:
    told = "has changed since"
    assert told not in failed.command("status").out
    time.sleep(0.02)
    (failed.folder / "in.csv").write_text("a\nb\nc\n")
    (need,) = json.loads(failed.command("status", "--json").out)["needs_person"]
    assert f"in.csv of load.rows {told}" in need["cause"]
    assert need["commands"] == [COMMAND, "aetherflow resume r"]
    planned = failed.command("plan", "flow.yaml", "--run-id", "r")
    assert (told in planned.out, planned.out.rstrip().endswith(f"next: {COMMAND}")) == (True, True)
    plain = failed.command("resume", "r")  # the dead end
    assert (plain.code, told in plain.err, f"next: {COMMAND}\n" in plain.err) == (1, True, True)
    healed = failed.command(*COMMAND.split()[1:])
    assert healed.code == 0, healed
    assert failed.command("status").code == 0


def test_no_payment_is_repeated_by_the_command(project: "Project") -> None:
    once = "      - {id: pay, type: external.process, effect: once, inputs: {command: ['true']}}\n      - id: check\n"
    project.write(FLOW.replace("      - id: check\n", once))
    (project.folder / "in.csv").write_text("a\n")
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 1
    time.sleep(0.02)
    (project.folder / "in.csv").write_text("a\nb\nc\n")
    (need,) = json.loads(project.command("status", "--json").out)["needs_person"]
    assert need["cause"].endswith("to do it again would repeat steps of effect `once`")
    assert need["commands"] == ["aetherflow resume r"]


def test_what_the_run_itself_does_to_its_input_is_no_change(project: "Project") -> None:
    empties = 'test $(wc -l < out/in.csv) -eq 3; code=$?; : > "$AETHERFLOW_LOCAL_ROOT_DIR/in.csv"; exit $code'
    project.write(FLOW.replace("test $(wc -l < out/in.csv) -eq 3", empties))
    (project.folder / "in.csv").write_text("a\n")
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 1
    (need,) = json.loads(project.command("status", "--json").out)["needs_person"]
    assert need["commands"] == ["aetherflow resume r"]
