"""The interface of launchers, which start the run of a slot and report how it ended."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from aetherflow.core.embedding import Reason

GROUP = "aetherflow.launchers"
BROKER_URL = "AETHERFLOW_BROKER_URL"
"""Variable with the address of the broker and its password, which no run gets."""
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON may hold as they are, and YAML may not."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a launcher needs to start one run."""

    item: str
    """The item's id."""
    run_id: str
    """The run's id, which is among the arguments, too."""
    slot: str
    """The slot's instant in UTC, such as `2026-11-25T01:00:00Z`."""
    arguments: tuple[str, ...]
    """Arguments of the program `aetherflow`: `run`, the flow, `--run-id`, `--slot`, parameters; for an item with
    `command:` it is `wrap`, with the command behind `--`."""
    folder: Path
    """Working directory of the run: the folder of the scheduler document."""
    log: Path
    """File for the run's stderr, whose folder may be missing; stdout goes to that name with the suffix `.json`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables in addition to those of this process."""
    queue: str | None = None
    """Name of the queue that the item names, for launchers that have queues."""
    fan_out_queue: str | None = None
    """Likewise that for the runs that a step of the run has side by side."""
    schedule: str = ""
    """Path of the schedule's document."""
    generation: int = 0
    """Number of the slot's start, from 1 on."""

    @property
    def shown_arguments(self) -> tuple[str, ...]:
        """The arguments with `--param -` in place of all parameters, which every account would see in `ps`.

        The program then reads the parameters from stdin: give it `stdin`.
        """
        return (*self.arguments[: self._end], "--param", "-") if self.stdin is not None else self.arguments

    @property
    def stdin(self) -> bytes | None:
        """What the program reads with `shown_arguments`; None if it reads nothing."""
        given = dict(each.split("=", 1) for each in self.arguments[self._end + 1 :: 2])
        text = json.dumps(given, ensure_ascii=False)
        return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() if given else None

    @property
    def _end(self) -> int:
        """Where the parameters begin, which are the last arguments."""
        end = len(self.arguments)
        while self.arguments[0:1] == ("run",) and self.arguments[end - 2 : end - 1] == ("--param",):
            end -= 2
        return end


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the exit code of `aetherflow`, or the negative number of the signal that killed it."""

    exit_code: int
    """That of `aetherflow run`, or the negative number of a signal."""
    summary: Mapping[str, Any] | None = None
    """The JSON document that `run --json` printed; None if it could not be read."""


class LateHeartbeat(NamedTuple):
    """A heartbeat that is late, of what executes runs elsewhere."""

    code: str
    """For programs, such as `worker_late`."""
    text: str
    """For people, in one line."""
    since: int
    """The last heartbeat, in UTC epoch milliseconds; the same at each call until the next one."""

    @classmethod
    def of(cls, reason: Reason, since: int) -> Self:
        """The heartbeat that is late for a reason."""
        return cls(str(reason.code), str(reason), since)


class Running(ABC):
    """Handle of a run that a launcher has started. All methods return at once."""

    pid: int | None = None
    """Process id of the run; None if it has no process on this host."""
    birth: str | None = None
    """Start time of the process, as `birth_of` returns it; it distinguishes reused process ids."""

    @abstractmethod
    def poll(self) -> Outcome | None:
        """The outcome of the run; None while it is running."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask the run to stop in a resumable way, as SIGTERM does."""

    @abstractmethod
    def kill(self) -> None:
        """Kill the run and all its processes at once."""


class Launcher(ABC):
    """Starts runs. One object serves all items that name it, and has many runs at a time."""

    @abstractmethod
    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        """Start a run and return at once. The launcher calls `ended`, from any thread, when `poll` has an outcome.

        Raises OSError if the run cannot be started, which the item's `retry` repeats; any other exception fails the
        slot. The run must get the run id of the request: an earlier process of the same run may still exist, and
        `--if-busy wait` among the arguments makes the new one wait for it.
        """

    def late_heartbeats(self, lease_seconds: float, queues: Collection[str | None]) -> Sequence[LateHeartbeat]:
        """Return at once which heartbeats of workers and brokers are late; `status` shows them.

        The leading scheduler asks every few seconds. `queues` are those that enabled items name. This one has none.
        """
        del lease_seconds, queues
        return ()
