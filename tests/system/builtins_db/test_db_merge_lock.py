"""Two merges into one table of MariaDB: the second waits, and says that it could not."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from db_loads import CREATE, load, write

from aetherflow_builtins_db.loading import mysql_lock
from db_places import mysql_place, settings
from services import Database


@pytest.fixture
def other(mariadb: Database) -> Iterator[Any]:
    """Another connection, which holds the lock of merges into `t`."""
    with pymysql.connect(**settings(mariadb)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(CONCAT('aetherflow ', MD5(LOWER(CONCAT(DATABASE(), '.', 't')))), 1)")
        assert cursor.fetchone() == (1,)
        yield cursor


def test_a_merge_that_never_ends_is_named(
    make_project: Any, mariadb: Database, other: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_lock, "_LOCK_SECONDS", 1)
    project = make_project(tmp_path, {"wh": mysql_place(mariadb).resource})
    project.sql(CREATE)
    step = load(write(project, "a,s\n1,x\n"), mode="merge", keys=["a"])
    ran = project.run(step=step)
    assert ran.status["step"] == "FAILED"
    assert "another process is merging into `" in ran.error.message
    assert ran.error.fix == "run it again when that one has ended"
    assert project.rows("SELECT count(*) AS n FROM t") == [[0]]
    other.execute("SELECT RELEASE_ALL_LOCKS()")
    assert project.one(**step)["inserted"] == 1
