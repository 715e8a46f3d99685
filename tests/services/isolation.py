"""Gives each test its own home folder; fails a run that changes the user's real one or leaves a process behind."""

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WATCHED = (".local/state", ".local/share", ".config")
"""Folders in the home where the product stores data by default (XDG)."""
MACHINE = ("/", "/var/lib")
"""Folders in which tests leave no name behind; root may write there."""
ROOT = "AETHERFLOW_TESTS_HOMES"
"""Environment variable with the folder of all homes; the first process of a run sets it for its workers."""
TOLD = {"aetherflow.core.base.durable.stores": "servers", "aetherflow.core.runtime.workspace.state_server": "_told"}
"""Where a process keeps the database servers that it was told of, by the project of one test."""
GRACE_SECONDS = 5.0
"""Time for servers and workers to end before they count as left behind."""
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30
"""Free space from which on the temporary folders are in memory; the whole run needs a fraction of it at a time."""
TEMPORARY = "PYTEST_DEBUG_TEMPROOT"
"""Environment variable with the folder in which pytest makes its own."""
MARK = "aetherflow-"
"""How names of folders begin that the product, or its tests, make in the temporary folder."""
for name in ("PYTHONUNBUFFERED", "COLUMNS"):
    # now, for other modules copy the environment: commands of users have buffers, and what is no terminal has no width
    os.environ.pop(name, None)


class Watch:
    """Snapshot of the user's real home, and in CI of the machine, before the run, and checks after it."""

    def __init__(self, home: Path, homes: Path, temporary: Path) -> None:
        self.homes, self.temporary = homes, temporary
        self._home = home
        self._before = self._fingerprints()

    def problems(self) -> list[str]:
        """Descriptions of changed files and of processes that were left behind."""
        left = self._left()  # first: a process that is about to end removes its folder
        after = self._fingerprints()
        names = self._before.keys() | after.keys()
        changed = sorted(str(name) for name in names if self._before.get(name) != after.get(name))
        return [f"the tests changed {name}" for name in changed] + [
            f"a test left process {pid} running: {command}" for pid, command in left.items()
        ]

    def _left(self) -> dict[int, str]:
        """Process id to command line of running test processes, recognised by a HOME of this run."""
        deadline = time.monotonic() + GRACE_SECONDS
        while (found := dict(self._processes())) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _processes(self) -> Iterator[tuple[int, str]]:
        mark = f"HOME={self.homes}/".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if not dead and mark in (entry / "environ").read_bytes():
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield int(entry.name), command.decode(errors="replace").strip()
            except OSError:
                continue  # the process has ended, or belongs to another user

    def _fingerprints(self) -> dict[Path, str]:
        # on a developer's machine other programs write here too, so only the product's own folders are compared
        alone = os.environ.get("CI") == "true"
        own = "" if alone else "aetherflow"
        found = {Path(folder, name): "there" for folder in MACHINE if alone for name in os.listdir(folder)}  # noqa: PTH208 names
        if alone:  # what has an environment of its own may leave something here
            found |= dict.fromkeys(self.temporary.parent.glob(f"{MARK}*"), "there")
        for folder in (self._home / name / own for name in WATCHED):
            for path in [folder, *folder.rglob("*")]:
                if path.is_symlink() or not path.is_file():
                    found[path] = "no file" if path.exists() else ""
                else:
                    found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


WATCH = pytest.StashKey[Watch]()
PROBLEMS = pytest.StashKey[list[str]]()


def _serves(folder: Path) -> bool:
    """Whether there is room for all tests, which also start programs from there."""
    if not folder.is_dir() or not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < MEMORY_BYTES:
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC


def _new_home() -> str:
    return tempfile.mkdtemp(dir=os.environ[ROOT])


def pytest_configure(config: pytest.Config) -> None:
    """Replace HOME before any import that reads it."""
    # `nohup` and `&` of a shell make children ignore these signals; tests could not stop their children with them
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if ROOT in os.environ:
        return  # a worker, or pytest under test
    # on a disk the fsync calls of all the runs would take minutes
    os.environ.setdefault(TEMPORARY, str(MEMORY) if _serves(MEMORY) else tempfile.gettempdir())
    homes = Path(tempfile.mkdtemp(prefix=f"{MARK}homes-", dir=os.environ[TEMPORARY]))
    homes.chmod(0o755)  # readable for servers that change their account
    os.environ[ROOT] = str(homes)
    temporary = Path(tempfile.mkdtemp(prefix=MARK))  # what is killed cannot remove what it has there
    temporary.chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    config.stash[WATCH] = Watch(Path.home(), homes, temporary)
    # keep download caches: otherwise tests of installations would download everything again
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ.setdefault("UV_CACHE_DIR", f"{cache}/uv")
    os.environ.setdefault("PIP_CACHE_DIR", f"{cache}/pip")
    # what libraries' types are worth takes most of a run of mypy, and all of them look at the same ones
    os.environ["MYPY_CACHE_DIR"] = str(homes / "mypy")
    os.environ["HOME"] = _new_home()
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]  # the defaults are below HOME
    for name in ("AETHERFLOW_STATE_ROOT", "AETHERFLOW_WORK_ROOT", "AETHERFLOW_CONFIG"):
        os.environ.pop(name, None)


def _told() -> list[dict[str, object]]:
    return [getattr(sys.modules[module], name) for module, name in TOLD.items() if module in sys.modules]


@pytest.fixture(autouse=True)
def _own_home() -> Iterator[None]:
    """Give this test its own home, and so its own state, work folder and settings; and no server of another test."""
    before = os.environ["HOME"]
    home = os.environ["HOME"] = _new_home()
    told = [dict(servers) for servers in _told()]
    yield
    for servers in _told():
        servers.clear()
    for servers, known in zip(_told(), told, strict=False):
        servers |= known
    os.environ["HOME"] = before
    try:
        Path(home).rmdir()  # most tests leave it empty: that is a tenth of the work
    except OSError:
        shutil.rmtree(home, ignore_errors=True)


_numbers = itertools.count()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test alone, numbered by the process: pytest's own looks through all folders of earlier tests."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return tmp_path_factory.mktemp(f"{name}{next(_numbers)}", numbered=False)


@pytest.fixture
def other_device() -> Iterator[Callable[[Path], Path]]:
    """A function that makes a folder on another file system than that of a path; it skips where there is none."""
    with contextlib.ExitStack() as stack:

        def make(than: Path) -> Path:
            for parent in (MEMORY, Path(tempfile.gettempdir())):
                if parent.is_dir() and parent.stat().st_dev != than.stat().st_dev:
                    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aetherflow-", dir=parent)))
            pytest.skip("there is only one file system: no /dev/shm beside the temporary folder")

        yield make


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if (watch := session.config.stash.get(WATCH, None)) is None:
        return
    problems = session.config.stash[PROBLEMS] = watch.problems()
    if problems and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.exitstatus == pytest.ExitCode.OK and session.config.option.basetemp is None:
        # not one by one, by pytest's own policy: servers hold folders under the names of tests, which are unique so
        shutil.rmtree(session.config._tmp_path_factory.getbasetemp(), ignore_errors=True)  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for problem in config.stash.get(PROBLEMS, []):
        terminalreporter.write_line(f"FAILED {problem}", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (watch := config.stash.get(WATCH, None)) is not None:
        for folder in (watch.homes, watch.temporary):
            shutil.rmtree(folder, ignore_errors=True)
        del os.environ[ROOT], os.environ["TMPDIR"]
        tempfile.tempdir = None
