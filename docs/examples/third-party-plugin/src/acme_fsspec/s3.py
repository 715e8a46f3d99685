"""The connector `acme_fsspec:s3`: objects in a bucket."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field, SecretStr

from acme_fsspec.base import FsspecBase
from aetherflow.core.api import ConnectorConfig, ConnectorOptions, require


class Config(ConnectorConfig):
    """Which bucket, and who asks."""

    bucket: str = Field(min_length=1, description="Name of the bucket.")
    prefix: str = Field("", description="Folder in the bucket under which all paths stand.")
    endpoint_url: str | None = Field(None, description="Address of a server that speaks S3; without it, Amazon's.")
    region: str | None = Field(None, description="Region of the bucket.")
    access_key_id: str | None = Field(None, description="Name of the key; without it, what the machine itself has.")
    secret_access_key: SecretStr | None = Field(None, description="The key.")


class Options(ConnectorOptions):
    """How the connector behaves."""

    timeout_seconds: float = Field(30, gt=0, description="Longest wait for a connection, and for an answer.")
    max_attempts: int = Field(3, ge=1, description="How often a request is sent at most.")


class S3(FsspecBase[Config, Options]):
    """Objects in a bucket of S3, or of a server that speaks like it.

    An object appears as a whole, since that is how S3 writes. There are no folders, only names with slashes in them:
    making one does nothing, and one without objects is empty.

    resources:
      lake:
        kind: acme_fsspec
        driver: s3
        config: {bucket: lake, prefix: landing}
    """

    requires = ("s3fs",)

    def _open(self) -> Any:
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
        with self._lock:
            fs, self._fs = self._fs, None
            if fs is not None and fs._s3 is not None:
                fs.close_session(fs.loop, fs._s3)

    def probe(self) -> None:
        """Ask for the bucket."""
        with self._reported("asking for bucket", self.conf.bucket):
            self.fs.call_s3("head_bucket", Bucket=self.conf.bucket)

    def write_bytes(self, remote_path: str, data: bytes) -> None:
        """Write an object as a whole."""
        with self._reported("writing", remote_path):
            self.fs.pipe_file(self._full(remote_path), data)

    def upload(self, local_path: str | Path, remote_path: str) -> None:
        """Copy a local file to the bucket."""
        # opened, since s3fs would take a folder for nothing to do
        with self._reported("uploading to", remote_path), Path(local_path).open("rb"):
            self.fs.put_file(str(local_path), self._full(remote_path), callback=self._callback())

    def delete(self, remote_path: str) -> None:
        """Delete one object."""
        with self._reported("deleting", remote_path):
            path = self._full(remote_path)
            if not self.fs.isfile(path):  # S3 itself deletes what is not there without a word
                raise FileNotFoundError("there is no such object")
            self.fs.rm_file(path)

    def mkdir(self, remote_dir: str) -> None:
        """Nothing: there are no folders."""

    def mkdir_recursive(self, remote_dir: str) -> None:
        """Nothing: there are no folders."""

    def delete_recursive(self, remote_path: str) -> None:
        """Delete all objects below a folder."""
        with self._reported("deleting", remote_path):
            for path in self.fs.find(f"{self._full(remote_path)}/"):
                self.fs.rm_file(path)

    def _entries(self, folder: str) -> Iterable[dict[str, Any]]:
        try:
            return super()._entries(folder)
        except FileNotFoundError:
            return []

    def _fetch(self, path: str, part: Path, file: BinaryIO) -> None:
        del file
        self.fs.get_file(path, str(part), callback=self._callback())

    def _callback(self) -> Any:
        check = self._guard()

        class Checking(require("fsspec.callbacks").Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                del inc
                check()

        return Checking()

    def _full(self, path: str) -> str:
        parts = (self.conf.bucket, self.conf.prefix.strip("/"), path.strip("/"))
        return "/".join(part for part in parts if part)

    def _mtime(self, entry: dict[str, Any]) -> float | None:
        changed = entry.get("LastModified")
        return None if changed is None else float(changed.timestamp())
