"""Temporary servers, each with a free loopback port, a process group and a log file; they die with the test process."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import isolation


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def workdir(prefix: str) -> Iterator[Path]:
    """A folder for a server's files, in memory where pytest's own are: on a disk a new table costs more than its test.

    Not tmp_path: pytest's own base folder is 0700, and a server that changes its account could not enter it.
    """
    where = os.environ.get(isolation.TEMPORARY, "/tmp")
    folder = Path(tempfile.mkdtemp(prefix=f"aetherflow-{prefix}-", dir=where))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def account(name: str | None) -> tuple[int, int] | None:
    """User and group id to run a server under, or None to keep those of this process: only root can change them."""
    if name is None or os.getuid() != 0:
        return None
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


class Server:
    """A running server.

    Start it from the main thread: the kernel ties the death signal to the thread that started the process.

    :param ready: answers True once the server serves; an exception counts as "not yet"
    :param stop: the signal for a clean stop
    :param user: the account to run under when the tests run as root
    """

    def __init__(
        self,
        argv: Sequence[str | Path | int],
        log: Path,
        ready: Callable[[], bool],
        *,
        timeout: float = 60,
        stop: signal.Signals = signal.SIGTERM,
        user: str | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._stop_signal = stop
        uid, gid = account(user) or (None, None)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=cwd,
                env=env,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )
        deadline = time.monotonic() + timeout
        while not self._serves(ready):
            if self.process.poll() is not None:
                raise RuntimeError(f"{argv[0]} ended with {self.process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise TimeoutError(f"{argv[0]} was not ready after {timeout} s\n{self.tail()}")
            time.sleep(0.02)

    @staticmethod
    def _serves(ready: Callable[[], bool]) -> bool:
        try:
            return ready()
        except Exception:  # noqa: BLE001 - a client library may raise anything while the server is starting
            return False

    def tail(self, size: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-size:]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self._stop_signal)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # kill the rest of the group, such as smbd's children
        except ProcessLookupError:
            pass
        self.process.wait()
