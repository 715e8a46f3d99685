"""The bundle source `db`: the contract suite on two databases, and column names in upper case."""

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError, ConnectorInit
from aetherflow.core.bundle.failures import BundleError
from aetherflow.core.bundle.listing import read_listing
from aetherflow.core.testing import BundleSourceSuite
from aetherflow_builtins_db.bundle_source import DbBundleSource
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector

COLUMNS = ("bundle", "path", "sha256", "data", "updated_at", "size")
CREATE = (
    "CREATE TABLE IF NOT EXISTS assets (bundle VARCHAR(80), path VARCHAR(400), sha256 VARCHAR(64), data BLOB, "
    "updated_at TIMESTAMP, size INTEGER)"
)

PUBLISHED: dict[tuple[str, frozenset[tuple[str, bytes]]], bytes] = {}
"""The database files of trees that were published first, by driver and tree: most tests publish the same one."""


class TestOnSqlite(BundleSourceSuite):
    source = DbBundleSource
    name = "db"
    connector_class: type[Any] = Sqlite3Connector
    driver = "sqlite3"

    def config(self, place: Path) -> dict[str, Any]:
        return {}

    def connector(self, place: Path) -> Any:
        config = {"path": str(place / "flows.db")}
        return self.connector_class(ConnectorInit("flows", "db", self.driver, config, {}))

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        file, key = place / "flows.db", (self.driver, frozenset(tree.items()))
        if key in PUBLISHED and not file.exists():
            file.write_bytes(PUBLISHED[key])
            return
        is_new = not file.exists()
        with self.connector(place) as db:
            db.script(CREATE)
            db.script("DELETE FROM assets WHERE bundle = :bundle", {"bundle": self.bundle})
            for path, data in tree.items():
                row = {
                    "bundle": self.bundle,
                    "path": path,
                    "sha256": hashlib.sha256(data).hexdigest().upper(),
                    "data": data,
                    "updated_at": datetime.datetime.fromisoformat("2026-11-24T01:02:03"),
                    "size": len(data),
                }
                db.script(f"INSERT INTO assets VALUES ({', '.join(f':{name}' for name in COLUMNS)})", row)
        if is_new:
            PUBLISHED[key] = file.read_bytes()

    def unreachable(self, place: Path) -> DbBundleSource:
        connector = self.connector(place)
        return DbBundleSource(BundleSourceInit("db", self.bundle, {}, place, connector))


class TestOnDuckDB(TestOnSqlite):
    connector_class = DuckDBConnector
    driver = "duckdb"


def test_upper_case_names_texts_and_nulls(tmp_path: Path) -> None:
    with Sqlite3Connector(ConnectorInit("flows", "db", "sqlite3", {"path": str(tmp_path / "x.db")}, {})) as db:
        db.script("CREATE TABLE F (PATH TEXT, SHA256 TEXT, DATA TEXT)")
        db.script("INSERT INTO F VALUES ('a.txt', :sha, 'ü'), ('b.txt', NULL, NULL)", {"sha": "0" * 64})
        config = {"list_sql": "SELECT PATH, SHA256 FROM F", "fetch_sql": "SELECT DATA FROM F WHERE PATH = :path"}
        source = DbBundleSource(BundleSourceInit("db", "any", config, tmp_path, db))
        assert [(each.rel_path, each.sha256) for each in source.list()] == [("a.txt", "0" * 64), ("b.txt", None)]
        db.script("INSERT INTO F VALUES ('c.txt', 'ABC', NULL)")
        with pytest.raises(BundleError, match="the hash 'abc' is no sha256"):
            read_listing(source.list())
        for path, content in (("a.txt", "ü".encode()), ("b.txt", b"")):
            target = tmp_path / path
            with target.open("wb") as file:
                source.fetch(path, file)
            assert target.read_bytes() == content


def test_content_that_is_none(tmp_path: Path) -> None:
    with Sqlite3Connector(ConnectorInit("flows", "db", "sqlite3", {"path": str(tmp_path / "x.db")}, {})) as db:
        db.script("CREATE TABLE f (path TEXT, size INTEGER); INSERT INTO f VALUES ('a.txt', 5)")
        config = {"list_sql": "SELECT path FROM f", "fetch_sql": "SELECT size FROM f WHERE path = :path"}
        source = DbBundleSource(BundleSourceInit("db", "any", config, tmp_path, db))
        with (
            (tmp_path / "out").open("wb") as file,
            pytest.raises(ConnectorError, match=r"the content of a\.txt is of the type int"),
        ):
            source.fetch("a.txt", file)
