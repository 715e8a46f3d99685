"""`for_each`: runs a step once per item of a list that is frozen when the step starts; each item has its own row."""

import hashlib
import time
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import ItemsFailedError, OutputError, ResolverError, StateError, StepError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import said
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.contracts.written import as_written
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepTrace, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.failure import error_code_of, fix_of, message_of
from aetherflow.core.kernel.sequencing.question import Questions
from aetherflow.core.kernel.sequencing.steps import Done, StepRunner, ms_since
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey, StepStart
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.kernel.yaml.flow import ForEachSpec, StepSpec

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.quarantine import Quarantine

SHOWN_ITEM = 120
"""Characters of an item without a name that an error shows."""
SHOWN_TEXT = 40
"""Of a longer text with slashes in it, a path, only the last part is shown."""
SHOWN_FAILURES = 50
"""Failed items that the error of their step names; the reasons of a fifth of them stand below."""


class ForEach:
    """Runs the steps that repeat."""

    def __init__(self, runner: StepRunner, questions: Questions) -> None:
        self._runner = runner
        self._questions = questions

    @cached_property
    def _quarantine(self) -> "Quarantine":
        from aetherflow.core.kernel.sequencing.quarantine import Quarantine  # few flows have one

        return Quarantine(self._runner)

    def run(self, job: JobRun, step: StepSpec, path: DocPath) -> Done:
        """Run the step for every item that is not done yet, one after the other.

        Outputs are `count` and `items`, the outputs of each; SKIPPED if all items were. Raises what a step raises, with
        `on_error: continue` after all items were tried.
        """
        runner, started = self._runner, time.monotonic()
        work = runner.work(job, step, path)
        items = self._items(work)
        labels = self._labels(work, items)
        frozen = None if runner.values.is_secret(work.key, items) else items
        start = StepStart(work.key, "repeatable", "", step.type, work.def_hash, frozen)
        runner.state.start(start)
        trace = StepTrace(step, runner.state.latest[work.key], recorded=False, items=len(items))
        job.traces.append(trace)
        try:
            done = self._finish(work, items, labels, *self._each(work, items, labels))
        except StepFailedError as error:
            status = Status.INTERRUPTED if isinstance(error, StepUnknownError) else Status.FAILED
            trace.items_failed = len(error.items) if status is Status.FAILED else 0
            runner.state.fail(work.key, status, runner.services.redactor.mask(str(error)))
            trace.recorded = True
            raise
        except RunStoppedError:
            why = said(StateReason.STOPPED, number=runner.services.stop.signal)
            runner.state.fail(work.key, Status.INTERRUPTED, why)
            raise
        finally:
            trace.duration_ms = ms_since(started)
        trace.recorded = True
        return done

    def _items(self, work: Work) -> list[Any]:
        state, record = self._runner.state, self._runner.state.latest.get(work.key)
        if record is not None and record.def_hash == work.def_hash and record.status is not Status.DISCARDED:
            frozen = state.items(work.key)
            if frozen is not None:
                return self._written(work, frozen)
        at = _place(work.step, work.path)
        try:
            items = json_safe(render(_loop(work).items, self._runner.values.scope(work.job, {}), at), "for_each")
            to_json(items)  # refused here, not where it is stored: that is a transition
        except (ResolverError, OutputError) as error:
            raise StepFailedError(error, work.step, getattr(error, "at", ()) or at) from error
        if not isinstance(items, list):
            kind = {str: "text", dict: "a map", type(None): "null"}.get(type(items), type(items).__name__)
            cause = StepError(f"for_each gives {kind}, not a list", fix="give one token that yields a list, or a list")
            raise StepFailedError(cause, work.step, at)
        return self._written(work, items)

    def _written(self, work: Work, items: list[Any]) -> list[Any]:
        # stored items are JSON; numbers that the flow document lists keep their written form, in a resumed run too
        found: list[Any] = as_written(items, _loop(work).items)
        return found

    def _labels(self, work: Work, items: list[Any]) -> list[str | None]:
        """The names of the items, of one line each; StepFailedError, before any is run, if one cannot be made."""
        if (key := _loop(work).key) is None:
            return [None] * len(items)
        scope, at = self._runner.values.scope(work.job, {}), (*work.path, "for_each", "key")
        try:
            found = [render(key, {**scope, "item": item}, at) for item in items]
        except ResolverError as error:
            raise StepFailedError(error, work.step, at) from error
        texts = [each if isinstance(each, str) else to_json(each) for each in found]
        return [self._runner.services.redactor.mask(" ".join(text.split())) for text in texts]

    def _each(self, work: Work, items: list[Any], labels: list[str | None]) -> tuple[list[Done], list[int]]:
        """The results of all items, and the places of those that were set aside."""
        runner, seen, found = self._runner, Counter[str](), []
        failed: list[StepFailedError] = []
        aside: list[int] = []
        for index, (item, label) in enumerate(zip(items, labels, strict=True)):
            digest = hashlib.sha256(to_json(item).encode()).hexdigest()[:12]
            seen[digest] += 1
            # equal values are separate items; the position does not count, so that the list may grow
            item_key = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
            key = StepKey(work.key.job, work.key.step, item_key)
            done = runner.done_before(key)
            if done is None and _loop(work).quarantine and (done := self._quarantine.before(key)) is not None:
                aside.append(index)
            if done is None:
                one = runner.work(work.job, work.step, work.path, item_key=item_key, item=item, label=label)
                try:
                    done = self._questions.answer(one) or runner.run(one)
                except StepFailedError as error:
                    error.items = (label or _short(item),)
                    error.item = f"item {index + 1} of {len(items)} ({error.items[0]})"
                    if (done := self._set_aside(one, error)) is not None:
                        aside.append(index)
                    elif _loop(work).on_error == "stop" or not runner.goes_on(error):
                        raise
                    else:
                        failed.append(error)
            if done is not None:
                found.append(done)
            runner.services.events.emit(
                "progress", job_id=key.job, step_id=key.step, done=index + 1, total=len(items), unit="items"
            )
        if failed:
            raise _failure(work, failed, len(items), runner.services.run_id)
        return found, aside

    def _set_aside(self, one: Work, error: StepFailedError) -> Done | None:
        """What was made of a failed item's file; None if it stays failed."""
        folder = _loop(one).quarantine
        if folder is None or not self._runner.goes_on(error):
            return None
        try:
            return self._quarantine.take(one, folder, error)
        except StepFailedError as failed:
            error.note = f"; not set aside: {error_code_of(failed.cause)} {failed}"
            return None

    def _finish(
        self, work: Work, items: list[Any], labels: list[str | None], found: list[Done], aside: list[int]
    ) -> Done:
        outputs: dict[str, Any] = {"count": len(found), "items": [dict(done.outputs) for done in found]}
        names = [labels[at] or _short(items[at]) for at in aside]
        if _loop(work).quarantine is not None:
            outputs["quarantined"] = [
                {"item": name, **found[at].outputs} for at, name in zip(aside, names, strict=True)
            ]
            outputs["quarantined_count"] = len(aside)
        skipped = bool(found) and all(done.status is Status.SKIPPED for done in found)
        status = Status.SKIPPED if skipped else Status.SUCCESS
        reason = said(StateReason.ITEMS_SKIPPED, count=len(found)) if skipped else None
        told = [at for at, done in enumerate(found) if done.reason is not None and done.status is Status.SUCCESS]
        if told and not skipped:
            first = told[0]
            said_of = {"name": labels[first] or _short(items[first]), "why": found[first].reason}
            reason = said(StateReason.ITEMS_TOLD, count=len(told), total=len(found), **said_of)
        if aside:
            reason = said(StateReason.QUARANTINED, count=len(aside), total=len(found), names=_listed(names))
        try:
            return self._runner.hand_over(work, Done(status, outputs, reason))
        except StateError:
            raise
        except Exception as error:  # as for any step: no SUCCESS without its stored result
            raise StepFailedError(error, work.step, getattr(error, "at", ()) or work.path) from error


