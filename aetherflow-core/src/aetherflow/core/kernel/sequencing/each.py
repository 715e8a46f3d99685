"""`for_each`: runs a step once per item of a list that is frozen when the step starts; each item has its own row."""

import time
from collections.abc import Sequence
from typing import Any

from aetherflow.core.base.errors import ItemsFailedError, LeaseLostError, StateError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import said
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.kernel.sequencing.attempts import Done, ms_since
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepTrace, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.failure import error_code_of, fix_of, message_of
from aetherflow.core.kernel.sequencing.items import SHOWN_NAMES, Item, items_of, listed, loop_of
from aetherflow.core.kernel.sequencing.quarantine import Quarantine
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.sequencing.verification import Verification
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey, StepStart
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.flow import StepSpec


class ForEach:
    """Runs the steps that repeat."""

    def __init__(self, runner: StepRunner, verification: Verification) -> None:
        self._runner = runner
        self._verification = verification
        self._quarantine = Quarantine(runner)

    def run(self, job: JobRun, step: StepSpec, path: DocPath) -> Done:
        """Run the step for every item that is not done yet, one after the other.

        Outputs are `count` and `items`, the outputs of each; SKIPPED if all items were. Raises what a step raises, with
        `on_error: continue` after all items were tried.
        """
        runner, started = self._runner, time.monotonic()
        work = runner.work(job, step, path)
        items = items_of(runner, work)
        frozen = runner.values.encoded_items(work.key, [item.value for item in items])
        start = StepStart(work.key, "repeatable", "", step.type, work.def_hash, frozen)
        runner.state.start(start)
        trace = StepTrace(step, runner.state.latest[work.key], recorded=False, items=len(items))
        job.traces.append(trace)
        try:
            each = self._each if loop_of(work).max_parallel == 1 else self._side_by_side
            done = self._end(work, *each(work, items))
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

    def _each(self, work: Work, items: Sequence[Item]) -> tuple[list[tuple[Item, Done]], list[tuple[Item, Done]]]:
        """All items with their results, and those among them that were set aside."""
        runner, done_items, aside = self._runner, list[tuple[Item, Done]](), list[tuple[Item, Done]]()
        failed: list[StepFailedError] = []
        for number, item in enumerate(items, 1):
            done = runner.done_before(item.key)
            if done is None and loop_of(work).quarantine and (done := self._quarantine.before(item.key)) is not None:
                aside.append((item, done))
            if done is None:
                one = runner.work(
                    work.job, work.step, work.path, item_key=item.key.item, item=item.value, label=item.label
                )
                try:
                    done = self._verification.answer(one) or runner.run(one)
                except StepFailedError as error:
                    error.items = (item.name,)
                    error.item = f"item {number} of {len(items)} ({item.name})"
                    if (done := self._set_aside(one, error)) is not None:
                        aside.append((item, done))
                    elif loop_of(work).on_error == "stop" or not runner.goes_on(error):
                        raise
                    else:
                        failed.append(error)
            if done is not None:
                done_items.append((item, done))
            runner.services.events.emit(
                "progress", job_id=item.key.job, step_id=item.key.step, done=number, total=len(items), unit="items"
            )
        if failed:
            raise _failure(work, failed, len(items), runner.services.run_id)
        return done_items, aside

    def _side_by_side(
        self, work: Work, items: Sequence[Item]
    ) -> tuple[list[tuple[Item, Done]], list[tuple[Item, Done]]]:
        """As `_each`, several at a time; no item is set aside."""
        from aetherflow.core.kernel.sequencing.fan_out import FanOut, Wanted  # few steps need it

        runner, loop, done, wanted = self._runner, loop_of(work), dict[StepKey, Done](), list[Wanted]()
        for number, item in enumerate(items, 1):
            one = runner.work(work.job, work.step, work.path, item_key=item.key.item, item=item.value, label=item.label)
            # asked before any item begins: `verify` is a step, and the thread of the run waits for it
            if (found := runner.done_before(item.key) or self._verification.answer(one)) is not None:
                done[item.key] = found
            else:
                wanted.append(Wanted(one, number, item.name))
        fan_out = FanOut(runner, loop.max_parallel, len(items), len(done), try_all=loop.on_error == "continue")
        fan_out.run(wanted)
        failed = [error for _, error in sorted(fan_out.failed, key=lambda each: each[0])]
        # an open question is one for the whole step, and a lost lock is the cause of whatever failed then
        for error in failed:
            if isinstance(error, StepUnknownError) or isinstance(error.cause, LeaseLostError):
                raise error
        if failed:
            raise _failure(work, failed, len(items), runner.services.run_id, fan_out.left)
        done |= fan_out.done
        return [(item, done[item.key]) for item in items], []

    def _set_aside(self, one: Work, error: StepFailedError) -> Done | None:
        """What was made of a failed item's file; None if it stays failed."""
        folder = loop_of(one).quarantine
        if folder is None or not self._runner.goes_on(error):
            return None
        try:
            return self._quarantine.take(one, folder, error)
        except StepFailedError as failed:
            error.note = f"; not set aside: {error_code_of(failed.cause)} {failed}"
            return None

    def _end(self, work: Work, done_items: list[tuple[Item, Done]], aside: list[tuple[Item, Done]]) -> Done:
        total = len(done_items)
        outputs: dict[str, Any] = {"count": total, "items": [dict(done.outputs) for _, done in done_items]}
        if loop_of(work).quarantine is not None:
            outputs["quarantined"] = [{"item": item.name, **done.outputs} for item, done in aside]
            outputs["quarantined_count"] = len(aside)
        skipped = bool(done_items) and all(done.status is Status.SKIPPED for _, done in done_items)
        reason = said(StateReason.ITEMS_SKIPPED, count=total) if skipped else None
        told = [each for each in done_items if each[1].reason is not None and each[1].status is Status.SUCCESS]
        if told and not skipped:
            item, done = told[0]
            reason = said(StateReason.ITEMS_TOLD, count=len(told), total=total, name=item.name, why=done.reason)
        if aside:
            names = listed([item.name for item, _ in aside])
            reason = said(StateReason.QUARANTINED, count=len(aside), total=total, names=names)
        try:
            return self._runner.attempts.hand_over(
                work, Done(Status.SKIPPED if skipped else Status.SUCCESS, outputs, reason)
            )
        except StateError:
            raise
        except Exception as error:  # as for any step: no SUCCESS without its stored result
            raise StepFailedError(error, work.step, getattr(error, "at", ()) or work.path) from error


def _failure(work: Work, failed: list[StepFailedError], total: int, run_id: str, left: int = 0) -> StepFailedError:
    """The error of a step of which items failed and `left` were not begun; a fifth of the named have their reasons."""
    names = [error.items[0] for error in failed]
    rest = f"; {left} not begun" if left else ""
    lines = [f"{len(failed)} of {total} items failed: {listed(names)}{rest}"]
    for error, name in list(zip(failed, names, strict=True))[: SHOWN_NAMES // 5]:
        why = message_of(error.cause).partition("\n")[0]
        lines.append(f"    {name}: {error_code_of(error.cause)} {why}{error.note}")
    fixes = {fix_of(error.cause) for error in failed}
    fix = next(iter(fixes)) if len(fixes) == 1 else f"see what became of each: {typed_anywhere('runs', 'show', run_id)}"
    first = failed[0]
    found = StepFailedError(ItemsFailedError("\n".join(lines), fix=fix), work.step, first.path, first.output)
    found.items = tuple(names)
    return found
