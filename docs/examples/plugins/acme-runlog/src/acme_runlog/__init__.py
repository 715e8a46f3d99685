"""Hooks that write the events of runs into a stream of Redis."""

from acme_runlog.hooks import RunLog
from acme_runlog.settings import RunLogSettings

__all__ = ["RunLog", "RunLogSettings"]
