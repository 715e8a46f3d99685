"""Stored results that are no longer complete: outputs that held a secret, artifacts that are missing."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from aetherflow.core.base.said import Reason, said
from aetherflow.core.kernel.sequencing.definitions import StepDefinitions
from aetherflow.core.kernel.sequencing.plan import PlanReason
from aetherflow.core.kernel.state.records import CLEANUP, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.transitions import DONE_STEP


class IncompleteResults:
    """Finds the finished steps whose results a step that is still to run reads, and which are not complete."""

    def __init__(self, state: RunState, definitions: StepDefinitions, exists: Callable[[str], bool]) -> None:
        self._state = state
        self._definitions = definitions
        self._exists = exists
        self._gone: dict[StepKey, dict[str, None]] | None = None
        """Step to its missing artifacts, as absolute paths and as the rest of each path after `/artifacts/`."""
        self._outputs: dict[StepKey, Mapping[str, Any]] = {}

    def lacking(self, live: StepKey) -> Iterator[tuple[StepKey, Reason]]:
        """Finished steps whose result is incomplete and needed by `live`, each with the reason."""
        for key in self._definitions.uses[live]:
            record = self._state.steps.latest.get(key)
            if record is None or record.status not in DONE_STEP:
                continue
            if secret := [name for name in record.secret_keys if self._reads_secret(live, key, name)]:
                yield key, said(PlanReason.NEEDS_SECRET, live=live, names=", ".join(secret))
        for key, paths in self._gone_artifacts().items():
            if key != live and any(self._mentions(value, paths) for value in self._values(live, key)):
                yield key, said(PlanReason.NEEDS_FILE, live=live, name=next(iter(paths)).rpartition("/")[2])

    def _reads_secret(self, live: StepKey, key: StepKey, name: str) -> bool:
        for path in self._definitions.references[live].paths:
            if path[0] == "steps" and live.job == key.job:
                if path[1:2] in ((), (key.step,)) and path[2:3] in ((), (name,)):
                    return True
            elif path[0] in ("job", "jobs"):
                output = path[2:3] if path[0] == "job" else path[3:4]
                stored = self._read(StepKey(key.job, ""))
                if not output or output[0] not in stored:
                    return True
        return False

    def _values(self, live: StepKey, key: StepKey) -> Iterator[Any]:
        """The stored values of `key` that `live` reads, and the literal texts of `live`."""
        references = self._definitions.references[live]
        for path in references.paths:
            if path[0] == "steps" and live.job == key.job and path[1:2] in ((), (key.step,)):
                yield _dig(self._read(key), path[2:])
            elif path[0] == "job" and live.job == key.job:
                yield _dig(self._read(StepKey(key.job, "")), path[2:])
            elif path[0] == "jobs" and path[1:2] in ((), (key.job,)):
                yield _dig(self._read(StepKey(key.job, "")), path[3:])
        if live.job == key.job:
            yield list(references.texts)

    def _mentions(self, value: Any, paths: Collection[str]) -> bool:
        if isinstance(value, str):
            return bool(value) and value in paths
        if isinstance(value, Mapping):
            return any(self._mentions(item, paths) for item in value.values())
        return isinstance(value, list) and any(self._mentions(item, paths) for item in value)

    def _read(self, key: StepKey) -> Mapping[str, Any]:
        if key not in self._outputs:
            state = self._state
            self._outputs[key] = state.steps.outputs(key) if key.step else state.job_outputs(key.job)
        return self._outputs[key]

    def _gone_artifacts(self) -> dict[StepKey, dict[str, None]]:
        if self._gone is None:
            self._gone = {}
            for artifact in self._state.steps.artifacts():
                # what a step has moved or deleted is where it is wanted
                if (artifact.gone_by or CLEANUP).startswith(CLEANUP) and not self._exists(artifact.path):
                    outer = artifact.key.step.partition(".")[0]  # an inner step runs again with the one around it
                    names = self._gone.setdefault(StepKey(artifact.key.job, outer), {})
                    names.update(dict.fromkeys(_names(artifact.path)))
        return self._gone


def _names(path: str) -> Iterator[str]:
    yield path
    at = path.find("/artifacts/")
    while at >= 0:
        yield path[at + len("/artifacts/") :]
        at = path.find("/artifacts/", at + 1)


def _dig(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
