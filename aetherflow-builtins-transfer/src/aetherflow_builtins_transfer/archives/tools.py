"""Runs archive programs: drains their output, ends their process groups, and keeps secrets out of command lines."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from aetherflow.core.api import ProgramTools, RunContext
from aetherflow_builtins_transfer.archives.failures import ArchiveError
from aetherflow_builtins_transfer.archives.unpack import Tick, no_tick

_POLL_SECONDS = 0.1
_KEPT_BYTES = 2000
_GRACE_SECONDS = 5.0
STDIN_SHELL = ("/bin/sh", "-c", 'exec "$@" < "$0"')
"""A shell command that executes its arguments with a file as standard input; the first argument is that file."""


class StepTools:
    """Starts programs for a step; the run supervises them."""

    def __init__(self, ctx: RunContext) -> None:
        self._ctx = ctx

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return self._ctx.spawn(argv, cwd=cwd, env=env)

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        self._ctx.end_process(process, _GRACE_SECONDS)

    def check(self) -> None:
        self._ctx.check_cancelled()

    def environment(self) -> Mapping[str, str]:
        return self._ctx.child_env


class OwnTools:
    """Starts programs for a connector that is used outside a step."""

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def check(self) -> None:
        pass

    def environment(self) -> Mapping[str, str]:
        return os.environ


def run_tool(
    tools: ProgramTools,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float | None,
    name: str,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run a program to its end; ArchiveError if it fails or takes longer than `timeout` seconds.

    `watch` is called regularly and may raise to end the program. `name` is the program's name in messages, which
    contain neither its arguments nor its environment.
    """
    try:
        process = tools.start(argv, cwd, {**tools.environment(), **env})
    except OSError as error:
        raise ArchiveError(f"{name} cannot be started: {error.strerror}", fix=f"install {name}") from error
    deadline = None if timeout is None else time.monotonic() + timeout
    with _Tail(process.stdout), _Tail(process.stderr) as errors:
        try:
            while process.poll() is None:
                tools.check()
                watch()
                if deadline is not None and time.monotonic() > deadline:
                    raise ArchiveError(f"{name} still ran after {timeout:g} s", fix="raise options.timeout")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        finally:
            tools.end(process)
    watch()
    if process.returncode:
        secrets = [value for value in env.values() if len(value) > 3]
        raise ArchiveError(
            f"{name} ended with exit code {process.returncode}{errors.told(secrets)}",
            fix=f"run {name} by hand to see more; a wrong password ends like this, too",
        )


@dataclass(frozen=True, slots=True)
class Work:
    """The hooks for creating or unpacking an archive: progress, and the starter of programs."""

    tick: Tick = no_tick
    tools: ProgramTools = field(default_factory=OwnTools)


class _Tail:
    """Reads a pipe to its end in a thread and keeps its last bytes."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while self._pipe and (data := self._pipe.read1(65536)):  # type: ignore[attr-defined]  # pipes are buffered
            self._kept = (self._kept + data)[-_KEPT_BYTES:]

    def told(self, secrets: Sequence[str]) -> str:
        """The last line of the output, with secrets masked, as the end of a sentence; empty if there was none."""
        lines = self._kept.decode(errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else ""
        for secret in secrets:
            last = last.replace(secret, "***")
        return f": {last}" if last else ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(_GRACE_SECONDS)
        if self._pipe and not self._thread.is_alive():
            self._pipe.close()
