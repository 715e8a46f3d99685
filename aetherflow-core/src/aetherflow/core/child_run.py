"""The program of a run that a step started side by side with others: `python -m aetherflow.core.child_run`.

It reads its request from stdin, writes the events of the run to stderr, and its result to stdout.
"""

import os
import sys


def main() -> int:
    """Run the flow of the request; 0 if it ended well."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what steps print goes to the log, and not into the result

    from aetherflow.core.runtime.child_run import ChildRunRequest, answer_of

    request = ChildRunRequest.read(sys.stdin.buffer)

    from aetherflow.core.base.errors import AetherflowError, StepError
    from aetherflow.core.contracts.handles import FlowResult
    from aetherflow.core.kernel.sequencing.stopping import Control, Stop
    from aetherflow.core.runner import INNER_RUNS
    from aetherflow.core.runtime.environment.inner import snapshot_for
    from aetherflow.core.runtime.lent_locks import borrow
    from aetherflow.core.runtime.subflow import OuterRun, Relay, run_inside

    def tell(line: bytes) -> None:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()

    with answer:
        try:
            snapshot = snapshot_for(request.call.flow.resolve().parent, request.around.snapshot())
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
            result = error
        except AetherflowError as error:
            result = StepError(f"{error.code} {error}", fix=error.fix)
        answer.write(answer_of(result))
    return int(isinstance(result, StepError))


if __name__ == "__main__":
    sys.exit(main())
