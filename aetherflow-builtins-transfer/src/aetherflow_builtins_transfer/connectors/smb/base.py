"""Settings and the base class of the SMB drivers, with the mapping of their errors."""

import random
import time
from collections.abc import Callable
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, SecretStr, model_validator

from aetherflow.core.api import ConnectorConfig, Flag, Holds, InsecureWhen, PlainText
from aetherflow_builtins_transfer.connectors.files.connector import FileOptions, PooledFiles
from aetherflow_builtins_transfer.connectors.smb.paths import is_name, parse
from aetherflow_builtins_transfer.failures import Cause, Fault, Kind, RemoteError, one_line, os_fault

LOGON_FAILURE = 0xC000006D
NTSTATUS: dict[int, Kind] = {
    0xC000000F: "missing",  # NO_SUCH_FILE
    0xC0000034: "missing",  # OBJECT_NAME_NOT_FOUND
    0xC000003A: "missing",  # OBJECT_PATH_NOT_FOUND
    0xC0000039: "missing",  # OBJECT_PATH_INVALID
    0xC0000103: "missing",  # NOT_A_DIRECTORY
    0xC00000CC: "missing",  # BAD_NETWORK_NAME
    0xC0000035: "exists",  # OBJECT_NAME_COLLISION
    0xC0000022: "denied",  # ACCESS_DENIED
    0xC0000043: "denied",  # SHARING_VIOLATION
    0xC0000056: "denied",  # DELETE_PENDING
    0xC0000121: "denied",  # CANNOT_DELETE
    LOGON_FAILURE: "denied",
    0xC0000203: "lost",  # USER_SESSION_DELETED
    0xC00000C9: "lost",  # NETWORK_NAME_DELETED
    0xC000020C: "lost",  # CONNECTION_DISCONNECTED
    0xC000020D: "lost",  # CONNECTION_RESET
    0xC00000B5: "lost",  # IO_TIMEOUT
}
"""Kinds of errors by NTSTATUS code, [MS-ERREF] 2.3."""
WORDS: dict[int, str] = {
    0xC0000043: "the file is open elsewhere",
    0xC0000056: "the file is being deleted, and is still open elsewhere",
    0xC0000022: "access is denied",
    0xC0000035: "it exists",
    0xC0000101: "the folder is not empty",
    0xC00000CC: "there is no such share",
    LOGON_FAILURE: "the login is refused",
}


class SmbConfig(ConnectorConfig):
    """Address of the server, share, and account."""

    server: Annotated[str, Holds.HOST] = Field(min_length=1, description="Name or address of the server.")
    share: PlainText | None = Field(None, min_length=1, description="Default share, for paths that name none.")
    username: PlainText | None = Field(None, min_length=1, description="The account.")
    user: PlainText | None = Field(None, min_length=1, description="The same.")
    password: SecretStr = Field(SecretStr(""), description="Its password.")
    domain: PlainText = Field("", description="Domain of the account; empty: the server's own.")
    port: int = Field(445, ge=1, le=65535, description="The server's port.")

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        if None not in (self.user, self.username) and self.user != self.username:
            raise ValueError("user and username are both given and differ")
        return self

    @property
    def account(self) -> str:
        """The account, from `username` or `user`; empty: anonymous."""
        return self.username or self.user or ""


class SmbOptions(FileOptions):
    signing: Annotated[Flag, InsecureWhen(False)] = Field(
        True, description="Require signed messages, which nobody in between can change; false: the server decides."
    )


T = TypeVar("T")
PENDING = frozenset({0xC0000056})
"""Statuses of a file that was deleted while another handle is open."""
BUSY = PENDING | {0xC0000043}
"""Statuses of a file that another handle has open, deleted or not."""
OPEN_ELSEWHERE = BUSY | {0xC0000022}
"""Statuses of a rename over a file that another handle has open."""
PATIENCE_SECONDS = 10.0
"""How long to wait for the other handle to be closed."""
ABSENT = frozenset({0xC000000F, 0xC0000034})
"""Statuses of a name that is not in its folder."""
LOOKS = 3
"""How often a reader asks for a name before it takes it for missing."""


