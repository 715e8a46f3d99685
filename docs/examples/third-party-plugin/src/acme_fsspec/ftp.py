"""The connector `acme_fsspec:ftp`: files on an FTP server."""

import datetime as dt
import ftplib
import io
import ssl
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import Field, SecretStr

from acme_fsspec.base import PART, FsspecBase
from aetherflow.core.api import ConnectorConfig, ConnectorOptions, Flag, InsecureWhen, require

CHUNK = 1 << 18


class Config(ConnectorConfig):
    """Which server, and who asks."""

    host: str = Field(min_length=1, description="Name or address of the server.")
    port: int = Field(21, ge=1, le=65535, description="Its port.")
    username: str | None = Field(None, description="The account; without it, anonymous.")
    password: SecretStr | None = Field(None, description="Its password.")
    folder: str = Field("", description="Folder on the server under which all paths stand.")


class Options(ConnectorOptions):
    """How the connector behaves."""

    tls: Annotated[Flag, InsecureWhen(False)] = Field(
        True, description="Speak TLS, and check the certificate; without it, all is in the clear, the password too."
    )
    ca_file: str | None = Field(None, description="Certificates to trust, a PEM file; default: those of the system.")
    timeout_seconds: float = Field(30, gt=0, description="Longest wait for the server.")


class Ftp(FsspecBase[Config, Options]):
    """Files on an FTP server. Paths are under `config.folder`, with `/` between their parts.

    A file is written under another name, its size is compared, then it is renamed; so the account needs the right to
    rename. FTP does not tell links from folders: deleting a tree follows them.

    resources:
      partner:
        kind: acme_fsspec
        driver: ftp
        config: {host: ftp.example.com, username: acme, password: "{{env.PARTNER_PASSWORD}}"}
    """

    requires = ("fsspec",)

    def _open(self) -> Any:
        conf, opts = self.conf, self.opts
        kind = require("fsspec.implementations.ftp").FTPFileSystem
        return (_checked(kind, opts.ca_file) if opts.tls else kind)(
            conf.host,
            port=conf.port,
            username=conf.username,
            password=conf.password.get_secret_value() if conf.password else None,
            timeout=opts.timeout_seconds,
            tls=opts.tls,
            block_size=CHUNK,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def close(self) -> None:
        """Close the connection; twice is fine."""
        with self._lock:
            fs, self._fs = self._fs, None
            if fs is not None:
                fs.ftp.close()

    def probe(self) -> None:
        """Log in and ask for nothing."""
        with self._reported("reaching", f"{self.conf.host}:{self.conf.port}"):
            self.fs.ftp.voidcmd("NOOP")

    def write_bytes(self, remote_path: str, data: bytes) -> None:
        """Write a file as a whole; folders above it are made."""
        with self._reported("writing", remote_path):
            self._store(self._full(remote_path), io.BytesIO(data))

    def upload(self, local_path: str | Path, remote_path: str) -> None:
        """Copy a local file to the server; folders above it are made."""
        with self._reported("uploading to", remote_path), Path(local_path).open("rb") as source:
            self._store(self._full(remote_path), source)

    def rename(self, old_path: str, new_path: str) -> None:
        """Give a file another name; one that has the name is replaced."""
        with self._reported("renaming", old_path):
            self.fs.mv(self._full(old_path), self._full(new_path))

    def delete(self, remote_path: str) -> None:
        """Delete a file or an empty folder."""
        with self._reported("deleting", remote_path):
            path = self._full(remote_path)
            if self.fs.isdir(path):
                self.fs.rmdir(path)
            else:
                self.fs.rm_file(path)

    def mkdir(self, remote_dir: str) -> None:
        """Make one folder."""
        with self._reported("making", remote_dir):
            self.fs.mkdir(self._full(remote_dir), create_parents=False)

    def mkdir_recursive(self, remote_dir: str) -> None:
        """Make a folder and those above it; existing ones are fine."""
        with self._reported("making", remote_dir):
            self.fs.makedirs(self._full(remote_dir), exist_ok=True)

    def delete_recursive(self, remote_path: str) -> None:
        """Delete a folder and all in it."""
        with self._reported("deleting", remote_path):
            self._delete_tree(self._full(remote_path))

    def _delete_tree(self, path: str) -> None:
        # not fs.rm: it takes names with * or [ in them for patterns
        for entry in self.fs.ls(path, detail=True):
            if entry["type"] == "directory":
                self._delete_tree(entry["name"])
            else:
                self.fs.rm_file(entry["name"])
        self.fs.rmdir(path)

    def _store(self, final: str, source: BinaryIO) -> None:
        folder = final.rpartition("/")[0]
        if folder:
            self.fs.makedirs(folder, exist_ok=True)
        part, counted = f"{folder}/{PART}{uuid.uuid4().hex}", _Counted(source, self._guard())
        try:
            # not fs.open: it sends a large file in parts, and many a server lets nobody go on with a file
            self.fs.ftp.storbinary(f"STOR {part}", counted, CHUNK)
            sent = counted.sent
            if (arrived := self.fs.size(part)) != sent:
                raise self._error(f"only {arrived} of {sent} bytes arrived", "run the step again")
            self.fs.mv(part, final)
        except BaseException:
            self._drop(part)
            raise

    def _drop(self, part: str) -> None:
        """Take away what was begun, on a new connection: the old one may be in the middle of a transfer."""
        self.close()
        try:
            self.fs.rm_file(part)
        except Exception:  # noqa: BLE001 the error that led here is the one to tell
            self.close()

    def _fetch(self, path: str, part: Path, file: BinaryIO) -> None:
        del part
        try:
            self.fs.get_file(path, _Checked(file, self._guard()))
        except BaseException:
            self.close()  # a transfer that broke off leaves the connection in its middle
            raise

    def _full(self, path: str) -> str:
        parts = (self.conf.folder.strip("/"), path.strip("/"))
        return "/" + "/".join(part for part in parts if part)

    def _mtime(self, entry: dict[str, Any]) -> float | None:
        changed = entry.get("modify")
        if changed is None:
            return None
        return dt.datetime.strptime(changed[:14], "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC).timestamp()


def _checked(kind: Any, ca_file: str | None) -> Any:
    """The file system with TLS that looks at the server's certificate; fsspec's own tells any server the password."""

    class Checked(kind):  # type: ignore[misc]  # known only once fsspec is imported
        def _connect(self) -> None:
            context = ssl.create_default_context(cafile=ca_file)
            self.ftp = ftplib.FTP_TLS(timeout=self.timeout, encoding=self.encoding, context=context)  # noqa: S321 with TLS
            self.ftp.connect(self.host, self.port)
            self.ftp.login(*self.cred)

    return Checked


class _Checked:
    """A file that asks before every write whether the transfer is to go on."""

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self._file, self._check = file, check
        self.read, self.close, self.tell = file.read, file.close, file.tell

    def write(self, data: bytes) -> int:
        self._check()
        return self._file.write(data)


class _Counted:
    """A file to be sent: it counts, and asks before every read whether the transfer is to go on."""

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self._file, self._check = file, check
        self.sent = 0

    def read(self, size: int) -> bytes:
        self._check()
        data = self._file.read(size)
        self.sent += len(data)
        return data
