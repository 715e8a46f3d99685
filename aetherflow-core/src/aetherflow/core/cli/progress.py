"""The progress of a run on stderr: a live line on a terminal, elsewhere lines `event key=value` or JSON lines."""

import json
import shutil
import sys
import threading
import time
from typing import Any, Protocol, TextIO

from aetherflow.core.cli.summary import seconds
from aetherflow.core.console.streams import ERASE, control, dropped_lines, is_behind
from aetherflow.core.runtime.logs.events import as_text

TICK_SECONDS = 0.2


class ProgressObserver(Protocol):
    """An observer of a run's events that is closed at the end."""

    def __call__(self, event: str, fields: dict[str, Any]) -> None: ...
    def close(self) -> None:
        """Stop the output and restore the terminal."""


def make_observer(*, quiet: bool, log_format: str) -> ProgressObserver:
    """The observer for `--quiet`, the setting `log_format` and the kind of stderr."""
    if quiet:
        return QuietObserver()
    if log_format == "json":
        return JsonObserver(sys.stderr)
    return LiveObserver(sys.stderr) if sys.stderr.isatty() else LineObserver(sys.stderr)


class QuietObserver:
    """Ignores all events, for `--quiet`."""

    any_thread = True

    def __call__(self, event: str, fields: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class _Running:
    """The steps and items that run, by name."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, str | None], str] = {}
        self._side_by_side = set[tuple[str, str]]()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Take note of a start or an end."""
        if event == "step_start":
            key = _key(fields)
            if any(each[:2] == key[:2] for each in self._names):
                self._side_by_side.add(key[:2])
            self._names[key] = _name(fields)
        elif event == "step_end":
            self._names.pop(_key(fields), None)

    def name(self, fields: dict[str, Any]) -> str:
        """The name of the step or item that says something; of the item that began last where none is named."""
        key = _key(fields)
        of_step = [name for each, name in self._names.items() if each[:2] == key[:2]]
        return self._names.get(key) or (of_step[-1] if of_step else _name(fields))

    def are_several(self, fields: dict[str, Any]) -> bool:
        """Whether items of that step have run at the same time."""
        return _key(fields)[:2] in self._side_by_side

    def last(self) -> str | None:
        """What has begun last of all that runs."""
        return next(reversed(self._names.values()), None)


class LineObserver:
    """Writes one line per event, and the output of children, of items side by side with their names; no progress."""

    any_thread = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._running = _Running()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        self._running(event, fields)
        if event in ("progress", "run_summary", "traceback"):
            return
        if event == "output":
            several = self._running.are_several(fields)
            line = f"{self._running.name(fields)} | {fields['text']}" if several else fields["text"]
        else:
            line = as_text(event, fields)
        _write_line(self._stream, line)

    def close(self) -> None:
        """Tell how many lines were dropped, if any."""
        if dropped := dropped_lines(self._stream):
            self("output_dropped", {"lines": dropped})


class JsonObserver:
    """Writes one JSON object per event, also for the output of children, with time, level and ids; no progress."""

    any_thread = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._ids: dict[str, Any] = {}

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        if event == "progress":
            return
        if event == "run_start":
            self._ids = {name: fields[name] for name in ("flow_id", "run_id")}
        bad = "error" in fields or fields.get("status") in ("FAILED", "INTERRUPTED", "UNKNOWN")
        level = "WARNING" if event in ("step_retry", "output_dropped") else "ERROR" if bad else "INFO"
        head = {"ts_ms": time.time_ns() // 1_000_000, "level": level, "event": event}
        _write_line(self._stream, json.dumps({**head, **self._ids, **fields}, ensure_ascii=False))

    def close(self) -> None:
        """Tell how many lines were dropped, if any."""
        if dropped := dropped_lines(self._stream):
            self("output_dropped", {"lines": dropped})


class LiveObserver:
    """Writes finished steps as lines, and redraws a line for the running step with its elapsed time and progress."""

    any_thread = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._running = _Running()
        self._step: str | None = None
        self._started = 0.0
        self._progress = ""
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        with self._lock:
            self._running(event, fields)
            if event == "run_start":
                self._line(f"run {fields['run_id']} of flow {fields['flow_id']}")
            elif event == "step_start":
                self._step, self._started, self._progress = _name(fields), time.monotonic(), ""
                self._draw()
            elif event == "progress":
                from aetherflow.core.console.amounts import amount  # the first time that a step tells it

                self._progress = amount(fields["done"], fields.get("total"), fields.get("unit"))
            elif event == "output":
                self._line(f"{self._running.name(fields)} | {fields['text']}")
            elif event == "log":
                name = f"{_name(fields)}  " if "step_id" in fields else ""
                self._line(f"{fields['level']:<11} {name}{fields['message']}")
            elif event == "step_end":
                self._step = self._running.last()
                note = fields.get("error") or fields.get("reason") or ""
                self._line(f"{fields['status']:<11} {_name(fields)}  {seconds(fields['duration_ms'])}  {note}".rstrip())
            elif line := _remarkable(event, fields):
                self._line(line)
            elif event == "job_end" and fields["status"] in ("SKIPPED", "BLOCKED", "FAILED", "UNKNOWN"):
                note = fields.get("error") or fields.get("skip_reason") or f"blocked by {fields.get('blocked_by')}"
                self._line(f"{fields['status']:<11} {fields['job_id']}  {note}")

    def close(self) -> None:
        """Stop redrawing and clear the live line."""
        self._closed.set()
        self._ticker.join()
        with self._lock:
            self._erase()
            if dropped := dropped_lines(self._stream):
                self._stream.write(f"DROPPED     {dropped:,} lines that the terminal did not take\n")

    def _tick(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            with self._lock:
                if not is_behind(self._stream):  # else a terminal that takes nothing would get ever more
                    self._draw()

    def _line(self, text: str) -> None:
        self._erase()
        self._stream.write(text + "\n")
        self._draw()

    def _draw(self) -> None:
        if self._step is not None:
            elapsed = seconds(int((time.monotonic() - self._started) * 1000))
            text = f"RUNNING     {self._step}  {elapsed}  {self._progress}".rstrip()
            control(self._stream, ERASE)
            self._stream.write(text[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()

    def _erase(self) -> None:
        control(self._stream, ERASE)
        self._stream.flush()


def _write_line(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")  # at once: only whole lines are dropped
    stream.flush()


def _remarkable(event: str, fields: dict[str, Any]) -> str | None:
    """The line of an event that most runs do not have."""
    if event == "step_retry":
        return f"RETRY       {_name(fields)}  in {fields['delay_seconds']:g} s"
    if event == "lock_wait":
        return f"WAITS       {fields['note']}"
    if event == "plugin_changed":
        return f"PLUGIN      {fields['plugin']} {fields['before']} -> {fields['now']}"
    if event == "definition_changed":
        return f"CHANGED     {fields['job_id']}.{fields.get('step_id', '')}".rstrip(".") + f"  {fields['note']}"
    if event == "claimed" and "taken_over_from" in fields:
        of = f"{fields['count']} of run {fields['taken_over_from']}, ledger {fields['ledger']}"
        return f"TAKEN OVER  {_name(fields)}  {of}"
    if event == "claims_open":
        return f"CLAIMED     {fields['count']} stay open: {fields['note']}"
    return None


def _key(fields: dict[str, Any]) -> tuple[str, str, str | None]:
    return fields.get("job_id", ""), fields.get("step_id", ""), fields.get("item")


def _name(fields: dict[str, Any]) -> str:
    item = f"[{fields.get('label') or fields['item']}]" if "item" in fields else ""
    return f"{fields['job_id']}.{fields['step_id']}{item}"
