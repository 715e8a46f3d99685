"""Notices changes of the scheduler document and its calendars, and reads it in a thread: the loop is not delayed."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import AetherflowError, SpecError
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

QUIET_SECONDS = 1.0
"""A changed file is read after it has not changed for this time."""
Facts = tuple[int, int, int] | None


class Reloading:
    """Reads the document again after a change of a file, once all are stable for `QUIET_SECONDS`, or after `ask`."""

    def __init__(self, schedule: "Schedule", load: "Callable[[Path], Schedule]", clock: Clock, events: Events) -> None:
        self._path = schedule.path
        self._load = load
        self._clock = clock
        self._events = events
        self._known = {each: _facts(each) for each in (schedule.path, *schedule.read)}
        self._seen, self._since = self._known, 0.0
        self._thread: threading.Thread | None = None
        self._found: Schedule | None = None
        self._asked = False

    def ask(self) -> None:
        """Read the file at the next `look`, changed or not; called after SIGHUP."""
        self._asked = True

    def look(self) -> "Schedule | None":
        """The schedule that was read since the last call; None if there is none or the document is invalid."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            found, self._found = self._found, None
            if found is not None:
                # with what the files were before they were read: a change in between is read again
                files = (found.path, *found.read)
                self._known = {each: self._known[each] if each in self._known else _facts(each) for each in files}
            return found
        facts, now = {each: _facts(each) for each in self._known}, self._clock.monotonic()
        if facts != self._seen:
            self._seen, self._since = facts, now
        quiet = None not in facts.values() and facts != self._known and now - self._since >= QUIET_SECONDS
        if self._asked or quiet:
            self._asked = False
            self._known = facts
            self._thread = threading.Thread(target=self._read, name="reload", daemon=True)
            self._thread.start()
        return None

    def _read(self) -> None:
        try:
            self._found = self._load(self._path)
        except SpecError as error:
            text = "\n".join(problem.as_text() for problem in error.problems) or str(error)
            self._refuse(text)
        except (AetherflowError, OSError) as error:
            self._refuse(str(error))
        finally:
            self._clock.wake()

    def _refuse(self, text: str) -> None:
        message = f"{self._path} is not valid; the schedule stays as it was\n{text}"
        self._events.error("reload_refused", message, file=str(self._path))


def _facts(path: Path) -> Facts:
    try:
        found = path.stat()
    except OSError:  # gone for a moment, while an editor replaces it
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
