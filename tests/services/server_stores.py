"""The engine's stores on a throw-away PostgreSQL."""

from pathlib import Path

import psycopg

from aetherflow.core.api import ConnectorInit
from aetherflow.core.base import durable
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.stores.backend import PostgresStores
from db_places import settings
from services import Database

NAME = "//postgres:ops_db"


def use_postgres(server: Database, folder: Path, *, port: int | None = None) -> Path:
    """Let this process keep stores in a database; returns what stands for the path of a file."""
    config = settings(server) | {"port": port or server.port, "ssl": False}
    init = ConnectorInit("ops_db", "db", "postgres", config, {"connect_timeout": 5})
    durable.use_server(PostgresStores(PostgresConnector(init), NAME, folder))
    return Path(NAME)


def connected(server: Database) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection to look at the rows."""
    given = settings(server)
    return psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=given["password"], dbname=server.name,
        autocommit=True,
    )  # fmt: skip
