"""An interpreter that has imported all of AetherFlow and forks itself for each command; `warm` is its client.

Started as `python warm_server.py SOCKET LIFE`. SOCKET is the socket on which it listens; it ends when the other end of
the descriptor LIFE is closed. A child makes itself look like an interpreter that was just started, sends the client its
pid, and goes on as `python [-P] -m MODULE`, `python -c CODE` or `python FILE`. The server reports to the client how it
ended.
"""

import atexit
import codecs
import ctypes
import gc
import importlib
import io
import linecache
import locale
import os
import pickle
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huge_pages
import immortal
from measuring import measured
from warm_request import (
    DESCRIPTORS,
    EXECUTABLE,
    FAILPOINT,
    UNPRIVILEGED,
    NotWarmError,
    Request,
    is_open,
    receive,
    send,
)

PACKAGES = (
    "aetherflow.core",
    "aetherflow.scheduler",
    "aetherflow_builtins_db",
    "aetherflow_builtins_reports",
    "aetherflow_builtins_rest",
    "aetherflow_builtins_transfer",
)
OBEYED = {b"PYTHONPATH", b"PYTHONWARNINGS", b"PYTHONDONTWRITEBYTECODE", b"PYTHONUNBUFFERED", b"PYTHONIOENCODING"}
"""Python variables that a child applies as at a true start; for other ones the server's values hold."""
SCRAMBLED = Path(__file__).with_name("scrambled")
"""A folder whose `sitecustomize` is the only one that a child imports."""
FLOW = """
version: 1
flow: {id: rehearsal}
jobs:
  - id: main
    steps: [{id: look, type: assert, inputs: {condition: "true"}}]
"""
SCHEDULE = """
version: 1
items:
  - id: night
    flow_yaml: flow.yaml
    cron: "30 2 * * *"
    timezone: Europe/Berlin
"""
REHEARSED = (
    ("aetherflow.core", "plan", "flow.yaml", FLOW),
    ("aetherflow.scheduler", "validate", "scheduler.yaml", SCHEDULE),
)
"""Package, command, and the file that it reads."""
KEPT = ("is_secret_name", "no_project")
"""Functions that remember what depends on nothing but their arguments, and takes half a millisecond."""
C_LOCALES = ("C", "POSIX")
CLONE_NEWNS, CLONE_NEWUTS = 0x00020000, 0x04000000
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
"""Of <sched.h> and <sys/mount.h>."""
PR_CAPBSET_DROP = 24
CAPABILITIES_3 = 0x20080522
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
"""Of <sys/prctl.h> and <linux/capability.h>."""
PEER = struct.Struct("3i")
"""Process, user and group at the other end of a socket."""
COERCED = "C.UTF-8"
"""The locale that Python uses instead of C, and passes to its children as LC_CTYPE (PEP 538)."""


@dataclass(frozen=True)
class Filters:
    """Warning filters: the initial ones of an interpreter, and those that imported modules add."""

    initial: list[Any]
    imported: list[Any]


