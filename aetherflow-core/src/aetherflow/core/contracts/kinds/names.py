"""The kinds of connectors that `ctx.connectors` has an accessor for, and what the core itself must know of plugins."""

from typing import Annotated, Final, Literal

from aetherflow.core.contracts.fields import ResourceRef

DB: Final = "db"
REST: Final = "rest"
SFTP: Final = "sftp"
SMB: Final = "smb"
MAIL: Final = "mail"
ARCHIVE: Final = "archive"

DbResource = Annotated[str, ResourceRef(DB)]
"""Name of a resource of kind `db`."""

ArchiveDriver = Literal["pyzipper", "zipfile", "os", "external"]
"""Drivers of kind `archive` that a policy may accept."""
SAFE_ARCHIVE_DRIVERS: tuple[ArchiveDriver, ...] = ("pyzipper", "zipfile")
"""Those that enterprise mode accepts unless its policy names others: they start no other program."""

QUARANTINE_STEP: Final = "file_quarantine"
"""The step that a `for_each` with `quarantine` runs for an item that failed."""
