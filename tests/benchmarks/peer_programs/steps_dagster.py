"""The no-op steps as ops of one Dagster job: in this process, events and results in an instance on disk."""

import sys
import time

from dagster import DagsterInstance, In, Nothing, execute_job, in_process_executor, job, op, reconstructable


@op(ins={"before": In(Nothing)})
def noop():
    return len(["a", "b"])


@op
def first():
    return len(["a", "b"])


@job(executor_def=in_process_executor)
def bench():
    last = first()
    for number in range(int(sys.argv[2]) - 1):
        last = noop.alias(f"noop{number}")(before=last)


if __name__ == "__main__":
    with DagsterInstance.local_temp(sys.argv[1], overrides={"telemetry": {"enabled": False}}) as instance:
        started = time.perf_counter()
        found = execute_job(reconstructable(bench), instance=instance)
        seconds = time.perf_counter() - started
        assert found.success
    print(seconds)
