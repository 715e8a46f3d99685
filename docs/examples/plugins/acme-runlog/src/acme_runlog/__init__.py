"""Hooks that write the events of runs into a stream of Redis."""

from acme_runlog.hooks import RunLog, RunLogSettings

__all__ = ["RunLog", "RunLogSettings"]
