"""Errors about archives and their members."""

from aetherflow.core.api import ConnectorError


class ArchiveError(ConnectorError):
    """An archive is refused or damaged, or cannot be created; the message names the archive and the reason."""


class RefusedMemberError(Exception):
    """A member of an archive breaks a rule.

    `unpack.refusing` converts it to an ArchiveError with the archive's name.
    """

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix
