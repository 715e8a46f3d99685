"""Runs commands without starting an interpreter: forks them from one that has imported everything.

`Popen` and `run` have the parameters of those in `subprocess`. The processes differ from true starts in nothing that a
test of a command sees, which test_warm.py checks; what a fork cannot do raises NotWarmError and needs `true_start`.
"""

import atexit
import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

import auditing
import warm_shim
from warm_request import (
    APART,
    EXECUTABLE,
    UNPRIVILEGED,
    NotWarmError,
    Request,
    ask,
    inherited_signals,
    inherited_umask,
    receive,
)

__all__ = ["NotWarmError", "Popen", "forking", "run", "shims", "true_start"]
TESTS = str(Path(__file__).parents[1])
SERVER = Path(__file__).with_name("warm_server.py")
READ_AT_START = ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONIOENCODING")
MODES = ("-m", "-c")


T = TypeVar("T")


class TrueStart:
    """`subprocess` for commands that are started and not forked."""

    def Popen(self, *arguments: Any, **options: Any) -> "subprocess.Popen[Any]":  # noqa: N802 as in `subprocess`
        with _allowed():
            return subprocess.Popen(*arguments, **options)

    def run(self, *arguments: Any, **options: Any) -> "subprocess.CompletedProcess[Any]":
        """Run a process to its end."""
        with _allowed():
            return subprocess.run(*arguments, check=options.pop("check", False), **options)


def true_start(reason: str) -> TrueStart:
    """`run` and `Popen` for tests that need a true process start; `reason` says why a fork is not enough."""
    assert reason
    return TrueStart()


counts = {"started": 0, "forked": 0}
"""How many commands this test process has started and forked."""
_here = threading.local()


@contextlib.contextmanager
def _allowed() -> Iterator[None]:
    _here.allowed = True
    try:
        yield
    finally:
        _here.allowed = False


