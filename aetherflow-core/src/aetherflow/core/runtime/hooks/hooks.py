"""Observer hooks: they receive the events of a run as frozen values; none can fail the run."""

import json
from collections.abc import Callable
from typing import Any

from aetherflow.core.contracts.events import JobInfo, LockInfo, Outcome, RunInfo, StepInfo
from aetherflow.core.host.faults import note_place, place_of
from aetherflow.core.host.hooks import Hooks
from aetherflow.core.runtime.logs.events import Events, encode


class HookObserver:
    """Calls the observer hooks of every plugin in order; a failing plugin is reported once and still called."""

    def __init__(self, hooks: Hooks, run: RunInfo, events: Events) -> None:
        self._hooks = hooks
        self._run = run
        self._events = events
        self._reported: set[str] = set()
        self._reasons: set[tuple[str, str]] = set()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Pass one event to the plugins, if there is a hook for it."""
        if (known := _HOOKS.get(event)) is None:
            return
        hook, arguments = known
        for name, call in self._hooks.each(hook):
            try:
                call(run=self._run, **arguments(fields))  # new values each time: plugins cannot affect each other
            except BaseException as error:  # noqa: BLE001 foreign code may raise anything, KeyboardInterrupt too
                self._report(name, hook, error)

    def _report(self, name: str, hook: str, error: BaseException) -> None:
        # what a distribution's hooks share, such as its settings, is one reason for all entries that declare them
        why = (name.partition(":")[0], str(error))
        if name in self._reported or why in self._reasons:
            return
        self._reported.add(name)
        self._reasons.add(why)
        frames = note_place(error)
        message = (
            f"hook {name} failed in {hook}: {type(error).__name__}: {error}{place_of(error)}; the run goes on, further "
            "failures of this plugin are not reported"
        )
        self._events.emit("log", level="WARNING", logger="aetherflow.hooks", message=message)
        if frames:  # for the authors of the plugin
            self._events.emit("traceback", level="DEBUG", logger="aetherflow.hooks", message=frames)


def step_info(fields: dict[str, Any]) -> StepInfo:
    """The attempt that an event is about."""
    return StepInfo(
        fields["job_id"], fields["step_id"], fields["step_type"], fields["attempt"], fields.get("item") or None
    )


def _outcome(fields: dict[str, Any]) -> Outcome:
    blocker = fields.get("blocked_by")
    reason = fields.get("reason") or fields.get("skip_reason") or (f"blocked by {blocker}" if blocker else None)
    return Outcome(str(fields["status"]), fields["duration_ms"], fields.get("error"), reason)


def _of_run(fields: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": _outcome(fields), "summary": json.loads(encode(fields))}


def _of_job(fields: dict[str, Any]) -> dict[str, Any]:
    return {"job": JobInfo(fields["job_id"])}


def _of_step(fields: dict[str, Any]) -> dict[str, Any]:
    return {"step": step_info(fields)}


def _of_lock(fields: dict[str, Any]) -> dict[str, Any]:
    return {"lock": LockInfo(fields["key"], fields["token"])}


_HOOKS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "run_start": ("aetherflow_run_started", lambda _: {}),
    "run_summary": ("aetherflow_run_finished", _of_run),
    "job_start": ("aetherflow_job_started", _of_job),
    "job_end": ("aetherflow_job_finished", lambda fields: {**_of_job(fields), "outcome": _outcome(fields)}),
    "step_start": ("aetherflow_step_started", _of_step),
    "step_end": ("aetherflow_step_finished", lambda fields: {**_of_step(fields), "outcome": _outcome(fields)}),
    "lock_acquired": ("aetherflow_lock_acquired", _of_lock),
    "lock_lost": ("aetherflow_lock_lost", lambda fields: {**_of_lock(fields), "reason": fields["reason"]}),
}
"""Event to its hook, and the function that makes the hook's arguments from the event's fields."""
