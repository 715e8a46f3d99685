"""The run's loggers: log records of steps become events, and events become log records, both with secrets masked."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from aetherflow.core.runtime.logs.events import NOT_WRITTEN, Events, as_text, encode, level_of

_FLOWS = "aetherflow.flow"
_STEP = ("job_id", "step_id", "item", "label")
"""The fields that name a step."""


class EventRecord(logging.LogRecord):
    """The record of an event, which has its name as `event` and its fields as `fields`."""

    event: str
    fields: dict[str, Any]


class FlowLog(logging.Handler):
    """Between the logger `aetherflow.flow.<flow_id>` and the events of a run, in both directions.

    Records of steps become events. Events become records of that logger, or of `….job.<job_id>`, for the handlers of
    the program in which the run takes place.
    """

    any_thread = True

    def __init__(self, flow_id: str, level: str, events: Events, *, as_json: bool) -> None:
        """`level` is the least level; `as_json` the form of records of events."""
        super().__init__()
        self.logger = logging.getLogger(f"aetherflow.flow.{flow_id}")
        self._level = logging.getLevelNamesMapping()[level]
        self._as_json = as_json
        self._events = events
        self._here = threading.local()
        self._steps: list[dict[str, Any]] = []
        self._of_jobs: dict[str, logging.Logger] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Emit a step's record as event `log`, which names the step.

        A record with a map `event_fields` is the event that its message names.
        What later handlers get of the record is masked too.
        """
        if isinstance(record, EventRecord):
            return
        fields, text = getattr(record, "event_fields", None), self.format(record)
        if isinstance(fields, Mapping):
            event = record.getMessage()
            self._emit_event(event, {**fields, "level": record.levelname})
            record.event_fields = shown = self._events.masked(dict(fields))
            masked = self._text(event, record.levelname, shown)
        else:
            step = self._steps[-1] if self._steps else {}
            self._emit_event("log", {**step, "level": record.levelname, "logger": record.name, "message": text})
            masked = self._events.masked(text)
        if masked != text:
            record.msg, record.args, record.exc_info, record.exc_text = masked, (), None, None
            record.stack_info = None

    def _emit_event(self, event: str, fields: dict[str, Any]) -> None:
        self._here.event = event  # it becomes no second record
        try:
            self._events.emit(event, **fields)
        finally:
            self._here.event = None

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Pass an event to the handlers of the program, if there are any."""
        if event == "step_start":
            self._steps.append({name: fields[name] for name in _STEP if name in fields})
        elif event == "step_end" and self._steps:
            self._steps.pop()
        if event in NOT_WRITTEN or getattr(self._here, "event", None) == event:
            return
        logger = self._of_job(fields["job_id"]) if "job_id" in fields else self.logger
        if not self._is_heard(logger):
            return
        name = level_of(event, fields)
        number = logging.getLevelNamesMapping().get(name, logging.INFO)
        if number < self._level:
            return
        record = EventRecord(logger.name, number, __file__, 0, self._text(event, name, fields), (), None)
        record.event, record.fields = event, fields
        logger.handle(record)

    def _of_job(self, job_id: str) -> logging.Logger:
        if (found := self._of_jobs.get(job_id)) is None:
            found = self._of_jobs[job_id] = self.logger.getChild(f"job.{job_id}")
        return found

    def _is_heard(self, logger: logging.Logger | None) -> bool:
        while logger is not None:
            for handler in logger.handlers:
                if not isinstance(handler, FlowLog) and (not isinstance(handler, _PassedOn) or handler.above()):
                    return True
            logger = logger.parent if logger.propagate else None
        return False

    def _text(self, event: str, level: str, fields: dict[str, Any]) -> str:
        if self._as_json:
            return encode({"ts_ms": time.time_ns() // 1_000_000, "level": level, "event": event, **fields})
        return as_text(event, fields)


@contextmanager
def run_logging(flow_id: str, level: str, events: Events, *, as_json: bool) -> Iterator[None]:
    """While the block runs, records of the flow's loggers become events, from `level` on.

    Events become records from now on, also after the block.
    """
    log = FlowLog(flow_id, level, events, as_json=as_json)
    logger, before = log.logger, log.logger.level
    logger.setLevel(level)
    logger.handlers.insert(0, log)  # first, since it masks the record for the others
    events.add(log)
    try:
        yield
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)


class _PassedOn(logging.Handler):
    """Passes records of flows to the handlers above, but for those that write to a stream."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def above(self) -> list[logging.Handler]:
        """The handlers of the program that get the records."""
        found: list[logging.Handler] = []
        logger = logging.getLogger(_FLOWS).parent
        while logger is not None:
            found += [handler for handler in logger.handlers if not self._writes_there(handler)]
            logger = logger.parent if logger.propagate else None
        return found

    def emit(self, record: logging.LogRecord) -> None:
        for handler in self.above():
            if record.levelno >= handler.level:
                handler.handle(record)

    def _writes_there(self, handler: logging.Handler) -> bool:
        stream = getattr(handler, "stream", None)
        if stream is None or stream is self._stream:
            return stream is not None
        try:
            return bool(stream.fileno() == self._stream.fileno())
        except (AttributeError, OSError, ValueError):  # a stream of a program has none, or it is closed
            return False


@contextmanager
def shown_on(stream: TextIO) -> Iterator[None]:
    """While the block runs, handlers that write to this stream get no records of flows: it shows the events itself."""
    logger, handler = logging.getLogger(_FLOWS), _PassedOn(stream)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
