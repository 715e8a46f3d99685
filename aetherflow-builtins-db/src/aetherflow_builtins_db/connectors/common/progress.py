"""How far a call came, for the error that ends it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """What has passed between the database and this program."""

    rows: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        """As it stands behind the word `failed`; nothing if nothing has passed."""
        parts = [f"{count:,} {unit}" for count, unit in ((self.rows, "rows"), (self.bytes, "bytes")) if count]
        return f" after {', '.join(parts)}" if parts else ""
