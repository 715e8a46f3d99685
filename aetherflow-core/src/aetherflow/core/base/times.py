"""Times in the form that people read and that `--slot` accepts."""

import datetime as dt


def iso(epoch_ms: int | None) -> str:
    """UTC epoch milliseconds in ISO 8601 to the second, such as `2026-11-25T01:00:00Z`; empty for None."""
    if epoch_ms is None:
        return ""
    return dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant_of(text: str | None) -> int | None:
    """The UTC epoch milliseconds of a time in ISO 8601; None for None, and for any other text."""
    try:
        return None if text is None else int(dt.datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None
