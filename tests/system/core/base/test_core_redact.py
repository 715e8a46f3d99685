"""Secrets leave the run as `***`, in every spelling, in every sink, across the borders of chunks."""

import base64
import json
from typing import TYPE_CHECKING

import pytest
from canaries import FORMS, USUAL

if TYPE_CHECKING:
    from core_project import Project

SECRET = "hunter2 \"&ü'/+?hunter2"


def test_no_sink_shows_a_secret(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    script = 'printf "%s\\n" "$DB_PASSWORD"; printf "%s" "$DB_PASSWORD" | base64 -w0 >&2; exit 3'
    project.flow(
        f"""\
        jobs:
          - id: a
            steps:
              - id: s
                type: external.process
                inputs:
                  command: [/bin/sh, -c, {json.dumps(script)}, "{{{{env.DB_PASSWORD}}}}"]
                  log: {{stderr: capture}}
        """
    )
    for arguments in ((), ("--json",), ("-q",)):
        result = project.cli("run", "flow.yaml", *arguments)
        assert result.code == 1
        shown = [result.out, result.err]
        shown += [path.read_bytes().decode("latin-1") for path in project.states.rglob("*") if path.is_file()]
        encoded = base64.b64encode(SECRET.encode()).decode()
        assert not any(form in text for text in shown for form in ("hunter2", encoded, encoded[:20]))
    assert "***" in project.cli("run", "flow.yaml").err


def test_no_canary_reaches_a_sink(project: "Project") -> None:
    """Every name of the list, in every form, printed by a program and named by a step that fails."""
    values = {name: f"cn{number:03}/\"it's <Ä>\\\\+ %" for number, name in enumerate(USUAL)}
    written = [(name, form(value)) for name, value in values.items() for form in FORMS.values()]
    printed = project.folder / "printed"
    printed.write_text("\n".join(f"{name} {text}" for name, text in written), encoding="utf-8")
    project.flow(
        f"""\
        jobs:
          - id: print
            steps:
              - {{id: s, type: external.process, inputs: {{command: [cat, {printed}]}}}}
              - id: fails
                type: fail
                inputs: {{message: "{{{{env.PGPASSWORD}}}} {{{{env.SSHPASS}}}}"}}
        """
    )
    env = {**values, "AETHERFLOW_EVENTS_FILE": "events.jsonl", "AETHERFLOW_LOG_FORMAT": "json"}
    seen = []
    for arguments in (("run", "flow.yaml", "--run-id", "r"), ("run", "flow.yaml", "--run-id", "r", "--json")):
        result = project.command(*arguments, env=env)
        assert result.code == 1
        seen += [result.out, result.err]
    looking = ("runs show r --journal", "runs logs r", "runs logs r --step print.s", "status", "explain flow.yaml")
    for command in (*looking, "doctor flow.yaml --json"):
        result = project.command(*command.split(), env=env)
        seen += [result.out, result.err]
    files = [*project.states.rglob("*"), project.folder / "events.jsonl"]
    seen += [path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file()]
    assert any("PGPASSWORD ***" in text for text in seen)
    hits = {(name, text) for name, text in written for shown in seen if text in shown}
    assert hits == set()


def test_decoded_values_and_what_steps_log_are_masked(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.module(
        "own_decoder", "def decode(value):\n    return value[::-1]\n"
    )  # a value that no name of a key would give away
    project.module(
        "talker",
        """\
        from aetherflow.core.api import Step, StepInputs
        class Talk(Step[StepInputs]):
            def run(self):
                path = self.ctx.resources["r"]["config"]["path"]
                self.ctx.log.warning("log %s", path)
                self.ctx.relay("stdout", f"said {path}\\n".encode())
                raise ValueError(f"raised {path}")
        """,
    )
    project.plugin("talker", "[aetherflow.steps]\ntalk = talker:Talk\n")
    project.flow(
        """\
        resources:
          r: {kind: db, driver: sqlite3, config: {path: 2retnuh2retnuh}, decode: {config_paths: [path]}}
        jobs:
          - id: a
            steps: [{id: s, type: talk}]
        """
    )
    result = project.command("run", "flow.yaml", "--json", env={"AETHERFLOW_SECRETS_MODULE": "own_decoder"})
    assert result.code == 1
    kept = [path.read_text(errors="replace") for path in project.states.rglob("*") if path.is_file()]
    assert not any("hunter2" in text for text in (result.out, result.err, *kept))
    assert "raised ***" in result.out
    assert any('"log ***"' in text for text in kept)
    assert any("said ***" in text for text in kept)
