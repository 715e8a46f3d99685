"""The program of a run that a step started side by side with others: `python -m aetherflow.core.child_run RUN`.

It reads its request from stdin, writes the events of the run to stderr, and its result to stdout. Where a socket is
named for that, who listens there has the run executed, maybe on another host; `--here` makes this process execute it.
"""

import io
import os
import sys
import time
from typing import BinaryIO

from aetherflow.core.runtime import child_elsewhere

BUSY = 3
"""Exit code with `--here` if another process executes the run, which is no result of it."""
LOOKS_SECONDS = 1.0
"""How often it is asked whether another process still executes the run, once who had it executed is lost."""


def main(arguments: list[str]) -> int:
    """Have the flow of the request run; 0 if it ended well."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what steps print goes to the log, and not into the result
    data = sys.stdin.buffer.read()
    here = arguments[1:] == ["--here"]
    with answer:
        place = None if here else os.environ.get(child_elsewhere.CHILD_RUNS)
        if place is None:
            return _run(data, answer, here=here)
        found = child_elsewhere.executed(place, arguments[0], data)
        if found is not None:
            answer.write(found)
            return 0
        while (code := _run(data, answer, here=True)) == BUSY:
            time.sleep(LOOKS_SECONDS)
        return code


def _run(data: bytes, answer: BinaryIO, *, here: bool) -> int:
    """Execute the run. With `here` BUSY stands for an owner elsewhere, an exit code for a signal."""
    from aetherflow.core.base.errors import AetherflowError, StepError
    from aetherflow.core.contracts.handles import FlowResult
    from aetherflow.core.kernel.sequencing.run_errors import RunInterruptedError
    from aetherflow.core.kernel.sequencing.stopping import Control, Stop
    from aetherflow.core.runner import INNER_RUNS
    from aetherflow.core.runtime.child_run import ChildRunRequest, answer_of
    from aetherflow.core.runtime.environment.inner import snapshot_for
    from aetherflow.core.runtime.lent_locks import borrow
    from aetherflow.core.runtime.subflow import OuterRun, Relay, run_inside
    from aetherflow.core.runtime.workspace.store_places import state_root

    def tell(line: bytes) -> None:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()

    request, code = ChildRunRequest.read(io.BytesIO(data)), 0
    try:
        around = request.around.snapshot()
        state_root(around)  # from here on the run around is found, also in a server
        if here:
            request.require_wanted()
        snapshot = snapshot_for(request.call.flow.resolve().parent, around)
        flow = INNER_RUNS.prepare(request.call.flow, snapshot, None)
        if flow.flow_id != request.flow_id:
            message = f"the flow is {flow.flow_id} by now, and was {request.flow_id} a moment ago"
            raise StepError(message, fix="run again")
        outer = OuterRun(
            run=request.run,
            outermost=request.outermost,
            files=request.files,
            control=Control(Stop()),
            locks=borrow(request.locks),
            lock_env=request.lock_env,
            grace=request.grace,
            failures={},
        )
        result: FlowResult | StepError = run_inside(INNER_RUNS, flow, request.call, (Relay(tell),), outer)
    except StepError as error:
        result, cause = error, error.__cause__
        code = cause.exit_code if isinstance(cause, RunInterruptedError) and here else 1
        if isinstance(cause, AetherflowError) and cause.exit_code == BUSY and here:
            return BUSY
    except AetherflowError as error:
        result, code = StepError(f"{error.code} {error}", fix=error.fix), 1
    answer.write(answer_of(result))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
