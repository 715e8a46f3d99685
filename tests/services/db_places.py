"""The databases for tests of steps: files, and an empty database on each server."""

import atexit
from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql
import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from services import Database

_SESSIONS: dict[str, psycopg.Connection[Any]] = {}
"""Sessions in databases of PostgreSQL by their URL; they stay open, for the server takes 10 ms to begin with one."""
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
        inside = session_in(_url(own))
    except psycopg.OperationalError:  # it is not there
        with psycopg.connect(_url(server), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    else:
        inside.execute(END_SESSIONS)
        inside.execute(EMPTY)
    return Place("postgres", {"kind": "db", "driver": "postgres", "config": settings(own)}, own)


def sqlalchemy_place(server: Database, name: str) -> Place:
    """The same by SQLAlchemy."""
    own = postgres_place(server, name).server
    assert own is not None
    url = _url(own).replace(":", "+psycopg:", 1)
    return Place("sqlalchemy", {"kind": "db", "driver": "sqlalchemy", "config": {"url": url}}, own)


def session_in(url: str) -> psycopg.Connection[Any]:
    """The session of this process in a database of PostgreSQL, set up as those of the connector are."""
    if url in _SESSIONS:
        try:
            _SESSIONS[url].execute("SELECT 1")
        except psycopg.Error:  # it was ended, or its server
            _SESSIONS.pop(url).close()
    if url not in _SESSIONS:
        _SESSIONS[url] = PostgresConnector(ConnectorInit("wh", "db", "postgres", {"url": url}, {})).open()
        atexit.register(_SESSIONS[url].close)
    return _SESSIONS[url]


def session_of(resource: dict[str, Any]) -> psycopg.Connection[Any] | None:
    """The same for a resource of `postgres_place` or `sqlalchemy_place`; None for any other."""
    config, url = resource["config"], ""
    if config.keys() == {"host", "port", "user", "password", "database"} and resource["driver"] == "postgres":
        url = "postgresql://{user}:{password}@{host}:{port}/{database}".format(**config)
    elif config.keys() == {"url"} and config["url"].startswith("postgresql+psycopg:"):
        url = config["url"].replace("+psycopg", "", 1)
    return session_in(url) if url and not resource.get("options") else None


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


def _url(server: Database) -> str:
    return f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/{server.name}"
