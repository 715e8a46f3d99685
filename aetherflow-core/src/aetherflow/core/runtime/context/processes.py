"""The child processes of one attempt, for its context."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.worker import SpawnRequest
from aetherflow.core.runtime.context.services import ContextServices


class AttemptProcesses:
    """Starts the children of one attempt; their environment holds the idempotency key and the lock's token."""

    def __init__(self, services: ContextServices, attempt: Attempt) -> None:
        self._services = services
        self._attempt = attempt

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None) -> "subprocess.Popen[bytes]":
        """As `RunContext.spawn`; the child is started by the thread that waits for the attempt."""
        services, attempt = self._services, self._attempt
        base = {**(services.child_env if env is None else env), **services.lock_env}
        given = {**base, **services.processes.of_step(attempt.idem_key), **attempt.leases.environment}
        request = SpawnRequest(attempt.control, lambda: services.processes.start(argv, cwd=cwd, env=given))
        return cast("subprocess.Popen[bytes]", request.ask())

    def end(self, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        """As `RunContext.end_process`; may be called from any thread."""
        self._services.processes.end(process, grace_seconds)
