"""The connector `sftp:paramiko`."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.connectors.files.connector import SendsTogether
from aetherflow_builtins_transfer.connectors.files.session import FileSession
from aetherflow_builtins_transfer.connectors.sftp.login import SshLogin
from aetherflow_builtins_transfer.connectors.sftp.settings import Config, Options
from aetherflow_builtins_transfer.failures import Fault, RemoteError, one_line, os_fault

if TYPE_CHECKING:
    import paramiko


class _Opening:
    """A connection on which a channel is being opened, for the watchdog: paramiko waits for it without a limit."""

    def __init__(self, transport: "paramiko.Transport") -> None:
        self._transport = transport
        self.beat: Callable[[], None] = lambda: None

    def abort(self) -> None:
        self._transport.close()


class SftpConnector(SendsTogether[Config, Options]):
    """Files on an SSH server.

    Paths are absolute, or relative to the login folder. The server's host key is checked before anything is sent to
    it: `options.host_key_policy`. One connection serves the whole run, with a channel for each thread.

        resources:
          partner:
            kind: sftp
            driver: paramiko
            config:
              host: sftp.example.com
              user: acme
              pkey_path: keys/acme_ed25519
              host_key: SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
            options: {retry: {max_attempts: 3}}
    """

    requires = ("paramiko",)

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        timeouts = {self.conf.timeout, self.opts.timeout, self.opts.timeout_seconds} - {None}
        if len(timeouts) > 1:
            raise RemoteError("config.timeout and options.timeout are both given and differ", resource=self.label)
        self._timeout = self.conf.timeout or self.opts.connect_timeout
        self._connecting = threading.Lock()
        self._transport: paramiko.Transport | None = None

    @property
    def peer(self) -> str:
        """The server as `host:port`, for messages."""
        return f"{self.conf.host}:{self.conf.port}"

    def at(self, path: str) -> str:
        """The path without redundant slashes; an empty path is the login folder."""
        if "\0" in path:
            raise self.error("other", f"not a usable path: {path!r}", "take the zero byte out")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        return ("/" if path.startswith("/") else "") + "/".join(parts) or "."

    def open_session(self) -> FileSession:
        """Open a channel on the shared connection."""
        from aetherflow_builtins_transfer.connectors.sftp.session import SftpSession

        transport = self._connected()
        size = self.opts.request_bytes
        openssh = "OpenSSH" in str(transport.remote_version)
        with self.watchdog.watch(_Opening(transport)):
            session = SftpSession(transport, self.opts.idle_timeout_seconds, large_requests=openssh)
        if size is not None:
            session.chunk, session.depth = size, max(1, session.depth * session.chunk // size)
        return session

    @contextmanager
    def session(self) -> "Iterator[paramiko.SFTPClient]":
        """Lend paramiko's own client on a channel of the pool, for operations that the other methods lack.

        It raises paramiko's errors, and no watchdog limits it.
        """
        with self.pool.borrow(self.keeps) as session:
            client: paramiko.SFTPClient = session.client  # type: ignore[attr-defined]  # open_session makes no others
            yield client

    def mkdir_recursive(self, remote_dir: str, *, sftp: Any = None) -> None:
        """Create a folder and its missing parents. `sftp` is ignored; older callers pass it."""
        del sftp
        super().mkdir_recursive(remote_dir)

    def _connected(self) -> "paramiko.Transport":
        with self._connecting:
            if self._transport is None or not self._transport.is_active():
                self._hang_up()
                stops = self.stops
                transport = SshLogin(self.conf, self.opts, self._timeout, self._path_of).connect()
                self._transport = transport
                if self.stops != stops:
                    self._hang_up()
                    self.check(stops)
            return self._transport

    def _path_of(self, path: str) -> str:
        found = str(Path(path).expanduser())
        return found if self.ctx is None else self.ctx.asset_path(found)

    def local_places(self) -> Sequence[Path]:
        """The file that the keys of unknown servers are written to, if they are."""
        writes = self.opts.host_key_policy == "accept-new"
        return [Path(self._path_of(self.conf.known_hosts))] if writes else []

    def close(self) -> None:
        """Close the connection; more calls have no effect."""
        self._hang_up()
        super().close()

    def interrupt(self) -> None:
        """Close the connection, so that transfers that use it fail; called from another thread."""
        self.count_stop()
        self._hang_up()
        self.pool.close()

    def _hang_up(self) -> None:
        transport: Any = self._transport
        self._transport = None
        while transport is not None:
            with suppress(Exception):  # the peer may be gone
                transport.close()
            transport = getattr(transport, "below", None)

    def explain(self, error: BaseException) -> Fault:
        """Classify an error of paramiko or the operating system."""
        import paramiko

        text = one_line(error)
        match error:
            case RemoteError():
                return Fault(error.kind, str(error))
            case TimeoutError():
                return Fault("lost", "timed out: nothing arrived for too long")
            case paramiko.ChannelException():
                return Fault("lost", f"the server opened no further channel ({text}); lower options.pool_size")
            case paramiko.SSHException():
                return Fault("lost", text)
            case EOFError():
                return Fault("lost", text if str(error) else "the server closed the connection")
            case OSError():
                return os_fault(error)
        return Fault("other", f"{type(error).__name__}: {text}")