def patiently(
    action: Callable[[], T],
    status_of: Callable[[Exception], int],
    beat: Callable[[], None],
    refusals: frozenset[int] = BUSY,
    *,
    looks: int = 1,
) -> T:
    """Repeat an action that the server refuses while another handle has the file open, for up to PATIENCE_SECONDS.

    Only for atomic actions. The other handle may be our own: a server keeps the handles of a broken connection until it
    notices. `status_of` returns the NTSTATUS of an error; statuses outside `refusals` are raised at once.
    `looks` is how often a missing name is asked for: Samba also answers "not found" when a file is replaced while it is
    being opened.
    """
    deadline, wait = time.monotonic() + PATIENCE_SECONDS, 0.002
    while True:
        try:
            return action()
        except Exception as error:
            status = status_of(error)
            if status in ABSENT and looks > 1:
                looks -= 1
                continue  # at once: each look is one of its own, and many files may really be missing
            if status not in refusals or time.monotonic() > deadline:
                raise
        beat()  # the server answers, so the session is not idle
        time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, so as not to keep in step with a reader
        wait = min(wait * 1.1, 0.02)


Auth = Literal["negotiate", "ntlm", "kerberos"]
ConfigT = TypeVar("ConfigT", bound=SmbConfig)
SmbOptionsT = TypeVar("SmbOptionsT", bound=SmbOptions)


class SmbConnector(PooledFiles[ConfigT, SmbOptionsT]):
    """The base class of both drivers. Paths in the drivers' form are UNC paths."""

    SEPARATOR = "\\"

    @property
    def peer(self) -> str:
        """The server as `server:port`, for messages."""
        return f"{self.conf.server}:{self.conf.port}"

    def at(self, path: str) -> str:
        """The UNC path for a user's path; `smb.paths` lists the accepted forms."""
        return parse(path, self.conf.share, self.conf.server, self.label).unc(self.conf.server)

    def probe(self) -> None:
        """Connect and log in, and query the share if the resource names one; RemoteError if that fails."""
        if self.conf.share is not None:
            super().probe()
        else:
            self.reach(lambda session: session.alive())

    def can_name(self, name: str) -> bool:
        """False for names that are not valid in SMB."""
        return is_name(name)

    def identity(self, path: str) -> str:
        """The path in folded case: SMB servers ignore case."""
        return self.at(path).casefold()

    def is_top(self, path: str) -> bool:
        """Whether the path is a share, which is never created."""
        return path.count("\\") <= 3

    def parent(self, path: str) -> str:
        return path.rpartition("\\")[0]

    def advise(self, kind: Kind, cause: Cause = "") -> str:
        """The advice for an error, by its cause or its kind."""
        if cause == "protection":
            return "let the server allow it, or change options.encrypt and options.signing"
        if cause == "login":
            return "check config.username, config.password and config.domain"
        return super().advise(kind, cause)

    def from_status(self, status: int, text: str) -> Fault:
        """The Fault for an NTSTATUS code; `text` is used for unknown codes."""
        cause: Cause = "login" if status == LOGON_FAILURE else ""
        return Fault(NTSTATUS.get(status, "other"), WORDS.get(status, text), cause)

    def explain(self, error: BaseException) -> Fault:
        """Classify an error, as far as both libraries report it in the same way."""
        text = one_line(error)
        if isinstance(error, RemoteError):
            return Fault(error.kind, str(error))
        status = getattr(error, "ntstatus", None) or getattr(error, "status", None)
        if isinstance(status, int):
            return self.from_status(status, text)
        if isinstance(error, OSError):
            return os_fault(error)
        if isinstance(error, EOFError):
            return Fault("lost", text)
        return Fault("other", f"{type(error).__name__}: {text}")
