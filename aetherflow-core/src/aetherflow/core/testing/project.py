"""A flow project in a folder for tests: writing flows, running them, reading their state."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aetherflow.core.checks.report import check_flow
from aetherflow.core.kernel.sequencing.results import FailureSummary, RunSummary
from aetherflow.core.kernel.sequencing.run_errors import RunFailedError, RunInterruptedError, RunUnknownError
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.records.migration import open_state
from aetherflow.core.runner import plan_flow, run_flow
from aetherflow.core.runtime.environment.snapshot import build_snapshot

FLOW_ID, JOB_ID = "flow", "main"
COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command: exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class RanStep:
    """One step of a finished run."""

    status: str
    outputs: dict[str, Any]
    """The outputs as stored in the state: JSON values."""
    reason: str | None = None
    artifacts: list[Path] = field(default_factory=list)
    """Paths of the step's artifacts."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished run, also one that failed."""

    summary: RunSummary
    steps: dict[str, RanStep]
    """Steps by id; with several jobs by `JOB.STEP`."""

    @property
    def status(self) -> str:
        return self.summary.status

    @property
    def error(self) -> FailureSummary | None:
        """The failure of the first failed job; None if there is none."""
        return next((job.error for job in self.summary.jobs if job.error), None)

    def __getitem__(self, step: str) -> RanStep:
        return self.steps[step]


class FlowProject:
    """A folder with flows, their state and their work folders.

    Runs in this process can use the installed steps and connectors, and those that a test registered by
    `register_step` and `register_connector`; `command` starts a process, which can use only installed ones. Variables
    AETHERFLOW_… of the test process are hidden from both.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.work = folder / "work"
        self.states = folder / "state"
        self.env: dict[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")},
            "AETHERFLOW_WORK_ROOT": str(self.work),
            "AETHERFLOW_STATE_ROOT": str(self.states),
        }
        """The environment of every run and command; a test may change it."""

    # Writing

    def write(self, text: str, name: str = "flow.yaml") -> Path:
        """Write a text file, dedented; returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def flow(
        self,
        *steps: Mapping[str, Any],
        resources: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        name: str = "flow.yaml",
    ) -> Path:
        """Write a flow of one job with these steps, each a map as in YAML: `{"id": …, "type": …, "inputs": {…}}`.

        The job's files are kept after the run. Returns the path of the flow file.
        """
        head: dict[str, Any] = {"id": FLOW_ID, "workspace": {"root": str(self.work), "cleanup_policy": "never"}}
        if params:
            head["params"] = dict(params)
        flow: dict[str, Any] = {"version": 1, "flow": head, "jobs": [{"id": JOB_ID, "steps": list(steps)}]}
        if resources:
            flow["resources"] = dict(resources)
        path = self.folder / name
        path.write_text(json.dumps(flow, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
        return path

    # Running

    def run(self, name: str = "flow.yaml", **options: Any) -> Ran:
        """Run a flow file in this process; `options` are those of `run_flow`.

        A run that failed or was stopped is returned; errors before a run, such as SpecError, are raised.
        """
        try:
            summary = run_flow(self.folder / name, **{"env": self.env, **options})
        except (RunFailedError, RunUnknownError, RunInterruptedError) as error:
            summary = error.summary
        return Ran(summary, _steps(summary))

    def run_step(
        self,
        step_type: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        resources: Mapping[str, Any] | None = None,
        before: Sequence[Mapping[str, Any]] = (),
        **keys: Any,
    ) -> Ran:
        """Run a flow with this step, under the id `step`, after the steps `before`; `keys` are further keys of it."""
        step = {"id": "step", "type": step_type, "inputs": dict(inputs or {}), **keys}
        self.flow(*before, step, resources=resources)
        return self.run()

    def effects(self, name: str = "flow.yaml", **options: Any) -> dict[str, list[str]]:
        """Step id to its lines of `aetherflow plan --effects`, for steps that would run; `options` of `plan_flow`."""
        plan = plan_flow(self.folder / name, **{"env": self.env, "effects": True, **options})
        steps = [step for job in plan.jobs for step in job.steps if step.effects is not None]
        return {step.key.step: list(step.effects.lines) or [step.effects.why] for step in steps if step.effects}

    def validate(self, name: str = "flow.yaml") -> list[dict[str, Any]]:
        """The errors of `aetherflow validate`, each a map with code, loc, msg, af, file, line, col and fix."""
        path = self.folder / name
        errors: list[dict[str, Any]] = check_flow(path, build_snapshot(path.parent, ambient=self.env)).as_json()[
            "errors"
        ]
        return errors

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> CommandResult:
        """Run the command `aetherflow` in a new process, in the folder."""
        done = subprocess.run(
            [sys.executable, "-m", "aetherflow.core", *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    # Looking

    def rows(self, sql: str, *parameters: Any, flow_id: str = FLOW_ID) -> list[tuple[Any, ...]]:
        """Query the state of a flow; the tables are those of docs/02-architecture.md."""
        with contextlib.closing(sqlite3.connect(self.states / f"{flow_id}.sqlite")) as connection:
            return connection.execute(sql, parameters).fetchall()

    def artifacts(self, ran: Ran, job_id: str = JOB_ID) -> Path:
        """The folder of a job's artifacts."""
        return self.work / ran.summary.flow_id / job_id / ran.summary.run_id / "artifacts"


def _steps(summary: RunSummary) -> dict[str, RanStep]:
    store = open_state(Path(summary.state_path))
    try:
        state = RunState(store, summary.flow_id, summary.run_id)
        state.load()
        outputs = {(key.job, key.step): state.steps.outputs(key) for key in state.steps.latest if not key.item}
    finally:
        store.close()
    alone = len(summary.jobs) == 1
    return {
        step.step_id if alone else f"{job.job_id}.{step.step_id}": RanStep(
            step.status,
            outputs.get((job.job_id, step.step_id), {}),
            step.reason,
            [Path(artifact.path) for artifact in step.artifacts],
        )
        for job in summary.jobs
        for step in job.steps
    }
