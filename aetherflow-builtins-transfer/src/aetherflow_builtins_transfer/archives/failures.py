"""Why an archive is not unpacked."""

from aetherflow.core.api import ConnectorError


class ArchiveError(ConnectorError):
    """An archive is refused or damaged, or cannot be made; the message says which one and why."""


class RefusedMemberError(Exception):
    """A member of an archive breaks a rule; whoever knows the archive's name makes an ArchiveError of it."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix
