"""Errors that name a command are provoked, and the command is typed: no usage error, and it finds what it is about."""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from core_project import Result
from typed_hints import Typed, hints

if TYPE_CHECKING:
    from core_project import Project

OK = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
BAD = OK.replace("check_items, inputs: {items: [1]}", "fail, inputs: {message: no}")
CONFIG = "version: 1\nroots: {work: ../data/work, state: ../data/state}\n"


def unknown_run(project: "Project") -> Result:
    return project.cli("resume", "nobody")


def unknown_run_with_a_project_file(project: "Project") -> Result:
    return project.cli("runs", "show", "nobody", "--config", "ops/aetherflow.yaml")


def two_flows_of_one_run_id(project: "Project") -> Result:
    for flow_id in ("f", "g"):
        project.write(BAD.replace("id: f", f"id: {flow_id}"), f"{flow_id}.yaml")
        project.cli("run", f"{flow_id}.yaml", "--run-id", "r")
    return project.cli("resume", "r")


def nobody_holds_the_lock(project: "Project") -> Result:
    return project.cli("locks", "release", "key", "--reason", "x")


def nothing_to_acknowledge(project: "Project") -> Result:
    project.write(OK)
    project.cli("run", "flow.yaml", "--run-id", "r")
    return project.cli("runs", "ack", "r", "--reason", "x")


def no_log_any_more(project: "Project") -> Result:
    project.write(OK)
    project.cli("run", "flow.yaml", "--run-id", "r")
    (project.states / "f.sqlite.d/logs/f/r.jsonl").unlink()
    return project.cli("runs", "logs", "r")


def no_state_of_a_flow_with_a_blank(project: "Project") -> Result:
    project.write(OK, "a flow.yaml")
    return project.cli("state", "info", "a flow.yaml")


def an_invalid_flow_with_a_blank(project: "Project") -> Result:
    project.write(OK.replace("version: 1", "version: 2"), "a flow.yaml")
    return project.cli("explain", "a flow.yaml")


def nothing_recorded(project: "Project") -> Result:
    project.write(OK)
    return project.cli("resume", "flow.yaml")


def code_beside_the_flow(project: "Project") -> Result:
    (project.folder / "secrets.py").write_text("def decode(value):\n    return value\n")
    project.write(OK)
    project.write("version: 1\nsecrets: {path: secrets.py}\n", "aetherflow.yaml")
    return project.cli("validate", "flow.yaml")


def bundle(project: "Project") -> None:
    (project.folder / "release").mkdir()
    project.write(OK, "release/flow.yaml")
    project.write("{}\n", "release/profiles.yaml")
    source = "source: {type: filesystem, base_path: release}, layout: {profiles_file: profiles.yaml}"
    project.write(f"version: 1\nbundle: {{id: b, {source}, entry_flow: flow.yaml}}\n", "a bundle.yaml")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0


def a_damaged_bundle(project: "Project") -> Result:
    bundle(project)
    project.write(OK + "# 2\n", "release/flow.yaml")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0
    active = next(path for path in project.work.rglob("flow.yaml") if path.read_text().endswith("# 2\n"))
    active.parent.chmod(0o755)
    active.chmod(0o644)
    active.write_text("version: 1\n")
    return project.cli("bundle", "verify", "-m", "a bundle.yaml")


def another_bundle_than_expected(project: "Project") -> Result:
    bundle(project)
    return project.cli("run", "-m", "a bundle.yaml", "--expect-fingerprint", "0" * 64)


def too_short_a_fingerprint(project: "Project") -> Result:
    bundle(project)
    return project.cli("run", "-m", "a bundle.yaml", "--expect-fingerprint", "0")


def a_pinned_bundle(project: "Project") -> Result:
    bundle(project)
    project.write(OK + "# 2\n", "release/flow.yaml")
    assert project.cli("bundle", "sync", "-m", "a bundle.yaml").code == 0
    assert project.cli("bundle", "rollback", "-m", "a bundle.yaml").code == 0
    return project.cli("bundle", "sync", "-m", "a bundle.yaml")


PROVOKED: dict[Callable[["Project"], Result], list[str]] = {
    unknown_run: ["aetherflow runs list"],
    unknown_run_with_a_project_file: ["aetherflow runs list --config ops/aetherflow.yaml"],
    two_flows_of_one_run_id: ["aetherflow resume r --flow f"],
    nobody_holds_the_lock: ["aetherflow locks list"],
    nothing_to_acknowledge: ["aetherflow status"],
    no_log_any_more: ["aetherflow runs show r"],
    no_state_of_a_flow_with_a_blank: ["aetherflow run 'a flow.yaml'"],
    an_invalid_flow_with_a_blank: ["aetherflow validate 'a flow.yaml'"],
    nothing_recorded: ["aetherflow run flow.yaml"],
    code_beside_the_flow: ["aetherflow validate --run-hooks flow.yaml"],
    a_damaged_bundle: [
        "aetherflow bundle sync --always --bundle-manifest 'a bundle.yaml'",
        "aetherflow bundle rollback --bundle-manifest 'a bundle.yaml'",
    ],
    another_bundle_than_expected: ["aetherflow bundle status --bundle-manifest 'a bundle.yaml'"],
    too_short_a_fingerprint: ["aetherflow bundle status --bundle-manifest 'a bundle.yaml'"],
    a_pinned_bundle: ["aetherflow bundle activate latest --bundle-manifest 'a bundle.yaml'"],
}


@pytest.mark.parametrize("provoke", PROVOKED, ids=lambda provoke: str(provoke.__name__))
def test_the_command_of_an_error_is_right(project: "Project", provoke: Callable[["Project"], Result]) -> None:
    (project.folder / "ops").mkdir()
    project.write(CONFIG, "ops/aetherflow.yaml")
    found = provoke(project)
    told = f"{found.out}\n{found.err}".replace("; see: ", "\nfix: ")
    commands = list(dict.fromkeys(hints(told)))
    assert commands == PROVOKED[provoke], found
    for command in commands:
        done = project.cli(*shlex.split(command)[1:])
        typed = Typed("", command, done.code, done.out + done.err)
        assert not typed.misleads, typed
