"""What is known of a start before its run begins, for `status` if it is refused."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.console.streams import recorded

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.snapshot import Snapshot


class NotedStart:
    """What is known of a start so far."""

    any_thread = True

    def __init__(
        self,
        flow: Path | None,
        manifest: Path | None = None,
        *,
        flow_id: str | None = None,
        given: Mapping[str, Any] | None = None,
        goes_on: bool = False,
        trigger: str = "cli",
        config: Path | None = None,
        here: Path | None = None,
    ) -> None:
        self.flow = flow
        """The flow file, or the path in a bundle; None as long as nothing says which flow is meant."""
        self.manifest = manifest
        self.flow_id = flow_id
        self.given = given or {}
        """The arguments of `run_flow` as they stand on the command line."""
        self.goes_on = goes_on
        """True for `resume`: the run has its inputs already."""
        self.trigger = trigger
        self.config = config
        self.here = here
        """Where it was typed, if a run goes on in another folder."""
        self.snapshot: Snapshot | None = None
        self.since = time.time_ns() // 1_000_000
        """When it began, in UTC epoch milliseconds."""
        self.entered = False
        """True once the run is recorded: from then on its state says what became of it."""

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Observe the run: it has begun."""
        del fields
        if event == "run_start" and not self.entered:
            self.entered = True
            recorded()
