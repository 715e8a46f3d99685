"""The differences between two runs of a flow, the likeliest cause of a failure first.

A difference counts for more the more directly the failed step has read it: itself, through a step whose outputs it
reads, or not at all; and the less likely it is to be different every night.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.redact import masked_by_name
from aetherflow.core.kernel.sequencing.changes import change_text
from aetherflow.core.kernel.sequencing.definitions import encode
from aetherflow.core.runtime.comparing.recorded import Recorded, RecordedStep

DIRECT, THROUGH, BEFORE, ELSEWHERE = "read by the failed step", "through an earlier step", "in its job", "elsewhere"
_NEAR = {DIRECT: 1.0, THROUGH: 0.75, BEFORE: 0.3, ELSEWHERE: 0.1}
_WEIGHTS = {
    "definition": 100,
    "parameter": 96,
    "resource": 95,
    "variable": 92,
    "program": 91,
    "plugin": 88,
    "output": 55,
    "retries": 12,
}
_ENGINE, _HOST, _DATE, _START = 45.0, 42.0, 6.0, 4.0
_TELLING, _USUAL = 1.3, 20.0
"""How many times as much, or as little, tells something; and the weight of what changes every night."""
_SLOWER, _SLOWER_MS = 3.0, 500
_NIGHTLY = frozenset({"data_date", "run_date", "slot", "trigger"})
_VARYING = re.compile(
    r"(?P<day>\b\d{4}-?\d\d-?\d\d)([T _]?\d\d:?\d\d(:?\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?(?!\d)"
    r"|(?P<temp>/(?:var/)?tmp/[^\s'\"]+)"
)
"""Dates, times and temporary paths in a text: they differ every night."""
_SOURCES = {"os": "the environment"}
_UNSTEADY = (
    "peak_memory_bytes",
    "_ms",
    "_at",
    "_seconds",
    "pid",
    "duration",
    "run_id",
    "etag",
    "attempts",
    "exit_code",
)


class RunDifference(NamedTuple):
    """One difference; `likelihood` is from 0 to 100, and only says which is before which."""

    kind: str
    name: str
    before: str
    now: str
    where: str
    """How near it is to the failed step; "" for what is the whole run's."""
    steps: tuple[str, ...]
    likelihood: int
    usual: bool = False
    """Whether it differs every night (a date, a slot, a trigger, an id, a temporary path), so that it is no cause."""


def differences(before: Recorded, now: Recorded) -> list[RunDifference]:
    """What is different in `now`, the likeliest cause first; empty for two equal runs."""
    near = _Nearness(now)
    found = [*_steps(before, now, near), *_values(before, now, near), *_plugins(before, now, near)]
    found += [*_parameters(before, now, near), *_run(before, now)]
    return sorted(_once(found), key=lambda each: (-each.likelihood, each.kind, each.name))


class _Nearness:
    """How near each step is to the failed one; without one all are as near."""

    def __init__(self, run: Recorded) -> None:
        self._known: dict[str, str] = {}
        failed = run.failed
        if failed is None:
            return
        names = list(run.steps)
        job = failed.name.partition(".")[0]
        for name in names:
            self._known[name] = ELSEWHERE
            if name.partition(".")[0] == job and names.index(name) < names.index(failed.name):
                self._known[name] = BEFORE
        reached, waiting = set[str](), [failed.name]
        while waiting:
            step = run.steps.get(waiting.pop())
            for other in step.definition.get("uses", {}) if step else ():
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
        used = failed.definition.get("resources", {}).keys()
        for name in names[: names.index(failed.name)]:
            if used & run.steps[name].definition.get("resources", {}).keys():  # it may read there what that one wrote
                reached.add(name)
        self._known |= dict.fromkeys(reached, THROUGH) | {failed.name: DIRECT}

    def of(self, steps: tuple[str, ...]) -> str:
        """How near to the failed step the nearest of these steps is."""
        if not self._known:
            return ""
        return max(
            (self._known.get(step, ELSEWHERE) for step in steps), key=lambda each: _NEAR[each], default=ELSEWHERE
        )

    def made(self, kind: str, name: str, before: Any, now: Any, steps: tuple[str, ...], weight: float) -> RunDifference:
        where = self.of(steps)
        likelihood = round(weight * _NEAR.get(where, 1.0))
        usual = (
            kind in ("parameter", "output")
            and isinstance(before, str)
            and isinstance(now, str)
            and _steady(before) == _steady(now)
        )
        return RunDifference(
            kind, name, _shown(before), _shown(now), where, steps, min(likelihood, 1) if usual else likelihood, usual
        )


