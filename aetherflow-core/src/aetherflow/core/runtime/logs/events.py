"""Events of a run: one stream for the logs, the terminal, hooks and other observers; none of them can fail the run."""

import contextlib
import json
import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from aetherflow.core.base.redact import Redactor

log = logging.getLogger("aetherflow")

encode = json.JSONEncoder(ensure_ascii=False).encode
"""Encodes a value as one line of JSON."""

NOT_WRITTEN = ("progress", "output")
"""Events that are not written to files: progress is for terminals, and output has a log for each attempt."""

Observer = Callable[[str, dict[str, Any]], None]
"""Called with the name of the event and its fields."""


class Events:
    """Passes every event to each observer in order, with secrets masked. An observer that fails is removed."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._observers: list[Observer] = []
        self._deferred: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()

    def add(self, observer: Observer) -> None:
        """Add an observer of all later events."""
        self._observers.append(observer)

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
        shown = {name: self._redactor.mask_all(value) for name, value in fields.items() if value is not None}
        for observer in list(self._observers):
            try:
                observer(event, shown)
            except BaseException as error:  # noqa: BLE001 whatever an observer raises, the run goes on; Ctrl-C is a stop
                self._observers.remove(observer)
                log.warning("an observer of the run failed and sees no more events: %s", error)
