"""The run's loggers: log records of steps become events, with secrets masked."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aetherflow.core.runtime.logs.events import Events


class EventHandler(logging.Handler):
    """Emits log records as events `log` of a run."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Emit one record; a record with a map `event_fields` becomes an event that is named by its message."""
        fields = getattr(record, "event_fields", None)
        if isinstance(fields, Mapping):
            self._events.emit(record.getMessage(), **{**fields, "level": record.levelname})
            return
        self._events.emit("log", level=record.levelname, logger=record.name, message=self.format(record))


@contextmanager
def run_logging(flow_id: str, level: str, events: Events) -> Iterator[None]:
    """While the block runs, records of `aetherflow.flow.<flow_id>` from `level` on become events and nothing else."""
    logger = logging.getLogger(f"aetherflow.flow.{flow_id}")
    handler = EventHandler(events)
    before = logger.level, logger.propagate
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
