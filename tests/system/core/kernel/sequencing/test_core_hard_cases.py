"""Cases that a review found: once steps ended by force, discarded outputs, odd text, literal secrets, verdicts."""

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.base.errors import LeaseLostError

if TYPE_CHECKING:
    from core_project import Project

RUN = ("run", "flow.yaml", "--run-id", "r")


@register_step("hard_note")
class Note(Step[Any]):
    """Writes its id and `v` to EFFECTS; files beside that one tell it to fail, to be skipped, to lose its lock."""

    def run(self) -> StepResult:
        """Do it."""
        effects = Path(self.ctx.env["EFFECTS"])
        with effects.open("a") as file:
            file.write(f"{self.id} {self.inputs.get('v', '')}\n")
        if effects.with_name(f"fail_{self.id}").exists():
            raise ValueError("told to fail")
        if effects.with_name(f"skip_{self.id}").exists():
            return StepResult("SKIPPED", reason="told to")
        if effects.with_name(f"lose_{self.id}").exists():
            effects.with_name(f"lose_{self.id}").unlink()
            self.ctx.control.cancel(LeaseLostError("the lock was lost"), "lost")  # type: ignore[attr-defined] # as a lease does
            raise ValueError("ended")
        if name := self.inputs.get("file"):
            with self.ctx.write_file(name) as out:
                out.write(b"x")
        return StepResult(output={"v": self.inputs.get("v"), "file": self.inputs.get("file")})


@register_step("hard_once")
class Once(Note):
    """The same, not to be repeated."""

    effect = "once"


@register_step("hard_outer")
class Outer(Step[Any]):
    """Runs the step that it is given."""

    inner_steps = {"step": frozenset[str]()}  # noqa: RUF012 as plugins write it

    def run(self) -> StepResult:
        """Do it."""
        step = self.inputs["step"]
        return StepResult(output=self.ctx.call_step(step["type"], step["inputs"], step_id="inner").output)


@register_step("hard_deaf")
class Deaf(Step[Any]):
    """The first time it sleeps, whatever is asked of it."""

    def run(self) -> StepResult:
        """Do it."""
        effects = Path(self.ctx.env["EFFECTS"])
        first = not effects.exists()
        effects.touch()
        if first:
            time.sleep(2.5)
            effects.write_text("woke up\n")
        return StepResult(output={"first": first})


# Text that is not Unicode


def test_an_environment_that_is_not_utf8_does_not_stop_a_run(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "a\udcff")
    project.flow(
        'jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, "{{env.ODD}}"]}}]}]\n'
    )
    assert project.cli(*RUN).code == 0
    assert project.cli(*RUN, "--from", "a", "--reason", "b\udcff").code == 0


def test_literal_secrets_of_profiles_and_addresses_are_not_stored(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = {"password": "pr0filepass", "from": "postgres://u:pr0fileurl@h/db"}
    profiles = {"p": {"config": {"path": "x.db"}, "options": {"pragmas": pragmas}}}
    monkeypatch.setenv("AETHERFLOW_PROFILES_JSON", json.dumps(profiles))
    project.flow("""\
        resources: {db: {kind: db, driver: sqlite3, profile: p}}
        jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, db, "https://u:urlpass@h"]}}]}]
        """)
    assert project.cli(*RUN).code == 0
    for secret in ("pr0filepass", "pr0fileurl", "urlpass"):
        assert stored(project, secret) == []


def stored(project: "Project", secret: str) -> list[str]:
    """The files of the state in which a secret stands."""
    with contextlib.closing(sqlite3.connect(project.state)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [path for path in project.states.rglob("*") if path.is_file()]
    return [path.name for path in files if secret.encode() in path.read_bytes()]


# What people and programs read


@register_step("hard_many")
class Many(Step[Any]):
    """Writes many files and names others."""

    def run(self) -> StepResult:
        """Do it."""
        for number in range(3000):
            path = self.ctx.artifacts_dir(self.ctx.job_id) / f"{number}.txt"
            path.touch()
            self.ctx._record(path, 0, "")  # type: ignore[attr-defined]
        return StepResult(output={"names": [f"other {number}" for number in range(3000)]})
