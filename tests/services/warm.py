"""Commands without the start of an interpreter: they are forked from one that has imported everything.

`Popen` and `run` take what those of `subprocess` take. The processes differ from true starts in nothing that a test
of a command sees, which test_warm.py proves; what cannot be so is refused with NotWarmError, and wants `true_start`.
"""

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from warm_server import Request, receive, send

SERVER = Path(__file__).with_name("warm_server.py")
OBEYED = ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONIOENCODING")
"""Variables that a forked process obeys as a started one does; of others of their kind, it has what the server has."""
MODES = ("-m", "-c")
INHERITED = ("setpriv",)
"""Programs that change a process and then become the command: the server is started under them."""


class NotWarmError(ValueError):
    """A process that a fork cannot stand in for."""


def true_start(reason: str) -> ModuleType:
    """`subprocess`, for a command whose own start is what the test is about; `reason` says what only it shows."""
    assert reason
    return subprocess


class _Server:
    """The interpreter that forks, and the way to it."""

    def __init__(self, prefix: tuple[str, ...]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 open as long as the server lives
        self.path = Path(tempfile.mkdtemp(prefix="warm-"), "socket")
        self._life, theirs = socket.socketpair()
        self._pid = os.getpid()
        ours = ("AETHERFLOW_", "COVERAGE_PROCESS_", "LC_", *OBEYED)
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"LC_CTYPE": "C.UTF-8"}
        self._fixed = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
        with theirs:
            number = theirs.fileno()
            command = [*prefix, sys.executable, str(SERVER), str(self.path), str(number)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors, env=env,
                pass_fds=[number], cwd="/",
            )  # fmt: skip
        self.loaded: dict[str, str | None] = self.answer(self._life)
        atexit.register(self.close)

    def answer(self, connection: socket.socket) -> Any:
        try:
            return receive(connection)
        except (EOFError, ConnectionResetError):
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(f"the warm interpreter has ended:\n{self._errors.read().decode()}") from None

    def start(self, request: Request, descriptors: Sequence[int]) -> tuple[int, socket.socket]:
        """Start a process: its pid, and the connection on which its wait status will come."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.path))
            socket.send_fds(connection, [b"\0"], descriptors)
            send(connection, vars(request))
            answer = self.answer(connection)
            if isinstance(answer, Exception):
                raise answer
        except BaseException:
            connection.close()
            raise
        return answer, connection

    def refuse(self, env: Mapping[bytes, bytes], argv: Sequence[str], cwd: str) -> None:
        """Raise NotWarmError for what only the start of an interpreter can do."""
        for name, value in env.items():
            at_start = name.startswith((b"PYTHON", b"LD_", b"DYLD_")) and os.fsdecode(name) not in OBEYED
            if at_start and self._fixed.get(name) != value:
                raise NotWarmError(f"{os.fsdecode(name)} is read when an interpreter starts")
        wanted = env.get(b"LC_ALL") or env.get(b"LC_CTYPE") or env.get(b"LANG") or b"C.UTF-8"
        if b"UTF" not in wanted.upper() and (env.get(b"LC_ALL") or wanted not in (b"C", b"POSIX")):
            raise NotWarmError(f"the locale {os.fsdecode(wanted)} has an encoding of its own")
        entries = os.fsdecode(env.get(b"PYTHONPATH", b"")).split(os.pathsep)
        if argv[1] == "-m":
            entries.append("")
        for entry in entries:
            for name in _modules(Path(cwd, entry)):
                if name in ("sitecustomize", "usercustomize"):
                    raise NotWarmError(f"{name} of {entry or cwd} is imported when an interpreter starts")
                if name in self.loaded and not (self.loaded[name] or "").startswith(f"{Path(cwd, entry)}{os.sep}"):
                    raise NotWarmError(
                        f"the module {name} of {entry or cwd} would not be seen: another one is imported"
                    )

    def close(self) -> None:
        """End the server and what still runs."""
        if os.getpid() != self._pid:
            return
        self._life.close()
        self._process.wait()
        self._errors.close()


_servers: dict[tuple[int, tuple[str, ...]], _Server] = {}
_servers_lock = threading.Lock()


def _server(prefix: tuple[str, ...]) -> _Server:
    with _servers_lock:
        key = os.getpid(), prefix  # a fork of the tests must not share the way to a server with its parent
        if key not in _servers:
            _servers[key] = _Server(prefix)
        return _servers[key]


class Popen(subprocess.Popen[Any]):
    """A command of this interpreter, forked; in all that tests use, the `Popen` of `subprocess`."""

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any,
        startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int,
        errread: int, errwrite: int, restore_signals: Any, gid: Any, gids: Any, uid: Any, umask: int,
        start_new_session: bool, process_group: int,
    ) -> None:  # fmt: skip
        if executable or preexec_fn or pass_fds or shell or gid or gids or uid or not (close_fds and restore_signals):
            raise NotWarmError(f"{args}: only a true start can take these arguments")
        prefix, argv = _split([os.fspath(part) for part in args])
        variables = {
            os.fsencode(name): os.fsencode(value) for name, value in (os.environ if env is None else env).items()
        }
        self._server = _server(prefix)
        here = str(Path(cwd or ".").absolute())
        self._server.refuse(variables, argv, here)
        given = [ours if ours != -1 else number for number, ours in enumerate((p2cread, c2pwrite, errwrite))]
        closed = frozenset(number for number, descriptor in enumerate(given) if not _is_open(descriptor))
        request = Request(
            argv=argv,
            env=variables,
            cwd=here,
            umask=_umask() if umask == -1 else umask,
            closed=closed,
            ignored=frozenset(
                number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN
            ),
            blocked=frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            session=start_new_session,
            group=process_group,
        )
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            descriptors = [nothing if number in closed else given[number] for number in range(3)]
            self.pid, self._connection = self._server.start(request, descriptors)
        finally:
            os.close(nothing)
            for descriptor, other in ((p2cread, p2cwrite), (c2pwrite, c2pread), (errwrite, errread)):
                if descriptor != -1 and other != -1:
                    os.close(descriptor)
            if (devnull := getattr(self, "_devnull", None)) is not None:
                os.close(devnull)
            self._closed_child_pipe_fds = True
        self._child_created = True

    def _internal_poll(self, _deadstate: int | None = None, **_: object) -> int | None:
        if self.returncode is None and self._child_created:
            self._await(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if not self._await(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def _await(self, timeout: float | None) -> bool:
        """Wait for the end; whether it has come."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            if not self._waitpid_lock.acquire(timeout=-1 if until is None else max(0, until - time.monotonic())):
                return False
            try:
                if self.returncode is not None:
                    break
                left = None if until is None else max(0, until - time.monotonic())
                poll = select.poll()
                poll.register(self._connection, select.POLLIN)
                if not poll.poll(None if left is None else left * 1000):
                    return False
                with self._connection:
                    self.returncode = os.waitstatus_to_exitcode(self._server.answer(self._connection))
            finally:
                self._waitpid_lock.release()
        return True


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


def _split(args: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The prefix and the arguments of the interpreter; a console script is a file for it."""
    here = Path(sys.executable).parent
    for number, part in enumerate(args):
        if part == sys.executable:
            rest = args[number:]
        elif Path(part).parent == here and Path(part).name.startswith("aetherflow"):
            rest = [sys.executable, *args[number:]]
        else:
            continue
        if (number and args[0] not in INHERITED) or len(rest) < 2 or (rest[1].startswith("-") and rest[1] not in MODES):
            break
        return tuple(args[:number]), tuple(rest)
    raise NotWarmError(f"{list(args)}: not a command of {sys.executable} that can be forked")


def _modules(folder: Path) -> Iterator[str]:
    """The top-level modules of a folder."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # a zip file, or none
        return
    for entry in entries:
        name, _, suffix = entry.name.partition(".")
        if suffix in ("py", "pyc") or suffix.endswith("so"):
            yield name
        elif not suffix and (name == "aetherflow" or Path(entry.path, "__init__.py").exists()):
            yield name


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _umask() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:  # no Linux: only by setting it
        os.umask(found := os.umask(0o077))
        return found
    return int(status.partition("Umask:")[2].split()[0], 8)
