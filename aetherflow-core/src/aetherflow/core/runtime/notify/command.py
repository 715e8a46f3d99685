"""A rule's command: it gets the message as JSON on stdin."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections import deque
from functools import partial
from pathlib import Path
from typing import IO

from aetherflow.core.base import durable
from aetherflow.core.base.errors import ProcessError
from aetherflow.core.base.redact import Redactor
from aetherflow.core.host.names import STEPS
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.notify.due import Message
from aetherflow.core.runtime.notify.shapes import generic
from aetherflow.core.runtime.notify.text import compose, shown_by
from aetherflow.core.runtime.workspace.sandbox import child_env

PROCESS = "external.process"
"""The step that runs programs: a policy that denies it denies commands of rules, too."""
_BLOCK, _BLOCKS = 4096, 16


def run_command(message: Message, snapshot: Snapshot, redactor: Redactor, seconds: float) -> None:
    """Run the command of a rule in the project's folder. ProcessError if it does not end well, or in time."""
    if (why := snapshot.rules.refused(STEPS, PROCESS)) is not None:
        raise ProcessError(f"{why}, so that no command is run", fix="send to a resource")
    text = compose(message, redactor.mask)
    data = json.dumps(generic(message, text, partial(shown_by, redactor.mask))).encode()
    folder = snapshot.project.folder or Path.cwd()
    argv = message.rule.spec.command or []
    try:
        process = durable.spawn(argv, cwd=folder, env=child_env(snapshot.env, snapshot), stdin=subprocess.PIPE)
    except OSError as error:
        raise ProcessError(f"cannot be started: {error.strerror}", fix="check the path of the program") from error
    said = deque[bytes](maxlen=_BLOCKS)
    threading.Thread(target=_feed, args=(process.stdin, data), daemon=True).start()
    threading.Thread(target=_drain, args=(process.stdout, deque[bytes](maxlen=0)), daemon=True).start()
    reader = threading.Thread(target=_drain, args=(process.stderr, said), daemon=True)
    reader.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ProcessError(f"still running after {seconds:g} s, and ended", fix="make it faster") from None
    reader.join(1)  # what it left running may keep the pipe open
    if code:
        lines = b"".join(said).decode(errors="replace").strip().splitlines()
        raise ProcessError(f"exit code {code}{f': {lines[-1]}' if lines else ''}", fix="run it by hand")


def _feed(stdin: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stdin:  # it has ended without reading all
        stdin.write(data)


def _drain(stream: IO[bytes], said: deque[bytes]) -> None:
    with stream:
        while block := os.read(stream.fileno(), _BLOCK):
            said.append(block)
