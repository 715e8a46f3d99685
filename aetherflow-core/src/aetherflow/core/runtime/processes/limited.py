"""Calls a function in a child process with limits of memory and CPU time."""

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from aetherflow.core.base.durable import ChildProcess
from aetherflow.core.base.errors import AetherflowError, LimitExceededError, ProcessError
from aetherflow.core.runtime.processes import limited_program

POLL_SECONDS = 0.1
_BLOCK = 2**16
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
        """None of the run's variables: code that reads third-party files is given no secrets."""
        return {name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ}

    @contextmanager
    def asked(self, process: ChildProcess, check: Callable[[], None]) -> Iterator[Iterator[Any]]:
        """Send the call to its child; in the block its `values` can be had, after it no pipe is open."""
        # folders given to this process by PYTHONPATH or by code hold installed modules, too
        path = [str(Path(folder).absolute()) for folder in sys.path]
        asked = json.dumps({"function": self.function, "arguments": dict(self.arguments), "path": path}).encode()
        threading.Thread(target=_feed, args=(process.stdin, asked), daemon=True).start()
        process.stdin = None
        streams = cast(IO[bytes], process.stdout), cast(IO[bytes], process.stderr)
        with streams[0], streams[1], closing(self.values(process, check)) as values:
            yield values

    def values(self, process: ChildProcess, check: Callable[[], None]) -> Generator[Any]:
        """Yield what the function yields as soon as it is there, else its result.

        `check` is called regularly while the child is waited for, and may raise.
        """
        said: dict[str, Any] = {}
        out, err = bytearray(), bytearray()
        for stream, data in _read(process, check):
            if stream is process.stderr:
                err += data
                continue
            out += data
            if b"\n" in data:
                *lines, out = out.split(b"\n")
                for line in lines:
                    said = json.loads(line)
                    if "value" in said:
                        yield said["value"]
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
            check()
        if "error" in said and not process.returncode:
            raise self._raised(said["error"])
        if process.returncode or "ended" not in said:
            raise self._died(process, err)

    def _died(self, process: ChildProcess, err: bytearray) -> AetherflowError:
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


def _read(process: ChildProcess, check: Callable[[], None]) -> Iterator[tuple[IO[bytes], bytes]]:
    """What the child writes to stdout and stderr, until it has closed both."""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(cast(IO[bytes], stream), selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(POLL_SECONDS):
                if data := os.read(key.fd, _BLOCK):
                    yield cast(IO[bytes], key.fileobj), data
                else:
                    selector.unregister(key.fileobj)
            check()


def _feed(stdin: IO[bytes], data: bytes) -> None:
    with suppress(BrokenPipeError), stdin:  # it has ended without reading all
        stdin.write(data)