def _loop(work: Work) -> ForEachSpec:
    assert work.step.loop is not None  # noqa: S101 only such steps come here
    return work.step.loop


def _place(step: StepSpec, path: DocPath) -> DocPath:
    return (*path, "for_each", "items") if isinstance(step.for_each, ForEachSpec) else (*path, "for_each")


def _failure(work: Work, failed: list[StepFailedError], total: int, run_id: str) -> StepFailedError:
    """The error of a step that has tried all its items."""
    names = [error.items[0] for error in failed]
    lines = [f"{len(failed)} of {total} items failed: {_listed(names)}"]
    for error, name in list(zip(failed, names, strict=True))[: SHOWN_FAILURES // 5]:
        why = message_of(error.cause).partition("\n")[0]
        lines.append(f"    {name}: {error_code_of(error.cause)} {why}{error.note}")
    fixes = {fix_of(error.cause) for error in failed}
    fix = next(iter(fixes)) if len(fixes) == 1 else f"see what became of each: {typed_anywhere('runs', 'show', run_id)}"
    first = failed[0]
    found = StepFailedError(ItemsFailedError("\n".join(lines), fix=fix), work.step, first.path, first.output)
    found.items = tuple(names)
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_FAILURES:,} more" if len(names) > SHOWN_FAILURES else ""
    return ", ".join(names[:SHOWN_FAILURES]) + more


def _short(item: Any) -> str:
    """An item without a name as text: of a path its file name, whole."""
    shown = _shown(item)
    return shown if isinstance(shown, str) else _cut(to_json(shown))


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if not isinstance(value, str) or len(value) <= SHOWN_TEXT:
        return value
    name = value.rstrip("/").rpartition("/")[2]
    return f"…/{name}" if name != value else _cut(value)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_ITEM else f"{text[:SHOWN_ITEM]}…"
