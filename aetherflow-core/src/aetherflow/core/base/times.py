"""Times in the form that people read and that `--slot` accepts."""

import datetime as dt


def iso(epoch_ms: int | None) -> str:
    """UTC epoch milliseconds in ISO 8601 to the second, such as `2026-11-25T01:00:00Z`; empty for None."""
    if epoch_ms is None:
        return ""
    return dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
