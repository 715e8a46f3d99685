"""A host with processes, a network, a monotonic clock and a wall clock of its own, and its way to a server.

As a program this file is the first process of such a host, which begins runs and does to them what it is told.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server_project import OtherHost

WAITING = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / 4)
"""Leases are longer on a busy machine: whose process gets no processor for half of one loses it, and no run ends."""
LEASE = {
    "LEASE_SECONDS": 8 * WAITING,
    "CHILDREN_SECONDS": 4.5 * WAITING,
    "HOLD_SECONDS": 4 * WAITING,
    "RENEW_SECONDS": 1.0,
    "RETRY_SECONDS": 0.1,
}
"""In place of the minute that a lease lasts."""
IDLE = ("idle_in_transaction_session_timeout", "idle_transaction_timeout")
"""What the server undoes of a host that is cut off in the middle of a transaction, it undoes before a lease ends."""
PORT = 5432
"""Of the way to the server, on this host."""
PAUSE_SECONDS = 3
"""Between two tries to execute a run that another process executes."""
TRY_AGAIN = (3, 4)
"""Exit codes: another process executes the run, or holds a row of it."""


class Host:
    """A host whose first process obeys; `listener` is the socket on which its way to the server begins."""

    def __init__(self, host: "OtherHost", env: dict[str, str], log: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        with theirs, log.open("ab") as output:
            argv = [*host.prefix, sys.executable, __file__, str(theirs.fileno()), str(log), json.dumps(LEASE)]
            self._process = subprocess.Popen(
                argv, cwd=host.folder.parent, env=env, stdout=output, stderr=output, pass_fds=[theirs.fileno()]
            )
        ours.settimeout(120)
        _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
        self.listener = socket.socket(fileno=descriptor)

    def tell(self, *words: object) -> Any:
        """Let the first process do something; what it answers."""
        self._control.send(json.dumps(words).encode())
        return json.loads(self._control.recv(1 << 20))

    def ended(self) -> dict[str, int]:
        """Exit codes of the runs that have ended here."""
        return dict(self.tell("ended"))

    def processes(self) -> list[str]:
        """The command lines of all processes but the first one."""
        return list(self.tell("processes"))

    def lose(self) -> None:
        """The host is gone, with all of its processes."""
        self._process.kill()  # `unshare`, which takes the first process along, which takes all others along
        self._process.wait()
        self._control.close()
        self.listener.close()


def serve(control: socket.socket, log: Path, lease: dict[str, float]) -> None:
    """Be the first process of a host."""
    import importlib

    from aetherflow.core.cli import main
    from aetherflow.core.records import run_lease
    from aetherflow_builtins_db.stores import mariadb, postgres

    stores = ("aetherflow_builtins_db.stores.backend", "aetherflow.core.kernel.locks.store")
    for module in (*stores, "psycopg", "pymysql"):
        importlib.import_module(module)
    for server in (postgres, mariadb):
        *others, idle = vars(server)["_ENTER"]
        name, _, whole = idle.removeprefix("SET ").partition(" = ")
        assert name in IDLE
        shorter = round(int(whole) * lease["LEASE_SECONDS"] / run_lease.LEASE_SECONDS)
        vars(server)["_ENTER"] = (*others, f"SET {name} = {shorter}")
    for name, seconds in lease.items():
        setattr(run_lease, name, seconds)
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        socket.send_fds(control, [b"!"], [listener.fileno()])
    control.settimeout(0.05)
    first = First(main, control, log)
    while True:
        first.reap()
        with contextlib.suppress(TimeoutError):
            word, *values = json.loads(control.recv(1 << 16) or '["end"]')
            if word == "end":
                return
            control.send(json.dumps(getattr(first, word)(*values)).encode())


class First:
    """What the first process of a host does when it is told: one method for each word."""

    def __init__(self, main: Callable[[list[str]], int], control: socket.socket, log: Path) -> None:
        self._main, self._control, self._log = main, control, log
        self._started, self._ended = dict[str, int](), dict[str, int]()

    def reap(self) -> None:
        """Take note of who has ended, also of those that nobody else waits for."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                code = os.waitstatus_to_exitcode(found[1])
                self._ended |= {name: code for name, pid in self._started.items() if pid == found[0]}

    def run(self, name: str, argv: list[str]) -> None:
        """Execute a command in a fork, again and again while another process executes the run."""
        self._ended.pop(name, None)
        if (pid := os.fork()) != 0:
            self._started[name] = pid
            return
        code = 99
        try:
            self._control.close()
            with self._log.with_name(f"{self._log.stem}-{name}.log").open("ab", 0) as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            while (code := self._main(argv)) in TRY_AGAIN:
                time.sleep(PAUSE_SECONDS)
        finally:
            sys.stdout.flush()
            os._exit(code)

    def kill(self, name: str, number: int) -> None:
        """Send a signal to the process of a run."""
        if name not in self._ended:
            os.kill(self._started[name], number)

    def kill_all(self, number: int) -> None:
        """Send a signal to all processes but this one."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)

    def link(self, state: str) -> None:
        """Set the host's one network device up or down."""
        subprocess.run(["ip", "link", "set", "lo", state], check=True)

    def ended(self) -> dict[str, int]:
        """The exit codes of the runs that have ended."""
        return self._ended

    def processes(self) -> list[str]:
        """The command lines of all processes but this one."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.parent.name != "1" and (line := path.read_bytes()):
                    found.append(line.replace(b"\0", b" ").decode())
        return found


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3]))
