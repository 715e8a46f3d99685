"""The child processes of one attempt, for its context."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aetherflow.core.base import durable
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.worker import RunThreadCall
from aetherflow.core.runtime.context.services import ContextServices

if TYPE_CHECKING:
    from aetherflow.core.runtime.processes.limited import LimitedCall


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
        request = RunThreadCall(attempt.control, lambda: services.processes.start(argv, cwd=cwd, env=given))
        return cast("subprocess.Popen[bytes]", request.ask())

    @contextmanager
    def limited(self, call: "LimitedCall", cwd: Path) -> Iterator[Iterator[Any]]:
        """As `RunContext.stream_limited`; the child is started as in `start`, and is gone at the end of the block."""
        processes, attempt = self._services.processes, self._attempt
        env = {**call.environment, **processes.of_step(attempt.idem_key)}
        start = partial(processes.start, call.argv, cwd=cwd, env=env, stdin=subprocess.PIPE)
        child = cast("durable.ChildProcess", RunThreadCall(attempt.control, start).ask())
        with call.asked(child, attempt.control.check) as values:
            try:
                yield values
            finally:
                processes.end(child, 0)

    def end(self, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        """As `RunContext.end_process`; may be called from any thread."""
        self._services.processes.end(process, grace_seconds)
