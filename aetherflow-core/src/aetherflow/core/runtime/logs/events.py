"""Events of a run: one stream for the logs, the terminal, hooks and other observers; none of them can fail the run."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from aetherflow.core.base.json_text import text_encoder
from aetherflow.core.base.redact import Redactor

log = logging.getLogger("aetherflow")

encode = text_encoder()
"""Encodes a value as one line of JSON."""

NOT_WRITTEN = ("progress", "output")
"""Events that are not written to files: progress is for terminals, and output has a log for each attempt."""

_ERRORS = ("FAILED", "UNKNOWN")
_WARNINGS = ("step_retry", "lock_lost", "definition_changed", "claims_open")


def level_of(event: str, fields: Mapping[str, Any]) -> str:
    """The level of an event: that of a log record; ERROR for failures; WARNING for interruptions and retries."""
    if "level" in fields:
        return str(fields["level"])
    status = fields.get("status")
    if status in _ERRORS:
        return "ERROR"
    return "WARNING" if status == "INTERRUPTED" or event in _WARNINGS else "INFO"


def as_text(event: str, fields: Mapping[str, Any]) -> str:
    """An event as one line: `event key=value …`."""
    return " ".join([event, *(f"{name}={_plain(value)}" for name, value in fields.items())])


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else encode(value)
    return encode(text) if not text or any(c in text for c in ' "\n\t=') else text


Observer = Callable[[str, dict[str, Any]], None]
"""Called with the name of the event and its fields."""


OWN = frozenset({"flow_id", "run_id", "job_id", "step_id", "step_type", "status", "attempt", "reason_code"})
"""Fields that hold ids and words of ours, which a secret may equal by chance; they are not masked."""
NESTED = frozenset({"jobs", "steps"})
"""Fields with maps of such fields."""


class Events:
    """Passes every event to each observer in order, with secrets masked. An observer that fails is removed."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._observers: list[Observer] = []
        self._deferred: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        self.bound = False
        """Whether an observer may count on the thread of the run for all but what steps say: one that is not ours."""

    def add(self, observer: Observer) -> None:
        """Add an observer of all later events; one that any thread may call has `any_thread`."""
        self._observers.append(observer)
        self.bound = self.bound or not getattr(observer, "any_thread", False)

    def masked(self, value: Any) -> Any:
        """The value with the run's secrets masked."""
        return self._redactor.mask_all(value)

    def emit(self, event: str, **fields: Any) -> None:
        """Call the observers, first with deferred events; fields that are None are left out."""
        if not self._deferred.empty():
            with contextlib.suppress(Empty):
                while True:
                    self._tell(*self._deferred.get_nowait())
        self._tell(event, fields)

    def defer(self, event: str, **fields: Any) -> None:
        """Queue an event until the next `emit`; for threads that must not wait for an observer."""
        self._deferred.put((event, fields))

    def _tell(self, event: str, fields: dict[str, Any]) -> None:
        shown = self._masked({name: value for name, value in fields.items() if value is not None})
        for observer in list(self._observers):
            try:
                observer(event, shown)
            except BaseException as error:  # noqa: BLE001 whatever an observer raises, the run goes on; Ctrl-C is a stop
                self._observers.remove(observer)
                log.warning("an observer of the run failed and sees no more events: %s", error)

    def _masked(self, fields: dict[str, Any]) -> dict[str, Any]:
        if not self._redactor.longest:  # there is no secret; a step has four events
            return fields
        mask = self._redactor.mask_all
        return {
            name: [self._masked(each) for each in value]
            if name in NESTED and isinstance(value, list)
            else value
            if name in OWN
            else mask(value)
            for name, value in fields.items()
        }
