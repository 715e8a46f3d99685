"""How far the step that runs has come, for readers elsewhere: it is written with the heartbeat."""

import time
from collections.abc import Callable
from typing import Any

from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.runtime.logs.events import encode


class LatestProgress:
    """An observer that keeps what was reported last, until the step has ended."""

    any_thread = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._items: dict[str, Any] = {}
        self._own: dict[str, Any] = {}
        self._first: tuple[float, float] | None = None
        self._inside = False

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        if event == "step_start":
            self._inside, self._own, self._first = True, {}, None
        elif event == "step_end":
            self._inside, self._own = False, {}
        elif event == "job_end":
            self._own = self._items = {}
        elif event == "progress":
            self._report(fields)

    def _report(self, fields: dict[str, Any]) -> None:
        now, done = self._clock(), fields["done"]
        told = {"job": fields["job_id"], "step": fields["step_id"], "done": done, "total": fields.get("total")}
        told |= {"unit": fields.get("unit"), "rate": None, "at": now_ms()}
        if not self._inside:  # between two items of a step
            self._items = told if done != told["total"] else {}
            return
        if self._first is None or done < self._first[1]:
            self._first = (now, done)
        since, before = self._first
        if now > since and told["unit"] != "s":
            told["rate"] = round((done - before) / (now - since), 1)
        self._own = told

    def text(self) -> str | None:
        """A JSON object for the run's row, None without any.

        It has `job`, `step`, `done`, `total`, `unit` as reported, `rate` in units per second since the step's first
        report, `at` in epoch milliseconds, and `items` (`done`, `total`) in a step with `for_each`.
        """
        own, items = self._own, self._items
        found = own or items
        if not found:
            return None
        counted = {"items": {name: items[name] for name in ("done", "total")}} if own and items else {}
        return encode(found | counted)
