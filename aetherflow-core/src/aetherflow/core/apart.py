"""The program of a run that a step of another run started side by side with others: `python -m aetherflow.core.apart`.

It reads its order from stdin, tells the course of the run on stderr, and its result on stdout.
"""

import os
import sys


def main() -> int:
    """Run the flow of the order; 0 if it ended well."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever steps print is no result

    from aetherflow.core.runtime.run_apart import Order, told

    order = Order.read(sys.stdin.buffer)

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
            snapshot = snapshot_for(order.call.flow.resolve().parent, order.around.snapshot())
            flow = INNER_RUNS.prepare(order.call.flow, snapshot, None)
            if flow.flow_id != order.flow_id:
                message = f"the flow is {flow.flow_id} by now, and was {order.flow_id} a moment ago"
                raise StepError(message, fix="run again")
            outer = OuterRun(
                run=order.run,
                outermost=order.outermost,
                files=order.files,
                control=Control(Stop()),
                locks=borrow(order.locks),
                lock_env=order.lock_env,
                grace=order.grace,
                failures={},
            )
            result: FlowResult | StepError = run_inside(INNER_RUNS, flow, order.call, (Relay(tell),), outer)
        except StepError as error:
            result = error
        except AetherflowError as error:
            result = StepError(f"{error.code} {error}", fix=error.fix)
        answer.write(told(result))
    return int(isinstance(result, StepError))


if __name__ == "__main__":
    sys.exit(main())
