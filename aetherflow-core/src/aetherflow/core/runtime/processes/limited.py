"""Calls a function in a child process with limits of memory and CPU time."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aetherflow.core.base.durable import ChildProcess
from aetherflow.core.base.errors import AetherflowError, LimitExceededError, ProcessError
from aetherflow.core.runtime.processes import limited_program

POLL_SECONDS = 0.1
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class LimitedCall:
    """A call of `package.module:function`; arguments and result are JSON."""

    function: str
    arguments: Mapping[str, Any]
    subject: str
    """What is decoded, for messages."""
    memory_bytes: int
    cpu_seconds: int
    fix: str

    @property
    def argv(self) -> Sequence[str]:
        python = [sys.executable or "python3", "-I", "-X", "utf8"]
        return [*python, str(Path(limited_program.__file__)), str(self.memory_bytes), str(self.cpu_seconds)]

    @property
    def environment(self) -> Mapping[str, str]:
        """None of the run's variables: code that reads strangers' files is given no secrets."""
        return {name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ}

    def finish(self, process: ChildProcess, check: Callable[[], None]) -> Any:
        """Send the call to its child and return the result; `check` is called regularly and may raise."""
        # folders given to this process by PYTHONPATH or by code hold installed modules, too
        path = [str(Path(folder).absolute()) for folder in sys.path]
        asked = json.dumps({"function": self.function, "arguments": dict(self.arguments), "path": path}).encode()
        # not by `communicate`: after a timeout it writes nothing more, and a child that is slow to start waits for ever
        threading.Thread(target=_feed, args=(process.stdin, asked), daemon=True).start()
        process.stdin = None
        while True:
            try:
                out, err = process.communicate(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                check()
        check()
        if process.returncode or not out:
            raise self._died(process, err)
        said = json.loads(out)
        if "error" in said:
            raise self._raised(said["error"])
        return said["result"]

    def _died(self, process: ChildProcess, err: bytes) -> AetherflowError:
        code, usage = process.returncode, process.usage
        used = 0.0 if usage is None else usage.ru_utime + usage.ru_stime
        if code == -signal.SIGXCPU or used >= self.cpu_seconds:
            message = f"{self.subject}: decoding it takes more than {self.cpu_seconds} s of CPU time"
            return LimitExceededError(message, fix=self.fix)
        if code == -signal.SIGABRT:  # what many libraries do when they get no memory
            return self._memory()
        if code == -signal.SIGKILL:
            message = f"{self.subject}: its decoder was killed; the system does so when it has no memory left"
            return LimitExceededError(message, fix=self.fix)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = err.decode(errors="replace").strip().splitlines()
        detail = f": {lines[-1].strip()[:300]}" if lines else ""
        return ProcessError(f"{self.subject}: its decoder ended with {how}{detail}", fix=self.fix)

    def _memory(self) -> LimitExceededError:
        given = math.ceil(self.memory_bytes / (1 << 20))
        return LimitExceededError(f"{self.subject}: decoding it takes more than {given} MiB of memory", fix=self.fix)

    def _raised(self, told: Mapping[str, Any]) -> BaseException:
        if told["kind"] == "memory":
            return self._memory()
        if told["kind"] == "os":
            return OSError(*told["args"])
        for module, name in told["classes"]:
            kind = getattr(sys.modules.get(module), name, None)  # no module is imported because a child names it
            if isinstance(kind, type) and issubclass(kind, AetherflowError):
                error = kind.__new__(kind)
                AetherflowError.__init__(error, told["text"], fix=told["fix"])
                return error
        first = told["classes"][0][1]
        return ProcessError(f"{self.subject}: its decoder failed: {first}: {told['text']}", fix=self.fix)


def _feed(stdin: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stdin:  # it has ended without reading all
        stdin.write(data)
