"""Interrupted `once` steps: a recorded decision, or the step's `verify`, tells whether the step was done."""

from aetherflow.core.base.errors import PluginError, StateError
from aetherflow.core.base.said import said
from aetherflow.core.kernel.sequencing.attempts import Done
from aetherflow.core.kernel.sequencing.execution import StepFailedError, StepTrace, StepUnknownError, Work, undecided
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.transitions import Status


class Verification:
    """Decides whether an interrupted `once` step was done, by running its `verify`."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner

    def answer(self, work: Work) -> Done | None:
        """The step's result if `verify` says that it was done; None if the step is to be executed.

        Raises StepUnknownError if the step was interrupted and has no `verify`, or its `verify` failed.
        """
        record = self._runner.state.latest.get(work.key)
        if record is None or record.effect != "once" or record.status is not Status.INTERRUPTED:
            return None
        if work.step.verify is None:
            if not work.key.item:
                work.job.traces.append(StepTrace(work.step, record, undecided=True, duration_ms=0))
            question = undecided(work.key, record.attempt, self._runner.services.run_id)
            raise StepUnknownError(question, work.step, work.path)
        found = self._verify(work, record.attempt)
        if found.status is Status.SKIPPED:
            return None
        done = Done(Status.SUCCESS, dict(found.outputs), said(StateReason.VERIFIED))
        try:
            done = self._runner.attempts.hand_over(work, done)
        except StateError:
            raise
        except Exception as error:  # it was done, but the outputs of `verify` do not serve as its own
            raise StepUnknownError(error, work.step, getattr(error, "at", ()) or work.path) from error
        if work.is_whole:
            self._runner.reused(work.job, work.step)
        return done

    def _verify(self, work: Work, attempt: int) -> Done:
        spec, runner = work.step.verify, self._runner
        assert spec is not None  # noqa: S101 checked by the caller
        path = (*work.path, "verify")
        key = StepKey(work.key.job, f"{work.key.step}.verify", f"{work.key.item}{attempt}")
        if (before := runner.done_before(key)) is not None:
            return before
        try:
            return runner.run(runner.part(work, key, spec.type, spec.inputs, path, (*path, "inputs")))
        except PluginError as error:
            raise StepUnknownError(error, work.step, (*path, "type")) from error
        except StepFailedError as error:
            raise StepUnknownError(error.cause, work.step, error.path, error.output) from error
