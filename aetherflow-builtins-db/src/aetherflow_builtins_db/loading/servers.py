"""The Server class of each driver; the classes are imported on use."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from aetherflow_builtins_db.contract import SqlConnector
from aetherflow_builtins_db.loading.server import Server

_CLASSES = {
    "sqlite3": "sqlite:SqliteServer",
    "duckdb": "duckdb:DuckDBServer",
    "postgres": "postgresql:PostgresServer",
    "mysql": "mysql:MySqlServer",
}


def server_of(
    connector: SqlConnector, load_name: str, scratch: Path, say: Callable[[str], None] = lambda _: None
) -> Server:
    """A Server for the connector's database; GenericServer for drivers without their own class."""
    place = _CLASSES.get(getattr(connector, "driver", ""), "generic:GenericServer")
    module, _, name = place.partition(":")
    made = getattr(import_module(f"aetherflow_builtins_db.loading.{module}"), name)
    server: Server = made(connector, load_name, scratch, say)
    return server