def _watch(_event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse true starts of commands by tests without `true_start`; starts by the product are allowed."""
    if not _is_command(arguments[1]):
        return
    frame: FrameType | None = sys._getframe(2)  # below the audit hook
    while frame is not None and frame.f_code.co_filename == subprocess.__file__:
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(TESTS):
        return
    if not getattr(_here, "allowed", False):
        raise AssertionError(f"{arguments[1]} is started: fork it (`warm`), or say why not (`warm.true_start`)")
    counts["started"] += 1


def _is_command(argv: object) -> bool:
    """Whether it is one of our programs, alone or behind a prefix."""
    parts = [os.fspath(part) for part in argv] if isinstance(argv, list | tuple) else []
    module = any(
        part == sys.executable and parts[number + 1 : number + 2] == ["-m"] and "aetherflow" in parts[number + 2][:10]
        for number, part in enumerate(parts)
    )
    return module or any(_is_script(part) for part in parts)


def _is_script(part: str) -> bool:
    """Whether it is one of our console scripts."""
    return Path(part).parent == Path(sys.executable).parent and Path(part).name.startswith("aetherflow")


auditing.listeners["subprocess.Popen"].append(_watch)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    for server in _servers.values():
        server.close()
    _servers.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(counts.values()):
        terminalreporter.write_line(f"commands: {counts['forked']} forked, {counts['started']} started")


class _Server:
    """The warm interpreter that forks, and the connection to it."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 open as long as the server lives
        self._life, theirs = socket.socketpair()
        self.path = Path(tempfile.mkdtemp(prefix="warm-"), "socket")
        try:
            with theirs:
                self._process = self._begin(theirs.fileno())
            self._ask(receive, self._life)
        except BaseException:  # a failed start must not leave anything behind
            self._life.close()
            self._errors.close()
            shutil.rmtree(self.path.parent)
            raise
        atexit.register(self.close)

    def _begin(self, life: int) -> "subprocess.Popen[bytes]":
        gone = ("AETHERFLOW_", "COVERAGE_PROCESS_", "LC_", *READ_AT_START)
        env = {name: value for name, value in os.environ.items() if not name.startswith(gone)} | {"LC_CTYPE": "C.UTF-8"}
        return subprocess.Popen(
            [sys.executable, str(SERVER), str(self.path), str(life)],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env=env,
            cwd="/",
            pass_fds=[life],
        )

    def start(self, request: Request, descriptors: Sequence[int]) -> tuple[int, socket.socket]:
        """Start a process: its pid, and the connection on which its wait status will come."""
        pid, connection = self._ask(ask, str(self.path), request, descriptors)
        return pid, socket.socket(fileno=connection.detach())

    def status(self, connection: socket.socket) -> int:
        """Receive a wait status."""
        status: int = self._ask(receive, connection)
        return status

    def _ask(self, question: Callable[..., T], *arguments: Any) -> T:
        try:
            return question(*arguments)
        except (EOFError, ConnectionError):
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(f"the warm interpreter has ended:\n{self._errors.read().decode()}") from None

    def close(self) -> None:
        """End the server and what still runs."""
        if os.getpid() != self._pid:
            return
        self._life.close()
        self._process.wait()
        self._errors.close()
        shutil.rmtree(self.path.parent, ignore_errors=True)


_servers: dict[int, _Server] = {}
_servers_lock = threading.Lock()


def _server() -> _Server:
    with _servers_lock:
        key = os.getpid()  # a forked test process must not share a server with its parent
        if key not in _servers:
            _servers[key] = _Server()
        return _servers[key]


class Popen(subprocess.Popen[Any]):
    """A forked command; behaves like `subprocess.Popen` in everything that tests use."""

    _waitpid_lock: threading.Lock  # of the base class
    _child_created: bool

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any,
        startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int,
        errread: int, errwrite: int, restore_signals: Any, gid: Any, gids: Any, uid: Any, umask: int,
        start_new_session: bool, process_group: int,
    ) -> None:  # fmt: skip
        if executable or preexec_fn or pass_fds or shell or gid or gids or uid or not (close_fds and restore_signals):
            raise NotWarmError(f"{args}: only a true start can take these arguments")
        prefix, argv = _split([os.fspath(part) for part in args])
        apart = prefix[len(APART) :] if prefix[: len(APART)] == APART else ()
        request = Request(
            argv,
            {os.fsencode(name): os.fsencode(value) for name, value in (os.environ if env is None else env).items()},
            str(Path(cwd or ".").absolute()),
            inherited_umask() if umask == -1 else umask,
            session=start_new_session,
            group=process_group,
            tied=False,
            apart=apart,
            unprivileged=prefix == UNPRIVILEGED,
            **inherited_signals(),
        )
        given = [number if ours == -1 else ours for number, ours in enumerate((p2cread, c2pwrite, errwrite))]
        self._server = _server()
        try:
            self.pid, self._connection = self._server.start(request, given)
        finally:
            for descriptor, other in ((p2cread, p2cwrite), (c2pwrite, c2pread), (errwrite, errread)):
                if descriptor != -1 and other != -1:
                    os.close(descriptor)
            if (devnull := getattr(self, "_devnull", None)) is not None:
                os.close(devnull)
            self._closed_child_pipe_fds = True
        self._child_created = True
        counts["forked"] += 1

    def _internal_poll(self, _deadstate: int | None = None, **_: object) -> int | None:
        if self.returncode is None and self._child_created:
            self._await(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if not self._await(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def _await(self, timeout: float | None) -> bool:
        """Wait for the end of the process; returns whether it has ended."""
        begun = time.monotonic()
        if not self._waitpid_lock.acquire(timeout=-1 if timeout is None else timeout):
            return False
        try:
            if self.returncode is None:
                poll = select.poll()
                poll.register(self._connection, select.POLLIN)
                left = None if timeout is None else max(0, begun + timeout - time.monotonic())
                if not poll.poll(None if left is None else left * 1000):
                    return False
                with self._connection:
                    self.returncode = os.waitstatus_to_exitcode(self._server.status(self._connection))
            return True
        finally:
            self._waitpid_lock.release()


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    input: Any = None,  # noqa: A002 as in `subprocess`
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a command to its end."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(args, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def shims() -> Path:
    """A folder for a shell's PATH with programs that stand in for the console scripts."""
    server = _server()
    folder = server.path.with_name("bin")
    if not folder.exists():
        folder.mkdir()
        for script in Path(sys.executable).parent.glob("aetherflow*"):
            warm_shim.write(str(folder / script.name), str(server.path), str(script))
        warm_shim.write(str(server.path.with_name("python")), str(server.path))
    return folder


def forking() -> dict[str, str]:
    """The environment for a command that starts our commands as `sys.executable -m`: these are forked as well."""
    return {EXECUTABLE: str(shims().with_name("python"))}


def _split(args: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The prefix and the arguments of the interpreter; a console script is a file for it."""
    for number, part in enumerate(args):
        if part == sys.executable:
            rest = args[number:]
        elif _is_script(part):
            rest = [sys.executable, *args[number:]]
        else:
            continue
        apart = tuple(args[: len(APART)]) == APART and not args[len(APART)].startswith("-")
        if (
            not (number == 0 or apart or tuple(args[:number]) == UNPRIVILEGED)
            or len(rest) < 2
            or (rest[1].startswith("-") and rest[1] not in MODES)
        ):
            break
        return tuple(args[:number]), tuple(rest)
    raise NotWarmError(f"{list(args)}: not a command of {sys.executable} that can be forked")
