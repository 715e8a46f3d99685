"""The records that the state stores and returns."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aetherflow.core.base.said import Reason, code_of
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.transitions import Status

CLEANUP = "cleanup "
"""How `gone_by` begins for files that a cleanup took, of the flow's policy or of the project's retention: the run may
still be resumed.
"""


class Frozen(NamedTuple):
    """The inputs that are fixed when a run starts: parameters, slot (UTC, None without one), dates as ISO text."""

    params: dict[str, Any]
    slot: str | None
    run_date: str
    data_date: str


class RunFacts(NamedTuple):
    """The facts about a start of a run: engine, flow, user, process, command."""

    engine_version: str
    flow_path: str
    fingerprint: str
    actor: str
    host: str
    pid: int
    trigger: str
    command: str
    parent: str | None = None
    """`FLOW/RUN` of the run that started this one; None without one."""
    config: str | None = None
    """Absolute path of the project file; None without one."""
    manifest: str | None = None
    """Absolute path of the bundle's manifest; None without one."""
    working_dir: str | None = None
    owner: str | None = None
    """As the flow says, for `status`; `runbook` likewise."""
    runbook: str | None = None
    outermost: str | None = None
    """Of a run that another one waits for: the first of these, as `Member.text`."""
    part: str | None = None
    """The jobs that were asked for so far, a JSON list; None for all."""


class RunRecord(NamedTuple):
    """The stored row of a run."""

    run_id: str
    status: Status
    reason: Reason | None
    generation: int
    started_at: int
    finished_at: int | None
    frozen: Frozen
    part: tuple[str, ...]
    """The jobs that were asked for so far; empty for all."""
    host: str
    """Where the latest process of the run was."""

    @property
    def partial(self) -> bool:
        """Whether it ended with SUCCESS without some of its jobs."""
        return code_of(self.reason) == StateReason.PARTIAL


class JobRecord(NamedTuple):
    """The stored row of a job, without its outputs."""

    status: Status
    skip_reason: Reason | None
    when_result: bool | None
    def_hash: str


class StepKey(NamedTuple):
    """The key of a step in a run; `item` is empty except for an item of a `for_each`."""

    job: str
    step: str
    item: str = ""

    def __str__(self) -> str:
        return f"{self.job}.{self.step}" + (f"[{self.item}]" if self.item else "")


class Artifact(NamedTuple):
    """A finished file of a step: absolute path, size in bytes, sha256 in hexadecimal."""

    path: str
    size: int
    sha256: str


class StoredArtifact(NamedTuple):
    """An artifact as stored; `gone_by` names the step or the cleanup that removed the file."""

    key: StepKey
    path: str
    size: int
    sha256: str
    gone_by: str | None

    @property
    def removed(self) -> str | None:
        """What removed the file, for summaries: the cleanup policy or a step; None if it was not removed."""
        return self.gone_by.removeprefix(CLEANUP) if self.gone_by else None


@dataclass(slots=True, eq=False, repr=False)
class StepRecord:
    """The latest attempt of a step as stored, without its outputs."""

    attempt: int
    status: Status
    effect: str
    reason: Reason | None
    error: str | None
    started_at: int
    finished_at: int | None
    def_hash: str
    def_version: int
    secret_keys: tuple[str, ...]
    """Names of outputs that were not stored, since they hold a secret."""


class StepStart(NamedTuple):
    """The record of an attempt's start, which is committed before the attempt may have any effect."""

    key: StepKey
    effect: str
    idem_key: str
    plugin: str
    def_hash: str
    items: str | None = None
    """The frozen list of a `for_each`, as JSON: `{"items": […]}`."""
    label: str | None = None
    """Name of the item for people."""


@dataclass(slots=True, eq=False, repr=False)
class StepEffects:
    """The effects of an attempt, committed with its SUCCESS or SKIPPED."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    consumed: set[str] = field(default_factory=set)
    ledger: dict[tuple[str, str], Any] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Entries of the ledger that are committed with whatever end the attempt comes to."""
    of_parts: dict[type, Any] = field(default_factory=dict)
    """Effects that parts of the run record with the end, one object for each type."""
    read: Callable[[], Mapping[str, Any]] = dict
    """Returns what the attempt has read and started; called once its work has ended, recorded with any end."""


class StepEnd(NamedTuple):
    """The record of a successful end of an attempt: SUCCESS or SKIPPED."""

    status: Status
    outputs: str
    """The outputs of the step as JSON text."""
    reason: Reason | None
    effects: StepEffects
    secret_keys: tuple[str, ...] = ()
    job_outputs: str | None = None
    """All outputs of the job so far, as JSON; None if the step adds none."""


@dataclass(slots=True, eq=False, repr=False)
class Intervention:
    """What a person changes about a run before it is resumed; recorded with `actor` and `reason`."""

    actor: str = ""
    reason: str | None = None
    discard_steps: list[StepKey] = field(default_factory=list)
    discard_jobs: dict[str, bool] = field(default_factory=dict)
    """Job to True if its `when` is evaluated again."""
    kept_outputs: dict[str, set[str]] = field(default_factory=dict)
    """Discarded job to the names of its outputs that are kept."""
    accepted: list[tuple[StepKey, str]] = field(default_factory=list)
    """Finished steps (or jobs, with an empty step) that keep their result, with the hash of the new definition."""
    decided: dict[StepKey, str] = field(default_factory=dict)
    """Interrupted `once` steps to `done` or `again`."""
    why: str = ""
    """Why results are discarded, as text."""


def now_ms() -> int:
    """The wall clock in UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
