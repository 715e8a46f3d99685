"""The databases for tests of steps: files, and an empty database on each server."""

from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql
import pytest

from services import Database

DRIVERS = ("sqlite3", "duckdb", "postgres", "mysql", "sqlalchemy")

END_SESSIONS = """\
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
EMPTY = """\
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
  CREATE SCHEMA public AUTHORIZATION pg_database_owner;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""
"""Statements of PostgreSQL, of 14 and later."""


def settings(database: Database) -> dict[str, Any]:
    """The address and account of a database, as keys for a connector's config and for pymysql.connect."""
    return {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        "database": database.name,
    }


@dataclass
class Place:
    """A resource on a database that no other test uses at the same time."""

    driver: str
    resource: dict[str, Any]
    server: Database | None = None


def place_for(request: pytest.FixtureRequest, driver: str, name: str) -> Place:
    """An empty database `name` of the driver: a file, or a database of the server that a fixture starts."""
    match driver:
        case "postgres":
            return postgres_place(request.getfixturevalue("postgres"), name)
        case "sqlalchemy":
            return sqlalchemy_place(request.getfixturevalue("postgres"), f"{name}_by_url")
        case "mysql":
            return mysql_place(request.getfixturevalue("mariadb"))
    return file_place(driver, name)


def file_place(driver: str, name: str = "wh") -> Place:
    """A database file in the flow's folder."""
    return Place(driver, {"kind": "db", "driver": driver, "config": {"path": f"{name}.{driver}"}})


def postgres_place(server: Database, name: str) -> Place:
    """The server's database of this name, new or emptied: to empty it takes an eighth of the time."""
    own = Database(server.port, server.user, server.password, name, server.host)
    try:
        inside = psycopg.connect(_dsn(own), autocommit=True)
    except psycopg.OperationalError:  # it is not there
        with psycopg.connect(_dsn(server), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    else:
        with inside:
            inside.execute(END_SESSIONS)
            inside.execute(EMPTY)
    return Place("postgres", {"kind": "db", "driver": "postgres", "config": settings(own)}, own)


def sqlalchemy_place(server: Database, name: str) -> Place:
    """The same by SQLAlchemy."""
    own = postgres_place(server, name).server
    assert own is not None
    url = f"postgresql+psycopg://{own.user}:{own.password}@{own.host}:{own.port}/{own.name}"
    return Place("sqlalchemy", {"kind": "db", "driver": "sqlalchemy", "config": {"url": url}}, own)


def mysql_place(server: Database) -> Place:
    """The server's one database, emptied."""
    with pymysql.connect(**settings(server), ssl_disabled=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database()")
        for name, kind in cursor.fetchall():
            cursor.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} `{name}`")
    return Place("mysql", {"kind": "db", "driver": "mysql", "config": settings(server)}, server)


def _mariadb_database(server: Database, name: str) -> Database:
    """A new database on the server, without the stores that were named after it."""
    own = Database(server.port, server.user, server.password, f"{server.name}_{name}", server.host, server.driver)
    with pymysql.connect(**settings(server), ssl_disabled=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE '{own.name}%'")
        for (found,) in cursor.fetchall():
            cursor.execute(f"DROP DATABASE `{found}`")
        cursor.execute(f"CREATE DATABASE {own.name}")
    return own


def new_database(server: Database, name: str) -> Database:
    """A new database on the server."""
    if server.driver == "mysql":
        return _mariadb_database(server, name)
    found = postgres_place(server, name).server
    assert found is not None
    return found


def mysql_by_url(server: Database) -> Place:
    """The same by SQLAlchemy."""
    mysql_place(server)
    url = f"mysql+pymysql://{server.user}:{server.password}@{server.host}:{server.port}/{server.name}"
    return Place("sqlalchemy", {"kind": "db", "driver": "sqlalchemy", "config": {"url": url}}, server)


def _dsn(server: Database) -> str:
    where = f"host={server.host} port={server.port} user={server.user} password={server.password}"
    return f"{where} dbname={server.name}"
