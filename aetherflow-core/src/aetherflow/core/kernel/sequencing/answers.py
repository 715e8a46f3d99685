"""Answers about interrupted `once` steps that are recorded already: the same one again changes nothing."""

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.times import iso
from aetherflow.core.base.typed import typed_here
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.run_state import RunState


class AnswerRecordedError(UsageError):
    """`--decide` gives another answer than the recorded one."""

    code = "AF3006"


def was_answered(state: RunState, name: str, answer: str) -> bool:
    """Whether the last recorded answer about `JOB.STEP` is this one; AnswerRecordedError if it is another one."""
    job, _, step = name.partition(".")
    if (found := state.last_answer(StepKey(job, step))) is None:
        return False
    recorded, actor, at = found
    if recorded == answer:
        return True
    message = f"--decide {name}={answer}: {actor or 'a user'} answered {recorded} at {iso(at)}"
    commands = [typed_here("resume", state.run_id)]
    if answer == "again":
        outer = f"{job}.{step.partition('.')[0]}"
        commands.append(typed_here("resume", state.run_id, "--from-step", outer))
    fix = f"continue with that answer: {'; or do the step again: '.join(commands)}"
    raise AnswerRecordedError(message, fix=fix)
