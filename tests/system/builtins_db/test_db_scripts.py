"""A script leaves in a real database what its statements leave, each sent alone by the driver."""

from typing import Any

import psycopg
import pymysql
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from db_places import new_database, postgres_place, settings
from services import Database

POSTGRESQL = (
    "CREATE TABLE event (begin int, word text)",
    "CREATE TABLE log (word text)",
    "INSERT INTO event VALUES (1, 'a;b'), (2, E'\\'; x') /* a /* nested; */ b; */",
    "CREATE FUNCTION twice(n int) RETURNS int AS $$ BEGIN n := n * 2; RETURN n; END; $$ LANGUAGE plpgsql",
    "CREATE FUNCTION begin() RETURNS bigint BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 7 END::bigint; END",
    "CREATE RULE r AS ON INSERT TO event DO ALSO (INSERT INTO log VALUES ('one'); INSERT INTO log VALUES ('two'))",
    "-- begin; it's a comment\rINSERT INTO event VALUES (twice(2), $a$;$$;$a$)",
    "WITH merge AS (SELECT begin() AS n) INSERT INTO log SELECT n::text FROM merge",
    "DO $do$ BEGIN UPDATE event SET begin = begin + 10; DELETE FROM log WHERE word = 'two'; END $do$",
    "DELETE FROM event WHERE begin = 12",
)
MARIADB = (
    "CREATE TABLE event (begin int, word varchar(50))",
    "CREATE TABLE log (word varchar(50))",
    (
        "CREATE TRIGGER g BEFORE INSERT ON event FOR EACH ROW IF NEW.begin > 5 THEN SET NEW.word = 'big'; "
        "INSERT INTO log VALUES (NEW.word); ELSE INSERT INTO log VALUES ('small'); END IF"
    ),
    (
        "CREATE DEFINER=CURRENT_USER PROCEDURE fill(n INT) top: BEGIN DECLARE i INT DEFAULT 0; "
        "DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN INSERT INTO log VALUES ('failed'); END; "
        "WHILE i < n DO SET i = i + CASE WHEN i > 3 THEN 2 ELSE 1 END; INSERT INTO event VALUES (i, 'w'); END WHILE; "
        "REPEAT SET i = i - 1; UNTIL i < 2 END REPEAT; x: LOOP LEAVE x; END LOOP x; "
        "CASE i WHEN 1 THEN INSERT INTO log VALUES (REPEAT('one', 2)); ELSE BEGIN END; END CASE; "
        "SELECT begin INTO i FROM event LIMIT 1; SIGNAL SQLSTATE '45000'; END"
    ),
    "CREATE FUNCTION f(a INT) RETURNS CHAR(9) CHARACTER SET utf8mb4 NO SQL RETURN CASE WHEN a THEN 'x' ELSE 'y' END",
    "/*!50003 CREATE */ VIEW seen AS SELECT f(begin) AS `a;b` FROM event # it's; a comment",
    "INSERT INTO event VALUES (1, 'a;b\\'; '), (2, \"c;d\") /* a /* not nested */",
    "CALL fill(7)",
    "BEGIN NOT ATOMIC FOR i IN 1..3 DO INSERT INTO log VALUES (i); END FOR; END",
    "DELETE FROM event WHERE begin = 2",
)


def state_of_postgresql(there: Database) -> list[Any]:
    with psycopg.connect(**without_name(there), dbname=there.name) as connection:
        queries = (
            "SELECT * FROM event ORDER BY 1, 2",
            "SELECT * FROM log ORDER BY 1",
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
            "SELECT definition FROM pg_rules WHERE schemaname = 'public'",
        )
        return [connection.execute(query).fetchall() for query in queries]


def without_name(there: Database) -> dict[str, Any]:
    return {name: value for name, value in settings(there).items() if name != "database"}


def test_postgresql(postgres: Database) -> None:
    alone, together = (postgres_place(postgres, f"script_{name}").server for name in ("alone", "together"))
    assert alone is not None
    assert together is not None
    with psycopg.connect(**without_name(alone), dbname=alone.name) as connection:
        for statement in POSTGRESQL:
            connection.execute(statement.encode())
    with PostgresConnector(ConnectorInit("wh", "db", "postgres", settings(together), {})) as db:
        with pytest.raises(ConnectorError, match=f"statement {len(POSTGRESQL) + 1} of .* starts or ends a transaction"):
            db.script(";\n".join([*POSTGRESQL, "/* /* */ */ COMMIT"]))
        assert len(db.script(";\n".join(POSTGRESQL)).affected) == len(POSTGRESQL)
    assert state_of_postgresql(alone) == state_of_postgresql(together)


def state_of_mariadb(there: Database) -> list[Any]:
    with pymysql.connect(**settings(there), ssl_disabled=True) as connection, connection.cursor() as cursor:
        found: list[Any] = []
        for query in (
            "SELECT * FROM event ORDER BY 1, 2",
            "SELECT * FROM log ORDER BY 1",
            "SELECT * FROM seen ORDER BY 1",
            (
                "SELECT routine_name, routine_definition FROM information_schema.routines "
                "WHERE routine_schema = database() ORDER BY 1"
            ),
            "SELECT action_statement FROM information_schema.triggers WHERE trigger_schema = database()",
        ):
            cursor.execute(query)
            found.append(cursor.fetchall())
    return found


def test_mariadb(mariadb: Database) -> None:
    alone, together = (new_database(mariadb, f"script_{name}") for name in ("alone", "together"))
    with pymysql.connect(**settings(alone), ssl_disabled=True) as connection, connection.cursor() as cursor:
        for statement in MARIADB:
            cursor.execute(statement)
        connection.commit()
    with MySQLConnector(ConnectorInit("wh", "db", "mysql", settings(together), {})) as db:
        script = ";\n".join(each + "\n" for each in MARIADB)
        for last in ("# it's\nCOMMIT", "/*! COMMIT */"):
            with pytest.raises(
                ConnectorError, match=f"statement {len(MARIADB) + 1} of .* (starts or ends|would commit)"
            ):
                db.script(f"{script};{last}")
        assert len(db.script(script).affected) == len(MARIADB)
    assert state_of_mariadb(alone) == state_of_mariadb(together)
