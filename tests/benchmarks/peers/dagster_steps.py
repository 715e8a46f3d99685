"""The no-op steps as ops of one Dagster job, in a SQLite instance, executed in this process."""

import sys
import time

from dagster import DagsterInstance, In, Nothing, job, op


@op(ins={"before": In(Nothing)})
def noop():
    return len(["a", "b"])


@op
def first():
    return len(["a", "b"])


count = int(sys.argv[2])


@job
def bench():
    last = first()
    for number in range(count - 1):
        last = noop.alias(f"noop{number}")(before=last)


with DagsterInstance.local_temp(sys.argv[1]) as instance:
    started = time.perf_counter()
    found = bench.execute_in_process(instance=instance)
    seconds = time.perf_counter() - started
assert found.success
print(seconds)