def _steps(before: Recorded, now: Recorded, near: _Nearness) -> Iterator[RunDifference]:
    for name in dict.fromkeys((*before.steps, *now.steps)):
        old, new = before.steps.get(name), now.steps.get(name)
        if new is None:
            continue  # it was not reached
        if old is None:
            yield near.made("definition", name, "not there", "there", (name,), _WEIGHTS["definition"])
            continue
        yield from _definition(old, new, near)
        ids = (before.run.run_id, now.run.run_id)
        yield from _files(old, new, ids, near)
        yield from _programs(old, new, ids, near)
        yield from _outputs(old, new, ids, near)
        if now.failed is not None:
            continue  # how often and how long steps ran are effects of what failed, never its cause
        if new.attempts != old.attempts:
            yield near.made("retries", name, old.attempts, new.attempts, (name,), _WEIGHTS["retries"])
        if new.duration_ms > old.duration_ms * _SLOWER and new.duration_ms - old.duration_ms > _SLOWER_MS:
            weight = 70 if new.duration_ms > 10 * old.duration_ms else 35
            yield near.made("duration", name, f"{old.duration_ms} ms", f"{new.duration_ms} ms", (name,), weight)


def _definition(old: RecordedStep, new: RecordedStep, near: _Nearness) -> Iterator[RunDifference]:
    if old.definition == new.definition or not old.definition or not new.definition:
        return
    here = (new.name,)
    if (was := old.definition.get("step")) != (now := new.definition.get("step")):
        diff = change_text(encode(was), encode(now))
        yield near.made("definition", new.name, "", diff, here, _WEIGHTS["definition"])
    resources = new.definition.get("resources", {})
    for name, was in sorted(old.definition.get("resources", {}).items()):
        if name in resources and was != resources[name]:
            diff = change_text(encode(was), encode(resources[name]))
            yield near.made("resource", name, "", diff, here, _WEIGHTS["resource"])
    for part in ("plugin", "result_version"):
        old_part, new_part = old.definition.get(part), new.definition.get(part)
        if old_part != new_part:
            yield near.made("plugin", new.name, old_part, new_part, here, _WEIGHTS["plugin"])


def _programs(old: RecordedStep, new: RecordedStep, ids: tuple[str, str], near: _Nearness) -> Iterator[RunDifference]:
    """Programs and scripts that were exchanged, or are found elsewhere, under the same word of the command."""
    was = {_without_id(word, ids[0]): facts for word, facts in old.programs.items()}
    for word, facts in new.programs.items():
        before = was.get(_without_id(word, ids[1]))
        if before is not None and any(before.get(part) != facts.get(part) for part in ("size", "sha256")):
            then, now = (f"{each['path']}, {_file(each)}" for each in (before, facts))
            yield near.made("program", word, then, now, (new.name,), _WEIGHTS["program"])


def _files(old: RecordedStep, new: RecordedStep, ids: tuple[str, str], near: _Nearness) -> Iterator[RunDifference]:
    was, now = list(old.files.items()), list(new.files.items())
    known = {_without_id(name, ids[0]): facts for name, facts in was}
    pairs = [(name, known[same], facts) for name, facts in now if (same := _without_id(name, ids[1])) in known]
    if not pairs and len(was) == len(now) == 1:  # another name each night
        pairs = [(now[0][0], was[0][1], now[0][1])]
    for path, before, after in pairs:
        if before == after:
            continue
        weight, what = _USUAL, "content"
        if not after["size"] and before["size"]:
            weight, what = 99, "empty"
        elif _ratio(before.get("lines", before["size"]), after.get("lines", after["size"])) >= _TELLING:
            weight, what = 93, _amount(before, after)
        if after["size"] and before.get("head") != after.get("head"):
            weight, what = max(weight, 94.0), "first line"
        yield near.made("input", f"{path} ({what})", _file(before), _file(after), (new.name,), weight)


def _outputs(old: RecordedStep, new: RecordedStep, ids: tuple[str, str], near: _Nearness) -> Iterator[RunDifference]:
    if new.status not in ("SUCCESS", "SKIPPED") or old.status not in ("SUCCESS", "SKIPPED"):
        return
    was, now = _flat(old.outputs, ids[0]), _flat(new.outputs, ids[1])
    for name in sorted(was.keys() & now.keys()):
        if was[name] == now[name] or name.lower().endswith(_UNSTEADY):
            continue
        numbers = isinstance(was[name], int | float) and isinstance(now[name], int | float)
        weight = _USUAL
        if numbers and _ratio(was[name], now[name]) >= _TELLING:
            weight = 90 if not now[name] else 80
        yield near.made("output", f"{new.name}.{name}", was[name], now[name], (new.name,), min(weight, 90))
    if old.items != new.items:
        yield near.made("output", f"{new.name} (items)", old.items, new.items, (new.name,), _WEIGHTS["output"])


