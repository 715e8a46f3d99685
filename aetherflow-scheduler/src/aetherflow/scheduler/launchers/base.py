"""What a launcher is: it starts the run of a slot somewhere, and tells how it ended."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GROUP = "aetherflow.launchers"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to be started."""

    item: str
    run_id: str
    slot: str
    """The instant in UTC, written `2026-11-25T01:00:00Z`."""
    arguments: tuple[str, ...]
    """Those of `aetherflow`: `run`, the flow, `--run-id`, `--slot`, parameters."""
    folder: Path
    """Working directory of the run: that of the schedule."""
    log: Path
    """File for what the run writes to stderr; what it prints goes to the file of that name that ends in `.json`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside those of this process."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a start ended: the exit code of `aetherflow run`, or minus the signal that killed it."""

    exit_code: int
    summary: Mapping[str, Any] | None = None
    """What `run --json` printed, if it could be read."""


class Running(ABC):
    """A run that was started."""

    pid: int | None = None
    """Its process, where it has one on this host."""
    birth: str | None = None
    """What tells this process from a later one of the same number."""

    @abstractmethod
    def poll(self) -> Outcome | None:
        """How it ended; None while it goes on."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask it to stop, so that it can be resumed: SIGTERM."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, with all that belongs to it."""


class Launcher(ABC):
    """Starts runs. One object serves all items that name it; it may be called for many runs at a time."""

    @abstractmethod
    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        """Start a run and return at once; `ended` is called, from any thread, when `poll` has an outcome.

        Raises OSError if it cannot be started, which `retry` tries again; anything else fails the slot. It must be
        given the run id of the request: an earlier process of the same run may still be there, and `--if-busy wait`
        among the arguments waits for it.
        """
