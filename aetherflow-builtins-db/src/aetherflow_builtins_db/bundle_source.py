"""The bundle source `db`: reads the files of a bundle from a database table."""

import datetime
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from pydantic import Field

from aetherflow.core.api import BundleSource, BundleSourceConfig, ConnectorError, PlainText, RemoteFileMeta
from aetherflow_builtins_db.minimal import database_over
from aetherflow_builtins_db.params import translate


class Config(BundleSourceConfig):
    """The two queries. The defaults read a table `assets(bundle, path, sha256, data, updated_at, size)`."""

    list_sql: PlainText = Field(
        "SELECT path, sha256, updated_at, size FROM assets WHERE bundle = :bundle ORDER BY path",
        description="Query for the files of `:bundle`: column `path`, or the first one, and if known `sha256`, "
        "`updated_at` and `size`, in upper or lower case.",
    )
    fetch_sql: PlainText = Field(
        "SELECT data FROM assets WHERE bundle = :bundle AND path = :path",
        description="Query for the content of `:path`: the first column of the first row; null is an empty file.",
    )


class DbBundleSource(BundleSource[Config]):
    """Files kept in a table of any database that has a connector.

    Example:
        source:
          type: db
          resource: flows
          bundle: daily_sales
    """

    resource_kind = "db"

    def list(self) -> Iterator[RemoteFileMeta]:
        """Yield the metadata of every file that `list_sql` returns; ConnectorError if the query fails."""
        sql = self.conf.list_sql
        with database_over(self.connector).stream(sql, self._params(sql)) as rows:
            names = [column.name.lower() for column in rows.columns]
            for batch in rows.batches():
                for row in batch:
                    cells = dict(zip(names, row, strict=True))
                    path = str(cells.get("path", row[0]))
                    yield RemoteFileMeta(
                        rel_path=path,
                        path=path,
                        name=path.rpartition("/")[2],
                        size=_whole(cells.get("size")),
                        mtime=_seconds(cells.get("updated_at")),
                        sha256=_hash(cells.get("sha256")),
                    )

    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        """Write the content that `fetch_sql` returns to `target`; ConnectorError if there is no such file."""
        self.refuse_path(rel_path)
        sql = self.conf.fetch_sql
        rows = database_over(self.connector).read(sql, self._params(sql, path=rel_path))[1]
        if not rows:
            raise ConnectorError(
                f"bundle source {self.type}: {rel_path} is not in bundle {self.bundle}",
                fix="sync again: it was removed",
            )
        content = rows[0][0]
        if isinstance(content, str):
            content = content.encode()
        if content is None:
            return
        if not isinstance(content, bytes | bytearray | memoryview):
            raise ConnectorError(
                f"bundle source {self.type}: the content of {rel_path} is of the type {type(content).__name__}",
                fix="the first column of fetch_sql must be bytes or text",
            )
        target.write(content)

    def _params(self, sql: str, **more: str) -> dict[str, str]:
        """The values of the parameters that occur in the query."""
        names = translate(sql, str)[1]
        return {name: value for name, value in {"bundle": self.bundle, **more}.items() if name in names}


def _whole(value: Any) -> int | None:
    with suppress(TypeError, ValueError):
        return int(value)
    return None


def _hash(value: Any) -> str | None:
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).hex()
    # what is no sha256 is refused by the listing: it must not pass as a file whose hash nobody knows
    return str(value or "").strip().lower() or None


def _seconds(value: Any) -> float | None:
    """Unix seconds of a datetime, an ISO text or a number; None for anything else. A time without a zone is UTC."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.datetime.fromisoformat(value)
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()
    with suppress(TypeError, ValueError):
        return float(value)
    return None