def _values(before: Recorded, now: Recorded, near: _Nearness) -> Iterator[RunDifference]:
    was, has = before.circumstances.get("values", {}), now.circumstances.get("values", {})
    for name in sorted(was.keys() | has.keys()):
        old, new = was.get(name), has.get(name)
        if old == new:
            continue
        readers = tuple(step.name for step in now.steps.values() if name in step.definition.get("env", {}))
        yield near.made("variable", name, _value(old), _value(new), readers, _WEIGHTS["variable"])


def _plugins(before: Recorded, now: Recorded, near: _Nearness) -> Iterator[RunDifference]:
    was, has = before.circumstances.get("plugins", {}), now.circumstances.get("plugins", {})
    for name in sorted(was.keys() & has.keys()):
        if was[name] != has[name]:
            used = tuple(step.name for step in now.steps.values() if _uses_plugin(step, name))
            yield near.made("plugin", name, was[name], has[name], used, _WEIGHTS["plugin"])


def _uses_plugin(step: RecordedStep, name: str) -> bool:
    body = step.definition.get("step", {})
    if isinstance(body, Mapping) and body.get("type") == name:
        return True
    resources = step.definition.get("resources", {}).values()
    return any(f"{each.get('kind')}:{each.get('driver')}" == name for each in resources)


def _run(before: Recorded, now: Recorded) -> Iterator[RunDifference]:
    weights = {
        "engine_version": _ENGINE, "host": _HOST, "data_date": _DATE, "run_date": _DATE, "slot": _DATE,
        "trigger": _START, "actor": _START, "working_dir": _START, "config": _START, "flow_path": _START,
    }  # fmt: skip
    for name, weight in weights.items():
        old, new = getattr(before.run, name), getattr(now.run, name)
        if old != new:
            kind = {"engine_version": "engine", "host": "host"}.get(name, "start")
            usual = name in _NIGHTLY
            yield RunDifference(kind, name, _shown(old), _shown(new), "", (), 1 if usual else round(weight), usual)


def _parameters(before: Recorded, now: Recorded, near: _Nearness) -> Iterator[RunDifference]:
    was, has = json.loads(before.run.params), json.loads(now.run.params)
    old, new = masked_by_name(was), masked_by_name(has)
    for name in sorted(was.keys() | has.keys()):
        if was.get(name) != has.get(name):
            readers = tuple(step.name for step in now.steps.values() if name in step.definition.get("params", {}))
            yield near.made("parameter", name, old.get(name), new.get(name), readers, _WEIGHTS["parameter"])


def _once(found: list[RunDifference]) -> list[RunDifference]:
    """Of equal differences of several steps the nearest, with all steps."""
    merged: dict[tuple[str, ...], RunDifference] = {}
    for each in found:
        key = (each.kind, each.name, each.before, each.now)
        if (other := merged.get(key)) is not None:
            best = max(each, other, key=lambda one: one.likelihood)
            each = best._replace(steps=tuple(dict.fromkeys((*other.steps, *each.steps))))
        merged[key] = each
    return list(merged.values())


def _ratio(old: float, new: float) -> float:
    low, high = sorted((abs(old), abs(new)))
    return high / low if low else (float("inf") if high else 1.0)


def _flat(value: Any, run_id: str, path: str = "") -> dict[str, Any]:
    """The numbers and texts of outputs by their path; the id of the run in them is no difference."""
    if isinstance(value, Mapping):
        parts = value.items()
        return {
            key: one for name, item in parts for key, one in _flat(item, run_id, f"{path}.{name}".strip(".")).items()
        }
    if isinstance(value, list):
        return {f"{path}.count": len(value)}
    return {path: _without_id(value, run_id) if isinstance(value, str) else value}


def _without_id(text: str, run_id: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(run_id)}(?![\w-])", "RUN", text)


def _steady(text: str) -> str:
    """A text without what differs every night."""
    return _VARYING.sub(lambda found: found.lastgroup or "day", text)


def _amount(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Which way a file that holds another amount has gone."""
    unit, words = ("lines", ("fewer lines", "more lines")) if "lines" in after else ("size", ("smaller", "larger"))
    return words[after[unit] > before.get(unit, before["size"])]


def _file(facts: Mapping[str, Any]) -> str:
    lines = f", {facts['lines']} line{'s' * (facts['lines'] != 1)}" if "lines" in facts else ""
    digest = f", sha256 {facts['sha256'][:12]}" if "sha256" in facts else ""
    return f"{facts['size']} bytes{lines}{digest}"


def _value(known: list[str] | None) -> str:
    if known is None or not known[1]:
        return "not set"
    source = _SOURCES.get(known[0], known[0])
    return f"{f'from {source}, ' if source else ''}hash {known[1][:8]}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
