"""The connector `acme_remote:ftp`: files on an FTP server."""

import datetime as dt
import ftplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field, SecretStr

from acme_remote.base import CHUNK, FsspecFiles
from aetherflow.core.api import (
    AssetPath,
    Backoff,
    ConnectorConfig,
    ConnectorOptions,
    Flag,
    Holds,
    InsecureWhen,
    PlainText,
    RemoteEntry,
    RemoteFileError,
    require,
)


class Config(ConnectorConfig):
    """Which server, and who asks."""

    host: Annotated[str, Holds.HOST] = Field(min_length=1, description="Name or address of the server.")
    port: int = Field(21, ge=1, le=65535, description="Its port.")
    username: PlainText | None = Field(None, description="The account; without it, anonymous.")
    password: SecretStr | None = Field(None, description="Its password.")
    folder: PlainText = Field("", description="Folder on the server under which all paths stand.")


class Options(ConnectorOptions):
    """How the connector behaves."""

    tls: Annotated[Flag, InsecureWhen(False)] = Field(
        True, description="Speak TLS, and check the certificate; without it, all is in the clear, the password too."
    )
    ca_file: AssetPath | None = Field(
        None, description="Certificates to trust, a PEM file; default: those of the system."
    )
    timeout_seconds: float = Field(30, gt=0, description="Longest wait for the server.")
    max_attempts: int = Field(2, ge=1, description="Attempts of a step after a lost connection.")


class Ftp(FsspecFiles[Config, Options]):
    """Files on an FTP server. The account needs the right to rename.

    resources:
      partner:
        kind: acme_remote
        driver: ftp
        config: {host: ftp.example.com, username: acme, password: "{{env.PARTNER_PASSWORD}}"}
    """

    requires = ("fsspec",)

    @property
    def retry(self) -> Backoff:
        return Backoff(max_attempts=self.opts.max_attempts, backoff_seconds=1)

    def open_fs(self) -> Any:
        conf, opts = self.conf, self.opts
        kind = require("fsspec.implementations.ftp").FTPFileSystem
        ca_file = self.ctx.asset_path(opts.ca_file) if opts.ca_file and self.ctx else opts.ca_file
        return (_checked(kind, ca_file) if opts.tls else kind)(
            conf.host,
            port=conf.port,
            username=conf.username,
            password=conf.password.get_secret_value() if conf.password else None,
            timeout=opts.timeout_seconds,
            tls=opts.tls,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def close(self) -> None:
        """Close the connection; twice is fine."""
        fs = self._fs  # without the lock, which a transfer in another thread may hold
        super().close()
        if fs is not None:
            fs.ftp.close()

    def probe(self) -> None:
        """Log in and ask for nothing."""
        try:
            with self.work():
                self.fs.ftp.voidcmd("NOOP")
        except Exception as error:  # whatever the library raises
            raise self.error(f"reaching {self.conf.host}:{self.conf.port}", error, "check config") from error

    @contextmanager
    def work(self) -> Iterator[Callable[[], None]]:
        """The replies of FTP as the errors that the contract knows."""
        with super().work() as check:
            try:
                yield check
            except ftplib.error_perm as error:
                if str(error).startswith("550"):  # for all that cannot be had
                    raise FileNotFoundError(str(error)) from error
                raise
            except (ftplib.error_temp, EOFError) as error:
                self.close()
                raise ConnectionError(str(error)) from error

    def full(self, path: str) -> str:
        return "/" + "/".join(part for part in (self.conf.folder.strip("/"), path.strip("/")) if part)

    def entry(self, found: dict[str, Any]) -> RemoteEntry:
        name = found["name"].rstrip("/").rpartition("/")[2]
        if found["type"] == "directory":
            return RemoteEntry(name, "folder")
        changed, mtime = found.get("modify"), None
        if changed is not None:
            mtime = dt.datetime.strptime(changed[:14], "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC).timestamp()
        return RemoteEntry(name, "file", found["size"], mtime)

    def entries(self, folder: str) -> list[RemoteEntry]:
        if not self.stat(folder).is_dir:
            raise NotADirectoryError("it is no folder")
        return super().entries(folder)

    def read(self, path: str, sink: Callable[[bytes], object], *, offset: int = 0, limit: int | None = None) -> None:
        with self.work() as check:
            size = self.stat(path).size or 0
            left = max(0, size - offset) if limit is None else min(limit, max(0, size - offset))
            if not left:
                return
            ftp, whole = self.fs.ftp, False
            ftp.voidcmd("TYPE I")
            connection = ftp.transfercmd(f"RETR {self.full(path)}", offset or None)
            try:
                while left and (data := connection.recv(min(CHUNK, left))):
                    check()
                    sink(data)
                    left -= len(data)
                if left:
                    raise ConnectionError(f"{left} bytes are missing")
                whole = limit is None and not connection.recv(1)
            finally:
                connection.close()
                if whole:
                    ftp.voidresp()
                else:
                    self.close()  # the server is in the middle of a transfer

    def store(self, path: str, source: Callable[[int], bytes]) -> None:
        folder = path.rpartition("/")[0]
        if folder and not self.fs.isdir(folder):
            raise FileNotFoundError("its folder is not there")
        try:
            self.fs.ftp.storbinary(f"STOR {path}", _Source(source), CHUNK)
        except BaseException:
            self.close()
            raise

    def move(self, old: str, new: str) -> None:
        self.fs.ftp.rename(old, new)

    def make_folder(self, path: str) -> None:
        with self.work():
            if self.fs.exists(self.full(path)):
                raise FileExistsError("the name is taken")
            if not self.fs.isdir(self.full(self.split(path)[0])):
                raise FileNotFoundError("the folder above is not there")
            self.fs.ftp.mkd(self.full(path))

    def remove_folder(self, path: str) -> None:
        with self.work():
            if not self.stat(path).is_dir:
                raise RemoteFileError("it is no folder")
            self.fs.ftp.rmd(self.full(path))


class _Source:
    """A source as the file that `storbinary` reads."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self.read = source


def _checked(kind: Any, ca_file: str | None) -> Any:
    """The file system with TLS that looks at the server's certificate; fsspec's own tells any server the password."""

    class Checked(kind):  # type: ignore[misc]  # known only once fsspec is imported
        def _connect(self) -> None:
            context = ssl.create_default_context(cafile=ca_file)
            self.ftp = ftplib.FTP_TLS(timeout=self.timeout, encoding=self.encoding, context=context)  # noqa: S321 with TLS
            self.ftp.connect(self.host, self.port)
            self.ftp.login(*self.cred)
            self.ftp.prot_p()

    return Checked
