"""What the state hands out and takes in."""

import time
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.state.transitions import Status


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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as stored."""

    run_id: str
    status: Status
    generation: int
    started_at: int
    finished_at: int | None
    frozen: Frozen


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job of a run as stored."""

    status: Status
    outputs: dict[str, Any]
    skip_reason: str | None
    when_result: bool | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished file of a step."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The latest attempt of a step as stored."""

    attempt: int
    status: Status
    outputs: dict[str, Any]
    reason: str | None
    started_at: int
    finished_at: int | None
    artifacts: list[Artifact]


@dataclass(slots=True)
class StepEffects:
    """What an attempt leaves behind, committed with its SUCCESS or SKIPPED."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    consumed: set[str] = field(default_factory=set)
    ledger: dict[tuple[str, str], Any] = field(default_factory=dict)


def now_ms() -> int:
    """Wall clock, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