class Server:
    """Accepts requests, forks, and reports how children end.

    Each connection is one process: the request with its descriptors goes one way, pid and wait status the other.
    """

    def __init__(self, listener: socket.socket, life: socket.socket) -> None:
        self._listener = listener
        self._life = life
        self._children: dict[int, tuple[Request, socket.socket]] = {}

    def serve(self) -> tuple[Request, list[int], socket.socket] | None:
        """Serve until the tests are over: None. In a child: its request, its descriptors and its connection."""
        ended, wake = socket.socketpair()
        with self._listener, self._life, ended, wake, selectors.DefaultSelector() as selector:
            for end in (ended, wake):
                end.setblocking(False)
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            for source in (self._listener, self._life, ended):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is ended:
                        ended.recv(1 << 12)
                        self._reap(selector)
                    elif key.fileobj is self._life:
                        self._kill(self._children)
                        return None
                    elif key.fileobj is self._listener:
                        if (child := self._accept(selector)) is not None:
                            return child
                    elif key.data in self._children:  # else it has been waited for in this round
                        # a connection becomes readable only when the client closes it
                        selector.unregister(key.fileobj)
                        self._kill([key.data])

    def _accept(self, selector: selectors.BaseSelector) -> tuple[Request, list[int], socket.socket] | None:
        """Fork for a new connection: None in the server."""
        connection, _ = self._listener.accept()
        try:
            _, descriptors, _, _ = socket.recv_fds(connection, 1, DESCRIPTORS)
            request = Request(**receive(connection))
        except (EOFError, ConnectionError):
            connection.close()
            return None
        if (pid := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            for _, other in self._children.values():
                other.close()
            return request, descriptors, connection
        for descriptor in descriptors:
            os.close(descriptor)
        self._children[pid] = request, connection
        if request.tied:
            selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def _reap(self, selector: selectors.BaseSelector) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            _, connection = self._children.pop(pid)
            if connection in selector.get_map():
                selector.unregister(connection)
            with connection, suppress(ConnectionError):
                send(connection, status)

    def _kill(self, pids: Iterable[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


# In the server, before the first request


def import_all() -> Filters:
    """Import every module of the distributions; what these import only when a flow needs it stays out."""
    initial = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning at import would also fail a command under PYTHONWARNINGS=error
        strict = list(warnings.filters)
        for name in PACKAGES:
            try:
                package = importlib.import_module(name)
            except ModuleNotFoundError:  # a distribution that is not installed
                continue
            _import_below(package)
        return Filters(initial, [one for one in warnings.filters if one not in strict])


def _import_below(package: types.ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name.rpartition(".")[2] in ("__main__", "testing"):
            continue
        module = importlib.import_module(found.name)
        if found.ispkg:
            _import_below(module)


def build_models() -> None:
    """Build the models that wait for their first use; otherwise each child does, in a third of a `validate`."""
    from pydantic import BaseModel

    waiting = list(BaseModel.__subclasses__())
    for model in waiting:
        waiting += model.__subclasses__()
        model.model_rebuild(raise_errors=False)


def rehearse() -> None:
    """Plan a run and check a schedule: what a process makes on its first use takes longer than the rest of a command.

    Nothing that begins a thread: the C library does not forget it.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()) as said,
    ):
        os.environ |= {"AETHERFLOW_STATE_ROOT": f"{folder}/state", "AETHERFLOW_WORK_ROOT": f"{folder}/work"}
        for package, command, name, text in REHEARSED:
            if package in sys.modules:  # the scheduler may be missing
                file = Path(folder, name)
                file.write_text(text)
                if (code := importlib.import_module(f"{package}.cli").main([command, str(file)])) != 0:
                    raise RuntimeError(f"the rehearsal of {command} has ended with {code}: {said.getvalue()}")


def build_commands() -> None:
    """Build all commands, with what reads their parameters."""
    import typer
    from typer.core import TyperGroup

    from aetherflow.core.cli import app

    waiting: list[Any] = [app._for_its_own()]
    with suppress(ModuleNotFoundError):  # the scheduler may be missing
        waiting.append(importlib.import_module("aetherflow.scheduler.cli.app")._program())
    for command in waiting:
        for param in command.params:
            if hasattr(param, "get_runtime_param"):
                param.get_runtime_param()
        if isinstance(command, TyperGroup):
            context = typer.Context(command)
            waiting += [command.get_command(context, name) for name in command.list_commands(context)]


def must_be_alone(known: set[int]) -> None:
    """Raise RuntimeError if an import has started a thread or opened a descriptor, which forks must not inherit."""
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()
    left = _descriptors() - known
    if threads != 1 or left:
        raise RuntimeError(f"after the imports there are {threads} threads, and descriptors {left}")


def forget() -> None:
    """Clear caches of data that was read from disk during the imports."""
    importlib.invalidate_caches()
    for name, module in sys.modules.items():
        if name.startswith("aetherflow"):
            _clear_caches(module)


def _clear_caches(module: types.ModuleType) -> None:
    for name, value in vars(module).items():
        if name not in KEPT and callable(clear := getattr(value, "cache_clear", None)):
            clear()


def look_at_distributions() -> dict[str, int]:
    """Read which distributions are installed: in each child it would be a fifteenth of a run.

    Returns when each folder on the path was changed; where that or the path is another one, a child looks itself.
    """
    from aetherflow.core.host import metadata

    seen = {folder: _changed(folder) for folder in sys.path}
    metadata.installed_hooks()
    metadata.installed_in()
    return seen


def forget_distributions() -> None:
    """Let this process read which distributions are installed, as a fresh interpreter does."""
    from pydantic.plugin import _loader

    from aetherflow.core.host import distributions, metadata

    _loader._plugins = None  # set again by the first model of a command, as in a fresh interpreter
    for module in (distributions, metadata):
        _clear_caches(module)


def _changed(folder: str) -> int:
    """When something was last added to a folder or removed; -1 if there is no such folder."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 of each folder on the path, in each child
    except OSError:
        return -1


def _descriptors() -> set[int]:
    return {number for number in map(int, os.listdir("/dev/fd")) if is_open(number)}  # noqa: PTH208 of numbers


# In a child


def become(
    request: Request, descriptors: list[int], connection: socket.socket, filters: Filters, seen: Mapping[str, int]
) -> None:
    """Make this process look like a fresh interpreter: session, signals, environment, descriptors, `sys`."""
    _refuse(request)
    if request.apart:
        _move_apart(request)
    if request.tied and sys.platform == "linux":
        _follow(connection)
    if request.session:
        os.setsid()
    if request.group >= 0:
        os.setpgid(0, request.group)
    os.chdir(request.cwd)
    if request.unprivileged:
        _drop_privileges()
    os.umask(request.umask)
    _take_descriptors(descriptors, request.closed)
    os.environb.clear()
    os.environb.update(request.env)
    sys.executable = os.environ.pop(EXECUTABLE, sys.executable)
    _take_signals(request)
    errors = _take_locale()
    time.tzset()
    _make_streams(errors)
    _take_options(filters)
    if not _is_command(request.argv) or other_distributions(seen, sys.path):
        forget_distributions()
    if setting := os.environ.pop(FAILPOINT, ""):
        _arm(setting)
    if str(SCRAMBLED) in sys.path:
        runpy.run_path(str(SCRAMBLED / "sitecustomize.py"))


def _arm(setting: str) -> None:
    """Arm the failpoints by the one file of the test kit: an import of the kit takes a start's time, for pytest."""
    import aetherflow.core

    runpy.run_path(str(Path(aetherflow.core.__path__[0], "testing", "failpoints.py")))["arm"](setting)


def _refuse(request: Request) -> None:
    """Raise NotWarmError for requests that need a true start of an interpreter."""
    for name, value in request.env.items():
        at_start = name.startswith((b"PYTHON", b"LD_", b"DYLD_")) and name not in OBEYED
        if at_start and os.environb.get(name) != value:
            raise NotWarmError(f"{os.fsdecode(name)} is read when an interpreter starts")
    env = {os.fsdecode(name): os.fsdecode(value) for name, value in request.env.items()}
    wanted = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or COERCED
    if "UTF" not in wanted.upper() and (env.get("LC_ALL") or wanted not in C_LOCALES):
        raise NotWarmError(f"the locale {wanted} has an encoding of its own")
    entries = env["PYTHONPATH"].split(os.pathsep) if env.get("PYTHONPATH") else []
    if request.argv[1] == "-m":
        entries.append("")
    for entry in entries:
        folder = Path(request.cwd, entry)
        if folder == SCRAMBLED:
            continue
        for module in _modules(folder):
            if module in {"sitecustomize", "usercustomize"}:
                raise NotWarmError(f"{module} of {folder} is imported when an interpreter starts")
            loaded = sys.modules.get(module)
            if loaded is not None and not (getattr(loaded, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                raise NotWarmError(f"the module {module} of {folder} would not be seen: another one is imported")


def _is_command(argv: Sequence[str]) -> bool:
    """Whether it is one of our modules or scripts: these leave `sys.path` as it is."""
    first, *rest = [word for word in argv[1:] if word != "-P"]
    if first == "-m":
        return any(module.startswith("aetherflow.") for module in rest[:1])
    return Path(first).name.startswith("aetherflow") and Path(first).parent == Path(sys.prefix, "bin")


def other_distributions(seen: Mapping[str, int], path: Iterable[str]) -> bool:
    """Whether what is installed on a path may differ from what the server has seen."""
    return any(_changed(folder) != at for folder, at in seen.items()) or any(
        _holds_distributions(folder) for folder in path if folder not in seen
    )


def _holds_distributions(folder: str) -> bool:
    try:
        return any(name.lower().endswith(("-info", ".egg")) for name in os.listdir(folder))  # noqa: PTH208 as `_changed`
    except OSError:  # a zip file, or none
        return True


def _move_apart(request: Request) -> None:
    """Do what `unshare --uts --mount` does, and let the program after it do what it does before the command."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWUTS | CLONE_NEWNS) or library.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run([*request.apart, "true"], env=request.env, cwd=request.cwd, stdin=subprocess.DEVNULL, check=True)


def _follow(connection: socket.socket) -> None:
    """Go to the host of whoever asks: what stands in for a command may run under another name, with other files."""
    pid, _, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    here, there = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    if (there / "net").readlink() != (here / "net").readlink():
        raise NotWarmError("a fork stays in the network that it comes from")
    library = ctypes.CDLL(None, use_errno=True)
    others = [there / kind for kind in ("uts", "mnt") if (there / kind).readlink() != (here / kind).readlink()]
    for descriptor in [os.open(other, os.O_RDONLY) for other in others]:
        if library.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)


def _drop_privileges() -> None:
    """Do what UNPRIVILEGED does, and what the start of a program by root then does."""
    library = ctypes.CDLL(None, use_errno=True)
    dropped = (DAC_OVERRIDE, DAC_READ_SEARCH)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable ones, then the same above 31
    failed = any(library.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) for number in dropped)
    failed = failed or library.capget(header, sets)
    for place in range(3):
        sets[place] &= ~sum(1 << number for number in dropped)
    if failed or library.capset(header, sets):
        raise OSError(ctypes.get_errno(), UNPRIVILEGED[0])


def _modules(folder: Path) -> Iterator[str]:
    """The top-level modules of a folder."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # a zip file, or none
        return
    for entry in entries:
        name, _, suffix = entry.name.partition(".")
        file = os.path.join(entry.path, "__init__.py")  # noqa: PTH118
        package = not suffix and (name == "aetherflow" or os.path.exists(file))  # noqa: PTH110 no error for a closed one
        if package or suffix in {"py", "pyc"} or suffix.endswith("so"):
            yield name


def _take_descriptors(descriptors: list[int], closed: Iterable[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for number in closed:
        os.close(number)


def _take_signals(request: Request) -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        usual = signal.SIG_IGN if number in request.ignored else signal.SIG_DFL
        if signal.getsignal(number) != usual:
            with suppress(OSError, ValueError):  # reserved by the C library
                signal.signal(number, usual)
    if signal.SIGINT not in request.ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # as every interpreter does
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)


def _take_locale() -> str:
    """Set the locale from the environment; returns how stdin and stdout treat what cannot be decoded."""
    wanted = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    if wanted in C_LOCALES:
        wanted = os.environ["LC_CTYPE"] = COERCED
    locale.setlocale(locale.LC_CTYPE, "")
    return "surrogateescape" if wanted in (COERCED, "C.utf8", "UTF-8") else "strict"


def _make_streams(errors: str) -> None:
    encoding, _, given = os.environ.get("PYTHONIOENCODING", "").partition(":")
    errors = given or ("strict" if encoding else errors)
    sys.stdin = sys.__stdin__ = _stream(0, "<stdin>", encoding, errors)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", encoding, errors)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", encoding, "backslashreplace")  # type: ignore[misc]


def _stream(number: int, name: str, encoding: str, errors: str) -> Any:
    """A standard stream as CPython makes it in `create_stdio`; None where the descriptor is closed."""
    if not is_open(number):
        return None
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    unbuffered = at_once and number != 0
    buffer: Any = open(number, "rb" if number == 0 else "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    raw = buffer if unbuffered else buffer.raw
    raw.name = name
    text: Any = io.TextIOWrapper(
        buffer,
        codecs.lookup(encoding or "utf-8").name,
        errors,
        newline="\n",
        line_buffering=not at_once and (number == 2 or raw.isatty()),
        write_through=at_once,
    )
    text.mode = "r" if number == 0 else "w"
    return text


def _take_options(filters: Filters) -> None:
    """Apply PYTHONPATH, PYTHONWARNINGS and PYTHONDONTWRITEBYTECODE, as an interpreter does at its start."""
    path = os.environ.get("PYTHONPATH")
    sys.path[:0] = path.split(os.pathsep) if path else []
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    given = os.environ.get("PYTHONWARNINGS")
    sys.warnoptions[:] = given.split(",") if given else []
    warnings.filters[:] = filters.initial  # type: ignore[index]  # a Sequence in typeshed
    warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]
    warnings.filters[:0] = filters.imported  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def run_as(argv: Sequence[str]) -> None:
    """Run a module, code or a file as `__main__`."""
    sys.orig_argv[:] = argv
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update({"__builtins__": __builtins__, "__annotations__": {}})
    safe = argv[1] == "-P"
    if argv[1 + safe] == "-m":
        if not safe:
            sys.path.insert(0, str(Path.cwd()))
        name, *arguments = argv[2 + safe :]
        sys.argv[:] = ["-m", *arguments]
        runpy._run_module_as_main(name)  # type: ignore[attr-defined]
    elif argv[1] == "-c":
        sys.argv[:] = ["-c", *argv[3:]]
        sys.path.insert(0, "")
        code = compile(argv[2], "<string>", "exec")
        if (register := getattr(linecache, "_register_code", None)) is not None:  # for tracebacks, as of Python 3.13
            register(code, argv[2], "<string>")
        exec(code, main.__dict__)
    else:
        sys.argv[:] = argv[1:]
        file = Path(argv[1])
        sys.path.insert(0, str(file.resolve().parent))
        main.__dict__.update({"__file__": argv[1], "__cached__": None})
        exec(compile(file.read_bytes(), argv[1], "exec"), main.__dict__)


def run_to_the_end(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code, or the negative number of the signal that must kill the process."""
    try:
        run_as(argv)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001 what an interpreter does with an error that nobody caught
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def leave(code: int) -> None:
    """End like `Py_FinalizeEx`, but without destroying all modules, which would take longer than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.modules["__main__"].__dict__.clear()
    gc.collect()  # reports unclosed resources (ResourceWarning)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception as error:  # noqa: BLE001 as `flush_std_files` has it
            if stream is sys.stdout:
                shown = "".join(traceback.format_exception_only(error))
                where = "on flushing sys.stdout:" if sys.version_info >= (3, 13) else f"in: {stream!r}"
                sys.stderr.write(f"Exception ignored {where}\n{shown}")
            code = 120
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _start_coverage() -> None:
    """Measure coverage of this child if the environment requests it (`patch = subprocess`)."""
    if measured():
        import coverage  # type: ignore[import-not-found, unused-ignore]

        coverage.process_startup()


def main() -> None:
    """Serve; in a child, go on as the command."""
    path = Path(sys.argv[1])
    life = socket.socket(fileno=int(sys.argv[2]))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    del sys.path[0]  # the folder of this file
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is for pytest, whose end also ends the server
    filters = import_all()
    build_models()
    rehearse()
    forget()
    seen = look_at_distributions()
    build_commands()
    must_be_alone({0, 1, 2, life.fileno(), listener.fileno()})
    gc.collect()
    immortal.fill_holes()
    immortal.immortalize()
    gc.freeze()
    huge_pages.collapse()
    send(life, None)
    child = Server(listener, life).serve()
    if child is None:
        shutil.rmtree(path.parent)
        return
    request, descriptors, connection = child
    try:
        become(request, descriptors, connection, filters, seen)
    except Exception as error:  # noqa: BLE001 for the client, as `subprocess` has it
        send(connection, pickle.dumps(error))
        os._exit(127)
    send(connection, os.getpid())
    connection.close()
    for descriptor in _descriptors() - {0, 1, 2}:
        os.close(descriptor)
    _start_coverage()
    leave(run_to_the_end(request.argv))


if __name__ == "__main__":
    main()
