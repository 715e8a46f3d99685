"""`mode: replace` where a new table takes the place of the old one: what hangs on it stays, or the load is refused."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aetherflow.core.api import ConnectorInit, LoadJob
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.database import Database as AnyDatabase
from aetherflow_builtins_db.loading.target import Target
from db_places import mysql_place, settings
from services import Database


def load(project: Any, text: str = "a,s\n1,x\n2,y\n") -> dict[str, Any]:
    folder = project.root / "work" / "t" / "given"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.csv").write_text(text)
    return {"type": "db_load", "table": "Tab", "path": str(folder / "in.csv"), "mode": "replace"}


@pytest.fixture
def admin(anywhere: Any) -> Iterator[Any]:
    """A session of its own on PostgreSQL."""
    where = settings(anywhere.place.server)
    with contextlib.closing(psycopg.connect(dbname=where.pop("database"), **where, autocommit=True)) as connection:
        yield connection


TABLE = """
    CREATE TABLE "Tab" (a integer CHECK (a > 0), s varchar(10) DEFAULT 'd', z serial, UNIQUE (s, a), PRIMARY KEY (a));
    CREATE INDEX tab_s ON "Tab" (lower(s)) WHERE a > 1;
    CREATE INDEX "Tab Z" ON "Tab" (z DESC);
    COMMENT ON TABLE "Tab" IS 'it''s ours';
    GRANT SELECT ON "Tab" TO PUBLIC;
"""
FACTS = """
    SELECT (SELECT string_agg(indexdef, '; ' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'Tab'),
      obj_description('"Tab"'::regclass, 'pg_class'), (SELECT relacl FROM pg_class WHERE oid = '"Tab"'::regclass),
      (SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = '"Tab"'::regclass),
      pg_get_serial_sequence('"Tab"', 'z'),
      (SELECT count(*) FROM pg_class WHERE relname LIKE 'Tab\\_%' AND relkind = 'r')
"""


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_the_new_table_is_like_the_old_one(anywhere: Any, admin: Any) -> None:
    admin.execute(TABLE)
    admin.execute("""INSERT INTO "Tab" (a, s) VALUES (7, 'old'), (8, 'old')""")
    before = admin.execute(FACTS).fetchone()
    for _ in range(2):
        out = anywhere.one(**load(anywhere))
        assert (out["rows"], out["deleted"]) == (2, 2)
        assert admin.execute(FACTS).fetchone() == before
    assert admin.execute('SELECT a, s, z FROM "Tab" ORDER BY a').fetchall() == [(1, "x", 5), (2, "y", 6)]


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("made", "lost"),
    [
        ('CREATE VIEW v AS SELECT a FROM "Tab"', "the view v"),
        ('CREATE TABLE child (a integer REFERENCES "Tab")', "the foreign key child_a_fkey"),
        ('ALTER TABLE "Tab" ADD COLUMN i integer GENERATED ALWAYS AS IDENTITY', "the identity of column i"),
        ('GRANT UPDATE (s) ON "Tab" TO PUBLIC', "the rights on column s"),
    ],
)
def test_what_would_be_lost_is_said(anywhere: Any, admin: Any, made: str, lost: str) -> None:
    admin.execute(TABLE)
    admin.execute("""INSERT INTO "Tab" (a) VALUES (7)""")
    admin.execute(made)
    error = anywhere.run(step=load(anywhere)).error
    assert f"mode replace would lose {lost} of" in error.message
    assert "mode: truncate" in (error.fix or "")
    assert anywhere.rows('SELECT a FROM "Tab"') == [[7]]


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_readers_go_on_while_the_new_table_is_filled(anywhere: Any, admin: Any) -> None:
    """A reader that stays open makes only the swap wait."""
    admin.execute(TABLE)
    admin.execute("SET statement_timeout = '5s'")
    anywhere.resources["wh"]["options"] = {"init_sql": ["SET lock_timeout = '1s'"]}
    with admin.transaction():
        admin.execute('SELECT count(*) FROM "Tab"')
        ran = anywhere.run(step=load(anywhere))
        assert "lock timeout" in ran.error.message
        assert ran.status["step"] == "FAILED"
    anywhere.one(**load(anywhere))


@pytest.mark.parametrize("place", ["mysql"], indirect=True)
def test_mysql_keeps_indexes_and_refuses_foreign_keys(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE Tab (a INTEGER PRIMARY KEY, s VARCHAR(10) DEFAULT 'd', KEY own_name (s)) ENGINE=InnoDB")
    anywhere.sql("INSERT INTO Tab VALUES (7, 'old')", "CREATE VIEW v AS SELECT count(*) AS n FROM Tab")
    assert anywhere.one(**load(anywhere))["deleted"] == 1
    names = "SELECT DISTINCT index_name AS i FROM information_schema.statistics WHERE table_name = 'Tab' ORDER BY 1"
    assert anywhere.rows(names) == [["own_name"], ["PRIMARY"]]
    assert anywhere.rows("SELECT n FROM v") == [[2]]
    anywhere.sql("CREATE TABLE child (a INTEGER, FOREIGN KEY up (a) REFERENCES Tab (a)) ENGINE=InnoDB")
    error = anywhere.run(step=load(anywhere)).error
    assert "mode replace would lose the foreign key" in error.message
    assert anywhere.rows("SELECT count(*) AS n FROM information_schema.tables WHERE table_name LIKE 'Tab\\_%'") == [[0]]


def fail_to_replace(server: Any, table: Any, meanwhile: Callable[[], object]) -> None:
    with server.begin():
        server.prepare_replacement(table)
        server.tx.read("SELECT RELEASE_LOCK(:name)", {"name": "aetherflow one"})  # as if it had been lost
        meanwhile()
        raise ZeroDivisionError


@pytest.mark.parametrize("held", [False, True])
def test_a_failed_replace_on_mysql_drops_no_table_of_another_process(
    mariadb: Database, tmp_path: Path, held: bool
) -> None:
    config = mysql_place(mariadb).resource["config"]
    first, second = (MySQLConnector(ConnectorInit(name, "db", "mysql", config, {})) for name in ("first", "second"))
    with first as db, second as other, other.transaction() as tx:
        db.execute("CREATE TABLE tab (a int)")
        job = LoadJob("one", db.dialect, tmp_path, print)
        server = Target(AnyDatabase(db), job).loader

        def take() -> None:  # whoever has it now has made the table anew
            tx.read("SELECT GET_LOCK(:name, 5)", {"name": "aetherflow one"})

        with pytest.raises(ZeroDivisionError):
            fail_to_replace(server, server.look_up(("tab",)), take if held else lambda: None)
        left = [name for (name,) in db.read("SHOW TABLES LIKE '%one%new%'")[1]]
        assert len(left) == held
        db.script(f"DROP TABLE IF EXISTS {', '.join([*left, 'tab'])}", allow_implicit_commit=True)
