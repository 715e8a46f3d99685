"""The `ctx` of connectors: the flow and the run for which they are built, and where relative paths lead."""

import logging
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from aetherflow.core.base.redact import Redactor
from aetherflow.core.runtime.environment.settings import Settings


class Folders(Protocol):
    """Where relative paths of a resource lead."""

    def database_path(self, path: str) -> str:
        """Absolute path of a database file."""
        ...

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file."""
        ...

    def require_apart(self, place: Path) -> None:
        """PathError if a connector would write to the engine's own files."""
        ...


class ConnectorsRun:
    """The implementation of `ConnectorContext`; `str()` distinguishes the folders from those of other flows."""

    def __init__(
        self,
        folders: Folders,
        settings: Settings,
        redactor: Redactor,
        flow_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        self._folders = folders
        self.settings = settings
        self.flow_id = flow_id
        self.run_id = run_id
        self._redactor = redactor
        self._others: WeakSet[Redactor] = WeakSet()

    def __str__(self) -> str:
        return str(self._folders)

    @property
    def log(self) -> logging.Logger:
        """The logger of the flow; of the program, where there is no flow."""
        return logging.getLogger(f"aetherflow.flow.{self.flow_id}" if self.flow_id else "aetherflow")

    def outliving(self) -> "ConnectorsRun":
        """The same without the run, for a connector that is kept for other runs of the flow."""
        return ConnectorsRun(self._folders, self.settings, self._redactor, self.flow_id)

    def share(self, ctx: "ConnectorsRun") -> None:
        """Mask the secrets of another run, too, which uses the connector from now on."""
        self._others = WeakSet((*self._others, ctx._redactor))  # a new set: another thread may iterate over this one

    def redact(self, text: str) -> str:
        """The text with the secrets of all runs that use the connector masked."""
        for redactor in (self._redactor, *self._others):
            text = redactor.mask(text)
        return text

    def database_path(self, path: str) -> str:
        return self._folders.database_path(path)

    def asset_path(self, path: str) -> str:
        return self._folders.asset_path(path)

    def require_apart(self, place: Path) -> None:
        """PathError if a connector would write to the engine's own files."""
        self._folders.require_apart(place)
