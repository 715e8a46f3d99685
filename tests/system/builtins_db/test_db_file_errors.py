"""What goes wrong with SQLite and DuckDB is provoked for real, and told in one line: what, where, what to do."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from svc import workdir

CLASSES: dict[str, Any] = {"sqlite3": Sqlite3Connector, "duckdb": DuckDBConnector}


@pytest.fixture(params=list(CLASSES))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(driver: str, path: Path, **options: Any) -> Any:
    return CLASSES[driver](ConnectorInit("wh", "db", driver, {"path": str(path)}, options))


@contextmanager
def told(driver: str, what: str, advice: str) -> Iterator[None]:
    with pytest.raises(ConnectorError, match=what) as caught:
        yield
    text = str(caught.value)
    assert text.startswith(f"resource wh (db:{driver}): ")
    assert "\n" not in text
    assert advice in caught.value.fix


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of 4 MB; only root can mount one, which CI is."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    with workdir("small") as home:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", home], check=True)
        try:
            yield home
        finally:
            subprocess.run(["umount", home], check=True)


def test_a_full_disk(driver: str) -> None:
    many = {
        "sqlite3": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20000) "
        "INSERT INTO t SELECT n, hex(randomblob(500)) FROM r",
        "duckdb": "INSERT INTO t SELECT range, repeat(md5(range::VARCHAR), 20) || hash(range) FROM range(100000)",
    }[driver]
    with small_disk() as folder:
        with made(driver, folder / "x.db") as db:
            db.script("CREATE TABLE t (a INTEGER, s VARCHAR); INSERT INTO t VALUES (1, 'x')")
            with told(driver, "(?i)disk is full|No space left", "free disk space"):
                db.script(f"{many}; DELETE FROM t WHERE a = -1")
        with made(driver, folder / "x.db") as db:
            assert db.read("SELECT count(*) AS n FROM t")[1] == [(1,)]
