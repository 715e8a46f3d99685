"""Counts the rows and bytes of a call, for its error message."""

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """Rows and bytes that a call has sent or received so far."""

    rows: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        """The text after the word `failed`, for example ` after 5,000 rows`; empty if nothing was transferred."""
        parts = [f"{count:,} {unit}" for count, unit in ((self.rows, "rows"), (self.bytes, "bytes")) if count]
        return f" after {', '.join(parts)}" if parts else ""
