"""Opens an SSH connection: socket, greeting, host key check, login, in this order."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_transfer.connectors.sftp.keys import HostKeys, own_key
from aetherflow_builtins_transfer.connectors.sftp.settings import Config, Options, SshHost
from aetherflow_builtins_transfer.failures import LostError, RemoteError, silence

if TYPE_CHECKING:
    import paramiko

log = logging.getLogger("aetherflow.transfer")

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Preferred ciphers: they need no separate MAC in Python and are by far the fastest."""
_LOOK_SECONDS = 0.02
PathOf = Callable[[str], str]


class SshLogin:
    """Opens connections to one server, through a jump host if configured."""

    def __init__(self, conf: Config, opts: Options, timeout: float, path_of: PathOf) -> None:
        self._conf, self._opts, self._timeout, self._path_of = conf, opts, timeout, path_of

    def connect(self) -> "paramiko.Transport":
        """Open a connection and log in. Its attribute `below` is the connection to the jump host, or None."""
        silence("paramiko")
        jump = self._conf.jump
        if jump is None:
            return self._open(self._conf, self._socket(self._conf), None)
        below = self._open(jump, self._socket(jump), None)
        try:
            channel = below.open_channel(
                "direct-tcpip",
                (self._conf.host, self._conf.port),
                ("127.0.0.1", 0),
                timeout=self._opts.channel_timeout_seconds,
            )
            return self._open(self._conf, channel, below)
        except BaseException:
            below.close()
            raise

    def _socket(self, host: SshHost) -> socket.socket:
        found = socket.create_connection((host.host, host.port), timeout=self._timeout)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # without it paramiko would wait for ever while a dead server accepts no bytes
            milliseconds = int(self._opts.idle_timeout_seconds * 1000)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return found

    def _open(self, host: SshHost, sock: Any, below: "paramiko.Transport | None") -> "paramiko.Transport":
        from paramiko import Transport

        from aetherflow_builtins_transfer.connectors.sftp.client import Packets

        opts = self._opts
        transport: Any = Transport(sock, packetizer_class=Packets)
        transport.below = below
        transport.banner_timeout = transport.handshake_timeout = opts.banner_timeout_seconds
        transport.auth_timeout = None  # its error looks like a refusal; _limited limits the time instead
        transport.channel_timeout = opts.channel_timeout_seconds
        transport.clear_to_send_timeout = opts.idle_timeout_seconds
        try:
            keys = HostKeys(host, Path(self._path_of(self._conf.known_hosts)), opts.host_key_policy)
            _prefer(transport, keys.types())
            self._negotiate(transport)
            keys.check(transport.get_remote_server_key(), log)
            self._authenticate(transport, host)
        except BaseException:
            transport.close()
            sock.close()  # paramiko leaves the socket open if nothing was sent yet
            raise
        if opts.keepalive_seconds:
            transport.set_keepalive(opts.keepalive_seconds)
        checked: Transport = transport
        return checked

    def _negotiate(self, transport: Any) -> None:
        """Exchange greetings and keys; LostError if that takes too long, which paramiko would not tell."""
        done, limit = threading.Event(), self._opts.banner_timeout_seconds
        ends = time.monotonic() + limit
        transport.start_client(event=done)
        while not transport.remote_version and not done.wait(_LOOK_SECONDS):
            if time.monotonic() > ends:
                raise LostError(f"the server's greeting did not come within {limit:g} s")
        if not done.wait(self._timeout):
            raise LostError(f"the server did not agree on a connection within {self._timeout:g} s")
        if not transport.is_active():
            raise transport.get_exception() or LostError("the server closed the connection")

    def _authenticate(self, transport: "paramiko.Transport", host: SshHost) -> None:
        """Log in by key, by password, or by both if the server requires both."""
        with self._agent() as keys:
            self._try_all(transport, host, keys + self._home_keys())

    def _try_all(self, transport: "paramiko.Transport", host: SshHost, offered: "list[paramiko.PKey]") -> None:
        from paramiko import AuthenticationException, BadAuthenticationType

        key = own_key(host, self._path_of)
        keys = [*([key] if key is not None else []), *offered]
        password = host.password.get_secret_value() if host.password is not None else None
        tried = []
        wants_more: list[str] = []
        for each in keys:
            tried.append(f"the key {each.get_name()}")
            try:
                with self._limited(transport):
                    wants_more = transport.auth_publickey(host.login, each)
                break
            except BadAuthenticationType as error:
                tried[-1] += f" (the server takes {', '.join(error.allowed_types)})"
            except AuthenticationException as error:
                if not transport.is_active():
                    raise LostError(f"the login was not answered: {error}") from error
        if transport.is_authenticated():
            return
        if password is not None and (wants_more or key is None):
            tried.append("the password")
            try:
                with self._limited(transport):
                    transport.auth_password(host.login, password)
            except BadAuthenticationType as error:
                tried[-1] += f" (the server takes {', '.join(error.allowed_types)})"
            except AuthenticationException:
                pass  # reported below; many servers close the connection after a refusal
        if not transport.is_authenticated():
            what = " and ".join(tried) or "nothing: the resource has neither password nor key"
            raise RemoteError(
                f"{host.host}:{host.port} refuses the login of {host.login}; tried: {what}",
                kind="denied",
                fix="check config.user, and the password or key; the server's log tells its reason",
            )

    @contextmanager
    def _limited(self, transport: "paramiko.Transport") -> Iterator[None]:
        """Close the connection and raise LostError if a login is not answered in time."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            transport.close()

        limit = self._opts.auth_timeout_seconds
        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as error:
            if late.is_set():
                raise LostError(f"the login was not answered within {limit:g} s") from error
            raise
        finally:
            timer.cancel()

    @contextmanager
    def _agent(self) -> "Iterator[list[paramiko.PKey]]":
        """The keys of the SSH agent, usable inside the block; empty unless `use_agent`."""
        if not self._opts.use_agent:
            yield []
            return
        from paramiko import Agent

        agent = Agent()
        try:
            yield list(agent.get_keys())
        finally:
            agent.close()

    def _home_keys(self) -> "list[paramiko.PKey]":
        """The keys in ~/.ssh; empty unless `look_for_keys`."""
        found: list[paramiko.PKey] = []
        for name in ("id_ed25519", "id_ecdsa", "id_rsa") if self._opts.look_for_keys else ():
            path = Path("~/.ssh").expanduser() / name
            if path.is_file():
                host = SshHost(host="-", user="-", pkey_path=str(path))
                try:
                    key = own_key(host, str)
                except RemoteError as error:
                    log.warning("%s", error)
                    continue
                found += [key] if key is not None else []
        return found


def _prefer(transport: "paramiko.Transport", types: list[str]) -> None:
    """Prefer host keys of the known types, and the fast ciphers."""
    security = transport.get_security_options()
    wanted = [name for each in types for name in (("rsa-sha2-512", "rsa-sha2-256") if each == "ssh-rsa" else (each,))]
    offered = list(security.key_types)
    first = [name for name in dict.fromkeys(wanted) if name in offered]
    security.key_types = (*first, *(name for name in offered if name not in first))
    ciphers = list(security.ciphers)
    fast = [name for name in CIPHERS if name in ciphers]
    security.ciphers = (*fast, *(name for name in ciphers if name not in fast))
