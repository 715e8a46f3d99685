"""A database server whose disk is full, for real: one line, nothing changed, and room again is all that it needs."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from db_places import Place, mysql_place, postgres_place, settings
from services import Database, running_mariadb
from svc import account, workdir

MIB = 2**20


@contextmanager
def small_disk(home: Path, owner: str | None, size: int) -> Iterator[None]:
    """A file system of its own at this folder; only root can mount one, which CI is."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    uid, gid = account(owner) or (0, 0)
    options = f"size={size},uid={uid},gid={gid},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", home], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", home], check=True)


@dataclass
class SmallServer:
    """A database with a table `t` on a disk of its own."""

    place: Place
    table: str
    many: str
    """What has 20,000 rows."""
    grow: Callable[[], None]
    """Make the disk larger."""


def grow(home: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={200 * MIB}", home], check=True)


@contextmanager
def small_postgres(server: Database) -> Iterator[SmallServer]:
    """A tablespace of 8 MB."""
    place = postgres_place(server, "small_disk")
    own = place.server
    assert own is not None
    where = f"host={own.host} port={own.port} user={own.user} password={own.password} dbname={own.name}"
    with workdir("small") as home, small_disk(home, "postgres", 8 * MIB):
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{home}'".encode())
            connection.execute("CREATE TABLE t (a integer, s text) TABLESPACE small")
        try:
            yield SmallServer(place, "t", "generate_series(1, 20000)", lambda: grow(home))
        finally:
            with psycopg.connect(where, autocommit=True) as connection:
                connection.execute("DROP TABLE t")
                connection.execute("DROP TABLESPACE small")


@contextmanager
def small_mariadb(server: Database) -> Iterator[SmallServer]:
    """A database whose folder is a disk of 8 MB."""
    place = mysql_place(server)
    root = settings(replace(server, user="root", password=""))
    with closing(pymysql.connect(**root, autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@datadir")
        home = Path(str((cursor.fetchone() or ("",))[0])) / "small"
        cursor.execute("CREATE DATABASE small")
        cursor.execute(f"GRANT ALL ON small.* TO '{server.user}'@'{server.host}'")
        with small_disk(home, None, 8 * MIB):
            cursor.execute("CREATE TABLE small.t (a INTEGER, s TEXT)")
            try:
                yield SmallServer(place, "small.t", "seq_1_to_20000", lambda: grow(home))
            finally:
                cursor.execute("DROP TABLE IF EXISTS small.t")
        cursor.execute("DROP DATABASE small")


@pytest.fixture(params=["postgres", "mysql"])
def small(request: pytest.FixtureRequest) -> Iterator[SmallServer]:
    if request.param == "postgres":
        with small_postgres(request.getfixturevalue("postgres")) as found:
            yield found
    else:
        # One of its own: there are ways to fill a disk on which MariaDB does not fail, but falls.
        with running_mariadb() as server, small_mariadb(server) as found:
            yield found


def test_a_full_disk_of_the_server(small: SmallServer, make_project: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path, {"wh": small.place.resource}, small.place)
    project.sql(f"INSERT INTO {small.table} VALUES (0, 'old')")
    file = tmp_path / "in.csv"
    file.write_text("a,s\n" + "".join(f"{number},{number:0>1000}\n" for number in range(1, 20_001)))  # 20 MB
    works: dict[str, dict[str, Any]] = {
        "load": {"type": "db_load", "table": small.table, "path": str(file)},
        "merge": {"type": "db_load", "table": small.table, "path": str(file), "mode": "merge", "keys": ["a"]},
        "rejects": {"type": "db_load", "table": small.table, "path": str(file), "max_rejects": 5},
        "script": {
            "type": "db_execute",
            "sql": f"UPDATE {small.table} SET s = 'new'; "
            f"INSERT INTO {small.table} SELECT 1, repeat('x', 900) FROM {small.many}",
        },
    }
    for name, work in works.items():
        error = project.run(step=work).error
        assert error.message.startswith(f"resource wh (db:{small.place.driver}): "), (name, error)
        assert "\n" not in error.message
        assert "No space left" in error.message or "is full" in error.message, (name, error)
        assert error.fix == "free disk space on the database server", (name, error)
        assert project.rows(f"SELECT a, s FROM {small.table}") == [[0, "old"]], name
    small.grow()
    assert project.one(**works["load"])["rows"] == 20_000
    assert project.rows(f"SELECT count(*) AS n FROM {small.table}") == [[20_001]]
