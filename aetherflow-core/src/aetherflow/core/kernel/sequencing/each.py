"""`for_each`: runs a step once per item of a list that is frozen when the step starts; each item has its own row."""

import hashlib
import time
from collections import Counter
from typing import Any

from aetherflow.core.base.errors import OutputError, ResolverError, StateError, StepError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import said
from aetherflow.core.contracts.written import as_written
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepTrace, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.question import Questions
from aetherflow.core.kernel.sequencing.steps import Done, StepRunner, ms_since
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey, StepStart
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.kernel.yaml.flow import StepSpec

SHOWN_ITEM = 60
"""Characters of an item that an error shows."""


class ForEach:
    """Runs the steps that repeat."""

    def __init__(self, runner: StepRunner, questions: Questions) -> None:
        self._runner = runner
        self._questions = questions

    def run(self, job: JobRun, step: StepSpec, path: DocPath) -> Done:
        """Run the step for every item that is not done yet, one after the other.

        Outputs are `count` and `items`, the outputs of each; SKIPPED if all items were. Raises what a step raises.
        """
        runner, started = self._runner, time.monotonic()
        work = runner.work(job, step, path)
        items = self._items(work)
        frozen = None if runner.values.is_secret(work.key, items) else items
        start = StepStart(work.key, "repeatable", "", step.type, work.def_hash, frozen)
        runner.state.start(start)
        trace = StepTrace(step, runner.state.latest[work.key], recorded=False, items=len(items))
        job.traces.append(trace)
        try:
            done = self._finish(work, self._each(work, items))
        except StepFailedError as error:
            status = Status.INTERRUPTED if isinstance(error, StepUnknownError) else Status.FAILED
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
        at = (*work.path, "for_each")
        try:
            items = json_safe(render(work.step.for_each, self._runner.values.scope(work.job, {}), at), "for_each")
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
        found: list[Any] = as_written(items, work.step.for_each)
        return found

    def _each(self, work: Work, items: list[Any]) -> list[Done]:
        runner, seen, found = self._runner, Counter[str](), []
        for index, item in enumerate(items):
            digest = hashlib.sha256(to_json(item).encode()).hexdigest()[:12]
            seen[digest] += 1
            # equal values are separate items; the position does not count, so that the list may grow
            item_key = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
            key = StepKey(work.key.job, work.key.step, item_key)
            done = runner.done_before(key)
            if done is None:
                one = runner.work(work.job, work.step, work.path, item_key=item_key, item=item)
                try:
                    done = self._questions.answer(one) or runner.run(one)
                except StepFailedError as error:
                    error.item = f"item {index + 1} of {len(items)} ({_short(item)})"
                    raise
            found.append(done)
            runner.services.events.emit(
                "progress", job_id=key.job, step_id=key.step, done=index + 1, total=len(items), unit="items"
            )
        return found

    def _finish(self, work: Work, found: list[Done]) -> Done:
        outputs = {"count": len(found), "items": [dict(done.outputs) for done in found]}
        skipped = bool(found) and all(done.status is Status.SKIPPED for done in found)
        status = Status.SKIPPED if skipped else Status.SUCCESS
        reason = said(StateReason.ITEMS_SKIPPED, count=len(found)) if skipped else None
        try:
            return self._runner.hand_over(work, Done(status, outputs, reason))
        except StateError:
            raise
        except Exception as error:  # as for any step: no SUCCESS without its stored result
            raise StepFailedError(error, work.step, getattr(error, "at", ()) or work.path) from error


def _short(item: Any) -> str:
    text = to_json(item)
    return text if len(text) <= SHOWN_ITEM else f"{text[:SHOWN_ITEM]}…"
