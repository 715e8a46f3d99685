"""The connector `acme_remote:s3`: objects in a bucket."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, SecretStr

from acme_remote.base import FsspecFiles
from aetherflow.core.api import ConnectorConfig, ConnectorOptions, Holds, PlainText, RemoteEntry, require

PART = 8 << 20


class Config(ConnectorConfig):
    """Which bucket, and who asks."""

    bucket: PlainText = Field(min_length=1, description="Name of the bucket.")
    prefix: PlainText = Field("", description="Folder in the bucket under which all paths stand.")
    endpoint_url: Annotated[str, Holds.HOST] | None = Field(
        None, description="Address of a server that speaks S3; without it, Amazon's."
    )
    region: PlainText | None = Field(None, description="Region of the bucket.")
    access_key_id: PlainText | None = Field(
        None, description="Name of the key; without it, what the machine itself has."
    )
    secret_access_key: SecretStr | None = Field(None, description="The key.")


class Options(ConnectorOptions):
    """How the connector behaves."""

    timeout_seconds: float = Field(30, gt=0, description="Longest wait for a connection, and for an answer.")
    max_attempts: int = Field(3, ge=1, description="How often a request is sent at most.")


class S3(FsspecFiles[Config, Options]):
    """Objects in a bucket of S3, or of a server that speaks like it.

    An object appears as a whole, since that is how S3 writes. There are no folders, only names with slashes in them:
    making one does nothing, and one without objects is empty.

    resources:
      lake:
        kind: acme_remote
        driver: s3
        config: {bucket: lake, prefix: landing}
    """

    requires = ("s3fs",)
    WRITES_WHOLE = True

    def open_fs(self) -> Any:
        conf, opts = self.conf, self.opts
        fs = require("s3fs").S3FileSystem(
            key=conf.access_key_id,
            secret=conf.secret_access_key.get_secret_value() if conf.secret_access_key else None,
            endpoint_url=conf.endpoint_url,
            client_kwargs={"region_name": conf.region} if conf.region else {},
            config_kwargs={
                "connect_timeout": opts.timeout_seconds,
                "read_timeout": opts.timeout_seconds,
                "retries": {"total_max_attempts": opts.max_attempts},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        fs.retries = 1  # botocore repeats requests already
        return fs

    def close(self) -> None:
        """Close the connections; twice is fine."""
        fs = self._fs  # without the lock, which a transfer in another thread may hold
        super().close()
        if fs is not None and fs._s3 is not None:
            fs.close_session(fs.loop, fs._s3)

    def probe(self) -> None:
        """Ask for the bucket."""
        try:
            with self.work():
                self.fs.call_s3("head_bucket", Bucket=self.conf.bucket)
        except Exception as error:  # the libraries below raise kinds of their own
            raise self.error(f"asking for bucket {self.conf.bucket}", error, "check config, and the account") from error

    def full(self, path: str) -> str:
        parts = (self.conf.bucket, self.conf.prefix.strip("/"), path.strip("/"))
        return "/".join(part for part in parts if part)

    def entry(self, found: dict[str, Any]) -> RemoteEntry:
        name = found["name"].rstrip("/").rpartition("/")[2]
        if found["type"] == "directory":
            return RemoteEntry(name, "folder")
        changed = found.get("LastModified")
        return RemoteEntry(name, "file", found["size"], changed.timestamp() if changed else None)

    def entries(self, folder: str) -> list[RemoteEntry]:
        try:
            return super().entries(folder)
        except FileNotFoundError:
            return []  # no object has that prefix

    def store(self, path: str, source: Callable[[int], bytes]) -> None:
        file = self.fs.open(path, "wb", block_size=PART)
        try:
            while data := source(PART):
                file.write(data)
        except BaseException:
            file.discard()
            file.closed = True  # else the file ends what was discarded when it is collected
            raise
        file.close()

    def make_folder(self, path: str) -> None:
        """Nothing: there are no folders."""

    def remove_folder(self, path: str) -> None:
        """Nothing: there are no folders."""
