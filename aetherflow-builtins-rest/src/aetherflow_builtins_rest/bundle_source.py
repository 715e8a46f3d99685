"""The bundle source `rest`: one request lists the files of a bundle, one more fetches each file."""

import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import Field

from aetherflow.core.api import BundleSource, BundleSourceConfig, ConnectorError, HttpCall, PlainText, RemoteFileMeta
from aetherflow_builtins_rest.sending import Http

if TYPE_CHECKING:
    import httpx

IN_MEMORY = 1 << 20
"""A file is spooled before it is written to its target, so that a broken attempt leaves no partial file. Up to this
size the spool is in memory."""


class Config(BundleSourceConfig):
    """The two paths of the API, and its parameters."""

    base_path: PlainText = Field(
        "", description="Value of the parameter `prefix_param`: the wanted part of the bundle."
    )
    list_path: PlainText = Field(
        "/list", min_length=1, description='Path that returns `{"files": [{"path", "sha256", "size", "mtime"}]}`.'
    )
    fetch_path: PlainText = Field("/fetch", min_length=1, description="Path that returns the content of one file.")
    prefix_param: PlainText = Field(
        "prefix", min_length=1, description="Name of the parameter that carries `base_path`."
    )


class RestSource(BundleSource[Config]):
    """The files of a bundle, through a resource of kind `rest`, with its credentials, retries and limits.

    GET `list_path` with the parameters `bundle` and `prefix` lists the files, GET `fetch_path` with `bundle` and `path`
    returns one. Sizes, times (Unix seconds) and hashes in the listing are optional; with hashes, only changed files are
    fetched.

        bundle:
          source: {type: rest, resource: files, bundle: nightly}
    """

    resource_kind = "rest"

    @property
    def _http(self) -> Http:
        return Http(self.connector)

    def list(self) -> Iterator[RemoteFileMeta]:
        params = {"bundle": self.bundle, self.conf.prefix_param: self.conf.base_path}
        response = self._http.send(HttpCall("GET", self.conf.list_path, params=params))
        try:
            files = response.json()["files"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._refuse('the listing is no JSON object with "files"') from error
        if not isinstance(files, list):
            raise self._refuse('"files" in the listing is no list')
        for entry in files:
            yield self._meta(entry)

    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        self.refuse_path(rel_path)
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as gathered:

            def consume(response: "httpx.Response") -> None:
                gathered.seek(0)
                gathered.truncate()
                for chunk in response.iter_raw():
                    gathered.write(chunk)

            params = {"bundle": self.bundle, "path": rel_path}
            try:
                self._http.send(HttpCall("GET", self.conf.fetch_path, params=params, consume=consume, limit=-1))
            except ConnectorError as error:
                raise ConnectorError(f"{rel_path}: {error.message}", fix=error.fix) from error
            gathered.seek(0)
            shutil.copyfileobj(gathered, target)

    def _meta(self, entry: Any) -> RemoteFileMeta:
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise self._refuse('an entry of the listing has no text "path"')
        size, mtime, sha256 = (entry.get(name) for name in ("size", "mtime", "sha256"))
        for name, value, kinds in (("size", size, int), ("mtime", mtime, (int, float)), ("sha256", sha256, str)):
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
                raise self._refuse(f"{entry['path'][:200]!r} in the listing has an unusable {name}")
        return RemoteFileMeta(rel_path=entry["path"], path=entry["path"], size=size, mtime=mtime, sha256=sha256)

    def _refuse(self, text: str) -> ConnectorError:
        where = f"{self._http.label}, {self.conf.list_path}"
        return ConnectorError(f"bundle source {self.type} ({where}): {text}", fix="check list_path, and the API")
