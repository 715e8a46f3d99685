"""What the state hands out and takes in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aetherflow.core.base.said import Reason, code_of
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.transitions import Status


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is fixed when a run starts: parameters, slot (UTC, null without one), dates as ISO text."""

    params: dict[str, Any]
    slot: str | None
    run_date: str
    data_date: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run records about its circumstances."""

    engine_version: str
    flow_path: str
    fingerprint: str
    actor: str
    host: str
    pid: int
    trigger: str
    command: str
    parent: str | None = None
    """`FLOW/RUN` of the run that started this one, if one did."""
    config: str | None = None
    """The project file, absolute."""
    manifest: str | None = None
    """That of the bundle, absolute."""
    working_dir: str | None = None
    owner: str | None = None
    """As the flow says, for `status`; `runbook` likewise."""
    runbook: str | None = None
    outermost: str | None = None
    """Of a run that another one waits for: the first of these, as `Member.text`."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The row of a run, as its latest process left it."""

    run_id: str
    status: Status
    reason: Reason | None
    generation: int
    started_at: int
    finished_at: int | None
    frozen: Frozen

    @property
    def partial(self) -> bool:
        """Whether it ended well without some of its jobs."""
        return code_of(self.reason) == StateReason.PARTIAL


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job of a run as stored."""

    status: Status
    skip_reason: Reason | None
    when_result: bool | None
    def_hash: str


class StepKey(NamedTuple):
    """A step of a run; `item` is empty but for one item of a `for_each`."""

    job: str
    step: str
    item: str = ""

    def __str__(self) -> str:
        return f"{self.job}.{self.step}" + (f"[{self.item}]" if self.item else "")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished file of a step."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An artifact as stored; `gone_by` names the step or the cleanup that removed the file."""

    key: StepKey
    path: str
    size: int
    sha256: str
    gone_by: str | None

    @property
    def removed(self) -> str | None:
        """What removed the file, as a summary tells it: the cleanup policy, or a step."""
        return self.gone_by.removeprefix("cleanup ") if self.gone_by else None


@dataclass(slots=True)
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
    """Outputs that hold a secret and were therefore not stored."""


@dataclass(frozen=True, slots=True)
class StepStart:
    """What is written down before an attempt may have any effect."""

    key: StepKey
    effect: str
    idem_key: str
    plugin: str
    def_hash: str
    items: list[Any] | None = None
    """The frozen list of a `for_each`."""


@dataclass(frozen=True, slots=True)
class StagedClaim:
    """A key of a ledger that an attempt claims."""

    namespace: str
    key: str
    value: Any
    identity: str
    artifact: Artifact | None
    taken_from: str | None
    """The run that holds the key still."""
    seen: str | None
    """The mark of the final value that the attempt saw; None if there was none."""


@dataclass(slots=True)
class StepEffects:
    """What an attempt leaves behind, committed with its SUCCESS or SKIPPED."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    consumed: set[str] = field(default_factory=set)
    ledger: dict[tuple[str, str], Any] = field(default_factory=dict)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Entries of the ledger that are committed with whatever end the attempt comes to."""
    seen: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """By ledger, and prefix of the keys that were read: the marks of what was there."""
    claims: dict[tuple[str, str], StagedClaim] = field(default_factory=dict)
    """For the transaction that ends the attempt well, unless the step commits them before."""
    claimed: dict[tuple[str, str], StagedClaim] = field(default_factory=dict)
    """Those that it has committed already."""


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How an attempt ended well."""

    status: Status
    outputs: Mapping[str, Any]
    reason: Reason | None
    effects: StepEffects
    secret_keys: tuple[str, ...] = ()
    job_outputs: Mapping[str, Any] | None = None
    """All outputs of the job so far; None if the step adds none."""


@dataclass(slots=True)
class Intervention:
    """What a person changed about a run before it goes on, written down with `reason`."""

    actor: str = ""
    reason: str | None = None
    discard_steps: list[StepKey] = field(default_factory=list)
    discard_jobs: dict[str, bool] = field(default_factory=dict)
    """Job to True if its `when` is asked again."""
    kept_outputs: dict[str, set[str]] = field(default_factory=dict)
    """Discarded job to the names of those of its outputs that stay."""
    accepted: list[tuple[StepKey, str]] = field(default_factory=list)
    """Finished steps (a job: step is empty) that keep their result under a new definition, by its hash."""
    decided: dict[StepKey, str] = field(default_factory=dict)
    """Interrupted `once` steps to `done` or `again`."""
    why: str = ""
    """Why results are discarded: the option that asked, or what is missing."""


def now_ms() -> int:
    """Wall clock, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
