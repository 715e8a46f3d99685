"""The contract of a state backend: it keeps state, locks and ledger in the database of a resource."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.durable import Database


class ServerFacts(NamedTuple):
    """What `doctor --connect` shows of the server of a state."""

    version: str
    may_create: bool
    """Whether the account may create what is missing: schemas, tables."""
    offset_ms: int
    """The clock of the server less that of this host, in milliseconds."""
    round_trip_ms: float


class StateBackend(ABC):
    """Base class of all state backends; `NAME` of its entry point is the driver of the resource, of kind `db`.

    It is a `StoreServer`: one schema for each store, whose connections are of its own, and outlive a lost connection.
    Its databases raise StoreConflictError where the server has undone a transaction whose rows others have changed.
    """

    error: type[OSError] = OSError
    """The class of the errors that its connections raise."""

    def __init__(self, connector: Any, name: str, folder: Path) -> None:
        """`name`: `//BACKEND:RESOURCE`; `folder`: for what the processes of this host tell each other."""
        self.connector = connector
        self.name, self.folder = name, folder

    @abstractmethod
    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> Database:
        """A connection to the schema of a store, which is created unless it is for `reading`. Raises `error`.

        FileNotFoundError where there is no such schema for `reading`.
        """

    @abstractmethod
    def address(self) -> str:
        """Which database it is, without secrets, as its resource names it."""

    @abstractmethod
    def stores(self) -> list[str]:
        """The names of the stores that are there; of any user of the database. Raises `error`."""

    @abstractmethod
    def backup_command(self, file: Path) -> str:
        """The command line by which the server's own tool copies all stores into a file. Raises `error`."""

    @abstractmethod
    def facts(self) -> ServerFacts:
        """Ask the server about itself; nothing is created. Raises `error`."""
