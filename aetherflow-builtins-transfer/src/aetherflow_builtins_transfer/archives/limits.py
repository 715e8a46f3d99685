"""Limits for the unpacked size of archives."""

from pydantic import Field

from aetherflow.core.api import ExtractLimits, StepInputs
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError
from aetherflow_builtins_transfer.archives.names import shown

RATIO_GRACE_BYTES = 1 << 20
"""Unpacked size up to which the ratio is not checked: small regular files compress to almost nothing."""


class Limits(StepInputs):
    """Limits for one archive, with defaults that protect the disk."""

    max_members: int = Field(10_000, ge=1, description="Maximum number of members, folders included.")
    max_total_bytes: int = Field(2 * 1024**3, ge=0, description="Maximum unpacked size in bytes.")
    max_ratio: float = Field(
        200.0, gt=0, description="Maximum ratio of unpacked to packed size; checked from 1 MiB on."
    )


class Budget:
    """Counts the unpacked members and bytes of an archive; raises RefusedMemberError as soon as a limit is exceeded."""

    def __init__(self, limits: ExtractLimits, packed: int) -> None:
        """`packed` is the size of the archive in bytes."""
        self._limits = limits
        self._packed = packed
        self.members = 0
        self.total = 0

    def member(self) -> None:
        self.members += 1
        if self.members > self._limits.max_members:
            raise RefusedMemberError(
                f"it has more than {self._limits.max_members:,} members", "raise max_members if it may have them"
            )

    def declared(self, name: str, size: int, packed: int | None) -> None:
        """Check the declared sizes of a member, before it is read."""
        self._check(name, self.total + size, self._packed)
        if packed is not None:
            self._ratio(name, size, packed)

    def spend(self, name: str, amount: int) -> None:
        self.total += amount
        self._check(name, self.total, self._packed)

    def _check(self, name: str, total: int, packed: int) -> None:
        if total > self._limits.max_total_bytes:
            raise RefusedMemberError(
                f"it unpacks to more than {self._limits.max_total_bytes:,} bytes (at member {shown(name)})",
                "raise max_total_bytes if it may be that large",
            )
        self._ratio(name, total, packed)

    def _ratio(self, name: str, total: int, packed: int) -> None:
        if total > RATIO_GRACE_BYTES and total > self._limits.max_ratio * max(packed, 1):
            raise RefusedMemberError(
                f"it unpacks to more than {self._limits.max_ratio:g} times its size (at member {shown(name)})",
                "raise max_ratio if its content is that regular",
            )
